"""Figures of students: each function takes a tidy table, gives (figure, table).

The table is what the figure shows, at full precision. Intervals are 95 % throughout.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lib.common.errors import UserError
from lib.common.intervals import wilson
from lib.common.methods import OBJECTIVES, order_arms
from lib.figures import style
from lib.human_study import runs as stats


def require(table: pd.DataFrame, columns, what: str) -> None:
    """UserError in one sentence if the table of ``what`` lacks a column or has no row."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"The figure of {what} needs the column(s) {', '.join(missing)}.")
    if table.empty:
        raise UserError(f"The figure of {what} needs at least one row; its table is empty.")


def arrange(table: pd.DataFrame, orders: dict[str, list | None]) -> pd.DataFrame:
    """Sort by these columns in turn, each in its given order of values (None: ascending)."""
    return table.sort_values(
        list(orders),
        ignore_index=True,
        kind="stable",
        key=lambda column: (
            column if orders[column.name] is None else column.map(orders[column.name].index)
        ),
    )


def draw_points(ax, x, mean, low, high, arm: str, **more) -> None:
    """Points of one arm with vertical intervals; where there is no interval, the point alone."""
    mean, low, high = (np.asarray(values, float) for values in (mean, low, high))
    ax.errorbar(
        x,
        mean,
        yerr=np.nan_to_num([mean - low, high - mean]),
        linestyle="none",
        elinewidth=1,
        **style.point(arm) | more,
    )


def name_rows(axes, names: list[str]) -> None:
    """Names of the rows of panels that share them, from the top, and grid lines of values only."""
    for ax in axes:
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)


def key_of_filling(figure, filled: str, empty: str, title: str | None = None) -> None:
    """The legend of black points: what filled ones say, what open ones say; above it a title."""
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                color="black",
                label=label,
                markerfacecolor=colour,
                markersize=4,
            )
            for label, colour in ((filled, "black"), (empty, "white"))
        ],
        loc="outside lower center",
        ncols=2,
        title=title,
        title_fontsize=8,
    )


def count(numbers, noun: str = "") -> str:
    """How many, in words for a figure: "180 questions", "1 seed", "5 to 6 runs"; "180"."""
    low, high = min(numbers), max(numbers)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{span} {noun}{'s' if high != 1 else ''}" if noun else span


def frame(ax, axis: str, label: str, values, least: float, most: float) -> None:
    """Ends of an axis ("x" or "y") around the values, round, within least..most; and its label.

    Where the axis does not start at ``least``, the label says where it does.
    """
    low, high = np.nanmin(values), np.nanmax(values)
    span = high - low or 0.1 * (most - least)
    step = 10 ** np.floor(np.log10(span)) / 2
    start = max(least, np.floor((low - span / 20) / step) * step)
    end = min(most, np.ceil((high + span / 20) / step) * step)
    note = f"; axis from {start:.4g}".replace("-", "\N{MINUS SIGN}") if start > least else ""
    ax.set(**{f"{axis}lim": (start, end), f"{axis}label": label + note})


def accuracy_figure(data: pd.DataFrame):
    """Accuracy of each method at each size, mean with t interval over runs: the paper's cells.

    Below a size stand the numbers of runs, in the order of its points.

    data: panel (side by side), method, size, n, mean, sd, in percent, a row a cell, as
    accuracy.published_cells gives them. Table: panel, size, method, n, mean, sd, low, high.
    """
    require(data, ["panel", "method", "size", "n", "mean", "sd"], "accuracy")
    table = pd.concat(
        [
            stats.summarise_cells(stats.expand_cells(part)).assign(panel=panel)
            for panel, part in data.groupby("panel", sort=False)
        ]
    )
    table = table.astype({"method": str, "size": str})
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
    require(students, columns, "students' accuracy")
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


def loss_curves(history: pd.DataFrame):
    """Training (thin) and dev (thick) loss by step, means over seeds: a column a task, a row a
    size.

    history: arm, size, seed, step, split (train, dev), task, loss (nats a token). The band around
    a dev curve is the range of its seeds. Curves of arms often coincide, so each dev curve carries
    its arm's markers, each arm's at other places along the line: they are no evaluations. The task
    "loss" (the weighted sum) is left out, as its scale differs between methods.
    Table: the rows behind the curves, a row a seed.
    """
    columns = ["arm", "size", "seed", "task", "split", "step", "loss"]
    require(history, columns, "loss curves")
    table = history.loc[history["task"].isin(OBJECTIVES), columns]
    require(table, columns, "loss curves of the four tasks")
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    tasks = [task for task in OBJECTIVES if task in set(table["task"])]
    table = arrange(
        table,
        {"size": sizes, "task": tasks, "arm": arms, "seed": None, "split": None, "step": None},
    )
    figure, axes = plt.subplots(
        len(sizes),
        len(tasks),
        sharex=True,
        sharey="row",
        squeeze=False,
        figsize=(style.DOUBLE if len(tasks) > 1 else style.COLUMN, 0.6 + 1.8 * len(sizes)),
    )
    for (size, task, arm, split), part in table.groupby(
        ["size", "task", "arm", "split"], sort=False
    ):
        ax, dev = axes[sizes.index(size), tasks.index(task)], split == "dev"
        curve = part.groupby("step")["loss"].agg(["mean", "min", "max"])
        ax.plot(
            curve["mean"],
            linewidth=1.2 if dev else 0.7,
            alpha=1 if dev else 0.55,
            **style.line(arm),
        )
        if dev:
            ax.fill_between(
                curve.index,
                curve["min"],
                curve["max"],
                alpha=0.2,
                linewidth=0,
                color=style.colour_of(arm),
            )
            at = np.linspace(curve.index[0], curve.index[-1], 4 * len(arms))
            at = at[arms.index(arm) :: len(arms)]
            ax.plot(
                at,
                np.interp(at, curve.index, curve["mean"]),
                linestyle="none",
                zorder=3,
                **style.point(arm) | {"markersize": 4, "markeredgewidth": 0.9},
            )
    for ax in axes[:, 0]:
        ax.set_ylim(0, 1.05 * ax.get_ylim()[1])  # markers at the top stay whole
    for ax, task in zip(axes[0], tasks, strict=True):
        ax.set_title(task)
    for ax, size in zip(axes[:, 0], sizes, strict=True):
        ax.set_ylabel(f"{size}: loss (nats a token)")
    for ax in axes[-1]:
        ax.set_xlabel("Training step")
    seeds = count(table.groupby(["size", "arm"])["seed"].nunique(), "seed")
    splits = [
        Line2D([], [], color=style.GREY, linewidth=width, label=f"{name}, {seeds}")
        for name, width in (("dev", 1.2), ("train", 0.7))
    ]
    style.legend(figure, arms, "curve", splits)
    return figure, table


COSTS = {
    "seconds": "Training time (minutes)",
    "peak_memory_gb": "Peak memory (GB)",
    "tokens_per_second": "Speed (tokens/s)",
}


def cost_figure(students: pd.DataFrame):
    """What training costs: time, peak memory and speed of each arm; bars from zero, seeds as dots.

    students: arm, size, seed, seconds, peak_memory_gb, tokens_per_second. Table: arm, size, cost,
    seeds, mean, min, max in the units given (the figure shows minutes for seconds).
    """
    require(students, ["arm", "size", "seed", *COSTS], "costs")
    arms, sizes = order_arms(students["arm"]), list(dict.fromkeys(students["size"]))
    long = students.melt(["arm", "size", "seed"], list(COSTS), "cost")
    table = (
        long.groupby(["cost", "size", "arm"], sort=False)["value"]
        .agg(seeds="size", mean="mean", min="min", max="max")
        .reset_index()
    )
    table = arrange(table, {"cost": list(COSTS), "size": sizes, "arm": arms})
    places = {
        (size, arm): i * (len(arms) + 0.8) + j
        for i, size in enumerate(sizes)
        for j, arm in enumerate(arms)
    }
    figure, axes = plt.subplots(
        1, len(COSTS), sharey=True, figsize=(style.DOUBLE, 0.8 + 0.2 * len(places))
    )
    for ax, (cost, label) in zip(axes, COSTS.items(), strict=True):
        unit = 60 if cost == "seconds" else 1
        for row in table[table["cost"] == cost].itertuples():
            ax.barh(places[row.size, row.arm], row.mean / unit, 0.75, **style.bar(row.arm))
        one = long[long["cost"] == cost]
        if students["seed"].nunique() > 1:
            ax.plot(
                one["value"] / unit,
                [places[key] for key in zip(one["size"], one["arm"], strict=True)],
                "o",
                color="black",
                markersize=3,
                markeredgecolor="white",
                markeredgewidth=0.5,
            )
        ax.set_xlim(left=0)
        ax.set_xlabel(label)
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
    names = [arm if len(sizes) == 1 else f"{arm}, {size}" for size, arm in places]
    axes[0].set_yticks(list(places.values()), names)
    axes[0].invert_yaxis()
    return figure, table
