"""A student's process up to its first training steps, for bench_gpu: imports, loading, encoding,
what the fast path prepares, and Trainer's own loop are those of a real training.

``python -m tests.bench.one_student MODEL QUESTIONS STEPS`` prints, as JSON, the seconds from the
process's start to its first step, and the tokens a second of the later half of the steps.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from lib.common import methods, profile
from lib.students import grid, train
from tests.bench import bench, material


def main(model: str, questions: str, steps: str) -> None:
    """Train MT+CF:Revised for some steps and keep nothing."""
    weights = methods.weights("MT+CF")
    pairs, _ = material.example_pairs(weights, int(questions))
    dev = {objective: rows[:20] for objective, rows in pairs.items()}
    student = grid.Student("MT+CF:Revised", profile.StudentModel(size="x", model=model), 0)
    settings = profile.load("smollm2_gpu").training
    settings = settings.model_copy(update={"batch_size": min(64, int(questions))})
    seen = {}

    def done(_self, _args, state, *_, **__) -> None:
        if state.global_step in (1, int(steps) // 2, int(steps)):
            bench.synchronise()
            seen[state.global_step] = (time.time(), state.num_input_tokens_seen)
        if state.global_step == int(steps):
            (first, _), (start, before), (end, after) = seen.values()
            found = {"first_step": first - psutil.Process().create_time()}
            found |= {"tokens_per_second": (after - before) / (end - start)}
            print(json.dumps(found), flush=True)
            os._exit(0)

    train.Diary.on_step_end = done
    with tempfile.TemporaryDirectory() as folder:
        train.train(student, settings, weights, {"train": pairs, "dev": dev}, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
