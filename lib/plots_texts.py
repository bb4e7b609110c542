"""Figures of explanations: lengths, places of the answer, what the revision changed.

As in lib.plots, each function takes a tidy table and gives (figure, table); intervals are 95 %.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib import figures
from lib.errors import UserError
from lib.plots import interval, require
from lib.profile import TEXTS


def text_lengths(texts: pd.DataFrame, limit: float | None = None):
    """Lengths of texts by kind as boxes (quartiles, whiskers 1.5 IQR, mean as a cross), from zero.

    texts: kind (an arm, or a name such as "critique"), characters; limit: a line, where texts are
    cut. Table: kind, n, mean, sd, min, q1, median, q3, max (characters).
    """
    require(texts, ["kind", "characters"], "text lengths")
    kinds = list(dict.fromkeys(texts["kind"].astype(str)))
    if set(kinds) <= set(figures.ARMS):
        kinds = figures.order_arms(kinds)
    groups = texts.astype({"kind": str}).groupby("kind")["characters"]
    table = groups.describe().loc[kinds].rename(columns={
        "count": "n", "std": "sd", "25%": "q1", "50%": "median", "75%": "q3"})
    table = table.astype({"n": int}).rename_axis("kind").reset_index()
    table = table[["kind", "n", "mean", "sd", "min", "q1", "median", "q3", "max"]]
    figure, ax = plt.subplots(figsize=(figures.COLUMN, 0.7 + 0.3 * len(kinds)))
    line = {"color": "black", "linewidth": 0.8}
    boxes = ax.boxplot([groups.get_group(kind) for kind in kinds], orientation="horizontal",
                       positions=range(len(kinds)), tick_labels=kinds, widths=0.6,
                       patch_artist=True, showmeans=True, medianprops=line, whiskerprops=line,
                       capprops=line, flierprops={"markersize": 2},
                       boxprops={"facecolor": "white", "linewidth": 0.8},
                       meanprops={"marker": "x", "markeredgecolor": "black", "markersize": 4})
    for kind, box in zip(kinds, boxes["boxes"], strict=True):
        if kind in figures.ARMS:
            box.set(**figures.bar(kind))
    ax.invert_yaxis()
    if limit is not None:
        ax.axvline(limit, color=figures.GREY, linestyle=":")
    ax.set(xlim=(0, None), xlabel="Characters")
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    return figure, table


def letter_distribution(counts: pd.DataFrame):
    """How often each letter is the answer, as shares with bars from zero, and an even split.

    counts: letter, count, optionally group (a split, or who answers); each group sums to 100 %.
    Table: group, letter, count, total, share (percent).
    """
    require(counts, ["letter", "count"], "letters")
    table = counts if "group" in counts.columns else counts.assign(group="all")
    table = table.groupby(["group", "letter"], sort=False)["count"].sum().reset_index()
    table["total"] = table.groupby("group")["count"].transform("sum")
    table["share"] = 100 * table["count"] / table["total"]
    letters, groups = sorted(table["letter"].unique()), list(table["group"].unique())
    figure, ax = plt.subplots(figsize=(figures.COLUMN, 2.2))
    shades = plt.colormaps["Greys"](np.linspace(0.25, 0.85, len(groups)))
    for group, offset, shade in zip(groups, figures.spread(len(groups), 0.8), shades, strict=True):
        part = table[table["group"] == group]
        ax.bar(part["letter"].map(letters.index) + offset, part["share"], 0.8 / len(groups),
               facecolor=shade, edgecolor="black", linewidth=0.5,
               label=f"{group} (n = {part['total'].iloc[0]})")
    ax.axhline(100 / len(letters), color=figures.GREY, linestyle=":", label="even split")
    ax.set_xticks(range(len(letters)), letters)
    ax.set(ylim=(0, None), xlabel="Letter", ylabel="Share (%)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure, table


def revision_changes(texts: pd.DataFrame):
    """What the revision changes, text by text: lengths, and the share of other choices named.

    texts: id, texts (Unrevised or Revised; one row each a question), characters,
    mentions_other_choices (0..1). Table: measure, texts, n, mean, low, high (t interval), and, as
    texts "change", the mean difference of the pairs.
    """
    measures = ["characters", "mentions_other_choices"]
    require(texts, ["id", "texts", *measures], "revisions")
    pairs = texts.pivot(index="id", columns="texts", values=list(measures)).dropna()
    lacking = [name for name in TEXTS if name not in set(texts["texts"])]
    if lacking or pairs.empty:
        raise UserError("The figure of revisions needs an unrevised and a revised text of at least "
                        "one question.")
    rows = []
    for measure in measures:
        before, after = (pairs[measure, name].astype(float) for name in TEXTS)
        for name, values in ((TEXTS[0], before), (TEXTS[1], after), ("change", after - before)):
            mean = values.mean()
            rows.append((measure, name, len(values), mean,
                         *map(float, interval(mean, values.std(), len(values)))))
    table = pd.DataFrame(rows, columns=["measure", "texts", "n", "mean", "low", "high"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(figures.DOUBLE, 2.8))
    x, y = (pairs["characters", name].astype(float) for name in TEXTS)
    top = 1.05 * max(x.max(), y.max())
    left.plot([0, top], [0, top], color=figures.GREY, linestyle=":")
    left.plot(x, y, ".", color="#333333", alpha=0.35, markersize=4)
    left.set(xlim=(0, top), ylim=(0, top), xlabel="Unrevised (characters)",
             ylabel="Revised (characters)",
             title=f"Length of {len(pairs)} pairs; dotted: unchanged")
    left.set_box_aspect(1)
    share = table[(table["measure"] == "mentions_other_choices") & (table["texts"] != "change")]
    means = 100 * share["mean"].to_numpy()
    right.bar(TEXTS, means, 0.55, edgecolor="#333333", facecolor="white", hatch=["/////", None],
              yerr=np.nan_to_num([means - 100 * share["low"], 100 * share["high"] - means]))
    right.patches[1].set_facecolor("#AAAAAA")
    right.set(ylim=(0, None), ylabel="Share (%)", title="Other choices that the text names")
    return figure, table
