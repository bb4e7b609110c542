"""Profiles beside each other, in a table and a figure: ``python -m lib.runner.comparison cpu mine``
(``make compare PROFILE=cpu WITH=mine``).

A profile's answers are those of its run or, without one, those in data/results. Differences are
paired: on the questions, and over the seeds, that a profile shares with the first.
"""

import argparse

import matplotlib.pyplot as plt
import pandas as pd

from lib.common import paths, profile
from lib.common.errors import UserError, command_line
from lib.common.methods import order_arms
from lib.common.stage import Stage
from lib.evaluation import comparisons
from lib.figures import answers, style
from lib.runner import results

ANSWERS = ["arm", "size", "seed", "id", "gold", "options", "correct"]
COLUMNS = ["profile", "student", "n", "seeds", "accuracy", "low", "high", "chance"]
DIFFERENCE = ["common", "difference", "difference_low", "difference_high"]


def read(name: str) -> pd.DataFrame:
    """A profile's answers: ANSWERS, and task; UserError if there are none."""
    settings = profile.load(name)
    path = profile.run_folder(settings) / "04_evaluation" / "predictions.parquet"
    if path.is_file():
        table = pd.read_parquet(path)
        table = table.assign(options=table["choices"].map(len))
    elif name in results.collected():
        table = results.load(name)["answers"]
    else:
        raise UserError(
            f"There are no answers of profile '{name}'; run `make reproduce PROFILE={name}` first."
        )
    task = f"{settings.task.name} {settings.task.source}"
    return table[ANSWERS].astype({"size": str}).assign(task=task, profile=name)


def compare(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """A row a profile and student: COLUMNS, and for other profiles than the first DIFFERENCE: to
    the first's students of that name, nan where they share no question or seed.

    student: the arm, with its size unless each profile has only one; common: questions of both.
    Percent, and percentage points, with bootstrap intervals.
    """
    sizes = any(table["size"].nunique() > 1 for table in tables)
    tables = [
        table.assign(student=table["arm"] + (", " + table["size"] if sizes else ""))
        for table in tables
    ]
    parts = []
    for table in tables:
        means = comparisons.bootstrap_accuracy(table.assign(arm=table["student"], size=""))
        means[["accuracy", "low", "high"]] *= 100
        chance = 100 / table.drop_duplicates("id")["options"]
        means = means.assign(profile=table["profile"].iloc[0], chance=chance.mean())
        means = means.rename(columns={"arm": "student"})[COLUMNS]
        if table is not tables[0]:
            means = means.merge(differences(tables[0], table), on="student", how="left")
        parts.append(means)
    found = pd.concat(parts, ignore_index=True).reindex(columns=[*COLUMNS, *DIFFERENCE])
    return style.arrange(
        found, {"profile": list(found["profile"].unique()), "student": order_arms(found["student"])}
    )


def differences(first: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """student and DIFFERENCE (other minus first) of the students that two profiles share."""
    asked = ["task", "id", "gold", "options"]
    same = first[asked].drop_duplicates().merge(other[asked].drop_duplicates())
    shared = set(first["student"]) & set(other["student"])
    both = pd.concat([first.assign(arm="1"), other.assign(arm="2")]).merge(same)
    both = both[both["student"].isin(shared)]
    pairs = comparisons.differences(both.assign(size=both["student"]))
    return pairs.set_axis(
        ["student", "a", "b", "common", "seeds", "over", *DIFFERENCE[1:]], axis=1
    )[["student", *DIFFERENCE]]


def lines(table: pd.DataFrame) -> list[str]:
    """The table of ``compare`` for a terminal."""
    first, *others = table["profile"].unique()
    students = list(table["student"].unique())
    told = ["Accuracy, % [95 % interval]; differences, points, on common questions; (questions)"]
    columns = [["student", *students]]

    def column(head: str, part: pd.DataFrame, n: str, form: str, values: list[str]) -> None:
        said = {
            row["student"]: form.format(*map(row.get, values)) for row in part.to_dict("records")
        }
        columns.append(
            [f"{head} ({style.count(part[n].astype(int))})", *(said.get(s, "–") for s in students)]
        )

    for name in (first, *others):
        part = table[table["profile"] == name]
        column(name, part, "n", "{:.1f} [{:.1f}, {:.1f}]", ["accuracy", "low", "high"])
        paired = part[part["difference"].notna()]
        if len(paired):
            form = "{:+.1f} [{:+.1f}, {:+.1f}]"
            column(f"{name} - {first}", paired, "common", form, DIFFERENCE[1:])
        elif name != first:
            told.append(f"{first} and {name} have no question, student or seed in common.")
    widths = [max(map(len, cells)) for cells in columns]
    for row in zip(*columns, strict=True):
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        told.append("  ".join(cells).rstrip())
    return told


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.comparison", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profiles", nargs="+")
    names = list(dict.fromkeys(parser.parse_args(arguments).profiles))
    if len(names) < 2:
        raise UserError(f"Name another profile: make compare PROFILE={names[0]} WITH=mine.")
    for name in names:
        profile.load(name)  # a wrong name is said first
    table = compare([read(name) for name in names])
    print(*lines(table), sep="\n")
    stage, name = Stage("04_evaluation", names[0]), "-".join(names)
    stage.figures = paths.FIGURES / "compare"
    style.use_style()
    figure, table = answers.profiles_figure(table)
    command = f'make compare PROFILE={names[0]} WITH="{" ".join(names[1:])}"'
    style.save(figure, name, table, stage, command=command, profiles=names)
    plt.close(figure)
    print(f"Figure:   {paths.shown(stage.figures / name)}.pdf, .png, .csv")


if __name__ == "__main__":
    main()
