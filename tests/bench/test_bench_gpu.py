"""``make gpu`` with tiny models: what a GPU would run, part by part, and what is said without."""

import json
import os

import pandas as pd
import pytest
import torch

from lib.common import paths
from lib.students import train
from tests.bench import bench_gpu, one_student

TRAINED = {"training": 4, "pieces": 5, "seq2seq": 4}
OTHERS = {"launches": 6, "choice": 1, "teacher": 4}


@pytest.mark.parametrize("name, count", (TRAINED | OTHERS).items())
def test_a_part_measures(name, count):
    part = {part.__name__: part for part in bench_gpu.PARTS}[name]
    rows = list(part(bench_gpu.TINY))
    assert len(rows) == count
    packed = [row for row in rows if "failed" in row]  # FlexAttention has no gradients on a CPU
    assert {row["way"] for row in packed} <= {way for way in bench_gpu.WAYS if "packed" in way}
    measured = [row for row in rows if "failed" not in row]
    assert all(row["value"] >= 0 for row in measured)
    if name in TRAINED:
        for _, ways in pd.DataFrame(measured).dropna(subset="loss").groupby("what")["loss"]:
            if name != "seq2seq":  # the authors' passes take all of a question's targets anew
                assert ways.max() - ways.min() < 1e-3


def test_every_part_is_tried():
    assert {part.__name__ for part in bench_gpu.PARTS} - {*TRAINED, *OTHERS} == {"tests", "process"}


def test_a_process_says_when_its_first_step_was_done(monkeypatch, capsys):
    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(train.Diary, "on_step_end", None)  # restored after the test
    monkeypatch.setenv("HONEY_SOURCE", "nowhere")
    with pytest.raises(SystemExit):
        one_student.main("tiny:llama", "8", "4")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["first_step"] > 0 and found["tokens_per_second"] > 0


def test_without_a_gpu_a_sentence_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench_gpu.main()
    assert capsys.readouterr().out.startswith("There is no GPU here (CUDA); ")


def test_a_part_that_fails_is_a_row(monkeypatch, tmp_path, capfd):
    def good(scale):
        yield bench_gpu.row("steps", "fast", scale.steps, "steps", peak_memory_gb=1.25)

    def bad(scale):
        raise torch.OutOfMemoryError("out of memory")
        yield

    def late(scale):
        raise AssertionError

    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(bench_gpu, "PARTS", {bad: 20, good: 20, late: 4})
    bench_gpu.main("--tiny")
    found = json.loads((tmp_path / "bench/gpu_tiny.json").read_text(encoding="utf-8"))
    assert {"gpu", "cuda", "commit", "packages", "seconds"} <= set(found)
    assert found["rows"][0] == {"part": "bad", "failed": "OutOfMemoryError: out of memory"}
    assert found["rows"][1]["value"] == 1
    assert found["rows"][2] == {"part": "late", "failed": "no time was left"}
    assert list(pd.read_csv(tmp_path / "bench/gpu_tiny.csv")["part"]) == ["bad", "good", "late"]
    assert "steps | fast | 1 steps | 1.2 GB" in capfd.readouterr().out
