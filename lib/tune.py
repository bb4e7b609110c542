"""Choosing training settings on the dev split: dev accuracy of a few students per setting.

``python -m lib.tune smollm2 --arms label-only MT:Unrevised --rates 1e-4 3e-4 --steps 400`` trains seed
0 of each arm at each rate and prints dev accuracy; the test split is not read. Results are appended
to data/runs/<profile>/tuning.csv.
"""

import argparse
import itertools
import math
from pathlib import Path

import pandas as pd

from lib import evaluate, grid, models, objectives, profile, store, tasks
from lib.errors import UserError, command_line
from lib.extraction import extract
from lib.jobs import teacher_texts


def dev_accuracy(settings: profile.Profile, student: grid.Student, folder: Path) -> float:
    """Share of dev questions that the student answers rightly."""
    questions = tasks.load(settings.task, settings.seed)["dev"]
    task = objectives.answer_task(objectives.split_arm(student.arm)[0])
    limit = evaluate.token_limit(task, settings.evaluation)
    model, tokenizer = evaluate.load_student(student, folder)
    inputs = [objectives.source(task, q, tags=settings.training.tags) for q in questions]
    texts = evaluate.generate(model, tokenizer, inputs, limit, settings.evaluation.batch_size)
    right = [extract(text, q.choices) == q.answer
             for text, q in zip(texts, questions, strict=True)]
    return sum(right) / len(right)


def try_setting(settings: profile.Profile, arm: str, rate: float, steps: int) -> dict:
    """Train seed 0 of an arm with a learning rate and a number of steps; a row with dev accuracy."""
    training = settings.training.model_copy(update={
        "learning_rate": rate, "steps": steps, "evaluate_every": max(1, steps // 4)})
    settings = settings.model_copy(update={"training": training})
    student = grid.Student(arm, settings.students[0], 0)
    found = grid.place(settings, student, teacher_texts(settings))
    grid.train_one(settings, student, found)
    models.quiet()
    record = store.read_json(found.folder / "student.json", "training")
    return {"arm": arm, "learning_rate": rate, "steps": steps, "best_step": record["best_step"],
            "seconds": record["seconds"], "dev_accuracy": dev_accuracy(settings, student, found.folder),
            "device": record["device"]}


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.tune", description=__doc__.split("\n\n")[0])
    parser.add_argument("profile")
    parser.add_argument("--arms", nargs="+", choices=objectives.arms(),
                        default=["label-only", "MT:Unrevised"])
    parser.add_argument("--rates", nargs="+", type=float, required=True)
    parser.add_argument("--steps", nargs="+", type=int, required=True)
    chosen = parser.parse_args()
    for option in ("rates", "steps"):
        for value in getattr(chosen, option):
            if not 0 < value < math.inf:
                raise UserError(f"--{option} {value:g}: a number greater than 0 is needed; correct it.")
    settings = profile.load(chosen.profile)
    path = profile.run_folder(settings) / "tuning.csv"
    for steps, rate, arm in itertools.product(chosen.steps, chosen.rates, chosen.arms):
        row = try_setting(settings, arm, rate, steps)
        rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
        store.write_csv(path, pd.DataFrame([*rows, row]))
        print(row, flush=True)


if __name__ == "__main__":
    main()
