"""Loss curves and costs of students."""

import numpy as np
import pandas as pd
import pytest

from lib.common.methods import OBJECTIVES, split_arm, weights
from lib.figures import style, training

pytestmark = pytest.mark.usefixtures("style")


def make_students(seeds=3, sizes=("small", "large"), arms=style.ARMS):
    rows = [(arm, size, seed) for size in sizes for arm in arms for seed in range(seeds)]
    students = pd.DataFrame(rows, columns=["arm", "size", "seed"])
    costs = {"peak_memory_gb": 2.5, "tokens_per_second": 400.0}
    return students.assign(seconds=60.0 * (1 + students["seed"]), **costs)


def make_history(students):
    rows = [
        (row.arm, row.size, row.seed, step, split, task, 3 / (1 + step) + row.seed / 10)
        for row in students.itertuples()
        for split in ("train", "dev")
        for step in range(3)
        for task in [*weights(split_arm(row.arm)[0]), "loss"]
    ]
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "step", "split", "task", "loss"])


@pytest.mark.parametrize("students", [make_students(), make_students(1, ("135M",), style.ARMS[:4])])
def test_figures_are_readable(students, readable):
    on_gpu = students.assign(peak_share=0.2, padding_share=0.06)
    readable(training.loss_curves(make_history(students))[0])
    for costs in (students, on_gpu):
        readable(training.cost_figure(costs)[0])


def test_loss_curves_are_means_over_seeds_and_leave_the_weighted_sum_out():
    history = make_history(make_students(seeds=2))
    figure, table = training.loss_curves(history)
    assert set(table["task"]) == {*OBJECTIVES} - {"rival"} and len(figure.axes) == 18
    assert len(table) == (history["task"] != "loss").sum()
    curves = [line for ax in figure.axes for line in ax.lines]
    assert len(curves) == len(table) / 3 / 2  # three steps, two seeds
    for curve in curves:
        np.testing.assert_allclose(curve.get_ydata(), [3.05, 1.55, 1.05])
    bands = [band.get_paths()[0].get_extents() for band in figure.axes[0].collections]
    assert {(band.y0, band.y1) for band in bands} == {(1.0, 3.1)}
    assert "2 seeds" in figure.texts[-1].get_text()
    assert figure.get_suptitle().startswith("Dev loss is lowest at the last evaluation in 100 %")


def test_marks_stand_where_dev_loss_was_measured_and_names_at_the_ends():
    history = make_history(make_students(1))
    figure, _ = training.loss_curves(history[(history["split"] == "train") | history["step"].ne(1)])
    for ax in figure.axes:
        dev = [line for line in ax.lines if line.get_marker() != "None"]
        assert all(list(line.get_xdata()) == [0, 2] for line in dev)
        assert len(ax.texts) == len(dev) == len(ax.lines) / 2


def test_costs_are_means_over_seeds_and_bars_from_zero():
    figure, table = training.cost_figure(make_students())
    assert set(table.loc[table["cost"] == "seconds", "mean"]) == {120.0}
    assert {bar.get_width() for bar in figure.axes[0].patches} == {2.0}  # minutes
    assert (table["seeds"] == 3).all() and len(table) == 3 * 2 * len(style.ARMS)
    assert all(ax.get_xlim()[0] == 0 for ax in figure.axes)


def test_shares_are_shown_where_students_have_them():
    """Records of earlier commits have no shares, students on a CPU none of a card's peak."""
    blank = {"peak_share": None, "padding_share": None}
    for old in (make_students(), make_students().assign(**blank)):
        assert len(training.cost_figure(old)[0].axes) == 3
    students = make_students(seeds=1).assign(padding_share=0.06)
    students["peak_share"] = [0.25] + [None] * (len(students) - 1)
    figure, table = training.cost_figure(students)
    assert [ax.get_xlabel() for ax in figure.axes[3:]] == ["Share of peak\n(%)", "Padding\n(%)"]
    assert [bar.get_width() for bar in figure.axes[3].patches] == [25.0]
    assert table.query("cost == 'peak_share'")["mean"].tolist() == [0.25]
