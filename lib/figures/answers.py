"""Figures of answers and explanations: paired differences, measures, measures against ratings.

As in lib.figures.training, each function takes a tidy table and gives (figure, table); intervals are 95 %.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.training import arrange, count, frame, key_of_filling, name_rows, require

MINUS = "\N{MINUS SIGN}"
NOTHING = {"las": 0, "gain": 0, "errors_found_without": 0.5, "errors_found_with": 0.5}  # no effect


def difference_figure(pairs: pd.DataFrame):
    """Paired differences in accuracy as points with intervals, a row a pair, a panel a size.

    pairs: size, a, b, n, seeds, over, difference (b minus a), low, high, in percentage points, as
    comparisons.differences gives them. The vertical line is no difference; every panel shows it.
    No colour, as a pair belongs to no method; filled points have intervals without 0. Table: the
    pairs in the order drawn, with the row's name as pair.
    """
    require(
        pairs,
        ["size", "a", "b", "n", "seeds", "over", "difference", "low", "high"],
        "differences between methods",
    )
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
    require(means, ["arm", "size", "measure", "n", "mean", "low", "high"], "explanation measures")
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
    require(
        table,
        ["measure", "construct", "explanations", "rho", "low", "high", "p_holm"],
        "measures against ratings",
    )
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
