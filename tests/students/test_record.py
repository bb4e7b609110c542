"""Model cards, costs as statistics, and peak memory."""

import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard

from lib.common import files, profile
from lib.students import grid, record

RECORD = {
    "label": "MT:Revised x seed 0",
    "weights": {"predict": 0.3, "explain": 0.7},
    "best_step": 2,
    "steps": 4,
    "seed": 0,
    "seq2seq": False,
    "trained_parameters": 9000,
    "precision": "float32",
    "seconds": 1.0,
    "device": "CPU",
    "provenance": {"commit": "abc"},
    "key": {"data": "def"},
}


@pytest.mark.parametrize(
    ("reference", "base"),
    [
        ("hub:google/t5-v1_1-small@0123abc", "google/t5-v1_1-small"),
        ("tiny:t5", None),
        ("embedded:smollm2-135m-instruct", None),
        ("local:/tmp/mine", None),
    ],
)
def test_a_card_says_what_the_student_is_and_names_a_base_that_the_hub_knows(
    tmp_path, reference, base
):
    student = grid.Student("MT:Revised", profile.StudentModel(size="x", model=reference), 0)
    losses = [(1, "predict", 9), (2, "predict", 1.5), (2, "explain", 2.5), (2, "loss", 2.2)]
    history = pd.DataFrame(losses, columns=["step", "task", "loss"]).assign(split="dev")
    files.write_csv(tmp_path / "history.csv", history)
    record.write_card(tmp_path, profile.load("smoke"), student, RECORD)
    assert ModelCard.load(tmp_path / "README.md").data.base_model == base
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"`{reference}`" in text and "9,000 parameters" in text
    assert "minicqa with revised explanations (method MT)" in text.replace("\n", " ")
    assert "| predict | 0.3 | 1.5000 |\n| explain | 0.7 | 2.5000 |" in text
    assert "Then a line break, `[predict]` and a line break." in text


def test_costs_are_a_long_table():
    trained = pd.DataFrame({"arm": ["MT"], "size": "x", "seed": 0, "seconds": 2.0, "tokens": 9})
    trained = trained.assign(peak_memory_gb=3.0, tokens_per_second=4.5, best_step=2, device="CPU")
    table = record.cost_statistics(trained)
    assert set(table["group"]) == {"MT x seed 0"} and set(table["analysis"]) == {"training"}
    costs = {"seconds": 2, "peak_memory_gb": 3, "tokens_per_second": 4.5, "best_step": 2}
    assert table.set_index("term")["value"].to_dict() == costs
    table = record.cost_statistics(trained.assign(padding_share=0.06, peak_share=None))
    assert table.set_index("term")["value"].to_dict() == costs | {"padding_share": 0.06}


def test_peak_memory_is_of_the_work_since_the_reset():
    record.reset_peak_memory()
    before = record.peak_memory_gb(torch.device("cpu"))
    bytes_used = torch.ones(50_000_000, dtype=torch.uint8)
    assert record.peak_memory_gb(torch.device("cpu")) > before + 0.04
    del bytes_used


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla T4", 65e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Some other card", None),
    ],
)
def test_the_share_of_a_cards_peak(monkeypatch, name, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert record.peak_flops("cuda") == peak and record.peak_flops("cpu") is None
    share = record.peak_share(134_500_000, 25_000, torch.device("cuda", 0))
    assert share == (pytest.approx(6 * 134.5e6 * 25e3 / peak) if peak else None)
