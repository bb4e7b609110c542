"""Accuracy against explanation quality, drawn; and the figure at the top of README."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.common.errors import UserError
from lib.figures import style
from lib.figures.answers import draw_claims

NAMED = "Share of other choices named (%)"
AGREES = "Own answer named first (%)"
RATED = ("Mean of five ratings (1 to 5)", (1, 5))  # label and scale
SIDES = [
    (dx, dy) for dx in (6, -6) for dy in (7, -7, 16, -16, 26, -26, 36, -36)
]  # points beside a mark


def tradeoff_figure(points: pd.DataFrame, quality: str, scale=(0.0, 100.0)):
    """Accuracy (across) against quality (up) with both intervals, names at the points.

    points: arm, size, accuracy (percent), quality, each with _low and _high, as
    lib.findings.tradeoff makes them; quality: the axis' label; scale: what the quality can be at
    least and at most. An arm without quality stands as a line at its accuracy. Table: the points.
    UserError if no student explains its answers.
    """
    if points["quality"].isna().all():
        raise UserError(
            "No student of this run explains its answers; add an arm other than "
            "label-only to the profile to see accuracy against explanation quality."
        )
    shown = style.with_sizes(points)
    figure, ax = plt.subplots(figsize=(1.4 * style.COLUMN, 3.4))
    (first, near), (best, beside) = (style.leader(shown, name) for name in ("accuracy", "quality"))
    what = quality.partition(" (")[0].lower()
    style.head(figure, f"Most accurate: {first}; highest {what}: {best}",
               f"Intervals that meet with the highest: {near}; {what}: {beside}.")  # fmt: skip
    draw_tradeoff(ax, shown, quality, scale)
    return figure, points


def own_answer_figure(points: pd.DataFrame):
    """Accuracy (across) against agreement (up), as ``tradeoff_figure`` draws points: how often the
    first choice that an explanation names is its student's own answer.

    points: lib.findings.joint.agreement_points; some agreement is known. Table: the points.
    """
    shown = style.with_sizes(points)
    told = shown[shown["quality"].notna()]
    known = told[told["arm"].str.startswith("MT:Unrevised")]
    first = (known if len(known) else told).sort_values("accuracy").iloc[-1]
    best = told.loc[told["quality"].idxmax()]
    title = f"{style.short(first['arm'])} names its own answer first in {first['quality']:.0f} %"
    if best["arm"] != first["arm"]:
        title += f", {style.short(best['arm'])} in {best['quality']:.0f} %"
    figure, ax = plt.subplots(figsize=(1.7 * style.COLUMN, 4))
    style.head(figure, title, "That is, names it first; of explanations that name a choice. "
               "Bootstrap intervals.")  # fmt: skip
    draw_tradeoff(ax, shown, AGREES, (0.0, 100.0))
    return figure, points


def draw_tradeoff(ax, points: pd.DataFrame, quality: str, scale) -> None:
    """The axes of ``tradeoff_figure``."""
    explained = points[points["quality"].notna()]
    for row in explained.itertuples():
        across, look = (row.accuracy, row.quality), style.point(row.arm)
        for axis, name in (("x", "accuracy"), ("y", "quality")):
            limits = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
            style.draw_points(ax, *across, *limits, axis=axis, **look | {"markersize": 6})
    for i, row in enumerate(points[points["quality"].isna()].itertuples()):
        ax.axvline(row.accuracy, color=style.colour_of(row.arm), linestyle="--", linewidth=0.9)
        place = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
        place |= {"ha": "center", "va": "bottom", "fontsize": 7}
        ax.annotate(style.short(row.arm), (row.accuracy, 1), (0, 1 + 10 * i), **place)
    for axis, name, label, ends in (
        ("x", "accuracy", "Accuracy (%)", (0, 100)),
        ("y", "quality", quality, scale),
    ):
        style.frame(ax, axis, label, points[[name, f"{name}_low", f"{name}_high"]], *ends)
    ax.grid(visible=True, axis="both")
    _name_points(ax, explained)


def _name_points(ax, points: pd.DataFrame) -> None:
    """Each name beside its point, on that side where fewest marks, intervals and names are."""
    ax.figure.draw_without_rendering()
    marks = []
    for row in points.itertuples():
        marks += [(x, row.quality) for x in np.linspace(row.accuracy_low, row.accuracy_high, 21)]
        marks += [(row.accuracy, y) for y in np.linspace(row.quality_low, row.quality_high, 21)]
    marks, taken = ax.transData.transform(np.nan_to_num(marks)), []
    for row in points.itertuples():
        found = []
        for dx, dy in SIDES:
            look = {"color": style.colour_of(row.arm), "va": "center", "in_layout": False}
            look |= {"textcoords": "offset points", "ha": "left" if dx > 0 else "right"}
            text = ax.annotate(
                style.short(row.arm), (row.accuracy, row.quality), (dx, dy), fontsize=8, **look
            )
            box = text.get_window_extent()
            cost = box.count_contains(marks) + 500 * box.count_overlaps(taken)
            cost += 50 * (ax.bbox.count_contains(box.corners()) < 4)
            found.append((cost, text, box))
        found.sort(key=lambda one: one[0])  # of equal ones the first side stays the first
        for _, text, _ in found[1:]:
            text.remove()
        taken.append(found[0][2])


def hero_figure(points: pd.DataFrame, quality: str, scale, claims: pd.DataFrame, ours: str):
    """README's figure: the paper's accuracy against rated quality, and its claims on our students.

    points, quality, scale: as of ``tradeoff_figure``; claims: as of answers.claims_figure, of which
    those on accuracy are drawn; ours: what our students are. Table: these claims.
    """
    claims = claims[claims["likely"].notna()]
    figure, axes = plt.subplots(1, 2, figsize=(style.DOUBLE, 3.3), width_ratios=(1.1, 1))
    axes[0].set_title("The paper: T5-large, 1,114 ratings by people", loc="left", fontsize=9)
    axes[1].set_title(f"Do its claims hold for {ours}?", loc="right", fontsize=9)
    draw_claims(axes[1], claims, 28)
    first, look = claims.iloc[0], {"textcoords": "offset points", "ha": "center", "fontsize": 7}
    axes[1].annotate("paper", (first["paper"], -0.18), (0, 6), color=style.GREY, **look)
    axes[1].annotate(ours, (first["ours"], 0.18), (0, -12), **look)
    draw_tradeoff(axes[0], points, quality, scale)
    return figure, claims
