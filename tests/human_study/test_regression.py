"""The paper's analysis of the raw ratings against R's values, and on synthetic ratings."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study import ranks, reference, regression, study

R = reference.load_golden()


@pytest.fixture(scope="module")
def published(shared):
    return study.load_ratings(shared / "published" / "study.csv")


def test_every_value_of_r_on_explainability(published):
    ours = reference.name_values(regression.analyse_ratings(published, 200), "explainability")
    table = reference.compare_with_r(R, ours, "explainability")
    assert len(table) == 323
    assert table["agrees"].all(), table[~table["agrees"]]


def test_quality_outliers_are_seventeen(published):
    assert len(published) == 1114
    assert len(regression.drop_quality_outliers(published)) == 1114 - 17


def test_permutation_p_is_near_the_f_approximation(published):
    table = ranks.rank_test_table(published, permutations=2000, seed=1)
    gap = (table["p_permutation"] - table["p"]).abs()
    assert gap.max() <= R["tolerance"]["permutation_p_abs"]


def test_a_rating_on_the_fence_is_no_outlier(make_ratings):
    ratings = make_ratings(people=2)[:5].assign(method="x")
    # Sums 15, 15, 16, 17 and one more: quartiles 15 and 17, fences at sums 12 and 20.
    for last, outlier in ((20, False), (21, True)):
        quality = np.array([15, 15, 16, 17, last]) / 5
        kept = regression.drop_quality_outliers(ratings.assign(Quality=quality))
        assert list(kept.index) == list(ratings.index[: 4 if outlier else 5])


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
    long = regression.analyse_ratings(ratings, permutations=20)
    assert not long["group"].str.contains("male|education").any()


def test_multivariate_shapiro_looks_in_the_farthest_direction():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 5))
    values[0] = [9, 0, 0, 0, 0]
    found = regression.multivariate_shapiro(pd.DataFrame(values, columns=study.CONSTRUCTS))
    assert found["p"] < 1e-6
    plain = regression.multivariate_shapiro(pd.DataFrame(values[1:], columns=study.CONSTRUCTS))
    assert plain["p"] > 0.01


def test_rank_tests_of_two_groups_on_one_variable_reduce_to_one_f(make_ratings):
    # With a = 2 all of Lawley-Hotelling, Pillai and Wilks are functions of the same root.
    ratings = make_ratings(effect=1.5)
    pair = ratings[ratings["method"].isin(PAPER_ARMS[2:])]
    table = ranks.rank_test_table(pair, permutations=50).set_index("test")
    n, p = len(pair), 5
    f = table.loc["wilks_lambda", "F"]
    assert table.loc["wilks_lambda", "df2"] == pytest.approx(n - p - 1)
    hotelling = table.loc["lawley_hotelling"]
    d = hotelling["df2"]
    assert hotelling["F"] == pytest.approx(f * p / (n - p - 1) * (n - p - 3) * d / (p * (d - 2)))
    assert (table["p_permutation"] == 1 / 51).all()


def test_rank_tests_hold_their_level_and_are_seeded(make_ratings):
    ratings = make_ratings()
    first = ranks.rank_test_table(ratings, 300, seed=3)
    pd.testing.assert_frame_equal(first, ranks.rank_test_table(ratings, 300, seed=3))
    assert not np.allclose(first["p_permutation"], first["p_within"])
    assert (first[["p", "p_permutation", "p_within"]] > 0.01).all(axis=None)
    # What persons differ in is no effect of the method, but hides one from the plain permutation.
    level = ratings.groupby("participant")["Quality"].transform("mean")
    lifted = ratings.assign(
        **{
            name: ratings[name] + 8 * level.rank() + 0.6 * (ratings["method"] == PAPER_ARMS[3])
            for name in study.CONSTRUCTS
        }
    )
    table = ranks.rank_test_table(lifted, 200)
    assert (table["p_within"] < table["p_permutation"]).all()


def test_shuffle_keeps_blocks_and_uses_every_row():
    blocks = np.array(["b", "a", "b", "c", "a", "b"])
    orders = np.concatenate(list(ranks.shuffle(blocks, 250, seed=0)))
    assert orders.shape == (250, 6)
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert (blocks[orders] == blocks).all()
    share = (orders[:, 1] == 4).mean()
    assert share == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 250))


def test_correlations_and_levene_against_scipy(make_ratings):
    ratings = make_ratings()
    pair = regression.correlation_table(ratings).iloc[0]
    r = stats.pearsonr(ratings["Plausibility"], ratings["Understandability"])
    assert (pair["pair"], pair["r"]) == (
        "Plausibility - Understandability",
        pytest.approx(r.statistic),
    )
    levene = regression.levene_scores(study.melt_ratings(ratings)).iloc[0]
    parts = [g["Plausibility"] for _, g in ratings.groupby("method", observed=True)]
    assert levene["F"] == pytest.approx(stats.levene(*parts, center="median").statistic)


def test_too_few_or_constant_ratings_get_one_sentence(make_ratings):
    ratings = make_ratings()
    with pytest.raises(UserError, match="8 ratings each"):
        regression.analyse_ratings(ratings.iloc[:20])
    with pytest.raises(UserError, match="Every rating of Completeness is the same"):
        regression.analyse_ratings(ratings.assign(Completeness=3.0))
