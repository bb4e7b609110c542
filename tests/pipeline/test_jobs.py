"""The grid: students side by side, over processes, on a cluster; none is lost, none trained twice."""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from submitit.core.utils import cloudpickle

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.evaluation import answers as evaluate
from lib.questions import splits
from lib.students import grid, jobs
from lib.teacher import texts as corpus


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """The smoke profile in a home of its own, with the teacher's table written."""
    monkeypatch.setenv("HONEY_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "data" / "texts")
    monkeypatch.setattr(paths, "MODELS", tmp_path / "data" / "models")
    chosen = profile.load("smoke")
    texts = corpus.write_revisions(chosen, corpus.write_explanations(chosen))
    files.write_parquet(
        profile.run_folder(chosen) / "02_critique_revision" / "teacher.parquet", texts
    )
    return chosen


def test_a_failed_student_is_named_and_the_others_are_kept(settings, capsys):
    texts, wanted = jobs.teacher_texts(settings), grid.students(settings)
    numbers = [0, 2, 9]
    places = {i: grid.place(settings, wanted[i], texts) for i in numbers}
    broken = places[2].folder
    broken.parent.mkdir(parents=True)
    blocker = broken.with_name(f".working-{broken.name}")
    blocker.write_text("in the way")
    with pytest.raises(
        UserError, match=r"1 of 3 students failed: CF:Unrevised tiny-t5 seed 0; read"
    ):
        jobs.run_side_by_side(settings, numbers, 2)
    assert [grid.is_whole(places[i].folder) for i in numbers] == [True, False, True]
    assert "students 2/3 done" in capsys.readouterr().out
    blocker.unlink()
    assert jobs.train_number("smoke", 2) == "CF:Unrevised tiny-t5 seed 0"
    assert grid.is_whole(broken)
    before = (broken / "student.json").stat().st_mtime_ns
    jobs.train_number("smoke", 2)
    assert (broken / "student.json").stat().st_mtime_ns == before, (
        "a finished student is not touched"
    )


def test_a_student_in_training_is_not_trained_twice(settings):
    import fcntl

    student = grid.students(settings)[0]
    found = grid.place(settings, student, jobs.teacher_texts(settings))
    found.folder.parent.mkdir(parents=True)
    with open(found.folder.with_name(f".lock-{found.folder.name}"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is being trained by another process"):
            grid.train_one(settings, student, found)


def test_missing_texts_name_their_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(
        UserError, match="run notebooks/02_critique_revision.ipynb with profile 'smoke'"
    ):
        jobs.teacher_texts(profile.load("smoke"))


def weights(folder):
    return load_file(next(folder.glob("*model.safetensors")))


def same(a, b, tolerance):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("number", [2, 15])  # T5, and a causal LM with LoRA
def test_two_processes_train_what_one_trains(settings, number):
    student = grid.students(settings)[number]
    found = grid.place(settings, student, jobs.teacher_texts(settings))
    jobs.train_number("smoke", number)
    alone = weights(found.folder)
    shutil.rmtree(found.folder)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "lib.students.jobs",
            "smoke",
            "--only",
            str(number),
        ],
        cwd=paths.ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert grid.is_whole(found.folder)
    same(alone, weights(found.folder), 1e-5)


def test_training_never_sees_the_test_split(settings, monkeypatch):
    class Sealed(dict):
        def __getitem__(self, split):
            assert split != "test", "the test split was read in training"
            return super().__getitem__(split)

    whole = splits.load
    monkeypatch.setattr(splits, "load", lambda *args: Sealed(whole(*args)))
    few = settings.model_copy(
        update={"students": settings.students[:1], "seeds": [0], "arms": ["MT+CF:Revised"]}
    )
    assert len(grid.train_all(few, jobs.teacher_texts(settings))) == 1


def test_variants_are_students_of_their_own(settings):
    """One profile trains each arm under several settings; answers carry the variant's name."""
    few = settings.model_copy(
        update={
            "students": settings.students[:1],
            "seeds": [0],
            "arms": ["MT+CF:Revised"],
            "variants": {
                "gamma 1": {"gamma": 1.0},
                "share 0.5": {"share": 0.5},
                "no tags": {"tags": "none"},
            },
        }
    )
    texts = jobs.teacher_texts(settings)
    table = grid.train_all(few, texts)
    assert list(table["arm"]) == [f"MT+CF:Revised, {name}" for name in few.variants]
    pairs = {s.variant: grid.training_pairs(few, s, texts) for s in grid.students(few)}
    assert set(pairs["gamma 1"]["train"]) == {"predict", "explain"}
    whole, half = (pairs[name]["train"]["predict"] for name in ("gamma 1", "share 0.5"))
    assert len(half) == 10 and set(half) < set(whole)
    assert pairs["share 0.5"]["dev"]["predict"] == pairs["gamma 1"]["dev"]["predict"]
    assert not any("[" in source for source, _ in pairs["no tags"]["train"]["explain"])
    answers = evaluate.all_predictions(few, table)
    assert list(dict.fromkeys(answers["arm"])) == list(table["arm"])
    card = (grid.home(few) / table["folder"][0] / "README.md").read_text()
    assert (
        "from `tiny:t5`" in card
        and "gamma 1 tiny-t5 seed 0" in card
        and "| explain | 0.5 |" in card
    )


class Elsewhere(jobs._Requeued):
    """The job with profiles from a folder of the test."""

    def __call__(self, number):
        import os
        from pathlib import Path

        from lib.common import paths

        paths.PROFILES = Path(os.environ["TEST_PROFILES"])
        return super().__call__(number)


def test_a_killed_cluster_job_is_requeued_and_goes_on(settings, monkeypatch, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    raw = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text())
    raw["training"] |= {"steps": 240, "evaluate_every": 120, "checkpoint_every": 10}
    raw["name"], folder = "slow", tmp_path / "profiles"
    folder.mkdir()
    (folder / "slow.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("TEST_PROFILES", str(folder))
    monkeypatch.setattr(paths, "PROFILES", folder)
    monkeypatch.setattr(jobs, "_Requeued", Elsewhere)
    slow = profile.load("slow")
    files.write_parquet(
        profile.run_folder(slow) / "02_critique_revision" / "teacher.parquet",
        jobs.teacher_texts(settings),
    )
    (job,) = jobs.submit(slow, [2], "local", timeout_min=5)
    found = grid.place(slow, grid.students(slow)[2], jobs.teacher_texts(slow))
    working = found.folder.with_name(f".working-{found.folder.name}")
    deadline = time.monotonic() + 120
    while not list(working.glob("checkpoint-*/hashes.json")):
        assert time.monotonic() < deadline and not job.done(), job.stderr()
        time.sleep(0.02)
    for child in psutil.Process(job._process.pid).children():
        child.send_signal(signal.SIGUSR2)
    assert job.result() == "CF:Unrevised tiny-t5 seed 0"
    assert "requeue" in job.stderr().lower() or "requeue" in (job.stdout() or "").lower()
    interrupted = weights(found.folder)
    shutil.rmtree(found.folder)
    grid.train_one(slow, grid.students(slow)[2], found)
    same(interrupted, weights(found.folder), 0)
