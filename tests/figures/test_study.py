"""The figures of the human study: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths
from lib.figures import study
from lib.human_study import constructs, published

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture(scope="module")
def means():
    return constructs.summarise_scores(published.load_scores())


def drawn(ax, axis="y"):
    """Centres of all points with intervals in an axis, in the order drawn."""
    lines = [container.lines[0] for container in ax.containers]
    return np.concatenate([np.asarray(getattr(line, f"get_{axis}data")(), float) for line in lines])


def test_mean_ratings_on_the_whole_scale_beside_the_lengths(means, readable):
    readable(study.ratings_figure(means)[0])
    figure, table = study.ratings_figure(means, published.LENGTHS)
    readable(figure)
    left, right = figure.axes
    assert left.get_ylim() == (1, 5)
    np.testing.assert_allclose(np.sort(drawn(left)), np.sort(means["mean"]))
    assert [bar.get_height() for bar in right.patches] == [246, 215, 227, 409]
    assert table["characters"].tolist() == [246, 215, 227, 409] * 5


def test_lines_of_length_are_one_for_each_method(make_ratings, readable):
    quarters = constructs.length_table(make_ratings())
    figure, table = study.length_figure(quarters)
    readable(figure)
    assert len(table) == 16 and table["n"].eq(12).all()
    np.testing.assert_allclose(drawn(figure.axes[0]), quarters["mean"])


def test_rating_distribution_is_in_percent_around_the_middle(readable):
    figure, table = study.rating_distribution(published.load_counts())
    readable(figure)
    whole = table.groupby(["construct", "method"])["share"].sum()
    assert whole.tolist() == pytest.approx([100] * 20)
    assert table["count"].sum() == 5 * 1114
    bars = figure.axes[0].patches  # of Plausibility: four methods of each score in turn
    assert bars[8].get_x() + bars[8].get_width() / 2 == pytest.approx(0)  # score 3, CF:Unrevised
    assert bars[0].get_width() == pytest.approx(100 * 8 / 277)


def test_effects_are_filled_where_the_interval_excludes_no_difference(readable):
    effects = constructs.vda_table(published.load_scores())
    figure, table = study.effect_figure(effects, "A", "A", 0.5)
    readable(figure)
    (key,) = figure.legends
    words = ["95 % interval without 0.5", "with 0.5"]
    assert [text.get_text() for text in key.get_texts()] == words
    assert [mark.get_markerfacecolor() for mark in key.get_lines()] == ["black", "white"]
    centres = np.concatenate([drawn(ax, "x") for ax in figure.axes])
    np.testing.assert_allclose(np.sort(centres), np.sort(table["A"]))


def test_decisions_are_filled_where_a_conclusion_holds(monkeypatch, tmp_path, readable):
    monkeypatch.setattr(paths, "RAW", tmp_path)
    two = published.decision_table()
    others = two.replace({"all runs": "without run 0", "1.5 IQR (paper)": "3 IQR"})
    for table in (two, pd.concat([two, others])):
        figure, same = study.specification_plot(table)
        readable(figure)
        assert same is table
        filled = [line.get_markerfacecolor() == "black" for line in figure.axes[0].lines]
        assert filled == list(table["holds"])
