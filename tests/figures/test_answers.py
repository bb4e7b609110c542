"""Accuracies, differences, variants, measures and the heat map, drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from lib.common.intervals import wilson
from lib.common.methods import PAPER_ARMS
from lib.figures import answers, style
from lib.human_study import published

pytestmark = pytest.mark.usefixtures("style")


def make_students(seeds=3, sizes=("small", "large"), arms=style.ARMS, n=40):
    rng = np.random.default_rng(0)
    rows = [
        (arm, size, seed, n, int(rng.binomial(n, 0.3 + 0.05 * i)))
        for size in sizes
        for i, arm in enumerate(arms)
        for seed in range(seeds)
    ]
    table = pd.DataFrame(rows, columns=["arm", "size", "seed", "n", "correct"])
    low, high = wilson(table["correct"], table["n"])
    return table.assign(low=low, high=high)


def drawn(ax, axis="y"):
    """Centres of all points with intervals in an axis, in the order drawn."""
    lines = [container.lines[0] for container in ax.containers]
    return np.concatenate([np.asarray(getattr(line, f"get_{axis}data")(), float) for line in lines])


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_accuracy_of_published_cells(readable):
    figure, table = answers.accuracy_figure(published.load_panels())
    readable(figure)
    assert list(table["panel"].unique()) == ["all runs", "without the paper's outliers"]
    assert list(table["method"][:4]) == list(PAPER_ARMS)
    assert [[text.get_text() for text in ax.get_xticklabels()] for ax in figure.axes] == [
        ["220M\n(6, 6, 6, 6 runs)", "770M\n(6, 5, 5, 6 runs)"],
        ["220M\n(5, 5, 4, 6 runs)", "770M\n(5, 5, 4, 5 runs)"],
    ]
    first = table.iloc[0]
    half = 2.570581835636314 * 4.13732568117254 / np.sqrt(6)  # t, 5 degrees of freedom
    assert (first["n"], first["mean"]) == (6, pytest.approx(53.1661097466667))
    assert first["high"] - first["mean"] == pytest.approx(half)
    one = table[table["panel"] == "all runs"]
    np.testing.assert_allclose(np.sort(drawn(figure.axes[0])), np.sort(one["mean"]))


@pytest.mark.parametrize("seeds, sizes, arms", [(3, 2, 7), (1, 1, 4)])
def test_student_accuracy_has_wilson_intervals_and_chance(seeds, sizes, arms, readable):
    students = make_students(seeds, ("small", "large")[:sizes], style.ARMS[:arms])
    figure, table = answers.student_accuracy(students, chance=0.2)
    readable(figure)
    assert len(table) == len(students) and len(figure.axes) == sizes
    row = table.iloc[0]
    limits = row["low"] / 100, row["high"] / 100
    assert limits == pytest.approx(wilson(row["correct"], row["total"]))
    assert any(np.allclose(line.get_ydata(), 20) for line in figure.axes[0].lines)
    assert figure.axes[0].get_ylim() == (0, 100)
    assert figure.axes[0].get_title() == "small students (40 questions)"


def test_variants_of_a_number_stand_beside_the_authors_values(readable):
    ours = pd.DataFrame(
        {"source": "this run", "arm": "MT+CF:Unrevised", "variant": ["low", "high"]}
    ).assign(value=[0.1, 0.9], accuracy=0.4, low=0.2, high=0.7)
    theirs = ours.assign(source="the paper", accuracy=[0.76, 0.75], low=np.nan, high=np.nan)
    table = pd.concat([ours, theirs], ignore_index=True)
    figure, same = answers.variant_figure(table, 0.2, "gamma")
    readable(figure)
    assert same is table and figure.axes[0].get_xlabel() == answers.SETTINGS["gamma"]
    assert list(figure.axes[0].lines[-2].get_ydata()) == pytest.approx([76, 75])
    figure, _ = answers.variant_figure(ours.drop(columns="value"), 0.2, None)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["low", "high"]


def make_pairs():
    arms = ["label-only", "MT:Unrevised", "MT:Unrevised, no tag"]
    rows = [
        (size, a, b, 30, 2, "seeds x questions", centre, centre - 9, centre + 9)
        for size, centres in {"135M": (5, 12, -3), "770M": (-10.5, 2, 0)}.items()
        for (a, b), centre in zip([arms[:2], arms[::2], arms[1:]], centres, strict=True)
    ]
    columns = ["size", "a", "b", "n", "seeds", "over", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def test_differences_are_points_beside_a_line_at_zero(readable):
    pairs = make_pairs()
    figure, table = answers.difference_figure(pairs)
    readable(figure)
    pd.testing.assert_frame_equal(table.drop(columns="pair"), pairs)
    assert figure.axes[0].get_title() == "135M students (30 questions, 2 seeds)"
    names = names_of(figure.axes[0])
    assert names[0] == "MT:Unrevised \N{MINUS SIGN} label-only"
    for ax, (_, part) in zip(figure.axes, table.groupby("size", sort=False), strict=True):
        for container, row in zip(ax.containers, part.itertuples(), strict=True):
            point, _, (bars,) = container.lines
            (start, _), (end, _) = bars.get_segments()[0]
            assert (point.get_xdata()[0], start, end) == (row.difference, row.low, row.high)
            assert names[int(point.get_ydata()[0])] == row.pair
            clear = row.low > 0 or row.high < 0
            assert point.get_markerfacecolor() == ("black" if clear else "white")
        assert any(set(line.get_xdata()) == {0} for line in ax.lines)
        assert ax.get_xlim()[0] < part["low"].min() and ax.get_xlim()[1] > part["high"].max()


def test_measures_have_a_panel_each_and_a_line_at_no_effect(readable):
    labels = {"consistency": "share from which a reader gets the student's answer"}
    labels |= {"las": "simulatability", "errors_found_with": "area under the curve", "none": "x"}
    means = pd.DataFrame(
        [
            (arm, "135M", measure, 40, mean, mean - 0.1, mean + 0.1)
            for measure, mean in {"consistency": 0.8, "las": 0.05, "errors_found_with": 0.6}.items()
            for arm in ("MT:Unrevised", "MT:Revised")
        ],
        columns=["arm", "size", "measure", "n", "mean", "low", "high"],
    )
    figure, table = answers.measure_figure(means, labels)
    readable(figure)
    panels = dict(zip(table["measure"].unique(), figure.axes, strict=True))
    assert list(panels) == list(labels)[:3]
    for name, ax in panels.items():
        assert drawn(ax, "x").tolist() == table.loc[table["measure"] == name, "mean"].tolist()
        dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        assert dotted == [answers.NOTHING[name]] if name in answers.NOTHING else not dotted
        start, end = ax.get_xlim()
        assert ax.get_xlabel().startswith("n = 40") and end <= 1
        assert ("axis from" in ax.get_xlabel()) == (start != 0) and (start >= 0 or name == "las")
    assert panels["consistency"].get_title().replace("\n", " ") == labels["consistency"]


def make_cells(runs):
    """Cells of a heat map; runs: profile, dataset learned, arms, {asked: (n, accuracy, chance)}."""
    rows = [
        (learned, "135M", profile, arm, asked, 1, n, accuracy, chance)
        for profile, learned, arms, scores in runs
        for arm in arms
        for asked, (n, accuracy, chance) in scores.items()
    ]
    columns = ["trained_on", "size", "profile", "arm", "task", "seeds", "n", "accuracy", "chance"]
    table = pd.DataFrame(rows, columns=columns)
    low, high = wilson(table["accuracy"] * table["n"] / 100, table["n"])
    table = table.assign(low=100 * low, high=100 * high)
    return table.assign(
        above=table["accuracy"] - table["chance"], own=table["trained_on"] == table["task"]
    )


MINI = {"minicqa": (180, 50, 20), "minicqa_yesno": (90, 48, 50)}


def test_the_map_shows_numbers_frames_and_chance():
    figure, table = answers.heat_map(make_cells([("a", "minicqa", ["label-only"], MINI)]))
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "minicqa\nn = 180\nchance 20 %",
        "minicqa_yesno\nn = 90\nchance 50 %",
    ]
    assert names_of(ax) == ["label-only (minicqa)"] == table["student"].unique().tolist()
    np.testing.assert_allclose(ax.collections[0].get_array().ravel(), [30, -2])
    assert ax.collections[0].get_clim() == (-30, 30)  # white is chance
    low, high = (f"{100 * bound:.0f}" for bound in wilson(90, 180))
    texts = {text.get_text(): text.get_fontweight() for text in ax.texts}
    assert texts["50 (+30)"] == "bold" and texts["48 (\N{MINUS SIGN}2)"] == "normal"
    assert f"{low} to {high}" in texts
    (frame,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (0, 0)


def test_the_map_of_several_runs_is_readable(readable):
    more = {"commonsenseqa": (1221, 60, 20), "strategyqa": (687, 50, 50), "esnli": (1000, 36, 33.3)}
    other = ("smollm2", "commonsenseqa", ["label-only", "MT+CF:Unrevised"], MINI | more)
    figure, table = answers.heat_map(make_cells([("cpu", "minicqa", style.ARMS, MINI), other]))
    readable(figure)
    assert len(figure.axes[0].texts) == 2 * len(table)
    assert names_of(figure.axes[0])[-1] == "MT+CF:Unrevised (commonsenseqa, smollm2)"


@pytest.mark.parametrize("of", ["measure", "within"])
def test_agreement_has_a_panel_a_construct_and_fills_what_is_significant(of, readable):
    rows = ["all", *PAPER_ARMS] if of == "within" else ["characters", "empty", "reading_grade"]
    table = pd.MultiIndex.from_product([rows, ["Plausibility", "Quality"]], names=[of, "construct"])
    table = table.to_frame(index=False).assign(explanations=1200, p_holm=0.01)
    table["rho"] = np.linspace(-0.3, 0.4, len(table))
    table.loc[table[of] == "empty", "rho"] = np.nan
    table.loc[table[of] == "reading_grade", "p_holm"] = 0.2
    table = table.assign(low=table["rho"] - 0.1, high=table["rho"] + 0.1)
    figure, same = answers.agreement_figure(table)
    pd.testing.assert_frame_equal(same, table)
    assert [ax.get_title() for ax in figure.axes] == ["Plausibility", "Quality"]
    first = table[table["construct"] == "Plausibility"].dropna(subset="rho")
    np.testing.assert_allclose(drawn(figure.axes[0], "x"), first["rho"])
    marks = [container.lines[0] for container in figure.axes[0].containers]
    if of == "within":
        colours = ["black", *map(style.colour_of, PAPER_ARMS)]
        assert [mark.get_color() for mark in marks] == colours
    else:
        assert [mark.get_markerfacecolor() for mark in marks] == ["black", "white"]
        assert names_of(figure.axes[0])[2] == "reading grade (1,200)"
    readable(figure)
