"""Which conclusions survive: four tests of each construct."""

import numpy as np
import pandas as pd
import pytest

from lib.common.methods import PAPER_ARMS
from lib.human_study import sensitivity
from lib.human_study.ratings import CONSTRUCTS


def test_construct_table_has_holm_of_each_test(make_ratings):
    ratings = make_ratings(effect=1.0)
    table = sensitivity.construct_table(ratings, sensitivity.ordinal_table(ratings)[1], 100)
    assert list(table["construct"]) == list(CONSTRUCTS)
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
