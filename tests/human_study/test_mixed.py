"""Mixed models against R, pingouin and statsmodels."""

import numpy as np
import pingouin as pg
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study import mixed, regression
from lib.human_study.ratings import OUTCOMES, drop_outliers


def test_participants_explain_two_fifths_of_quality(ratings):
    found = mixed.fit_mixed(ratings, terms=()).variances
    share = found["participant"] / (found["participant"] + found["residual"])
    assert share == pytest.approx(0.387, abs=0.001)


def test_icc_of_each_outcome(make_ratings):
    table = mixed.icc_table(make_ratings(people=40)).set_index("construct")
    assert list(table.index) == list(OUTCOMES)
    assert (
        table["icc"]
        == table["var_participant"] / (table["var_participant"] + table["var_residual"])
    ).all()
    # Simulated with SDs 0.7 between and 0.8 within persons; Quality averages five errors.
    assert table.loc["Completeness", "icc"] == pytest.approx(0.43, abs=0.15)
    assert table.loc["Quality", "icc"] > 0.6


def test_slots_show_one_method_each(ratings):
    assert (ratings.groupby("slot")["method"].nunique() == 1).all()
    kept = drop_outliers(ratings)
    fit = mixed.fit_mixed(kept, random=("participant", "slot"))
    assert fit.variances["slot"] == 0
    assert fit.variances["participant"] == pytest.approx(0.218047937661784, rel=1e-6)


def test_a_balanced_block_design_gives_the_repeated_measures_anova(make_ratings):
    ratings = make_ratings(people=12, slots=1, effect=0.4)
    fit = mixed.fit_mixed(ratings, terms=("method",))
    aov = pg.rm_anova(
        ratings, dv="Quality", within="method", subject="participant", detailed=True
    ).iloc[0]
    for row in mixed.effect_table(fit).itertuples():
        assert (row.F, row.df2) == (pytest.approx(aov["F"], rel=1e-6), pytest.approx(33, rel=1e-6))


@pytest.mark.parametrize("random", [("participant",), ("participant", "slot")])
def test_fit_agrees_with_statsmodels_and_is_an_optimum(random, make_ratings):
    ratings = make_ratings(people=15)
    ratings["slot"] = [str(i % 7) for i in range(len(ratings))]
    fit = mixed.fit_mixed(ratings, random=random)
    x = regression.make_design(ratings)
    x.insert(0, "Intercept", 1.0)
    x["length"] /= 100
    theirs = MixedLM(ratings["Quality"], x, groups=ratings["participant"]).fit(method="powell")
    table = mixed.coefficient_table(fit)
    if len(random) == 1 or fit.variances["slot"] == 0:
        np.testing.assert_allclose(table["se"][:4], theirs.bse.iloc[:4], rtol=0.002)
        assert fit.loglik >= theirs.llf - np.log(100) - 1e-8
    assert table["df_satt"].between(1, len(ratings)).all()


@pytest.mark.parametrize("reml", [True, False])
def test_score_and_hessian_are_the_derivatives_of_the_deviance(reml, make_ratings):
    ratings = make_ratings(people=8)
    y, x, factors = mixed._prepare(
        ratings, "Quality", ("participant", "slot"), ("method", "length")
    )
    theta = np.array([0.3, 0.4, 0.1])

    def at(values):
        return mixed._derivatives(y, x.to_numpy(), list(factors.values()), values, reml)

    here, step = at(theta), 1e-5 * np.eye(3)
    # The density itself, from the n x n covariance matrix.
    v = sum(t * z @ z.T for t, z in zip(theta, [np.eye(len(y)), *factors.values()], strict=True))
    rest = y - x.to_numpy() @ here.beta
    loglik = stats.multivariate_normal(cov=v).logpdf(rest)
    if reml:
        p = x.shape[1]
        loglik += p * np.log(2 * np.pi) / 2 + np.linalg.slogdet(here.cov)[1] / 2
    assert here.loglik == pytest.approx(loglik)
    slopes = [(at(theta - h).loglik - at(theta + h).loglik) / 1e-5 for h in step]
    np.testing.assert_allclose(here.score, slopes, rtol=1e-4)
    curvature = [(at(theta + h).score - at(theta - h).score) / 2e-5 for h in step]
    if reml:
        np.testing.assert_allclose(here.hessian, curvature, rtol=1e-4)


def test_contrasts_agree_with_coefficients(make_ratings):
    ratings = make_ratings(effect=0.6)
    fit = mixed.fit_mixed(ratings)
    terms = mixed.coefficient_table(fit).set_index("term")
    pairs = mixed.contrast_table(fit, list(PAPER_ARMS)).set_index("pair")
    first = pairs.loc["MT:Unrevised-CF:Unrevised"]
    assert first["estimate"] == pytest.approx(terms.loc["MT:Unrevised", "estimate"])
    assert first["p_satt"] == pytest.approx(terms.loc["MT:Unrevised", "p_satt"])
    assert (pairs["p_holm"] >= pairs["p_satt"]).all() and len(pairs) == 6


def test_likelihood_ratio_finds_an_effect_and_no_effect(make_ratings):
    assert mixed.likelihood_ratio(make_ratings(effect=0.8))["p"] < 1e-6
    assert mixed.likelihood_ratio(make_ratings())["p"] > 0.01


def test_random_factors_must_be_there(make_ratings):
    with pytest.raises(UserError, match="column question"):
        mixed.fit_mixed(make_ratings(), random=("question",))
    with pytest.raises(UserError, match="at least two levels"):
        mixed.fit_mixed(make_ratings(people=1))
