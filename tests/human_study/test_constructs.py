"""Tests of the constructs, beside values by hand and by other libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.human_study import constructs, published
from lib.human_study.ratings import CONSTRUCTS, expand_counts, melt_ratings


@pytest.fixture(scope="module")
def scores():
    return published.load_scores()


def test_significant_constructs_are_the_papers(scores):
    table = constructs.kruskal_table(scores).set_index("construct")
    assert set(table.index[table["p"] < 0.05]) == {"Completeness", "Contrastiveness"}


def test_vargha_delaney_by_counting():
    counts = {"method": ["x", "x", "y", "y"], "construct": "Plausibility"}
    counts = pd.DataFrame(counts | {"score": [2, 3, 1, 3], "count": [1, 1, 1, 1]})
    # x = {2, 3}, y = {1, 3}: two pairs greater, one equal, one less.
    row = constructs.vda_table(expand_counts(counts)).iloc[0]
    assert (row["pair"], row["A"], row["cliff_delta"], row["U"]) == ("x - y", 0.625, 0.25, 2.5)


def test_vargha_delaney_has_the_standard_error_of_the_brunner_munzel_test(scores):
    table = constructs.vda_table(scores)
    assert len(table) == 30
    x, y = "CF:Unrevised", "MT+CF:Revised"
    row = table.query("construct == 'Completeness' and pair == @x + ' - ' + @y").iloc[0]
    assert row["A"] == pytest.approx(0.423467026355113)
    part = scores[scores["construct"] == "Completeness"]
    test = stats.brunnermunzel(*(part.loc[part["method"] == name, "score"] for name in (x, y)))
    se = (row["upr"] - row["A"]) / stats.norm.ppf(0.975)
    assert abs((row["A"] - 0.5) / se) == pytest.approx(abs(test.statistic))


def test_quarters_of_length_are_of_equal_number_and_in_order(ratings):
    table = constructs.length_table(ratings)
    assert len(table) == 16 and table["n"].sum() == 1114
    groups = table.groupby("method", observed=True)
    assert (groups["n"].max() - groups["n"].min() <= 1).all()
    assert groups["characters"].apply(lambda part: part.is_monotonic_increasing).all()


def test_multivariate_shapiro_looks_in_the_farthest_direction():
    values = np.random.default_rng(0).normal(size=(60, 5))
    values[0] = [9, 0, 0, 0, 0]
    with_outlier, without = (
        constructs.multivariate_shapiro(pd.DataFrame(part, columns=CONSTRUCTS))
        for part in (values, values[1:])
    )
    assert with_outlier["p"] < 1e-6 and without["p"] > 0.01


def test_correlations_against_scipy(make_ratings):
    ratings = make_ratings()
    pair = constructs.correlation_table(ratings).iloc[0]
    r = stats.pearsonr(ratings["Plausibility"], ratings["Understandability"])
    assert pair["pair"] == "Plausibility - Understandability"
    assert (pair["r"], pair["p"]) == pytest.approx((r.statistic, r.pvalue))


def test_every_table_of_scores_has_a_row_for_quality(make_ratings):
    scores = melt_ratings(make_ratings())
    for compute in (constructs.kruskal_table, constructs.dunn_table, constructs.levene_table):
        assert "Quality" in set(compute(scores)["construct"])
