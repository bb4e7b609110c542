"""Accuracy against explanation quality, drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.figures import style

NAMED = "Choices other than its own answer\nthat the explanation names (%)"


def tradeoff_figure(points: pd.DataFrame, quality: str, scale=(0.0, 100.0)):
    """Accuracy (across) against quality (up) with both intervals; rings mark the Pareto front.

    points: arm, size, accuracy (percent), quality, each with _low and _high, and pareto, as
    lib.findings.tradeoff makes them; quality: the axis' label; scale: what the quality can be at
    least and at most; where an axis starts is written beside it. An arm without quality stands as
    a line at its accuracy. Of several sizes, larger marks are later ones. Table: the points.
    UserError if no student explains its answers.
    """
    explained = points[points["quality"].notna()]
    if explained.empty:
        raise UserError(
            "No student of this run explains its answers; add an arm other than "
            "label-only to the profile to see accuracy against explanation quality."
        )
    marks = {size: 5 + 2 * i for i, size in enumerate(points["size"].unique())}
    figure, ax = plt.subplots(figsize=(style.COLUMN, 3.6))
    for row in explained.itertuples():
        across = [[row.accuracy - row.accuracy_low], [row.accuracy_high - row.accuracy]]
        up = [[row.quality - row.quality_low], [row.quality_high - row.quality]]
        ax.errorbar(
            row.accuracy,
            row.quality,
            xerr=np.nan_to_num(across),
            yerr=np.nan_to_num(up),
            elinewidth=0.8,
            **style.point(row.arm) | {"markersize": marks[row.size]},
        )
    lines = {}  # of arms without explanations
    for row in points[points["quality"].isna()].itertuples():
        look = {"color": style.colour_of(row.arm), "linestyle": "--"}
        ax.axvline(row.accuracy, linewidth=marks[row.size] / 8, **look)
        lines[row.arm] = Line2D([], [], label=f"{row.arm} (no explanations)", **look)
    ring = {"marker": "o", "linestyle": "none", "color": style.GREY}
    front = points[points["pareto"]].sort_values("accuracy")
    ax.step(front["accuracy"], front["quality"], where="pre", color=style.GREY, linewidth=0.8)
    ax.plot(front["accuracy"], front["quality"], **ring, markersize=12, markerfacecolor="none")
    for axis, name, label, ends in (
        ("x", "accuracy", "Accuracy (%)", (0, 100)),
        ("y", "quality", quality, scale),
    ):
        style.frame(ax, axis, label, points[[name, f"{name}_low", f"{name}_high"]], *ends)
    ax.grid(visible=True, axis="both")
    sizes = [Line2D([], [], **ring, label=size, markersize=mark) for size, mark in marks.items()]
    first = Line2D([], [], **ring, markersize=9, markerfacecolor="none", label="Pareto front")
    more = [first, *lines.values(), *(sizes if len(sizes) > 1 else [])]
    style.legend(figure, order_arms(explained["arm"]), more=more, columns=2)
    return figure, points
