"""The points of accuracy and quality, and who stands on their front."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.common.intervals import wilson
from lib.findings import tradeoff
from lib.human_study import published, reference


@pytest.fixture(scope="module")
def paper():
    return tradeoff.published_points(published.load_cells(), published.load_scores())


def make_students(seeds, arms=("MT:Unrevised", "label-only"), n=40):
    rows = [(arm, "135M", s, n, 10 + 3 * s) for arm in arms for s in range(seeds)]
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "n", "correct"])


def make_explanations(students):
    """Six explanations of each MT student; the first one is empty."""
    rng = np.random.default_rng(1)
    seeds = students.loc[students["arm"] == "MT:Unrevised", "seed"]
    rows = [
        ("MT:Unrevised", "135M", s, f"q{q}", rng.integers(5) / 4) for s in seeds for q in range(6)
    ]
    table = pd.DataFrame(rows, columns=["arm", "size", "seed", "id", "mentions_other_choices"])
    table.loc[0, "mentions_other_choices"] = np.nan
    return table.assign(empty=table.index == 0)


def test_published_points_have_rs_quality_and_a_wide_enough_interval(paper):
    theirs = reference.load_reference()["explainability"]["descriptives"]
    for row in paper.itertuples():
        quality = theirs[row.arm]["Quality"]
        assert row.quality == pytest.approx(quality["mean"])
        assert 1 < (row.quality_high - row.quality) / 1.96 / quality["se"] < 1.35
    first = paper.iloc[0]
    half = stats.t.ppf(0.975, 5) * 7.52611240875452 / np.sqrt(6)
    assert first["accuracy_high"] == pytest.approx(66.2846314516667 + half)
    assert list(paper.loc[paper["pareto"], "arm"]) == ["MT:Unrevised", "MT+CF:Revised"]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_points_of_students_over_questions_or_from_three_seeds_on_over_seeds(seeds):
    students = make_students(seeds)
    explanations = make_explanations(students)
    points = tradeoff.student_points(students, explanations).set_index("arm")
    assert list(points.index) == ["label-only", "MT:Unrevised"]
    assert np.isnan(points.loc["label-only", "quality"])
    row, correct = points.loc["MT:Unrevised"], 10 + 3 * np.arange(seeds)
    shares = explanations["mentions_other_choices"].fillna(0)  # the empty one names nothing
    means = 100 * shares.groupby(explanations["id" if seeds < 3 else "seed"]).mean()
    assert row["accuracy"] == pytest.approx(100 * correct.mean() / 40)
    assert row["quality"] == pytest.approx(100 * shares.mean())
    half = stats.t.ppf(0.975, len(means) - 1) * means.std() / np.sqrt(len(means))
    assert row["quality_high"] == pytest.approx(min(100, means.mean() + half))
    low = 100 * wilson(correct.mean(), 40)[0]
    if seeds == 3:
        low = row["accuracy"] - stats.t.ppf(0.975, 2) * 7.5 / np.sqrt(3)
    assert row["accuracy_low"] == pytest.approx(low)
    assert row["intervals"] == ("over questions" if seeds < 3 else "over seeds")


def test_the_front_holds_what_nothing_beats():
    points = pd.DataFrame({"accuracy": [1, 2, 2, 3, 4.0], "quality": [5, 5, 4, 4.5, np.nan]})
    assert tradeoff.mark_front(points)["pareto"].tolist() == [False, True, False, True, False]
    equal = pd.DataFrame({"accuracy": [1, 1], "quality": [2, 2]})
    assert tradeoff.mark_front(equal)["pareto"].all()


def test_findings_say_who_is_ahead_and_who_may_be_guessing(paper):
    found = tradeoff.findings(paper, chance=0.7).set_index("student")
    assert found.loc["CF:Unrevised (770M)", "standing"] == "behind MT:Unrevised (770M)"
    assert found.loc["MT:Unrevised (770M)"].tolist() == [
        "on the Pareto front",
        "75.6 [74.6, 76.5]",
        "4.07 [3.96, 4.18]",
        True,
    ]
    assert found["above_chance"].tolist() == [False, True, True, True]


def test_students_without_explanations_stand_nowhere():
    points = tradeoff.student_points(make_students(1, ["label-only"]), pd.DataFrame())
    assert not points["pareto"].any() and tradeoff.findings(points, 0.2).empty
