"""Students side by side, over processes, on a cluster: none is lost, none is trained twice."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from submitit.core.utils import cloudpickle

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.questions import splits
from lib.students import grid, jobs
from tests.students.examples import close, teacher_table

T5, LORA = 2, 15  # numbers of students in the smoke profile: a T5, a causal LM with LoRA


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """The smoke profile in a home of its own, with a teacher's table but without a teacher."""
    monkeypatch.setenv("HONEY_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "MODELS", tmp_path / "data" / "models")
    return with_texts(profile.load("smoke"))


def with_texts(settings):
    path = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    files.write_parquet(path, teacher_table(settings))
    return settings


def home_of(settings, number):
    return grid.homes(settings, jobs.teacher_texts(settings))[number]


def weights(home):
    return load_file(next(home.folder.glob("*model.safetensors")))


def test_a_failed_student_is_named_and_the_others_are_kept(settings, capsys):
    good, broken = home_of(settings, 0), home_of(settings, T5)
    blocker = broken.folder.with_name(f".working-{broken.folder.name}")
    files.write_text(blocker, "in the way")
    sentence = "1 of 2 students failed: CF:Unrevised tiny-t5 seed 0; read"
    with pytest.raises(UserError, match=sentence):
        jobs.run_side_by_side(settings, [0, T5], 2)
    assert grid.is_whole(good.folder) and not grid.is_whole(broken.folder)
    said = capsys.readouterr().out
    assert "2/2 students" in said and "failed: CF:Unrevised tiny-t5 seed 0 (see" in said
    blocker.unlink()
    assert jobs.train_number("smoke", T5) == "CF:Unrevised tiny-t5 seed 0"
    assert grid.is_whole(broken.folder)
    before = (broken.folder / "student.json").stat().st_mtime_ns
    jobs.train_number("smoke", T5)
    after = (broken.folder / "student.json").stat().st_mtime_ns
    assert after == before, "a finished student is not touched"
    (broken.folder / "model.safetensors").write_text("damaged", encoding="utf-8")
    jobs.train_number("smoke", T5)
    assert grid.is_whole(broken.folder)


def test_a_student_in_training_is_not_trained_twice(settings):
    home = home_of(settings, 0)
    home.folder.parent.mkdir(parents=True)
    with open(home.folder.with_name(f".lock-{home.folder.name}"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is being trained by another process"):
            jobs.train_one(settings, home)


def test_missing_texts_name_their_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    sentence = "run notebooks/02_critique_revision.ipynb with profile 'smoke'"
    with pytest.raises(UserError, match=sentence):
        jobs.teacher_texts(profile.load("smoke"))


def test_two_processes_train_what_one_trains(settings):
    home = home_of(settings, LORA)
    jobs.train_number("smoke", LORA)
    alone = weights(home)
    shutil.rmtree(home.folder)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "lib.students.jobs", "smoke", "--only", str(LORA)],
        cwd=paths.ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert grid.is_whole(home.folder)
    close(alone, weights(home), 1e-5)


def test_variants_are_students_of_their_own_and_none_sees_the_test_split(settings, monkeypatch):
    class Sealed(dict):
        def __getitem__(self, split):
            assert split != "test", "the test split was read in training"
            return super().__getitem__(split)

    texts, whole = jobs.teacher_texts(settings), splits.load
    monkeypatch.setattr(splits, "load", lambda *args: Sealed(whole(*args)))
    variants = {
        "gamma 1": {"gamma": 1.0},
        "share 0.5": {"share": 0.5},
        "no tags": {"tags": "none"},
    }
    few = {"students": settings.students[:1], "seeds": [0], "arms": ["MT+CF:Revised"]}
    few = settings.model_copy(update={**few, "variants": variants})
    table = jobs.train_all(few, texts)
    assert list(table["arm"]) == [f"MT+CF:Revised, {name}" for name in variants]
    assert set(table.columns) == {"arm", "size", "seed", "folder", *grid.RECORD}
    pairs = {home.student.variant: home.pairs for home in grid.homes(few, texts)}
    assert set(pairs["gamma 1"]["train"]) == {"predict", "explain"}
    whole, half = (pairs[name]["train"]["predict"] for name in ("gamma 1", "share 0.5"))
    assert len(half) == 10 and set(half) < set(whole)
    assert pairs["share 0.5"]["dev"]["predict"] == pairs["gamma 1"]["dev"]["predict"]
    assert not any("[" in source for source, _ in pairs["no tags"]["train"]["explain"])
    card = (grid.students_folder(few) / table["folder"][0] / "README.md").read_text(
        encoding="utf-8"
    )
    assert "gamma 1 tiny-t5 seed 0" in card and "| explain | 0.5 |" in card


class Elsewhere(jobs.Job):
    """The job with profiles from a folder of the test."""

    def __call__(self, name, number):
        paths.PROFILES = Path(os.environ["TEST_PROFILES"])
        return super().__call__(name, number)


def test_a_killed_cluster_job_is_requeued_and_goes_on(settings, monkeypatch, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    raw = yaml.safe_load((paths.PROFILES / "smoke.yaml").read_text(encoding="utf-8"))
    raw["training"] |= {"steps": 60, "evaluate_every": 30, "checkpoint_every": 5}
    raw["name"] = "slow"
    monkeypatch.setattr(paths, "PROFILES", tmp_path / "profiles")
    monkeypatch.setenv("TEST_PROFILES", str(paths.PROFILES))
    monkeypatch.setattr(jobs, "Job", Elsewhere)
    files.write_text(paths.PROFILES / "slow.yaml", yaml.safe_dump(raw))
    slow = with_texts(profile.load("slow"))
    home = home_of(slow, T5)
    working = home.folder.with_name(f".working-{home.folder.name}")
    (job,) = jobs.submit(slow, [T5], "local", timeout_min=5)
    deadline = time.monotonic() + 120
    while not list(working.glob("checkpoint-*/checkpoint.json")):
        assert time.monotonic() < deadline and not job.done(), job.stderr()
        time.sleep(0.02)
    for child in psutil.Process(job._process.pid).children():
        child.send_signal(signal.SIGUSR2)
    assert job.result() == "CF:Unrevised tiny-t5 seed 0"
    assert "requeue" in job.stderr().lower() or "requeue" in (job.stdout() or "").lower()
    interrupted = weights(home)
    shutil.rmtree(home.folder)
    torch.manual_seed(1)  # of no effect
    jobs.train_one(slow, home)
    close(interrupted, weights(home), 0)
