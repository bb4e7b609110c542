"""Ratings of explanations: loading, checks, scores of single constructs, outliers.

Ratings are a table with one row a rating: participant, method, length (characters), slot (position
in the questionnaire), the five constructs (1..5), and where known question (which one is
explained), gender, age, country, education, employment.
"""

import io
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from lib.common import files
from lib.common.errors import UserError
from lib.common.methods import order_arms

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
MIN_RATINGS = 8  # of each method: the covariance of five constructs needs more than five

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

    As a survey service or a spreadsheet saves it: commas, semicolons or tabs between columns,
    blanks around names and values, up to two rows of headings below the names (dropped, with a
    line that says so). Raises UserError where the file is missing or a rating is not usable.
    """
    try:
        text = files.read_text(path)
        mark = max(",;\t", key=text.partition("\n")[0].count)
        rows = pd.read_csv(
            io.StringIO(text), sep=mark, header=None, dtype=str, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as a CSV table of ratings: {str(error).strip()}."
        ) from None
    rows = rows.fillna("").apply(lambda column: column.str.strip())
    raw = rows[1:].set_axis(rows.iloc[0].rename(None), axis=1).rename(columns=COLUMNS)
    twice = sorted(set(raw.columns[raw.columns.duplicated()]) & set(SCHEMA.columns))
    if twice:
        raise UserError(f"{path} has two columns {', '.join(twice)}; remove one of each.")
    headings = _count_headings(raw)
    if headings:
        print(f"{path}: {headings} row(s) of headings below the names of the columns are dropped.")
    return check_ratings(raw[headings:], str(path))


def _count_headings(raw: pd.DataFrame) -> int:
    """How many of the first two rows hold words alone where every rating has numbers."""
    cells = raw.reindex(columns=["length", *CONSTRUCTS], fill_value="")[:2]
    words = cells.ne("") & cells.apply(pd.to_numeric, errors="coerce").isna()
    return int(words.all(axis=1).cummin().sum())


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


def require_ratings(ratings: pd.DataFrame) -> None:
    """Raise UserError where ratings are too few for the analyses of all constructs at once."""
    counts = ratings["method"].value_counts()
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < MIN_RATINGS:
        raise UserError(
            f"This analysis needs at least two methods with {MIN_RATINGS} ratings "
            f"each, but there are {counts.to_dict()}: collect more ratings."
        )
    constant = [name for name in CONSTRUCTS if ratings[name].nunique() < 2]
    if constant:
        raise UserError(f"Every rating of {', '.join(constant)} is the same: nothing to analyse.")


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


def fence_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Quartiles (type 7) and 1.5-IQR fences of Quality: method, q1, q3, lower, upper."""
    # In sums of five whole numbers the fences are exact; a rating on a fence must not fall out.
    sums = (ratings["Quality"] * len(CONSTRUCTS)).round().groupby(ratings["method"], observed=True)
    q1, q3 = sums.quantile(0.25), sums.quantile(0.75)
    reach = 1.5 * (q3 - q1)
    table = pd.DataFrame({"q1": q1, "q3": q3, "lower": q1 - reach, "upper": q3 + reach})
    return (table / len(CONSTRUCTS)).reset_index()


def drop_outliers(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings without the paper's outliers: Quality strictly beyond its method's fences."""
    fences = fence_table(ratings).set_index("method").loc[ratings["method"], ["lower", "upper"]]
    low, high = (fences.to_numpy() * len(CONSTRUCTS)).round(6).T
    return ratings[(ratings["Quality"] * len(CONSTRUCTS)).round().between(low, high)]
