"""The stages of a run: what each notebook reads and writes, and whether it is out of date.

``STAGES`` is the one table. Once a notebook has succeeded, its record,
data/runs/<profile>/stages/<notebook>.json, holds the hashes of all that it read and of the tables
that it wrote; the notebook is out of date when one of them is another now.
"""

import ast
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.common.profile import Profile
from lib.models import checkpoints
from lib.questions import splits


@dataclass(frozen=True)
class Row:
    """What a notebook reads, beside its cells and the modules that they import, and what it writes.

    ``sections``: of the profile, with the question files and local models that they name.
    ``tables``: of other stages, which run first; ``writes``: tables of its own. ``files``: others,
    below the repository, or below HONEY_HOME where they are built. ``share``: of a run's time.
    """

    sections: str
    share: float
    tables: str = ""
    files: str = ""
    writes: str = "*.csv *.parquet"


PUBLISHED = "data/published/*.csv data/published/*.json"
RAW = "data/raw/study.csv data/raw/experiment.csv"  # read where `make data` has brought them

STAGES = {
    "01_generation": Row(
        sections="seed task teacher",
        share=0.12,
        files="lib/prompts/common.yaml data/published/sources.json",
    ),
    "02_critique_revision": Row(
        sections="seed task teacher",
        share=0.15,
        tables="01_generation/explanations.parquet",
        files="lib/prompts/common.yaml data/published/sources.json",
    ),
    "03_training": Row(
        sections="seed seeds task students arms training variants",
        share=0.34,
        tables="02_critique_revision/teacher.parquet",
        files="data/published/sources.json",
        writes="*.csv students/*/student.json",  # which holds the hashes of a student's files
    ),
    "04_evaluation": Row(
        sections="seed seeds task teacher students arms training variants evaluation",
        share=0.33,
        tables="02_critique_revision/teacher.parquet 03_training/students.csv "
        "03_training/students/*/student.json",
        files="lib/prompts/common.yaml data/measures/*.csv data/published/sources.json "
        "data/published/gamma_ablation.csv",
    ),
    "05_human_study": Row(sections="seed", share=0.03, files=f"{PUBLISHED} {RAW}"),
    "06_tradeoff": Row(
        sections="",
        share=0.02,
        tables="04_evaluation/students.csv 04_evaluation/explanations.parquet "
        "04_evaluation/predictions.parquet",
        files=f"{PUBLISHED} {RAW}",
    ),
    "07_own_study": Row(
        sections="seed", share=0.01, files=PUBLISHED
    ),  # own ratings: `make study` runs it
}


def notebook(stage: str) -> Path:
    """A stage's notebook."""
    return paths.NOTEBOOKS / f"{stage}.ipynb"


def in_order(last: str = "") -> list[str]:
    """All stages; with ``last`` that one and those whose tables it needs, also through others."""
    if not last:
        return [stage for stage in STAGES if notebook(stage).is_file()]
    before = {table.split("/")[0] for table in STAGES[last].tables.split()}
    needed = {last}.union(*map(in_order, before))
    return [stage for stage in STAGES if stage in needed]


def read_cells(path: Path) -> list[list]:
    """Kind, text and tags of a notebook's cells, whatever outputs were saved in it."""
    try:
        return [
            [cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])]
            for cell in json.loads(files.read_text(path))["cells"]
        ]
    except (ValueError, KeyError):
        raise UserError(f"{paths.shown(path)} is not a valid notebook; mend it.") from None


def code_of(path: Path) -> str:
    """The text of a module; of a notebook the Python of its code cells, without magics."""
    if path.suffix != ".ipynb":
        return files.read_text(path)
    code = "\n".join(text for kind, text, _ in read_cells(path) if kind == "code")
    return re.sub(r"^[%!].*$", "", code, flags=re.M)


@functools.cache
def imported(code: str) -> frozenset[Path]:
    """The modules of lib that code imports, anywhere in it; all if it is not valid Python.

    Not those of lib.setup, which make Colab ready and touch no result.
    """
    try:
        nodes = [*ast.walk(ast.parse(code))]
    except SyntaxError:
        return frozenset(paths.LIB.rglob("*.py"))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    names = {name for name in names if name.startswith("lib.") and "lib.setup" not in name}
    found = {paths.ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return frozenset(path for path in found if path.is_file())


def modules(path: Path) -> set[Path]:
    """The modules of lib that a notebook or module imports, also through other modules."""
    todo, found = {path}, set()
    while todo:
        new = imported(code_of(todo.pop())) - found
        todo, found = todo | new, found | new
    return found


def named(settings: Profile, sections: list[str]) -> tuple[set[Path], list[str]]:
    """Files of the datasets, and references of the models, that sections of a profile name."""
    datasets = {"task": [settings.task], "evaluation": settings.evaluation.also}
    teacher = settings.teacher
    models = {
        "teacher": [teacher.model] if teacher.engine == "local" else [],
        "students": [student.model for student in settings.students],
        "evaluation": [settings.evaluation.reader],
    }
    read, references = set(), []
    for section in sections:
        references += filter(None, models.get(section, []))
        for task in datasets.get(section, []):
            held = splits.files_of(task.name, task.source).values()
            read |= {paths.PROMPTS / f"{task.name}.yaml", *filter(Path.is_file, held)}
    if "teacher" in sections and teacher.source == "written":
        read |= set(splits.texts_of(settings.task.name, settings.task.source))
    return read, references


class Records:
    """What the stages of a profile's run read and wrote when they last succeeded."""

    def __init__(self, settings: Profile):
        self.settings = settings
        self.run = profile.run_folder(settings)

    def path(self, stage: str) -> Path:
        """A stage's record."""
        return self.run / "stages" / f"{stage}.json"

    def inputs(self, stage: str, parameters: dict[str, str] | None = None) -> dict[str, str]:
        """Name -> hash of all that a stage reads, as it is now."""
        reads, settings = STAGES[stage], self.settings.model_dump(mode="json")
        sections = reads.sections.split()
        read, models = named(self.settings, sections)
        found = {f"{name} in the profile": files.key_of(settings[name]) for name in sections}
        found |= {model: files.key_of(checkpoints.identity(model)) for model in models}
        found["a parameter"] = files.key_of(parameters or {})
        found[name_of(notebook(stage))] = files.key_of(read_cells(notebook(stage)))
        read |= modules(notebook(stage))
        read |= {path.with_suffix(kind) for path in read for kind in (".html", ".yaml")}  # beside
        for pattern in reads.files.split():
            built = pattern.startswith("data/raw/")
            read |= set((paths.BUILT if built else paths.ROOT).glob(pattern))
        for table in reads.tables.split():
            read |= set(self.run.glob(table))
        return found | hashes(read)

    def outputs(self, stage: str) -> dict[str, str]:
        """Name -> hash of a stage's tables; its figures and executed copy, which a reader may
        retouch, have their names alone."""
        figures, own = paths.FIGURES / self.settings.name, self.run / stage
        tables = {path for name in STAGES[stage].writes.split() for path in own.glob(name)}
        shown = {self.run / "notebooks" / f"{stage}.ipynb"}
        if own / "statistics.csv" in tables:
            shown.add(self.run / "statistics.csv")
        for path in figures.glob("*.json"):
            if files.read_json(path, "its notebook").get("notebook") == f"notebooks/{stage}.ipynb":
                shown |= set(figures.glob(f"{path.stem}.*"))
        names = sorted(name_of(path) for path in shown if path.is_file())
        return hashes(tables) | dict.fromkeys(names, "")

    def write(self, stage: str, inputs: dict[str, str]) -> None:
        """Note that a stage has succeeded with these inputs."""
        files.write_json(self.path(stage), {"inputs": inputs, "outputs": self.outputs(stage)})

    def seconds(self, stage: str) -> float | None:
        """About how long a stage takes: as the last time, else its share of what the profile
        needs; None if neither is known."""
        executed = self.run / "notebooks" / f"{stage}.ipynb"
        minutes = self.settings.needs.minutes
        if executed.is_file():
            took = files.read_json(executed, "make reproduce")["metadata"].get("honey", {})
            if "wall_seconds" in took:
                return took["wall_seconds"]
        return minutes and 60 * minutes * STAGES[stage].share

    def why(self, stage: str, inputs: dict[str, str]) -> str:
        """Why a stage is to be run with these inputs; empty if it is up to date."""
        try:
            record = json.loads(self.path(stage).read_text(encoding="utf-8"))
            read, wrote = record["inputs"], record["outputs"]
        except (OSError, ValueError, KeyError):  # none yet, or it is damaged
            return "not run yet, or not to its end"
        found = self.outputs(stage)
        for name in read | inputs:
            if read.get(name) != inputs.get(name):
                return f"{name} changed"
        for name in wrote:
            if found.get(name) != wrote[name]:
                return f"{name} {'changed' if name in found else 'is missing'}"
        return ""


def hashes(read: set[Path]) -> dict[str, str]:
    """Name -> SHA-256 of those of the files that are there."""
    return {name_of(path): files.sha256_file(path) for path in sorted(read) if path.is_file()}


def name_of(path: Path) -> str:
    """A file's name below HONEY_HOME or the repository, so that both may move."""
    return paths.shown(path.relative_to(paths.BUILT) if path.is_relative_to(paths.BUILT) else path)
