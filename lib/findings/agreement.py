"""Automatic measures of explanations beside people's ratings of them, where both exist.

All is Spearman's rho, a point an explanation: a measure of it, and the mean of its ratings. Its
interval is Fisher's (a little narrow for ranks, Bonett & Wright 2000) and takes explanations as
independent, though several are of one question or by one student.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.evaluation.measures import MEASURES
from lib.human_study.ratings import OUTCOMES

KEY = ["question", "method", "length"]
LEAST = 4  # explanations: Fisher's interval needs more than three


def measures_against_ratings(explanations: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of each measure with each construct's mean rating, and with Quality's.

    explanations: notebook 04's (id, arm, the measures); ratings: of this run's explanations, as
    people gave them in a study of one's own, with the column question. Columns: measure, construct,
    explanations (rated, and the measure defined), rho, low, high, p, p_holm (Holm, all rows).

    An explanation is the same if question, method and length are. Ratings do not know the student's
    size and seed, so it is the length that says whose text was rated, and that it is this run's; of
    several texts of one length the mean counts. UserError if the ratings lack a column or fewer
    than ``LEAST`` of the explanations were rated.
    """
    missing = [name for name in KEY if name not in ratings.columns]
    if missing:
        raise UserError(
            f"The ratings lack the column(s) {', '.join(missing)}; without that nobody "
            "can tell which explanations of this run were rated."
        )
    measures = [name for name in MEASURES if name in explanations.columns]
    keys = {"question": "id", "method": "arm", "length": "characters"}
    table = explanations.assign(**{name: explanations[column] for name, column in keys.items()})
    both = _means(table, measures, KEY).join(_means(ratings, OUTCOMES, KEY), how="inner")
    if len(both) < LEAST:
        raise UserError(
            f"Only {len(both)} explanations of this run were rated (same {', '.join(KEY)}); "
            f"{LEAST} are needed. Are these ratings of this run?"
        )
    return _correlations({name: (both, name) for name in measures}, "measure")


def paper_lengths(ratings: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of length with the mean ratings of the paper's explanations, a text a method
    and question: within all and within each method (column within); others as above.
    """
    means = _means(ratings, ["length", *OUTCOMES], KEY[:2]).reset_index()
    parts = {"all": (means, "length")}
    for method in order_arms(means["method"]):
        parts[method] = (means[means["method"] == method], "length")
    table = _correlations(parts, "within")
    table.insert(0, "measure", "characters")
    return table[["measure", "construct", "within", *table.columns[3:]]]


def _means(table: pd.DataFrame, columns, keys: list[str]) -> pd.DataFrame:
    kinds = {name: float if name == "length" else str for name in keys}
    # Rounded, so that equal means are ties whatever the order in which their terms were added.
    return table.astype(kinds).groupby(keys)[list(columns)].mean().round(9)


def _correlations(parts: dict[str, tuple[pd.DataFrame, str]], name: str) -> pd.DataFrame:
    """Correlations of a column with each outcome's mean rating, for each named (table, column)."""
    rows = [
        (part, outcome, *correlate(table[column], table[outcome]))
        for part, (table, column) in parts.items()
        for outcome in OUTCOMES
    ]
    columns = [name, "construct", "explanations", "rho", "low", "high", "p"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(p_holm=pg.multicomp(found["p"].to_numpy(), method="holm")[1])


def correlate(x: pd.Series, y: pd.Series) -> tuple:
    """Spearman's rho of two columns: n (rows that have both), rho, low, high, p (two-sided).

    nan below ``LEAST`` rows or where a column is constant; no interval where rho is 1 or -1.
    """
    kept = pd.DataFrame({"x": x, "y": y}).astype(float).dropna()
    if len(kept) < LEAST or (kept.nunique() < 2).any():
        return len(kept), *[np.nan] * 4
    test = stats.pearsonr(kept["x"].rank(), kept["y"].rank())
    certain = np.isclose(abs(test.statistic), 1)
    limits = (np.nan, np.nan) if certain else test.confidence_interval()
    return len(kept), test.statistic, *limits, test.pvalue
