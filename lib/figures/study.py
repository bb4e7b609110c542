"""Figures of the human-grounded study and of the paper's conclusions on accuracy.

Each function takes a tidy table and gives (figure, table); intervals are 95 %.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from lib.common.intervals import mean_interval
from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import arrange, count, draw_points, frame, key_of_filling
from lib.human_study import study

# Purple to orange through white (ColorBrewer's PuOr), told apart in greyscale by place and depth.
SCORE_COLOURS = ("#B35806", "#F1A340", "#F0F0F0", "#998EC3", "#542788")


def ratings_figure(scores: pd.DataFrame, lengths: dict[str, float] | None = None):
    """Mean rating of each construct and method with t intervals (ratings as if independent).

    scores: method, construct, score (1..5), a row a score (study.expand_counts, melt_ratings);
    lengths: mean characters of each method's explanations, drawn beside as bars from zero, since
    they differ with the method. Table: construct, method, n, mean, sd, low, high, characters.
    """
    table = study.summarise_scores(scores).astype({"method": str, "construct": str})
    arms, names = order_arms(table["method"]), list(dict.fromkeys(scores["construct"].astype(str)))
    table = arrange(table, {"construct": names, "method": arms})
    table["low"], table["high"] = mean_interval(table["mean"], table["sd"], table["n"])
    table = table[["construct", "method", "n", "mean", "sd", "low", "high"]]
    figure, axes = plt.subplots(
        1,
        2 if lengths else 1,
        figsize=(style.DOUBLE, 3.0),
        width_ratios=(5, 1) if lengths else None,
        squeeze=False,
    )
    axes = axes[0]
    for arm, offset in zip(arms, style.spread(len(arms)), strict=True):
        part = table[table["method"] == arm]
        draw_points(
            axes[0],
            part["construct"].map(names.index) + offset,
            part["mean"],
            part["low"],
            part["high"],
            arm,
        )
    axes[0].set_xticks(range(len(names)), names)
    axes[0].set(
        ylim=(1, 5),
        yticks=range(1, 6),
        xlim=(-0.5, len(names) - 0.5),
        ylabel="Mean rating (1 low, 5 high)",
        xlabel=f"{count(table['n'], 'rating')} a point",
    )
    if lengths:
        table["characters"] = table["method"].map(lengths)
        for place, arm in enumerate(arms):
            axes[1].bar(place, lengths[arm], 0.75, **style.bar(arm))
            axes[1].text(
                place, lengths[arm], f"{lengths[arm]:.0f}", ha="center", va="bottom", fontsize=7
            )
        axes[1].set(
            xticks=[],
            ylim=(0, 1.1 * max(lengths.values())),
            xlabel="Methods as left",
            ylabel="Mean length (characters)",
        )
    style.legend(figure, arms)
    return figure, table


def length_figure(ratings: pd.DataFrame):
    """Mean Quality of each method's shortest to longest explanations, with t intervals.

    Shows how far lengths go with the method, and whether length alone goes with Quality. ratings:
    method, length (characters), Quality; each method's ratings are cut into four parts of equal
    number. Table: method, part, n, characters (mean), mean, sd, low, high.
    """
    ranks = ratings.groupby("method", observed=True)["length"].rank("first", pct=True)
    cut = ratings.assign(
        part=np.ceil(4 * ranks - 1e-9).astype(int), method=ratings["method"].astype(str)
    ).groupby(["method", "part"])
    table = cut.agg(
        n=("Quality", "size"),
        characters=("length", "mean"),
        mean=("Quality", "mean"),
        sd=("Quality", "std"),
    ).reset_index()
    arms = order_arms(table["method"])
    table = arrange(table, {"method": arms, "part": None})
    table["low"], table["high"] = mean_interval(table["mean"], table["sd"], table["n"])
    figure, ax = plt.subplots(figsize=(style.COLUMN * 1.4, 2.9))
    for arm in arms:
        part = table[table["method"] == arm]
        ax.plot(part["characters"], part["mean"], linewidth=0.9, **style.line(arm))
        draw_points(ax, part["characters"], part["mean"], part["low"], part["high"], arm)
    frame(ax, "y", "Mean Quality (1 to 5)", table[["mean", "low", "high"]], 1, 5)
    ax.set(
        xlim=(0, None),
        xlabel="Mean length of the explanations (characters)",
        title=f"{count(table['n'], 'rating')} a point",
    )
    style.legend(figure, arms, columns=2)
    return figure, table


def rating_distribution(counts: pd.DataFrame):
    """Shares of the scores 1 to 5 as stacked bars around the middle of score 3.

    counts: method, construct, score, count. Table: construct, method, score, count, share
    (percent). The number at the right of a bar is the share of scores 4 and 5.
    """
    table = counts[["construct", "method", "score", "count"]]
    arms, names = order_arms(table["method"]), list(dict.fromkeys(table["construct"]))
    table = arrange(table, {"construct": names, "method": arms, "score": None})
    total = table.groupby(["construct", "method"])["count"].transform("sum")
    table["share"] = 100 * table["count"] / total
    figure, axes = plt.subplots(
        1,
        len(names),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(style.DOUBLE, 1.0 + 0.25 * len(arms)),
    )
    for ax, name in zip(axes[0], names, strict=True):
        wide = table[table["construct"] == name].pivot(
            index="method", columns="score", values="share"
        )
        wide = wide.reindex(arms).reindex(columns=range(1, 6), fill_value=0.0)
        left = -(wide[1] + wide[2] + wide[3] / 2)
        for score, colour in zip(range(1, 6), SCORE_COLOURS, strict=True):
            ax.barh(
                range(len(arms)),
                wide[score],
                0.75,
                left=left,
                facecolor=colour,
                edgecolor="#555555",
                linewidth=0.4,
            )
            left = left + wide[score]
        for place, share in enumerate(wide[4] + wide[5]):
            ax.text(102, place, f"{share:.0f}", va="center", fontsize=7)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(name)
        ax.set(xlim=(-50, 122), xticks=(-50, 0, 50, 100))
        ax.set_xticklabels(["50", "0", "50", "100"])
        ax.grid(visible=False)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].invert_yaxis()
    figure.legend(
        handles=[
            Patch(label=label, facecolor=colour, edgecolor="#555555")
            for label, colour in zip(
                ("1 (low)", "2", "3", "4", "5 (high)"), SCORE_COLOURS, strict=True
            )
        ],
        loc="outside lower center",
        ncols=5,
        title_fontsize=8,
        title=f"Share of {count(total, 'rating')} a bar (%), score 3 centred on 0; "
        "at the right: scores 4 and 5",
    )
    return figure, table


def effect_figure(effects: pd.DataFrame, value: str, label: str, reference: float):
    """Differences between pairs of methods with intervals, against the value of no difference.

    effects: construct (a panel each), pair, the column ``value``, lwr, upr; filled points have
    intervals without ``reference``. Table: these columns.
    """
    columns = ["construct", "pair", value, "lwr", "upr"]
    table = effects[columns].reset_index(drop=True)
    names, pairs = list(dict.fromkeys(table["construct"])), list(dict.fromkeys(table["pair"]))
    figure, axes = plt.subplots(
        1,
        len(names),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(style.DOUBLE, 0.8 + 0.22 * len(pairs)),
    )
    for ax, name in zip(axes[0], names, strict=True):
        for row in table[table["construct"] == name].itertuples():
            place, centre = pairs.index(row.pair), getattr(row, value)
            clear = row.lwr > reference or row.upr < reference
            ax.errorbar(
                centre,
                place,
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

    table: specification, n, conclusion, value, p, holds, verdict (always, depends, never), as
    human_study's runs.conclusion_table has them. Given back unchanged.
    """
    verdicts = dict(zip(table["conclusion"], table["verdict"], strict=True))
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("conclusion", "specification"))
    runs = table.groupby("specification")["n"].first()
    figure, ax = plt.subplots(figsize=(style.DOUBLE, 0.9 + 0.2 * len(rows)))
    for row in table.itertuples():
        place = columns.index(row.specification), rows.index(row.conclusion)
        ax.plot(
            *place,
            "o",
            color="black",
            markersize=6,
            markerfacecolor="black" if row.holds else "white",
        )
        size = f"{row.value:+.1f}" if is_pair(row.conclusion) else f"{row.value:.1f}"
        ax.text(
            place[0] + 0.08,
            place[1],
            f"{size.replace('-', '−')}, p {show_p(row.p)}",
            va="center",
            fontsize=7,
        )
    for place, name in enumerate(rows):
        ax.text(
            len(columns) + 0.03,
            place,
            verdicts[name],
            va="center",
            fontsize=7,
            fontweight="bold" if verdicts[name] == "depends" else "normal",
        )
    ax.text(len(columns) + 0.03, -1, "Verdict", va="center", fontsize=7)
    ax.set_yticks(range(len(rows)), [name if is_pair(name) else f"{name} (F)" for name in rows])
    ax.set_xticks(range(len(columns)), [f"{name}\n({runs[name]} runs)" for name in columns])
    ax.xaxis.tick_top()
    ax.set(xlim=(-0.2, len(columns) + 0.42), ylim=(len(rows) - 0.4, -0.6))
    ax.grid(visible=False)
    ax.spines[["left", "bottom", "top"]].set_visible(False)
    ax.tick_params(length=0)
    key_of_filling(
        figure,
        "p < 0.05",
        "p ≥ 0.05",
        "Beside a point: F or the difference in percentage points, and p",
    )
    return figure, table


def is_pair(conclusion: str) -> bool:
    """Whether a conclusion is on two methods at one size ("220M B-A"), not an effect ("size")."""
    return " " in conclusion


def show_p(p: float) -> str:
    """A p value for a figure or a sentence: "= 0.0081" or "< 0.0001"."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"
