"""The Makefile in a small copy of the project, with blanks in its paths: what it runs and says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lib.setup import install

ROOT = Path(__file__).resolve().parents[2]
TARGETS = [
    "help", "setup", "doctor", "reproduce", "train", "plan", "test", "bench", "gpu",
    "figures", "results", "data", "ask", "survey", "study", "report", "lab", "new",
    "compare", "clean",
]  # fmt: skip


class Project:
    """A copy of the Makefile and lib with notebooks of its own, in an environment that is ready."""

    def __init__(self, root: Path):
        self.root, self.home = root / "the project", root / "it's a $home (2)"
        for folder in ("lib", "data/minicqa", "data/published"):
            ignored = shutil.ignore_patterns("*.pyc.*")  # half-written by a process beside us
            shutil.copytree(ROOT / folder, self.root / folder, ignore=ignored)
        (self.root / "notebooks/profiles").mkdir(parents=True)
        for name in ("Makefile", "notebooks/profiles/smoke.yaml", "notebooks/profiles/cpu.yaml"):
            shutil.copy(ROOT / name, self.root / name)
        self.environment = root / "it's an environment (2)"
        (self.environment / "bin").mkdir(parents=True)
        (self.environment / "honey.stamp").write_text(install.digest(), encoding="utf-8")
        python = self.environment / "bin/python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)

    def notebook(self, name: str, *cells: str) -> None:
        """Write notebooks/NAME.ipynb."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nb = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        parameters = 'profile = "cpu"\nown_ratings = ""'
        nb.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        nb.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nb, self.root / f"notebooks/{name}.ipynb")

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run make in the project."""
        mine = {"PYTHON", "HONEY_HOME", "WHAT", "PROFILE", "PROFILES"}
        mine |= {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        environment = {key: value for key, value in os.environ.items() if key not in mine}
        environment |= {"VIRTUAL_ENV": str(self.environment), **variables}
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env=environment,
            encoding="utf-8",
            capture_output=True,
        )


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_help_lists_targets_and_profiles(project):
    done = project.make()
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert names == [*TARGETS, "00", "cpu", "smoke"]
    assert all(len(line.split(maxsplit=1)) == 2 for line in done.stdout.splitlines())
    assert done.stdout == project.make("help").stdout


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            "reproduce PROFILE=smok",
            "There is no profile 'smok' in notebooks/profiles; did you mean",
        ),
        ("clean PROFILE=", "There is no profile '' in notebooks/profiles"),
        ("clean PROFILE=../runs", "There is no profile '../runs' in notebooks/profiles"),
        ("bench WHAT=x", "There is no benchmark 'x'; WHAT is all or one of: "),
        ("study", "Name the folder of answer files: make study RATINGS=data/raw/answers"),
        ("04", "There is no notebook '04' in notebooks; there are"),
    ],
)
def test_a_wrong_command_is_one_sentence(project, arguments, sentence):
    project.notebook("05_human_study", "1/0")
    done = project.make(*arguments.split())
    assert done.returncode == 2 and sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.root / "data/runs").exists()


def test_a_wrong_profile_stops_before_any_notebook(project):
    project.notebook("05_human_study", "1/0")
    with open(project.root / "notebooks/profiles/smoke.yaml", "a", encoding="utf-8") as file:
        file.write("sed: 1\n")
    for goal in ("plan", "reproduce", "05"):
        done = project.make(goal, "PROFILE=smoke")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[0] == (
            "notebooks/profiles/smoke.yaml: unknown key 'sed'; did you mean 'seed'?"
        )


def test_home_is_found_however_it_is_given(project):
    """As a variable of make or of the shell, absolute or not, with blanks."""
    project.notebook(
        "05_human_study", "import os\nsay = print\nsay('at', os.environ['HONEY_HOME'])"
    )
    done = project.make("05", "PROFILE=smoke", f"HONEY_HOME={project.home}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"at {project.home}\n" in done.stdout

    def planned(*arguments, **variables):
        done = project.make("plan", "PROFILE=smoke", *arguments, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = (line for line in done.stdout.splitlines() if stage in line)
        return line.split(maxsplit=1)

    stage = "05_human_study"
    assert planned(f"HONEY_HOME={project.home}") == [stage, "up to date"]
    assert planned(HONEY_HOME=str(project.home)) == [stage, "up to date"]
    assert planned(f"HONEY_HOME=../{project.home.name}") == [stage, "up to date"]
    assert planned() == [stage, "runs: not run yet, or not to its end (about 1 min)"]


ODD = "it's a $name (2)"


@pytest.mark.parametrize(
    "goal, value, sentence",
    [
        ("study", f"RATINGS={ODD}", f"{ODD}: no such folder or file"),
        ("survey", 'OPTIONS=--consent "it\'s (2)"', "no consent text it's (2)"),
        ("plan", f"PROFILE={ODD}", f"no profile '{ODD}' in"),
        ("clean", f"PROFILE={ODD}", f"no profile '{ODD}' in"),
        ("data", "NAMES=it's", "no published 'it's'"),
        ("new", f"NAME={ODD}", f"NAME={ODD} cannot name a profile"),
        ("ask", f"FILE={ODD}", f"no file {ODD};"),
        ("compare", "WITH=it's", "no profile 'it's' in"),
        ("plan", f"PROFILES={ODD}", f"{ODD} is no folder"),
    ],
)
def test_any_name_reaches_its_command_whole(project, goal, value, sentence):
    done = project.make(goal, "PROFILE=smoke", value)
    assert done.returncode == 2 and sentence in done.stderr + done.stdout


def test_profiles_of_ones_own_are_found(project):
    """In a folder outside the repository, absolute or not, by make and in a notebook."""
    folder = project.home / "profiles"
    folder.mkdir(parents=True)
    done = project.make("new", "NAME=mine", "FROM=smoke", f"PROFILES={folder}")
    assert done.stdout.splitlines()[0] == f"Profile:  {folder}/mine.yaml", done.stderr
    shown = project.make("help", f"PROFILES={folder}")
    assert shown.stdout.splitlines()[-1].split()[:3] == ["mine", "-", "smoke,"] and not shown.stderr
    project.notebook(
        "05_human_study",
        "import sys\nsys.path.insert(0, '..')\nfrom lib.common import profile\nsay = print",
        "say('extends', profile.ancestors('mine'))",
    )
    relative = f"../{project.home.name}/profiles"
    done = project.make("05", "PROFILE=mine", PROFILES=relative)
    assert "extends ['smoke']\n" in done.stdout, done.stderr
    assert project.make("clean", "PROFILE=mine").returncode == 2
    done = project.make("clean", "PROFILE=mine", PROFILES=relative)
    assert done.stdout.startswith("Removed data/runs/mine") and (folder / "mine.yaml").is_file()


def test_figures_are_of_one_profile_only_where_it_is_named(project):
    for given, named in (({}, False), ({"PROFILE": "cpu"}, True)):
        shown = project.make("-n", "figures", **given).stdout
        assert ('figures "$PROFILE"' in shown) == named
    assert 'figures "$PROFILE"' in project.make("-n", "figures", "PROFILE=cpu").stdout


LEFT = {  # by a launcher, a container, modules of a cluster, a hook of git, a user's own settings
    "RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "ACCELERATE_MIXED_PRECISION": "bf16",
    "OMPI_COMM_WORLD_SIZE": "4", "NVIDIA_TF32_OVERRIDE": "1", "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "PYTHONPATH": "{}", "PYTHONSTARTUP": "{}/start.py", "PYTHONSAFEPATH": "1",
    "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "latin-1", "GIT_DIR": "{}", "CDPATH": "{}",
}  # fmt: skip
KEPT = {
    "CUDA_VISIBLE_DEVICES": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HOME": "{}",
    "HTTP_PROXY": "http://p",
}
REPLACED = {
    "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONHASHSEED": "7",
    "MATPLOTLIBRC": "{}", "MPLBACKEND": "no", "IPYTHONDIR": "{}", "no_proxy": "example.org",
}  # fmt: skip


def test_what_the_environment_holds_is_kept_or_left_behind_on_purpose(project, tmp_path):
    place = tmp_path / "left behind"
    (place / "profile_default/startup").mkdir(parents=True)
    for name in ("start.py", "json.py", "profile_default/startup/a.py"):
        (place / name).write_text("raise SystemExit('a file of the user')", encoding="utf-8")
    (place / "matplotlibrc").write_bytes(b"font.family: \xff\n")
    given = {name: value.format(place) for name, value in {**LEFT, **KEPT, **REPLACED}.items()}
    project.notebook(
        "05_human_study",
        "import json, os, sys\nimport matplotlib.pyplot as plt\nsay = print  # as lib does",
        f"say({set(LEFT)} & set(os.environ), sys.flags.utf8_mode, '\u2192')",
        f"say([os.environ[name] for name in {list(KEPT)}], os.environ['no_proxy'])",
    )
    done = project.make("05", "PROFILE=smoke", f"HONEY_HOME={project.home}", **given)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set() 1 \u2192\n" in done.stdout
    assert f"{[given[name] for name in KEPT]} example.org,localhost,127.0.0.1\n" in done.stdout


def test_bench_runs_one_or_all(project):
    folder = project.root / "tests/bench"
    folder.mkdir(parents=True)
    for name in ("memory", "speed"):
        (folder / f"bench_{name}.py").write_text(f"print('{name}')", encoding="utf-8")
    assert project.make("bench", "WHAT=speed").stdout == "speed\n"
    assert sorted(project.make("bench").stdout.split()) == ["memory", "speed"]


def test_clean_removes_one_profiles_products(project):
    for home in (project.root, project.home):
        for path in ("data/runs/cpu", "data/runs/smoke/01", "figures/cpu", "figures/smoke"):
            (home / path).mkdir(parents=True)
    done = project.make("clean", "PROFILE=smoke", f"HONEY_HOME={project.home}")
    assert done.stdout == (
        "Removed data/runs/smoke and figures/smoke; the teacher's texts stay in data/texts.\n"
    )
    for folder in ("data/runs", "figures"):
        assert [path.name for path in (project.home / folder).iterdir()] == ["cpu"]
        assert len([*(project.root / folder).iterdir()]) == 2
