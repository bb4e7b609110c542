"""What is out of date: nothing after a run, and after each change what it must be, no more."""

import json
import re
import shutil

import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.runner import plan, stages

MODULES = {
    "common/files": "",
    "teacher/texts": "def f():\n    import lib.teacher.deep\n",
    "teacher/deep": "from lib.common import files\n",
    "students/grid": "from lib.common.files import f\n",
    "survey/page": "",
    "survey/page.html": "",
    "setup/colab": "",
    "unused/module": "",
}
IMPORTS = {
    "01_generation": "from lib.teacher import texts\nfrom lib.setup import colab",
    "02_critique_revision": "%matplotlib inline\nfrom lib.teacher.texts import f",
    "03_training": "import lib.students.grid as grid",
    "04_evaluation": "from lib.common import files",
    "05_human_study": "import json, library",
    "06_tradeoff": "",
    "07_own_study": "from lib.survey import page\n!ls",
}
TABLES = {
    "01_generation": ["explanations.parquet", "texts.csv"],
    "02_critique_revision": ["teacher.parquet"],
    "03_training": ["students.csv", "students/a/student.json", "students/a/history.csv"],
    "04_evaluation": ["predictions.parquet", "explanations.parquet", "students.csv", "letters.csv"],
    "05_human_study": ["findings.csv", "statistics.csv"],
    "06_tradeoff": ["points.csv"],
    "07_own_study": ["ratings.csv"],
}


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_notebook(name: str, code: str) -> None:
    write(
        paths.NOTEBOOKS / f"{name}.ipynb",
        json.dumps({"cells": [{"cell_type": "code", "metadata": {}, "source": [code]}]}),
    )


class Finished:
    """A small compendium whose stages have all been run; every number below is a notebook's."""

    def __init__(self, settings):
        self.settings = settings
        self.records = stages.Records(settings)

    def run(self, *names: str) -> None:
        """Leave what these notebooks would have left."""
        for name in names:
            for table in TABLES[name]:
                if not (self.records.run / name / table).is_file():
                    write(self.records.run / name / table)
            write(self.records.run / "notebooks" / f"{name}.ipynb")
            write(paths.FIGURES / f"smoke/{name}.png")
            record = {"notebook": f"notebooks/{name}.ipynb"}
            write(paths.FIGURES / f"smoke/{name}.json", json.dumps(record))
            write(self.records.run / "statistics.csv", name)
            self.records.write(name, self.records.inputs(name))

    def states(self) -> dict[str, str]:
        """Number -> state of those that are not up to date."""
        found = plan.states(self.settings)
        assert list(found) == list(stages.STAGES)
        return {name[:2]: state for name, state in found.items() if state != "up to date"}


@pytest.fixture
def settings():
    return profile.load("smoke")


@pytest.fixture
def empty(tmp_path, monkeypatch, settings):
    """The compendium before anything was run."""
    for folder in ("lib/prompts", "data/minicqa", "data/published", "data/measures"):
        shutil.copytree(paths.ROOT / folder, tmp_path / folder)
    places = {"ROOT": "", "LIB": "lib", "PROMPTS": "lib/prompts", "NOTEBOOKS": "notebooks"}
    places |= {"MINICQA": "data/minicqa", "BUILT": "built", "RUNS": "built/data/runs"}
    for name, folder in (places | {"FIGURES": "built/figures"}).items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    stages.imported.cache_clear()
    for name, text in MODULES.items():
        write(tmp_path / "lib" / (name if "." in name else f"{name}.py"), text)
    for name, code in IMPORTS.items():
        write_notebook(name, code)
    yield Finished(settings)
    stages.imported.cache_clear()


@pytest.fixture
def finished(empty):
    empty.run(*stages.STAGES)
    return empty


@pytest.mark.parametrize("stage", stages.STAGES)
def test_the_table_says_what_a_notebook_reads(stage):
    """Tables that its cells read; sections that its cells and modules ask of the profile."""
    notebook, row = stages.notebook(stage), stages.STAGES[stage]
    read = re.findall(r'read_table\(\s*"(\w+)", "(\w+)"', stages.code_of(notebook))
    named = {table.rpartition(".")[0] for table in row.tables.split()}
    if stage == "07_own_study":  # with ratings of one's own, where it is there
        read.remove(("04_evaluation", "explanations"))
    assert named - {"03_training/students/*/student"} == {"/".join(names) for names in read}
    used = set()
    for path in [notebook, *stages.modules(notebook)]:
        if path.parent.name != "common":
            names = re.findall(r"(?:settings|profile)\.(\w+)", stages.code_of(path))
            used |= {"training", "variants"} if "training_of" in names else set()
            used |= set(names) & set(profile.Profile.model_fields)
    assert used - {"name", "description", "needs"} == set(row.sections.split())


def test_nothing_is_run_twice_and_everything_at_first(empty):
    assert set(empty.states().values()) == {"runs: not run yet, or not to its end"}
    empty.run(*stages.STAGES)
    assert empty.states() == {}


@pytest.mark.parametrize(
    "path, runs, perhaps",
    [
        ("lib/teacher/deep.py", "01 02", "03 04 06"),
        ("lib/common/files.py", "01 02 03 04", "06"),
        ("lib/survey/page.html", "07", ""),
        ("lib/unused/module.py", "", ""),
        ("lib/setup/colab.py", "", ""),
        ("lib/prompts/common.yaml", "01 02 04", "03 06"),
        ("lib/prompts/minicqa_yesno.yaml", "04", "06"),
        ("lib/prompts/esnli.yaml", "", ""),
        ("data/minicqa/dev.jsonl", "01 02 03 04", "06"),
        ("data/published/rating_counts.csv", "05 06 07", ""),
        ("data/published/README.md", "", ""),
        ("built/data/raw/study.csv", "05 06", ""),
        ("notebooks/04_evaluation.ipynb", "04", "06"),
        ("built/data/runs/smoke/01_generation/explanations.parquet", "01 02", "03 04 06"),
        ("built/data/runs/smoke/01_generation/texts.csv", "01", "02 03 04 06"),
        ("built/data/runs/smoke/04_evaluation/letters.csv", "04", "06"),
        ("built/data/runs/smoke/notebooks/05_human_study.ipynb", "", ""),
    ],
)
def test_a_changed_file_makes_its_readers_out_of_date(finished, path, runs, perhaps):
    path = paths.ROOT / path
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    harmless = text.replace('["', '["# changed\\n') if path.suffix == ".ipynb" else f"{text}\n# a"
    path.write_text(harmless, encoding="utf-8")
    states, name = finished.states(), stages.name_of(path)
    assert [n for n, state in states.items() if state == f"runs: {name} changed"] == runs.split()
    assert [n for n, s in states.items() if s.startswith("runs if the")] == perhaps.split()
    assert len(states) == len(runs.split()) + len(perhaps.split())


def test_outputs_that_jupyterlab_saves_in_a_notebook_change_nothing(finished):
    path = stages.notebook("04_evaluation")
    saved = json.loads(path.read_text(encoding="utf-8")) | {
        "metadata": {"kernelspec": {"name": "mine"}}
    }
    saved["cells"][0] |= {"outputs": ["1"], "execution_count": 3}
    path.write_text(json.dumps(saved), encoding="utf-8")
    assert finished.states() == {}


@pytest.mark.parametrize(
    "path, number",
    [
        ("figures/smoke/01_generation.png", "01"),
        ("figures/smoke/04_evaluation.json", "04"),
        ("data/runs/smoke/04_evaluation/letters.csv", "04"),
        ("data/runs/smoke/notebooks/05_human_study.ipynb", "05"),
        ("data/runs/smoke/statistics.csv", "05"),
    ],
)
def test_a_missing_output_is_made_again(finished, path, number):
    (paths.BUILT / path).unlink()
    states = finished.states()
    assert states.pop(number) == f"runs: {path} is missing"
    assert all(state.startswith("runs if the tables") for state in states.values())


@pytest.mark.parametrize("text", [None, "{", '{"tables": {}}'])
def test_without_a_whole_record_a_stage_counts_as_not_run(finished, text):
    path = finished.records.path("05_human_study")
    path.unlink()
    if text:
        path.write_text(text, encoding="utf-8")
    assert finished.states() == {"05": "runs: not run yet, or not to its end"}


@pytest.mark.parametrize(
    "section, change, runs",
    [
        ("teacher", {"shots": 1}, "01 02 04"),
        ("training", {"steps": 5}, "03 04"),
        ("evaluation", {"batch_size": 9}, "04"),
        ("task", {"train": 19}, "01 02 03 04"),
    ],
)
def test_a_changed_section_of_the_profile(finished, settings, section, change, runs):
    changed = getattr(settings, section).model_copy(update=change)
    other = Finished(settings.model_copy(update={section: changed, "description": "another"}))
    states = other.states()
    told = [n for n, state in states.items() if state == f"runs: {section} in the profile changed"]
    assert told == runs.split()


def test_ones_own_questions_and_models(finished, settings):
    """Of a folder and of a dataset's file, of the teacher and of a student, at any place."""
    own, small = paths.ROOT / "own", paths.ROOT / "a small one"
    for split in ("train", "test"):
        write(own / f"{split}.jsonl")
    for name in ("config.json", "model.safetensors"):
        write(small / name, "{}")
    student = settings.students[0].model_copy(update={"model": f"local:{small}"})
    task = settings.task.model_copy(update={"source": "folder:own"})
    mine = Finished(settings.model_copy(update={"students": [student], "task": task}))
    mine.run(*stages.STAGES)
    assert mine.states() == {}
    write(own / "test.jsonl", "changed")
    assert [n for n, s in mine.states().items() if s == "runs: own/test.jsonl changed"] == [
        "01", "02", "03", "04",
    ]  # fmt: skip
    write(own / "test.jsonl")
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        mine.run(*stages.STAGES)
        write(small / name, "changed")
        told = [n for n, s in mine.states().items() if s == f"runs: local:{small} changed"]
        assert told == ["03", "04"], name


def test_written_texts_are_an_input(finished, settings):
    teacher = settings.teacher.model_copy(update={"source": "written"})
    mine = Finished(settings.model_copy(update={"teacher": teacher}))
    mine.run(*stages.STAGES)
    path = paths.MINICQA / "texts.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert {number for number, state in mine.states().items() if "texts.jsonl" in state} == {
        *("01", "02", "04")
    }


def test_tables_that_come_out_the_same_let_the_others_rest(finished):
    write(paths.LIB / "teacher/deep.py", "# changed")
    finished.run("01_generation", "02_critique_revision")
    assert finished.states() == {}
    write(finished.records.run / "02_critique_revision/teacher.parquet", "another")
    finished.run("02_critique_revision")
    table = "data/runs/smoke/02_critique_revision/teacher.parquet"
    assert finished.states() == {
        "03": f"runs: {table} changed",
        "04": f"runs: {table} changed",
        "06": "runs if the tables of 03 or 04 come out different",
    }


def test_a_parameter_counts_as_an_input(finished):
    records = finished.records
    records.write("07_own_study", records.inputs("07_own_study", {"own_ratings": "folder"}))
    assert finished.states() == {"07": "runs: a parameter changed"}


def test_the_record_lists_tables_with_and_figures_without_hashes(finished):
    record = json.loads(finished.records.path("03_training").read_text(encoding="utf-8"))
    x = files.sha256_bytes(b"x")
    assert record["outputs"] == {
        "data/runs/smoke/03_training/students.csv": x,
        "data/runs/smoke/03_training/students/a/student.json": x,
        "data/runs/smoke/notebooks/03_training.ipynb": "",
        "figures/smoke/03_training.json": "",
        "figures/smoke/03_training.png": "",
    }
    assert "teacher in the profile" not in record["inputs"]


def test_stages_before_a_stage_are_those_whose_tables_it_needs(empty):
    four = ["01_generation", "02_critique_revision", "03_training", "04_evaluation"]
    assert stages.in_order("06_tradeoff") == [*four, "06_tradeoff"]
    assert stages.in_order("05_human_study") == ["05_human_study"]
    stages.notebook("07_own_study").unlink()
    assert stages.in_order() == list(stages.STAGES)[:6]


def test_code_that_is_not_python_may_import_everything(empty):
    write_notebook("01_generation", "broken(")
    assert stages.modules(stages.notebook("01_generation")) == set(paths.LIB.rglob("*.py"))
    write(stages.notebook("01_generation"), "<<<<<<<")
    with pytest.raises(UserError, match="01_generation.ipynb is not a valid notebook; mend it"):
        stages.modules(stages.notebook("01_generation"))
