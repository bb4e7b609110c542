"""The figures of the human study: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths
from lib.common.methods import PAPER_ARMS
from lib.figures import study
from lib.human_study import analysis, constructs, published, reference
from lib.human_study.ratings import melt_ratings

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture(scope="module")
def means():
    return constructs.summarise_scores(published.load_scores())


def drawn(ax, axis="y"):
    """Centres of all points with intervals in an axis, in the order drawn."""
    lines = [container.lines[0] for container in ax.containers]
    return np.concatenate([np.asarray(getattr(line, f"get_{axis}data")(), float) for line in lines])


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_accuracy_of_published_cells(readable):
    figure, table = study.accuracy_figure(published.load_panels())
    readable(figure)
    assert list(table["method"][:4]) == list(PAPER_ARMS)
    assert figure.axes[1].get_title() == "T5 220M\nwithout the paper's outliers"
    runs = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert runs[1] == ["n = 5", "n = 5", "n = 4", "n = 6"]
    first = table.iloc[0]
    half = 2.570581835636314 * 4.13732568117254 / np.sqrt(6)  # t, 5 degrees of freedom
    assert (first["n"], first["mean"]) == (6, pytest.approx(53.1661097466667))
    assert first["high"] - first["mean"] == pytest.approx(half)
    np.testing.assert_allclose(drawn(figure.axes[0], "x"), table["mean"][:4])
    assert "from ±3.3 to ±1.2 points" in figure.get_suptitle()


def test_gamma_stands_beside_the_spread_of_seeds(readable):
    runs, cell = published.load_gamma()
    figure, table = study.gamma_figure(runs, cell)
    readable(figure)
    assert (cell["n"], table["low"][0]) == (5, pytest.approx(cell["mean"] - cell["sd"]))
    assert table["accuracy"].tolist() == pytest.approx([76.495, 77.068, 75.676, 77.641, 75.839])
    assert "by 2.0 points" in figure.get_suptitle()


def test_the_papers_figures_on_its_own_axes(means, readable):
    figure, table = study.paper_axes(published.load_cells(), means)
    readable(figure)
    accuracy, rating = figure.axes
    assert accuracy.get_ylim()[0] == 50 and rating.get_ylim()[0] == 3.5
    assert len(accuracy.patches) == 8 and len(rating.patches) == 20 and len(table) == 28
    assert accuracy.patches[0].get_height() == pytest.approx(53.1661097466667)


def test_mean_ratings_beside_the_lengths(means, readable):
    readable(study.ratings_figure(means)[0])
    figure, table = study.ratings_figure(means, published.LENGTHS)
    readable(figure)
    *panels, right = figure.axes
    assert [ax.get_xlim() for ax in panels] == [(3, 5)] * 5
    found = np.concatenate([drawn(ax, "x") for ax in panels])
    np.testing.assert_allclose(found, table["mean"])
    assert [bar.get_width() for bar in right.patches] == [246, 215, 227, 409]
    assert table["characters"].tolist() == [246, 215, 227, 409] * 5
    assert names_of(panels[0]) == ["CF", "MT", "MT+CF", "MT+CF revised"]


def test_ratings_below_three_are_shown(make_ratings, readable):
    low = constructs.summarise_scores(melt_ratings(make_ratings())).assign(mean=2.4)
    figure, _ = study.ratings_figure(low.assign(low=1.2, high=5.5))
    assert figure.axes[0].get_xlim() == (1, 5) and len(figure.axes) == 6
    readable(figure)


def test_length_has_a_panel_a_method_and_the_others_in_grey(make_ratings, readable):
    quarters = constructs.length_table(make_ratings())
    figure, table = study.length_figure(quarters)
    readable(figure)
    assert len(table) == 16 and table["n"].eq(12).all() and len(figure.axes) == 4
    found = np.concatenate([drawn(ax) for ax in figure.axes])
    np.testing.assert_allclose(found, quarters["mean"])
    assert all(len(ax.lines) >= 5 for ax in figure.axes)


def test_rating_distribution_is_in_percent_around_the_middle(readable):
    figure, table = study.rating_distribution(published.load_counts())
    readable(figure)
    whole = table.groupby(["construct", "method"])["share"].sum()
    assert whole.tolist() == pytest.approx([100] * 20)
    assert table["count"].sum() == 5 * 1114
    bars = figure.axes[0].patches  # of Plausibility: four methods of each score in turn
    assert bars[8].get_x() + bars[8].get_width() / 2 == pytest.approx(0)  # score 3, CF:Unrevised
    assert bars[0].get_width() == pytest.approx(100 * 8 / 277)


def test_effects_are_heavy_where_significant_after_holm(readable):
    scores = published.load_scores()
    p = constructs.dunn_table(scores)[["construct", "pair", "p_holm"]]
    effects = constructs.vda_table(scores).merge(p)
    figure, table = study.effect_figure(effects, "A", "A", 0.5)
    readable(figure)
    assert figure.get_suptitle().startswith("4 of 30 differences")
    assert table["pair"][0] == "MT+CF revised \N{MINUS SIGN} CF"  # the better first
    assert table.groupby("pair")["A"].mean().ge(0.5).all()
    marks = [container.lines[0].get_color() for ax in figure.axes for container in ax.containers]
    assert marks.count("black") == (table["p_holm"] < 0.05).sum() == 4
    centres = np.concatenate([drawn(ax, "x") for ax in figure.axes])
    np.testing.assert_allclose(np.sort(centres), np.sort(table["A"]))


def test_decisions_are_marks_of_a_row_a_pair_shaded_where_they_disagree(
    monkeypatch, tmp_path, readable
):
    monkeypatch.setattr(paths, "RAW", tmp_path)
    two = published.decision_table()
    others = two.replace({"all runs": "without run 0", "1.5 IQR (paper)": "3 IQR"})
    for table in (two, pd.concat([two, others], ignore_index=True)):
        figure, shown = study.specification_plot(table)
        readable(figure)
        effects = table["conclusion"].isin(["method", "size", "method:size"])
        assert len(shown) == len(table) - effects.sum()
        heavy = [c.lines[0].get_color() == "black" for ax in figure.axes for c in ax.containers]
        assert sum(heavy) == shown["holds"].sum()
        assert figure.get_suptitle().startswith("3 of 12 differences depend")
        assert sum(len(ax.patches) for ax in figure.axes) == 3
    interval = shown[shown["conclusion"].str.endswith("MT:Unrevised-CF:Unrevised")].iloc[0]
    assert interval["low"] < interval["value"] < interval["high"]


def test_every_computed_statistic_is_a_dot_beside_rs(readable):
    table = reference.compare_with_paper(analysis.analyse_scores(published.load_scores()))
    figure, shown = study.reproduction_figure(table)
    readable(figure)
    left, right = figure.axes
    dots = left.lines[-1]
    np.testing.assert_array_equal(dots.get_xdata(), shown["R"])
    assert len(shown) == table["ours"].notna().sum() == sum(len(d.get_xdata()) for d in right.lines)
    assert figure.get_suptitle().startswith(f"{len(shown)} of {len(shown)} statistics agree")


def test_power_has_a_panel_an_outcome_and_says_simulated(readable):
    outcomes, people = ["Completeness", "Quality"], [20, 120]
    table = pd.DataFrame([(o, n) for o in outcomes for n in people],
                         columns=["outcome", "participants"])  # fmt: skip
    table = table.assign(repetitions=500, power=[0.2, 1, 0.4, 0.7], lwr=0.1, data="SIMULATED")
    table["upr"] = 1 - 1e-16  # rounding can put it below the share
    figure, shown = study.power_figure(table)
    readable(figure)
    assert shown is table
    assert [ax.get_title() for ax in figure.axes[:2]] == outcomes
    said = figure.get_suptitle()
    assert said.startswith("SIMULATED: participants for a power of 80 %: Completeness 120")
    assert "Quality" not in said and "500 studies a point" in figure.texts[-1].get_text()
    assert any(set(line.get_xdata()) == {117} for line in figure.axes[1].lines)
