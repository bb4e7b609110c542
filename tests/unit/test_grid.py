"""Numbers of students and of jobs that make no sense are sentences, before anything is loaded."""

import pandas as pd
import pytest

from lib import grid, jobs, profile
from lib.errors import UserError


@pytest.mark.parametrize("number", [-1, 60])
def test_no_such_student(number):
    assert len(grid.students(profile.load("smoke"))) <= 60
    with pytest.raises(UserError, match=f"Profile 'smoke' has no student {number}; they are 0 to"):
        jobs.train_number("smoke", number)


def test_no_jobs():
    with pytest.raises(UserError, match="0 jobs cannot train anything"):
        jobs.run_side_by_side(profile.load("smoke"), [0], 0)


def test_jobs_that_are_no_number(monkeypatch):
    monkeypatch.setenv("JOBS", "four")
    settings = profile.load("smoke")
    monkeypatch.setattr(grid, "students", lambda settings: [])
    with pytest.raises(UserError, match="JOBS is 'four'; make it the number of students"):
        grid.train_all(settings, pd.DataFrame())


@pytest.mark.parametrize(("visible", "expected"), [
    ("", [None] * 4), ("2,5", ["2", "5", "2", "5"]), ("7", ["7"] * 4)])
def test_students_side_by_side_share_out_the_gpus(monkeypatch, tmp_path, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(grid, "home", lambda settings: tmp_path)
    given = []

    class Process:
        returncode = 0

        def __init__(self, command, env, **_):
            given.append(env["CUDA_VISIBLE_DEVICES"] or None)

        def poll(self):
            return 0

    monkeypatch.setattr(jobs.subprocess, "Popen", Process)
    jobs.run_side_by_side(profile.load("smoke"), [0, 1, 2, 3], 2)
    assert given == expected
