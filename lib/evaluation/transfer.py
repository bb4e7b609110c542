"""What transfers: students of one task on questions of others, as tables and as a heat map."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.patches import Rectangle

from lib.common.intervals import wilson
from lib.common.methods import order_arms
from lib.common.profile import Profile
from lib.evaluation import accuracy
from lib.evaluation import answers as evaluate
from lib.evaluation.extraction import is_right
from lib.figures import style
from lib.figures.style import MINUS
from lib.students import grid

COLUMNS = [
    "trained_on",
    "arm",
    "size",
    "seed",
    "task",
    "n",
    "correct",
    "unanswered",
    "accuracy",
    "low",
    "high",
    "likelihood",
    "chance",
]
STUDENT = ["trained_on", "size", "profile", "arm"]  # a row of the heat map; its seeds are averaged


def answers(settings: Profile, trained: pd.DataFrame) -> pd.DataFrame:
    """A row a student (of ``trained``, notebook 03's table) and task, its own or one of
    ``evaluation.also``: COLUMNS, in shares."""
    asked = {settings.task.name: None} | {task.name: task for task in settings.evaluation.also}
    parts = [
        score(evaluate.predictions(settings, *student, task)).assign(task=name)
        for student in grid.finished(settings, trained)
        for name, task in asked.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(trained_on=settings.task.name)[COLUMNS]


def score(predictions: pd.DataFrame) -> pd.DataFrame:
    """``accuracy.student_table`` of one task's predictions with likelihood, the accuracy of the
    likeliest choice (however the task wants to be answered), and chance, that of guessing."""
    likely = [*map(is_right, predictions["likeliest"], predictions["gold"], predictions["choices"])]
    groups = predictions.assign(likely=likely).groupby(["arm", "size", "seed"], sort=False)
    return accuracy.student_table(predictions).assign(
        likelihood=groups["likely"].mean().to_numpy(), chance=accuracy.chance(predictions)
    )


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """The table of ``answers`` as rows analysis, statistic, group, term, value."""
    names = table["arm"] + " " + table["size"] + " seed " + table["seed"].astype(str)
    return table.assign(analysis="transfer", statistic=table["task"], group=names).melt(
        ["analysis", "statistic", "group"], COLUMNS[5:], "term"
    )


def collect(runs: Path) -> pd.DataFrame:
    """The tables of ``answers`` of all profiles that have been run, with the profile's name."""
    parts = [
        pd.read_csv(path, dtype={"size": str}).assign(profile=path.parts[-3])
        for path in sorted(Path(runs).glob("*/04_evaluation/transfer.csv"))
    ]
    return pd.concat(parts or [pd.DataFrame(columns=["profile", *COLUMNS])], ignore_index=True)


def matrix(settings: Profile, table: pd.DataFrame) -> pd.DataFrame:
    """This run's rows of ``collect``'s table, and those of other runs whose students are of the same
    sizes, of another task, of no variant and of a method that there (still) is: the matrix grows
    with each such run."""
    own, another = table["profile"] == settings.name, table["trained_on"] != settings.task.name
    others = another & table["size"].isin(table["size"][own]) & table["arm"].isin(style.ARMS)
    return pd.concat([table[own], table[others]], ignore_index=True)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """A row a cell of the heat map: STUDENT, task, seeds, n (questions), accuracy (by the likeliest
    choice), chance, low, high, above (chance), in percent, and own: whether it is the task learned.
    Wilson's interval is over questions as of one student: on the wide side with several seeds."""
    found = (
        table.groupby([*STUDENT, "task"], sort=False)
        .agg(
            seeds=("seed", "nunique"),
            n=("n", "max"),
            accuracy=("likelihood", "mean"),
            chance=("chance", "mean"),
        )
        .reset_index()
    )
    bounds = [wilson(row.accuracy * row.n, row.n) for row in found.itertuples()]
    found[["low", "high"]] = bounds
    found[["accuracy", "chance", "low", "high"]] *= 100
    found["above"] = found["accuracy"] - found["chance"]
    found["own"] = found["trained_on"] == found["task"]
    orders = {name: list(dict.fromkeys(found[name])) for name in [*STUDENT, "task"]}
    return style.arrange(found, orders | {"arm": order_arms(found["arm"])})


def heat_map(table: pd.DataFrame):
    """Accuracy with its interval, a row a method and task learned, a column a task asked; colour:
    distance to chance. ``table``: as ``collect`` gives it. Table: ``cells`` with names of rows."""
    found = cells(table)
    more = [name for name in STUDENT[:3] if name == "trained_on" or found[name].nunique() > 1]
    found.insert(0, "student", found["arm"] + " (" + found[more].agg(", ".join, axis=1) + ")")
    tasks = list(dict.fromkeys([*found["trained_on"], *found["task"]]))  # those learned come first
    rows, limit = list(dict.fromkeys(found["student"])), max(10, found["above"].abs().max())
    width = min(style.DOUBLE, 2.2 + len(tasks))
    figure, ax = plt.subplots(figsize=(width, 1.9 + 0.37 * len(rows)))
    seaborn.heatmap(
        found.pivot(index="student", columns="task", values="above").loc[rows, tasks],
        ax=ax,
        cmap="PuOr",
        center=0,
        vmin=-limit,
        vmax=limit,
        linewidths=4,
        cbar_kws={"location": "top", "label": "Points above chance"},
    )
    for row in found.itertuples():
        x, y = tasks.index(row.task) + 0.5, rows.index(row.student) + 0.5
        text = f"{row.accuracy:.0f} ({row.above:+.0f})".replace("-", MINUS)
        look = {"ha": "center", "color": "white" if abs(row.above) > 0.55 * limit else "black"}
        sure = not row.low <= row.chance <= row.high
        ax.text(x, y - 0.02, text, va="bottom", weight="bold" if sure else "normal", **look)
        ax.text(x, y + 0.02, f"{row.low:.0f} to {row.high:.0f}", va="top", fontsize=7, **look)
        if row.own:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="black", clip_on=False))
    names = {
        task: f"{task}\nn = {' to '.join(map(str, sorted(set(part['n']))))}\n"
        f"chance {part['chance'].mean():.0f} %"
        for task, part in found.groupby("task")
    }
    ax.set_xticks([x + 0.5 for x in range(len(tasks))], [names[task] for task in tasks], rotation=0)
    ax.tick_params(length=0, grid_linewidth=0)
    ax.set(
        ylabel="Student (task learned)",
        xlabel="Task of the questions\nframed: the one learned\nbold: differs from chance",
    )
    return figure, found
