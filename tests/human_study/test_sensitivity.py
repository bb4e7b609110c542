"""Mixed, ordinal, permutation and multiverse analyses against R, pingouin and statsmodels."""

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study import mixed, reference, regression, sensitivity, study
from lib.human_study import runs as stats

R = reference.load_golden()


@pytest.fixture(scope="module")
def published(shared):
    return study.load_ratings(shared / "published" / "study.csv")


def test_every_value_of_r_on_the_mixed_model(published):
    ours = reference.name_values(sensitivity.mixed_table(published), "")
    table = reference.compare_with_r(R, ours, "mixed_model")
    assert len(table) == 49
    assert table["agrees"].all(), table[~table["agrees"]]


def test_every_value_of_r_on_alpha(published):
    ours = reference.name_values(sensitivity.cronbach_table(published), "")
    table = reference.compare_with_r(R, ours, "cronbach")
    assert len(table) == 12
    assert table["agrees"].all(), table[~table["agrees"]]


def test_participants_explain_two_fifths_of_quality(published):
    found = mixed.fit_mixed(published, terms=()).variances
    share = found["participant"] / (found["participant"] + found["residual"])
    assert share == pytest.approx(0.387, abs=0.001)


def test_icc_of_each_outcome(make_ratings):
    table = sensitivity.icc_table(make_ratings(people=40)).set_index("construct")
    assert list(table.index) == list(sensitivity.OUTCOMES)
    assert (
        table["icc"]
        == table["var_participant"] / (table["var_participant"] + table["var_residual"])
    ).all()
    # Simulated with SDs 0.7 between and 0.8 within persons; Quality averages five errors.
    assert table.loc["Completeness", "icc"] == pytest.approx(0.43, abs=0.15)
    assert table.loc["Quality", "icc"] > 0.6


def test_slots_show_one_method_each(published):
    assert (published.groupby("slot")["method"].nunique() == 1).all()
    kept = regression.drop_quality_outliers(published)
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


def test_permutation_within_participants_sees_what_the_plain_test_misses(make_ratings):
    # Persons differ far more than methods do: only the comparison within persons can tell.
    ratings = make_ratings(people=30, slots=1)
    level = np.repeat(np.tile([0.0, 2.0], 15), 4)
    lift = (ratings["method"] == PAPER_ARMS[3]).to_numpy() * (ratings.index.to_numpy() % 3 > 0)
    for name in study.CONSTRUCTS:
        ratings[name] = 1 + level + lift
    ratings["Quality"] = ratings["Plausibility"]
    row = sensitivity.permutation_table(ratings, 500, seed=0).set_index("construct").loc["Quality"]
    assert row["p"] > 0.02 and row["p_within"] == 1 / 501


def test_construct_table_has_holm_of_each_test(make_ratings):
    ratings = make_ratings(effect=1.0)
    table = sensitivity.construct_table(ratings, sensitivity.ordinal_table(ratings)[1], 100)
    assert list(table["construct"]) == list(study.CONSTRUCTS)
    for name in ("kruskal", "within", "mixed", "ordinal"):
        p = table[f"{name}_p"].to_numpy()
        by_hand = np.minimum(np.maximum.accumulate(np.sort(p) * np.arange(5, 0, -1)), 1)
        np.testing.assert_allclose(np.sort(table[f"{name}_p_holm"]), by_hand)
        assert (p < 0.05).all()


def test_ordinal_model_has_the_sign_of_the_effect(make_ratings):
    terms, tests = sensitivity.ordinal_table(make_ratings(effect=1.0))
    last = terms[terms["term"] == PAPER_ARMS[3]]
    assert (last["estimate"] > 0.8).all() and (tests["p"] < 1e-3).all()
    np.testing.assert_allclose(last["odds_ratio"], np.exp(last["estimate"]))


def test_ordinal_errors_are_clustered_by_participant(make_ratings):
    ratings = make_ratings(people=10)
    once, twice = (
        sensitivity.ordinal_table(table)[0] for table in (ratings, pd.concat([ratings, ratings]))
    )
    np.testing.assert_allclose(once["estimate"], twice["estimate"], atol=0.01)
    # Saying everything twice makes no person surer; plain errors would shrink to 0.71.
    np.testing.assert_allclose(twice["se"] / once["se"], 1, atol=0.05)


@pytest.mark.filterwarnings("ignore")  # statsmodels says so, too
def test_an_ordinal_model_that_does_not_converge_says_nothing(make_ratings, monkeypatch):
    class Hasty(sensitivity.OrderedModel):
        def fit(self, **settings):
            return super().fit(maxiter=1, **settings)

    monkeypatch.setattr(sensitivity, "OrderedModel", Hasty)
    ratings = make_ratings()
    terms, tests = sensitivity.ordinal_table(ratings)
    assert terms[["estimate", "p", "odds_ratio"]].isna().all(axis=None) and tests["p"].isna().all()
    table = sensitivity.construct_table(ratings, tests, 20)
    assert table["ordinal_p_holm"].isna().all() and table["mixed_p_holm"].notna().all()


def test_only_the_comparisons_with_cf_survive_every_decision(shared):
    runs = stats.load_published_runs(shared / "published" / "experiment.csv")
    multiverse = sensitivity.multiverse_table(runs[runs["method"].isin(PAPER_ARMS)])
    sizes = multiverse.groupby("specification", sort=False)["n"].first()
    assert sizes.to_dict() == {
        "all runs": 46,
        "1.5 IQR (paper)": 39,
        "3 IQR": 42,
        "without run 0": 38,
    }
    verdict = sensitivity.survival_table(multiverse).set_index("conclusion")["verdict"]
    with_cf = {
        f"{size} {method}-CF:Unrevised" for size in ("220M", "770M") for method in PAPER_ARMS[1:]
    }
    assert set(verdict.index[verdict == "always"]) == with_cf | {"method", "size"}
    assert verdict["method:size"] == "depends"
