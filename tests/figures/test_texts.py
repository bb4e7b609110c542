"""Figures of explanations: histograms of shares, pairs of texts, the objectives drawn."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths, profile
from lib.common.intervals import wilson
from lib.common.methods import OBJECTIVES
from lib.figures import style, texts
from lib.students import objectives
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
    assert figure.axes[0].get_ylabel() == "revision\n5, median 3"
    assert figure.get_suptitle().startswith("Medians from 3 to 4 characters")


def test_revision_changes_are_pairs(long, readable):
    pairs = tables.pairs(profile.load("smoke"), long[long["id"] != 3].iloc[:-1])
    changes = tables.changes(pairs)
    change = changes[changes["texts"] == "change"].set_index("measure")
    assert change["n"].tolist() == [18, 18]  # one question left out, one without a pair
    assert change["mean"].tolist() == [30, 0.25]
    same = changes.set_index("measure").loc["unchanged"]
    assert (same["texts"], same["n"], same["mean"]) == ("Revised", 18, 4 / 18)
    assert (same["low"], same["high"]) == wilson(4, 18)
    worked = {"question": "Why?", "explanation": "Because.", "revision": "Because " * 30}
    for pair in (None, worked):
        figure = texts.revision_changes(changes, pair)
        readable(figure)
        assert len(figure.axes) == (3 if pair else 2)
        before, after = changes["mean"][3:5]
        named = np.concatenate([line.get_ydata() for line in figure.axes[0].lines[:1]])
        np.testing.assert_allclose(named, [100 * before, 100 * after])
        assert f"from {100 * before:.1f} to {100 * after:.1f} %" in figure.get_suptitle()


def test_published_revisions_name_more_of_the_other_choices():
    changes = pd.read_csv(paths.PUBLISHED / "revision_changes.csv")
    assert "from 3.6 to 42.5 %" in texts.revision_changes(changes).get_suptitle()


def test_objectives_are_boxes_with_the_texts_that_students_read_and_write(readable):
    tasks = objectives.describe()
    figure, same = texts.objectives_figure(tasks)
    readable(figure)
    assert same is tasks and list(tasks["objective"]) == list(OBJECTIVES[:4])
    said = " ".join(" ".join(text.get_text().split()) for text in figure.axes[0].texts)
    for text in (*tasks["question"], *tasks["target"], tasks["rationale"].iloc[-1]):
        assert text in said
    boxes = [box.get_window_extent() for box in figure.axes[0].patches]
    inside = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 8
    for box in boxes:  # a text is in its box or beside it
        assert all(box.overlaps(t) == (box.x0 <= t.x0 and t.x1 <= box.x1 and box.y0 <= t.y0
                   and t.y1 <= box.y1) for t in inside if t.width > 0)  # fmt: skip
