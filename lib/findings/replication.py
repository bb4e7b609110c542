"""Does a run show what the paper reports? Its claims one by one, ours beside the paper's."""

import math
import re

import pandas as pd
from scipy import stats

from lib.evaluation import comparisons
from lib.evaluation.extraction import is_right
from lib.human_study import published, runs

NAMED = "mentions_other_choices"
CLAIMS = (  # claim, the pair whose difference is above zero where it holds, what differs
    ("CF answers worst: MT is ahead of it", "MT:Unrevised - CF:Unrevised", "correct"),
    ("CF answers worst: MT+CF is ahead of it", "MT+CF:Unrevised - CF:Unrevised", "correct"),
    ("MT is ahead of MT+CF", "MT:Unrevised - MT+CF:Unrevised", "correct"),
    ("revised texts cost a little accuracy", "MT+CF:Unrevised - MT+CF:Revised", "correct"),
    (
        "revised texts make explanations name more of the other choices",
        "MT+CF:Revised - MT+CF:Unrevised",
        NAMED,
    ),
    (
        "explanations help to answer (not asked in the paper)",
        "MT:Unrevised - label-only",
        "correct",
    ),
)
OURS = ["ours", "low", "high", "verdict"]
LIKELY = ["likely", "likely_low", "likely_high", "likely_verdict"]
THEIRS = ["paper", "paper_low", "paper_high"]
PAPER = ["paper_220M", "paper_770M"]
SUMMARY = {  # heading of a column -> what stands in a cell
    "student": "{arm}",
    "seeds x questions": "{seeds} x {n}",
    "accuracy, %": "{accuracy:.1f} [{low:.1f}, {high:.1f}]",
    "most likely choice, %": "{likeliest:.1f} [{likeliest_low:.1f}, {likeliest_high:.1f}]",
    "of these (A), %": "{first:.0f}",
    "no answer read, %": "{unanswered:.1f}",
    "paper, T5-base, %": "{paper_220M:.1f}",
    "paper, T5-large, %": "{paper_770M:.1f}",
}
COSTS = {
    "student": "{arm}",
    "explanation, characters": "{characters:.0f}",
    "other choices named, %": "{named:.1f} [{named_low:.1f}, {named_high:.1f}]",
    "first choice named is its own, %": "{own:.1f} [{own_low:.1f}, {own_high:.1f}]",
    "argues against its own, %": "{against:.1f}",
    "tokens read, thousand": "{tokens:.0f}",
    "training, s": "{seconds:.0f}",
    "peak memory, GB": "{peak_memory_gb:.1f}",
}
UNTRAINED = {
    "reading": "{reading}",
    "accuracy, %": "{accuracy:.1%} [{low:.1%}, {high:.1%}]",
}
VERDICTS = {
    "claim": "{claim}",
    "difference": "{pair}",
    "points [95 % interval]": "{ours:+.1f} [{low:+.1f}, {high:+.1f}]",
    "by most likely choice": "{likely:+.1f} [{likely_low:+.1f}, {likely_high:+.1f}]",
    "paper, T5-large": "{paper:+.1f} [{paper_low:+.1f}, {paper_high:+.1f}]",
    "verdict": "{said}",
}


def paper_accuracy() -> pd.DataFrame:
    """The paper's mean accuracy (percent, all runs) by arm: columns ``PAPER``, T5's two sizes."""
    cells = published.load_cells("before")
    return cells.pivot(index="method", columns="size", values="mean").add_prefix("paper_")[PAPER]


def paper_difference(pair: str) -> tuple[float, float, float]:
    """A pair's difference in the paper (T5-large, percentage points) with Welch's 95 % interval
    over its five or six runs an arm; NaN where the paper lacks an arm."""
    cells = runs.expand_cells(published.load_cells("before").query("size == '770M'"))
    one, other = (cells.loc[cells["method"] == arm, "accuracy"] for arm in pair.split(" - "))
    if one.empty or other.empty:
        return math.nan, math.nan, math.nan
    limits = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    return one.mean() - other.mean(), *limits


def summary(tables: dict[str, pd.DataFrame], training: pd.DataFrame) -> pd.DataFrame:
    """A row a method and size: accuracy as written and by the most likely choice (percent,
    bootstrap intervals), texts without an answer, what the explanations are like, cost of one
    student (means over seeds; tokens in thousands), and, beside students of CommonsenseQA, the
    paper's T5 accuracies. ``first``: how often the first choice is the most likely (percent).

    ``tables``: accuracy, likelihood, letters, students, measures, named, transfer and, where it
    was measured, agreement of lib.runner.results; ``training``: its runs.csv.
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
        .assign(tokens=lambda t: t["tokens"] / 1000)
        .reset_index()
    )
    if "agreement" in tables:
        shares = _percent(tables["agreement"], "own", "own_low", "own_high")
        against = 100 * means["argues_against"].rename("against")
        table = table.join(shares, on=keys).join(against, on=keys)
    own = set(tables["transfer"]["trained_on"])  # the paper's students answer CommonsenseQA
    return table.join(paper_accuracy(), on="arm") if own == {"commonsenseqa"} else table


def _percent(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Mean and interval of comparisons.bootstrap_accuracy in percent, under these names."""
    values = table.set_index(["arm", "size"])[["accuracy", "low", "high"]]
    return (100 * values).set_axis(names, axis=1)


def claims(answers: pd.DataFrame, explanations: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims on a run, a row a claim: claim, pair, ``OURS`` (the difference in
    percentage points, its 95 % interval and the verdict), ``LIKELY`` (the same by the most likely
    choice) and ``THEIRS`` (``paper_difference``).

    A claim holds where its interval lies above zero, fails where it lies below, and is open where
    zero is in it. Claims whose methods a run lacks are left out. Our intervals:
    comparisons.differences (of several sizes: the last).
    """
    if "likely" not in answers:  # predictions of notebook 04
        likely = map(is_right, answers["likeliest"], answers["gold"], answers["choices"])
        answers = answers.assign(likely=[*likely])
    found = {column: _differences(answers, column) for column in ("correct", "likely")}
    found[NAMED] = _differences(explanations, NAMED)
    rows = []
    for claim, pair, column in CLAIMS:
        if pair not in found[column]:
            continue
        row = {"claim": claim, "pair": pair, **dict(zip(OURS, found[column][pair], strict=True))}
        if column == "correct":
            row |= dict(zip(LIKELY, found["likely"][pair], strict=True))
            row |= dict(zip(THEIRS, paper_difference(pair), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, columns=["claim", "pair", *OURS, *LIKELY, *THEIRS])


def _differences(table: pd.DataFrame, column: str) -> dict[str, tuple[float, float, float, str]]:
    """ "b - a" -> b minus a, its interval and verdict, for both orders of every pair of arms."""
    found = {}
    for row in comparisons.differences(table, column).itertuples():
        for pair, sign in ((f"{row.b} - {row.a}", 1), (f"{row.a} - {row.b}", -1)):
            low, high = sorted((sign * row.low, sign * row.high))
            verdict = "holds" if low > 0 else "fails" if high < 0 else "open"
            found[pair] = sign * row.difference + 0.0, low + 0.0, high + 0.0, verdict  # no -0.0
    return found


def markdown(table: pd.DataFrame, cells: dict[str, str]) -> str:
    """A table of ``summary`` (cells: SUMMARY, COSTS), of the untrained student (UNTRAINED), of
    ``claims`` (VERDICTS) or of lib.findings.joint (JOINT) as text; a dash where a number is not
    there, and no column of the paper's, or of agreement, where none of them is."""
    if cells is VERDICTS:
        other = table["likely_verdict"].fillna(table["verdict"])
        noted = table["verdict"] + "; by most likely choice " + other
        table = table.assign(said=table["verdict"].where(table["verdict"] == other, noted))
    if cells is SUMMARY and not {*PAPER} <= {*table}:
        cells = {heading: form for heading, form in cells.items() if "paper" not in form}
    if cells is COSTS and "own" not in table:
        cells = {heading: form for heading, form in cells.items() if "its own" not in heading}
    lines = [list(cells), ["---"] * len(cells)]
    for row in table.to_dict("records"):
        texts = [form.format(**row).replace("%", "") for form in cells.values()]
        lines.append(["–" if re.match(r"\+?nan\b", text) else text for text in texts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def student_tests(students: pd.DataFrame) -> pd.DataFrame:
    """ANOVA and Tukey's test over seeds: runs.analyse_runs, a run's students for the paper's runs.

    students: arm, size, seed, accuracy (0..1). With one seed there are only notes that say so.
    """
    renamed = students.rename(columns={"arm": "method", "seed": "run"})
    return runs.analyse_runs(renamed.assign(accuracy=100 * students["accuracy"]))
