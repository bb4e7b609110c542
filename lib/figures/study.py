"""Figures of the human-grounded study and of the paper's conclusions on accuracy.

Each function takes a finished table (of lib.human_study) and gives (figure, table); intervals are
95 %.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import Patch

from lib.common.intervals import show_p
from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import MINUS, arrange, count, draw_points, frame, key_of_filling

# Purple to orange through white (ColorBrewer's PuOr), told apart in greyscale by depth.
SCORES = {
    "1 (low)": "#B35806",
    "2": "#F1A340",
    "3": "#F0F0F0",
    "4": "#998EC3",
    "5 (high)": "#542788",
}


def ratings_figure(means: pd.DataFrame, lengths: dict[str, float] | None = None):
    """Mean rating of each construct and method with t intervals (ratings as if independent).

    means: method, construct, n, mean, sd, low, high (constructs.summarise_scores); lengths: mean
    characters of each method's explanations, drawn beside as bars from zero, since they differ
    with the method. Table: the same by construct, with characters.
    """
    table = means.astype({"method": str, "construct": str})
    table = table[["construct", "method", "n", "mean", "sd", "low", "high"]]
    arms, names = order_arms(table["method"]), list(dict.fromkeys(table["construct"]))
    table = arrange(table, {"construct": names, "method": arms})
    panels = {"ncols": 2, "width_ratios": (5, 1)} if lengths else {}
    figure, axes = plt.subplots(figsize=(style.DOUBLE, 3.0), squeeze=False, **panels)
    left, right = axes[0, 0], axes[0, -1]
    for arm, offset in zip(arms, style.spread(len(arms)), strict=True):
        part = table[table["method"] == arm]
        x = part["construct"].map(names.index) + offset
        draw_points(left, x, part["mean"], part["low"], part["high"], arm)
    left.set_xticks(range(len(names)), names)
    left.set(ylim=(1, 5), yticks=range(1, 6), xlim=(-0.5, len(names) - 0.5))
    left.set_xlabel(f"{count(table['n'], 'rating')} a point")
    left.set_ylabel("Mean rating (1 low, 5 high)")
    if lengths:
        table["characters"] = table["method"].map(lengths)
        for x, arm in enumerate(arms):
            bars = right.bar(x, lengths[arm], 0.75, **style.bar(arm))
            right.bar_label(bars, fmt="{:.0f}", fontsize=7)
        right.set(xticks=[], ylim=(0, 1.1 * max(lengths.values())))
        right.set(xlabel="Methods as left", ylabel="Mean length (characters)")
    style.legend(figure, arms)
    return figure, table


def length_figure(quarters: pd.DataFrame):
    """Mean Quality of each method's shortest to longest explanations, with t intervals.

    Shows how far lengths go with the method, and whether length alone goes with Quality.
    quarters: method, part, n, characters, mean, low, high (constructs.length_table). Table: the
    same.
    """
    table, arms = quarters.astype({"method": str}), order_arms(quarters["method"])
    figure, ax = plt.subplots(figsize=(style.COLUMN * 1.4, 2.9))
    for arm in arms:
        part = table[table["method"] == arm]
        ax.plot(part["characters"], part["mean"], linewidth=0.9, **style.line(arm))
        draw_points(ax, part["characters"], part["mean"], part["low"], part["high"], arm)
    frame(ax, "y", "Mean Quality (1 to 5)", table[["mean", "low", "high"]], 1, 5)
    ax.set(xlim=(0, None), xlabel="Mean length of the explanations (characters)")
    ax.set_title(f"{count(table['n'], 'rating')} a point")
    style.legend(figure, arms, columns=2)
    return figure, table


def rating_distribution(counts: pd.DataFrame):
    """Shares of the scores 1 to 5 as stacked bars around the middle of score 3.

    counts: method, construct, score, count, share (percent; published.load_counts). Table: the
    same, by construct. The number at the right of a bar is the share of scores 4 and 5.
    """
    arms, names = order_arms(counts["method"]), list(dict.fromkeys(counts["construct"]))
    table = arrange(counts, {"construct": names, "method": arms, "score": None})
    table = table[["construct", "method", "score", "count", "share"]]
    total = table.groupby(["construct", "method"])["count"].sum()
    size = (style.DOUBLE, 1.0 + 0.25 * len(arms))
    figure, axes = plt.subplots(
        1, len(names), sharex=True, sharey=True, squeeze=False, figsize=size
    )
    edge = {"edgecolor": "#555555", "linewidth": 0.4}
    for ax, name in zip(axes[0], names, strict=True):
        wide = table[table["construct"] == name].pivot(
            index="method", columns="score", values="share"
        )
        wide = wide.reindex(arms).reindex(columns=range(1, 6), fill_value=0.0)
        left = -(wide[1] + wide[2] + wide[3] / 2)
        for score, colour in zip(wide, SCORES.values(), strict=True):
            ax.barh(range(len(arms)), wide[score], 0.75, left=left, facecolor=colour, **edge)
            left = left + wide[score]
        for y, share in enumerate(wide[4] + wide[5]):
            ax.text(102, y, f"{share:.0f}", va="center", fontsize=7)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(name)
        ax.set_xlim(-50, 122)
        ax.set_xticks((-50, 0, 50, 100), ("50", "0", "50", "100"))
        ax.grid(visible=False)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].invert_yaxis()
    figure.legend(
        handles=[Patch(label=label, facecolor=colour, **edge) for label, colour in SCORES.items()],
        title=f"Share of {count(total, 'rating')} a bar (%), score 3 centred on 0; "
        "at the right: scores 4 and 5",
        title_fontsize=8,
        loc="outside lower center",
        ncols=5,
    )
    return figure, table


def effect_figure(effects: pd.DataFrame, value: str, label: str, reference: float):
    """Differences between pairs of methods with intervals, against the value of no difference.

    effects: construct (a panel each), pair, the column ``value``, lwr, upr; filled points have
    intervals without ``reference``. Table: these columns.
    """
    table = effects[["construct", "pair", value, "lwr", "upr"]].reset_index(drop=True)
    names, pairs = list(dict.fromkeys(table["construct"])), list(dict.fromkeys(table["pair"]))
    size = (style.DOUBLE, 0.8 + 0.22 * len(pairs))
    figure, axes = plt.subplots(
        1, len(names), sharex=True, sharey=True, squeeze=False, figsize=size
    )
    for ax, name in zip(axes[0], names, strict=True):
        for row in table[table["construct"] == name].itertuples():
            centre = getattr(row, value)
            clear = row.lwr > reference or row.upr < reference
            ax.errorbar(
                centre,
                pairs.index(row.pair),
                xerr=[[centre - row.lwr], [row.upr - centre]],
                fmt="o",
                color="black",
                markerfacecolor="black" if clear else "white",
                markersize=4,
                elinewidth=0.9,
            )
        ax.axvline(reference, color=style.GREY, linestyle=":")
        ax.set_title(name)
        ax.grid(visible=False, axis="y")
    axes[0, 0].set_yticks(range(len(pairs)), pairs)
    axes[0, 0].set_ylim(len(pairs) - 0.5, -0.5)
    key_of_filling(figure, f"95 % interval without {reference:g}", f"with {reference:g}", label)
    return figure, table


def specification_plot(table: pd.DataFrame):
    """Which conclusions on accuracy hold (p < 0.05) under each decision about outlying runs.

    table: specification, n, conclusion, value, p, holds, verdict (runs.conclusion_table). Given
    back unchanged.
    """
    verdicts = dict(zip(table["conclusion"], table["verdict"], strict=True))
    decisions, runs = (
        list(dict.fromkeys(table["specification"])),
        table.groupby("specification")["n"],
    )
    rows, labels = list(verdicts), []
    figure, ax = plt.subplots(figsize=(style.DOUBLE, 0.9 + 0.2 * len(rows)))
    text = {"va": "center", "fontsize": 7}
    for row in table.itertuples():
        x, y = decisions.index(row.specification), rows.index(row.conclusion)
        filling = "black" if row.holds else "white"
        ax.plot(x, y, "o", color="black", markersize=6, markerfacecolor=filling)
        size = f"{row.value:+.1f}" if " " in row.conclusion else f"{row.value:.1f}"
        ax.text(x + 0.08, y, f"{size.replace('-', MINUS)}, p {show_p(row.p)}", **text)
    for y, (conclusion, verdict) in enumerate(verdicts.items()):
        weight = "bold" if verdict == "depends" else "normal"
        ax.text(len(decisions) + 0.03, y, verdict, fontweight=weight, **text)
        # A pair of methods at one size ("220M B-A"), or an effect of the ANOVA ("size").
        labels.append(conclusion if " " in conclusion else f"{conclusion} (F)")
    ax.text(len(decisions) + 0.03, -1, "Verdict", **text)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_xticks(
        range(len(decisions)), [f"{name}\n({runs.first()[name]} runs)" for name in decisions]
    )
    ax.xaxis.tick_top()
    ax.set(xlim=(-0.2, len(decisions) + 0.42), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(visible=False)
    ax.spines[["left", "bottom", "top"]].set_visible(False)
    ax.tick_params(length=0)
    note = "Beside a point: F or the difference in percentage points, and p"
    key_of_filling(figure, "p < 0.05", "p ≥ 0.05", note)
    return figure, table
