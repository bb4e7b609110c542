"""Accuracies, differences, variants, measures and the heat map, drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from lib.common.intervals import wilson
from lib.common.methods import PAPER_ARMS
from lib.evaluation import transfer
from lib.figures import answers, style

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


@pytest.mark.parametrize("seeds, sizes, arms", [(3, 2, 7), (1, 1, 4)])
def test_student_accuracy_is_means_seeds_chance_and_what_it_is_compared_with(
    seeds, sizes, arms, readable
):
    students = make_students(seeds, ("small", "large")[:sizes], style.ARMS[:arms])
    students["accuracy"] = students["correct"] / students["n"]
    means = students.groupby(["size", "arm"], sort=False)["accuracy"].mean().reset_index()
    means = means.assign(n=40, seeds=seeds, low=means["accuracy"] - 0.1)
    means = means.assign(high=means["accuracy"] + 0.1)
    untrained = pd.DataFrame({"size": ["small"], "reading": ["sum"], "accuracy": [0.25]})
    untrained = untrained.assign(low=0.2, high=0.3)
    paper = {"MT:Unrevised": 75.6}
    figure, table = answers.student_accuracy(means, students, 0.2, paper, untrained)
    readable(figure)
    assert len(table) == len(means) + 1 and len(figure.axes) == sizes
    ax = figure.axes[0]
    assert names_of(ax)[1:3] == ["CF", "MT"] and names_of(ax)[-1] == "untrained: sum"
    np.testing.assert_allclose(drawn(ax, "x")[:arms], 100 * means["accuracy"][:arms])
    assert any(set(line.get_xdata()) == {20} for line in ax.lines)
    ticks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "|"]
    assert 75.6 in ticks
    small = [line for line in ax.lines if line.get_markersize() == 2.5]
    assert len(small) == (arms if seeds > 1 else 0)
    above = means.loc[means["low"] > 0.2, "arm"].map(style.short)
    said = figure.get_suptitle()
    assert all(name in said for name in above) or "all" in said
    ahead = means.loc[(means["low"] > 0.3) & (means["size"] == "small"), "arm"].map(style.short)
    said = " ".join(said.split()).partition("; above the untrained model: ")[2]
    assert said == ("none" if ahead.empty else ", ".join(ahead))


def test_variants_of_a_number_stand_beside_the_authors_values(readable):
    ours = pd.DataFrame(
        {"source": "this run", "arm": "MT+CF:Unrevised", "variant": ["low", "high"]}
    ).assign(value=[0.1, 0.9], accuracy=0.4, low=0.2, high=0.7)
    theirs = ours.assign(source="the paper", accuracy=[0.76, 0.75], low=np.nan, high=np.nan)
    table = pd.concat([ours, theirs], ignore_index=True)
    figure, same = answers.variant_figure(table, 0.2, "gamma")
    readable(figure)
    assert same is table and figure.axes[0].get_xlabel() == answers.SETTINGS["gamma"]
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert list(crosses[0].get_ydata()) == pytest.approx([76, 75])
    assert "20 points" not in figure.get_suptitle() and "0 points" in figure.get_suptitle()
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


def test_differences_stand_better_first_and_are_heavy_without_zero(readable):
    pairs = make_pairs()
    figure, table = answers.difference_figure(pairs)
    readable(figure)
    assert len(table) == len(pairs) and "a" not in table
    assert names_of(figure.axes[0]) == list(dict.fromkeys(table["pair"]))
    assert table["pair"][0] == "MT, no tag \N{MINUS SIGN} label-only"
    turned = table[table["pair"] == "label-only \N{MINUS SIGN} MT"].set_index("size")
    assert turned.loc["770M", ["difference", "low", "high"]].tolist() == [10.5, 1.5, 19.5]
    for ax, size in zip(figure.axes, ("135M", "770M"), strict=True):
        part = table[table["size"] == size]
        for container, row in zip(ax.containers, part.itertuples(), strict=True):
            point, _, (bars,) = container.lines
            (start, _), (end, _) = bars.get_segments()[0]
            assert (point.get_xdata()[0], start, end) == (row.difference, row.low, row.high)
            clear = row.low > 0 or row.high < 0
            assert (point.get_color() == "black") == clear
        assert any(set(line.get_xdata()) == {0} for line in ax.lines)
    assert figure.get_suptitle().startswith("2 of 6 differences")


def make_claims():
    numbers = {"ours": [7.1, 0.9, 41.0], "low": [4.0, -1.1, 37.7], "high": [10.2, 2.9, 44.1]}
    paper = {"paper": [9.3, 0.4, np.nan], "paper_low": [1.4, -1.6, np.nan]}
    return pd.DataFrame(
        {"claim": ["MT is ahead of CF", "MT is ahead of MT+CF", "revised texts name more"]}
        | {"pair": ["MT:Unrevised - CF:Unrevised"] * 2 + ["MT+CF:Revised - MT+CF:Unrevised"]}
        | numbers
        | paper
        | {"paper_high": [17.2, 2.4, np.nan], "likely": [6.9, 0.1, np.nan]}
        | {"verdict": ["holds", "open", "holds"]}
    )


def test_claims_stand_beside_the_papers_with_their_verdicts(readable):
    figure, table = answers.claims_figure(make_claims())
    readable(figure)
    accuracy, named = figure.axes
    assert drawn(accuracy, "x").tolist() == [9.3, 7.1, 0.4, 0.9]
    assert drawn(named, "x")[1] == 41
    colours = [container.lines[0].get_color() for container in accuracy.containers[1::2]]
    assert colours == ["black", "#8C8C8C"]
    assert [text.get_text() for text in accuracy.texts] == ["holds", "open"]
    assert names_of(named)[0].endswith("MT+CF revised \N{MINUS SIGN} MT+CF")
    assert figure.get_suptitle().startswith("2 of 3 claims hold, 1 open, 0 fail")


def test_position_bias_is_a_curve_an_arm_over_the_number_of_questions(readable):
    rows = [
        (questions, arm, letter, share + 3 * (letter == "B"))
        for letter in "AB"
        for questions, shares in {640: (30, 59), 8628: (20, 21)}.items()
        for arm, share in zip(("label-only", "CF:Unrevised"), shares, strict=True)
    ]
    shares = pd.DataFrame(rows, columns=["questions", "arm", "letter", "share"])
    shares = shares.assign(low=shares["share"] - 4, high=shares["share"] + 4, gold=19.6)
    figure, table = answers.position_figure(shares)
    readable(figure)
    assert table is shares and [ax.get_title() for ax in figure.axes] == ["(A)", "(B)"]
    assert drawn(figure.axes[0]).tolist() == [30, 20, 59, 21]
    assert "CF chooses (B) in 62 % after 640, 24 % after 8,628" in figure.get_suptitle()
    assert {text.get_text() for text in figure.axes[0].texts} == {"label-only", "CF"}


def test_six_measures_have_a_panel_each_and_an_arrow_for_better(readable):
    values = {"characters": 210, "mentions_other_choices": 0.3, "las": 0.05, "reading_grade": 9}
    means = pd.DataFrame(
        [
            (arm, "135M", measure, 40, mean + i / 2, mean + i / 2 - 0.1, mean + i / 2 + 0.1)
            for measure, mean in values.items()
            for i, arm in enumerate(("MT:Unrevised", "MT:Revised"))
            if (measure, i) != ("las", 1)
        ],
        columns=["arm", "size", "measure", "n", "mean", "low", "high"],
    )
    figure, table = answers.measure_figure(means)
    readable(figure)
    assert len(figure.axes) == 6 and "reading_grade" not in set(table["measure"])
    titles = [ax.get_title().split("\n")[-1] for ax in figure.axes]
    assert titles[:3] == [
        "Characters",
        "Other choices named → better",
        "Reader helped (LAS) → better",
    ]
    assert titles[3].startswith("better ← ")
    las = figure.axes[2]
    assert any(set(line.get_xdata()) == {0} for line in las.lines)
    assert [text.get_text() for text in las.texts] == ["–"]  # not defined for the other arm
    assert "axis from" in figure.axes[0].get_xlabel()
    assert figure.get_suptitle().startswith("1 of 4 measures")


def test_support_has_a_panel_for_each_measure_that_is_defined(readable):
    arms = ("answer-first:Unrevised", "MT+CF:Revised", "MT:Unrevised")
    means = pd.DataFrame(
        {
            "arm": arms * 4,
            "size": "135M",
            "measure": np.repeat(["agrees_masked", "words", "argues_against", "agrees"], 3),
            "n": 100,
            "mean": [np.nan] * 3 + [9.0] * 3 + [0.01, 0.3, 0.02] + [0.97, 0.46, 0.58],
        }
    )
    means = means.assign(low=means["mean"] - 0.05, high=means["mean"] + 0.02)
    figure, table = answers.support_figure(means)
    readable(figure)
    assert [ax.get_title() for ax in figure.axes] == [*answers.SUPPORT.values()][:2]
    assert names_of(figure.axes[0]) == ["MT", "answer-first", "MT+CF revised"]
    assert table["mean"].tolist() == pytest.approx([58, 97, 46, 2, 1, 30])
    said = "The first choice named is the own answer in 46 % (MT+CF revised) to 97 % (answer-first)"
    assert " ".join(figure.get_suptitle().split()) == said
    read = means.assign(mean=means["mean"].fillna(0.5))
    read = pd.concat([read, read.assign(size="1B")])
    figure, _ = answers.support_figure(read)
    readable(figure)
    assert len(figure.axes) == 3 and len(names_of(figure.axes[0])) == 6


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
    assert ax.collections[0].get_clim() == (-60, 60)  # the same in all runs; white is chance
    low, high = (f"{100 * bound:.0f}" for bound in wilson(90, 180))
    texts = {text.get_text(): text.get_fontweight() for text in ax.texts}
    assert texts["50 (+30)"] == "bold" and texts["48 (\N{MINUS SIGN}2)"] == "normal"
    assert f"{low} to {high}" in texts
    (frame,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (0, 0)


def test_a_map_is_drawn_where_something_carries_over():
    nothing = make_cells([("a", "minicqa", ["label-only"], MINI)])
    assert not transfer.carries_over(nothing)
    better = MINI | {"minicqa_yesno": (90, 75, 50)}
    assert transfer.carries_over(make_cells([("a", "minicqa", ["label-only"], better)]))


def test_the_map_of_several_runs_is_readable(readable):
    more = {"commonsenseqa": (1221, 60, 20), "strategyqa": (687, 50, 50), "esnli": (1000, 36, 33.3)}
    other = ("smollm2", "commonsenseqa", ["label-only", "MT+CF:Unrevised"], MINI | more)
    figure, table = answers.heat_map(make_cells([("cpu", "minicqa", style.ARMS, MINI), other]))
    readable(figure)
    assert len(figure.axes[0].texts) == 2 * len(table)
    assert names_of(figure.axes[0])[-1] == "MT+CF (commonsenseqa, smollm2)"


@pytest.mark.parametrize("of", ["measure", "within"])
def test_agreement_has_a_panel_a_construct_and_heavy_marks_where_significant(of, readable):
    rows = ["all", *PAPER_ARMS] if of == "within" else ["characters", "empty", "reading_grade"]
    table = pd.MultiIndex.from_product([rows, ["Plausibility", "Quality"]], names=[of, "construct"])
    table = table.to_frame(index=False).assign(explanations=1200, p_holm=0.01)
    table["rho"] = np.linspace(-0.3, 0.4, len(table))
    table.loc[table[of] == "empty", "rho"] = np.nan
    table.loc[table[of] == "reading_grade", "p_holm"] = 0.2
    table = table.assign(low=table["rho"] - 0.1, high=table["rho"] + 0.1)
    figure, same = answers.agreement_figure(table)
    readable(figure)
    pd.testing.assert_frame_equal(same, table)
    assert [ax.get_title() for ax in figure.axes] == ["Plausibility", "Quality"]
    first = table[table["construct"] == "Plausibility"]
    np.testing.assert_allclose(drawn(figure.axes[0], "x"), first["rho"])
    marks = [container.lines[0].get_color() for container in figure.axes[0].containers]
    if of == "within":
        assert set(marks) == {"black"} and names_of(figure.axes[0])[1] == "CF (1,200)"
    else:
        assert [marks[0], marks[2]] == ["black", "#8C8C8C"]
        assert names_of(figure.axes[0])[2] == "reading grade (1,200)"
