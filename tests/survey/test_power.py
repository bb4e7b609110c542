"""SIMULATED ratings have the published properties, and the fast test is the mixed model's."""

import numpy as np
import pandas as pd
import pingouin as pg
import pytest

from lib.common.methods import PAPER_ARMS
from lib.human_study import mixed, published, reference
from lib.human_study.ratings import CONSTRUCTS, OUTCOMES, load_ratings
from lib.survey import power

R = reference.load_reference()


def simulate(people, seed=0, **model):
    return power.simulate(people, np.random.default_rng(seed), **model)


def as_table(scores, length):
    """A simulation as a table of ratings."""
    person, method, _ = np.indices(length.shape)
    table = pd.DataFrame(scores.reshape(-1, 5), columns=list(CONSTRUCTS))
    return table.assign(
        Quality=table.mean(axis=1),
        participant=person.ravel().astype(str),
        method=pd.Categorical(np.array(PAPER_ARMS)[method.ravel()], PAPER_ARMS),
        length=length.ravel(),
    )


@pytest.fixture(scope="module")
def many():
    """A large simulation, in which chance plays a small part."""
    return as_table(*simulate(3000, seed=1))


def test_marginals_are_the_published_ones(many):
    theirs = published.load_counts().set_index(["method", "construct", "score"])["count"]
    ours = many.melt("method", CONSTRUCTS, "construct", "score").astype({"method": str})
    ours = ours.value_counts(["method", "construct", "score"]).reindex(theirs.index, fill_value=0)
    shares = [n / n.groupby(["method", "construct"]).transform("sum") for n in (ours, theirs)]
    assert len(theirs) == 100 and (shares[0] - shares[1]).abs().max() < 0.025
    assert (ours[theirs == 0] == 0).all()  # a score that nobody gave is never simulated


def test_correlations_and_alpha_are_the_published_ones(many):
    items, theirs = many[list(CONSTRUCTS)], R["cronbach"]
    assert pg.cronbach_alpha(items)[0] == pytest.approx(theirs["raw_alpha"], abs=0.01)
    for name in CONSTRUCTS:
        r = items[name].corr(items.drop(columns=name).sum(axis=1))
        assert r == pytest.approx(theirs["item_rest_r"][name], abs=0.02)
    quality = many.groupby("method", observed=True)["Quality"].agg(["mean", "std"])
    for method in PAPER_ARMS:
        theirs = R["explainability"]["descriptives"][method]["Quality"]
        assert quality.loc[method, "mean"] == pytest.approx(theirs["mean"], abs=0.04)
        assert quality.loc[method, "std"] == pytest.approx(theirs["sd"], abs=0.08)


def test_participants_and_lengths_are_the_published_ones(many):
    for outcome, icc in power.ICC.items():  # analysis of variance, balanced: no model needed
        values = many.groupby("participant")[outcome]
        within = values.var().mean()
        between = values.mean().var() - within / 12
        assert between / (between + within) == pytest.approx(icc, abs=0.025), outcome
    length = many.groupby("method", observed=True)["length"].agg(["mean", "std"])
    for method, stated in power.LENGTHS.items():
        assert length.loc[method].tolist() == pytest.approx(stated, rel=0.05)


def test_stated_aggregates_are_those_of_the_raw_ratings(shared):
    ratings = load_ratings(shared / "published" / "study.csv")
    icc = mixed.icc_table(ratings).set_index("construct")["icc"]
    assert icc.round(3).to_dict() == power.ICC
    length = ratings.groupby("method", observed=True)["length"].agg(["mean", "std"]).round(1)
    assert {m: tuple(row) for m, row in length.iterrows()} == power.LENGTHS


def test_effect_moves_the_means_in_proportion():
    gaps = []
    for effect in (0.0, 0.5, 1.0):
        scores, _ = simulate(2000, 7, effect=effect)
        gaps.append(scores[:, -1].mean() - scores[:, 0].mean())
    assert gaps == pytest.approx([0, 0.115, 0.2296], abs=0.03)


@pytest.mark.parametrize("alike", [False, True])
def test_fast_likelihood_ratio_is_the_mixed_models(alike):
    scores, length = simulate(20)
    if alike:  # the variance of participants is 0
        scores = scores - scores.mean(axis=(1, 2), keepdims=True)
    table = as_table(scores, length)
    outcomes = table[list(OUTCOMES)].to_numpy().reshape(*length.shape, -1)
    fast = power.likelihood_ratios(outcomes, length)
    for name, chi2 in zip(OUTCOMES, fast, strict=True):
        slow = mixed.likelihood_ratio(table, name)
        assert chi2 == pytest.approx(slow["chi2"], rel=1e-5, abs=1e-6)


def test_power_rises_with_people_and_effect_and_is_alpha_without_one():
    table = power.power_table((20, 120), repetitions=120, seed=1, effects=(0.0, 1.0))
    assert list(table.columns) == power.COLUMNS and (table["data"] == "SIMULATED").all()
    assert ((table["lwr"] < table["power"] + 1e-9) & (table["power"] < table["upr"] + 1e-9)).all()
    values = table.set_index(["outcome", "effect", "participants"])["power"]
    for outcome in OUTCOMES:
        assert values[outcome, 0.0, 20] < 0.14 and values[outcome, 0.0, 120] < 0.14
        assert values[outcome, 1.0, 120] > values[outcome, 1.0, 20] + 0.2
    assert values["Quality", 1.0, 120] > 0.85
    # A cell does not depend on which others were asked for.
    alone = power.power_table((120,), repetitions=120, seed=1)
    assert alone["power"].tolist() == values.xs((1.0, 120), level=(1, 2)).tolist()


def test_explanations_that_differ_make_the_simple_model_too_sure():
    table = power.power_table((300,), 60, effects=(0.0,), explanation_share=0.2, questions=12)
    assert table.set_index("outcome").loc["Quality", "power"] > 0.3


def test_participants_needed_is_not_fooled_by_a_lucky_small_study():
    columns = {"participants": [40, 20, 60, 80], "power": [0.7, 0.85, 0.8, 0.9]}
    table = pd.DataFrame({"outcome": "Quality", "effect": 1.0} | columns)
    assert power.participants_needed(table)["participants"].tolist() == [60]
    assert power.participants_needed(table, 0.95)["participants"].isna().all()
    sentence = power.takeaway(power.participants_needed(table))
    assert sentence.endswith("effects: 60 for Quality.")
    sentence = power.takeaway(power.participants_needed(table, 0.95))
    assert sentence.endswith("effects: more than were simulated for Quality.")
