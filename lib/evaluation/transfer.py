"""What transfers: students of one dataset on the questions of others."""

from pathlib import Path

import pandas as pd

from lib.common import methods
from lib.common.intervals import wilson
from lib.common.profile import Profile
from lib.evaluation import accuracy
from lib.evaluation.extraction import is_right
from lib.students import grid

STUDENT = ["trained_on", "arm", "size", "seed"]
SCORES = ["n", "correct", "unanswered", "accuracy", "low", "high", "likelihood", "chance"]
COLUMNS = [*STUDENT, "task", *SCORES]  # task: the dataset asked
ROWS = ["trained_on", "size", "profile", "arm"]  # of the heat map; seeds are averaged


def answers(settings: Profile, trained: pd.DataFrame) -> pd.DataFrame:
    """A row a student (of ``trained``, notebook 03's table) and dataset, its own or one of
    ``evaluation.also``: COLUMNS, in shares."""
    from lib.evaluation.answers import predictions  # torch, which tables do without

    asked = {settings.task.name: None} | {other.name: other for other in settings.evaluation.also}
    parts = [
        score(predictions(settings, *student, other)).assign(task=name)
        for student in grid.finished(settings, trained)
        for name, other in asked.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(trained_on=settings.task.name)[COLUMNS]


def score(predictions: pd.DataFrame) -> pd.DataFrame:
    """``accuracy.student_table`` of one dataset's predictions with likelihood, the accuracy of the
    most likely choice (however the dataset wants to be answered), and chance, that of guessing."""
    likely = [*map(is_right, predictions["likeliest"], predictions["gold"], predictions["choices"])]
    students = predictions.assign(likely=likely).groupby(accuracy.STUDENT, sort=False)
    return accuracy.student_table(predictions).assign(
        likelihood=students["likely"].mean().to_numpy(), chance=accuracy.chance(predictions)
    )


def collect(runs: Path) -> pd.DataFrame:
    """The tables of ``answers`` of all profiles that have been run, with the profile's name."""
    parts = [
        pd.read_csv(path, dtype={"size": str}).assign(profile=path.parts[-3])
        for path in sorted(runs.glob("*/04_evaluation/transfer.csv"))
    ]
    return pd.concat(parts or [pd.DataFrame(columns=["profile", *COLUMNS])], ignore_index=True)


def matrix(settings: Profile, table: pd.DataFrame) -> pd.DataFrame:
    """This run's rows of ``collect``'s table, and those of other runs: students of the same sizes
    and another dataset, of no variant, and of a method that there (still) is."""
    own, another = table["profile"] == settings.name, table["trained_on"] != settings.task.name
    known = table["size"].isin(table["size"][own]) & table["arm"].isin(methods.arms())
    return pd.concat([table[own], table[another & known]], ignore_index=True)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """A row a cell of the heat map, from ``collect``'s table: ROWS, task, seeds, n (questions),
    accuracy (of the most likely choice), chance, low, high, above (chance), in percent, and own:
    whether it is the dataset learned. Wilson's interval is over questions as of one student: on the
    wide side with several seeds."""
    orders = {name: table[name].unique() for name in [*ROWS, "task"]}
    orders["arm"] = methods.order_arms(table["arm"])
    ordered = table.assign(**{k: pd.Categorical(table[k], order) for k, order in orders.items()})
    found = ordered.groupby([*orders], observed=True).agg(
        seeds=("seed", "nunique"),
        n=("n", "max"),
        accuracy=("likelihood", "mean"),
        chance=("chance", "mean"),
    )
    found["low"], found["high"] = wilson(found["accuracy"] * found["n"], found["n"])
    found[["accuracy", "chance", "low", "high"]] *= 100
    found = found.reset_index().astype(dict.fromkeys(orders, str))
    return found.assign(
        above=found["accuracy"] - found["chance"], own=found["trained_on"] == found["task"]
    )


def carries_over(cells: pd.DataFrame) -> bool:
    """Whether any dataset that was not learned is answered better or worse than by guessing."""
    moved = cells[~cells["own"]]
    return bool(((moved["low"] > moved["chance"]) | (moved["high"] < moved["chance"])).any())
