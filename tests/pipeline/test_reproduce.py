"""The whole study with tiny models: what it leaves, its fixed numbers, nothing rerun, kill -9.

``python -m tests.pipeline.test_reproduce`` writes ``expected`` anew from data/runs/smoke.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lib.common import paths, profile
from lib.runner import summary

EXPECTED = Path(__file__).with_name("expected")
KEYS = ["arm", "size", "seed"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}


def fixed_tables(run: Path) -> dict[str, pd.DataFrame]:
    """Tables of a smoke run that no processor's rounding changes: sizes, counts, the paper's."""
    texts = pd.read_csv(run / "02_critique_revision/texts.csv")
    trained = pd.read_csv(run / "03_training/students.csv")
    letters = pd.read_csv(run / "04_evaluation/letters.csv")
    statistics = pd.read_csv(run / "statistics.csv")
    paper = statistics[statistics["analysis"].str.startswith("paper ")]
    paper = paper[
        (paper["group"] != "Quality") & paper["value"].notna()
    ]  # that is from raw ratings
    tests = paper["statistic"].isin(["anova_type2", "kruskal"])
    return {
        "texts": texts.groupby("kind", sort=False).size().rename("texts").reset_index(),
        "students": trained[[*KEYS, "steps", "trained_parameters", "inputs_cut"]],
        "answers": pd.read_csv(run / "04_evaluation/students.csv")[[*KEYS, "n"]],
        "letters": letters[letters["arm"] == "(right answers)"],
        "paper_points": pd.read_csv(run / "06_tradeoff/paper_points.csv"),
        "paper_statistics": paper[tests],
    }


def run_stage(home: Path, stage: str) -> subprocess.Popen:
    """Start a stage of the smoke run, and what it needs, in a home and a session of its own."""
    command = [sys.executable, "-m", "lib.runner.run", "smoke", "--stage", stage]
    return subprocess.Popen(
        command,
        cwd=paths.ROOT,
        env=ENVIRONMENT | {"HONEY_HOME": str(home)},
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(home: Path, stage: str) -> list[str]:
    """Run a stage to its end and return the stages that ran."""
    printed = run_stage(home, stage).communicate()[0]
    assert "Traceback" not in printed, printed[-3000:]
    return re.findall(r"^(\w+) took", printed, re.M)


def kill_when(begun: Callable[[], bool], home: Path, stage: str) -> None:
    """kill -9 a run and its kernels once it has begun."""
    process, end = run_stage(home, stage), time.monotonic() + 300
    while not begun() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None, "it was to be killed in mid-run"
    subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)
    process.wait()


@pytest.fixture
def home(smoke_run, tmp_path):
    """A copy of the finished run, where things can be broken."""
    for folder in ("data/runs/smoke", "data/texts", "figures/smoke"):
        shutil.copytree(paths.BUILT / folder, tmp_path / folder)
    for model in paths.MODELS.glob("[lt]*-*"):  # the tiny ones
        shutil.copytree(model, tmp_path / "data/models" / model.name)
    return tmp_path


def test_every_stage_leaves_figures_with_their_tables_and_provenance(smoke_run):
    figures = paths.FIGURES / "smoke"
    names = {path.stem for path in figures.glob("*.png")}
    assert {"student_accuracy", "ratings", "tradeoff", "loss_curves", "power"} <= names
    for name in names:
        for kind in ("pdf", "csv", "json"):
            assert (figures / f"{name}.{kind}").stat().st_size > 0
        record = json.loads((figures / f"{name}.json").read_text(encoding="utf-8"))
        assert (record["profile"], record["command"]) == ("smoke", "make reproduce PROFILE=smoke")
    statistics = pd.read_csv(smoke_run / "statistics.csv")
    assert list(statistics) == ["analysis", "statistic", "group", "term", "value"]


def test_the_report_shows_it_all_in_order(smoke_run):
    page = (smoke_run / "report/index.html").read_text(encoding="utf-8")
    heads = ["found", "students", "paper", "explanations", "figures", "notebooks", "made"]
    assert re.findall(r'<section id="(\w+)"', page) == heads
    assert page.count('class="student') == 1 + len(summary.students(profile.load("smoke")))
    shown = re.findall(r'<figure id="(\w+)"', page)
    drawn = {path.stem for path in (paths.FIGURES / "smoke").glob("*.png")}
    assert set(shown) == drawn and page.count('<article class="card">') == 10
    assert not re.search(r'(src|href)="(https?:)?//', page)
    for path in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (smoke_run / "report" / path).exists(), path


def displayed(run: Path) -> list[tuple[str, str, str]]:
    """Notebook, cell and HTML of everything that executed notebooks display as HTML."""
    found = []
    for path in sorted((run / "notebooks").glob("[0-9]*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                html = "".join(output.get("data", {}).get("text/html", []))
                found.append((path.stem, cell.get("id", ""), html))
    return [row for row in found if row[2]]


def test_no_displayed_table_is_empty_and_no_package_warns(smoke_run):
    tables = [row for row in displayed(smoke_run) if "<table" in row[2]]
    assert len(tables) > 20
    for notebook, cell, html in tables:
        body = re.search(r"<tbody>(.*)</tbody>", html, re.S)
        assert body and "<td" in body[1], f"{notebook} {cell} displays an empty table"
    for path in sorted((smoke_run / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            streams = [output.get("name") for output in cell.get("outputs", [])]
            assert "stderr" not in streams, (path.stem, cell["source"])


def test_fixed_tables_are_the_expected_ones(smoke_run):
    found = fixed_tables(smoke_run)
    assert sorted(found) == sorted(path.stem for path in EXPECTED.glob("*.csv"))
    for name, table in found.items():
        expected = pd.read_csv(EXPECTED / f"{name}.csv")
        table = table.reset_index(drop=True)
        pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6, obj=name)


def test_a_finished_run_is_not_run_again_and_that_is_said_soon(smoke_run):
    started = time.monotonic()
    done = subprocess.run(
        ["make", "reproduce", "PROFILE=smoke"],
        cwd=paths.ROOT,
        env=ENVIRONMENT | {"PYTHON": sys.executable},
        encoding="utf-8",
        capture_output=True,
    )
    assert done.stdout.startswith("Nothing to run"), done.stdout + done.stderr
    told = [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "]
    assert told[:4] == ["Nothing", "Accuracy", "This", "Ratings"]
    assert told[4:] == ["Trade-off", "Paper", "Open", "Next"]
    assert time.monotonic() - started < 10, "5 s on an idle machine"


def test_killed_while_students_are_trained_it_goes_on(home, smoke_run):
    run = home / "data/runs/smoke"
    students = sorted(run.glob("03_training/students/[!.]*"))
    for lost in students[-3:]:
        shutil.rmtree(lost)
    kill_when(lambda: any(lost.exists() for lost in students[-3:]), home, "03")
    finished = {path: path.stat().st_mtime_ns for path in run.glob("03_training/students/[!.]*/*")}
    assert not (run / "stages/03_training.json").exists()
    assert finish(home, "03") == ["03_training"]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    columns = ["step", "split", "task", "loss"]
    for student in students:
        old, new = smoke_run / student.relative_to(run) / "history.csv", student / "history.csv"
        assert pd.read_csv(old)[columns].equals(pd.read_csv(new)[columns])


def test_the_first_notebook_alone_trains_the_student_that_notebook_03_trains(home, smoke_run):
    student = next(home.glob("data/runs/smoke/03_training/students/MT-Unrevised-tiny-t5-s0-*"))
    files = json.loads((student / "student.json").read_text(encoding="utf-8"))["files"]
    shutil.rmtree(student)
    texts = {path: path.stat().st_mtime_ns for path in home.glob("data/texts/**/*")}
    assert finish(home, "00") == ["00_start_here"]
    again = json.loads((student / "student.json").read_text(encoding="utf-8"))["files"]
    assert again["model.safetensors"] == files["model.safetensors"]
    assert {path: path.stat().st_mtime_ns for path in home.glob("data/texts/**/*")} == texts
    executed = home / "data/runs/smoke/notebooks/00_start_here.ipynb"
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    shown = json.dumps([cell.get("outputs", []) for cell in cells], ensure_ascii=False)
    for words in ("counterfactual: ", "before: ", "after: ", "█", "One student is an example"):
        assert words in shown, words
    assert '"stderr"' not in shown


if __name__ == "__main__":
    EXPECTED.mkdir(exist_ok=True)
    for name, table in fixed_tables(paths.RUNS / "smoke").items():
        table.to_csv(EXPECTED / f"{name}.csv", index=False)
