"""Figures of students: each function takes a tidy table, gives (figure, table).

The table is what the figure shows, at full precision. Intervals are 95 % throughout.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lib.common.methods import OBJECTIVES, order_arms
from lib.figures import style
from lib.figures.style import arrange, count


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
    table = history.loc[history["task"].isin(OBJECTIVES), columns]
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
