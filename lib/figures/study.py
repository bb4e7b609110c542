"""Figures of the human-grounded study and of the paper's accuracies, and R's values beside ours.

Each function takes a finished table (of lib.human_study, of lib.survey) and gives (figure, table);
intervals are 95 %.
"""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import arrange, count, draw_points, frame, head, name_rows, short

# Purple to orange through grey (ColorBrewer's PuOr), told apart in greyscale by depth.
SCORES = {
    "1 (low)": "#B35806",
    "2": "#F1A340",
    "3": "#DDDDDD",
    "4": "#998EC3",
    "5 (high)": "#542788",
}
PAPER = 117  # its participants
DECISIONS = "osD^v"  # markers of the decisions about outlying runs


def accuracy_figure(cells: pd.DataFrame):
    """Accuracy of each method, mean with t interval over runs: a panel a size and choice of runs.

    cells: panel, method, size, n, mean, sd, low, high, in percent, as published.load_panels gives
    them. Table: panel, size, method, n, mean, sd, low, high.
    """
    table = cells.astype({"method": str, "size": str})
    orders = {name: list(dict.fromkeys(table[name])) for name in ("size", "panel")}
    table = arrange(table, orders | {"method": order_arms(table["method"])})
    table = table[["panel", "size", "method", "n", "mean", "sd", "low", "high"]]
    of = table.assign(of="T5 " + table["size"] + "\n" + table["panel"])
    looks, values = map(style.point, table["method"]), ("mean", "low", "high")
    figure, axes = style.forest(of, "of", "method", values, looks)
    figure.set_figheight(2.6)
    frame(axes[0], "x", "", table[[*values]], 0, 100)
    start, end = axes[0].get_xlim()
    axes[0].set(xlim=(start, end + 12), xticks=range(50, 90, 10), xlabel="")  # room for n
    figure.supxlabel(f"Accuracy (%); axis from {start:.0f}", fontsize=8)
    for ax, (_, part) in zip(axes, of.groupby("of", sort=False), strict=True):
        for y, n in enumerate(part["n"]):
            look = {"ha": "right", "va": "center", "fontsize": 7, "color": style.GREY}
            ax.text(1, y, f"n = {n}", transform=ax.get_yaxis_transform(), **look)
    half = (table["high"] - table["low"]).groupby(table["panel"], sort=False).mean() / 2
    said = (
        f"narrows the intervals from ±{half.iloc[0]:.1f} to ±{half.iloc[-1]:.1f} points on average"
    )
    head(figure, f"Leaving out outlying runs {said}", "Mean with t interval over n training runs.")
    return figure, table


def gamma_figure(runs: pd.DataFrame, cell: pd.Series):
    """The paper's accuracy against gamma, one run a point, beside the spread of single runs.

    runs: gamma, accuracy (share); cell: n, mean, sd (percent) of its MT+CF students of all runs.
    Table: gamma, accuracy (percent), and the band's low and high (mean minus and plus one SD).
    """
    table = runs[["gamma"]].assign(accuracy=100 * runs["accuracy"])
    table = table.assign(low=cell["mean"] - cell["sd"], high=cell["mean"] + cell["sd"])
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.4))
    low, high = table.iloc[0][["low", "high"]]
    ax.axhspan(low, high, color="#EEEEEE")
    ax.text(0.5, low, f"{cell['n']:g} runs, mean ± SD", fontsize=7, ha="center", va="bottom",
            color=style.GREY)  # fmt: skip
    arm = "MT+CF:Unrevised"
    ax.plot("gamma", "accuracy", data=table, linewidth=0.8, **style.point(arm) | style.line(arm))
    frame(ax, "y", "Accuracy (%)", table[["accuracy", "low", "high"]], 0, 100)
    ax.set(xlabel="gamma: weight of MT within MT+CF", xticks=table["gamma"])
    inside = table["accuracy"].between(low, high).sum()
    span = np.ptp(table["accuracy"])
    head(figure, f"gamma moves the paper's accuracy by {span:.1f} points",
         f"T5-large, MT+CF, one run a point; {inside} of {len(table)} within one SD of runs that "
         "differ by their seed alone.")  # fmt: skip
    return figure, table


def ratings_figure(means: pd.DataFrame, lengths: dict[str, float] | None = None):
    """Mean rating of each construct (a panel) and method with t intervals (ratings as if
    independent), from 3 on where nothing lies below.

    means: method, construct, n, mean, sd, low, high (constructs.summarise_scores); lengths: mean
    characters of each method's explanations, drawn beside as bars from zero, since they differ
    with the method. Table: the same by construct, with characters.
    """
    table = means.astype({"method": str, "construct": str})
    table = table[["construct", "method", "n", "mean", "sd", "low", "high"]]
    arms, names = order_arms(table["method"]), list(dict.fromkeys(table["construct"]))
    table = arrange(table, {"construct": names, "method": arms})
    least = max(1, min(3, np.floor(table[["mean", "low"]].min().min())))
    looks, values = [style.point(arm) for arm in table["method"]], ("mean", "low", "high")
    shown = table.assign(low=table["low"].clip(1, 5), high=table["high"].clip(1, 5))
    figure, axes = style.forest(shown, "construct", "method", values, looks, extra=bool(lengths))
    axes[0].set(xlim=(least, 5), xticks=range(int(least), 6))
    if lengths:
        table["characters"] = table["method"].map(lengths)
        for y, arm in enumerate(arms):
            bars = axes[-1].barh(y, lengths[arm], 0.6, **style.bar(arm))
            axes[-1].bar_label(bars, fmt=" {:.0f}", fontsize=7)
        axes[-1].set_title("Characters", fontsize=7)
        axes[-1].set(xlim=(0, 1.5 * max(lengths.values())))
    best = table.loc[table.groupby("construct")["mean"].idxmax(), "method"].value_counts()
    head(figure, f"Rated highest in {best.iloc[0]} of {len(names)}: {short(best.index[0])}",
         f"Mean rating, {count(table['n'], 'rating')} a point; the scale is 1 (low) to 5 (high)"
         f"{', shown from 3' if least == 3 else ''}.")  # fmt: skip
    return figure, table


def paper_axes(cells: pd.DataFrame, means: pd.DataFrame):
    """The paper's two figures on its own axes, bars from 50 % and from 3.5, to lay beside it.

    cells: published.load_cells; means: constructs.summarise_scores. Lengths of such bars cannot be
    compared. Table: figure, group (size or construct), method, mean.
    """
    accuracy = cells.assign(figure="accuracy").rename(columns={"size": "group"})
    rated = means.assign(figure="rating").rename(columns={"construct": "group"})
    table = pd.concat([accuracy, rated])[["figure", "group", "method", "mean"]]
    table = table.astype({"group": str, "method": str}).reset_index(drop=True)
    arms, wide = order_arms(table["method"]), {"width_ratios": (1, 3.2)}
    figure, axes = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.6), **wide)
    ends = {"accuracy": (50, 80, "Accuracy (%)"), "rating": (3.5, 4.5, "Mean rating")}
    for ax, (name, (low, high, label)) in zip(axes, ends.items(), strict=True):
        part = table[table["figure"] == name]
        groups = list(dict.fromkeys(part["group"]))
        for arm, offset in zip(arms, style.spread(len(arms), 0.8), strict=True):
            heights = part[part["method"] == arm].set_index("group").loc[groups, "mean"]
            xs = np.arange(len(groups)) + offset
            ax.bar(xs, heights, 0.19, **style.bar(arm))
            if name == "accuracy":
                look = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 7}
                ax.text(
                    xs[0], heights.iloc[0] + 0.5, short(arm), color=style.colour_of(arm), **look
                )
        ax.set(ylim=(low, high), ylabel=f"{label}; axis from {low}")
        ax.set_xticks(range(len(groups)), groups, fontsize=7)
    head(figure, "The paper's two figures, redrawn on its own axes",
         "Means of all runs and ratings; such bars exaggerate.")  # fmt: skip
    return figure, table


def length_figure(quarters: pd.DataFrame):
    """Mean Quality of each method's shortest to longest explanations, with t intervals: a panel a
    method, the others in grey.

    quarters: method, part, n, characters, mean, low, high (constructs.length_table). Table: the
    same.
    """
    arms = order_arms(quarters["method"])
    table = arrange(quarters.astype({"method": str}), {"method": arms, "part": None})
    figure, axes = plt.subplots(1, len(arms), sharex=True, sharey=True, figsize=(style.DOUBLE, 2.6))
    for ax, arm, part in style.highlight(axes, table, "method", "characters", "mean"):
        xs, limits = part["characters"], (part["mean"], part["low"], part["high"])
        ax.plot(xs, part["mean"], **style.line(arm))
        draw_points(ax, xs, *limits, axis="y", **style.point(arm))
    frame(axes[0], "y", "Quality", table[["mean", "low", "high"]], 1, 5)
    axes[0].set(xlim=(0, None))
    figure.supxlabel("Mean length of the explanations (characters)", fontsize=8)
    first, last = (table[table["part"] == part].set_index("method") for part in (1, 4))
    apart = ((first["high"] < last["low"]) | (first["low"] > last["high"])).sum()
    head(figure, f"Longest and shortest quarter clearly apart in {apart} of {len(arms)} methods",
         f"Quarters of each method's explanations by length, {count(table['n'], 'rating')} a "
         "point, scale 1 to 5; grey: the other methods.")  # fmt: skip
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
    size = (style.DOUBLE, 1.3 + 0.22 * len(arms))
    figure, axes = plt.subplots(
        1, len(names), sharex=True, sharey=True, squeeze=False, figsize=size
    )
    edge, high = {"edgecolor": "#555555", "linewidth": 0.4}, []
    for ax, name in zip(axes[0], names, strict=True):
        wide = table[table["construct"] == name].pivot(
            index="method", columns="score", values="share"
        )
        wide = wide.reindex(arms).reindex(columns=range(1, 6), fill_value=0.0)
        left = -(wide[1] + wide[2] + wide[3] / 2)
        for score, colour in zip(wide, SCORES.values(), strict=True):
            ax.barh(range(len(arms)), wide[score], 0.75, left=left, facecolor=colour, **edge)
            left = left + wide[score]
        high += [*(wide[4] + wide[5])]
        for y, share in enumerate(wide[4] + wide[5]):
            ax.text(102, y, f"{share:.0f}", va="center", fontsize=7)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(name, fontsize=7)
        ax.set_xlim(-50, 125)
        ax.set_xticks((-50, 0, 50, 100), ("50", "0", "50", "100"))
    name_rows(axes[0], arms)
    patches = [Patch(label=label, facecolor=colour, **edge) for label, colour in SCORES.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=5)
    note = f"Share of {count(total, 'rating')} a bar (%), score 3 centred on 0; right: 4 and 5."
    head(figure, f"{min(high):.0f} to {max(high):.0f} % of the ratings are 4 or 5", note)
    return figure, table


def effect_figure(effects: pd.DataFrame, value: str, label: str, reference: float):
    """Differences between pairs of methods with intervals, against the value of no difference.

    effects: construct (a panel each), pair ("A - B" or "A-B"), the column ``value`` of A against B,
    lwr, upr, p_holm: heavy where it is below 0.05. Table: these, the better first.
    """
    table = effects[["construct", "pair", value, "lwr", "upr", "p_holm"]]
    pairs = [re.split(r" - |(?<=vised)-", pair) for pair in table["pair"]]
    values = (value, "lwr", "upr")
    table = style.better_first(table, pairs, values, reference)
    heavy = map(style.weight, table["p_holm"] < 0.05)
    figure, _ = style.forest(table, "construct", "pair", values, heavy, label, reference)
    clear = (table["p_holm"] < 0.05).sum()
    head(figure, f"{clear} of {len(table)} differences between methods are significant",
         "Better first, right is better; heavy: p < 0.05 after Holm.")  # fmt: skip
    return figure, table


def specification_plot(table: pd.DataFrame):
    """Differences between methods under each decision about outlying runs, with Tukey's intervals:
    a panel a size, a row a pair, a mark a decision.

    table: specification, n, conclusion ("size B-A"; effects of the ANOVA are not drawn), value,
    low, high, p, holds, verdict (runs.conclusion_table). Table: the rows drawn, the better first.
    """
    parts = table["conclusion"].str.extract(r"^(?P<size>\S+) (?P<first>.*vised)-(?P<second>.*)$")
    drawn = table.join(parts).dropna(subset="size")
    pairs, values = zip(drawn["first"], drawn["second"], strict=True), ("value", "low", "high")
    drawn = style.better_first(drawn.drop(columns=["first", "second"]), pairs, values)
    decisions = list(dict.fromkeys(table["specification"]))
    drawn = arrange(drawn.assign(size="T5 " + drawn["size"]), {"size": None})
    beside = dict(zip(decisions, style.spread(len(decisions)), strict=True))
    marks = dict(zip(decisions, DECISIONS, strict=False))
    looks = [
        style.weight(row.holds) | {"marker": marks[row.specification], "elinewidth": 1}
        for row in drawn.itertuples()
    ]
    shift = drawn["specification"].map(beside)
    figure, axes = style.forest(drawn, "size", "pair", values, looks, "", 0, shift)
    for ax in axes:
        ax.set_xlabel("Difference in accuracy (percentage points)")
    figure.set_figheight(1.4 + (0.18 + 0.09 * len(decisions)) * drawn["pair"].nunique())
    rows, sizes = list(dict.fromkeys(drawn["pair"])), list(dict.fromkeys(drawn["size"]))
    for row in drawn[drawn["verdict"] == "depends"].drop_duplicates("conclusion").itertuples():
        y = rows.index(row.pair)
        axes[sizes.index(row.size)].axhspan(y - 0.48, y + 0.48, color="#F3EBDD", zorder=0)
    runs = table.groupby("specification")["n"].first()
    key = [
        plt.Line2D([], [], linestyle="none", marker=mark, color="black", markersize=4,
                   label=f"{name} ({runs[name]} runs)")
        for name, mark in marks.items()
    ]  # fmt: skip
    figure.legend(handles=key, loc="outside lower center", ncols=4)
    verdicts = drawn.drop_duplicates("conclusion")["verdict"]
    depends = (verdicts == "depends").sum()
    head(figure, f"{depends} of {len(verdicts)} differences depend on which runs are left out",
         "Tukey's intervals; black: p < 0.05; shaded: it depends.")  # fmt: skip
    return figure, drawn


def reproduction_figure(comparison: pd.DataFrame):
    """R's statistics against ours on both sides of zero, and how far they are apart, by area.

    comparison: statistic, R, ours, difference, agrees (reference.compare_with_paper); what is not
    computed is left out. Table: area, statistic, R, ours, agrees, apart (relative difference).
    """
    table = comparison[comparison["ours"].notna()].reset_index(drop=True)
    table.insert(0, "area", table["statistic"].str.split().str[0].str.replace("_", " "))
    table["apart"] = (table["difference"] / table["R"]).abs()
    table = table.drop(columns="difference")
    areas = list(dict.fromkeys(table["area"]))
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.9))
    left.axline((0, 0), slope=1, color=style.GREY, linewidth=0.8)
    left.plot(table["R"], table["ours"], "o", color="black", markersize=2.5, alpha=0.4)
    left.set_xscale("symlog", linthresh=1e-3)
    left.set_yscale("symlog", linthresh=1e-3)
    ticks = (-1e2, -1, -1e-2, 0, 1e-2, 1, 1e2, 1e4)
    left.set(xlabel="R", ylabel="Ours", xticks=ticks, yticks=ticks)
    left.minorticks_off()
    for y, area in enumerate(areas):
        part = table[table["area"] == area]
        across = np.clip(part["apart"].astype(float), 1e-16, None)
        up = y + 0.5 * np.modf(np.arange(len(part)) * 0.618)[0] - 0.25  # set apart, evenly
        right.plot(across, up, "o", color="black", markersize=2.5, alpha=0.4)
    right.set(xscale="log", xlabel="|ours − R| / |R|")
    sums = table.groupby("area", sort=False)["agrees"].agg(["sum", "size"])
    name_rows([right], [f"{area}\n{n} of {size}" for area, (n, size) in sums.T.items()])
    more = ", the others need the raw ratings" if len(table) < len(comparison) else ""
    head(figure, f"{sums['sum'].sum()} of {len(table)} statistics agree with R",
         f"A dot a statistic; {len(comparison)} in all{more}.")  # fmt: skip
    return figure, table


def power_figure(table: pd.DataFrame):
    """Power against participants with Wilson intervals: a panel an outcome, the others in grey.

    table: of lib.survey.power.power_table. Dashed: a power of 80 %; dotted: the paper's number of
    participants. Table: unchanged.
    """
    people, outcomes = sorted(table["participants"].unique()), list(table["outcome"].unique())
    rows = -(-len(outcomes) // 3)
    figure, axes = plt.subplots(
        rows, 3, sharex=True, sharey=True, squeeze=False, figsize=(style.DOUBLE, 0.9 + 1.4 * rows)
    )
    for ax in axes.flat[len(outcomes) :]:
        ax.set_axis_off()
    panels = axes.flat[: len(outcomes)]
    for ax, _, part in style.highlight(panels, table, "outcome", "participants", "power"):
        limits, look = (part["power"], part["lwr"], part["upr"]), style.weight(False)
        ax.plot(part["participants"], part["power"], color="black")
        draw_points(ax, part["participants"], *limits, axis="y", **look | {"color": "black"})
        ax.axhline(0.8, linestyle="--", color=style.GREY, linewidth=0.8)
        ax.axvline(PAPER, linestyle=":", color=style.GREY)
        ax.set(ylim=(0, 1.02), xticks=people)
        if ax is axes[0, 0]:
            ax.text(PAPER + 1, 0.03, f"paper: {PAPER}", fontsize=7, color=style.GREY)
    figure.supxlabel("Participants (12 ratings each)", fontsize=8)
    figure.supylabel("Power", fontsize=8)
    enough = table[table["power"] >= 0.8].groupby("outcome")["participants"].min()
    said = ", ".join(f"{outcome} {enough[outcome]}" for outcome in outcomes if outcome in enough)
    what = f"{table['data'].iloc[0]}: participants for a power of 80 %"
    head(figure, f"{what}: {said or 'more'}",
         f"{count(table['repetitions'])} studies a point with the published effects, Wilson "
         "intervals; grey: the other outcomes.")  # fmt: skip
    return figure, table
