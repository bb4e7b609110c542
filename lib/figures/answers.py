"""Figures of accuracies, paired differences, measures, and measures against ratings.

Each function takes a tidy table and gives (figure, table); intervals are 95 %.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lib.common.intervals import mean_interval, wilson
from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import (
    MINUS,
    arrange,
    count,
    draw_points,
    frame,
    key_of_filling,
    name_rows,
)

NOTHING = {"las": 0, "gain": 0, "errors_found_without": 0.5, "errors_found_with": 0.5}  # no effect


def accuracy_figure(data: pd.DataFrame):
    """Accuracy of each method at each size, mean with t interval over runs: the paper's cells.

    Below a size stand the numbers of runs, in the order of its points.

    data: panel (side by side), method, size, n, mean, sd, in percent, a row a cell, as
    accuracy.published_cells gives them. Table: panel, size, method, n, mean, sd, low, high.
    """
    table = data.astype({"method": str, "size": str})
    low, high = mean_interval(table["mean"], table["sd"], table["n"])
    table = table.assign(low=low, high=high)
    arms = order_arms(table["method"])
    names, sizes = data["panel"].unique().tolist(), data["size"].unique().tolist()
    table = arrange(table, {"panel": names, "size": sizes, "method": arms})
    table = table[["panel", "size", "method", "n", "mean", "sd", "low", "high"]]
    figure, axes = plt.subplots(
        1, len(names), sharey=True, squeeze=False, figsize=(style.DOUBLE, 2.8)
    )
    for ax, name in zip(axes[0], names, strict=True):
        for arm, offset in zip(arms, style.spread(len(arms)), strict=True):
            part = table[(table["panel"] == name) & (table["method"] == arm)]
            draw_points(
                ax,
                part["size"].map(sizes.index) + offset,
                part["mean"],
                part["low"],
                part["high"],
                arm,
            )
        runs = table[table["panel"] == name].astype({"n": str}).groupby("size", sort=False)["n"]
        ax.set_xticks(
            range(len(sizes)),
            [f"{size}\n({', '.join(runs.get_group(size))} runs)" for size in sizes],
        )
        ax.set(xlim=(-0.5, len(sizes) - 0.5), xlabel="Student size", title=name)
    frame(axes[0, 0], "y", "Accuracy (%)", table[["mean", "low", "high"]], 0, 100)
    style.legend(figure, arms)
    return figure, table


def student_accuracy(students: pd.DataFrame, chance: float):
    """Accuracy of every student with Wilson's interval over the test questions, and chance.

    students: arm, size, seed, correct, n (questions); chance: that of guessing, a fraction.
    Table: arm, size, seed, correct, total (n), accuracy, low, high (percent).
    """
    columns = ["arm", "size", "seed", "correct", "n"]
    table = students[columns].astype({"arm": str, "size": str}).rename(columns={"n": "total"})
    table["accuracy"] = 100 * table["correct"] / table["total"]
    bounds = [wilson(int(row.correct), int(row.total)) for row in table.itertuples()]
    table[["low", "high"]] = 100 * np.array(bounds)
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    seeds = sorted(table["seed"].unique())
    figure, axes = plt.subplots(
        1,
        len(sizes),
        sharey=True,
        squeeze=False,
        figsize=(style.COLUMN if len(sizes) * len(arms) * len(seeds) < 15 else style.DOUBLE, 2.8),
    )
    for ax, size in zip(axes[0], sizes, strict=True):
        for place, arm in enumerate(arms):
            part = table[(table["size"] == size) & (table["arm"] == arm)].sort_values("seed")
            x = place + np.array(style.spread(len(part), min(0.7, 0.15 * len(part))))
            draw_points(ax, x, part["accuracy"], part["low"], part["high"], arm, capsize=1.5)
        ax.axhline(100 * chance, color=style.GREY, linestyle=":")
        ax.set_xticks([])
        total = count(table.loc[table["size"] == size, "total"], "question")
        ax.set(xlim=(-0.6, len(arms) - 0.4), ylim=(0, 100), title=f"{size} students ({total})")
    axes[0, 0].set_ylabel("Accuracy (%)")
    line = Line2D([], [], color=style.GREY, linestyle=":", label="chance")
    style.legend(
        figure, arms, more=[line], columns=2 if figure.get_figwidth() < style.DOUBLE else 4
    )
    return figure, table


def difference_figure(pairs: pd.DataFrame):
    """Paired differences in accuracy as points with intervals, a row a pair, a panel a size.

    pairs: size, a, b, n, seeds, over, difference (b minus a), low, high, in percentage points, as
    comparisons.differences gives them. The vertical line is no difference; every panel shows it.
    No colour, as a pair belongs to no method; filled points have intervals without 0. Table: the
    pairs in the order drawn, with the row's name as pair.
    """
    table = pairs.assign(pair=pairs["b"] + f" {MINUS} " + pairs["a"])
    names, sizes = list(dict.fromkeys(table["pair"])), list(dict.fromkeys(table["size"]))
    table = arrange(table, {"size": sizes, "pair": names})
    figure, axes = plt.subplots(
        1,
        len(sizes),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(style.DOUBLE if len(sizes) > 1 else 1.4 * style.COLUMN, 1.1 + 0.19 * len(names)),
    )
    for ax, (size, part) in zip(axes[0], table.groupby("size", sort=False), strict=True):
        ax.axvline(0, color=style.GREY, linewidth=0.9)
        clear = (part["low"] > 0) | (part["high"] < 0)
        for rows, colour in ((part[clear], "black"), (part[~clear], "white")):
            ax.errorbar(
                rows["difference"],
                rows["pair"].map(names.index),
                linestyle="none",
                xerr=[rows["difference"] - rows["low"], rows["high"] - rows["difference"]],
                marker="o",
                markersize=4,
                color="black",
                markerfacecolor=colour,
                elinewidth=1,
            )
        ax.set_title(
            f"{size} students ({count(part['n'], 'question')}, {count(part['seeds'], 'seed')})"
        )
    ends = np.array([*table["low"], *table["high"], 0.0])
    room = 0.05 * (np.ptp(ends) or 1)
    axes[0, 0].set_xlim(ends.min() - room, ends.max() + room)
    name_rows(axes[0], names)
    key_of_filling(
        figure,
        "95 % interval without 0",
        "with 0",
        "Difference in accuracy (percentage points; right of 0: the first is better)",
    )
    return figure, table


def measure_figure(means: pd.DataFrame, labels: dict[str, str]):
    """Each measure of the explanations as a panel: a point a method with its interval.

    means: arm, size, measure, n, mean, low, high; labels: measure -> what it says (its panels, in
    order). Axes start where the values do: a panel compares methods, panels do not compare. Below
    a panel: how many explanations (or answers) a mean is of; dotted: no effect, where a measure
    has such a value. Table: what is drawn.
    """
    table = means[means["measure"].isin(labels) & means["mean"].notna()].reset_index(drop=True)
    shown = [name for name in labels if name in set(table["measure"])]
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    places = {key: i for i, key in enumerate((arm, size) for size in sizes for arm in arms)}
    names = [arm if len(sizes) == 1 else f"{arm} {size}" for arm, size in places]
    columns, rows = 3, -(-len(shown) // 3)
    figure, axes = plt.subplots(
        rows,
        columns,
        sharey=True,
        squeeze=False,
        figsize=(style.DOUBLE, 0.4 + (0.6 + 0.17 * len(places)) * rows),
    )
    for ax, name in zip(axes.flat, shown, strict=False):
        part = table[table["measure"] == name]
        for row in part.itertuples():
            error = [[row.mean - row.low], [row.high - row.mean]]
            ax.errorbar(
                row.mean,
                places[row.arm, row.size],
                xerr=np.nan_to_num(error),
                elinewidth=1,
                linestyle="none",
                clip_on=False,  # a point at 0 stays whole
                **style.point(row.arm) | {"markersize": 4},
            )
        ends = [*part[["mean", "low", "high"]].to_numpy().ravel()]
        if name in NOTHING:
            ax.axvline(NOTHING[name], color=style.GREY, linestyle=":")
            ends.append(NOTHING[name])
        low, high = np.nanmin(ends), np.nanmax(ends)
        least = 0 if low > 0 or low == 0 and NOTHING.get(name) != 0 else min(-1, 2 * low)
        most = 1 if high <= 1 else 2 * high
        frame(ax, "x", f"n = {count(part['n'])}", ends, least, most)
        ax.xaxis.label.set_size(7)
        ax.set_title("\n".join(textwrap.wrap(labels[name], 38)), fontsize=7)
    for ax in list(axes.flat)[len(shown) :]:
        ax.set_axis_off()
    name_rows(axes.ravel(), names)
    return figure, table


def agreement_figure(table: pd.DataFrame):
    """Rank correlations with mean ratings as points with intervals, a panel a construct.

    table: measure, construct, explanations, rho, low, high, p_holm (lib.findings.agreement). A row is a
    measure, filled where p_holm is below 0.05; if the table has the column within, a row is one of
    its values, methods in their colours. Where rho is not defined there is no point. In brackets
    the number of explanations. Table: unchanged.
    """
    of = "within" if "within" in table.columns else "measure"
    counts = table.groupby(of, sort=False)["explanations"].first()
    names, constructs = list(counts.index), list(dict.fromkeys(table["construct"]))
    figure, axes = plt.subplots(
        1,
        len(constructs),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(style.DOUBLE, 1.1 + 0.2 * len(names)),
    )
    for ax, construct in zip(axes[0], constructs, strict=True):
        ax.axvline(0, color=style.GREY, linewidth=0.9)
        part = table[(table["construct"] == construct) & table["rho"].notna()]
        for name, row in zip(part[of], part.itertuples(), strict=True):
            clear = of == "within" or row.p_holm < 0.05
            look = (
                style.point(name)
                if of == "within" and name != "all"
                else {"marker": "o", "color": "black", "markerfacecolor": "k" if clear else "w"}
            )
            error = np.nan_to_num([[row.rho - row.low], [row.high - row.rho]])
            ax.errorbar(
                row.rho,
                names.index(name),
                xerr=error,
                linestyle="none",
                elinewidth=1,
                **look | {"markersize": 4},
            )
        ax.set_title(construct, fontsize=7)
        ax.set_xlabel("Spearman's rho")
    widest = np.nan_to_num(table[["rho", "low", "high"]].abs()).max() or 1
    end = min(1, np.ceil(10 * widest) / 10)
    axes[0, 0].set(xlim=(-1.15 * end, 1.15 * end))
    axes[0, 0].set_xticks((-end, 0, end), [f"{MINUS}{end:g}", "0", f"{end:g}"])
    name_rows(axes[0], [f"{name.replace('_', ' ')} ({count:,})" for name, count in counts.items()])
    if of == "measure":
        key_of_filling(figure, "p < 0.05 (Holm)", "p ≥ 0.05")
    return figure, table
