"""Jobs without training: which student, how many at a time, on which GPU."""

import re

import pandas as pd
import pytest
import torch

from lib.common import paths, profile
from lib.common.errors import UserError
from lib.evaluation import answers
from lib.students import grid, jobs
from tests.students.examples import teacher_table


@pytest.fixture
def smoke():
    return profile.load("smoke")


@pytest.mark.parametrize("number", [-1, 60])
def test_no_such_student(number):
    with pytest.raises(UserError, match=f"Profile 'smoke' has no student {number}; they are 0 to"):
        jobs.train_number("smoke", number)


def test_no_jobs(smoke):
    with pytest.raises(UserError, match="0 jobs cannot train anything"):
        jobs.run_side_by_side(smoke, [0], 0)


def test_jobs_that_are_no_number(smoke, monkeypatch):
    monkeypatch.setenv("JOBS", "four")
    with pytest.raises(UserError, match="JOBS is 'four'; make it the number of students"):
        jobs.train_all(smoke, pd.DataFrame())


@pytest.mark.parametrize(
    ("visible", "devices", "expected"),
    [("", 0, [""] * 4), ("2,5", 2, ["2", "5", "2", "5"]), (None, 3, ["0", "1", "2", "0"])],
)
def test_students_side_by_side_share_out_cores_and_gpus(
    smoke, monkeypatch, tmp_path, visible, devices, expected
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(grid, "students_folder", lambda settings: tmp_path)
    given, threads = {}, set()

    class Done:
        returncode = 0

        def __init__(self, command, env, **_):
            given[command[-1]] = env["CUDA_VISIBLE_DEVICES"]
            threads.add(env["OMP_NUM_THREADS"])

    monkeypatch.setattr(jobs.subprocess, "run", Done)
    jobs.run_side_by_side(smoke, [0, 1, 2, 3], 2)
    assert [given[str(number)] for number in range(4)] == expected and threads == {"3"}


def test_a_student_whose_tokenizer_is_sentencepiece_learns_and_answers(
    smoke, spiece, monkeypatch, tmp_path, capsys
):
    """Characters that it cannot write are said before it trains."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    model = smoke.students[0].model_copy(update={"model": f"local:{spiece}"})
    few = smoke.training.model_copy(update={"steps": 2, "checkpoint_every": None})
    update = {"students": [model], "seeds": [0], "arms": ["MT:Unrevised"], "training": few}
    settings = smoke.model_copy(update=update)
    texts = teacher_table(settings).assign(explanation="It is < 5.")
    table = jobs.train_all(settings, texts)
    line = r"its tokenizer changes (\d+) of (\d+) inputs and targets; it lacks (.*)"
    told = re.search(line, capsys.readouterr().out)
    assert "<" in told[3] and 0 < int(told[1]) < int(told[2])
    (trained,) = grid.finished(settings, table)
    found = answers.predictions(settings, *trained)
    assert len(found) == 10 and found["likeliest"].between(0, 4).all()
