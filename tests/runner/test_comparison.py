"""Profiles beside each other: whose answers, which are paired, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.figures.answers import profiles_figure
from lib.runner import comparison, results


def answers(name, right, size="135M", task="minicqa default", start=0):
    """A profile's answers: arm -> share of right ones, on 40 questions and seed 0."""
    ids = [f"q{number}" for number in range(start, start + 40)]
    parts = [
        pd.DataFrame({"arm": arm, "size": size, "seed": 0, "id": ids, "gold": 1, "options": 5,
                      "correct": np.arange(40) < share * 40})
        for arm, share in right.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(task=task, profile=name)


FIRST = answers("cpu", {"label-only": 0.5, "MT:Unrevised": 0.5, "CF:Unrevised": 0.25})


def test_students_are_paired_on_common_questions():
    mine = answers("mine", {"MT:Unrevised": 0.75, "label-only": 0.5}, size="770M")
    table = comparison.compare([FIRST, mine])
    assert list(table) == [*comparison.COLUMNS, *comparison.DIFFERENCE]
    assert table[["profile", "student", "n", "accuracy", "chance"]].values.tolist() == [
        ["cpu", "label-only", 40, 50, 20],
        ["cpu", "CF:Unrevised", 40, 25, 20],
        ["cpu", "MT:Unrevised", 40, 50, 20],
        ["mine", "label-only", 40, 50, 20],
        ["mine", "MT:Unrevised", 40, 75, 20],
    ]
    assert table["difference"].tolist() == [*[pytest.approx(np.nan, nan_ok=True)] * 3, 0, 25]
    last = table.iloc[-1]
    assert last["common"] == 40 and 8 < last["difference_low"] < 25 < last["difference_high"] < 42
    assert comparison.lines(table)[1].split() == ["student", "cpu", "(40)", "mine", "(40)", "mine",
                                                  "-", "cpu", "(40)"]  # fmt: skip
    rows = comparison.lines(table)[2:]
    assert rows[1].endswith("–") and rows[2].split()[-3:-2] == ["+25.0"]


@pytest.mark.parametrize(
    "other, common",
    [
        ({"start": 30}, 10),
        ({"start": 40}, None),
        ({"task": "minicqa folder:/x"}, None),
    ],
)
def test_only_the_same_questions_are_paired(other, common):
    table = comparison.compare([FIRST, answers("mine", {"label-only": 0.5}, **other)])
    said = comparison.lines(table)
    if common:
        assert table["common"].iloc[-1] == common and f"mine - cpu ({common})" in said[1]
    else:
        assert table["common"].isna().all()
        assert said[1] == "cpu and mine have no question, student or seed in common."


def test_sizes_are_named_where_there_are_several(style):
    both = pd.concat([FIRST, answers("cpu", {"label-only": 1.0}, size="770M")])
    table = comparison.compare([both, answers("mine", {"label-only": 0.75}, size="770M")])
    assert table["student"].tolist()[0] == "label-only, 135M"
    assert table["difference"].dropna().tolist() == [-25]
    figure, drawn = profiles_figure(table)
    assert (
        drawn is table and [ax.get_title() for ax in figure.axes][-1] == "mine \N{MINUS SIGN} cpu"
    )
    assert figure.get_suptitle().split("\n")[0] == "1 of 1 differences to cpu are clear of zero"


def test_the_command(tmp_path, monkeypatch, capsys):
    """A run on disk goes before data/results; a profile without answers is one sentence."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(results, "home", lambda name: tmp_path / "results" / name)
    run = profile.run_folder(profile.load("selftaught")) / "04_evaluation"
    wrote = FIRST.assign(choices=[list("abcde")] * len(FIRST))
    files.write_parquet(run / "predictions.parquet", wrote.drop(columns="options"))
    assert len(comparison.read("selftaught")) == len(FIRST)
    monkeypatch.setattr(comparison, "read", lambda name: FIRST.assign(profile=name))
    comparison.main(["selftaught", "cpu"])
    assert "Figure:" in capsys.readouterr().out
    kinds = {path.name for path in (tmp_path / "figures" / "compare").iterdir()}
    assert kinds == {f"selftaught-cpu.{kind}" for kind in ("pdf", "png", "csv", "json")}
    monkeypatch.undo()
    monkeypatch.setattr(paths, "RUNS", tmp_path / "none")
    with pytest.raises(UserError, match="no answers of profile 'smoke'; run `make reproduce"):
        comparison.read("smoke")
    with pytest.raises(SystemExit, match="Name another profile: make compare PROFILE=cpu WITH="):
        comparison.main(["cpu", "cpu"])
