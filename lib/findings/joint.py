"""Both at once: is an arm as accurate as MT, and do its explanations speak for its own answers?"""

import numpy as np
import pandas as pd

from lib.common.methods import order_arms, split_arm
from lib.evaluation import comparisons
from lib.findings.replication import NAMED
from lib.findings.tradeoff import POINT, mark_front

REFERENCE = "MT:Unrevised"
MARGIN, AGREEMENT = -1.0, 90.0  # points below the reference; percent
PAPER = ("label-only", "CF", "MT", "MT+CF")  # its methods
GAPS = ["difference", "low", "high"]
SHARES = {"agrees": "agreement", "argues_against": "against", NAMED: "contrast"}
JOINT = {  # heading of a column -> what stands in a cell
    "student": "{arm}",
    "accuracy minus MT's, points": "{difference:+.1f} [{low:+.1f}, {high:+.1f}]",
    "agreement, %": "{agreement:.1f} [{agreement_low:.1f}, {agreement_high:.1f}]",
    "argues against its own, %": "{against:.1f} [{against_low:.1f}, {against_high:.1f}]",
    "other choices named, %": "{contrast:.1f} [{contrast_low:.1f}, {contrast_high:.1f}]",
    "as accurate and agrees": "{verdict}",
}


def joint(answers: pd.DataFrame, explanations: pd.DataFrame) -> pd.DataFrame:
    """A row an explaining arm and size: arm, size, GAPS (accuracy minus that of REFERENCE, points),
    agreement, against and contrast (percent; SHARES says of which measure), each with _low and
    _high, and verdict: "as accurate" if the difference's lower end is above MARGIN, "less accurate"
    if its upper end is below 0, else "accuracy open"; and whether agreement (the mean) is AGREEMENT
    or more. Where the explanation reads the answer (MT-own, listwise), it need only repeat it.

    Intervals: lib.evaluation.comparisons, differences paired. The reference itself, and all arms of
    a run that lacks it, have no difference and no verdict, nor has an arm whose explanations name
    no choice. Empty where nothing is explained, or agreement was not measured.
    """
    if explanations.empty or "agrees" not in explanations:
        return pd.DataFrame(columns=["arm", "size", *GAPS, *SHARES.values(), "verdict"])
    table = None
    for measure, name in SHARES.items():
        shares = percent(explanations, measure, name)
        table = shares if table is None else table.merge(shares, on=["arm", "size"])
    table = table.merge(_gaps(answers), on=["arm", "size"], how="left")
    accurate = np.select(
        [table["low"] > MARGIN, table["high"] < 0],
        ["as accurate", "less accurate"],
        "accuracy open",
    )
    agrees = np.where(table["agreement"] >= AGREEMENT, "agrees", "agrees too seldom")
    verdict = pd.Series(accurate) + ", " + pd.Series(agrees)
    known = table[["low", "agreement"]].notna().all(axis=1)
    return table.assign(verdict=verdict.where(known, "–"))


def percent(table: pd.DataFrame, measure: str, name: str) -> pd.DataFrame:
    """comparisons.bootstrap_accuracy of a measure in percent: arm, size, name, with _low, _high."""
    found = comparisons.bootstrap_accuracy(table, measure)
    values = (100 * found[["accuracy", "low", "high"]]).set_axis(
        [name, f"{name}_low", f"{name}_high"], axis=1
    )
    return found[["arm", "size"]].join(values)


def _gaps(answers: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each arm minus that of REFERENCE: arm, size, GAPS."""
    rows = []
    for row in comparisons.differences(answers).itertuples():
        if row.a == REFERENCE:
            rows.append((row.b, row.size, row.difference, row.low, row.high))
        elif row.b == REFERENCE:
            rows.append((row.a, row.size, *(0 - np.array([row.difference, row.high, row.low]))))
    return pd.DataFrame(rows, columns=["arm", "size", *GAPS])


def agreement_points(answers: pd.DataFrame, explanations: pd.DataFrame) -> pd.DataFrame:
    """Accuracy against agreement, a row an arm and size, in percent: POINT and pareto (as of
    tradeoff.student_points, quality being agreement), with bootstrap intervals over questions and,
    from two on, seeds."""
    table = percent(answers, "correct", "accuracy")
    if len(explanations):
        shares = percent(explanations, "agrees", "quality")
        table = table.merge(shares, on=["arm", "size"], how="left")
    return mark_front(table.reindex(columns=POINT))


def has_new(arms) -> bool:
    """Whether some arm is of a method that is not the paper's."""
    return any(split_arm(arm)[0] not in PAPER for arm in order_arms(arms))
