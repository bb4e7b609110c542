"""The paper's claims on a run, and a run's students beside the paper's."""

import numpy as np
import pandas as pd
import pytest

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
    found = replication.verdicts(make_answers(), make_explanations()).set_index("difference of")
    ahead = found.loc["MT:Unrevised - CF:Unrevised"]
    assert ahead["difference"] == pytest.approx(37.5) and ahead["low"] > 0
    assert ahead["holds"] == "yes; by likeliest choice open"
    assert ahead[replication.LIKELY].tolist() == [0, 0, 0]
    assert found.loc["MT:Unrevised - MT+CF:Unrevised", "difference"] == 12.5
    revised = found.loc["MT+CF:Revised - MT+CF:Unrevised"]
    assert revised["difference"].tolist() == pytest.approx([0, 50])
    assert revised["holds"].tolist() == ["open", "yes"]
    assert revised["paper"].iloc[0] == pytest.approx(-1.0511802)
    assert np.isnan(revised["paper"].iloc[1])


def test_a_reversed_claim_is_called_no_and_missing_methods_are_left_out():
    swapped = {"CF:Unrevised": "MT:Unrevised", "MT:Unrevised": "CF:Unrevised"}
    answers = make_answers().replace({"arm": swapped})
    answers = answers[answers["arm"].isin(list(swapped))].assign(likely=lambda t: t["correct"])
    found = replication.verdicts(answers, make_explanations().head(0))
    said = found[["difference of", "holds"]].to_numpy().tolist()
    assert said == [["MT:Unrevised - CF:Unrevised", "no"]]


def test_markdown_has_a_dash_where_there_is_no_number():
    text = replication.markdown(replication.verdicts(make_answers(), make_explanations()))
    lines = text.splitlines()
    assert len(lines) == 2 + len(replication.CLAIMS)
    assert len({line.count("|") for line in lines}) == 1
    named = "| MT+CF:Revised - MT+CF:Unrevised | +50.0 [+50.0, +50.0] | – | – | yes |"
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
