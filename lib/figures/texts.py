"""Figures of explanations: lengths, places of the answer, what the revision changed.

Each function takes a tidy table and gives (figure, table); intervals are 95 %.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.common.errors import UserError
from lib.common.intervals import mean_interval, wilson
from lib.figures import style

NAMES = {"explanation": "Unrevised", "revision": "Revised"}  # kinds of text as the paper names them


def bins(count: int) -> int:
    """How many bars a histogram of so many texts has: few texts make ragged narrow bars."""
    return 20 if count < 1000 else 40


def text_lengths(texts: pd.DataFrame):
    """Distributions of lengths, a histogram a kind on one scale from zero; dotted: the median.

    texts: kind (explanation, critique, ...), characters. Bars are shares of the kind's texts.
    Table: kind, n, mean, sd, min, q1, median, q3, max (characters).
    """
    kinds = list(dict.fromkeys(texts["kind"]))
    groups = texts.groupby("kind")["characters"]
    table = (
        groups.describe()
        .loc[kinds]
        .rename(columns={"count": "n", "std": "sd", "25%": "q1", "50%": "median", "75%": "q3"})
    )
    table = table.astype({"n": int}).rename_axis("kind").reset_index()
    table = table[["kind", "n", "mean", "sd", "min", "q1", "median", "q3", "max"]]
    figure, axes = plt.subplots(
        len(kinds), 1, figsize=(style.COLUMN, 0.6 + 0.85 * len(kinds)), sharex=True, squeeze=False
    )
    edges = np.linspace(0, max(1, table["max"].max()), 1 + bins(table["n"].max()))
    for row, ax in zip(table.itertuples(), axes[:, 0], strict=True):
        ax.hist(
            groups.get_group(row.kind),
            edges,
            weights=np.full(row.n, 100 / row.n),
            facecolor="#AAAAAA",
            edgecolor="#333333",
            linewidth=0.4,
        )
        ax.axvline(row.median, color="black", linestyle=":")
        ax.set_title(f"{row.kind}: n = {row.n:,}, median {row.median:.0f}", loc="left")
    axes[-1, 0].set(xlim=(0, None), xlabel="Characters")
    figure.supylabel("Share of texts (%)", fontsize="medium")
    return figure, table


def letter_distribution(counts: pd.DataFrame):
    """How often each letter is the answer, as shares with bars from zero, and an even split.

    counts: group (a split), letter, count, even (tasks.letter_counts); each group sums to 100 %.
    Table: group, letter, count, even (a count, too), total, share (percent).
    """
    total = counts.groupby("group")["count"].transform("sum")
    if "even" not in counts:  # all questions have as many choices
        counts = counts.assign(even=total / counts["letter"].nunique())
    table = counts.assign(total=total, share=100 * counts["count"] / total)
    letters, groups = sorted(table["letter"].unique()), list(table["group"].unique())
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.2))
    shades = plt.colormaps["Greys"](np.linspace(0.25, 0.85, len(groups)))
    for group, offset, shade in zip(groups, style.spread(len(groups), 0.8), shades, strict=True):
        part = table[table["group"] == group]
        ax.bar(
            part["letter"].map(letters.index) + offset,
            part["share"],
            0.8 / len(groups),
            facecolor=shade,
            edgecolor="black",
            linewidth=0.5,
            label=f"{group} (n = {part['total'].iloc[0]})",
        )
        place, even = part["letter"].map(letters.index) + offset, 100 * part["even"] / part["total"]
        ends = place - 0.4 / len(groups), place + 0.4 / len(groups)
        ax.hlines(even, *ends, color="white", linewidth=2, zorder=2)  # to be seen on grey bars
        ax.hlines(
            even,
            *ends,
            color="black",
            linestyle=":",
            zorder=2,
            label="even split" if group == groups[-1] else None,
        )
    ax.set_xticks(range(len(letters)), letters)
    ax.set(ylim=(0, None), xlabel="Letter", ylabel="Share (%)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure, table


def revision_changes(texts: pd.DataFrame):
    """What the revision changes, pair by pair: lengths, and the share of other choices named.

    texts: id, kind ("explanation" and "revision" are used; one row each a question), text,
    characters, mentions_other_choices (0..1). Table: measure, texts, n, mean, low, high (t
    interval), and, as texts "change", the mean difference of the pairs; in the last row, measure
    "unchanged", the share of pairs whose two texts are the same (Wilson interval).
    """
    measures = ["characters", "mentions_other_choices"]
    texts = texts.assign(texts=texts["kind"].map(NAMES)).dropna(subset="texts")
    pairs = texts.pivot(index="id", columns="texts", values=["text", *measures]).dropna()
    if texts["texts"].nunique() < 2 or pairs.empty:
        raise UserError(
            "The figure of revisions needs an unrevised and a revised text of at least "
            "one question."
        )
    rows = []
    for measure in measures:
        before, after = (pairs[measure, name].astype(float) for name in NAMES.values())
        for name, values in (*zip(NAMES.values(), (before, after)), ("change", after - before)):
            mean = values.mean()
            rows.append(
                (
                    measure,
                    name,
                    len(values),
                    mean,
                    *map(float, mean_interval(mean, values.std(), len(values))),
                )
            )
    same = int((pairs["text", "Unrevised"] == pairs["text", "Revised"]).sum())
    rows.append(("unchanged", "Revised", len(pairs), same / len(pairs), *wilson(same, len(pairs))))
    table = pd.DataFrame(rows, columns=["measure", "texts", "n", "mean", "low", "high"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.8))
    change = pairs["characters", "Revised"] - pairs["characters", "Unrevised"]
    left.hist(
        change.astype(float),
        bins(len(pairs)),
        weights=np.full(len(pairs), 100 / len(pairs)),
        facecolor="#AAAAAA",
        edgecolor="#333333",
        linewidth=0.4,
    )
    left.axvline(0, color="black", linestyle=":")
    left.set(
        ylim=(0, None),
        xlabel="Revised minus unrevised (characters)",
        ylabel="Share of pairs (%)",
        title=f"Change of length, {len(pairs):,} pairs ({same:,} unchanged)",
    )
    share = table[(table["measure"] == "mentions_other_choices") & (table["texts"] != "change")]
    means = 100 * share["mean"].to_numpy()
    right.bar(
        [*NAMES.values()],
        means,
        0.55,
        edgecolor="#333333",
        facecolor="white",
        hatch=["/////", None],
        yerr=np.nan_to_num([means - 100 * share["low"], 100 * share["high"] - means]),
    )
    right.patches[1].set_facecolor("#AAAAAA")
    right.set(ylim=(0, None), ylabel="Share (%)", title="Other choices that the text names")
    return figure, table
