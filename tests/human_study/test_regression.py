"""The regressions of Quality against the normal equations."""

import numpy as np
import pytest

from lib.common.methods import PAPER_ARMS
from lib.human_study import analysis, regression


def test_regression_agrees_with_the_normal_equations(make_ratings):
    ratings = make_ratings(effect=0.5)
    table, fit = regression.regress_quality(ratings)
    x = np.column_stack([np.ones(len(ratings)), regression.make_design(ratings)])
    beta = np.linalg.solve(x.T @ x, x.T @ ratings["Quality"].to_numpy())
    np.testing.assert_allclose(table["estimate"], beta, rtol=1e-8)
    assert list(table["term"]) == ["Intercept", *PAPER_ARMS[1:], "length"]
    assert fit["df_residual"] == len(ratings) - 5


def test_controls_are_tested_as_a_whole_and_not_shown_by_level(make_ratings):
    ratings = make_ratings()
    table, fit = regression.regress_quality(ratings, ["gender"])
    assert fit["df_residual"] == len(ratings) - 6
    assert not table["term"].str.contains("male").any()
    controls = regression.control_table(ratings, ["gender"]).set_index("factor")
    assert controls.loc["gender", "df1"] == 1 and controls.loc["method", "df1"] == 3
    # The partial F of the method is what leaving it out costs.
    design = regression.make_design(ratings, ("method", "gender")).assign(intercept=1.0)
    rss = [
        np.linalg.lstsq(x, ratings["Quality"], rcond=None)[1][0]
        for x in (design, design.drop(columns=list(PAPER_ARMS[1:])))
    ]
    assert controls.loc["method", "F"] == pytest.approx(
        (rss[1] - rss[0]) / 3 / (rss[0] / controls.loc["method", "df2"])
    )
    # What another control already says is left out.
    ratings["education"] = ratings["gender"].replace("male", "school")
    assert regression.usable_controls(ratings) == ["gender"]
    long = analysis.analyse_ratings(ratings, permutations=20)
    assert not long["group"].str.contains("male|education").any()
