"""Automatic measures beside people's ratings: by hand, of the paper, in notebook 06."""

import os
import shutil
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import nbformat  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pingouin as pg  # noqa: E402
import pytest  # noqa: E402
from scipy import stats  # noqa: E402

from lib.common import paths
from lib.common.errors import UserError  # noqa: E402
from lib.common.methods import PAPER_ARMS  # noqa: E402
from lib.common.stage import STATISTICS, Stage  # noqa: E402
from lib.evaluation.measures import MEASURES  # noqa: E402
from lib.figures import style
from lib.findings import agreement
from lib.human_study import published, report, study
from lib.human_study.study import CONSTRUCTS, OUTCOMES  # noqa: E402
from lib.runner import depends  # noqa: E402

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    for name in ("FIGURES", "RUNS", "RAW"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    return Stage("06_tradeoff", "smoke")


def explain(characters, **columns):
    """Explanations q0, q1, ... of one student, with two measures (a share that never differs)."""
    count = len(characters)
    return pd.DataFrame(
        {
            "id": [f"q{i}" for i in range(count)],
            "question": "Why?",
            "arm": "MT:Unrevised",
            "size": "135M",
            "seed": 0,
            "characters": characters,
            "empty": [False] * count,
            **columns,
        }
    )


def rate(scores, lengths, method="MT:Unrevised", person="p"):
    """One person's ratings of q0, q1, ..., the same score on every construct."""
    return pd.DataFrame(
        [
            {
                "participant": person,
                "method": method,
                "length": length,
                "slot": f"S{i}",
                "question": f"q{i}",
                **dict.fromkeys(CONSTRUCTS, score),
            }
            for i, (score, length) in enumerate(zip(scores, lengths, strict=True))
        ]
    )


def check(*parts):
    return study.check_ratings(pd.concat(parts, ignore_index=True))


LENGTHS = [10, 20, 30, 40, 50, 60]
# Means 1, 1.5, 3, 2.5, 5, 4: ranks 1 2 4 3 6 5 against 1 2 3 4 5 6.
RATED = check(rate([1, 1, 3, 3, 5, 4], LENGTHS), rate([1, 2, 3, 2, 5, 4], LENGTHS, person="q"))


@pytest.fixture
def paper(shared):
    return study.load_ratings(shared / "published" / "study.csv")


def test_rho_by_hand():
    """Squared differences of ranks 0 0 1 1 1 1: rho = 1 - 6 * 4 / (6 * 35) = 31 / 35."""
    table = agreement.measures_against_ratings(explain(LENGTHS), RATED)
    assert list(table.columns) == [
        "measure",
        "construct",
        "explanations",
        "rho",
        "low",
        "high",
        "p",
        "p_holm",
    ]
    found = table[table["measure"] == "characters"]
    assert tuple(found["construct"]) == OUTCOMES
    assert found["rho"].tolist() == pytest.approx([31 / 35] * 6)
    assert set(found["explanations"]) == {6}
    z, half = np.arctanh(31 / 35), 1.959963984540054 / np.sqrt(3)
    assert found["low"].tolist() == pytest.approx([np.tanh(z - half)] * 6)
    assert found["high"].tolist() == pytest.approx([np.tanh(z + half)] * 6)
    p = 2 * stats.t.sf(31 / 35 * np.sqrt(4 / (1 - (31 / 35) ** 2)), 4)
    assert found["p"].tolist() == pytest.approx([p] * 6)
    theirs = pg.corr(LENGTHS, [1, 1.5, 3, 2.5, 5, 4], method="spearman").iloc[0]
    assert found[["low", "high"]].to_numpy()[0].round(2) == pytest.approx(theirs["CI95"])
    assert found["p_holm"].tolist() == pytest.approx([6 * p] * 6)  # undefined rows do not count


def test_a_measure_that_never_differs_has_no_rho_and_perfect_agreement_no_interval():
    table = agreement.measures_against_ratings(explain(LENGTHS, rouge_l=[1, 2, 4, 3, 6, 5]), RATED)
    table = table.set_index("measure")
    assert list(dict.fromkeys(table.index)) == [m for m in MEASURES if m in table.index]
    numbers = ["rho", "low", "high", "p", "p_holm"]
    assert table.loc["empty", numbers].isna().all(axis=None)
    assert set(table.loc["empty", "explanations"]) == {6}
    assert table.loc["rouge_l", "rho"].tolist() == [1] * 6
    assert table.loc["rouge_l", ["low", "high"]].isna().all(axis=None)


def test_a_measure_counts_where_it_is_defined():
    some = explain(
        LENGTHS,
        similarity=[0.1, 0.2, 0.4, 0.3, np.nan, np.nan],
        rouge_l=[0.1, 0.2, 0.4, *[np.nan] * 3],
    )
    table = agreement.measures_against_ratings(some, RATED).set_index("measure")
    assert set(table.loc["similarity", "explanations"]) == {4}
    assert set(table.loc["similarity", "rho"]) == {1.0}
    assert set(table.loc["rouge_l", "explanations"]) == {3}
    assert table.loc["rouge_l", "rho"].isna().all()


def test_too_few_or_ratings_of_something_else_are_one_sentence():
    with pytest.raises(
        UserError,
        match="^Only 3 explanations were rated by people and measured in "
        "this run .*4 are needed. Are these ratings of this run?",
    ):
        agreement.measures_against_ratings(explain(LENGTHS)[:3], RATED)
    other = explain([length + 1 for length in LENGTHS])  # the same questions, other texts
    with pytest.raises(UserError, match="^Only 0 .*[(]same question, method, length"):
        agreement.measures_against_ratings(other, RATED)
    with pytest.raises(UserError, match="lack the column.* question; without that"):
        agreement.measures_against_ratings(explain(LENGTHS), RATED.drop(columns="question"))


def test_the_length_tells_which_students_text_was_rated():
    other = explain([77, *LENGTHS[:0:-1]], rouge_l=0.0).assign(size="360M", seed=1)
    rated = explain(LENGTHS, rouge_l=[0.1, 0.2, 0.4, 0.3, 0.6, 0.5])
    both = pd.concat([other, rated.assign(seed=0)], ignore_index=True)
    both = both[(both["id"] != "q3") | (both["seed"] == 0)]  # q3: 40 characters of both students
    found = agreement.measures_against_ratings(both, RATED).set_index("measure")
    assert set(found.loc["rouge_l", "rho"]) == {1.0}
    assert set(found.loc["rouge_l", "explanations"]) == {6}
    twin = pd.concat([rated, rated.assign(seed=1, rouge_l=0.3)])  # nothing tells these apart
    joined = agreement.join_ratings(
        twin.assign(question=twin["id"], method=twin["arm"], length=twin["characters"]),
        RATED,
        ["rouge_l"],
        "here",
    )
    assert joined["rouge_l"].tolist() == pytest.approx([0.2, 0.25, 0.35, 0.3, 0.45, 0.4])
    assert joined["Quality"].tolist() == [1, 1.5, 3, 2.5, 5, 4]


def test_equal_means_are_ties_in_whatever_order_people_rated():
    table = pd.DataFrame(
        {
            "question": list("aaabbbcd"),
            "method": "MT:Revised",
            "length": 10,
            **dict.fromkeys(OUTCOMES, 1.0),
        }
    )
    table["Quality"] = [0.1, 0.2, 0.3, 0.3, 0.2, 0.1, 1, 2]  # (0.1 + 0.2) + 0.3 > (0.3 + 0.2) + 0.1
    found = agreement.join_ratings(table, table, ["Quality"], "here")
    assert found["Quality"].tolist() == [0.2, 0.2, 1, 2]


def test_lengths_of_the_papers_explanations(paper):
    table = agreement.paper_lengths(paper)
    assert list(table.columns) == [
        "measure",
        "construct",
        "within",
        "explanations",
        "rho",
        "low",
        "high",
        "p",
        "p_holm",
    ]
    assert table["within"].unique().tolist() == ["all", *PAPER_ARMS]
    assert set(table["measure"]) == {"characters"} and len(table) == 5 * 6
    rows = table.set_index(["within", "construct"])
    means = paper.groupby(["method", "question"], observed=True)[["length", *OUTCOMES]].mean()
    for within, part in (("all", means), ("MT+CF:Revised", means.loc["MT+CF:Revised"])):
        for outcome in ("Contrastiveness", "Quality"):
            theirs = stats.spearmanr(part["length"], part[outcome].round(9))
            row = rows.loc[(within, outcome)]
            assert (row["rho"], row["p"]) == pytest.approx((theirs.statistic, theirs.pvalue))
            assert row["explanations"] == len(part) and row["low"] < row["rho"] < row["high"]
    assert rows.loc["all", "explanations"].tolist() == [len(means)] * 6
    assert (table["p_holm"] >= table["p"]).all()


def drawn(figure, table, of):
    """rho by row and construct as the figure has it."""
    rows = list(dict.fromkeys(table[of]))
    return {
        (rows[int(line.get_ydata()[0])], ax.get_title()): line.get_xdata()[0]
        for ax in figure.axes
        for line in (part.lines[0] for part in ax.containers)
    }


def readable(figure):
    """Every text at least 7 points, inside the page, and the legend apart from the axes."""
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    legends = [legend.get_window_extent() for legend in figure.legends]
    assert figure.get_figwidth() <= style.DOUBLE
    assert not any(a.overlaps(b) for a in legends for b in boxes)
    assert not any(a.overlaps(b) for a, b in zip(boxes[:-1], boxes[1:], strict=True))
    for box in boxes + legends + [text.get_window_extent() for text in figure.texts]:
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1


def test_the_figure_shows_its_table():
    rng = np.random.default_rng(0)
    some = explain(
        LENGTHS, **{name: rng.random(6) for name in MEASURES if name not in ("characters", "empty")}
    )
    given = agreement.measures_against_ratings(some, RATED)
    figure, table = agreement.agreement_figure(given)
    pd.testing.assert_frame_equal(table, given)
    points = table.dropna(subset="rho").set_index(["measure", "construct"])["rho"]
    assert drawn(figure, table, "measure") == pytest.approx(points.to_dict())
    assert [ax.get_title() for ax in figure.axes] == list(OUTCOMES)
    assert figure.axes[0].get_xlim()[1] >= table["high"].max()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][2] == "empty (6)"
    readable(figure)
    first = agreement.agreement_figure(
        given.assign(p_holm=np.where(given["measure"] == "characters", 0.01, 0.5))
    )[0].axes[0]
    fills = [part.lines[0].get_markerfacecolor() for part in first.containers]
    assert fills == ["k"] + ["w"] * 9
    with pytest.raises(UserError, match="at least one row"):
        agreement.agreement_figure(given[:0])


def test_the_figure_of_lengths_has_the_methods_looks(paper):
    figure, table = agreement.agreement_figure(agreement.paper_lengths(paper))
    points = table.set_index(["within", "construct"])["rho"].to_dict()
    assert drawn(figure, table, "within") == pytest.approx(points)
    lines = [part.lines[0] for part in figure.axes[0].containers]
    assert [line.get_color() for line in lines] == ["black", *map(style.colour_of, PAPER_ARMS)]
    assert [line.get_markerfacecolor() == "white" for line in lines[1:]] == list(
        map(style.is_open, PAPER_ARMS)
    )
    readable(figure)


def test_own_ratings_come_first_then_the_papers_then_a_sentence(stage, tmp_path, shared, capsys):
    texts, own = explain(LENGTHS), tmp_path / "own.csv"
    RATED.drop(columns="Quality").to_csv(own, index=False)
    folder = paths.FIGURES / "smoke"
    nothing = agreement.compare("", texts)
    assert nothing.empty and "`make data`" in agreement.show(nothing, stage).data
    assert list(agreement.statistics(nothing)) == STATISTICS
    mine = agreement.compare(str(own), texts)
    shown = agreement.show(mine, stage)
    assert shown.shape == (2, 6) and shown.loc["characters", "Quality"] == 0.89
    assert plt.gcf().get_suptitle() == "Own study"
    assert {path.stem for path in folder.iterdir()} == {"measures_and_ratings"}
    assert set(agreement.statistics(mine)["analysis"]) == {"own study agreement"}
    paths.RAW.mkdir()
    shutil.copy(shared / "published" / "study.csv", paths.RAW)
    lengths = agreement.compare("", texts)
    assert list(agreement.show(lengths, stage).index) == ["all", *PAPER_ARMS]
    assert {path.stem for path in folder.iterdir()} == {"length_and_ratings"}  # the other is stale
    again = pd.read_csv(folder / "length_and_ratings.csv")
    np.testing.assert_array_equal(again["rho"], lengths["rho"])  # full precision
    found = agreement.statistics(lengths).set_index(["group", "term"])
    assert found.loc[("characters Quality all", "rho"), "value"] == lengths["rho"][5]
    assert set(found["analysis"]) == {"paper agreement"}
    assert "Only" not in capsys.readouterr().out
    agreement.show(nothing, stage)
    assert not list(folder.iterdir())


def test_ratings_of_another_run_are_told_and_left_out(stage, tmp_path, capsys):
    own = tmp_path / "own.csv"
    RATED.drop(columns=["Quality", "question"]).to_csv(own, index=False)
    assert agreement.compare(str(own), explain(LENGTHS)).empty
    assert "The ratings lack the column(s) question" in capsys.readouterr().out
    with pytest.raises(
        UserError, match="none.csv: no such folder or file; name the folder of your"
    ):
        agreement.compare(str(tmp_path / "none.csv"), explain(LENGTHS))


def test_notebook_06_has_the_parameter_of_05_and_reruns_when_the_raw_ratings_come(
    tmp_path, monkeypatch
):
    cells = {
        name: [
            cell.source
            for cell in nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
            if cell.cell_type == "code"
        ]
        for name in ("05_human_study", "06_tradeoff")
    }
    assert cells["06_tradeoff"][0] == cells["05_human_study"][0]
    assert sum("own_ratings" in cell for cell in cells["06_tradeoff"][1:]) == 1
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "study.csv").write_text("")
    monkeypatch.chdir(paths.ROOT)
    monkeypatch.setenv("HONEY_HOME", str(tmp_path))
    needs = depends.graph("smoke", str(tmp_path / "runs"))["06_tradeoff"][0]
    assert {
        "lib/findings/agreement.py",
        "lib/human_study/report.py",
        str(raw / "study.csv"),
    } <= set(needs)


@pytest.mark.parametrize("evaluated", [False, True])
def test_make_study_runs_06_where_the_run_has_explanations(tmp_path, evaluated):
    if evaluated:
        table = tmp_path / "data/runs/smoke/04_evaluation/explanations.parquet"
        table.parent.mkdir(parents=True)
        table.write_text("")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "HONEY"))}
    done = subprocess.run(
        ["make", "-n", "study", "PROFILE=smoke", f"RATINGS={tmp_path}"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        env=clean | {"HONEY_HOME": str(tmp_path), "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    ran = [line for line in done.stdout.splitlines() if "-m lib.runner.run 0" in line]
    assert all(line.endswith(f"-p own_ratings='{tmp_path}'") for line in ran)
    assert [line.split("lib.runner.run ")[1][:2] for line in ran] == ["05", "06"][: 1 + evaluated]


def test_the_papers_ratings_are_none_where_not_downloaded(stage):
    assert published.load_ratings() is None
