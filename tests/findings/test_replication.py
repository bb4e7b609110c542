"""The paper's claims on a run, and a run's students beside the paper's."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.findings import replication

ARMS = ["label-only", "CF:Unrevised", "MT:Unrevised", "MT+CF:Unrevised", "MT+CF:Revised"]


def make_answers(questions=40):
    """CF is right on every fourth question, all others on every second, MT in addition on the
    first ten; all choose right by likelihood."""
    table = pd.MultiIndex.from_product(
        [ARMS, [0, 1], range(questions)], names=["arm", "seed", "question"]
    ).to_frame(index=False)
    every = table["arm"].map({"CF:Unrevised": 4}).fillna(2)
    more = (table["arm"] == "MT:Unrevised") & (table["question"] < 10)
    table["correct"] = (table["question"] % every == 0) | more
    return table.assign(size="135M", id="q" + table["question"].astype(str), likely=1)


def make_explanations():
    table = make_answers().query("arm != 'label-only'")
    revised = 0.5 * table["arm"].str.endswith(":Revised")
    return table.assign(mentions_other_choices=revised + 0.01 * (table["question"] % 3))


def test_claims_with_intervals_and_verdicts():
    found = replication.claims(make_answers(), make_explanations()).set_index("pair")
    ahead = found.loc["MT:Unrevised - CF:Unrevised"]
    assert ahead["ours"] == pytest.approx(37.5) and ahead["low"] > 0
    assert (ahead["verdict"], ahead["likely_verdict"]) == ("holds", "open")
    assert ahead[["likely", "likely_low", "likely_high"]].tolist() == [0, 0, 0]
    assert found.loc["MT:Unrevised - MT+CF:Unrevised", "ours"] == 12.5
    cost, named = found.loc["MT+CF:Unrevised - MT+CF:Revised"], found.iloc[4]
    assert (cost["ours"], cost["verdict"]) == (0, "open")
    assert (named["ours"], named["verdict"]) == (pytest.approx(50), "holds")
    assert cost["paper"] == pytest.approx(1.0511802)
    assert named[[*replication.LIKELY, *replication.THEIRS]].isna().all()


def test_the_papers_intervals_are_welchs():
    """By hand from n, mean and sd of the cells: MT 6, 75.56, 0.9077; CF 6, 66.28, 7.51."""
    cells = replication.published.load_cells().query("size == '770M'").set_index("method")
    one, other = cells.loc["MT:Unrevised"], cells.loc["CF:Unrevised"]
    a, b = one["sd"] ** 2 / one["n"], other["sd"] ** 2 / other["n"]
    df = (a + b) ** 2 / (a**2 / (one["n"] - 1) + b**2 / (other["n"] - 1))
    half = stats.t.ppf(0.975, df) * np.sqrt(a + b)
    difference = one["mean"] - other["mean"]
    assert replication.paper_difference("MT:Unrevised - CF:Unrevised") == pytest.approx(
        (difference, difference - half, difference + half)
    )
    assert np.isnan(replication.paper_difference("MT:Unrevised - label-only")).all()


def test_a_reversed_claim_fails_and_missing_methods_are_left_out():
    swapped = {"CF:Unrevised": "MT:Unrevised", "MT:Unrevised": "CF:Unrevised"}
    answers = make_answers().replace({"arm": swapped})
    answers = answers[answers["arm"].isin(list(swapped))].assign(likely=lambda t: t["correct"])
    found = replication.claims(answers, make_explanations().head(0))
    said = found[["pair", "verdict"]].to_numpy().tolist()
    assert said == [["MT:Unrevised - CF:Unrevised", "fails"]]


def test_markdown_has_a_dash_where_there_is_no_number():
    claims = replication.claims(make_answers(), make_explanations())
    lines = replication.markdown(claims, replication.VERDICTS).splitlines()
    assert len(lines) == 2 + len(replication.CLAIMS)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].endswith("| holds; by most likely choice open |")
    named = "| MT+CF:Revised - MT+CF:Unrevised | +50.0 [+50.0, +50.0] | – | – | holds |"
    assert lines[6].endswith(named)


def test_students_are_tested_over_seeds_from_two_on():
    students = make_answers().groupby(["arm", "size", "seed"], sort=False)["correct"].mean()
    students = students.rename("accuracy").reset_index()
    students["accuracy"] += students["seed"] / 100
    found = replication.student_tests(students)
    assert {"anova_type2", "tukey"} <= set(found["statistic"])
    tukey = found.query("analysis == 'before' and statistic == 'tukey' and term == 'estimate'")
    tukey = tukey.set_index("group")["value"]
    assert tukey["135M MT:Unrevised-CF:Unrevised"] == pytest.approx(37.5)
    one = replication.student_tests(students.query("seed == 0"))
    notes = one[one["statistic"] == "note"].set_index("group")["term"]
    assert "anova_type2" not in set(one["statistic"])
    assert set(notes["anova_type2"]) == {
        "The ANOVA needs at least two seeds a cell: train with a second seed."
    }
