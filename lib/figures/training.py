"""Figures of students: each function takes a tidy table, gives (figure, table).

The table is what the figure shows, at full precision. Intervals are 95 % throughout.
"""

import matplotlib.pyplot as plt
import pandas as pd

from lib.common.methods import OBJECTIVES, order_arms
from lib.figures import style
from lib.figures.style import arrange, count, head, name_rows, short


def loss_curves(history: pd.DataFrame):
    """Dev loss (marks where it was measured) and training loss (thin) by step, means over seeds: a
    panel an objective and size; names at the ends.

    history: arm, size, seed, step, split (train, dev), task, loss (nats a token). The band around
    a dev curve is the range of its seeds. The task "loss" (the weighted sum) is left out, as its
    scale differs between methods. Table: the rows behind the curves, a row a seed.
    """
    columns = ["arm", "size", "seed", "task", "split", "step", "loss"]
    table = history.loc[history["task"].isin(OBJECTIVES), columns]
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    tasks = [task for task in OBJECTIVES if task in set(table["task"])]
    table = arrange(
        table,
        {"size": sizes, "task": tasks, "arm": arms, "seed": None, "split": None, "step": None},
    )
    panels = [(size, task) for size in sizes for task in tasks]
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        rows, 2, sharex=True, squeeze=False, figsize=(style.DOUBLE, 0.9 + 1.6 * rows)
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    ends = {ax: {} for ax in axes.flat[: len(panels)]}
    for ax, (size, task) in zip(ends, panels, strict=True):
        part = table[(table["size"] == size) & (table["task"] == task)]
        for (arm, split), of_arm in part.groupby(["arm", "split"], sort=False):
            curve = of_arm.groupby("step")["loss"].agg(["mean", "min", "max"])
            look = {"linewidth": 0.6, "alpha": 0.5}
            if split == "dev":
                look = style.point(arm) | {"linewidth": 1.2, "markersize": 4}
                band = {"color": style.colour_of(arm), "alpha": 0.15, "linewidth": 0}
                ax.fill_between(curve.index, curve["min"], curve["max"], **band)
                ends[ax][arm] = curve.index[-1], curve["mean"].iloc[-1]
            ax.plot(curve.index, curve["mean"], **look | style.line(arm))
        ax.set_title(task if len(sizes) == 1 else f"{size}: {task}")
    figure.supxlabel("Training step", fontsize=8)
    figure.supylabel("Loss (nats a token), axes differ", fontsize=8)
    style.name_ends(ends)
    dev = table[table["split"] == "dev"]
    seeds = count(table.groupby(["size", "arm"])["seed"].nunique(), "seed")
    last = dev.groupby("arm")["step"].transform("max") == dev["step"]
    best = dev[dev["loss"] == dev.groupby(["size", "arm", "seed", "task"])["loss"].transform("min")]
    falling = best.index.isin(dev.index[last]).mean()
    head(figure, f"Dev loss is lowest at the last evaluation in {100 * falling:.0f} % of curves",
         f"Marks: dev loss where it was measured, {seeds}; thin: training loss.")  # fmt: skip
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
        1, len(costs), sharey=True, figsize=(style.DOUBLE, 1.2 + 0.2 * len(rows))
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
    seconds = students.groupby("arm")["seconds"].mean()
    most, ratio = seconds.idxmax(), seconds.max() / seconds.min()
    head(figure, f"{short(most)} trains {ratio:.1f} times as long as {short(seconds.idxmin())}",
         f"Means of {count(table['seeds'], 'seed')}; dots: seeds.")  # fmt: skip
    return figure, table
