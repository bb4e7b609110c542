"""Figures of explanations: lengths, letters of the answer, what the revision changed."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn

from lib.figures import style

BARS = {"stat": "percent", "color": "#AAAAAA", "edgecolor": "#333333", "linewidth": 0.4, "alpha": 1}


def _bins(count: int) -> int:
    return 20 if count < 1000 else 40  # few texts make ragged narrow bars


def text_lengths(texts: pd.DataFrame, lengths: pd.DataFrame):
    """Distributions of lengths, a histogram a kind on one scale from zero; dotted: the median.

    texts: kind (explanation, critique, ...), characters; lengths: of lib.teacher.tables.lengths.
    """
    rows = len(lengths)
    figure, axes = plt.subplots(
        rows, 1, figsize=(style.COLUMN, 0.6 + 0.85 * rows), sharex=True, squeeze=False
    )
    edges = np.linspace(0, max(1, lengths["max"].max()), 1 + _bins(lengths["n"].max()))
    for row, ax in zip(lengths.itertuples(), axes[:, 0], strict=True):
        characters = texts.loc[texts["kind"] == row.kind, "characters"]
        seaborn.histplot(characters, bins=edges, ax=ax, **BARS)
        ax.axvline(row.median, color="black", linestyle=":")
        ax.set_title(f"{row.kind}: n = {row.n:,}, median {row.median:.0f}", loc="left")
        ax.set(xlim=(0, None), xlabel="Characters", ylabel=None)
    figure.supylabel("Share of texts (%)", fontsize="medium")
    return figure


def letter_distribution(counts: pd.DataFrame):
    """How often each letter is the answer, as shares with bars from zero, and an even split.

    counts: group (a split), letter, count, even (splits.letter_counts); each group sums to 100 %.
    Returns the figure and its table: group, letter, count, even, total, share (percent).
    """
    total = counts.groupby("group")["count"].transform("sum")
    table = counts.assign(total=total, share=100 * counts["count"] / total)
    wide = table.assign(even=100 * table["even"] / total).pivot(
        index="letter", columns="group", values=["share", "even"]
    )
    groups = table.drop_duplicates("group")
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.2))
    shades = plt.colormaps["Greys"](np.linspace(0.25, 0.85, len(groups)))
    wide["share"][groups["group"]].plot.bar(
        ax=ax, width=0.8, color=shades, edgecolor="black", linewidth=0.5, rot=0, legend=False
    )
    for bars, (group, n) in zip(ax.containers, groups[["group", "total"]].values, strict=True):
        bars.set_label(f"{group} (n = {n})")
        ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
        even = wide["even", group]
        ax.hlines(even, *zip(*ends, strict=True), color="white", linewidth=2)  # on grey bars
        dotted = ax.hlines(even, *zip(*ends, strict=True), color="black", linestyle=":")
    dotted.set_label("even split")
    ax.grid(visible=False, axis="x")
    ax.set(ylim=(0, None), xlabel="Letter", ylabel="Share (%)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure, table


def revision_changes(pairs: pd.DataFrame, changes: pd.DataFrame):
    """What the revision changes, pair by pair: lengths, and the share of other choices named.

    pairs and changes: of lib.teacher.tables.pairs and changes.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.8))
    longer = pairs["characters", "Revised"] - pairs["characters", "Unrevised"]
    seaborn.histplot(longer.astype(float), bins=_bins(len(pairs)), ax=left, **BARS)
    left.axvline(0, color="black", linestyle=":")
    same = round(changes.set_index("measure").loc["unchanged", "mean"] * len(pairs))
    left.set(
        xlabel="Revised minus unrevised (characters)",
        ylabel="Share of pairs (%)",
        title=f"Change of length, {len(pairs):,} pairs ({same:,} unchanged)",
    )
    named = changes[changes["measure"] == "mentions_other_choices"].set_index("texts")
    named = 100 * named.loc[["Unrevised", "Revised"], ["mean", "low", "high"]]
    right.bar(
        named.index,
        named["mean"],
        0.55,
        edgecolor="#333333",
        facecolor=["white", "#AAAAAA"],
        hatch=["/////", None],
        yerr=np.nan_to_num([named["mean"] - named["low"], named["high"] - named["mean"]]),
    )
    right.set(ylim=(0, None), ylabel="Share (%)", title="Other choices that the text names")
    return figure
