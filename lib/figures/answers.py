"""Figures of accuracies, paired differences, claims, variants, measures, and what transfers.

Each function takes a finished table and gives (figure, table); intervals are 95 %.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.patches import Rectangle

from lib.common.methods import order_arms
from lib.figures import style
from lib.figures.style import MINUS, arrange, count, draw_points, frame, head, name_rows, short

SETTINGS = {"gamma": "gamma: weight of MT within MT+CF", "share": "Share of the train questions"}
MEASURES = {  # group -> its measures: title of the panel
    "Length": {"characters": "Characters", "repetition": "better ← Words repeated"},
    "Contrast": {
        "mentions_other_choices": "Other choices named → better",
        "names_answer": "Own answer named",
    },
    "Usefulness": {
        "las": "Reader helped (LAS) → better",
        "gain": "Rationale followed (gain) → better",
    },
}
SUPPORT = {  # measure -> title of its panel
    "agrees": "First choice named is its own → better",
    "argues_against": "better ← Argues against its own",
    "agrees_masked": "Reader gets it, names masked → better",
}


def those(table: pd.DataFrame, chosen: pd.Series) -> str:
    """The chosen rows' arms in words."""
    if chosen.all() and len(chosen) > 2:
        return f"all {len(chosen)} arms"
    return ", ".join(dict.fromkeys(map(short, table.loc[chosen, "arm"]))) or "none"


def student_accuracy(
    accuracies: pd.DataFrame, students: pd.DataFrame, chance: float, paper=None, untrained=None
):
    """Accuracy of each arm as a dot with its interval, seeds as small dots, a panel a size.

    accuracies: comparisons.bootstrap_accuracy; students: arm, size, seed, accuracy; chance: that of
    guessing; untrained: size, reading, accuracy, low, high of the untrained student, rows of their
    own; all shares. paper: arm -> the paper's accuracy (percent), a grey tick. Table: accuracies
    and untrained in percent.
    """
    asked = f"{count(accuracies['n'], 'question')}, {count(accuracies['seeds'], 'seed')}"
    said = f"Clearly above chance: {those(accuracies, accuracies['low'] > chance)}"
    if untrained is not None and len(untrained):  # its best reading's interval lies below
        best = untrained.sort_values("accuracy").groupby("size")["high"].last()
        ahead = accuracies["low"] > accuracies["size"].map(best)
        said += f"; above the untrained model: {those(accuracies, ahead)}"
    table = accuracies.astype({"size": str})
    if untrained is not None:
        rows = untrained.assign(arm="untrained: " + untrained["reading"])
        table = pd.concat([table, rows.astype({"size": str})[[*{*table} & {*rows}]]])
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    table = arrange(table, {"size": sizes, "arm": arms})
    table[["accuracy", "low", "high"]] *= 100
    arms = list(dict.fromkeys(table["arm"]))
    looks = [
        style.weight(False) if arm.startswith("untrained") else style.point(arm)
        for arm in table["arm"]
    ]
    width = style.DOUBLE if len(sizes) > 1 else 1.4 * style.COLUMN
    values = ("accuracy", "low", "high")
    figure, axes = style.forest(table, "size", "arm", values, looks, "Accuracy (%)", width=width)
    for ax, size in zip(axes, sizes, strict=True):
        ax.axvline(100 * chance, color=style.GREY, linestyle=":")
        place = (100 * chance, 0), {"xycoords": ax.get_xaxis_transform(), "color": style.GREY}
        ax.annotate(" chance", place[0], fontsize=7, va="bottom", **place[1])
        for y, arm in enumerate(arms):
            mine = students[(students["arm"] == arm) & (students["size"].astype(str) == size)]
            if len(mine) > 1:
                look = {"color": style.colour_of(arm), "markersize": 2.5, "alpha": 0.7}
                ax.plot(100 * mine["accuracy"], [y + 0.28] * len(mine), "o", **look)
            if paper and arm in paper:
                ax.plot(paper[arm], y, "|", color=style.GREY, markersize=10, mew=2)
    note = f"Means with intervals; {asked}"
    note += "; small dots: seeds." if accuracies["seeds"].max() > 1 else "."
    note += " Grey ticks: the paper's T5-large." if paper else ""
    head(figure, said, note)
    return figure, table


def profiles_figure(table: pd.DataFrame):
    """Accuracy of the students of some profiles, a panel a profile, and a panel of differences for
    each but the first.

    table: profile, student, accuracy, low, high, chance (dotted) and difference, difference_low,
    difference_high to the first profile, in percent and points (runner.comparison). Unchanged.
    """
    values = ("accuracy", "low", "high")
    looks = map(style.point, table["student"])
    chance, paired = table.groupby("profile")["chance"].first(), table[table["difference"].notna()]
    names, others = list(dict.fromkeys(table["profile"])), list(dict.fromkeys(paired["profile"]))
    figure, axes = style.forest(table, "profile", "student", values, looks, extra=len(others))
    rows = list(dict.fromkeys(table["student"]))
    for ax, name in zip(axes, names, strict=False):
        ax.axvline(chance[name], color=style.GREY, linestyle=":")
        ax.set_xlabel("Accuracy (%)")
    clear = (paired["difference_low"] > 0) | (paired["difference_high"] < 0)
    for ax, name in zip(axes[len(names) :], others, strict=True):
        ax.axvline(0, color=style.GREY, linewidth=0.9)
        ax.set_title(f"{name} {MINUS} {names[0]}", fontsize=7)
        ax.set_xlabel("Difference (points)")
        for row, heavy in zip(paired.itertuples(), clear, strict=True):
            if row.profile == name:
                limits = row.difference, rows.index(row.student), row.difference_low
                draw_points(ax, *limits, row.difference_high, **style.weight(heavy))
    said = f"{clear.sum()} of {len(paired)} differences to {names[0]} are clear of zero"
    head(figure, said if len(paired) else f"Nothing is paired: {', '.join(names)}",
         "Bootstrap intervals; differences on the same questions; dotted: chance.")  # fmt: skip
    return figure, table


def variant_figure(table: pd.DataFrame, chance: float, setting: str | None):
    """Accuracy of each student against the setting that varies (None: against the variant), with
    its interval; the authors' values as crosses. table, setting: accuracy.variant_table and
    accuracy.varied; shares. Table: unchanged."""
    ours = table[table["source"] == "this run"]
    theirs = table[table["source"] != "this run"]
    variants, arms = list(dict.fromkeys(ours["variant"])), order_arms(ours["arm"])
    figure, ax = plt.subplots(figsize=(1.3 * style.COLUMN, 2.8))
    step = min(np.diff(sorted(set(ours["value"]))) if setting else [], default=1.0)
    offsets = style.spread(len(arms), 0.5 * step if len(arms) > 1 else 0.0)
    ax.set(ylim=(0, 100), ylabel="Accuracy (%)", xlabel=SETTINGS.get(setting, setting or "Variant"))
    ends = {}
    for arm, offset in zip(arms, offsets, strict=True):
        part = ours[ours["arm"] == arm]
        x = offset + (part["value"] if setting else part["variant"].map(variants.index))
        heights = [100 * part[name] for name in ("accuracy", "low", "high")]
        draw_points(ax, x, *heights, axis="y", clip_on=False, **style.point(arm))
        ends[arm] = x.max(), heights[0][x.idxmax()]
    for source, part in theirs.groupby("source"):
        ax.plot(part["value"], 100 * part["accuracy"], "x", color=style.GREY)
        high = 100 * part["accuracy"].max()
        ax.annotate(source, (part["value"].min(), high + 3), color=style.GREY, fontsize=7)
    if not setting:
        ax.set_xticks(range(len(variants)), variants)
    ax.axhline(100 * chance, color=style.GREY, linestyle=":")
    style.name_ends({ax: ends})
    span = 100 * ours.groupby("arm")["accuracy"].agg(np.ptp).max()
    head(figure, f"The setting moves accuracy by up to {span:.0f} points",
         "One student a point, Wilson intervals over questions; dotted: chance.")  # fmt: skip
    return figure, table


def difference_figure(pairs: pd.DataFrame):
    """Paired differences in accuracy as points with intervals, a row a pair, a panel a size.

    pairs: size, a, b, n, seeds, over, difference (b minus a), low, high, in percentage points, as
    comparisons.differences gives them. Table: the same turned by style.better_first.
    """
    values = ("difference", "low", "high")
    table = style.better_first(pairs, zip(pairs["b"], pairs["a"], strict=True), values)
    table = table.drop(columns=["a", "b"])
    clear = (table["low"] > 0) | (table["high"] < 0)
    width = style.DOUBLE if table["size"].nunique() > 1 else 1.4 * style.COLUMN
    label = "Difference in accuracy (percentage points)"
    looks = map(style.weight, clear)
    figure, _ = style.forest(table, "size", "pair", values, looks, label, 0, width=width)
    asked = f"{count(table['n'], 'question')}, {count(table['seeds'], 'seed')}"
    head(figure, f"{clear.sum()} of {len(table)} differences in accuracy are clear of zero",
         f"Better first; {asked}. Heavy: the interval excludes 0.")  # fmt: skip
    return figure, table


def claims_figure(claims: pd.DataFrame):
    """The paper's claims as a forest: its differences and ours with intervals, and the verdict;
    above those on accuracy, below those on explanations.

    claims: claim, pair ("A - B"), ours, low, high, paper, paper_low, paper_high (percentage points;
    nan where there is none), likely (nan: not on accuracy), verdict. Table: unchanged.
    """
    parts = [part for _, part in claims.groupby(claims["likely"].isna())]
    sizes = {"height_ratios": [len(part) + 0.6 for part in parts]}
    figure, axes = plt.subplots(
        len(parts), squeeze=False, figsize=(style.DOUBLE, 1.3 + 0.45 * len(claims)), **sizes
    )
    for ax, part in zip(axes[:, 0], parts, strict=True):
        draw_claims(ax, part)
    counts = [(claims["verdict"] == verdict).sum() for verdict in ("holds", "open", "fails")]
    said = "{} of {} claims hold, {} open, {} fail"
    head(figure, said.format(counts[0], len(claims), *counts[1:]),
         "Grey squares: the paper's T5-large; black dots: these students, heavy where the interval "
         "excludes 0.")  # fmt: skip
    return figure, claims


def draw_claims(ax, claims: pd.DataFrame, width: int = 40) -> None:
    """Rows of ``claims_figure``, all on accuracy or none; width: of a line, in characters."""
    ax.margins(x=0.08)
    ax.axvline(0, color=style.GREY, linewidth=0.9)
    for y, row in enumerate(claims.itertuples()):
        grey = {"color": "#8C8C8C", "marker": "s", "elinewidth": 1.2}
        draw_points(ax, row.paper, y - 0.18, row.paper_low, row.paper_high, **grey)
        look = style.weight(row.low > 0 or row.high < 0)
        draw_points(ax, row.ours, y + 0.18, row.low, row.high, **look)
        place = {"xycoords": ax.get_yaxis_transform(), "va": "center", "fontsize": 7}
        color = style.GREY if row.verdict == "open" else "black"
        ax.annotate(row.verdict, (1.02, y), color=color, **place)
    names = [
        textwrap.fill(f"{claim[0].upper()}{claim[1:]}", width) + f"\n{short(pair)}"
        for claim, pair in zip(claims["claim"], claims["pair"], strict=True)
    ]
    name_rows([ax], names)
    what = "other choices named" if claims["likely"].isna().all() else "accuracy"
    ax.set_xlabel(f"Difference in {what} (percentage points)")


def position_figure(shares: pd.DataFrame):
    """How often the first choices are the most likely ones, against the number of train questions:
    a panel a letter, names at the ends; dotted: how often the letter is right.

    shares: questions, arm, letter, share, low, high, gold (percent; accuracy.position_bias).
    Table: unchanged.
    """
    letters, numbers = sorted(shares["letter"].unique()), sorted(shares["questions"].unique())
    size = (style.DOUBLE, 2.7)
    figure, axes = plt.subplots(1, len(letters), sharey=True, squeeze=False, figsize=size)
    ends = {ax: {} for ax in axes[0]}
    for ax, letter in zip(axes[0], letters, strict=True):
        of_letter = shares[shares["letter"] == letter]
        for arm in order_arms(of_letter["arm"]):
            part = of_letter[of_letter["arm"] == arm].sort_values("questions")
            xs, values = part["questions"], [part[name] for name in ("share", "low", "high")]
            ax.plot(xs, values[0], linewidth=0.9, **style.line(arm))
            draw_points(ax, xs, *values, axis="y", **style.point(arm))
            if len(xs) > 1 or letter == letters[0]:  # a single point is named once, not over lines
                ends[ax][arm] = xs.iloc[-1], values[0].iloc[-1]
        ax.axhline(of_letter["gold"].mean(), color=style.GREY, linestyle=":")
        ax.set(xscale="log", ylim=(0, 100), xlabel="Train questions", title=f"({letter})")
        ax.set_xticks(numbers, [f"{n:,}" for n in numbers])
        ax.minorticks_off()
        ax.margins(x=0.1)
    style.name_ends(ends)
    axes[0, 0].set_ylabel("Most likely choice (%)")
    most = shares.loc[shares["share"].idxmax()]
    same = shares[(shares["arm"] == most["arm"]) & (shares["letter"] == most["letter"])]
    said = [
        f"{same.loc[same['questions'] == n, 'share'].mean():.0f} % after {n:,}" for n in numbers
    ]
    head(figure, f"{short(most['arm'])} chooses ({most['letter']}) in {', '.join(said)} questions",
         "Bootstrap intervals; dotted: share of right answers.")  # fmt: skip
    return figure, shares


def measure_figure(means: pd.DataFrame):
    """Six measures of the explanations (MEASURES), a panel each, a point a method.

    means: arm, size, measure, n, mean, low, high. Axes start where the values do: a panel compares
    methods, panels do not compare. Dotted: no effect; a dash: not defined for that method. Table:
    what is drawn.
    """
    names = [name for group in MEASURES.values() for name in group]
    table = means[means["measure"].isin(names) & means["mean"].notna()].reset_index(drop=True)
    arms, sizes = order_arms(table["arm"]), list(dict.fromkeys(table["size"]))
    students = [(arm, size) for size in sizes for arm in arms]
    size = (style.DOUBLE, 1.9 + 0.34 * len(students))
    figure, axes = plt.subplots(2, len(MEASURES), sharey=True, figsize=size)
    asked = told = 0
    for column, (group, titles) in zip(axes.T, MEASURES.items(), strict=True):
        for ax, (name, title) in zip(column, titles.items(), strict=True):
            part = table[table["measure"] == name]
            for row in part.itertuples():
                y, look = students.index((row.arm, row.size)), style.point(row.arm)
                draw_points(ax, row.mean, y, row.low, row.high, clip_on=False, **look)
            for y, (arm, size) in enumerate(students):
                if part[(part["arm"] == arm) & (part["size"] == size)].empty:
                    where = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 7}
                    ax.text(0.03, y, "–", color=style.GREY, **where)
            ends = [*part[["mean", "low", "high"]].to_numpy().ravel()]
            if group == "Usefulness":  # 0 is no effect
                ax.axvline(0, color=style.GREY, linestyle=":")
                ends.append(0)
            ax.set_title(f"{group}\n{title}" if ax is column[0] else title, fontsize=7)
            if ends and np.isfinite(ends).any():
                low, high = np.nanmin(ends), np.nanmax(ends)
                said = count(part["n"]) if len(part) else "0"
                most = 1 if high <= 1 else 2 * high
                frame(ax, "x", f"n = {said}", ends, -1 if low < 0 else 0, most)
                ax.xaxis.label.set_size(7)
            ax.locator_params(axis="x", nbins=3)
            if "better" in title:
                asked += 1
                told += part["low"].max() > part["high"].min()
    rows = [arm + (f" {size}" if len(sizes) > 1 else "") for arm, size in students]
    name_rows(axes.flat, rows, [arm for arm, _ in students])
    head(figure, f"{told} of {asked} measures with an arrow tell two methods apart",
         "Means with intervals over questions; apart: two intervals do not meet.")  # fmt: skip
    return figure, table


def support_figure(means: pd.DataFrame):
    """Whether explanations speak for their student's own answer (SUPPORT), a panel a measure, a row
    a method, in percent.

    means: arm, size, measure, n, mean, low, high; agrees of some method is known. A measure that
    is not defined has no panel. Table: what is drawn.
    """
    table = means[means["measure"].isin(SUPPORT) & means["mean"].notna()]
    table = table.assign(**{name: 100 * table[name] for name in ("mean", "low", "high")})
    orders = {"size": list(dict.fromkeys(table["size"])), "measure": list(SUPPORT)}
    table = arrange(table, orders | {"arm": order_arms(table["arm"])})
    shown = style.with_sizes(table.assign(measure=table["measure"].map(SUPPORT)))
    looks = [style.point(arm) for arm in shown["arm"]]
    figure, _ = style.forest(shown, "measure", "arm", ("mean", "low", "high"), looks, "Share (%)")
    first = shown[table["measure"] == "agrees"].sort_values("mean").iloc[[0, -1]]
    ends = zip(first["mean"], first["arm"], strict=True)
    said = " to ".join(dict.fromkeys(f"{share:.0f} % ({short(arm)})" for share, arm in ends))
    head(figure, f"The first choice named is the own answer in {said}",
         "Intervals over questions; first panel: of explanations that name one.")  # fmt: skip
    return figure, table


def agreement_figure(table: pd.DataFrame):
    """Rank correlations with mean ratings as points with intervals, a panel a construct.

    table: measure, construct, explanations, rho, low, high, p_holm (findings.agreement). A row is
    a measure or, if the table has the column within, one of its values. Where rho is not defined
    there is no point. In brackets the number of explanations. Table: unchanged.
    """
    of = "within" if "within" in table.columns else "measure"
    counts = table.groupby(of, sort=False)["explanations"].first()
    heavy = map(style.weight, table["p_holm"] < 0.05)
    values, label = ("rho", "low", "high"), "Spearman's rho"
    figure, axes = style.forest(table, "construct", of, values, heavy, label, 0)
    axes[0].locator_params(axis="x", nbins=3)
    name_rows(axes, [f"{name} ({n:,})".replace("_", " ") for name, n in counts.items()],
              [*counts.index])  # fmt: skip
    clear = (table["p_holm"] < 0.05).sum()
    what = "with length" if of == "within" else "of measures with ratings"
    head(figure, f"{clear} of {len(table)} correlations {what} are significant",
         "Mean ratings of explanations; heavy: p < 0.05 after Holm.")  # fmt: skip
    return figure, table


def heat_map(cells: pd.DataFrame):
    """Accuracy with its interval, a row a method and dataset learned, a column a dataset asked;
    colour: distance to chance, of one scale in all runs. cells: as of transfer.cells. Table: the
    same with names of rows."""
    more = [name for name in ("size", "profile") if cells[name].nunique() > 1]
    learned = cells[["trained_on", *more]].agg(", ".join, axis=1)
    table = cells.copy()
    table.insert(0, "student", cells["arm"].map(short) + " (" + learned + ")")
    rows = list(dict.fromkeys(table["student"]))
    asked = list(dict.fromkeys([*table["trained_on"], *table["task"]]))  # those learned first
    width = min(style.DOUBLE, 2.4 + len(asked))
    figure, ax = plt.subplots(figsize=(width, 2.2 + 0.37 * len(rows)))
    seaborn.heatmap(
        table.pivot(index="student", columns="task", values="above").loc[rows, asked],
        ax=ax,
        cmap="PuOr",
        center=0,
        vmin=-60,
        vmax=60,
        linewidths=4,
        cbar_kws={"location": "top", "label": "Points above chance"},
    )
    for row in table.itertuples():
        x, y = asked.index(row.task) + 0.5, rows.index(row.student) + 0.5
        text = f"{row.accuracy:.0f} ({row.above:+.0f})".replace("-", MINUS)
        look = {"ha": "center", "color": "white" if abs(row.above) > 33 else "black"}
        clear = "normal" if row.low <= row.chance <= row.high else "bold"
        ax.text(x, y - 0.02, text, va="bottom", weight=clear, **look)
        ax.text(x, y + 0.02, f"{row.low:.0f} to {row.high:.0f}", va="top", fontsize=7, **look)
        if row.own:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="black", clip_on=False))
    names = {
        task: f"{task}\nn = {count(part['n'])}\nchance {part['chance'].mean():.0f} %"
        for task, part in table.groupby("task")
    }
    ax.set_xticks([x + 0.5 for x in range(len(asked))], [names[task] for task in asked], rotation=0)
    ax.tick_params(length=0, grid_linewidth=0)
    ax.set(xlabel="", ylabel="")
    moved = table[~table["own"]]
    above = (moved["low"] > moved["chance"]).sum()
    head(figure, f"Above chance on datasets that were not learned: {above} of {len(moved)}",
         "Accuracy (%) by most likely choice and Wilson interval; rows: learned; columns: asked; "
         "framed: its own; bold: differs from chance.")  # fmt: skip
    return figure, table
