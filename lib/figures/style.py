"""House style of every figure, and saving a figure with its table and its provenance.

Channels: colour and marker are the method; open markers and hatched bars are students of unrevised
explanations, filled ones of revised explanations (label-only students are filled, too). The four
colours are Okabe and Ito's (2008), chosen so that they differ in lightness as well.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lib.common import files
from lib.common.methods import arms, order_arms, split_arm
from lib.common.provenance import installed

COLUMN, DOUBLE = 3.5, 7.16  # inches: one and two columns of a two-column paper
ARMS = tuple(arms())
COLOURS = {"label-only": "#333333", "CF": "#E69F00", "MT": "#0072B2", "MT+CF": "#009E73"}
MARKERS = {"label-only": "D", "CF": "o", "MT": "s", "MT+CF": "^"}
NEW = ("#CC79A7", "v")  # colour and marker of methods that are not in these two
MINUS = "\N{MINUS SIGN}"
GREY = "#777777"  # what belongs to no method: chance lines, references, notes
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
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


def legend(figure, names, kind: str = "point", more=(), columns: int = 4) -> None:
    """One legend below the figure for its arms (kind: point, bar, line or curve, which is a line
    with the arm's marker), then more handles."""
    make = {
        "point": lambda arm: Line2D([], [], linestyle="none", label=arm, **point(arm)),
        "bar": lambda arm: Patch(label=arm, **bar(arm)),
        "line": lambda arm: Line2D([], [], label=arm, **line(arm)),
        "curve": lambda arm: Line2D(
            [], [], label=arm, **point(arm) | line(arm) | {"markersize": 4, "markeredgewidth": 0.9}
        ),
    }[kind]
    handles = [*map(make, order_arms(names)), *more]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        handlelength=2.4 if kind in ("line", "curve") else 1.6,
        columnspacing=1.4,
    )


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


def draw_points(ax, x, mean, low, high, arm: str, **more) -> None:
    """Points of one arm with vertical intervals; where there is no interval, the point alone."""
    mean, low, high = (np.asarray(values, float) for values in (mean, low, high))
    ax.errorbar(
        x,
        mean,
        yerr=np.nan_to_num([mean - low, high - mean]),
        linestyle="none",
        elinewidth=1,
        **point(arm) | more,
    )


def name_rows(axes, names: list[str]) -> None:
    """Names of the rows of panels that share them, from the top, and grid lines of values only."""
    for ax in axes:
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)


def key_of_filling(figure, filled: str, empty: str, title: str | None = None) -> None:
    """The legend of black points: what filled ones say, what open ones say; above it a title."""
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                color="black",
                label=label,
                markerfacecolor=colour,
                markersize=4,
            )
            for label, colour in ((filled, "black"), (empty, "white"))
        ],
        loc="outside lower center",
        ncols=2,
        title=title,
        title_fontsize=8,
    )


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


def save(figure, name: str, table, stage, title: str, **more: object) -> None:
    """Write figures/<profile>/<name>.pdf, .png (200 dpi), .csv (the table) and .json (provenance).

    ``stage`` is the notebook's Stage; ``more`` goes into the provenance. Each file is written
    atomically, the .json last; an unchanged figure leaves its files untouched, as no bytes depend
    on the date. The open figure is left for the notebook to show.
    """
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
