"""Accuracy against explanation quality, drawn."""

import numpy as np
import pandas as pd
import pytest

from lib.common.errors import UserError
from lib.figures import style
from lib.figures.tradeoff import NAMED, RATED, hero_figure, own_answer_figure, tradeoff_figure

pytestmark = pytest.mark.usefixtures("style")


def make_points(sizes=("135M",), arms=style.ARMS):
    rng = np.random.default_rng(0)
    rows = []
    for size in sizes:
        for arm in arms:
            accuracy, quality = rng.uniform(30, 60), rng.uniform(0, 40)
            if arm == "label-only":
                quality = np.nan
            row = {"arm": arm, "size": size}
            row |= {"accuracy": accuracy, "accuracy_low": accuracy - 5}
            row |= {"accuracy_high": accuracy + 5, "quality": quality}
            rows.append(row | {"quality_low": quality - 4, "quality_high": quality + 4})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("sizes", [("135M",), ("small", "large")])
def test_points_have_intervals_and_names(sizes, readable):
    points = make_points(sizes, style.ARMS[: 8 if len(sizes) > 1 else None])
    figure, table = tradeoff_figure(points, NAMED)
    readable(figure)
    pd.testing.assert_frame_equal(table, points)
    (ax,) = figure.axes
    drawn = [container.lines[0].get_xydata()[0] for container in ax.containers[::2]]
    rated = points[points["quality"].notna()]
    np.testing.assert_allclose(drawn, rated[["accuracy", "quality"]])
    alone = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in alone] == list(points.drop(rated.index)["accuracy"])
    names = sorted(text.get_text() for text in ax.texts)
    assert len(names) == len(points) and names[0].startswith("CF")
    assert not figure.legends
    best = points.loc[points["accuracy"].idxmax(), "arm"]
    assert f"Most accurate: {style.short(best)}" in figure.get_suptitle()


def test_readmes_figure_is_the_paper_beside_our_claims(readable):
    from tests.figures.test_answers import make_claims

    points = make_points(arms=style.ARMS[1:4]).assign(quality=[3.9, 4.0, 4.1])
    points = points.assign(
        quality_low=points["quality"] - 0.1, quality_high=points["quality"] + 0.1
    )
    figure, table = hero_figure(points, *RATED, make_claims(), "135M")
    assert len(table) == 2 and len(figure.axes[1].containers) == 4  # those on accuracy
    said = {text.get_text() for text in figure.axes[1].texts}
    assert said == {"holds", "open", "paper", "135M"}
    readable(figure)


def test_a_scale_of_ratings_says_where_its_axis_starts(readable):
    points = make_points(arms=style.ARMS[1:4]).assign(
        quality=[3.9, 4.0, 4.1], quality_low=np.nan, quality_high=np.nan
    )
    figure, _ = tradeoff_figure(points, *RATED)
    assert figure.axes[0].get_ylabel() == "Mean of five ratings (1 to 5); axis from 3.85"
    readable(figure)


@pytest.mark.parametrize("sizes", [("135M",), ("small", "large")])
def test_how_often_the_own_answer_is_explained(sizes, readable):
    arms = ["label-only", "CF:Unrevised", "MT:Unrevised", "answer-first:Unrevised"]
    points = make_points(sizes, arms).assign(accuracy=[38, 39, 46, 47] * len(sizes))
    shares = pd.Series([np.nan, 89.5, 57.6, 97.2] * len(sizes))
    points = points.assign(quality=shares, quality_low=shares - 4, quality_high=shares + 2)
    figure, table = own_answer_figure(points)
    readable(figure)
    assert table is points and len(figure.axes[0].containers) == 6 * len(sizes)
    said = {"MT names its own answer first in 58 %, answer-first in 97 %"}
    assert len(sizes) > 1 or {figure.get_suptitle().strip()} == said
    figure, _ = own_answer_figure(points[points["arm"] != "MT:Unrevised"])
    assert figure.get_suptitle().startswith("answer-first")
    assert "CF" not in figure.get_suptitle()


def test_without_explanations_there_is_no_trade_off():
    with pytest.raises(UserError, match="add an arm other than label-only"):
        tradeoff_figure(make_points(arms=["label-only"]), NAMED)
