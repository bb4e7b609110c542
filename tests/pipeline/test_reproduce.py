"""The whole study with tiny models through make: outputs, nothing rerun, one figure, kill -9."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = [
    "01_generation",
    "02_critique_revision",
    "03_training",
    "04_evaluation",
    "05_human_study",
    "06_tradeoff",
]


def environment(home: Path) -> dict:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "HONEY"))}
    return clean | {"HONEY_HOME": str(home), "PYTHON": sys.executable}


def make(home: Path, target: str = "reproduce") -> str:
    done = subprocess.run(
        ["make", target, "PROFILE=smoke"],
        cwd=ROOT,
        text=True,
        env=environment(home),
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def ran(output: str) -> list[str]:
    return [stage for stage in STAGES if f"{stage} took" in output]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    if (ROOT / "data" / "models").is_dir():  # tiny models that other tests made
        for model in (ROOT / "data" / "models").glob("[lt]*-*"):
            shutil.copytree(model, folder / "data" / "models" / model.name)
    return folder


@pytest.fixture(scope="module")
def first(home):
    return make(home)


def tables(home: Path) -> dict[str, str]:
    """Every number of stages 01 to 03 that does not measure time or memory."""
    run = home / "data" / "runs" / "smoke"
    found = {}
    for name in ("01_generation/texts", "02_critique_revision/texts"):
        found[name] = (run / f"{name}.csv").read_text()
    history = sorted(run.glob("03_training/students/*/history.csv"))
    for path in history:
        columns = ["step", "split", "task", "loss"]
        rows = pd.read_csv(path)[columns]
        found[path.parent.name] = rows[rows["split"] == "dev"].to_csv(index=False)
    return found


def test_all_stages_and_outputs(home, first):
    assert ran(first) == STAGES
    assert f"Figures: {home}/figures/smoke" in first and "report/index.html" in first
    figures = home / "figures" / "smoke"
    names = {path.stem for path in figures.glob("*.png")}
    assert {"student_accuracy", "paper_accuracy", "ratings", "tradeoff", "loss_curves"} <= names
    for name in names:
        assert all(
            (figures / f"{name}.{kind}").stat().st_size > 0 for kind in ("pdf", "csv", "json")
        )
        record = json.loads((figures / f"{name}.json").read_text())
        assert record["profile"] == "smoke" and record["command"] == "make reproduce PROFILE=smoke"
    for stage in STAGES[:3]:  # warnings of packages at their import or use
        cells = json.loads((home / f"data/runs/smoke/notebooks/{stage}.ipynb").read_text())["cells"]
        assert not [
            output
            for cell in cells
            for output in cell.get("outputs", [])
            if output.get("name") == "stderr"
        ], stage
    statistics = pd.read_csv(home / "data" / "runs" / "smoke" / "statistics.csv")
    assert list(statistics) == ["analysis", "statistic", "group", "term", "value"]
    paper = statistics.query("analysis == 'paper after' and group == 'method:size' and term == 'F'")
    assert paper["value"].item() == pytest.approx(18.5561408161327)


def test_again_reruns_nothing_and_one_figure_only_its_notebook(home, first):
    assert ran(make(home)) == []
    (home / "figures" / "smoke" / "revision_changes.png").unlink()
    assert ran(make(home)) == ["02_critique_revision"]
    assert (home / "figures" / "smoke" / "revision_changes.png").is_file()


def test_killed_twice_in_mid_run_it_goes_on_to_the_same_tables(home, first, tmp_path):
    """kill -9 once texts are being written, again once a student is trained, then to the end."""
    shutil.copytree(home / "data" / "models", tmp_path / "data" / "models")
    for stage, mark in (
        ("01_generation", "texts/explanation-*/shard-*"),
        ("03_training", "runs/smoke/03_training/students/[!.]*"),
    ):
        process = subprocess.Popen(
            ["make", "03", "PROFILE=smoke"],
            cwd=ROOT,
            text=True,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 300
        while (
            not [*(tmp_path / "data").glob(mark)]
            and process.poll() is None
            and time.monotonic() < end
        ):
            time.sleep(0.05)
        assert process.poll() is None, "it was to be killed in mid-run"
        subprocess.run(["pkill", "-9", "-s", str(os.getsid(process.pid))], check=False)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "data/runs/smoke/notebooks" / f"{stage}.ipynb").exists()
    make(tmp_path, "03")
    assert tables(tmp_path) == tables(home)
