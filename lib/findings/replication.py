"""Does a run show what the paper reports? Its students beside the paper's, and the paper's claims
one by one, each as a difference with its interval."""

import re

import numpy as np
import pandas as pd

from lib.evaluation import comparisons
from lib.human_study import published, runs

NAMED = "mentions_other_choices"
REVISED = "MT+CF:Revised - MT+CF:Unrevised"
CLAIMS = (  # claim, difference, what differs, its sign if the claim holds
    ("CF answers worst: MT is ahead of it", "MT:Unrevised - CF:Unrevised", "correct", 1),
    ("CF answers worst: MT+CF is ahead of it", "MT+CF:Unrevised - CF:Unrevised", "correct", 1),
    ("MT is ahead of MT+CF", "MT:Unrevised - MT+CF:Unrevised", "correct", 1),
    ("revised texts cost a little accuracy", REVISED, "correct", -1),
    ("revised texts make explanations name more of the other choices", REVISED, NAMED, 1),
    (
        "(not asked in the paper) explanations help to answer",
        "MT:Unrevised - label-only",
        "correct",
        1,
    ),
)
WRITTEN = ["difference", "low", "high"]
LIKELY = ["likely_difference", "likely_low", "likely_high"]
PAPER = ["paper_220M", "paper_770M"]
SUMMARY = {  # README's heading of a column -> what stands in a cell
    "student": "{arm}",
    "seeds x questions": "{seeds} x {n}",
    "accuracy, %": "{accuracy:.1f} [{low:.1f}, {high:.1f}]",
    "likeliest choice, %": "{likeliest:.1f} [{likeliest_low:.1f}, {likeliest_high:.1f}]",
    "of these (A), %": "{first:.0f}",
    "no answer read, %": "{unanswered:.1f}",
    "explanation, characters": "{characters:.0f}",
    "other choices named, %": "{named:.1f} [{named_low:.1f}, {named_high:.1f}]",
    "training, s": "{seconds:.0f}",
    "peak memory, GB": "{peak_memory_gb:.1f}",
    "T5 220M, %": "{paper_220M:.1f}",
    "T5 770M, %": "{paper_770M:.1f}",
}
VERDICTS = {
    "claim": "{claim}",
    "difference": "{difference of}",
    "points [95 % interval]": "{difference:+.1f} [{low:+.1f}, {high:+.1f}]",
    "by likeliest choice": "{likely_difference:+.1f} [{likely_low:+.1f}, {likely_high:+.1f}]",
    "paper, T5-large": "{paper:+.1f}",
    "holds here": "{holds}",
}


def paper_accuracy() -> pd.DataFrame:
    """The paper's mean accuracy (percent, all runs) by arm: columns ``PAPER``, T5's two sizes."""
    cells = published.load_cells("before")
    return cells.pivot(index="method", columns="size", values="mean").add_prefix("paper_")[PAPER]


def summary(tables: dict[str, pd.DataFrame], training: pd.DataFrame) -> pd.DataFrame:
    """A row a method and size: accuracy as written and by the most likely choice (percent,
    bootstrap intervals), texts without an answer, what the explanations are like, cost of one
    student (means over seeds), and, beside students of CommonsenseQA, the paper's T5 accuracies.
    ``first``: how often the first choice is the most likely (percent).

    ``tables``: accuracy, likelihood, letters, students, measures, named, transfer of
    lib.runner.results; ``training``: its runs.csv.
    """
    keys = ["arm", "size"]
    students = tables["students"].groupby(keys)[["unanswered", "n"]].sum()
    means = tables["measures"].set_index([*keys, "measure"])["mean"].unstack()
    table = (
        tables["accuracy"]
        .set_index(keys)[["n", "seeds"]]
        .join(_percent(tables["accuracy"], "accuracy", "low", "high"))
        .join(_percent(tables["likelihood"], "likeliest", "likeliest_low", "likeliest_high"))
        .assign(
            unanswered=100 * students["unanswered"] / students["n"],
            first=tables["letters"].set_index(keys)["A"],
            characters=means["characters"],
        )
        .join(_percent(tables["named"], "named", "named_low", "named_high"))
        .join(training.groupby(keys)[["seconds", "tokens", "peak_memory_gb"]].mean())
        .reset_index()
    )
    own = set(tables["transfer"]["trained_on"])  # the paper's students answer CommonsenseQA
    return table.join(paper_accuracy(), on="arm") if own == {"commonsenseqa"} else table


def _percent(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Mean and interval of comparisons.bootstrap_accuracy in percent, under these names."""
    values = table.set_index(["arm", "size"])[["accuracy", "low", "high"]]
    return (100 * values).set_axis(names, axis=1)


def verdicts(answers: pd.DataFrame, explanations: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims: difference (percentage points) with its 95 % interval, the same by the
    most likely choice, the paper's own difference for T5-large, and ``holds``: yes, no (the
    reverse) or open, as the interval lies above, below or around zero, with a note where the most
    likely choice says otherwise. Claims whose methods a run lacks are left out.

    All intervals: comparisons.differences (of several sizes: the last).
    """
    paper = paper_accuracy()["paper_770M"].to_dict()
    found = {column: _differences(answers, column) for column in ("correct", "likely")}
    found[NAMED] = _differences(explanations, NAMED)
    rows = []
    for claim, pair, column, sign in CLAIMS:
        if pair not in found[column]:
            continue
        written = found[column][pair]
        row = {"claim": claim, "difference of": pair, **dict(zip(WRITTEN, written, strict=True))}
        row["holds"] = _holds(sign, *written)
        if column == "correct":
            one, other = (paper.get(arm, np.nan) for arm in pair.split(" - "))
            likely = found["likely"][pair]
            row |= {"paper": one - other, **dict(zip(LIKELY, likely, strict=True))}
            if _holds(sign, *likely) != row["holds"]:
                row["holds"] += f"; by likeliest choice {_holds(sign, *likely)}"
        rows.append(row)
    columns = ["claim", "difference of", *WRITTEN, *LIKELY, "paper", "holds"]
    return pd.DataFrame(rows, columns=columns)


def _differences(table: pd.DataFrame, column: str) -> dict[str, tuple[float, float, float]]:
    """ "b - a" -> b minus a with its interval, for both orders of every pair of arms."""
    found = {}
    for row in comparisons.differences(table, column).itertuples():
        found[f"{row.b} - {row.a}"] = row.difference, row.low, row.high
        found[f"{row.a} - {row.b}"] = -row.difference, -row.high, -row.low
    return found


def _holds(sign: int, difference: float, low: float, high: float) -> str:
    if min(sign * low, sign * high) > 0:
        return "yes"
    return "no" if max(sign * low, sign * high) < 0 else "open"


def markdown(table: pd.DataFrame) -> str:
    """A table of ``summary`` or ``verdicts`` as README shows it; a dash where a number is not."""
    cells = VERDICTS if "claim" in table else SUMMARY
    if cells is SUMMARY and not {*PAPER} <= {*table}:
        cells = {heading: form for heading, form in cells.items() if "paper" not in form}
    lines = [list(cells), ["---"] * len(cells)]
    for row in table.to_dict("records"):
        texts = [form.format(**row) for form in cells.values()]
        lines.append(["–" if re.match(r"\+?nan\b", text) else text for text in texts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def student_tests(students: pd.DataFrame) -> pd.DataFrame:
    """ANOVA and Tukey's test over seeds: runs.analyse_runs, a run's students for the paper's runs.

    students: arm, size, seed, accuracy (0..1). With one seed there are only notes that say so.
    """
    renamed = students.rename(columns={"arm": "method", "seed": "run"})
    return runs.analyse_runs(renamed.assign(accuracy=100 * students["accuracy"]))
