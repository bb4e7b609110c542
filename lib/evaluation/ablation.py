"""Variants of one profile side by side: accuracy against the training setting that differs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.common import paths
from lib.common.methods import order_arms
from lib.common.profile import Profile
from lib.figures import style

LABELS = {"gamma": "gamma: weight of MT within MT+CF", "share": "Share of the train questions"}


def varied(settings: Profile) -> str | None:
    """The one training setting, a number, in which the variants differ, or None."""
    names = {name for changes in settings.variants.values() for name in changes}
    values = [
        getattr(settings.training_of(variant), name)  # its own, or the profile's
        for variant in settings.variants
        for name in names
    ]
    numbers = all(isinstance(value, (int, float)) for value in values)
    return names.pop() if len(names) == 1 and numbers else None


def variant_table(settings: Profile, students: pd.DataFrame) -> pd.DataFrame:
    """A row a student: arm, variant, value of the varied setting, accuracy, low, high (shares);
    for gamma also the authors' values (T5-large, CommonsenseQA), which have no intervals.

    ``students``: the table of ``accuracy.student_table``.
    """
    name = varied(settings)
    parts = students["arm"].str.partition(", ")
    table = students.assign(arm=parts[0], variant=parts[2], source="this run")
    if name:
        value = {
            variant: float(getattr(settings.training_of(variant), name))
            for variant in settings.variants
        }
        table["value"] = table["variant"].map(value)
    if name == "gamma":
        theirs = pd.read_csv(paths.PUBLISHED / "gamma_ablation.csv")
        theirs = pd.DataFrame(
            {
                "arm": "MT+CF:Unrevised",
                "size": "770M",
                "value": theirs["gamma"],
                "variant": "gamma " + theirs["gamma"].astype(str),
                "accuracy": theirs["accuracy"],
                "source": "the paper (T5-large, CommonsenseQA)",
            }
        )
        table = pd.concat([table, theirs], ignore_index=True)
    columns = ["source", "arm", "size", "seed", "variant", "value", "accuracy", "low", "high"]
    return table[[column for column in columns if column in table]]


def variant_figure(settings: Profile, table: pd.DataFrame, chance: float) -> tuple:
    """Accuracy of each student against the varied setting (or each variant), with its interval;
    the authors' values as crosses. Returns the figure and the table."""
    name, ours = varied(settings), table[table["source"] == "this run"]
    variants = list(settings.variants)
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.6))
    arms = order_arms(ours["arm"])
    step = min(np.diff(sorted(set(ours["value"]))) if name else [], default=1.0)
    for arm, offset in zip(
        arms, style.spread(len(arms), 0.5 * step if len(arms) > 1 else 0.0), strict=True
    ):
        part = ours[ours["arm"] == arm]
        x = part["value"] if name else part["variant"].map(variants.index)
        style.draw_points(
            ax,
            x + offset,
            100 * part["accuracy"],
            100 * part["low"],
            100 * part["high"],
            arm,
            clip_on=False,
        )
    theirs = table[table["source"] != "this run"]
    if len(theirs):
        ax.plot(
            theirs["value"],
            100 * theirs["accuracy"],
            "x",
            color=style.GREY,
            label=theirs["source"].iloc[0],
        )
        ax.legend(loc="upper left")
    if not name:
        ax.set_xticks(range(len(variants)), variants)
    ax.axhline(100 * chance, color=style.GREY, linestyle="--", linewidth=0.8)
    ax.set(ylim=(0, 100), ylabel="Accuracy (%)", xlabel=LABELS.get(name, name or "Variant"))
    style.legend(figure, arms)
    return figure, table
