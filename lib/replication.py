"""Does a run show what the paper reports? Its students beside the paper's, and the paper's claims one by
one, each as a difference with its interval."""

import numpy as np
import pandas as pd
from scipy import stats

from lib import accuracy, comparisons

CLAIMS = (  # claim, a, b, what is compared, sign of (b minus a) if it holds
    ("CF answers worst: MT is ahead of it", "CF:Unrevised", "MT:Unrevised", "accuracy", 1),
    ("CF answers worst: MT+CF is ahead of it", "CF:Unrevised", "MT+CF:Unrevised", "accuracy", 1),
    ("MT answers no worse than MT+CF", "MT+CF:Unrevised", "MT:Unrevised", "accuracy", 1),
    ("revised texts cost a little accuracy", "MT+CF:Unrevised", "MT+CF:Revised", "accuracy", -1),
    ("revised texts make explanations name more of the other choices", "MT+CF:Unrevised",
     "MT+CF:Revised", "mentions_other_choices", 1),
    ("(not asked in the paper) explanations help to answer", "label-only", "MT:Unrevised",
     "accuracy", 1),
)


def paper_accuracy() -> pd.DataFrame:
    """The paper's mean accuracy (percent, all runs) by arm (rows) and T5 size (columns)."""
    cells = accuracy.published_cells()
    cells = cells[cells["panel"] == "all runs"].astype({"method": str, "size": str})
    return cells.pivot(index="method", columns="size", values="mean")


def summary(found: dict[str, pd.DataFrame], runs: pd.DataFrame) -> pd.DataFrame:
    """A row a method and size: accuracy by reading and by the likeliest choice (percent, bootstrap
    intervals), texts without an answer, what the explanations are like, cost of one student (means
    over seeds), and, beside students of CommonsenseQA, the paper's T5 accuracies.

    ``found``: tables accuracy, likelihood, students, measures, transfer of lib.results; ``runs``: its
    runs.csv.
    """
    keys = ["arm", "size"]
    table = found["accuracy"].set_index(keys)
    table[["accuracy", "low", "high"]] *= 100
    likely = found["likelihood"].set_index(keys)
    for name in ("accuracy", "low", "high"):
        table[f"likeliest_{name}".removesuffix("_accuracy")] = 100 * likely[name]
    students = found["students"].groupby(keys)[["unanswered", "n"]].sum()
    table["unanswered"] = 100 * students["unanswered"] / students["n"]
    means = found["measures"].set_index([*keys, "measure"])
    for name, measure, scale in (("characters", "characters", 1), ("named", "mentions_other_choices", 100)):
        part = means.xs(measure, level="measure")
        for column, end in (("mean", ""), ("low", "_low"), ("high", "_high")):
            table[f"{name}{end}"] = scale * part[column]
    cost = runs.groupby(keys)[["seconds", "tokens", "peak_memory_gb"]].mean()
    paper = paper_accuracy().add_prefix("paper_")
    table = table.join(cost).reset_index().drop(columns="over")
    own = set(found["transfer"]["trained_on"])  # the paper's students answer CommonsenseQA
    return table.join(paper, on="arm") if own == {"commonsenseqa"} else table


def verdicts(answers: pd.DataFrame, explained: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims: difference (b minus a, percentage points) with its 95 % interval, the
    paper's own difference for T5-large, and ``holds``: yes, no (the reverse) or open, as the
    interval lies above, below or around zero. Claims whose methods a run lacks are left out.

    Accuracy: comparisons.differences. A measure of explanations: scipy's percentile bootstrap over
    questions, of each question's mean over seeds.
    """
    pairs = comparisons.differences(answers).set_index(["a", "b"])
    paper, rows = paper_accuracy().iloc[:, -1], []
    for claim, a, b, measure, sign in CLAIMS:
        if measure != "accuracy":
            value, low, high = measure_difference(explained, a, b, measure)
            reported = np.nan
        elif (a, b) in pairs.index or (b, a) in pairs.index:
            forward = (a, b) in pairs.index
            row = pairs.loc[[(a, b) if forward else (b, a)]].iloc[0]
            value, low, high = (row[["difference", "low", "high"]] if forward
                                else -row[["difference", "high", "low"]]).astype(float)
            reported = paper.get(b, np.nan) - paper.get(a, np.nan)
        else:
            continue
        if np.isnan(value):
            continue
        holds = "yes" if min(sign * low, sign * high) > 0 else (
            "no" if max(sign * low, sign * high) < 0 else "open")
        rows.append((claim, f"{b} - {a}", value, low, high, reported, holds))
    return pd.DataFrame(rows, columns=["claim", "difference of", "difference", "low", "high",
                                       "paper", "holds"])


def measure_difference(explained: pd.DataFrame, a: str, b: str,
                       measure: str) -> tuple[float, float, float]:
    """Mean of ``measure`` (a share) in b minus in a on the same questions, in percentage points, with
    low and high; nan where one of the two explained nothing."""
    means = explained.pivot_table(index="id", columns="arm", values=measure)
    if not {a, b} <= set(means):
        return np.nan, np.nan, np.nan
    gap = 100 * (means[b] - means[a]).dropna().to_numpy()
    if len(gap) < 2:
        return gap.mean() if len(gap) else np.nan, np.nan, np.nan
    found = stats.bootstrap((gap,), np.mean, n_resamples=10_000, method="percentile", batch=500,
                            rng=np.random.default_rng(0)).confidence_interval
    return float(gap.mean()), float(found.low), float(found.high)


def markdown(table: pd.DataFrame) -> str:
    """A table of ``summary`` or ``verdicts`` as README shows it: values with their intervals."""
    if "claim" in table:
        head = ["claim", "difference", "points [95 % interval]", "paper, T5-large", "holds here"]
        rows = [[row["claim"], row["difference of"], _cell(row, "difference", "low", "high", "+.1f"),
                 _cell(row, "paper", form="+.1f"), row["holds"]] for row in table.to_dict("records")]
    else:
        paper = [name for name in table if name.startswith("paper_")]
        head = ["student", "seeds x questions", "accuracy, %", "likeliest choice, %", "no answer read, %",
                "explanation, characters", "other choices named, %", "training, s", "peak memory, GB",
                *(f"T5 {name.removeprefix('paper_')}, %" for name in paper)]
        rows = [[row["arm"], f"{row['seeds']} x {row['n']}", _cell(row, "accuracy", "low", "high"),
                 _cell(row, "likeliest", "likeliest_low", "likeliest_high"), _cell(row, "unanswered"),
                 _cell(row, "characters", form=".0f"), _cell(row, "named", "named_low", "named_high"),
                 _cell(row, "seconds", form=".0f"), _cell(row, "peak_memory_gb"),
                 *(_cell(row, name) for name in paper)] for row in table.to_dict("records")]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(row: dict, name: str, low: str = "", high: str = "", form: str = ".1f") -> str:
    """A value, perhaps with its interval; a dash where there is none."""
    if pd.isna(row[name]):
        return "–"
    value = f"{row[name]:{form}}"
    return f"{value} [{row[low]:{form}}, {row[high]:{form}}]" if low and pd.notna(row[low]) else value
