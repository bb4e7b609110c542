"""Jobs without training: which student, how many at a time, on which GPU."""

import re
import threading
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.evaluation import answers
from lib.students import grid, jobs
from lib.students.cards import NO_MEMORY
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
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (80e9, 80e9))
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


@pytest.fixture
def card(smoke, monkeypatch, tmp_path):
    """One GPU of 80 GB, of which 70 are free while none of ours runs; a process of a student takes
    what ``use`` says of its number and ends when the test says so. ``log``: what began and ended.
    """
    box = SimpleNamespace(
        log=[], use={}, held={}, codes={}, ending=[], lock=threading.Lock(), beside={}
    )

    class Process:
        def __init__(self, command, stdout, **_):
            number = int(command[-1])
            with box.lock:
                box.held[number] = box.use.get(number, 0)
                box.beside.setdefault(number, []).append(len(box.held) - 1)
            stdout.write(f"try {len(box.beside[number])}\n")
            time.sleep(0.05)
            with box.lock:
                self.returncode = box.codes.get(number, []).pop(0) if box.codes.get(number) else 0
                peak = {"peak_memory_gb": box.held.pop(number)}
                files.write_json(tmp_path / str(number) / "student.json", peak)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", lambda card: ((70 - sum(box.held.values())) * 1e9, 80e9)
    )
    monkeypatch.setattr(grid, "students_folder", lambda settings: tmp_path)
    monkeypatch.setattr(jobs.subprocess, "run", Process)
    return box


def test_a_student_starts_only_where_there_is_memory_for_it(smoke, card, capsys):
    card.use = dict.fromkeys(range(6), 20)
    settings = smoke.model_copy(update={"needs": profile.Needs(gpu_gb=40)})
    jobs.run_side_by_side(settings, [0, 1, 2, 3, 4, 5], 4)
    beside = [count for (count,) in card.beside.values()]
    assert beside[:2] == [0, 0]  # two of 40 GB do not fit into 70
    assert max(beside) == 1  # two of 25 GB do, as soon as one has told its peak
    told = capsys.readouterr().out
    assert "seed 0 waits for another to end on GPU 0: 50.0 GB are free, it may need 40.0 GB" in told


def test_students_of_unknown_need_and_too_large_ones_run(smoke, card):
    jobs.run_side_by_side(smoke, [0, 1, 2], 3)
    assert sorted(card.beside) == [0, 1, 2]
    card.beside.clear()
    jobs.run_side_by_side(smoke.model_copy(update={"needs": profile.Needs(gpu_gb=99)}), [3], 2)
    assert card.beside == {3: [0]}


def test_a_student_that_lacked_memory_is_tried_again_alone(smoke, card, capsys, tmp_path):
    card.codes = {0: [NO_MEMORY], 1: [NO_MEMORY, NO_MEMORY], 2: [1]}
    with pytest.raises(UserError, match="2 of 4 students failed: label-only tiny-t5 seed 1, "):
        jobs.run_side_by_side(smoke, [0, 1, 2, 3], 4)
    assert [len(tries) for _, tries in sorted(card.beside.items())] == [2, 2, 1, 1]
    assert card.beside[0][1] == card.beside[1][1] == 0
    told = capsys.readouterr().out
    assert told.count("lacked memory; it is tried again, alone") == 2 and "4/4 students" in told
    assert (tmp_path / "logs" / "000.log").read_text(encoding="utf-8") == "try 1\ntry 2\n"


def test_memory_that_cannot_be_read_stops_nobody(smoke, card, monkeypatch, capsys):
    def fail(card):
        raise RuntimeError("no such device")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    jobs.run_side_by_side(smoke, [0, 1], 2)
    assert "without a look at the GPU's memory: no such device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), NO_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), NO_MEMORY),
        (RuntimeError("CUDA error: device-side assert triggered"), None),
    ],
)
def test_a_process_says_that_it_lacked_memory(monkeypatch, capsys, error, status):
    def fail(*_):
        raise error

    monkeypatch.setattr(jobs, "train_number", fail)
    monkeypatch.setattr(jobs.sys, "argv", ["jobs", "smoke", "--only", "0"])
    with pytest.raises(SystemExit if status else RuntimeError) as told:
        jobs.main()
    assert not status or told.value.code == status and str(error) in capsys.readouterr().err


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
