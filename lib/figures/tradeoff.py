"""Accuracy against explanation quality: the points, which of them nothing beats, their figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from lib.common.errors import UserError
from lib.common.intervals import mean_interval, wilson
from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import arrange, frame
from lib.human_study import runs, study

NAMED = "Choices other than its own answer\nthat the explanation names (%)"
POINT = [
    "arm",
    "size",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "quality",
    "quality_low",
    "quality_high",
]


def rated_quality(scores: pd.DataFrame) -> pd.DataFrame:
    """Quality of each method from the scores of single constructs: arm, quality, low, high.

    quality: mean of the constructs' means. Single scores do not tell how the constructs go
    together within one rating, so the interval uses the largest standard error that is possible,
    the mean of the constructs' (as if they were perfectly correlated), with the normal quantile.
    """
    cells = study.summarise_scores(scores[scores["construct"] != "Quality"])
    table = cells.astype({"method": str}).groupby("method", sort=False)[["mean", "se"]].mean()
    half = 1.959963984540054 * table["se"]
    return pd.DataFrame(
        {
            "arm": table.index,
            "quality": table["mean"].to_numpy(),
            "quality_low": (table["mean"] - half).to_numpy(),
            "quality_high": (table["mean"] + half).to_numpy(),
        }
    )


def published_points(cells: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The paper's 770M students as points: accuracy (percent, t interval over runs), rated quality.

    cells: golden.load_published_cells; scores: study.expand_counts. Columns: POINT and pareto.
    """
    accuracy = runs.summarise_cells(runs.expand_cells(cells[cells["size"] == "770M"]))
    accuracy = accuracy.rename(
        columns={
            "method": "arm",
            "mean": "accuracy",
            "low": "accuracy_low",
            "high": "accuracy_high",
        }
    ).astype({"arm": str, "size": str})
    points = accuracy.merge(rated_quality(scores), on="arm")[POINT]
    return points.assign(pareto=pareto_front(points["accuracy"], points["quality"]))


def student_points(
    students: pd.DataFrame, explanations: pd.DataFrame, measure: str = "mentions_other_choices"
) -> pd.DataFrame:
    """A run's students as points: a row an arm and size, all in percent; columns POINT and more.

    students: arm, size, seed, n, correct; explanations: arm, size, seed, id, empty, and ``measure``
    (0..1; an empty explanation counts as 0). Both are means over seeds. From three seeds on the
    intervals are t intervals over seeds; with fewer they are over questions: Wilson's, and t over
    the questions' means (column ``intervals``). They end at 0 and 100. An arm without explanations
    has no quality.
    """
    parts = {}
    if not explanations.empty:
        shares = 100 * explanations[measure].where(~explanations["empty"].astype(bool), 0.0)
        parts = dict(iter(explanations.assign(share=shares).groupby(["arm", "size"])))
    rows = []
    for (arm, size), part in students.groupby(["arm", "size"], sort=False):
        means, enough = part["correct"] / part["n"], len(part) >= 3  # seeds
        low, high = (
            mean_interval(means.mean(), means.std(), len(part))
            if enough
            else wilson(part["correct"].mean(), part["n"].mean())
        )
        quality = q_low = q_high = np.nan
        if (arm, size) in parts:
            single = parts[arm, size].groupby("seed" if enough else "id")["share"].mean()
            quality = single.mean()
            q_low, q_high = mean_interval(quality, single.std(), len(single))
        limits = np.clip([100 * low, 100 * high, q_low, q_high], 0, 100)
        rows.append(
            (
                arm,
                size,
                100 * means.mean(),
                *limits[:2],
                quality,
                *limits[2:],
                len(part),
                "over seeds" if enough else "over questions",
            )
        )
    table = pd.DataFrame(rows, columns=[*POINT, "seeds", "intervals"])
    table = arrange(
        table, {"size": list(dict.fromkeys(table["size"])), "arm": order_arms(table["arm"])}
    )
    return table.assign(pareto=pareto_front(table["accuracy"], table["quality"]))


def pareto_front(x: pd.Series, y: pd.Series) -> np.ndarray:
    """Which points no other point beats: at least as good in both and better in one (larger wins).

    A point that lacks a value is never on the front.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    beaten = [((x >= a) & (y >= b) & ((x > a) | (y > b))).any() for a, b in zip(x, y, strict=True)]
    return ~np.array(beaten, bool) & np.isfinite(x) & np.isfinite(y)


def tradeoff_findings(points: pd.DataFrame, chance: float = 0.0) -> pd.DataFrame:
    """Plain findings of the points, on their means: who is on the front, who is behind whom, and whose
    accuracy is not shown to be above ``chance`` (0..1).

    Columns: finding, accuracy and quality (value with interval, or gap to the one ahead).
    """
    rows = []
    rated = points[points["quality"].notna()]
    for row in rated.itertuples():
        name = f"{row.arm} ({row.size})"
        guess = "" if row.accuracy_low > 100 * chance else ", but is not shown to beat guessing"
        if row.pareto:
            rows.append(
                (
                    f"{name} is on the Pareto front by its means{guess}",
                    f"{row.accuracy:.1f} [{row.accuracy_low:.1f}, {row.accuracy_high:.1f}]",
                    f"{row.quality:.2f} [{row.quality_low:.2f}, {row.quality_high:.2f}]",
                )
            )
            continue
        ahead = rated[
            (rated["accuracy"] >= row.accuracy)
            & (rated["quality"] >= row.quality)
            & rated["pareto"]
        ].iloc[0]
        rows.append(
            (
                f"{name} is behind {ahead['arm']} ({ahead['size']}){guess}",
                f"{row.accuracy - ahead['accuracy']:+.1f}",
                f"{row.quality - ahead['quality']:+.2f}",
            )
        )
    return pd.DataFrame(rows, columns=["finding", "accuracy", "quality"])


def tradeoff_figure(points: pd.DataFrame, quality: str, scale=(0.0, 100.0)):
    """Accuracy (across) against quality (up) with both intervals; rings mark the Pareto front.

    points: POINT (accuracy in percent), pareto; quality: the axis' label; scale: what the quality
    can be at least and at most; where an axis starts is written beside it. An arm without quality
    stands as a line at its accuracy. Of several sizes, larger marks are later ones. Table: the
    points, unchanged.
    """
    if points["quality"].isna().all():
        raise UserError(
            "No student of this run explains its answers; add an arm other than "
            "label-only to the profile to see accuracy against explanation quality."
        )
    arms, sizes = order_arms(points["arm"]), list(dict.fromkeys(points["size"]))
    figure, ax = plt.subplots(figsize=(style.COLUMN, 3.6))
    for row in points.itertuples():
        marker = 5 + 2 * sizes.index(row.size)
        if np.isnan(row.quality):
            ax.axvline(
                row.accuracy,
                color=style.colour_of(row.arm),
                linestyle="--",
                linewidth=0.6 + 0.5 * sizes.index(row.size),
            )
            continue
        errors = np.nan_to_num(
            [
                [row.accuracy - row.accuracy_low, row.quality - row.quality_low],
                [row.accuracy_high - row.accuracy, row.quality_high - row.quality],
            ]
        )
        ax.errorbar(
            row.accuracy,
            row.quality,
            xerr=errors[:, :1],
            yerr=errors[:, 1:],
            elinewidth=0.8,
            **style.point(row.arm) | {"markersize": marker},
        )
    front = points[points["pareto"]].sort_values("accuracy")
    ax.step(front["accuracy"], front["quality"], where="pre", color=style.GREY, linewidth=0.8)
    ax.plot(
        front["accuracy"],
        front["quality"],
        "o",
        color=style.GREY,
        markersize=12,
        markerfacecolor="none",
        linestyle="none",
    )
    for axis, name, label, ends in (
        ("x", "accuracy", "Accuracy (%)", (0, 100)),
        ("y", "quality", quality, scale),
    ):
        frame(ax, axis, label, points[[name, f"{name}_low", f"{name}_high"]], *ends)
    ax.grid(visible=True, axis="both")
    more = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            color=style.GREY,
            markersize=9,
            markerfacecolor="none",
            label="Pareto front",
        )
    ]
    rated = set(points.loc[points["quality"].notna(), "arm"])
    more += [
        Line2D([], [], color=style.colour_of(arm), linestyle="--", label=f"{arm} (no explanations)")
        for arm in arms
        if arm not in rated
    ]
    if len(sizes) > 1:
        more += [
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                color=style.GREY,
                label=size,
                markersize=5 + 2 * i,
            )
            for i, size in enumerate(sizes)
        ]
    style.legend(figure, [arm for arm in arms if arm in rated], more=more, columns=2)
    return figure, points
