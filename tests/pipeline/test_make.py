"""The Makefile in a small copy of the project: what it runs again, and what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lib.runner import depends
from lib.setup import install

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND, FIFTH = "01_generation", "02_critique_revision", "05_human_study"
OPEN = """import sys

sys.path.insert(0, "..")
from lib import store
from lib.common.stage import Stage
import pandas as pd

stage = Stage("{name}", profile)
print("opened", "{name}")"""
DRAW = """store.write_text(stage.figures / "{name}.png", "picture")
store.write_json(stage.figures / "{name}.json", stage.provenance(title="Of <{name}>"))"""


class Project:
    """A copy of the Makefile and lib with notebooks of its own, in an environment that is ready."""

    def __init__(self, root: Path):
        self.root = root
        (root / "notebooks/profiles").mkdir(parents=True)
        shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Makefile", "notebooks/profiles/smoke.yaml", "notebooks/profiles/cpu.yaml"):
            shutil.copy(ROOT / name, root / name)
        self.environment = root / "environment"
        (self.environment / "bin").mkdir(parents=True)
        (self.environment / "honey.stamp").write_text(install.digest())
        python = self.environment / "bin/python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def notebook(self, name: str, *cells: str) -> None:
        """Write notebooks/NAME.ipynb."""
        nb = nbformat.v4.new_notebook(
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            }
        )
        nb.cells = [
            nbformat.v4.new_markdown_cell(f"# Title of {name} & more"),
            nbformat.v4.new_code_cell('profile = "cpu"', metadata={"tags": ["parameters"]}),
        ]
        nb.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nb, self.root / f"notebooks/{name}.ipynb")

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run make in the project."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if key
            not in ("PYTHON", "HONEY_HOME", "PROFILE", "WHAT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
        }
        environment |= {"VIRTUAL_ENV": str(self.environment), **variables}
        return subprocess.run(
            ["make", *arguments], cwd=self.root, env=environment, text=True, capture_output=True
        )

    def dry_run(self) -> list[str]:
        """Numbers of the notebooks that make -n reproduce names."""
        done = self.make("-n", "reproduce", "PROFILE=smoke")
        assert done.returncode == 0, done.stderr
        return re.findall(r"-m lib\.run (\d\d)_", done.stdout)

    def plan(self) -> dict[str, str]:
        """Number -> what the plan says of that notebook, if it is not up to date."""
        done = subprocess.run(
            [sys.executable, "-I", "lib/runner/depends.py", "smoke", "--plan"],
            cwd=self.root,
            text=True,
            capture_output=True,
            check=True,
        )
        states = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        assert len(states) == 6
        return {name[:2]: state for name, state in states if state != "up to date"}

    def pretend(self, *names: str, time: int) -> None:
        """Leave what a run of these notebooks at this time would have left."""
        for name in names:
            made = self.root / f"data/runs/smoke/{name}/t.csv"
            record = self.root / f"data/runs/smoke/stages/{name}.json"
            executed = self.root / f"data/runs/smoke/notebooks/{name}.ipynb"
            figure = self.root / f"figures/smoke/{name}.png"
            for path in (made, record, executed, figure):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x")
            record.write_text(
                json.dumps(
                    {
                        "tables": {f"data/runs/smoke/{name}/t.csv": ""},
                        "shown": {f"figures/smoke/{name}.png": ""},
                    }
                )
            )
            for path in (record, executed):
                os.utime(path, (time, time))


@pytest.fixture
def project(tmp_path):
    """An empty small project."""
    return Project(tmp_path / "project")


@pytest.fixture
def done(project):
    """A project of six notebooks that have all been run; every file of it is older than that."""
    for name in (FIRST, SECOND, "03_training", "04_evaluation", FIFTH, "06_tradeoff"):
        module = {"0": "texts", "1": "texts", "4": "people"}.get(str(int(name[:2]) - 1), "common")
        project.notebook(name, f"from lib import {module}")
    lib = project.root / "lib"
    (lib / "common.py").write_text("")
    (lib / "texts.py").write_text(
        "def f():\n    import lib.deep\n\nfrom lib.common.paths import PROMPTS\n"
    )
    (lib / "deep.py").write_text("from lib import common\n")
    (lib / "people.py").write_text("RESULTS  # shows page.html\n")
    for name in (
        "minicqa/train.jsonl",
        "results/table.csv",
        "results/README.md",
        "models/table.csv",
    ):
        (project.root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / "data" / name).write_text("")
    (lib / "page.html").write_text("")
    for path in project.root.rglob("*"):
        os.utime(path, (1000, 1000))
    project.pretend(FIRST, SECOND, "03_training", "04_evaluation", FIFTH, "06_tradeoff", time=2000)
    return project


def test_nothing_is_run_twice(done):
    assert (done.dry_run(), done.plan()) == ([], {})


@pytest.mark.parametrize(
    "path, numbers, perhaps",
    [
        ("lib/deep.py", ["01", "02"], ["03", "04", "06"]),
        ("lib/common.py", ["01", "02", "03", "04", "06"], []),
        ("lib/people.py", ["05"], ["06"]),
        ("lib/page.html", ["05"], ["06"]),
        ("lib/prompts/common.yaml", ["01", "02"], ["03", "04", "06"]),
        ("data/minicqa/train.jsonl", ["01", "02", "03", "04"], ["06"]),
        ("data/results/table.csv", ["05"], ["06"]),
        ("data/results/README.md", [], []),
        ("data/models/table.csv", [], []),
        ("lib/students/train.py", [], []),
        ("notebooks/04_evaluation.ipynb", ["04"], ["06"]),
        ("notebooks/profiles/smoke.yaml", ["01", "02", "03", "04", "05", "06"], []),
        ("notebooks/profiles/cpu.yaml", [], []),
        ("data/runs/smoke/stages/01_generation.json", ["02", "03"], ["04", "06"]),
    ],
)
def test_a_changed_input_makes_its_notebooks_out_of_date(done, path, numbers, perhaps):
    os.utime(done.root / path, (3000, 3000))
    plan = done.plan()
    assert [number for number, state in plan.items() if state == f"runs: {path} changed"] == numbers
    assert [
        number for number, state in plan.items() if state.startswith("runs if the tables of ")
    ] == perhaps
    if path.startswith("notebooks/04"):
        assert done.dry_run() == sorted(plan)  # make's own reading of the same files


@pytest.mark.parametrize(
    "path, number, perhaps",
    [
        ("figures/smoke/01_generation.png", "01", ["02", "03", "04", "06"]),
        ("data/runs/smoke/04_evaluation/t.csv", "04", ["06"]),
        ("data/runs/smoke/stages/05_human_study.json", "05", ["06"]),
        ("data/runs/smoke/notebooks/05_human_study.ipynb", "05", ["06"]),
    ],
)
def test_a_missing_output_makes_its_notebook_out_of_date(done, path, number, perhaps):
    (done.root / path).unlink()
    plan = done.plan()
    assert plan.pop(number) == (
        "runs: not run yet" if path.endswith("ipynb") else f"runs: {path} is missing"
    )
    assert list(plan) == perhaps and all(state.startswith("runs if") for state in plan.values())
    assert done.dry_run() == sorted([number, *perhaps])


def test_raw_data_that_appears_makes_its_readers_out_of_date(done):
    (done.root / "lib/people.py").write_text("RESULTS  # shows page.html and study.csv\n")
    os.utime(done.root / "lib/people.py", (1000, 1000))
    raw = done.root / "data/raw"
    raw.mkdir()
    for name in ("study.csv", "other.csv"):
        (raw / name).write_text("")
    assert done.plan()["05"] == "runs: data/raw/study.csv changed"
    assert "04" not in done.plan()


QUESTIONS = ["01", "02", "03", "04"]


@pytest.mark.parametrize(
    "profile, prompts, path, numbers",
    [
        # questions of a task's own file, of a folder, with a name that Make could not read, and plain
        (
            "task: {name: claims}",
            'task:\n  files: "data/raw/claims/{split}.jsonl"  # mine',
            "data/raw/claims/train.jsonl",
            QUESTIONS,
        ),
        (
            "task: {name: claims}",
            "task: {files: 'data/raw/claims/{split}.jsonl', reader: esnli}",
            "data/raw/claims/dev.jsonl",
            QUESTIONS,
        ),
        (
            "task:\n  name: claims  # mine",
            "task:\n  files: data/raw/{split}/a.jsonl  # mine",
            "data/raw/test/a.jsonl",
            QUESTIONS,
        ),
        ('task: {name: esnli, source: "folder:HERE/own"}', "", "own/test.jsonl", QUESTIONS),
        ('task: {name: esnli, source: "folder:HERE/a: b$c"}', "", "a: b$c/train.jsonl", QUESTIONS),
        ("task: {name: esnli, source: folder:own}", "", "own/dev.jsonl", QUESTIONS),
        (
            "evaluation:\n  also:\n  - {name: claims}",
            "task: {files: 'own/{split}.jsonl'}",
            "own/test.jsonl",
            ["04"],
        ),
        # local models: the teacher is also the reader
        ('teacher:\n  model: "local:HERE/big"', "", "big/config.json", ["01", "02", "04"]),
        (
            'students:\n- {size: 1M, model: "local:HERE/small one", lora_rank: 4}',
            "",
            "small one/model.safetensors",
            ["03"],
        ),
        ("students:\n  - size: 1M\n    model: local:HERE/small", "", "small/config.json", ["03"]),
        (
            "evaluation: {reader: 'local:HERE/small', explained: 4}",
            "",
            "small/a.safetensors",
            ["04"],
        ),
        # no file of this run
        ("task: {name: esnli}", "task: {files: 'own/{split}.jsonl'}", "own/test.jsonl", []),
        ("# model: local:HERE/small", "", "small/config.json", []),
        ('task: {name: esnli, source: "folder:HERE/own"}', "", "own/other.jsonl", []),
    ],
)
def test_ones_own_questions_and_models_make_their_readers_out_of_date(
    done, profile, prompts, path, numbers
):
    own, settings = done.root / path, done.root / "notebooks/profiles/smoke.yaml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("1")
    settings.write_text("name: smoke\nextends: mine\n")
    mine = settings.with_name("mine.yaml")
    mine.write_text("name: mine\n" + profile.replace("HERE", str(done.root)) + "\nseeds: [0]\n")
    task = done.root / "lib/prompts/claims.yaml"
    task.write_text(prompts)
    for file in (own, settings, mine, task):
        os.utime(file, (1000, 1000))
    done.pretend(*names(done), time=2000)
    assert (done.dry_run(), done.plan()) == ([], {})
    os.utime(own, (3000, 3000))
    plan = done.plan()
    told = [number for number, state in plan.items() if state.startswith("runs: ")]
    assert told == numbers
    assert all(plan[number].endswith(f"{path} changed") for number in told)
    assert done.dry_run() == sorted(plan)  # make's own reading of the same files


def names(project: Project) -> list[str]:
    return [path.stem for path in sorted((project.root / "notebooks").glob("*.ipynb"))]


def test_a_study_of_ones_own_is_said_to_be_analysed_again(done):
    """lib.runner.run sets the time of what ran with other parameters, as in `make study`, to 0."""
    os.utime(done.root / f"data/runs/smoke/notebooks/{FIFTH}.ipynb", (2000, 0))
    assert done.plan() == {
        "05": "runs: it last ran with other parameters",
        "06": "runs if the tables of 05 come out different",
    }
    assert done.dry_run() == ["05", "06"]


def test_closure_follows_imports_of_every_form(project, monkeypatch):
    lib = project.root / "lib"
    for path in lib.glob("*.py"):
        path.unlink()
    for name, text in {
        "__init__": "",
        "a": "from lib.b import f",
        "d": "",
        "e": "broken(",
        "b": "def f():\n    from lib import c",
        "c": "import lib.a, os",
    }.items():
        (lib / f"{name}.py").write_text(text)
    monkeypatch.chdir(project.root)
    sources = depends.Sources()
    three = {f"lib/{name}.py" for name in ("__init__", "a", "b", "c")}
    assert sources.closure("import lib.a") == three
    assert sources.closure("from lib import d, absent") == {"lib/__init__.py", "lib/d.py"}
    assert sources.closure("import json, library") == set()
    assert sources.closure("from lib import e") == three | {"lib/d.py", "lib/e.py"}
    project.notebook("01_a", "%matplotlib inline\nfrom lib import d\n!ls")
    code = depends.code_of("notebooks/01_a.ipynb")
    assert sources.closure(code) == {"lib/__init__.py", "lib/d.py"}


def test_settings_come_from_all_that_a_profile_extends_also_in_a_circle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("notebooks/profiles")
    folder.mkdir(parents=True)
    for name, text in {"a": "name: a\nextends: b-1\n", "b-1": "extends: 'a'\n", "c": ""}.items():
        (folder / f"{name}.yaml").write_text(text)
    assert depends.settings_of("a") == [str(folder / "a.yaml"), str(folder / "b-1.yaml")]
    assert depends.settings_of("c") == [str(folder / "c.yaml")] and depends.settings_of("d") == []


def test_stages_named_in_a_notebook_come_before_it(project, monkeypatch):
    for name, cell in ((FIRST, ""), (SECOND, ""), (FIFTH, f"stage.read_table('{FIRST}', 't')")):
        project.notebook(name, cell)
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("HONEY_HOME", raising=False)
    found = depends.graph("smoke", "data/runs/smoke")
    assert {name: before for name, (_, before, _) in found.items()} == {
        FIRST: [],
        SECOND: [FIRST],
        FIFTH: [FIRST],
    }


def test_help_lists_targets_and_profiles(project):
    done = project.make()
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert names[:-2] == [
        "help",
        "setup",
        "doctor",
        "reproduce",
        "train",
        "plan",
        "test",
        "bench",
        "figures",
        "results",
        "data",
        "survey",
        "study",
        "report",
        "lab",
        "badges",
        "clean",
        "01",
    ]
    assert names[-2:] == ["cpu", "smoke"]
    assert all(len(line.split(maxsplit=1)) == 2 for line in done.stdout.splitlines())
    assert done.stdout == project.make("help").stdout


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["reproduce", "PROFILE=smok"],
            "There is no profile 'smok' in notebooks/profiles; did you mean 'smoke'?",
        ),
        (
            ["plan", "PROFILE=x"],
            "There is no profile 'x' in notebooks/profiles; there are cpu, smoke",
        ),
        (
            ["clean", "PROFILE="],
            "There is no profile '' in notebooks/profiles; there are cpu, smoke",
        ),
        (
            ["clean", "PROFILE=../runs"],
            "There is no profile '../runs' in notebooks/profiles; there are cpu, smoke",
        ),
        (["bench", "WHAT=x"], "There is no benchmark 'x'; WHAT is all or one of: speed"),
    ],
)
def test_unknown_names_stop_before_anything_starts(project, arguments, sentence):
    for path in (project.root / "lib").glob("bench*"):
        path.unlink()
    (project.root / "lib/bench_speed.py").write_text("print('fast')")
    (project.environment / "honey.stamp").unlink()  # setup would install and say so
    done = project.make(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Makefile:\d+: \*\*\* (.*)\.  Stop\.\n", done.stderr)[1] == sentence
    assert not (project.root / "data").exists()


def test_a_wrong_profile_stops_before_any_notebook(project):
    project.notebook(FIRST, "1/0")
    with open(project.root / "notebooks/profiles/smoke.yaml", "a") as file:
        file.write("sed: 1\n")
    for goal in ("plan", "reproduce", "01"):
        done = project.make(goal, "PROFILE=smoke")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[0] == (
            "notebooks/profiles/smoke.yaml: unknown key 'sed'; did you mean 'seed'?"
        )


def test_bench_runs_one_or_all(project):
    for path in (project.root / "lib").glob("bench*"):
        path.unlink()
    for name in ("memory", "speed"):
        (project.root / f"lib/bench_{name}.py").write_text(f"print('{name}')")
    assert project.make("bench", "WHAT=speed").stdout == "speed\n"
    assert sorted(project.make("bench").stdout.split()) == ["memory", "speed"]


def test_clean_removes_one_profiles_products(done):
    for path in ("data/runs/cpu/t.csv", "figures/cpu/f.png"):
        (done.root / path).parent.mkdir(parents=True)
        (done.root / path).write_text("")
    cleaned = done.make("clean", "PROFILE=smoke")
    assert cleaned.stdout == (
        "Removing data/runs/smoke and figures/smoke; the teacher's texts stay in data/texts.\n"
    )
    assert [path.name for path in (done.root / "data/runs").iterdir() if path.is_dir()] == ["cpu"]
    assert [path.name for path in (done.root / "figures").iterdir()] == ["cpu"]


def test_home_with_a_space_is_refused(project, tmp_path):
    done = project.make("plan", HONEY_HOME=str(tmp_path / "a b"))
    assert done.returncode == 2 and "has a space, which make cannot handle" in done.stderr


def test_the_whole_way(project, tmp_path):
    """Real notebooks: run, run again, lose a figure, fail, change a table; then the report."""
    home = tmp_path / "home"
    shutil.copytree(ROOT / "data/minicqa", project.root / "data/minicqa")  # `make plan` counts them
    table = "stage.save_table('t', pd.DataFrame({{'a': [{}]}}))"

    def make(*arguments):
        done = project.make(*arguments, "PROFILE=smoke", HONEY_HOME=str(home))
        return done, re.findall(r"^(\d\d)_\w+ took", done.stdout, re.M)

    def write(name, *cells):
        project.notebook(name, OPEN.format(name=name), *cells, DRAW.format(name=name))

    write(FIRST, table.format(1))
    write(SECOND, f"n = len(stage.read_table('{FIRST}', 't'))", table.format("n"))
    write(FIFTH, "print('<b>bold</b>')")
    done, ran = make("reproduce")
    assert done.returncode == 0, done.stderr
    assert ran == ["01", "02", "05"]
    assert done.stdout.count("opened") == 3
    report = home / "data/runs/smoke/report/index.html"
    assert done.stdout.splitlines()[-2:] == [f"Figures: {home}/figures/smoke", f"Report:  {report}"]
    written = report.stat().st_mtime_ns

    done, ran = make("reproduce")
    assert (ran, done.stderr, len(done.stdout.splitlines())) == ([], "", 2)
    assert report.stat().st_mtime_ns == written

    (home / f"figures/smoke/{FIRST}.png").unlink()
    assert make("reproduce")[1] == ["01"]  # its table came out the same: 02 is not run
    assert (home / f"figures/smoke/{FIRST}.png").is_file()

    write(FIRST, table.format("1, 2"), "1/0")
    done, ran = make("reproduce")
    assert (done.returncode, ran) == (2, [])
    assert "ZeroDivisionError: division by zero" in done.stderr
    told = make("plan")[0]
    planned = [line for line in told.stdout.splitlines() if line.startswith(f"  {FIRST}")]
    assert planned, told.stderr
    assert planned[0].endswith(f"notebooks/{FIRST}.ipynb changed")
    assert make("report")[0].returncode == 0
    assert f"{FIRST} did not finish the last time" in report.read_text()
    write(FIRST, table.format("1, 2"))
    assert make("02")[1] == ["01", "02"]
    assert (home / f"data/runs/smoke/{SECOND}/t.csv").read_text() == "a\n2\n"
    assert make("reproduce")[1] == []

    page = report.read_text()
    assert "did not finish" not in page
    assert (
        f'<td><a href="{FIRST}.html">{FIRST}</a></td><td>Title of {FIRST} &amp; more</td>'
    ) in page
    assert f"<b>Of &lt;{FIRST}&gt;</b>" in page
    assert f'src="../../../../figures/smoke/{FIRST}.png"' in page
    assert (report.parent / f"../../../../figures/smoke/{FIRST}.png").resolve().is_file()
    assert "make reproduce PROFILE=smoke" in page
    shown = (report.parent / f"{FIFTH}.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown and "<b>bold" not in shown
    assert not re.search(r'(src|href)="https?:', page + shown)
