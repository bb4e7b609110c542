"""SIMULATED ratings have the published properties, and the fast test is the mixed model's."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study import mixed, published, reference, regression, sensitivity, study
from lib.human_study.study import CONSTRUCTS
from lib.survey import power

matplotlib.use("Agg")
R = reference.load_golden()


@pytest.fixture(scope="module")
def many():
    """A large simulation, in which chance plays a small part."""
    return power.simulate_ratings(3000, seed=1)


def test_simulated_ratings_say_what_they_are(many):
    assert many["participant"].str.startswith("SIMULATED").all()
    assert many["question"].str.startswith("SIMULATED").all()
    small = power.simulate_ratings(20, seed=2)
    assert small.groupby("participant").size().eq(12).all()
    assert small.groupby(["participant", "method"], observed=True).size().eq(3).all()
    assert small.groupby("participant")["question"].nunique().eq(12).all()
    assert list(small.columns) == list(study.check_ratings(small.drop(columns="Quality")).columns)


def test_simulation_follows_its_seed():
    first, again, other = (power.simulate_ratings(10, seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_marginals_are_the_published_ones(many):
    counts = published.load_counts()
    keys = ["method", "construct", "score"]
    ours = study.melt_ratings(many).astype({"method": str, "construct": str}).groupby(keys).size()
    ours = ours.rename("count").reset_index().astype({"score": int})
    both = counts.merge(ours, how="left", on=keys, suffixes=("_y", "_x")).fillna(0)
    share = [
        both[c] / both.groupby(["method", "construct"])[c].transform("sum")
        for c in ("count_x", "count_y")
    ]
    assert len(both) == 100 and (share[0] - share[1]).abs().max() < 0.025
    # A score that nobody gave is never simulated.
    assert (both.loc[both["count_y"] == 0, "count_x"] == 0).all()


def test_correlations_and_alpha_are_the_published_ones(many):
    ours = sensitivity.cronbach_table(many).set_index(["statistic", "term"])["value"]
    published = R["cronbach"]
    assert ours["", "raw_alpha"] == pytest.approx(published["raw_alpha"], abs=0.01)
    for name in CONSTRUCTS:
        assert ours["item_rest_r", name] == pytest.approx(published["item_rest_r"][name], abs=0.02)
    quality = many.groupby("method", observed=True)["Quality"].agg(["mean", "std"])
    for method in PAPER_ARMS:
        theirs = R["explainability"]["descriptives"][method]["Quality"]
        assert quality.loc[method, "mean"] == pytest.approx(theirs["mean"], abs=0.04)
        assert quality.loc[method, "std"] == pytest.approx(theirs["sd"], abs=0.08)


def test_participants_have_the_published_share_of_variance(many):
    for outcome, icc in power.ICC.items():  # analysis of variance, balanced: no model needed
        values = many.groupby("participant")[outcome]
        within = values.var().mean()
        between = values.mean().var() - within / 12
        assert between / (between + within) == pytest.approx(icc, abs=0.025), outcome


def test_stated_aggregates_are_those_of_the_raw_ratings(shared):
    ratings = study.load_ratings(shared / "published" / "study.csv")
    icc = sensitivity.icc_table(ratings).set_index("construct")["icc"]
    assert icc.round(3).to_dict() == power.ICC
    length = ratings.groupby("method", observed=True)["length"].agg(["mean", "std"]).round(1)
    assert {m: tuple(row) for m, row in length.iterrows()} == power.LENGTHS


def test_effect_moves_the_means_in_proportion():
    means = {
        effect: power.simulate_ratings(2000, 7, effect)
        .groupby("method", observed=True)["Quality"]
        .mean()
        for effect in (0.0, 0.5, 1.0)
    }
    gap = {e: m["MT+CF:Revised"] - m["CF:Unrevised"] for e, m in means.items()}
    assert abs(gap[0.0]) < 0.03
    assert gap[0.5] == pytest.approx(0.115, abs=0.03)
    assert gap[1.0] == pytest.approx(0.2296, abs=0.03)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fast_likelihood_ratio_is_the_mixed_models(seed):
    drawn = power._draw(20, np.random.default_rng(seed), 1.0, 0.0, 90)
    ratings = power.simulate_ratings(20, seed)
    values = {name: drawn["scores"][..., i].astype(float) for i, name in enumerate(CONSTRUCTS)}
    values["Quality"] = drawn["scores"].mean(axis=3)
    fast = power.likelihood_ratios(np.stack(list(values.values()), axis=3), drawn["length"])
    for name, chi2 in zip(values, fast, strict=True):
        slow = mixed.likelihood_ratio(ratings, name)
        assert chi2 == pytest.approx(slow["chi2"], rel=1e-5, abs=1e-6)


def test_fast_likelihood_ratio_where_participants_do_not_differ():
    rng = np.random.default_rng(3)
    scores, length = rng.normal(size=(8, 4, 3, 1)), rng.uniform(100, 300, (8, 4, 3))
    scores -= scores.mean(axis=(1, 2), keepdims=True)  # the variance of participants is 0
    person, method, _ = np.indices(length.shape)
    table = pd.DataFrame(
        {
            "participant": person.ravel().astype(str),
            "length": length.ravel(),
            "method": pd.Categorical(np.array(PAPER_ARMS)[method.ravel()], PAPER_ARMS),
            "Quality": scores.ravel(),
        }
    )
    assert power.likelihood_ratios(scores, length)[0] == pytest.approx(
        mixed.likelihood_ratio(table)["chi2"], rel=1e-6
    )


def test_power_rises_with_people_and_effect_and_is_alpha_without_one():
    table = power.power_table((20, 120), repetitions=120, seed=1, effects=(0.0, 1.0))
    assert list(table.columns) == power.COLUMNS and (table["data"] == "SIMULATED").all()
    assert ((table["lwr"] < table["power"] + 1e-9) & (table["power"] < table["upr"] + 1e-9)).all()
    values = table.set_index(["outcome", "effect", "participants"])["power"]
    for outcome in study.OUTCOMES:
        assert values[outcome, 0.0, 20] < 0.14 and values[outcome, 0.0, 120] < 0.14
        assert values[outcome, 1.0, 120] > values[outcome, 1.0, 20] + 0.2
    assert values["Quality", 1.0, 120] > 0.85
    # A cell does not depend on which others were asked for.
    alone = power.power_table((120,), repetitions=120, seed=1)
    assert alone["power"].tolist() == values.xs((1.0, 120), level=(1, 2)).tolist()


def test_explanations_that_differ_make_the_simple_model_too_sure():
    table = power.power_table(
        (300,), repetitions=60, effects=(0.0,), explanation_share=0.2, questions=12
    )
    assert table.set_index("outcome").loc["Quality", "power"] > 0.3


def test_participants_needed_is_not_fooled_by_a_lucky_small_study():
    table = pd.DataFrame(
        {
            "outcome": "Quality",
            "effect": 1.0,
            "participants": [40, 20, 60, 80],
            "power": [0.7, 0.85, 0.8, 0.9],
        }
    )
    assert power.participants_needed(table)["participants"].tolist() == [60]
    assert power.participants_needed(table, 0.95)["participants"].isna().all()


def test_plot_shows_every_outcome_and_says_simulated():
    table = power.power_table((20, 400), repetitions=5)
    assert (table["power"] == 1).any()  # an interval that ends at 1
    figure, shown = power.power_figure(table)
    (axes,) = figure.axes
    pd.testing.assert_frame_equal(shown, table)
    assert "SIMULATED" in axes.get_title() and axes.get_ylim()[0] == 0
    assert "5 studies a point, 95 % Wilson intervals" in axes.get_title()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(study.OUTCOMES)
    matplotlib.pyplot.close(figure)


def test_simulated_ratings_go_through_the_papers_analysis():
    table = regression.analyse_ratings(power.simulate_ratings(30), permutations=10)
    assert {"kruskal", "lm_length", "npmv"} <= set(table["statistic"])


@pytest.mark.parametrize(
    "settings",
    [{"participants": 1}, {"effect": -1.0}, {"explanation_share": 0.9}, {"questions": 5}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UserError):
        power.simulate_ratings(**settings)
