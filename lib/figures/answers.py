"""Figures of accuracies, paired differences, variants, measures, and what transfers.

Each function takes a finished table and gives (figure, table); intervals are 95 %.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import MINUS, arrange, count, draw_points, frame, key_of_filling, name_rows

NOTHING = {"las": 0, "gain": 0, "errors_found_without": 0.5, "errors_found_with": 0.5}  # no effect
SETTINGS = {"gamma": "gamma: weight of MT within MT+CF", "share": "Share of the train questions"}


def accuracy_figure(cells: pd.DataFrame):
    """Accuracy of each method at each size, mean with t interval over runs: the paper's cells.

    Below a size stand the numbers of runs, in the order of its points.

    cells: panel (side by side), method, size, n, mean, sd, low, high, in percent, as
    published.load_panels gives them. Table: panel, size, method, n, mean, sd, low, high.
    """
    table = cells.astype({"method": str, "size": str})
    panels, sizes = list(dict.fromkeys(table["panel"])), list(dict.fromkeys(table["size"]))
    arms = order_arms(table["method"])
    table = arrange(table, {"panel": panels, "size": sizes, "method": arms})
    table = table[["panel", "size", "method", "n", "mean", "sd", "low", "high"]]
    figure, axes = plt.subplots(
        1, len(panels), sharey=True, squeeze=False, figsize=(style.DOUBLE, 2.8)
    )
    for ax, (panel, part) in zip(axes[0], table.groupby("panel", sort=False), strict=True):
        for arm, offset in zip(arms, style.spread(len(arms)), strict=True):
            of_arm = part[part["method"] == arm]
            x = of_arm["size"].map(sizes.index) + offset
            draw_points(ax, x, of_arm["mean"], of_arm["low"], of_arm["high"], arm)
        runs = part.astype({"n": str}).groupby("size", sort=False)["n"].agg(", ".join)
        ax.set_xticks(range(len(sizes)), [f"{size}\n({runs[size]} runs)" for size in sizes])
        ax.set(xlim=(-0.5, len(sizes) - 0.5), xlabel="Student size", title=panel)
    frame(axes[0, 0], "y", "Accuracy (%)", table[["mean", "low", "high"]], 0, 100)
    style.legend(figure, arms)
    return figure, table


def student_accuracy(students: pd.DataFrame, chance: float):
    """Accuracy of every student with Wilson's interval over the test questions, and chance.

    students: arm, size, seed, correct, n (questions), low, high; chance: that of guessing; shares.
    Table: arm, size, seed, correct, total (n), accuracy, low, high (percent).
    """
    table = students.astype({"arm": str, "size": str}).rename(columns={"n": "total"})
    table["accuracy"] = 100 * table["correct"] / table["total"]
    table[["low", "high"]] *= 100
    table = table[["arm", "size", "seed", "correct", "total", "accuracy", "low", "high"]]
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    few = len(sizes) * len(arms) * table["seed"].nunique() < 15
    width = style.COLUMN if few else style.DOUBLE
    figure, axes = plt.subplots(1, len(sizes), sharey=True, squeeze=False, figsize=(width, 2.8))
    for ax, (size, of_size) in zip(axes[0], table.groupby("size", sort=False), strict=True):
        for position, arm in enumerate(arms):
            part = of_size[of_size["arm"] == arm].sort_values("seed")
            x = position + np.array(style.spread(len(part), min(0.7, 0.15 * len(part))))
            draw_points(ax, x, part["accuracy"], part["low"], part["high"], arm, capsize=1.5)
        ax.axhline(100 * chance, color=style.GREY, linestyle=":")
        total = count(of_size["total"], "question")
        ax.set(xticks=[], xlim=(-0.6, len(arms) - 0.4), ylim=(0, 100))
        ax.set_title(f"{size} students ({total})")
    axes[0, 0].set_ylabel("Accuracy (%)")
    line = Line2D([], [], color=style.GREY, linestyle=":", label="chance")
    style.legend(figure, arms, more=[line], columns=2 if few else 4)
    return figure, table


def variant_figure(table: pd.DataFrame, chance: float, setting: str | None):
    """Accuracy of each student against the setting that varies (None: against the variant), with
    its interval; the authors' values as crosses. table, setting: accuracy.variant_table and
    accuracy.varied; shares. Table: unchanged."""
    ours = table[table["source"] == "this run"]
    theirs = table[table["source"] != "this run"]
    variants, arms = list(dict.fromkeys(ours["variant"])), order_arms(ours["arm"])
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.6))
    step = min(np.diff(sorted(set(ours["value"]))) if setting else [], default=1.0)
    offsets = style.spread(len(arms), 0.5 * step if len(arms) > 1 else 0.0)
    for arm, offset in zip(arms, offsets, strict=True):
        part = ours[ours["arm"] == arm]
        x = part["value"] if setting else part["variant"].map(variants.index)
        heights = (100 * part[name] for name in ("accuracy", "low", "high"))
        draw_points(ax, x + offset, *heights, arm, clip_on=False)
    for source, part in theirs.groupby("source"):
        ax.plot(part["value"], 100 * part["accuracy"], "x", color=style.GREY, label=source)
        ax.legend(loc="upper left")
    if not setting:
        ax.set_xticks(range(len(variants)), variants)
    ax.axhline(100 * chance, color=style.GREY, linestyle="--", linewidth=0.8)
    ax.set(ylim=(0, 100), ylabel="Accuracy (%)", xlabel=SETTINGS.get(setting, setting or "Variant"))
    style.legend(figure, arms)
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
    width = style.DOUBLE if len(sizes) > 1 else 1.4 * style.COLUMN
    figure, axes = _panels(1, len(sizes), width, 1.1 + 0.19 * len(names), sharex=True)
    for ax, (size, part) in zip(axes[0], table.groupby("size", sort=False), strict=True):
        ax.axvline(0, color=style.GREY, linewidth=0.9)
        for row in part.itertuples():
            clear = row.low > 0 or row.high < 0
            _point(ax, names.index(row.pair), row.difference, row.low, row.high, **_black(clear))
        said = f"{count(part['n'], 'question')}, {count(part['seeds'], 'seed')}"
        ax.set_title(f"{size} students ({said})")
    ends = np.array([*table["low"], *table["high"], 0.0])
    room = 0.05 * (np.ptp(ends) or 1)
    axes[0, 0].set_xlim(ends.min() - room, ends.max() + room)
    name_rows(axes[0], names)
    note = "Difference in accuracy (percentage points; right of 0: the first is better)"
    key_of_filling(figure, "95 % interval without 0", "with 0", note)
    return figure, table


def measure_figure(means: pd.DataFrame, labels: dict[str, str]):
    """Each measure of the explanations as a panel: a point a method with its interval.

    means: arm, size, measure, n, mean, low, high; labels: measure -> what it says (its panels, in
    order). Axes start where the values do: a panel compares methods, panels do not compare. Below
    a panel: how many explanations (or answers) a mean is of; dotted: no effect, where a measure
    has such a value. Table: what is drawn.
    """
    table = means[means["measure"].isin(labels) & means["mean"].notna()].reset_index(drop=True)
    drawn = [name for name in labels if name in set(table["measure"])]
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    students = [(arm, size) for size in sizes for arm in arms]
    rows = -(-len(drawn) // 3)
    height = 0.4 + (0.6 + 0.17 * len(students)) * rows
    figure, axes = _panels(rows, 3, style.DOUBLE, height)
    for ax, name in zip(axes.flat, drawn, strict=False):
        part = table[table["measure"] == name]
        for row in part.itertuples():
            y = students.index((row.arm, row.size))
            _point(ax, y, row.mean, row.low, row.high, clip_on=False, **style.point(row.arm))
        ends = [*part[["mean", "low", "high"]].to_numpy().ravel()]
        if name in NOTHING:
            ax.axvline(NOTHING[name], color=style.GREY, linestyle=":")
            ends.append(NOTHING[name])
        low, high = np.nanmin(ends), np.nanmax(ends)
        least = 0 if low > 0 or low == 0 and NOTHING.get(name) != 0 else min(-1, 2 * low)
        frame(ax, "x", f"n = {count(part['n'])}", ends, least, 1 if high <= 1 else 2 * high)
        ax.xaxis.label.set_size(7)
        ax.set_title(textwrap.fill(labels[name], 38), fontsize=7)
    for ax in axes.flat[len(drawn) :]:
        ax.set_axis_off()
    name_rows(axes.flat, [arm if len(sizes) == 1 else f"{arm} {size}" for arm, size in students])
    return figure, table


def agreement_figure(table: pd.DataFrame):
    """Rank correlations with mean ratings as points with intervals, a panel a construct.

    table: measure, construct, explanations, rho, low, high, p_holm (findings.agreement). A row is
    a measure, filled where p_holm is below 0.05; if the table has the column within, a row is one
    of its values, methods in their colours. Where rho is not defined there is no point. In brackets
    the number of explanations. Table: unchanged.
    """
    of = "within" if "within" in table.columns else "measure"
    counts = table.groupby(of, sort=False)["explanations"].first()
    names, constructs = list(counts.index), list(dict.fromkeys(table["construct"]))
    height = 1.1 + 0.2 * len(names)
    figure, axes = _panels(1, len(constructs), style.DOUBLE, height, sharex=True)
    for ax, construct in zip(axes[0], constructs, strict=True):
        ax.axvline(0, color=style.GREY, linewidth=0.9)
        part = table[(table["construct"] == construct) & table["rho"].notna()]
        for name, row in zip(part[of], part.itertuples(), strict=True):
            of_method = of == "within" and name != "all"
            look = style.point(name) if of_method else _black(of == "within" or row.p_holm < 0.05)
            _point(ax, names.index(name), row.rho, row.low, row.high, **look)
        ax.set_title(construct, fontsize=7)
        ax.set_xlabel("Spearman's rho")
    widest = np.nan_to_num(table[["rho", "low", "high"]].abs()).max() or 1
    end = min(1, np.ceil(10 * widest) / 10)
    axes[0, 0].set(xlim=(-1.15 * end, 1.15 * end))
    axes[0, 0].set_xticks((-end, 0, end), [f"{MINUS}{end:g}", "0", f"{end:g}"])
    name_rows(axes[0], [f"{name.replace('_', ' ')} ({n:,})" for name, n in counts.items()])
    if of == "measure":
        key_of_filling(figure, "p < 0.05 (Holm)", "p ≥ 0.05")
    return figure, table


def heat_map(cells: pd.DataFrame):
    """Accuracy with its interval, a row a method and dataset learned, a column a dataset asked;
    colour: distance to chance. cells: as of transfer.cells. Table: the same with names of rows."""
    more = [name for name in ("size", "profile") if cells[name].nunique() > 1]
    learned = cells[["trained_on", *more]].agg(", ".join, axis=1)
    table = cells.copy()
    table.insert(0, "student", cells["arm"] + " (" + learned + ")")
    rows = list(dict.fromkeys(table["student"]))
    asked = list(dict.fromkeys([*table["trained_on"], *table["task"]]))  # those learned first
    limit = max(10, table["above"].abs().max())
    width = min(style.DOUBLE, 2.2 + len(asked))
    figure, ax = plt.subplots(figsize=(width, 1.9 + 0.37 * len(rows)))
    seaborn.heatmap(
        table.pivot(index="student", columns="task", values="above").loc[rows, asked],
        ax=ax,
        cmap="PuOr",
        center=0,
        vmin=-limit,
        vmax=limit,
        linewidths=4,
        cbar_kws={"location": "top", "label": "Points above chance"},
    )
    for row in table.itertuples():
        x, y = asked.index(row.task) + 0.5, rows.index(row.student) + 0.5
        text = f"{row.accuracy:.0f} ({row.above:+.0f})".replace("-", MINUS)
        look = {"ha": "center", "color": "white" if abs(row.above) > 0.55 * limit else "black"}
        weight = "normal" if row.low <= row.chance <= row.high else "bold"
        ax.text(x, y - 0.02, text, va="bottom", weight=weight, **look)
        ax.text(x, y + 0.02, f"{row.low:.0f} to {row.high:.0f}", va="top", fontsize=7, **look)
        if row.own:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="black", clip_on=False))
    names = {
        task: f"{task}\nn = {count(part['n'])}\nchance {part['chance'].mean():.0f} %"
        for task, part in table.groupby("task")
    }
    ax.set_xticks([x + 0.5 for x in range(len(asked))], [names[task] for task in asked], rotation=0)
    ax.tick_params(length=0, grid_linewidth=0)
    ax.set_ylabel("Student (dataset learned)")
    ax.set_xlabel("Dataset of the questions\nframed: the one learned\nbold: differs from chance")
    return figure, table


def _panels(rows: int, columns: int, width: float, height: float, **shared):
    """Panels that have their rows in common."""
    size = (width, height)
    return plt.subplots(rows, columns, sharey=True, squeeze=False, figsize=size, **shared)


def _point(ax, y: float, value: float, low: float, high: float, **look) -> None:
    """A point of a row with its horizontal interval, if there is one."""
    error = np.nan_to_num([[value - low], [high - value]]).clip(0)  # below 0 by rounding alone
    small = {"markersize": 4, "elinewidth": 1, "linestyle": "none"}
    ax.errorbar(value, y, xerr=error, **look | small)


def _black(filled: bool) -> dict:
    """The look of a point that belongs to no method."""
    return {"marker": "o", "color": "black", "markerfacecolor": "black" if filled else "white"}
