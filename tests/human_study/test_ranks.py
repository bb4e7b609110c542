"""Rank tests: seeded, at their level, and beside simpler statistics."""

import numpy as np
import pandas as pd
import pytest

from lib.common.methods import PAPER_ARMS
from lib.human_study import ranks, reference
from lib.human_study.ratings import CONSTRUCTS


def test_permutation_p_is_near_the_f_approximation(ratings):
    table = ranks.rank_test_table(ratings, permutations=2000, seed=1)
    gap = (table["p_permutation"] - table["p"]).abs()
    assert gap.max() <= reference.load_reference()["tolerance"]["permutation_p_abs"]


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
            for name in CONSTRUCTS
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


def test_permutation_within_participants_sees_what_the_plain_test_misses(make_ratings):
    # Persons differ far more than methods do: only the comparison within persons can tell.
    ratings = make_ratings(people=30, slots=1)
    level = np.repeat(np.tile([0.0, 2.0], 15), 4)
    lift = (ratings["method"] == PAPER_ARMS[3]).to_numpy() * (ratings.index.to_numpy() % 3 > 0)
    for name in CONSTRUCTS:
        ratings[name] = 1 + level + lift
    ratings["Quality"] = ratings["Plausibility"]
    row = ranks.permutation_table(ratings, 500, seed=0).set_index("construct").loc["Quality"]
    assert row["p"] > 0.02 and row["p_within"] == 1 / 501
