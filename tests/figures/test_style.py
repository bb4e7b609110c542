"""The looks of arms, what figures share, and the four files that are saved of a figure."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lib.common import files, methods, paths
from lib.common.methods import PAPER_ARMS, order_arms
from lib.common.stage import Stage
from lib.figures import style

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return Stage("05_human_study", "smoke")


def draw(arms=PAPER_ARMS):
    """A point with an interval for each arm, and its table."""
    table = pd.DataFrame({"arm": arms, "mean": np.arange(len(arms)) / 3})
    figure, ax = plt.subplots(figsize=(style.DOUBLE, 2))
    for x, (arm, mean) in enumerate(table.itertuples(index=False)):
        style.draw_points(ax, [x], [mean], [mean - 1], [np.nan], axis="y", **style.point(arm))
    style.head(figure, "The finding", "What is drawn.")
    return figure, table


def test_every_arm_of_a_profile_has_a_look_of_its_own():
    arms = methods.arms()
    assert sorted(arms) == sorted(style.ARMS)
    looks = {(style.point(a)["color"], style.point(a)["markerfacecolor"]) for a in arms}
    bars = {(style.bar(a)["edgecolor"], style.bar(a)["hatch"]) for a in arms}
    lines = {(style.line(a)["color"], style.line(a)["linestyle"]) for a in arms}
    assert len(looks) == len(bars) == len(lines) == len(arms)
    assert len(set(style.MARKERS.values())) == len(style.MARKERS) == len(methods.methods())


def test_colours_differ_in_greyscale():
    rgb = np.array([to_rgb(colour) for colour in style.COLOURS.values()])
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16  # CIE L*
    assert lightness.max() < 75, "none fades into white"
    for four in (lightness[:4], lightness[4:]):  # the paper's, and those that came later
        assert np.diff(np.sort(four)).min() > 10


def test_open_marks_are_unrevised():
    assert [style.is_open(arm) for arm in style.ARMS] == [False] + [True] * 7 + [False] * 7
    assert style.bar("MT:Revised")["hatch"] is None
    assert style.point("MT:Unrevised")["markerfacecolor"] == "white"


def test_arms_stand_in_one_order():
    mixed = ["new", "MT+CF:Revised", "CF:Unrevised", "label-only", "CF:Unrevised"]
    assert order_arms(mixed) == ["label-only", "CF:Unrevised", "MT+CF:Revised", "new"]
    assert [a for a in style.ARMS if a in PAPER_ARMS] == list(PAPER_ARMS)  # the paper's


def test_the_headline_stands_above_what_is_drawn(readable):
    figure, _ = draw(style.ARMS)
    style.head(figure, "A finding " * 12, "A note. " * 40)
    readable(figure)
    headline, note = figure._suptitle.get_window_extent(), figure.texts[-1].get_window_extent()
    assert note.y0 > figure.axes[0].bbox.y1 and note.y0 >= headline.y0 - 2
    assert note.y1 < headline.y1 - 20


def test_names_are_short():
    assert style.short("MT+CF:Revised - CF:Unrevised") == "MT+CF revised \N{MINUS SIGN} CF"
    assert style.short("MT:Unrevised, share 0.1") == "MT, share 0.1"
    assert style.short("label-only") == "label-only"


def test_the_better_stands_first_in_all_rows_of_a_pair():
    table = pd.DataFrame(
        {"size": [1, 2, 1], "v": [-3.0, 1.0, 5.0], "l": [-5, 0, 4], "h": [-1, 2, 6]}
    )
    pairs = [("CF:Unrevised", "MT:Unrevised")] * 2 + [("MT:Unrevised", "label-only")]
    turned = style.better_first(table, pairs, ("v", "l", "h"))
    assert turned["pair"].tolist() == ["MT − label-only", "MT − CF", "MT − CF"]
    assert turned[["v", "l", "h"]].values.tolist() == [[5, 4, 6], [3, 1, 5], [-1, -2, 0]]


def test_the_leader_and_whose_intervals_meet_with_its_own():
    points = pd.DataFrame({"arm": ["CF:Unrevised", "MT:Unrevised", "MT+CF:Revised", "label-only"]})
    points = points.assign(x=[1, 5, 4, None], x_low=[0, 4, 3, None], x_high=[2, 6, 4.5, None])
    assert style.leader(points, "x") == ("MT", "MT+CF revised")
    assert style.leader(points[points["x"] != 4], "x") == ("MT", "none")


def test_names_at_ends_do_not_meet(readable):
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2))
    ax.plot([0, 1], [0, 1])
    style.name_ends({ax: dict.fromkeys(style.ARMS[:8], (1, 0.5))})
    readable(figure)
    assert {text.get_text() for text in ax.texts} == {*map(style.short, style.ARMS[:8])}


@pytest.mark.parametrize(
    ("values", "least", "most", "label", "ends"),
    [
        ([51.0, 79.0], 0, 100, "Share; axis from 45", (45, 85)),
        ([0.0, 99.0], 0, 100, "Share", (0, 100)),
        ([0.0, np.nan], 0, 100, "Share", (0, 5)),  # a single value has a frame, too
        ([-0.19, 0.1], -1, 1, "Share; axis from −0.25", (-0.25, 0.15)),
    ],
)
def test_an_axis_that_starts_elsewhere_says_so(values, least, most, label, ends):
    _, ax = plt.subplots()
    style.frame(ax, "y", "Share", values, least, most)
    assert ax.get_ylabel() == label and ax.get_ylim() == pytest.approx(ends)


@pytest.mark.parametrize(
    ("numbers", "noun", "said"),
    [
        ([180, 180], "question", "180 questions"),
        ([1], "seed", "1 seed"),
        ([6, 5], "run", "5 to 6 runs"),
        (pd.Series([1114]), "", "1,114"),
    ],
)
def test_how_many_in_words(numbers, noun, said):
    assert style.count(numbers, noun) == said


def test_save_writes_four_files_that_belong_together(stage):
    figure, table = draw()
    style.save(figure, "points", table, stage, extra=[1])
    folder, kinds = paths.FIGURES / "smoke", ("csv", "json", "pdf", "png")
    assert sorted(path.name for path in folder.iterdir()) == [f"points.{kind}" for kind in kinds]
    record = json.loads((folder / "points.json").read_text(encoding="utf-8"))
    assert record["title"] == "The finding" and record["extra"] == [1]
    assert record["notebook"] == "notebooks/05_human_study.ipynb"
    assert {"commit", "profile", "seeds", "packages", "matplotlib", "command"} <= set(record)
    hashes = {path.name: files.sha256_file(path) for path in folder.glob("*.[cp]*")}
    assert record["files"] == hashes and record["table_sha256"] == hashes["points.csv"]
    again = pd.read_csv(folder / "points.csv")
    np.testing.assert_array_equal(again["mean"], table["mean"])  # full precision


def test_saved_bytes_are_stable_and_unchanged_files_untouched(stage):
    found = []
    for _ in range(2):
        figure, table = draw()
        style.save(figure, "points", table, stage)
        folder = paths.FIGURES / "smoke"
        found.append({p.name: (p.read_bytes(), p.stat().st_ino) for p in folder.iterdir()})
    assert found[0] == found[1]


def test_a_users_settings_of_matplotlib_change_nothing(stage):
    found = []
    theirs = {"text.usetex": True, "savefig.pad_inches": 1, "axes.formatter.use_locale": True}
    for settings in ({}, theirs | {"lines.dashed_pattern": [9, 9], "image.cmap": "gray"}):
        plt.rcParams.update(settings)
        style.use_style()
        figure, table = draw()
        style.save(figure, "points", table, stage)
        found.append([p.read_bytes() for p in sorted((paths.FIGURES / "smoke").glob("*.p*"))])
    assert found[0] == found[1]


def test_saved_pdf_embeds_its_fonts_and_has_no_date_and_the_png_has_its_size(stage):
    figure, table = draw()
    style.save(figure, "points", table, stage)
    pdf = (paths.FIGURES / "smoke" / "points.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    with Image.open(paths.FIGURES / "smoke" / "points.png") as image:
        assert image.size == tuple(int(200 * inches) for inches in figure.get_size_inches())
        assert "Software" not in image.info
