"""The students of a profile: which there are, where they live, and which are finished."""

import fcntl
import os
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.common import files as store
from lib.common import methods, paths, profile, provenance
from lib.common.errors import UserError
from lib.common.profile import Profile, StudentModel
from lib.models import checkpoints
from lib.questions import splits as tasks
from lib.students import objectives

RECORD = (
    "steps",
    "best_step",
    "seconds",
    "tokens",
    "tokens_per_second",
    "peak_memory_gb",
    "joules",
    "trained_parameters",
    "inputs_cut",
    "precision",
    "device",
)  # inputs_cut: targets, too
# Training settings that a student's key holds as its task weights or its pairs, and the one that
# changes no weights: a student that goes on from a checkpoint is the same as an uninterrupted one.
NOT_IN_KEY = {
    "alpha",
    "beta",
    "gamma",
    "cf_loss",
    "tags",
    "share",
    "wrong_choice",
    "factual_from",
    "checkpoint_every",
}


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


@dataclass(frozen=True)
class Place:
    """Where a student goes, and what decides it: its training pairs and the key made from them."""

    pairs: dict
    key: dict
    folder: Path


def place(settings: Profile, student: Student, texts: pd.DataFrame) -> Place:
    """The student's place, whose key holds the settings, checkpoint and texts that its weights depend
    on; of code, packages and machine (which may round otherwise) its record tells.

    The folder is ``data/runs/<profile>/03_training/students/<arm>-<size>-s<seed>-<hash of the key>``.
    """
    pairs = training_pairs(settings, student, texts)
    key = {
        **settings_key(settings, student),
        **checkpoints.identity(student.model.model),
        "data": store.key_of(pairs),
    }
    arm = re.sub(r"[^\w.]+", "-", student.name)
    name = f"{arm}-{student.model.size}-s{student.seed}-{store.key_of(key)}"
    return Place(pairs, key, home(settings) / name)


def settings_key(settings: Profile, student: Student) -> dict:
    """The part of a student's key that the profile alone decides."""
    training = settings.training_of(student.variant)
    return {
        "arm": student.arm,
        "student": student.model.model_dump(mode="json"),
        "seed": student.seed,
        "training": training.model_dump(mode="json", exclude=NOT_IN_KEY),
        "weights": task_weights(settings, student),
    }


def home(settings: Profile) -> Path:
    """Where a profile's students live."""
    return profile.run_folder(settings) / "03_training" / "students"


def training_pairs(
    settings: Profile, student: Student, texts: pd.DataFrame
) -> dict[str, dict[str, list]]:
    """Split -> task -> [(input, target)] for a student, from the teacher's table.

    A ``share`` below 1 takes the first questions of an order drawn by the student's seed, so that
    smaller shares are parts of larger ones; dev stays whole.
    """
    t = settings.training_of(student.variant)
    method, kind = methods.split_arm(student.arm)
    rows = {row["id"]: row for row in texts.to_dict("records")}
    splits = tasks.load(settings.task, settings.seed)
    questions = {split: [q for q in splits[split] if q.id in rows] for split in ("train", "dev")}
    if t.share < 1:
        random.Random(f"share {student.seed}").shuffle(questions["train"])
        questions["train"] = questions["train"][: max(1, round(t.share * len(questions["train"])))]
    how = {
        "tags": t.tags,
        "wrong_choice": t.wrong_choice,
        "seed": student.seed,
        "factual_from": t.factual_from if method == "MT+CF" else "explanation",
    }
    return {
        split: {
            task: [objectives.pair(task, q, rows[q.id], kind == "Revised", **how) for q in part]
            for task in task_weights(settings, student)
        }
        for split, part in questions.items()
    }


def task_weights(settings: Profile, student: Student) -> dict[str, float]:
    """Task weights of a student's method under its alpha, beta, gamma and cf_loss."""
    training = settings.training_of(student.variant)
    return methods.weights(
        methods.split_arm(student.arm)[0],
        **training.model_dump(include={"alpha", "beta", "gamma", "cf_loss"}),
    )


def is_whole(folder: Path) -> bool:
    """Whether a finished student is there and its files have the recorded hashes."""
    if not (folder / "student.json").is_file():
        return False
    files = store.read_json(folder / "student.json", "notebooks/03_training.ipynb")["files"]
    return all(
        (folder / name).is_file() and store.sha256_file(folder / name) == digest
        for name, digest in files.items()
    )


def train_all(settings: Profile, texts: pd.DataFrame) -> pd.DataFrame:
    """Train what is not finished; a row a student with its record. Finished ones are not touched.

    With JOBS=n in the environment n students are trained side by side (lib.students.jobs).
    """
    wanted = students(settings)
    places = [place(settings, student, texts) for student in wanted]
    jobs = os.environ.get("JOBS") or "1"
    if not jobs.isdecimal():
        raise UserError(f"JOBS is '{jobs}'; make it the number of students to train side by side.")
    missing = [i for i, found in enumerate(places) if not is_whole(found.folder)]
    print(
        f"{len(wanted) - len(missing)} of {len(wanted)} students were finished before", flush=True
    )
    if int(jobs) > 1 and len(missing) > 1:
        from lib.students.jobs import run_side_by_side

        run_side_by_side(settings, missing, int(jobs))
    else:
        for number, i in enumerate(missing, 1):
            print(f"[{number}/{len(missing)}] {wanted[i].label}", flush=True)
            train_one(settings, wanted[i], places[i])
    rows = []
    for student, found in zip(wanted, places, strict=True):
        record = store.read_json(found.folder / "student.json", "notebooks/03_training.ipynb")
        rows.append(
            {
                "arm": student.name,
                "size": student.model.size,
                "seed": student.seed,
                **{name: record[name] for name in RECORD},
                "folder": found.folder.name,
            }
        )
    return pd.DataFrame(rows)


def train_one(settings: Profile, student: Student, found: Place) -> None:
    """Train in a working folder beside the final one; rename when all is written.

    Goes on from the working folder's last checkpoint. A finished student is left as it is, a damaged
    one is trained again. UserError if another process trains the same student. Under ``accelerate
    launch`` the first of the processes locks, writes and renames; the others train with it.
    """
    folder, first = found.folder, int(os.environ.get("RANK", 0)) == 0
    if is_whole(folder):
        return
    checkpoints.quiet()
    from lib.students import card, train  # import transformers

    working = folder.with_name(f".working-{folder.name}")
    working.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".lock-{folder.name}"), "w") as lock:
        try:
            if first:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{student.label} is being trained by another process; wait for it."
            ) from None
        if is_whole(folder):  # meanwhile finished by another process
            return
        if folder.exists() and first:
            print(f"{paths.shown(folder)} is damaged; it is trained again.", flush=True)
            shutil.rmtree(folder)
        weights = task_weights(settings, student)
        empty = sum(
            source.endswith("Rationale: ")
            for source, _ in found.pairs["train"].get("counterfactual", [])
        )
        if empty and first:
            print(
                f"{student.label} | {empty} counterfactual rationales are empty texts", flush=True
            )
        record = train.train(
            student.model,
            weights,
            found.pairs,
            settings.training_of(student.variant),
            student.seed,
            working,
            student.label,
        )
        if not first:
            return
        record |= {
            "arm": student.name,
            "task_weights": weights,
            "key": found.key,
            "provenance": provenance.stamp(profile=settings.name, seed=student.seed),
        }
        card.write(working, settings, student, record)
        record["files"] = {
            path.name: store.sha256_file(path)
            for path in sorted(working.iterdir())
            if path.suffix in (".safetensors", ".json") and path.name[0] != "."
        }
        store.write_json(working / "student.json", record)
        working.rename(folder)


def finished(settings: Profile, table: pd.DataFrame) -> list[tuple[Student, Path]]:
    """The students of ``train_all``'s table with their folders.

    UserError if one is missing or was trained under other settings than the profile's now (or, where
    notebook 02's table is at hand, on other pairs than its texts give now). Reads no weights.
    """
    found, data = [], {}
    path = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    texts = pd.read_parquet(path) if path.is_file() else None
    folders = table.set_index(["arm", "size", "seed"])["folder"].to_dict()
    for student in students(settings):
        name = folders.get((student.name, student.model.size, student.seed))
        folder = home(settings) / str(name)
        if not (folder / "student.json").is_file():
            raise UserError(
                f"The student {student.label} is not trained; run "
                f"notebooks/03_training.ipynb with profile '{settings.name}' first."
            )
        key = store.read_json(folder / "student.json", "notebooks/03_training.ipynb")["key"]
        now = settings_key(settings, student)
        if texts is not None:
            same = (
                student.arm,
                student.variant,
                student.seed,
            )  # students of all sizes learn the same
            if same not in data:
                data[same] = store.key_of(training_pairs(settings, student, texts))
            now["data"] = data[same]
        if key | now != key:
            raise UserError(
                f"The student {student.label} was trained under other settings or on other "
                "texts than the profile's now; run notebooks/03_training.ipynb with profile "
                f"'{settings.name}' again."
            )
        found.append((student, folder))
    return found


def histories(settings: Profile, table: pd.DataFrame) -> pd.DataFrame:
    """Loss history of all students: arm, size, seed, step, split, task, loss, seconds (so far)."""
    parts = []
    for student, folder in finished(settings, table):
        part = pd.read_csv(folder / "history.csv")
        parts.append(part.assign(arm=student.name, size=student.model.size, seed=student.seed))
    return pd.concat(parts, ignore_index=True)


def plan(settings: Profile) -> pd.DataFrame:
    """The students as a table, without loading anything."""
    return pd.DataFrame(
        [
            {
                "arm": s.name,
                "size": s.model.size,
                "seed": s.seed,
                "model": s.model.model,
                "steps": settings.training_of(s.variant).steps,
            }
            for s in students(settings)
        ]
    )


def cost_statistics(table: pd.DataFrame) -> pd.DataFrame:
    """Cost of every student as rows analysis, statistic, group, term, value."""
    names = table["arm"] + " " + table["size"] + " seed " + table["seed"].astype(str)
    long = table.assign(group=names).melt(
        id_vars="group",
        value_vars=["seconds", "peak_memory_gb", "tokens_per_second", "best_step"],
        var_name="term",
    )
    return long.assign(analysis="training", statistic="cost")
