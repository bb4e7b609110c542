"""Google Colab, played by a stub: a notebook alone in an empty folder gets all that it needs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from lib.runner import run

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/honey"
STAGES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
RUN = [stage for stage in STAGES if stage != "05_human_study"]
STUB = {
    "google/colab/__init__.py": "",
    "google/colab/drive.py": "from pathlib import Path\n\n\ndef mount(path):\n"
    "    (Path(path) / 'MyDrive').mkdir(parents=True, exist_ok=True)\n",
    "sitecustomize.py": "import google.colab\n",
}  # Colab's kernel is a part of it


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """``content``: a folder like Colab's /content with the notebooks of a tag and nothing else.

    ``environment``: variables under which Python is on Colab and git finds the working tree, at
    tag v1, at ``ADDRESS``.
    """
    base = tmp_path_factory.mktemp("colab")
    origin, content = base / "origin", base / "content"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # else removed, not yet committed
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, origin / name)
    subprocess.run(
        [sys.executable, "-m", "lib.badges", "someone/honey", "v1"],
        cwd=origin,
        check=True,
        capture_output=True,
    )
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", "v1"]):
        subprocess.run([*git, *command], cwd=origin, check=True, capture_output=True)
    content.mkdir()
    (base / "lib").mkdir()  # on Colab ../lib is /lib
    for path in (origin / "notebooks").glob("*.ipynb"):
        shutil.copy(path, content)
    for name, text in STUB.items():
        (base / "stub" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "stub" / name).write_text(text)
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HONEY", "GIT", "MAKE", "MFLAGS", "PYTHONPATH"))
    }
    return SimpleNamespace(
        base=base,
        content=content,
        environment=clean
        | {
            "PYTHONPATH": str(base / "stub"),
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
        },
    )


def door(notebook: Path) -> str:
    """The code cell after the parameters."""
    nb = nbformat.read(notebook, as_version=nbformat.NO_CONVERT)
    return [cell.source for cell in nb.cells if cell.cell_type == "code"][1]


def enter(code: str, folder: Path, environment: dict, profile: str = "cpu"):
    """Run the door alone; prints, last, the folder and the profile that the next cell has."""
    script = f"profile = {profile!r}\n{code}\nprint(os.getcwd(), profile)"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, text=True, capture_output=True
    )


@pytest.fixture
def empty(tmp_path):
    """An empty folder like /content beside one that is called lib."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


@pytest.mark.parametrize("stage", STAGES)
def test_elsewhere_the_door_does_nothing(colab, empty, stage):
    environment = {key: value for key, value in colab.environment.items() if key != "PYTHONPATH"}
    for folder in (empty, ROOT / "notebooks"):
        done = enter(door(colab.content / f"{stage}.ipynb"), folder, environment)
        assert (done.stdout, done.stderr) == (f"{folder} cpu\n", "")
    assert list(empty.iterdir()) == []


def test_the_door_clones_once_and_takes_the_profile_of_the_gpu(colab, empty, tmp_path):
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\necho Tesla T4, 15360 MiB, 7.5, 535\n")
    smi.chmod(0o755)
    environment = colab.environment | {"PATH": f"{smi.parent}:{os.environ['PATH']}"}
    code = door(colab.content / "01_generation.ipynb")
    line = (
        "Tesla T4, 16 GB, no bf16: the 4-bit teacher computes in fp16, students train in "
        "float32; profile {0}\n{1} {0}\n"
    )
    done = enter(code, empty, environment)
    assert (done.stdout, done.stderr) == (line.format("colab", empty / "honey/notebooks"), "")
    (empty / "honey" / "mine").write_text("kept")
    done = enter(code, empty, environment, "smoke")  # after a restart, and with another profile
    assert (done.stdout, done.stderr) == (line.format("smoke", empty / "honey/notebooks"), "")
    done = enter(code, empty / "honey/notebooks", environment)  # the cell alone, once more
    assert (done.stdout, done.stderr) == (line.format("colab", empty / "honey/notebooks"), "")
    assert (empty / "honey" / "mine").read_text() == "kept"


@pytest.mark.parametrize(
    "url, tag, sentences",
    [
        ("", "", ["No address to clone: `make badges` was not run.\n"]),
        (
            ADDRESS,
            "v9",
            [f"{ADDRESS} at v9 was not cloned; check tag and network: ", "v9 not found"],
        ),
        (
            "file:///nowhere",
            "v1",
            ["file:///nowhere at v1 was not cloned; ", "'/nowhere' does not"],
        ),
    ],
)
def test_what_cannot_be_cloned_is_said(colab, empty, url, tag, sentences):
    code, count = re.subn(
        '^url, tag = "[^"]*", "[^"]*"',
        f'url, tag = "{url}", "{tag}"',
        door(colab.content / "01_generation.ipynb"),
        flags=re.M,
    )
    done = enter(code, empty, colab.environment)
    assert (count, done.returncode, done.stdout) == (1, 1, "")
    assert done.stderr.startswith(sentences[0]) and sentences[-1] in done.stderr
    assert list(empty.iterdir()) == []


def execute(colab, notebook: Path) -> str:
    """Run a notebook top to bottom as a person does, without papermill, in /content with profile
    smoke; returns all that it printed."""
    nb = nbformat.read(notebook, as_version=4)
    parameters = next(cell for cell in nb.cells if cell.cell_type == "code")
    assert 'profile = "cpu"' in parameters.source
    parameters.source = parameters.source.replace('profile = "cpu"', 'profile = "smoke"')
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(colab.environment):
            patch.delenv(name)
        for name, value in colab.environment.items():
            patch.setenv(name, value)
        NotebookClient(
            nb,
            kernel_name="python3",
            kernel_manager_class=run.ThisPython,
            resources={"metadata": {"path": str(colab.content)}},
        ).execute()
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.fixture(scope="module")
def told(colab):
    """What each notebook printed, run in order (without 05, which needs no other); each has its own
    Python."""
    return {stage: execute(colab, colab.content / f"{stage}.ipynb") for stage in RUN}


@pytest.mark.slow
def test_all_notebooks_run_from_themselves_alone(colab, told):
    for stage in RUN:
        assert "profile smoke\n" in told[stage] and "Installing" not in told[stage]
    assert {path.name for path in colab.content.iterdir()} == {
        "honey",
        *(f"{stage}.ipynb" for stage in STAGES),
    }
    made = colab.content / "honey/data/runs/smoke"
    assert {path.parent.name for path in made.glob("*/statistics.csv")} == set(RUN)
    assert len(list(made.glob("03_training/students/*/student.json"))) == 16
    figures = {path.stem for path in (colab.content / "honey/figures/smoke").glob("*.png")}
    assert {
        "text_lengths",
        "revision_changes",
        "loss_curves",
        "student_accuracy",
        "tradeoff",
    } <= figures


@pytest.mark.slow
def test_again_nothing_that_is_finished_is_made_again(colab, told):
    data = colab.content / "honey/data"
    finished = [
        *data.glob("models/*/*"),
        *data.glob("texts/*/shard-*"),
        *data.glob("runs/smoke/03_training/students/*/*"),
    ]
    times = {path: path.stat().st_mtime_ns for path in finished}
    assert len(times) > 40
    execute(colab, colab.content / "03_training.ipynb")
    assert {path: path.stat().st_mtime_ns for path in finished} == times


@pytest.mark.slow
def test_on_drive_results_are_kept_outside_the_clone(colab, told):
    notebook = colab.base / "01_generation.ipynb"
    text = (colab.content / notebook.name).read_text()
    assert text.count("drive=False)") == 1
    notebook.write_text(text.replace("drive=False)", "drive=True)"))
    printed = execute(colab, notebook)
    home = colab.content / "drive/MyDrive/honey"
    assert f"data/ and figures/ are kept in {home}\n" in printed
    assert (home / "data/runs/smoke/01_generation/statistics.csv").is_file()
    assert (home / "figures/smoke/text_lengths.png").is_file()
    assert not (home / "data/models").exists()  # on the machine: they can be downloaded again
    shutil.rmtree(colab.content / "honey/data/runs")
    shards = {path: path.stat().st_mtime_ns for path in home.glob("data/texts/*/shard-*")}
    execute(colab, notebook)  # another day, another machine, the same Drive
    assert shards and {path: path.stat().st_mtime_ns for path in shards} == shards
