"""Training students: one, all, side by side on one machine, or as jobs of a cluster (submitit).

``python -m lib.students.jobs PROFILE --jobs 4`` trains what notebook 03 would train, four at a
time; ``--only 7`` trains one student by its number; ``--slurm PARTITION`` submits one job a
student. All use the same folders, so any of them goes on where another stopped.
"""

import argparse
import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import submitit

from lib.common import files, paths, profile, provenance, stage
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.common.progress import Progress
from lib.models import checkpoints
from lib.questions import splits
from lib.students import grid, objectives, record
from lib.students.cards import NO_MEMORY, Cards, lacks_memory
from lib.students.grid import Home


def teacher_texts(settings: Profile) -> pd.DataFrame:
    """The table that notebook 02 writes; UserError if it is missing."""
    return stage.read_table(settings, "02_critique_revision", "teacher")


def train_all(settings: Profile, texts: pd.DataFrame) -> pd.DataFrame:
    """Train what is not finished; a row a student with its record. Finished ones are not touched.

    With JOBS=n in the environment n students are trained side by side.
    """
    jobs = os.environ.get("JOBS") or "1"
    if not jobs.isdecimal():
        raise UserError(f"JOBS is '{jobs}'; make it the number of students to train side by side.")
    homes = grid.homes(settings, texts)
    missing = unfinished(homes)
    print(f"{len(homes) - len(missing)} of {len(homes)} students were finished before", flush=True)
    if int(jobs) > 1 and len(missing) > 1:
        run_side_by_side(settings, missing, int(jobs))
    else:
        for count, number in enumerate(missing, 1):
            print(f"[{count}/{len(missing)}] {homes[number].student.label}", flush=True)
            train_one(settings, homes[number])
    return grid.record_table([(home.student, home.folder) for home in homes])


def unfinished(homes: list[Home]) -> list[int]:
    """The numbers of the students that are not finished, or damaged."""
    return [number for number, home in enumerate(homes) if not grid.is_whole(home.folder)]


def train_number(name: str, number: int) -> str:
    """Train one student of a profile by its number in ``grid.students``; returns its label."""
    settings = profile.load(name)
    wanted = grid.students(settings)
    if not 0 <= number < len(wanted):
        raise UserError(
            f"Profile '{name}' has no student {number}; they are 0 to {len(wanted) - 1}."
        )
    train_one(settings, grid.home(settings, wanted[number], teacher_texts(settings)))
    return wanted[number].label


def train_one(settings: Profile, home: Home) -> None:
    """Train in a working folder beside the final one; rename when all is written.

    Goes on from the working folder's last checkpoint. A finished student is left as it is, a
    damaged one is trained again. UserError if another process trains the same student. Under
    ``accelerate launch`` the first of the processes locks, writes and renames; the others help.
    """
    student, folder, first = home.student, home.folder, int(os.environ.get("RANK", 0)) == 0
    if grid.is_whole(folder):
        return
    checkpoints.quiet()
    from lib.students.train import (
        train,
    )  # transformers' Trainer: seconds, and it talks if not quiet

    working = folder.with_name(f".working-{folder.name}")
    with files.writing(working):
        working.mkdir(parents=True, exist_ok=True)
    with _locked(home) if first else contextlib.nullcontext():
        if grid.is_whole(folder):  # meanwhile finished by another process
            return
        if folder.exists() and first:
            print(f"{paths.shown(folder)} is damaged; it is trained again.", flush=True)
            shutil.rmtree(folder)
        inputs = [source for source, _ in home.pairs["train"].get("counterfactual", [])]
        empty = sum(source.endswith("Rationale: ") for source in inputs)
        if empty and first:
            print(f"{student.label} | {empty} counterfactual rationales are empty texts")
        check_texts(settings, home, first)
        weights = grid.objective_weights(settings, student)
        training = settings.training_of(student.variant)
        summary = train(student, training, weights, home.pairs, working)
        if not first:
            return
        summary |= {
            "arm": student.name,
            "weights": weights,
            "key": home.key,
            "provenance": provenance.stamp(profile=settings.name, seed=student.seed),
        }
        record.write_card(working, settings, student, summary)
        summary["files"] = {
            path.name: files.sha256_file(path)
            for path in sorted(working.iterdir())
            if path.suffix in (".safetensors", ".json") and path.name[0] != "."
        }
        files.write_json(working / "student.json", summary)
        files.usual_modes(working)
        working.rename(folder)


def check_texts(settings: Profile, home: Home, tell: bool) -> None:
    """UserError if the student cannot tell a question's choices apart; ``tell`` prints how many of
    its texts it cannot write in full."""
    from transformers import AutoTokenizer

    student = home.student
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.fetch(student.model.model))
    asked = splits.load(settings.task, settings.seed)
    objectives.check_choices(tokenizer, [q for part in asked.values() for q in part], student.label)
    rows = (made for rows in home.pairs["train"].values() for made in rows)
    pairs = [pair for made in rows for pair in objectives.several(made)]
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    count, characters = objectives.lost(tokenizer, texts)
    if count and tell:
        lacks = f"; it lacks {characters}" if characters else ""
        told = f"its tokenizer changes {count} of {len(texts)} inputs and targets{lacks}"
        print(f"{student.label} | {told}", flush=True)


@contextlib.contextmanager
def _locked(home: Home) -> Iterator[None]:
    path = home.folder.with_name(f".lock-{home.folder.name}")
    with files.writing(path):
        lock = open(path, "w", encoding="utf-8")  # noqa: SIM115
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{home.student.label} is being trained by another process; wait for it."
            ) from None
        yield


def run_side_by_side(settings: Profile, numbers: list[int], jobs: int) -> None:
    """Train the numbered students in ``jobs`` processes at a time, which share the cores evenly;
    each is given a GPU, in turn, and starts when that has memory for it (lib.students.cards).

    One that lacked memory all the same is tried again alone, after the others. A failed student
    does not stop the others; at the end UserError names the failed ones.
    """
    import torch

    if jobs < 1:
        raise UserError(f"{jobs} jobs cannot train anything; use 1 or more.")
    labels = [student.label for student in grid.students(settings)]
    logs = grid.students_folder(settings) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{jobs} at a time; their logs are in {paths.shown(logs)}", flush=True)
    threads = str(max(1, torch.get_num_threads() // jobs))
    shared = os.environ | {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "JOBS": "1"}
    shared |= {"RAYON_NUM_THREADS": threads, "PYTHONUTF8": "1"}  # rayon: the tokenizer's threads
    cards = Cards(settings)
    progress = Progress("side by side", len(numbers), "students")

    def trained(turn: int, number: int, again: bool = False) -> bool | None:
        """Whether it was trained; None if it lacked memory the first time."""
        command = [sys.executable, "-m", "lib.students.jobs", settings.name, "--only", str(number)]
        path = logs / f"{number:03d}.log"
        with cards.place(turn, labels[number]) as gpu:
            environment = shared | {"CUDA_VISIBLE_DEVICES": gpu}
            with open(path, "a" if again else "w", encoding="utf-8") as log:
                options = {"cwd": paths.ROOT, "env": environment, "stdout": log, "stderr": log}
                code = subprocess.run(command, **options, check=False).returncode
        if code == NO_MEMORY and not again:
            print(f"{labels[number]} lacked memory; it is tried again, alone", flush=True)
            return None
        if code:
            print(f"failed: {labels[number]} (see {paths.shown(path)})", flush=True)
        progress.step()
        return not code

    with ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(trained, itertools.count(), numbers))
    for turn, number in enumerate(numbers):
        if done[turn] is None:
            done[turn] = trained(turn, number, again=True)
    failed = [labels[n] for n, good in zip(numbers, done, strict=True) if not good]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(numbers)} students failed: {', '.join(failed)}; read their "
            f"logs in {paths.shown(logs)}, then run the same command again (the others are kept)."
        )


def submit(settings: Profile, numbers: list[int], cluster: str, **options: object) -> list:
    """One submitit job a student (an array); a job that is killed and requeued goes on.

    ``cluster``: slurm or local. ``options`` go to submitit's ``update_parameters``.
    """
    logs = grid.students_folder(settings) / "logs" / "%j"
    executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
    executor.update_parameters(name=f"honey-{settings.name}", **options)
    return executor.map_array(Job(), [settings.name] * len(numbers), numbers)


class Job(submitit.helpers.Checkpointable):
    """``train_number`` that submitit submits again after a time-out or pre-emption: it goes on from
    the last checkpoint, and a finished student returns at once."""

    def __call__(self, name: str, number: int) -> str:
        return train_number(name, number)


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.students.jobs", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile")
    parser.add_argument("--jobs", type=int, default=1, help="students side by side (default: 1)")
    parser.add_argument(
        "--only", type=int, metavar="NUMBER", help="one student, as notebook 03 numbers them"
    )
    parser.add_argument("--slurm", metavar="PARTITION", help="submit one job a student")
    chosen = parser.parse_args()
    if chosen.only is not None:
        try:
            print(f"finished: {train_number(chosen.profile, chosen.only)}", flush=True)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            traceback.print_exc()
            sys.exit(NO_MEMORY)
        return
    settings = profile.load(chosen.profile)
    missing = unfinished(grid.homes(settings, teacher_texts(settings)))
    if chosen.slurm:
        options = {"slurm_partition": chosen.slurm, "gpus_per_node": 1, "timeout_min": 24 * 60}
        jobs = submit(settings, missing, "slurm", **options)
        logs = paths.shown(grid.students_folder(settings) / "logs")
        print(f"submitted {len(jobs)} jobs; logs in {logs}")
    elif missing:
        run_side_by_side(settings, missing, chosen.jobs)


if __name__ == "__main__":
    main()
