"""The data behind every figure, its style and layout, and the four files that are saved of it."""

import json
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from lib.common import files, methods, paths
from lib.common.methods import PAPER_ARMS, order_arms
from lib.common.stage import Stage
from lib.figures import study as plots_study
from lib.figures import style, training
from lib.human_study import constructs, published

TASKS = {
    "label-only": ["predict"],
    "CF": ["factual", "counterfactual"],
    "MT": ["predict", "explain"],
}


pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return Stage("05_human_study", "smoke")


@pytest.fixture(scope="module")
def means():
    return constructs.summarise_scores(published.load_scores())


def make_students(seeds=3, sizes=("small", "large"), arms=style.ARMS, n=40):
    rng = np.random.default_rng(0)
    rows = [
        (arm, size, seed, n, int(rng.binomial(n, 0.3 + 0.05 * i)))
        for size in sizes
        for i, arm in enumerate(arms)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "n", "correct"])


def make_history(students):
    rows = [
        (row.arm, row.size, row.seed, step, split, task, 3 / (1 + step) + row.seed / 10)
        for row in students.itertuples()
        for split in ("train", "dev")
        for step in range(3)
        for task in [*TASKS.get(row.arm.split(":")[0], methods.OBJECTIVES), "loss"]
    ]
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "step", "split", "task", "loss"])


def make_costs(students):
    return students[["arm", "size", "seed"]].assign(
        seconds=60.0 * (1 + students["seed"]), peak_memory_gb=2.5, tokens_per_second=400.0
    )


def all_figures():
    """Every figure, in the fullest and the barest form that it takes."""
    full, bare = make_students(), make_students(1, ("135M",), style.ARMS[:4])
    for students in (full, bare):
        yield training.loss_curves(make_history(students))
        yield training.cost_figure(make_costs(students))


# Style


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
    lightness = np.sort(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)  # CIE L*
    assert np.diff(lightness).min() > 10 and lightness.max() < 75  # and none fades into white


def test_open_marks_are_unrevised():
    assert [style.is_open(arm) for arm in style.ARMS] == [False] + [True] * 3 + [False] * 3
    assert style.bar("MT:Revised")["hatch"] is None
    assert style.point("MT:Unrevised")["markerfacecolor"] == "white"


def test_arms_stand_in_one_order_and_unknown_ones_are_named():
    assert order_arms(["MT+CF:Revised", "CF:Unrevised", "label-only", "CF:Unrevised"]) == [
        "label-only",
        "CF:Unrevised",
        "MT+CF:Revised",
    ]
    assert [a for a in style.ARMS if a in PAPER_ARMS] == list(PAPER_ARMS)  # the paper's


def test_every_figure_is_readable_unclipped_and_no_wider_than_a_page():
    for figure, table in all_figures():
        figure.canvas.draw()
        assert not table.empty
        assert figure.get_figwidth() <= style.DOUBLE
        legends = [legend.get_window_extent() for legend in figure.legends]
        drawn = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert min(text.get_fontsize() for text in drawn) >= 7
        boxes = [ax.get_tightbbox() for ax in figure.axes]  # ticks, labels, titles, texts
        assert not any(legend.overlaps(box) for legend in legends for box in boxes)
        around = [text.get_window_extent() for text in figure.texts]
        assert not any(legend.overlaps(box) for legend in legends for box in around)
        for ax in figure.axes:
            inside = [text.get_window_extent() for text in ax.texts]
            assert not any(a.overlaps(b) for a, b in combinations(inside, 2)), table
        for box in boxes + legends + around:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, table
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, table
        plt.close(figure)


def test_bars_start_at_zero():
    figure, _ = training.cost_figure(make_costs(make_students()))
    for ax in figure.axes:
        assert ax.get_xlim()[0] == 0


def test_an_axis_that_starts_elsewhere_says_so():
    _, ax = plt.subplots()
    style.frame(ax, "y", "Accuracy (%)", [51.0, 79.0], 0, 100)
    assert ax.get_ylabel() == "Accuracy (%); axis from 45" and ax.get_ylim() == (45, 85)
    style.frame(ax, "x", "Share", [0.0, 99.0], 0, 100)
    assert ax.get_xlabel() == "Share" and ax.get_xlim() == (0, 100)
    style.frame(ax, "y", "Share", [0.0, np.nan], 0, 100)  # a single value has a frame, too
    assert ax.get_ylim() == (0, 5)
    style.frame(ax, "x", "n = 9", [-0.19, 0.1], -1, 1)
    assert ax.get_xlabel() == "n = 9; axis from −0.25"
    assert ax.get_xlim() == pytest.approx((-0.25, 0.15))


@pytest.mark.parametrize(
    "numbers, noun, said",
    [
        ([180, 180], "question", "180 questions"),
        ([1], "seed", "1 seed"),
        ([6, 5], "run", "5 to 6 runs"),
        (pd.Series([1114]), "", "1,114"),
    ],
)
def test_how_many_in_words(numbers, noun, said):
    assert style.count(numbers, noun) == said


# Saving


def test_save_writes_four_files_that_belong_together(stage, means):
    figure, table = plots_study.ratings_figure(means, published.LENGTHS)
    assert style.save(figure, "ratings", table, stage, title="Ratings", extra=[1]) is None
    folder = paths.FIGURES / "smoke"
    assert sorted(p.name for p in folder.iterdir()) == [
        f"ratings.{kind}" for kind in ("csv", "json", "pdf", "png")
    ]
    record = json.loads((folder / "ratings.json").read_text())
    assert record["title"] == "Ratings" and record["extra"] == [1]
    assert record["notebook"] == "notebooks/05_human_study.ipynb"
    assert {
        "commit",
        "profile",
        "seeds",
        "packages",
        "requirements_sha256",
        "matplotlib",
        "command",
        "figure",
    } <= set(record)
    assert record["table_sha256"] == files.sha256_file(folder / "ratings.csv")
    assert record["files"] == {
        f"ratings.{kind}": files.sha256_file(folder / f"ratings.{kind}")
        for kind in ("pdf", "png", "csv")
    }
    again = pd.read_csv(folder / "ratings.csv")
    np.testing.assert_array_equal(again["mean"], table["mean"])  # full precision


def test_saved_bytes_are_stable_and_unchanged_files_untouched(stage, means):
    folder = paths.FIGURES / "smoke"
    found = []
    for _ in range(2):
        figure, table = plots_study.ratings_figure(means, published.LENGTHS)
        style.save(figure, "ratings", table, stage, title="Ratings")
        found.append({p.name: (p.read_bytes(), p.stat().st_ino) for p in folder.iterdir()})
    assert found[0] == found[1]


def test_saved_pdf_embeds_its_fonts_and_has_no_date_and_the_png_has_its_size(stage, means):
    figure, table = plots_study.ratings_figure(means)
    style.save(figure, "ratings", table, stage, title="Ratings")
    pdf = (paths.FIGURES / "smoke" / "ratings.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    with Image.open(paths.FIGURES / "smoke" / "ratings.png") as image:
        assert image.size == tuple(int(200 * inches) for inches in figure.get_size_inches())
        assert "Software" not in image.info


# The data behind the figures


def test_loss_curves_are_means_over_seeds_and_leave_the_weighted_sum_out():
    history = make_history(make_students(seeds=2))
    figure, table = training.loss_curves(history)
    assert set(table["task"]) == set(methods.OBJECTIVES) and len(figure.axes) == 8
    assert len(table) == (history["task"] != "loss").sum()
    curves = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() != "None"]
    assert len(curves) == len(table) / 3 / 2  # three steps, two seeds
    for curve in curves:
        np.testing.assert_allclose(curve.get_ydata(), [3.05, 1.55, 1.05])
    bands = [band.get_paths()[0].get_extents() for band in figure.axes[0].collections]
    assert {(band.y0, band.y1) for band in bands} == {(1.0, 3.1)}
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == [
        "dev, 2 seeds",
        "train, 2 seeds",
    ]


def test_loss_curves_that_coincide_can_be_told_apart():
    """Each arm's markers lie on its dev curve, none on those of another, also with few steps."""
    figure, _ = training.loss_curves(make_history(make_students(1)))
    for ax in figure.axes:
        marks = [line for line in ax.lines if line.get_linestyle() == "None"]
        assert len({(line.get_marker(), line.get_markerfacecolor()) for line in marks}) == len(
            marks
        )
        places = np.concatenate([line.get_xdata() for line in marks])
        assert len(places) == 4 * len(marks) == len(set(places))
        for line in marks:
            np.testing.assert_allclose(
                line.get_ydata(), np.interp(line.get_xdata(), range(3), [3, 1.5, 1])
            )


def test_costs_are_means_over_seeds():
    figure, table = training.cost_figure(make_costs(make_students()))
    assert set(table.loc[table["cost"] == "seconds", "mean"]) == {120.0}
    assert {bar.get_width() for bar in figure.axes[0].patches} == {2.0}  # minutes
    assert (table["seeds"] == 3).all() and len(table) == 3 * 2 * len(style.ARMS)
