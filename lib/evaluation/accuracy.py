"""Accuracy as tables: this run's students with intervals, and the paper's published cells."""

import pandas as pd

from lib.common.intervals import wilson
from lib.human_study import published, runs
from lib.questions.splits import LETTERS


def student_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row a student: n, correct, unanswered, accuracy with its 95 % Wilson interval."""
    rows = []
    for (arm, size, seed), part in predictions.groupby(["arm", "size", "seed"], sort=False):
        correct = int(part["correct"].sum())
        low, high = wilson(correct, len(part))
        rows.append(
            {
                "arm": arm,
                "size": size,
                "seed": seed,
                "n": len(part),
                "correct": correct,
                "unanswered": int(part["answered"].isna().sum()),
                "accuracy": correct / len(part),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def letter_table(answers: pd.DataFrame) -> pd.DataFrame:
    """How often each place, A, B and so on, is the likeliest choice of an arm's students (percent),
    below the share of right answers there: a student that learned a place shows.

    answers: arm, size, id, gold, likeliest (both count from 0).
    """
    gold = answers.drop_duplicates("id").assign(
        arm="(right answers)", size="", likeliest=lambda t: t["gold"]
    )
    both = pd.concat([gold, answers])
    table = 100 * both.groupby(["arm", "size"], sort=False)["likeliest"].value_counts(
        normalize=True
    ).unstack(fill_value=0.0).sort_index(axis=1)
    table = table.reindex(both[["arm", "size"]].drop_duplicates().apply(tuple, axis=1))
    return (
        table.rename(columns=lambda place: LETTERS[int(place)])
        .rename_axis(columns=None)
        .reset_index()
    )


def chance(predictions: pd.DataFrame) -> float:
    """Expected accuracy of guessing: the mean of 1 / number of choices."""
    return float((1 / predictions["choices"].map(len)).mean())


def as_runs(students: pd.DataFrame) -> pd.DataFrame:
    """A row a student as the statistics want it: method, size, run, accuracy in percent."""
    return pd.DataFrame(
        {
            "method": students["arm"],
            "size": students["size"],
            "run": students["seed"],
            "accuracy": 100 * students["accuracy"],
        }
    )


def student_statistics(students: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and interval of every student as rows analysis, statistic, group, term, value."""
    names = students["arm"] + " " + students["size"] + " seed " + students["seed"].astype(str)
    long = students.assign(group=names).melt(
        id_vars="group",
        value_vars=["n", "correct", "unanswered", "accuracy", "low", "high"],
        var_name="term",
    )
    return long.assign(analysis="students", statistic="accuracy")


def published_cells() -> pd.DataFrame:
    """The paper's cells for the figure: method, size, n, mean, sd, panel (before and after)."""
    panels = {"before": "all runs", "after": "without the paper's outliers"}
    return pd.concat(
        [
            published.load_cells(when).assign(panel=panel)
            for when, panel in panels.items()
        ],
        ignore_index=True,
    )


def published_statistics() -> pd.DataFrame:
    """The paper's ANOVA and Tukey tests from its cells, before and after outlier removal."""
    return pd.concat(
        [
            runs.analyse_cells(published.load_cells(when), when)
            for when in ("before", "after")
        ],
        ignore_index=True,
    )
