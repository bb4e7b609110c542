"""Automatic measures beside people's ratings: by hand, and the lengths of the paper's texts."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.evaluation.measures import MEASURES
from lib.findings import agreement
from lib.human_study import ratings
from lib.human_study.ratings import CONSTRUCTS, OUTCOMES


def explain(characters, **columns):
    """Explanations q0, q1, ... of one student, with two measures (a share that never differs)."""
    count = len(characters)
    return pd.DataFrame(
        {
            "id": [f"q{i}" for i in range(count)],
            "question": "Why?",
            "arm": "MT:Unrevised",
            "size": "135M",
            "seed": 0,
            "characters": characters,
            "empty": [False] * count,
            **columns,
        }
    )


def rate(scores, lengths, method="MT:Unrevised", person="p"):
    """One person's ratings of q0, q1, ..., the same score on every construct."""
    return pd.DataFrame(
        [
            {
                "participant": person,
                "method": method,
                "length": length,
                "slot": f"S{i}",
                "question": f"q{i}",
                **dict.fromkeys(CONSTRUCTS, score),
            }
            for i, (score, length) in enumerate(zip(scores, lengths, strict=True))
        ]
    )


def check(*parts):
    return ratings.check_ratings(pd.concat(parts, ignore_index=True))


LENGTHS = [10, 20, 30, 40, 50, 60]
# Means 1, 1.5, 3, 2.5, 5, 4: ranks 1 2 4 3 6 5 against 1 2 3 4 5 6.
RATED = check(rate([1, 1, 3, 3, 5, 4], LENGTHS), rate([1, 2, 3, 2, 5, 4], LENGTHS, person="q"))


@pytest.fixture
def paper(shared):
    return ratings.load_ratings(shared / "published" / "study.csv")


def test_rho_by_hand():
    """Squared differences of ranks 0 0 1 1 1 1: rho = 1 - 6 * 4 / (6 * 35) = 31 / 35."""
    table = agreement.measures_against_ratings(explain(LENGTHS), RATED)
    assert list(table.columns) == [
        "measure",
        "construct",
        "explanations",
        "rho",
        "low",
        "high",
        "p",
        "p_holm",
    ]
    found = table[table["measure"] == "characters"]
    assert tuple(found["construct"]) == OUTCOMES
    assert found["rho"].tolist() == pytest.approx([31 / 35] * 6)
    assert set(found["explanations"]) == {6}
    z, half = np.arctanh(31 / 35), 1.959963984540054 / np.sqrt(3)
    assert found["low"].tolist() == pytest.approx([np.tanh(z - half)] * 6)
    assert found["high"].tolist() == pytest.approx([np.tanh(z + half)] * 6)
    p = 2 * stats.t.sf(31 / 35 * np.sqrt(4 / (1 - (31 / 35) ** 2)), 4)
    assert found["p"].tolist() == pytest.approx([p] * 6)
    assert found["p_holm"].tolist() == pytest.approx([6 * p] * 6)  # undefined rows do not count


def test_a_measure_that_never_differs_has_no_rho_and_perfect_agreement_no_interval():
    table = agreement.measures_against_ratings(explain(LENGTHS, rouge_l=[1, 2, 4, 3, 6, 5]), RATED)
    table = table.set_index("measure")
    assert list(dict.fromkeys(table.index)) == [m for m in MEASURES if m in table.index]
    numbers = ["rho", "low", "high", "p", "p_holm"]
    assert table.loc["empty", numbers].isna().all(axis=None)
    assert set(table.loc["empty", "explanations"]) == {6}
    assert table.loc["rouge_l", "rho"].tolist() == pytest.approx([1] * 6)
    assert table.loc["rouge_l", ["low", "high"]].isna().all(axis=None)


def test_a_measure_counts_where_it_is_defined():
    some = explain(
        LENGTHS,
        similarity=[0.1, 0.2, 0.4, 0.3, np.nan, np.nan],
        rouge_l=[0.1, 0.2, 0.4, *[np.nan] * 3],
    )
    table = agreement.measures_against_ratings(some, RATED).set_index("measure")
    assert set(table.loc["similarity", "explanations"]) == {4}
    assert table.loc["similarity", "rho"].tolist() == pytest.approx([1] * 6)
    assert set(table.loc["rouge_l", "explanations"]) == {3}
    assert table.loc["rouge_l", "rho"].isna().all()


def test_too_few_or_ratings_of_something_else_are_one_sentence():
    with pytest.raises(
        UserError,
        match="^Only 3 explanations of this run were rated .*4 are needed. Are these ratings of",
    ):
        agreement.measures_against_ratings(explain(LENGTHS)[:3], RATED)
    other = explain([length + 1 for length in LENGTHS])  # the same questions, other texts
    with pytest.raises(UserError, match="^Only 0 .*[(]same question, method, length"):
        agreement.measures_against_ratings(other, RATED)
    with pytest.raises(UserError, match="lack the column.* question; without that"):
        agreement.measures_against_ratings(explain(LENGTHS), RATED.drop(columns="question"))


def test_the_length_tells_which_students_text_was_rated():
    other = explain([77, *LENGTHS[:0:-1]], rouge_l=0.0).assign(size="360M", seed=1)
    rated = explain(LENGTHS, rouge_l=[0.1, 0.2, 0.4, 0.3, 0.6, 0.5])
    both = pd.concat([other, rated.assign(seed=0)], ignore_index=True)
    both = both[(both["id"] != "q3") | (both["seed"] == 0)]  # q3: 40 characters of both students
    found = agreement.measures_against_ratings(both, RATED).set_index("measure")
    assert found.loc["rouge_l", "rho"].tolist() == pytest.approx([1] * 6)
    assert set(found.loc["rouge_l", "explanations"]) == {6}
    twin = pd.concat([rated, rated.assign(seed=1, rouge_l=0.0)])  # nothing tells these apart
    means = agreement.measures_against_ratings(twin, RATED).set_index("measure")
    assert means.loc["rouge_l", "rho"].tolist() == pytest.approx([1] * 6)  # of half of the first's


def test_equal_means_are_ties_in_whatever_order_people_rated():
    one, other = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert one != other
    measured = explain(LENGTHS, rouge_l=[one, other] * 3)
    found = agreement.measures_against_ratings(measured, RATED).set_index("measure")
    assert found.loc["rouge_l", "rho"].isna().all()  # no difference is left


def test_lengths_of_the_papers_explanations(paper):
    table = agreement.paper_lengths(paper)
    assert list(table.columns) == [
        "measure",
        "construct",
        "within",
        "explanations",
        "rho",
        "low",
        "high",
        "p",
        "p_holm",
    ]
    assert table["within"].unique().tolist() == ["all", *PAPER_ARMS]
    assert set(table["measure"]) == {"characters"} and len(table) == 5 * 6
    rows = table.set_index(["within", "construct"])
    means = paper.groupby(["method", "question"], observed=True)[["length", *OUTCOMES]].mean()
    for within, part in (("all", means), ("MT+CF:Revised", means.loc["MT+CF:Revised"])):
        for outcome in ("Contrastiveness", "Quality"):
            theirs = stats.spearmanr(part["length"], part[outcome].round(9))
            row = rows.loc[(within, outcome)]
            assert (row["rho"], row["p"]) == pytest.approx((theirs.statistic, theirs.pvalue))
            assert row["explanations"] == len(part) and row["low"] < row["rho"] < row["high"]
    assert rows.loc["all", "explanations"].tolist() == [len(means)] * 6
    assert (table["p_holm"] >= table["p"]).all()
