"""Accuracy against explanation quality: the points, and which students no other beats in both."""

import numpy as np
import pandas as pd

from lib.common.intervals import mean_interval, wilson
from lib.common.methods import order_arms
from lib.findings.replication import NAMED
from lib.human_study import constructs, runs

NORMAL = 1.959963984540054  # quantile of a 95 % interval
VALUES = ("accuracy", "accuracy_low", "accuracy_high", "quality", "quality_low", "quality_high")
POINT = ["arm", "size", *VALUES]


def published_points(cells: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The paper's 770M students: accuracy (percent, t interval over runs), rated quality (1 to 5).

    cells: published.load_cells; scores: published.load_scores. Columns: POINT and pareto.
    """
    accuracy = runs.summarise_cells(runs.expand_cells(cells[cells["size"] == "770M"]))
    named = {"method": "arm", "mean": "accuracy", "low": "accuracy_low", "high": "accuracy_high"}
    accuracy = accuracy.rename(columns=named).astype({"arm": str, "size": str})
    return mark_front(accuracy.merge(rated_quality(scores), on="arm")[POINT])


def rated_quality(scores: pd.DataFrame) -> pd.DataFrame:
    """The mean of the constructs' mean ratings: arm, quality, quality_low, quality_high.

    Single scores do not tell how the constructs go together within one rating. So the interval
    uses the largest standard error that is possible: the mean of the constructs' standard errors,
    as if they were perfectly correlated.
    """
    cells = constructs.summarise_scores(scores[scores["construct"] != "Quality"])
    means = cells.astype({"method": str}).groupby("method", sort=False)[["mean", "se"]].mean()
    half = NORMAL * means["se"]
    quality = pd.DataFrame({"quality": means["mean"], "quality_low": means["mean"] - half})
    return quality.assign(quality_high=means["mean"] + half).rename_axis("arm").reset_index()


def student_points(students: pd.DataFrame, explanations: pd.DataFrame) -> pd.DataFrame:
    """A run's students, a row an arm and size, in percent: POINT, seeds, intervals and pareto.

    students: arm, size, seed, n, correct; explanations: arm, size, seed, id, empty, and NAMED (the
    quality, 0..1; 0 if empty). Both are means over seeds. From three seeds on the intervals are t
    intervals over seeds; with fewer they are over questions: Wilson's, and t over the questions'
    means (column ``intervals``). They end at 0 and 100. An arm without explanations has no quality.
    """
    if explanations.empty:
        explanations = pd.DataFrame(columns=["arm", "size", "seed", "id", "empty", NAMED])
    share = 100 * explanations[NAMED].where(~explanations["empty"].astype(bool), 0.0)
    explained = explanations.assign(share=share.astype(float))
    orders = {"size": students["size"].unique(), "arm": order_arms(students["arm"])}
    ordered = students.assign(**{k: pd.Categorical(students[k], v) for k, v in orders.items()})
    rows = []
    for (size, arm), mine in ordered.groupby(["size", "arm"], observed=True):
        accuracy, over_seeds = mine["correct"] / mine["n"], len(mine) >= 3
        if over_seeds:
            interval = mean_interval(accuracy.mean(), accuracy.std(), len(mine))
        else:
            interval = wilson(mine["correct"].mean(), mine["n"].mean())
        texts = explained[(explained["arm"] == arm) & (explained["size"] == size)]
        shares = texts.groupby("seed" if over_seeds else "id")["share"].mean()
        quality = shares.mean(), *mean_interval(shares.mean(), shares.std(), len(shares))
        values = np.clip([100 * accuracy.mean(), *np.multiply(100, interval), *quality], 0, 100)
        rows.append(
            (arm, size, *values, len(mine), f"over {'seeds' if over_seeds else 'questions'}")
        )
    return mark_front(pd.DataFrame(rows, columns=[*POINT, "seeds", "intervals"]))


def mark_front(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the column pareto: no other is at least as good in accuracy and quality and
    better in one of them. A point without quality is never on this front."""
    x, y = points["accuracy"], points["quality"]
    beaten = [((x >= a) & (y >= b) & ((x > a) | (y > b))).any() for a, b in zip(x, y, strict=True)]
    return points.assign(pareto=~np.array(beaten, bool) & y.notna())


def findings(points: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Where the means of each student with explanations stand: on the Pareto front, or behind whom.

    Columns: student, standing, accuracy and quality (with intervals), above_chance (its interval
    of accuracy lies above ``chance``, 0..1).
    """
    names = points["arm"] + " (" + points["size"].astype(str) + ")"
    rated = points.assign(student=names).dropna(subset="quality")
    rows = []
    for row in rated.itertuples():
        standing = "on the Pareto front"
        if not row.pareto:
            better = (rated["accuracy"] >= row.accuracy) & (rated["quality"] >= row.quality)
            standing = f"behind {rated.loc[better & rated['pareto'], 'student'].iloc[0]}"
        accuracy = f"{row.accuracy:.1f} [{row.accuracy_low:.1f}, {row.accuracy_high:.1f}]"
        quality = f"{row.quality:.2f} [{row.quality_low:.2f}, {row.quality_high:.2f}]"
        rows.append((row.student, standing, accuracy, quality, row.accuracy_low > 100 * chance))
    columns = ["student", "standing", "accuracy", "quality", "above_chance"]
    return pd.DataFrame(rows, columns=columns)
