"""The human-grounded study: ratings, their checks, and the tests of single constructs.

Ratings are a table with one row a rating: participant, method, length (characters), slot (place in
the questionnaire), the five constructs (1..5), and where known question (which one is explained),
gender, age, country, education, employment. Counts (method, construct, score, count) are enough
for every test here; the others are in study_models, study_ranks, study_mixed and study_honest.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pingouin as pg
import scikit_posthocs as sp
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.common.tables import melt_table

CONSTRUCTS = (
    "Plausibility",
    "Understandability",
    "Completeness",
    "Satisfaction",
    "Contrastiveness",
)
OUTCOMES = (*CONSTRUCTS, "Quality")
CONTROLS = ("gender", "age", "country", "education", "employment")
# The authors' names of columns and methods; our own names pass through unchanged.
COLUMNS = {
    "CASE": "participant",
    "rationale": "slot",
    "model": "method",
    "rationale_id": "question",
    "rationale_length": "length",
    "employement": "employment",
}
LABELS = {"PosRationales": "Unrevised", "RevRationales": "Revised"}

SCHEMA = pa.DataFrameSchema(
    {
        "participant": pa.Column(str, pa.Check.str_length(min_value=1)),
        "method": pa.Column(str, pa.Check.str_length(min_value=1)),
        "length": pa.Column(float, pa.Check.gt(0)),
        "slot": pa.Column(str, pa.Check.str_length(min_value=1)),
        **{name: pa.Column(float, pa.Check.isin([1, 2, 3, 4, 5])) for name in CONSTRUCTS},
        **{name: pa.Column(str, required=False) for name in ("question", *CONTROLS)},
    },
    strict="filter",
    unique=["participant", "slot"],
    coerce=True,
)


def load_ratings(path: str | Path) -> pd.DataFrame:
    """Read a CSV table of ratings, the authors' study.csv or one with our column names.

    Raises UserError where the file is missing or a rating is not usable.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a CSV table of ratings: {error}.") from error
    return check_ratings(raw, str(path))


def check_ratings(raw: pd.DataFrame, where: str = "The table of ratings") -> pd.DataFrame:
    """Return checked ratings with the column Quality (mean of the five) and ordered methods."""
    raw = raw.rename(columns=COLUMNS).reset_index(drop=True)
    needed = [name for name, column in SCHEMA.columns.items() if column.required]
    missing = [name for name in needed if name not in raw.columns]
    if missing:
        raise UserError(f"{where} lacks the column(s) {', '.join(missing)}.")
    if raw.empty:
        raise UserError(f"{where} holds no rating.")
    for name in ("length", *CONSTRUCTS):
        raw[name] = pd.to_numeric(raw[name], errors="coerce")
    try:
        ratings = SCHEMA.validate(raw, lazy=True)
    except pa.errors.SchemaErrors as error:
        # "from None": pandera's own message repeats the values, which may be personal.
        raise UserError(f"{where} {_first_fault(error.failure_cases)}.") from None
    for old, new in LABELS.items():
        ratings["method"] = ratings["method"].str.replace(old, new)
    ratings["method"] = pd.Categorical(ratings["method"], order_arms(ratings["method"]))
    # The sum of five whole numbers is exact, so ties and the outliers' fences are, too.
    ratings["Quality"] = ratings[list(CONSTRUCTS)].sum(axis=1) / len(CONSTRUCTS)
    return ratings


def _first_fault(cases: pd.DataFrame) -> str:
    """The first fault in words; the value itself may be personal and is not repeated."""
    case = cases.iloc[0]
    if case["check"] == "multiple_fields_uniqueness":
        return f"rates one slot of one participant twice (data row {int(case['index']) + 1})"
    line = "" if pd.isna(case["index"]) else f" in data row {int(case['index']) + 1}"
    wish = {"length": "a number of characters above 0"} | dict.fromkeys(
        CONSTRUCTS, "a whole number from 1 to 5"
    )
    return f"has a bad value{line}: {case['column']} must be {wish.get(case['column'], 'a text')}"


def expand_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Turn counts (method, construct, score, count) into one row a score."""
    long = counts.loc[counts.index.repeat(counts["count"]), ["method", "construct", "score"]]
    return _as_ordered(long.reset_index(drop=True))


def melt_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    """Turn ratings into one row a score: method, construct (the five and Quality), score."""
    return _as_ordered(ratings.melt("method", list(OUTCOMES), "construct", "score"))


def _as_ordered(long: pd.DataFrame) -> pd.DataFrame:
    constructs = list(dict.fromkeys(long["construct"]))
    return long.assign(
        method=pd.Categorical(long["method"].astype(object), order_arms(long["method"])),
        construct=pd.Categorical(long["construct"], constructs),
        score=long["score"].astype(float),
    )


def summarise_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Per method and construct: n, mean, sd, se, median (scale points)."""
    groups = scores.groupby(["method", "construct"], observed=True)["score"]
    table = groups.agg(n="size", mean="mean", sd="std", median="median")
    table.insert(3, "se", table["sd"] / np.sqrt(table["n"]))
    return table.reset_index()


def _split(scores: pd.DataFrame):
    """Each construct with its scores and the methods."""
    for construct, part in scores.groupby("construct", observed=True):
        yield construct, part.astype({"method": str}), order_arms(part["method"])


def kruskal_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Kruskal-Wallis test of each construct (pingouin): construct, H, df, p, eta2_H, epsilon2.

    Effect sizes: (H - k + 1) / (n - k) and H / (n - 1) (Tomczak & Tomczak 2014).
    """
    rows = []
    for construct, part, methods in _split(scores):
        test, n, k = pg.kruskal(part, dv="score", between="method").iloc[0], len(part), len(methods)
        rows.append(
            (
                construct,
                test["H"],
                test["ddof1"],
                test["p_unc"],
                (test["H"] - k + 1) / (n - k),
                test["H"] / (n - 1),
            )
        )
    return pd.DataFrame(rows, columns=["construct", "H", "df", "p", "eta2_H", "epsilon2"])


def dunn_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Dunn's test of each construct (scikit-posthocs), with Bonferroni and Holm over the pairs.

    Columns: construct, pair ("A - B"), n1, n2, mean_rank_diff (B minus A), z (its sign), p,
    p_bonferroni, p_holm.
    """
    tables = []
    for construct, part, methods in _split(scores):
        p = sp.posthoc_dunn(part, val_col="score", group_col="method")
        ranks = part["score"].rank().groupby(part["method"]).mean()
        n = part["method"].value_counts()
        rows = [
            (
                construct,
                f"{a} - {b}",
                n[a],
                n[b],
                ranks[b] - ranks[a],
                np.sign(ranks[b] - ranks[a]) * stats.norm.isf(p.loc[a, b] / 2),
                p.loc[a, b],
            )
            for a, b in combinations(methods, 2)
        ]
        names = ["construct", "pair", "n1", "n2", "mean_rank_diff", "z", "p"]
        table = pd.DataFrame(rows, columns=names)
        for name, method in (("p_bonferroni", "bonf"), ("p_holm", "holm")):
            table[name] = pg.multicomp(table["p"].to_numpy(), method=method)[1]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def vda_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Vargha-Delaney's A of each construct (pingouin): P(first > second) + P(equal) / 2.

    Columns: construct, pair ("A - B"), A, cliff_delta, U, mwu_p (Mann-Whitney, two-sided).
    """
    rows = []
    for construct, part, methods in _split(scores):
        for a, b in combinations(methods, 2):
            x, y = (part.loc[part["method"] == name, "score"] for name in (a, b))
            test = pg.mwu(x, y).iloc[0]
            rows.append(
                (
                    construct,
                    f"{a} - {b}",
                    test["CLES"],
                    2 * test["CLES"] - 1,
                    test["U_val"],
                    test["p_val"],
                )
            )
    return pd.DataFrame(rows, columns=["construct", "pair", "A", "cliff_delta", "U", "mwu_p"])


def analyse_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Everything of this module as one long table: statistic, group, term, value.

    scores: from expand_counts or melt_ratings. Statistics: descriptives, kruskal, dunn, vda.
    """
    return pd.concat(
        [
            melt_table(summarise_scores(scores), "descriptives", ["method", "construct"]),
            melt_table(kruskal_table(scores), "kruskal", ["construct"]),
            melt_table(dunn_table(scores), "dunn", ["construct", "pair"]),
            melt_table(vda_table(scores), "vda", ["construct", "pair"]),
        ],
        ignore_index=True,
    )
