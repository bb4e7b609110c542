"""Does a run show what the paper reports? Its students beside the paper's, and the paper's claims one by
one, each as a difference with its interval."""

import numpy as np
import pandas as pd

from lib.evaluation import accuracy, comparisons

NAMED = "mentions_other_choices"
INTERVAL = ("difference", "low", "high")
CLAIMS = (  # claim, a, b, what is compared, sign of (b minus a) if it holds
    ("CF answers worst: MT is ahead of it", "CF:Unrevised", "MT:Unrevised", "accuracy", 1),
    ("CF answers worst: MT+CF is ahead of it", "CF:Unrevised", "MT+CF:Unrevised", "accuracy", 1),
    ("MT is ahead of MT+CF", "MT+CF:Unrevised", "MT:Unrevised", "accuracy", 1),
    ("revised texts cost a little accuracy", "MT+CF:Unrevised", "MT+CF:Revised", "accuracy", -1),
    (
        "revised texts make explanations name more of the other choices",
        "MT+CF:Unrevised",
        "MT+CF:Revised",
        NAMED,
        1,
    ),
    (
        "(not asked in the paper) explanations help to answer",
        "label-only",
        "MT:Unrevised",
        "accuracy",
        1,
    ),
)


def paper_accuracy() -> pd.DataFrame:
    """The paper's mean accuracy (percent, all runs) by arm (rows) and T5 size (columns)."""
    cells = accuracy.published_cells()
    cells = cells[cells["panel"] == "all runs"].astype({"method": str, "size": str})
    return cells.pivot(index="method", columns="size", values="mean")


def summary(found: dict[str, pd.DataFrame], runs: pd.DataFrame) -> pd.DataFrame:
    """A row a method and size: accuracy by reading and by the likeliest choice (percent, bootstrap
    intervals), texts without an answer, what the explanations are like, cost of one student (means
    over seeds), and, beside students of CommonsenseQA, the paper's T5 accuracies. ``first``: how
    often the first choice is the likeliest (percent).

    ``found``: tables accuracy, likelihood, letters, students, measures, named, transfer of
    lib.runner.results; ``runs``: its runs.csv.
    """
    keys = ["arm", "size"]
    table = found["accuracy"].set_index(keys)
    table[["accuracy", "low", "high"]] *= 100
    likely = found["likelihood"].set_index(keys)
    for name in ("accuracy", "low", "high"):
        table[f"likeliest_{name}".removesuffix("_accuracy")] = 100 * likely[name]
    students = found["students"].groupby(keys)[["unanswered", "n"]].sum()
    table["unanswered"] = 100 * students["unanswered"] / students["n"]
    table["first"] = found["letters"].set_index(keys)["A"]
    means = found["measures"].set_index([*keys, "measure"])["mean"]
    table["characters"] = means.xs("characters", level="measure")
    named = found["named"].set_index(keys)
    table["named"] = 100 * named["accuracy"]
    table[["named_low", "named_high"]] = 100 * named[["low", "high"]]
    cost = runs.groupby(keys)[["seconds", "tokens", "peak_memory_gb"]].mean()
    paper = paper_accuracy().add_prefix("paper_")
    table = table.join(cost).reset_index().drop(columns="over")
    own = set(found["transfer"]["trained_on"])  # the paper's students answer CommonsenseQA
    return table.join(paper, on="arm") if own == {"commonsenseqa"} else table


def verdicts(answers: pd.DataFrame, explained: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims: difference (b minus a, percentage points) with its 95 % interval, the same
    by the likeliest choice, the paper's own difference for T5-large, and ``holds``: yes, no (the
    reverse) or open, as the interval lies above, below or around zero; of two that disagree only
    what both show counts, with a note. Claims whose methods a run lacks are left out.

    All intervals: comparisons.differences (of one size: the last).
    """
    paper = paper_accuracy().iloc[:, -1]
    tables = {"": _pairs(answers, "correct"), "likely_": _pairs(answers, "likely")}
    named, rows = {"": _pairs(explained, NAMED)}, []
    for claim, a, b, measure, sign in CLAIMS:
        row, states = {"claim": claim, "difference of": f"{b} - {a}"}, {}
        for kind, table in (tables if measure == "accuracy" else named).items():
            if (a, b) in table:
                value, low, high = table[a, b]
                row |= {f"{kind}difference": value, f"{kind}low": low, f"{kind}high": high}
                states[kind] = _state(sign, low, high)
        if not states:
            continue
        if measure == "accuracy":
            row["paper"] = paper.get(b, np.nan) - paper.get(a, np.nan)
        written, likely = states[""], states.get("likely_", states[""])
        row["holds"] = written if written == likely else f"{written}; by likeliest choice {likely}"
        rows.append(row)
    columns = [
        "claim",
        "difference of",
        *(f"{kind}{name}" for kind in tables for name in INTERVAL),
        "paper",
        "holds",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _pairs(table: pd.DataFrame, column: str) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(a, b) -> b minus a with its interval, for both orders of every pair of arms."""
    found = {}
    for row in comparisons.differences(table, column).to_dict("records") if len(table) else []:
        value, low, high = (row[name] for name in INTERVAL)
        found[row["a"], row["b"]] = value, low, high
        found[row["b"], row["a"]] = -value, -high, -low
    return found


def _state(sign: int, low: float, high: float) -> str:
    if min(sign * low, sign * high) > 0:
        return "yes"
    return "no" if max(sign * low, sign * high) < 0 else "open"


def markdown(table: pd.DataFrame) -> str:
    """A table of ``summary`` or ``verdicts`` as README shows it: values with their intervals."""
    if "claim" in table:
        head = [
            "claim",
            "difference",
            "points [95 % interval]",
            "by likeliest choice",
            "paper, T5-large",
            "holds here",
        ]
        rows = [
            [
                row["claim"],
                row["difference of"],
                _cell(row, "difference", "low", "high", "+.1f"),
                _cell(row, "likely_difference", "likely_low", "likely_high", "+.1f"),
                _cell(row, "paper", form="+.1f"),
                row["holds"],
            ]
            for row in table.to_dict("records")
        ]
    else:
        paper = [name for name in table if name.startswith("paper_")]
        head = [
            "student",
            "seeds x questions",
            "accuracy, %",
            "likeliest choice, %",
            "of these (A), %",
            "no answer read, %",
            "explanation, characters",
            "other choices named, %",
            "training, s",
            "peak memory, GB",
            *(f"T5 {name.removeprefix('paper_')}, %" for name in paper),
        ]
        rows = [
            [
                row["arm"],
                f"{row['seeds']} x {row['n']}",
                _cell(row, "accuracy", "low", "high"),
                _cell(row, "likeliest", "likeliest_low", "likeliest_high"),
                _cell(row, "first", form=".0f"),
                _cell(row, "unanswered"),
                _cell(row, "characters", form=".0f"),
                _cell(row, "named", "named_low", "named_high"),
                _cell(row, "seconds", form=".0f"),
                _cell(row, "peak_memory_gb"),
                *(_cell(row, name) for name in paper),
            ]
            for row in table.to_dict("records")
        ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(row: dict, name: str, low: str = "", high: str = "", form: str = ".1f") -> str:
    """A value, perhaps with its interval; a dash where there is none."""
    if pd.isna(row[name]):
        return "–"
    value = f"{row[name]:{form}}"
    return (
        f"{value} [{row[low]:{form}}, {row[high]:{form}}]" if low and pd.notna(row[low]) else value
    )
