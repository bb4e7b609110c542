"""House style of every figure: looks, names, headlines, and saving with table and provenance.

One channel, one meaning. Colour and marker are the method; open markers, hatched bars and dashed
lines are students of unrevised explanations, filled and solid ones of revised explanations (a cross
has no texts). Black and grey marks belong to no method: heavy black ones are significant, light
grey ones are not. Colours are Okabe and Ito's (2008), two of them darkened: the paper's four differ
in lightness as well, and so do the four that came later.
"""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.transforms import ScaledTranslation

from lib.common import files
from lib.common.methods import arms, split_arm
from lib.common.provenance import installed

COLUMN, DOUBLE = 3.5, 7.16  # inches: one and two columns of a two-column paper
ARMS = tuple(arms())
COLOURS = {"label-only": "#333333", "CF": "#E69F00", "MT": "#0072B2", "MT+CF": "#009E73"}
COLOURS |= {"answer-first": "#D55E00", "MT-own": "#56B4E9"}
COLOURS |= {"rationale-first": "#5E3C00", "listwise": "#A03D80"}
MARKERS = {"label-only": "x", "CF": "o", "MT": "s", "MT+CF": "^"}
MARKERS |= {"answer-first": "D", "MT-own": "P", "rationale-first": "<", "listwise": "*"}
NEW = ("#CC79A7", "v")  # colour and marker of methods that are not in these two
MINUS = "\N{MINUS SIGN}"
GREY = "#777777"  # what belongs to no method: chance lines, references, notes
STYLE = {
    "figure.dpi": 160,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,  # inches: nothing touches the border
    "figure.constrained_layout.h_pad": 0.06,
    "savefig.dpi": 200,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "errorbar.capsize": 2,
    "pdf.fonttype": 42,
    "svg.hashsalt": "figures",
}


def use_style() -> None:
    """Set the house style for all figures drawn from now on: matplotlib's defaults, whatever a
    user's matplotlibrc says, seaborn's ticks theme, then ours."""
    plt.rcdefaults()
    seaborn.set_theme(style="ticks", rc=STYLE)


def colour_of(arm: str) -> str:
    """The colour of the arm's method."""
    return COLOURS.get(split_arm(arm)[0], NEW[0])


def is_open(arm: str) -> bool:
    """Whether an arm is drawn open or hatched: its explanations are unrevised."""
    return split_arm(arm)[1] == "Unrevised"


def point(arm: str) -> dict:
    """Keywords of plot and errorbar for the arm's points and intervals."""
    colour, marker = colour_of(arm), MARKERS.get(split_arm(arm)[0], NEW[1])
    return {
        "color": colour,
        "marker": marker,
        "markeredgecolor": colour,
        "markerfacecolor": "white" if is_open(arm) else colour,
        "markeredgewidth": 1.2,
    }


def bar(arm: str) -> dict:
    """Keywords of bar and barh for the arm's bars."""
    colour = colour_of(arm)
    return {
        "edgecolor": colour,
        "facecolor": "white" if is_open(arm) else colour,
        "hatch": "/////" if is_open(arm) else None,
    }


def line(arm: str) -> dict:
    """Keywords of plot for the arm's curves: unrevised dashed, the others solid."""
    return {"color": colour_of(arm), "linestyle": (0, (4, 1.5)) if is_open(arm) else "-"}


def weight(significant: bool) -> dict:
    """Keywords of draw_points for a mark that belongs to no method."""
    heavy = {"color": "black", "elinewidth": 2, "markersize": 5}
    light = {"color": "#8C8C8C", "elinewidth": 0.8, "markersize": 3.5}
    return {"marker": "o"} | (heavy if significant else light)


def short(name: str) -> str:
    """An arm or a difference of two as figures write it, "MT+CF revised" and the sign of minus."""
    name = name.replace(":Unrevised", "").replace(":Revised", " revised")
    return name.replace(" - ", f" {MINUS} ")


def head(figure, title: str, note: str = "") -> None:
    """The headline, what is seen; below it, small, the note: what is drawn."""
    width, size = figure.get_figwidth(), 9.5  # a second font, bold, takes half a second a PDF
    title, note = textwrap.fill(title, int(13.5 * width)), textwrap.fill(note, int(18 * width))
    lines = title.count("\n") + 1
    room = "\n" * (note.count("\n") + 1 if note else 0)
    look = {"ha": "left", "va": "top", "linespacing": 1.2}
    figure.suptitle(f"{title}{room} ", x=0.012, fontsize=size, **look)
    down = -(0.06 + (1.25 * lines * size + 1) / 72)  # inches: pad, then the headline
    place = figure.transFigure + ScaledTranslation(0, down, figure.dpi_scale_trans)
    figure.text(0.012, 1, note, fontsize=7, color="#444444", transform=place, **look)


def with_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Students named by arm and size where there are several sizes, else by arm."""
    if table["size"].nunique() < 2:
        return table
    return table.assign(arm=table["arm"] + ", " + table["size"].astype(str))


def leader(table: pd.DataFrame, value: str) -> tuple[str, str]:
    """The arm (column arm) with the highest value, and those whose intervals (value_low,
    value_high) meet with its own."""
    table = table[table[value].notna()]
    best = table.loc[table[value].idxmax()]
    near = table[(table[f"{value}_high"] >= best[f"{value}_low"]) & (table["arm"] != best["arm"])]
    return short(best["arm"]), ", ".join(map(short, near["arm"])) or "none"


def better_first(table: pd.DataFrame, pairs, values, reference: float = 0.0) -> pd.DataFrame:
    """Differences turned so that the better stands first: in the column pair, "better − other".

    pairs: (first, second) of each row, the value is of first against second; values: names of value
    and both limits; reference: that of no difference. A pair is turned in all its rows alike, by
    their mean; pairs stand in the order of these means.
    """
    value, low, high = values
    first, second = zip(*pairs, strict=True)
    table = table.assign(first=first, second=second).reset_index(drop=True)
    behind = table.groupby(["first", "second"])[value].transform("mean") < reference
    turned = 2 * reference - table[[value, high, low]].set_axis([*values], axis=1)
    table[[*values]] = table[[*values]].mask(behind, turned)
    names = table[["first", "second"]].mask(behind, table[["second", "first"]].to_numpy())
    table["pair"] = (names["first"] + " - " + names["second"]).map(short)
    mean = table.groupby("pair")[value].transform("mean")
    order = mean.sort_values(ascending=False, kind="stable").index
    return table.loc[order].drop(columns=["first", "second"]).reset_index(drop=True)


def spread(count: int, width: float = 0.6) -> list[float]:
    """Offsets that set so many marks side by side around one place of an axis."""
    return [width * ((i + 0.5) / count - 0.5) for i in range(count)]


def arrange(table: pd.DataFrame, orders: dict[str, list | None]) -> pd.DataFrame:
    """Sort by these columns in turn, each in its given order of values (None: ascending)."""
    return table.sort_values(
        list(orders),
        ignore_index=True,
        kind="stable",
        key=lambda column: (
            column if orders[column.name] is None else column.map(orders[column.name].index)
        ),
    )


def draw_points(ax, x, y, low, high, axis: str = "x", **look) -> None:
    """Points with intervals along an axis ("x" or "y"); where there is none, the point alone."""
    x, y, low, high = (np.asarray(values, float) for values in (x, y, low, high))
    centre = x if axis == "x" else y
    error = np.nan_to_num([centre - low, high - centre]).clip(0)  # below 0 by rounding alone
    error = error.reshape(2, -1)
    small = {"linestyle": "none", "elinewidth": 1, "markersize": 4.5}
    ax.errorbar(x, y, **{f"{axis}err": error}, **small | look)


def forest(
    table: pd.DataFrame, panel: str, row: str, values, looks, label: str = "", reference=None,
    shift=None, extra: int = 0, width: float = DOUBLE,
):  # fmt: skip
    """Points with horizontal intervals, a panel a value of one column, a row a value of another.

    values: names of value and both limits; looks: keywords of each point; label: of the values;
    reference: where a line stands; shift: of each point within its row; extra: empty panels at the
    right. Rows that are arms have their short names and colours. Gives (figure, axes).
    """
    panels, rows = list(dict.fromkeys(table[panel])), list(dict.fromkeys(table[row]))
    figure, axes = plt.subplots(
        1, len(panels) + extra, sharey=True, squeeze=False, figsize=(width, 1.15 + 0.2 * len(rows))
    )
    axes, shift = axes[0], [0] * len(table) if shift is None else shift
    for ax, name in zip(axes, panels, strict=False):
        ax.sharex(axes[0]) if ax is not axes[0] else None
        ax.set_title(name if len(panels) > 1 else "", fontsize=7)
        if reference is not None:
            ax.axvline(reference, color=GREY, linewidth=0.9)
    for point, (name, at), look, up in zip(
        table[[*values]].to_numpy(float), table[[panel, row]].to_numpy(), looks, shift, strict=True
    ):
        draw_points(axes[panels.index(name)], point[0], rows.index(at) + up, *point[1:], **look)
    name_rows(axes, rows)
    if label:
        figure.supxlabel(label, fontsize=8)
    return figure, axes


def highlight(axes, table: pd.DataFrame, of: str, x: str, y: str):
    """Panels of one curve each, the others in grey behind it: (panel, name, its rows) in turn."""
    groups = dict(list(table.groupby(of, sort=False)))
    for ax, (name, part) in zip(axes, groups.items(), strict=True):
        for other in groups.values():
            ax.plot(other[x], other[y], color="#CCCCCC", linewidth=0.8)
        ax.set_title(short(name), color=colour_of(name) if name in ARMS else "black")
        yield ax, name, part


def name_rows(axes, names: list[str], arms=None) -> None:
    """Names of the rows of panels that share them, from the top, those of arms in their colours
    (arms: of each row, if not the names); grid lines of values only."""
    arms = arms or names
    axes[0].set_yticks(range(len(names)), map(short, names))
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    for ax in axes:
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        for label, arm in zip(ax.get_yticklabels(), arms, strict=False):
            if split_arm(arm)[0] in COLOURS:
                label.set_color(colour_of(arm))


def name_ends(ends: dict) -> None:
    """Names of arms beside the ends of their curves, set apart where they would meet.

    ends: axes -> arm -> (x, y) of its end.
    """
    next(iter(ends)).figure.draw_without_rendering()  # the heights of the axes
    for ax, of_ax in ends.items():
        bottom, top = ax.get_ylim()
        gap, places = 9.5 * (top - bottom) * ax.figure.dpi / (72 * ax.bbox.height), {}
        for arm, (x, y) in sorted(of_ax.items(), key=lambda item: item[1][1]):
            places[x] = max(places.get(x, -np.inf) + gap, y)
            look = {"color": colour_of(arm), "fontsize": 7, "va": "center"}
            offset = {"xytext": (6, 0), "textcoords": "offset points", "annotation_clip": False}
            ax.annotate(short(arm), (x, places[x]), **offset, **look)


def count(numbers, noun: str = "") -> str:
    """How many, in words for a figure: "180 questions", "1 seed", "5 to 6 runs"; "180"."""
    low, high = min(numbers), max(numbers)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{span} {noun}{'s' if high != 1 else ''}" if noun else span


def frame(ax, axis: str, label: str, values, least: float, most: float) -> None:
    """Ends of an axis ("x" or "y") around the values, round, within least..most; and its label.

    Where the axis does not start at ``least``, the label says where it does.
    """
    low, high = np.nanmin(values), np.nanmax(values)
    span = high - low or 0.1 * (most - least)
    step = 10 ** np.floor(np.log10(span)) / 2
    start = max(least, np.floor((low - span / 20) / step) * step)
    end = min(most, np.ceil((high + span / 20) / step) * step)
    note = f"; axis from {start:.4g}".replace("-", MINUS) if start > least else ""
    ax.set(**{f"{axis}lim": (start, end), f"{axis}label": label + note})


def save(figure, name: str, table, stage, **more: object) -> None:
    """Write figures/<profile>/<name>.pdf, .png (200 dpi), .csv (the table) and .json (provenance).

    ``stage`` is the notebook's Stage; ``more`` goes into the provenance. The .json is the last; an
    unchanged figure leaves its files untouched, as no bytes depend on the date. The open figure is
    left for the notebook to show.
    """
    title = " ".join(figure.get_suptitle().split())
    metadata = {"pdf": {"CreationDate": None, "Title": title}, "png": {"Software": None}}
    paths = {kind: stage.figures / f"{name}.{kind}" for kind in (*metadata, "csv")}
    for kind, fields in metadata.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=200, metadata=fields)
        files.write_bytes(paths[kind], buffer.getvalue())
    files.write_csv(paths["csv"], table)
    hashes = {path.name: files.sha256_file(path) for path in paths.values()}
    record = stage.provenance(
        figure=name,
        title=title,
        table_sha256=hashes[paths["csv"].name],
        files=hashes,
        matplotlib=installed("matplotlib"),
        **more,
    )
    files.write_json(stage.figures / f"{name}.json", record)
