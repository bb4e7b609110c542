"""Google Colab, played by a stub: a notebook alone in an empty folder gets all that it needs."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from lib.runner import run

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/owner/name"
AT = f"{ADDRESS}/tree/v1"
STUB = {
    "google/colab/__init__.py": "",
    "google/colab/drive.py": "from pathlib import Path\n\n\ndef mount(path):\n"
    "    (Path(path) / 'MyDrive').mkdir(parents=True, exist_ok=True)\n",
    "sitecustomize.py": "import google.colab\n",
}  # Colab's kernel is a part of it
NO_GPU = "No GPU here (Runtime > Change runtime type offers a T4); profile {}\n"


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """``content``: a folder like Colab's /content with a published notebook and nothing else.

    ``environment``: variables under which Python is on Colab and git finds the working tree, at
    tag v1, at ``ADDRESS``.
    """
    base = tmp_path_factory.mktemp("colab")
    origin, content = base / "origin", base / "content"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # else removed, not yet committed
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, origin / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", "v1"]):
        subprocess.run([*git, *command], cwd=origin, check=True, capture_output=True)
    page = (ROOT / "notebooks/COLAB.md").read_text(encoding="utf-8")
    (sed,) = re.findall(r"^sed -i .*", page, re.M)
    remote = ["git", "remote", "add", "origin", "git@github.com:owner/name.git"]
    subprocess.run(remote, cwd=origin, check=True)
    subprocess.run(["bash", "-ec", sed], cwd=origin, check=True)
    content.mkdir()
    (base / "lib").mkdir()  # on Colab ../lib is /lib
    shutil.copy(origin / "notebooks/01_generation.ipynb", content)
    for name, text in STUB.items():
        (base / "stub" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "stub" / name).write_text(text, encoding="utf-8")
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HONEY", "GIT", "MAKE", "MFLAGS", "PYTHONPATH"))
    }
    return SimpleNamespace(
        origin=origin,
        content=content,
        environment=clean
        | {
            "HONEY_REPOSITORY": AT,
            "PYTHONPATH": str(base / "stub"),
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
        },
    )


def code_cells(notebook: Path) -> list[str]:
    nb = nbformat.read(notebook, as_version=nbformat.NO_CONVERT)
    return [cell.source for cell in nb.cells if cell.cell_type == "code"]


def enter(code: str, folder: Path, environment: dict, profile: str = "cpu", typed: str = ""):
    """Run the door alone; prints, last, the profile that the next cell has."""
    script = f"profile = {profile!r}\n{code}\nprint(profile)"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        input=typed,
        encoding="utf-8",
        capture_output=True,
    )


def test_one_line_writes_links_into_the_table(colab):
    for notebook in sorted((colab.origin / "notebooks").glob("*.ipynb")):
        link = (
            f"https://colab.research.google.com/github/owner/name/blob/v1/notebooks/{notebook.name}"
        )
        assert f"({link})" in (colab.origin / "README.md").read_text(encoding="utf-8")


def test_elsewhere_the_door_does_nothing(colab, tmp_path):
    environment = {key: value for key, value in colab.environment.items() if key != "PYTHONPATH"}
    done = enter(code_cells(colab.content / "01_generation.ipynb")[1], tmp_path, environment)
    assert (done.stdout, done.stderr) == ("cpu\n", "") and list(tmp_path.iterdir()) == []


def test_the_door_clones_once(colab, tmp_path):
    door = code_cells(colab.content / "01_generation.ipynb")[1]
    done = enter(door, tmp_path, colab.environment)
    assert (done.stdout, done.stderr) == (NO_GPU.format("cpu") + "cpu\n", "")
    (tmp_path / "honey" / "mine").write_text("kept", encoding="utf-8")
    done = enter(door, tmp_path, colab.environment, "smoke")  # after a restart, another profile
    assert (done.stdout, done.stderr) == (NO_GPU.format("smoke") + "smoke\n", "")
    assert (tmp_path / "honey" / "mine").read_text(encoding="utf-8") == "kept"


def test_colab_is_asked_where_it_opened_the_notebook_and_else_the_reader(colab, tmp_path):
    """Colab's Jupyter server, played on a loopback address of its own."""
    door = code_cells(colab.content / "01_generation.ipynb")[1]
    opened = f"fileId={ADDRESS}/blob/v1/notebooks/01_generation.ipynb".replace(":", "%3A")

    class Sessions(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/api/sessions"
            self.send_response(200)
            self.end_headers()
            session = {"name": "01_generation.ipynb", "path": self.server.opened}
            self.wfile.write(json.dumps([session]).encode())

        def log_message(self, *_):
            pass

    unknown = colab.environment | {"HONEY_REPOSITORY": "", "COLAB_JUPYTER_IP": "127.0.0.77"}
    with http.server.ThreadingHTTPServer(("127.0.0.77", 9000), Sessions) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        for number, service.opened in enumerate((opened, "fileId=1a_B")):
            (folder := tmp_path / str(number)).mkdir()
            done = enter(door, folder, unknown, typed=f"{ADDRESS}\n")
            asked = "Address of this repository (https://github.com/owner/name): "
            assert (done.stderr, done.stdout) == (
                "",
                f"{asked * number}{NO_GPU.format('cpu')}cpu\n",
            )
            git = ["git", "-C", str(folder / "honey"), "rev-parse", "--abbrev-ref", "HEAD"]
            head = subprocess.run(git, capture_output=True, encoding="utf-8").stdout.strip()
            assert (head == "HEAD") == (number == 0)  # at the tag, else on a branch
        service.shutdown()
    done = enter(door, tmp_path, unknown, typed=f"{AT}\n")  # no server answers
    assert done.stdout == f"{asked}{NO_GPU.format('cpu')}cpu\n"


@pytest.mark.parametrize(
    ("at", "words"),
    [(f"{ADDRESS}/tree/v9", "v9 not found"), ("file:///nowhere", "'/nowhere' does not")],
)
def test_what_cannot_be_cloned_is_said(colab, tmp_path, at, words):
    door = code_cells(colab.content / "01_generation.ipynb")[1]
    done = enter(door, tmp_path, colab.environment | {"HONEY_REPOSITORY": at})
    assert done.returncode == 1 and words in done.stderr and "clone" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_notebook_runs_from_itself_alone_and_keeps_its_results_on_drive(colab, monkeypatch):
    nb = nbformat.read(colab.content / "01_generation.ipynb", as_version=4)
    parameters, door, *_ = (cell for cell in nb.cells if cell.cell_type == "code")
    parameters.source = parameters.source.replace('profile = "cpu"', 'profile = "smoke"')
    door.source = door.source.replace("drive=False)", "drive=True)")
    for name in set(os.environ) - set(colab.environment):
        monkeypatch.delenv(name)
    for name, value in colab.environment.items():
        monkeypatch.setenv(name, value)
    NotebookClient(
        nb,
        kernel_name="python3",
        kernel_manager_class=run.ThisPython,
        resources={"metadata": {"path": str(colab.content)}},
    ).execute()
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    home = colab.content / "drive/MyDrive/honey"
    assert f"data/ and figures/ are kept in {home}\n{NO_GPU.format('smoke')}" in printed
    assert "Installing" not in printed
    assert (home / "data/runs/smoke/01_generation/statistics.csv").is_file()
    assert not (home / "data/models").exists()  # on the machine: they can be downloaded again
