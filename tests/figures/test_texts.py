"""Figures of explanations: histograms of shares, letters from zero, pairs of texts."""

import numpy as np
import pandas as pd
import pytest

from lib.common import profile
from lib.common.intervals import wilson
from lib.figures import style, texts
from lib.teacher import tables


@pytest.fixture(autouse=True)
def house_style():
    style.use_style()


@pytest.fixture
def long():
    """Twenty pairs; five revisions say the same."""
    rng = np.random.default_rng(2)
    before = pd.DataFrame(
        {
            "id": range(20),
            "kind": "explanation",
            "text": "A.",
            "characters": rng.integers(50, 200, 20),
            "mentions_other_choices": rng.integers(0, 3, 20) / 4,
        }
    )
    after = before.assign(
        kind="revision",
        text=["A."] * 5 + ["B."] * 15,
        characters=before["characters"] + 30,
        mentions_other_choices=before["mentions_other_choices"] + 0.25,
    )
    return pd.concat([before, after], ignore_index=True)


def test_text_lengths_are_shares_of_each_kind(readable):
    kinds = ["revision"] * 5 + ["critique"] * 2
    long = pd.DataFrame({"kind": kinds, "characters": [1, 2, 3, 4, 10, 0, 8]})
    lengths = tables.lengths(long)
    assert list(lengths["kind"]) == ["revision", "critique"]
    columns = ["n", "mean", "min", "q1", "median", "q3", "max"]
    assert lengths.loc[0, columns].tolist() == [5, 4, 1, 2, 3, 4, 10]
    figure = texts.text_lengths(long, lengths)
    readable(figure)
    for ax in figure.axes:
        assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert figure.axes[0].get_title("left") == "revision: n = 5, median 3"


def test_letters_are_shares_of_their_group(readable):
    counts = pd.DataFrame(
        {
            "group": ["a", "a", "b", "b", "b"],
            "letter": ["A", "B", "A", "B", "C"],
            "count": [1, 3, 5, 5, 0],
            "even": [2, 2, 4, 4, 2],
        }
    )
    figure, table = texts.letter_distribution(counts)
    readable(figure)
    assert table["share"].tolist() == [25, 75, 50, 50, 0]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[:2] + heights[3:] == [25, 75, 50, 50, 0] and figure.axes[0].get_ylim()[0] == 0
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["a (n = 4)", "b (n = 10)", "even split"]


def test_revision_changes_are_pairs(long, readable):
    pairs = tables.pairs(profile.load("smoke"), long[long["id"] != 3].iloc[:-1])
    changes = tables.changes(pairs)
    change = changes[changes["texts"] == "change"].set_index("measure")
    assert change["n"].tolist() == [18, 18]  # one question left out, one without a pair
    assert change["mean"].tolist() == [30, 0.25]
    same = changes.set_index("measure").loc["unchanged"]
    assert (same["texts"], same["n"], same["mean"]) == ("Revised", 18, 4 / 18)
    assert (same["low"], same["high"]) == wilson(4, 18)
    figure = texts.revision_changes(pairs, changes)
    readable(figure)
    left, right = figure.axes
    assert left.get_title() == "Change of length, 18 pairs (4 unchanged)"
    assert sum(bar.get_height() for bar in left.patches) == pytest.approx(100)
    assert (
        right.get_ylim()[0] == 0
        and right.patches[0].get_hatch()
        and not right.patches[1].get_hatch()
    )
