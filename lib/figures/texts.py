"""Figures of explanations: lengths, what the revision changed, and the four objectives, drawn."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.patches import FancyBboxPatch

from lib.figures import style
from lib.figures.style import draw_points, head

BARS = {"stat": "percent", "color": "#AAAAAA", "edgecolor": "#333333", "linewidth": 0.4, "alpha": 1}


def text_lengths(texts: pd.DataFrame, lengths: pd.DataFrame):
    """Distributions of lengths, a histogram a kind on one scale from zero; dotted: the median.

    texts: kind (explanation, critique, ...), characters; lengths: of lib.teacher.tables.lengths.
    """
    rows = len(lengths)
    figure, axes = plt.subplots(
        rows, 1, figsize=(style.COLUMN, 0.9 + 0.5 * rows), sharex=True, squeeze=False
    )
    edges = np.linspace(0, max(1, lengths["max"].max()), 21 if lengths["n"].max() < 1000 else 41)
    for row, ax in zip(lengths.itertuples(), axes[:, 0], strict=True):
        characters = texts.loc[texts["kind"] == row.kind, "characters"]
        seaborn.histplot(characters, bins=edges, ax=ax, **BARS)
        ax.axvline(row.median, color="black", linestyle=":")
        ax.set(xlim=(0, None), xlabel="Characters", yticks=[])
        name = f"{row.kind}\n{row.n:,}, median {row.median:.0f}"
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
        ax.spines["left"].set_visible(False)
    low, high = lengths["median"].agg(["min", "max"])
    head(figure, f"Medians from {low:.0f} to {high:.0f} characters",
         "Numbers of texts; dotted: median.")  # fmt: skip
    return figure


def revision_changes(changes: pd.DataFrame, pair: dict[str, str] | None = None):
    """What the revision changes: share of the other choices named and length, explanation to
    revision, beside one pair of texts.

    changes: of lib.teacher.tables.changes; pair: question, explanation and revision of one
    question, if there is one to show.
    """
    wide = {"width_ratios": (1.3, 1.3, 2.4)} if pair else {}
    figure, axes = plt.subplots(1, 2 + bool(pair), figsize=(style.DOUBLE, 2.6), **wide)
    panels = {
        "mentions_other_choices": ("Other choices named (%)", 100, "{:.1f} %"),
        "characters": ("Characters", 1, "{:.0f}"),
    }
    named = []
    for ax, (measure, (label, factor, form)) in zip(axes, panels.items(), strict=False):
        part = changes[changes["measure"] == measure].set_index("texts")
        part = factor * part.loc[["Unrevised", "Revised"], ["mean", "low", "high"]]
        ax.plot((0, 1), part["mean"], color=style.GREY, linewidth=1.5)
        for x, row, face in zip((0, 1), part.itertuples(), ("white", "black"), strict=True):
            look = {"color": "black", "marker": "o", "markerfacecolor": face}
            draw_points(ax, x, row.mean, row.low, row.high, axis="y", **look)
            side = {"textcoords": "offset points", "ha": ("right", "left")[x], "va": "center"}
            ax.annotate(form.format(row.mean), (x, row.mean), (14 * x - 7, 0), fontsize=7, **side)
        ax.set_xticks((0, 1), ("explanation", "revision"))
        ax.set(xlim=(-0.65, 1.65), ylim=(0, 1.25 * part["high"].max() or 1))
        ax.set_title(label, fontsize=7)
        named.append(part["mean"])
    if pair:
        axes[-1].set_axis_off()
        said = [textwrap.fill(f"{kind.capitalize()}: {text}", 52) for kind, text in pair.items()]
        axes[-1].text(0, 1, "\n\n".join(said), va="top", fontsize=7, linespacing=1.3)
    same = 100 * changes.loc[changes["measure"] == "unchanged", "mean"].iloc[0]
    note = f"{changes['n'].max():,} pairs of texts, {same:.1f} % of them unchanged; t intervals"
    title = "Revision: from {:.1f} to {:.1f} % of the other choices named".format(*named[0])
    head(figure, title, f"{note}{'; at the right a worked example' if pair else ''}.")
    return figure


def objectives_figure(tasks: pd.DataFrame):
    """The four objectives as boxes: what goes into the student, what it has to write, and which
    method learns it with which weight.

    tasks: objective, question, rationale (blank where there is none), target, methods.
    Table: unchanged.
    """
    figure, ax = plt.subplots(figsize=(style.DOUBLE, 0.5 + 0.95 * len(tasks)))
    ax.set(xlim=(0, 100), ylim=(-len(tasks) + 0.42, 0.5))
    ax.set_axis_off()
    look = {"boxstyle": "round,pad=0,rounding_size=0.06", "mutation_aspect": 0.02}
    for y, row in zip(range(0, -len(tasks), -1), tasks.itertuples(), strict=True):
        ax.text(0, y + 0.05, row.objective, fontsize=9, va="bottom")
        learned = row.methods.replace(", ", "\n")
        ax.text(0, y, learned, fontsize=7, va="top", color=style.GREY, linespacing=1.25)
        asked = textwrap.fill(row.question, 56)
        if row.rationale:
            asked += "\n" + textwrap.fill(f"Rationale: {row.rationale}", 56)
        for x, width, text, face in (
            (17, 47, asked, "#F2F2F2"),
            (71, 28.5, textwrap.fill(row.target, 34), "white"),
        ):
            place = (x, y - 0.42), width, 0.84
            ax.add_patch(FancyBboxPatch(*place, facecolor=face, edgecolor="#555555", **look))
            ax.text(x + 1, y, text, fontsize=7, va="center", linespacing=1.25)
        arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 1}
        ax.annotate("", (70.5, y), (64.5, y), arrowprops=arrow)
    head(figure, "One question, four objectives: what a student reads and what it has to write",
         "Left: the methods that learn each, and its weight in their loss.")  # fmt: skip
    return figure, tasks
