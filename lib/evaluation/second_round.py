"""Texts for a second round: a listwise student's own rationales in place of its teacher's.

``python -m lib.evaluation.second_round PROFILE FOLDER`` writes the profile's questions and these
texts to a folder, from which ``teacher.source: written`` takes them.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from lib.common import files, methods, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.evaluation import interview
from lib.evaluation.answers import Asked
from lib.models import checkpoints
from lib.questions import splits
from lib.questions.question import LETTERS, Question, describe
from lib.students.grid import Student
from lib.students.model import load_student
from lib.teacher.shards import Shards


def rationales(
    settings: Profile, student: Student, folder: Path, questions: list[Question]
) -> dict[str, dict[str, str]]:
    """Question id -> choice -> what a listwise student writes for it; finished batches are kept."""
    chosen = settings.evaluation
    pairs = [(q, choice) for q in questions for choice in q.choices]
    starts = range(0, len(pairs), chosen.batch_size)
    batches = [pairs[i : i + chosen.batch_size] for i in starts]
    model, tokenizer = load_student(student.model, folder)
    tags = settings.training_of(student.variant).tags
    ask = Asked(model, tokenizer, settings, tags, label="")

    def make(batch: list[tuple[Question, str]]) -> list[dict]:
        texts = ask.texts("advocate", [q for q, _ in batch], [choice for _, choice in batch])
        said = zip(batch, texts, strict=True)
        return [{"id": q.id, "choice": choice, "text": text} for (q, choice), text in said]

    key = {
        "weights": files.read_json(folder / "student.json", "notebooks/03_training.ipynb")["files"],
        "explanation_tokens": chosen.explanation_tokens,
        "batch_size": chosen.batch_size,
        "questions": [[q.id, q.question, q.choices] for q in questions],
    }
    found: dict[str, dict[str, str]] = {q.id: {} for q in questions}
    shards = Shards(paths.TEXTS, "second_round", {"key": files.key_of(key)})
    for record in shards.complete(batches, make, f"{student.label} [advocate]"):
        found[record["id"]][record["choice"]] = record["text"]
    return found


def write(settings: Profile, folder: Path) -> Path:
    """Write train.jsonl, dev.jsonl, test.jsonl and texts.jsonl: questions and explanations as they
    were, and as rationales those of the profile's first finished listwise student."""
    reader = describe(settings.task.name)["reader"]
    if reader != "commonsenseqa":
        raise UserError(
            f"Questions of {settings.task.name} cannot be written in its schema ({reader}); take a "
            "profile whose task is commonsenseqa or minicqa."
        )
    finished = [
        (student, home)
        for student, home in interview.students(settings)
        if methods.split_arm(student.arm)[0] == "listwise"
    ]
    if not finished:
        raise UserError(f"Profile '{settings.name}' has no finished listwise student; train one.")
    checkpoints.quiet()
    path = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    teacher = pd.read_parquet(path).set_index("id")[["explanation", "revision"]]
    asked = splits.load(settings.task, settings.seed)
    taught = [q for split in ("train", "dev") for q in asked[split] if q.id in teacher.index]
    found = rationales(settings, *finished[0], taught)
    texts = [{"id": q.id, **teacher.loc[q.id], "counterfactuals": found[q.id]} for q in taught]
    for split, questions in asked.items():
        write_lines(folder / f"{split}.jsonl", map(row_of, questions))
    return write_lines(folder / "texts.jsonl", texts)


def row_of(question: Question) -> dict:
    """A question in CommonsenseQA's schema."""
    labels = list(LETTERS[: len(question.choices)])
    choices = {"label": labels, "text": list(question.choices)}
    asked = {"id": question.id, "question": question.question, "choices": choices}
    return asked | {"answerKey": labels[question.answer]}


def write_lines(path: Path, rows) -> Path:
    """A row of JSON a line."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    return files.write_text(path, "".join(lines))


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.evaluation.second_round", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile")
    parser.add_argument("folder", help="where questions and texts go; it is made")
    given = parser.parse_args(arguments)
    path = write(profile.load(given.profile), Path(given.folder).expanduser())
    print(f"Texts:  {paths.shown(path)}")


if __name__ == "__main__":
    main()
