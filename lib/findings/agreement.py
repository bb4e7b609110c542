"""Automatic measures of explanations beside people's ratings of them, where both exist.

All is Spearman's rho, a point an explanation: a measure of it, and the mean of its ratings. Its
interval is Fisher's (pingouin; a little narrow for ranks, Bonett & Wright 2000) and takes
explanations as independent, though several are of one question or by one student.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from IPython.display import Markdown
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.common.stage import STATISTICS, Stage
from lib.common.tables import melt_table
from lib.evaluation.measures import MEASURES
from lib.figures import style
from lib.figures.answers import agreement_figure
from lib.human_study import published, report
from lib.human_study.study import OUTCOMES
from lib.survey import answers

KEY = ("question", "method", "length")
LEAST = 4  # explanations: Fisher's interval needs more than three
FOUND = ["explanations", "rho", "low", "high", "p"]
TITLES = {
    "measures_and_ratings": "Own study: rank correlations of automatic measures and mean ratings",
    "length_and_ratings": "Rank correlations of length and mean ratings, the paper's explanations",
}
ABSENT = (
    "Nothing here was both measured and rated. `make data` downloads the paper's raw ratings "
    "with lengths; `make survey` builds a page on which people rate this run's explanations, "
    "and `make study RATINGS=folder` brings their answers here."
)


def join_ratings(table: pd.DataFrame, ratings: pd.DataFrame, values, by: str) -> pd.DataFrame:
    """Means of ``values`` and of people's ratings, a row an explanation (KEY) that has both.

    An explanation is the same if KEY is. Ratings know its question, method and length, but not
    the student's size and seed: lib.survey.page shows texts of the first seed and one size (the last,
    unless told otherwise). So the length says which student's text was rated, and that it is this
    run's, not one before; of several students' texts of one length the mean counts. Of an outcome
    that is among ``values``, people's mean is called <outcome>_people. UserError if ratings lack a
    column of KEY or fewer than ``LEAST`` explanations have both; ``by`` says whose values.
    """
    missing = [name for name in KEY if name not in ratings.columns]
    if missing:
        raise UserError(
            f"The ratings lack the column(s) {', '.join(missing)}; without that nobody "
            "can tell which explanations of this run were rated."
        )
    both = pd.merge(
        _means(table, values),
        _means(ratings, OUTCOMES),
        left_index=True,
        right_index=True,
        suffixes=("", "_people"),
    )
    if len(both) < LEAST:
        raise UserError(
            f"Only {len(both)} explanations were rated by people and {by} (same "
            f"{', '.join(KEY)}); {LEAST} are needed. Are these ratings of this run?"
        )
    return both


def _means(table: pd.DataFrame, columns, on=KEY) -> pd.DataFrame:
    kinds = {name: float if name == "length" else str for name in on}
    # Rounded, so that equal means are ties whatever the order in which their terms were added.
    return table.astype(kinds).groupby(list(on))[list(columns)].mean().round(9)


def correlate(x: pd.Series, y: pd.Series) -> tuple:
    """Spearman's rho of two columns: n (rows that have both), rho, low, high, p (two-sided).

    nan below ``LEAST`` rows or where a column is constant; no interval where rho is 1 or -1.
    """
    kept = pd.DataFrame({"x": x, "y": y}).astype(float).dropna()
    if len(kept) < LEAST or (kept.nunique() < 2).any():
        return len(kept), *[np.nan] * 4
    # The parts of pg.corr, which rounds the interval to two decimals and warns of power for four.
    (rho, p), limits = stats.spearmanr(kept["x"], kept["y"]), (np.nan, np.nan)
    if not np.isclose(abs(rho), 1):
        limits = pg.compute_esci(rho, len(kept), eftype="spearman", decimals=12)
    return len(kept), rho, *limits, p


def measures_against_ratings(explanations: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of each measure with each construct's mean rating, and with Quality's.

    explanations: table of notebook 04 (id, arm, the measures); ratings: as study.load_ratings
    gives, with question. Columns: measure, construct, explanations (rated, and the measure
    defined), rho, low, high, p, p_holm (Holm over all rows). What joins them: ``join_ratings``.
    """
    names = [name for name in MEASURES if name in explanations.columns]
    table = explanations.assign(
        question=explanations["id"], method=explanations["arm"], length=explanations["characters"]
    )
    both = join_ratings(table, ratings, names, "measured in this run")
    return _table(
        [
            (name, outcome, *correlate(both[name], both[outcome]))
            for name in names
            for outcome in OUTCOMES
        ],
        "measure",
        "construct",
    )


def paper_lengths(ratings: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of length with the mean ratings, over all explanations and within methods.

    An explanation is one method's text for one question. ratings and columns as above, and within
    ("all" or the method); the measure is characters."""
    means = _means(ratings, ["length", *OUTCOMES], KEY[:2]).reset_index()
    parts = {"all": means} | {
        method: means[means["method"] == method] for method in order_arms(ratings["method"])
    }
    return _table(
        [
            ("characters", outcome, within, *correlate(part["length"], part[outcome]))
            for within, part in parts.items()
            for outcome in OUTCOMES
        ],
        "measure",
        "construct",
        "within",
    )


def _table(rows: list[tuple], *keys: str) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*keys, *FOUND])
    return table.assign(p_holm=pg.multicomp(table["p"].to_numpy(), method="holm")[1])


def compare(own: str, explanations: pd.DataFrame) -> pd.DataFrame:
    """``measures_against_ratings`` of an own study (folder of answer files or CSV table), else
    ``paper_lengths`` if the paper's raw ratings are here, else an empty table.

    Ratings of another run are no error here (notebook 05 can analyse them): a sentence is printed.
    """
    ratings = answers.load_study(own) if own else None
    if ratings is not None:
        try:
            return measures_against_ratings(explanations, ratings)
        except UserError as error:
            print(error)
    ratings = published.load_ratings()
    return pd.DataFrame() if ratings is None else paper_lengths(ratings)


def show(table: pd.DataFrame, stage: Stage):
    """Draw and save ``compare``'s table and return its rho, a column a construct; or a sentence.
    A figure that the notebook made before, of other ratings, is removed."""
    of = "within" if "within" in table.columns else "measure"
    name = None if table.empty else list(TITLES)[of == "within"]
    for other in set(TITLES) - {name}:
        for path in stage.figures.glob(f"{other}.*"):
            path.unlink()
    if name is None:
        return Markdown(ABSENT)
    figure, table = agreement_figure(table)
    if of == "measure":
        figure.suptitle("Own study", fontweight="bold")
    style.save(figure, name, table, stage, title=TITLES[name])
    wide = table.pivot(index=of, columns="construct", values="rho")
    return wide.loc[table[of].unique(), table["construct"].unique()].round(2)


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """``compare``'s table as rows for Stage.save_statistics; none if it is empty."""
    if table.empty:
        return pd.DataFrame(columns=STATISTICS).astype({"value": float})
    keys = [name for name in ("measure", "construct", "within") if name in table.columns]
    whose = report.PAPER if "within" in keys else report.OWN
    return melt_table(table, "spearman", keys).assign(analysis=f"{whose} agreement")
