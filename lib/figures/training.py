"""Figures of students: each function takes a tidy table, gives (figure, table).

The table is what the figure shows, at full precision. Intervals are 95 % throughout.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.lines import Line2D

from lib.common.methods import OBJECTIVES, order_arms
from lib.figures import style
from lib.figures.style import arrange, count, name_rows


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
    width, height = style.DOUBLE if len(tasks) > 1 else style.COLUMN, 0.6 + 1.8 * len(sizes)
    figure, axes = plt.subplots(
        len(sizes), len(tasks), sharex=True, sharey="row", squeeze=False, figsize=(width, height)
    )
    for (size, task, arm), part in table.groupby(["size", "task", "arm"], sort=False):
        ax = axes[sizes.index(size), tasks.index(task)]
        for split, look in (
            ("train", {"linewidth": 0.7, "alpha": 0.55, "errorbar": None}),
            ("dev", {"linewidth": 1.2, "errorbar": ("pi", 100)}),
        ):
            one = part[part["split"] == split]
            seaborn.lineplot(one, x="step", y="loss", ax=ax, **look, **style.line(arm))
        dev = part[part["split"] == "dev"].groupby("step")["loss"].mean()
        at = np.linspace(dev.index[0], dev.index[-1], 4 * len(arms))[arms.index(arm) :: len(arms)]
        mark = style.point(arm) | {"markersize": 4, "markeredgewidth": 0.9}
        ax.plot(at, np.interp(at, dev.index, dev), linestyle="none", zorder=3, **mark)
    for (row, column), ax in np.ndenumerate(axes):
        ax.set(xlabel="Training step", ylabel=f"{sizes[row]}: loss (nats a token)")
        ax.set_title(tasks[column] if row == 0 else "")
        ax.label_outer()
    for ax in axes[:, 0]:
        ax.set_ylim(0, 1.05 * ax.get_ylim()[1])  # markers at the top stay whole
    seeds = count(table.groupby(["size", "arm"])["seed"].nunique(), "seed")
    splits = [
        Line2D([], [], color=style.GREY, linewidth=width, label=f"{name}, {seeds}")
        for name, width in (("dev", 1.2), ("train", 0.7))
    ]
    style.legend(figure, arms, "curve", splits)
    return figure, table


COSTS = {  # column -> its label, and the factor between them
    "seconds": ("Training time (minutes)", 1 / 60),
    "peak_memory_gb": ("Peak memory (GB)", 1),
    "tokens_per_second": ("Speed (tokens/s)", 1),
    "peak_share": ("Share of peak (%)", 100),
    "padding_share": ("Padding (%)", 100),
}


def cost_figure(students: pd.DataFrame):
    """What training costs: time, memory, speed, share of the card's bf16 peak and of padding by
    arm; bars from zero, seeds as dots.

    students: arm, size, seed and what there is of COSTS (shares from 0 to 1); a cost that no
    student has is left out. Table: arm, size, cost, seeds, mean, min, max in the units given.
    """
    arms, sizes = order_arms(students["arm"]), list(dict.fromkeys(students["size"]))
    costs = [cost for cost in COSTS if cost in students and students[cost].notna().any()]
    long = students.melt(["arm", "size", "seed"], costs, "cost").astype({"value": float})
    table = (
        long.dropna()
        .groupby(["cost", "size", "arm"], sort=False)["value"]
        .agg(seeds="size", mean="mean", min="min", max="max")
        .reset_index()
    )
    table = arrange(table, {"cost": costs, "size": sizes, "arm": arms})
    rows = [(arm, size) for size in sizes for arm in arms]
    figure, axes = plt.subplots(
        1, len(costs), sharey=True, figsize=(style.DOUBLE, 0.8 + 0.2 * len(rows))
    )
    for ax, cost in zip(axes, costs, strict=True):
        label, factor = COSTS[cost]
        for bar in table[table["cost"] == cost].itertuples():
            at = rows.index((bar.arm, bar.size))
            ax.barh(at, bar.mean * factor, 0.75, **style.bar(bar.arm))
        if students["seed"].nunique() > 1:
            at = [rows.index(row) for row in zip(students["arm"], students["size"], strict=True)]
            look = {"color": "black", "markersize": 3, "markeredgecolor": "white"}
            ax.plot(students[cost].astype(float) * factor, at, "o", markeredgewidth=0.5, **look)
        ax.set_xlim(left=0)
        ax.set_xlabel(label if len(costs) < 4 else label.replace(" (", "\n("))
    name_rows(axes, [arm if len(sizes) == 1 else f"{arm}, {size}" for arm, size in rows])
    return figure, table
