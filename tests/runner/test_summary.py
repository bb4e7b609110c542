"""What a run found, from made-up tables: sentences, lines, what stands for what is missing."""

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.runner import summary

CLAIM = {"claim": "MT is ahead", "pair": "MT - CF", "ours": 7.1, "low": 4.0, "high": 10.2}
CLAIMS = [
    CLAIM | {"verdict": "holds", "paper": 9.3, "paper_low": 1.4, "paper_high": 17.2},
    CLAIM | {"verdict": "open"},
    CLAIM | {"claim": "label-only is last (not asked in the paper)", "verdict": "fails"},
]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    return profile.load("cpu")


@pytest.fixture
def finished(settings):
    """A run of two arms and two seeds with all tables that are read."""
    arms = ["CF", "MT"]
    students = [
        {"arm": arm, "size": "135M", "seed": seed, "accuracy": value + seed / 10}
        for arm, value in zip(arms, (0.2, 0.4), strict=True)
        for seed in (0, 1)
    ]
    accuracy = [
        {"arm": arm, "size": "135M", "n": 1200, "accuracy": value, "low": value - 0.1}
        | {"high": value + 0.1}
        for arm, value in zip(arms, (0.25, 0.45), strict=True)
    ]
    untrained = {"size": "135M", "reading": "asked", "n": 1200, "accuracy": 0.22}
    untrained |= {"low": 0.2, "high": 0.24}
    tables = {
        "students": students,
        "accuracy": accuracy,
        "untrained": [untrained | {"n": 60}, untrained | {"reading": "alone", "accuracy": 0.3}],
        "claims": CLAIMS,
        "ratings": [
            {"finding": "A differs", "number": "p = 0.01", "holds": "yes"},
            {"finding": "B differs", "number": "p = 0.2", "holds": "open"},
        ],
        "standings": [
            {"student": "MT", "standing": "on the Pareto front", "above_chance": True}
            | {"source": "paper"},
            {"student": "CF", "standing": "behind MT", "above_chance": True, "source": "this run"},
        ],
        "reference": [{"agrees": True, "ours": 1.0}, {"agrees": False, "ours": None}],
    }
    for name, rows in tables.items():
        files.write_csv(paths.RUNS / "cpu" / summary.TABLES[name], pd.DataFrame(rows))
    path = paths.RUNS / "cpu" / summary.TABLES["predictions"]
    pd.DataFrame({"choices": [["a", "b"], ["a", "b", "c", "d"]]}).to_parquet(path)
    return settings


def test_the_last_lines_of_a_run(finished, tmp_path):
    lines = summary.lines(finished, tmp_path / "a report.html")
    assert lines == [
        "Accuracy on 1,200 questions, % [95 % interval]; chance 37.5, untrained at most 30.0",
        "  CF   25.0 [15.0, 35.0]",
        "  MT   45.0 [35.0, 55.0]",
        "This run   of the paper's claims 1 of 2 hold, 1 open; MT - CF: +7.1 [+4.0, +10.2] points "
        "(paper +9.3 [+1.4, +17.2])",
        "Ratings    of the paper's findings 1 of 2 hold, 1 open; A differs: p = 0.01",
        "Trade-off  beaten by none in both accuracy and explanations: paper: MT; this run: none",
        "Paper      1 of 2 statistics that R gives are recomputed and agree (make data: all 2)",
        f"Open       file://{tmp_path}/a%20report.html",
        "Next       make survey PROFILE=cpu (people rate these explanations); make lab (change a "
        "notebook)",
    ]


def test_students_with_their_seeds_then_the_untrained(finished):
    first, *_, fewer, last = summary.students(finished)
    assert first["seeds"] == pytest.approx([20, 30]) and first["trained"]
    assert (last["label"], last["seeds"], last["trained"]) == ("untrained, alone", [], False)
    assert fewer["label"] == "untrained, asked, 60 questions"


def test_many_students_are_not_all_printed(finished, tmp_path):
    path = paths.RUNS / "cpu" / summary.TABLES["accuracy"]
    table = pd.read_csv(path)
    many = pd.concat([table.assign(size=f"{i}M") for i in range(6)])
    files.write_csv(path, many)
    each = pd.read_csv(path.with_name("students.csv"))
    files.write_csv(
        path.with_name("students.csv"), pd.concat([each.assign(size=f"{i}M") for i in range(6)])
    )
    text = "\n".join(summary.lines(finished, tmp_path))
    assert "\n  CF (0M)   25.0" in text and "\n  and 5 more students in the report\n" in text


def test_before_anything_was_found(settings, tmp_path):
    lines = summary.lines(settings, tmp_path)
    assert [line.split()[0] for line in lines] == ["Open", "Next"]
    assert summary.findings(settings) == {} and summary.chance(settings) is None


def test_what_agrees_with_r_is_not_more_than_it_is(finished):
    path = paths.RUNS / "cpu" / summary.TABLES["reference"]
    files.write_csv(path, pd.DataFrame({"agrees": [True, False], "ours": [1.0, 2.0]}))
    assert summary.agreement(finished) == (
        "1 of 2 statistics that R gives are recomputed and agree, 1 do not"
    )


def test_random_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    lines = summary.lines(profile.load("smoke"), tmp_path)
    assert "random weights" in lines[0] and lines[-1].startswith("Next       make reproduce (")
