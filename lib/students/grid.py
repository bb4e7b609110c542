"""The students of a profile: which there are, where they live, and which are finished."""

import functools
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.common import files, methods, profile
from lib.common.errors import UserError
from lib.common.profile import Profile, StudentModel, TaskSettings
from lib.models import checkpoints
from lib.questions import splits
from lib.students import objectives

NOTEBOOK = "notebooks/03_training.ipynb"
# Training settings that are not in a student's key: it holds the weights that the first four give
# and the pairs that the next five give, and a student that goes on from a checkpoint is the same
# as an uninterrupted one.
NOT_IN_KEY = {
    *("alpha", "beta", "gamma", "cf_loss"),
    *("tags", "share", "wrong_choice", "factual_from", "rationales"),
    *("checkpoint_every", "fast"),
}
RECORD = (  # of a student's record, in notebook 03's table; inputs_cut counts targets, too
    *("steps", "best_step", "seconds", "tokens", "tokens_per_second", "peak_memory_gb"),
    *("padding_share", "peak_share", "passes", "path"),  # blank in records of earlier commits
    *("trained_parameters", "inputs_cut", "precision", "device"),
)


@dataclass(frozen=True)
class Student:
    """One cell of the grid: an arm (method:texts), a student model, a seed, perhaps a variant."""

    arm: str
    model: StudentModel
    seed: int
    variant: str = ""

    @property
    def name(self) -> str:
        """The arm as tables name it: with its variant after a comma."""
        return f"{self.arm}, {self.variant}" if self.variant else self.arm

    @property
    def label(self) -> str:
        """How progress lines name it."""
        return f"{self.name} {self.model.size} seed {self.seed}"


def students(settings: Profile) -> list[Student]:
    """Every student that the profile asks for, in order."""
    return [
        Student(arm, model, seed, variant)
        for model in settings.students
        for arm in settings.arms
        for variant in settings.variants or [""]
        for seed in settings.seeds
    ]


def describe(settings: Profile) -> pd.DataFrame:
    """The students as a table, by their numbers."""
    rows = [
        (s.name, s.model.size, s.seed, s.model.model, settings.training_of(s.variant).steps)
        for s in students(settings)
    ]
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "model", "steps"])


def objective_weights(settings: Profile, student: Student) -> dict[str, float]:
    """Weights of a student's objectives under its method, alpha, beta, gamma and cf_loss."""
    training = settings.training_of(student.variant)
    return methods.weights(
        methods.split_arm(student.arm)[0],
        **training.model_dump(include={"alpha", "beta", "gamma", "cf_loss"}),
    )


@dataclass(frozen=True)
class Lesson:
    """What decides a student's pairs beside questions and texts; many students share one.

    ``order``: seed of the order that a ``share`` below 1 is taken from (else 0). ``shuffled``: each
    question has the texts of another one.
    """

    recipe: objectives.Recipe
    objectives: tuple[str, ...]
    share: float
    order: int
    shuffled: bool


def lesson(settings: Profile, student: Student) -> Lesson:
    """What a student learns."""
    training = settings.training_of(student.variant)
    method, kind = methods.split_arm(student.arm)
    recipe = objectives.Recipe(
        revised=kind == "Revised",
        tags=training.tags,
        factual_from=training.factual_from if method == "MT+CF" else "explanation",
        wrong_choice=training.wrong_choice,
        seed=student.seed if training.wrong_choice == "random" else 0,
        rationales="own" if training.rationales == "shuffled" else training.rationales,
    )
    order = student.seed if training.share < 1 else 0
    asked = tuple(objective_weights(settings, student))
    return Lesson(recipe, asked, training.share, order, training.rationales == "shuffled")


def exchanged(questions: list, rows: dict[str, dict]) -> dict[str, dict]:
    """The teacher's rows, each with the texts of another question (drawn; a control): the right
    choice's rationale goes to the right choice, those of wrong ones to wrong ones, in order."""
    order = list(questions)
    random.Random("shuffled rationales").shuffle(order)
    found = dict(rows)
    for question, other in zip(order, [*order[1:], *order[:1]], strict=True):
        row, texts = rows[other.id], [None] * len(question.choices)
        texts[question.answer] = row["counterfactuals"][other.answer]
        for mine, theirs in zip(question.wrong, other.wrong, strict=False):
            texts[mine] = row["counterfactuals"][theirs]
        found[question.id] = row | {"id": question.id, "counterfactuals": texts}
    return found


def training_pairs(
    settings: Profile, student: Student, texts: pd.DataFrame
) -> dict[str, dict[str, list]]:
    """Split -> objective -> [(input, target)] for a student, from the teacher's table.

    A ``share`` below 1 takes the first questions of an order drawn by the student's seed, so that
    smaller shares are parts of larger ones; dev stays whole.
    """
    learned = lesson(settings, student)
    rows = {row["id"]: row for row in texts.to_dict("records")}
    found = splits.load(settings.task, settings.seed)
    questions = {split: [q for q in found[split] if q.id in rows] for split in ("train", "dev")}
    if learned.share < 1:
        random.Random(f"share {learned.order}").shuffle(questions["train"])
        size = max(1, round(learned.share * len(questions["train"])))
        questions["train"] = questions["train"][:size]
    for part in questions.values() if learned.shuffled else ():
        rows = exchanged(part, rows)
    return {
        split: {
            objective: [objectives.pair(objective, q, rows[q.id], learned.recipe) for q in part]
            for objective in learned.objectives
            if objective in objectives.PAIRS
        }
        for split, part in questions.items()
    }


def settings_key(settings: Profile, student: Student) -> dict:
    """The part of a student's key that the profile alone decides."""
    training = settings.training_of(student.variant)
    return {
        "arm": student.arm,
        "student": student.model.model_dump(mode="json"),
        "seed": student.seed,
        "training": training.model_dump(mode="json", exclude=NOT_IN_KEY),
        "weights": objective_weights(settings, student),
    }


@dataclass(frozen=True)
class Home:
    """Where a student lives, and what decides it: its training pairs and the key made from them."""

    student: Student
    pairs: dict
    key: dict
    folder: Path


def students_folder(settings: Profile) -> Path:
    """Where all students of a profile live."""
    return profile.run_folder(settings) / "03_training" / "students"


def home(
    settings: Profile, student: Student, texts: pd.DataFrame, known: dict | None = None
) -> Home:
    """The student's home: ``<students_folder>/<arm>-<size>-s<seed>-<hash of its key>``.

    The key holds the settings, checkpoint and texts that the weights depend on; of code, packages
    and machine (which may round otherwise) the student's record tells. ``known``: Lesson -> its
    pairs and their hash, filled here; each is made once.
    """
    known, learned = {} if known is None else known, lesson(settings, student)
    if learned not in known:
        pairs = training_pairs(settings, student, texts)
        known[learned] = pairs, files.key_of(pairs)
    pairs, data = known[learned]
    key = {
        **settings_key(settings, student),
        **checkpoints.identity(student.model.model),
        "data": data,
    }
    arm = re.sub(r"[^\w.]+", "-", student.name)
    name = f"{arm}-{student.model.size}-s{student.seed}-{files.key_of(key)}"
    return Home(student, pairs, key, students_folder(settings) / name)


def homes(settings: Profile, texts: pd.DataFrame) -> list[Home]:
    """The homes of all students, in the order of ``students``."""
    known: dict = {}
    return [home(settings, student, texts, known) for student in students(settings)]


@functools.lru_cache(maxsize=4)
def _keys_of_pairs(path: Path, changed: tuple, task: TaskSettings, seed: int) -> dict[Lesson, str]:
    return {}  # filled by ``finished``: many call it, and the pairs of a large table take seconds


def is_whole(folder: Path, record: str = "student.json") -> bool:
    """Whether a finished student (or a checkpoint) is there, its files with the recorded hashes."""
    if not (folder / record).is_file():
        return False
    hashes = files.read_json(folder / record, NOTEBOOK)["files"]
    return all(
        (folder / name).is_file() and files.sha256_file(folder / name) == value
        for name, value in hashes.items()
    )


def record_table(trained: list[tuple[Student, Path]]) -> pd.DataFrame:
    """A row a finished student: arm, size, seed, RECORD, and the name of its folder."""
    rows = []
    for student, folder in trained:
        record = files.read_json(folder / "student.json", NOTEBOOK)
        row = {"arm": student.name, "size": student.model.size, "seed": student.seed}
        row |= {name: record.get(name) for name in RECORD}
        rows.append(row | {"folder": folder.name})
    return pd.DataFrame(rows)


def finished(settings: Profile, table: pd.DataFrame) -> list[tuple[Student, Path]]:
    """The students of ``record_table`` with their folders.

    UserError if one is missing or was trained under other settings or from another checkpoint than
    the profile's now (or, where notebook 02's table is at hand, on other pairs than it gives).
    """
    path = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    stat = path.stat() if path.is_file() else None
    changed = (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else ()
    data = _keys_of_pairs(path, changed, settings.task, settings.seed)
    folders = table.set_index(["arm", "size", "seed"])["folder"].to_dict()
    found, texts = [], None
    for student in students(settings):
        name = folders.get((student.name, student.model.size, student.seed))
        folder = students_folder(settings) / str(name)
        if not (folder / "student.json").is_file():
            raise UserError(
                f"The student {student.label} is not trained; run {NOTEBOOK} with profile "
                f"'{settings.name}' first."
            )
        now = settings_key(settings, student) | checkpoints.identity(student.model.model)
        if changed:
            learned = lesson(settings, student)
            if learned not in data:
                texts = pd.read_parquet(path) if texts is None else texts
                data[learned] = files.key_of(training_pairs(settings, student, texts))
            now["data"] = data[learned]
        key = files.read_json(folder / "student.json", NOTEBOOK)["key"]
        if key | now != key:
            raise UserError(
                f"The student {student.label} was trained under other settings, from another "
                f"checkpoint or on other texts than the profile's now; run {NOTEBOOK} with "
                f"profile '{settings.name}' again."
            )
        found.append((student, folder))
    return found


def histories(settings: Profile, table: pd.DataFrame) -> pd.DataFrame:
    """Loss history of all students: arm, size, seed, step, split, task, loss, seconds (so far).

    ``task``: the objective, or ``loss``, the weighted sum.
    """
    parts = []
    for student, folder in finished(settings, table):
        part = pd.read_csv(folder / "history.csv")
        parts.append(part.assign(arm=student.name, size=student.model.size, seed=student.seed))
    return pd.concat(parts, ignore_index=True)
