"""Many students at once: side by side on one machine, or as jobs of a cluster (submitit).

``python -m lib.students.jobs PROFILE --jobs 4`` trains what notebook 03 would train, four at a time;
``--only 7`` trains one student by its number; ``--slurm PARTITION`` submits one job a student. All
use the same folders, so any of them goes on where another stopped.
"""

import argparse
import os
import subprocess
import sys
import time

import pandas as pd

from lib.common import paths, profile, stage
from lib.common.errors import UserError, command_line
from lib.common.progress import duration
from lib.setup import machine
from lib.students import grid


def teacher_texts(settings: profile.Profile) -> pd.DataFrame:
    """The table that notebook 02 writes; UserError if it is missing."""
    return stage.read_table(settings, "02_critique_revision", "teacher")


def train_number(name: str, number: int) -> str:
    """Train one student of a profile by its number in ``grid.students``; returns its label."""
    settings = profile.load(name)
    wanted = grid.students(settings)
    if not 0 <= number < len(wanted):
        raise UserError(
            f"Profile '{name}' has no student {number}; they are 0 to {len(wanted) - 1}."
        )
    student = wanted[number]
    grid.train_one(settings, student, grid.place(settings, student, teacher_texts(settings)))
    return student.label


def visible_gpus() -> list[str]:
    """The GPUs that processes may use, as CUDA_VISIBLE_DEVICES names them; none on a CPU."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name for name in told.split(",") if name]
    return [str(i) for i in range(len(machine.gpus(machine.run(machine.NVIDIA_SMI))))]


def run_side_by_side(settings: profile.Profile, numbers: list[int], jobs: int) -> None:
    """Train the numbered students in ``jobs`` processes; cores are shared out evenly, and so are
    the GPUs, one to a process (those of CUDA_VISIBLE_DEVICES, if it is set).

    Prints done, running, failed and ETA every 30 s. A failed student does not stop the others;
    at the end UserError names the failed ones and their logs.
    """
    if jobs < 1:
        raise UserError(f"{jobs} jobs cannot train anything; use 1 or more.")
    labels = [student.label for student in grid.students(settings)]
    logs = grid.home(settings) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, machine.cores() // jobs))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
        "JOBS": "1",
    }
    gpus = visible_gpus() or [None]
    free = [gpus[i % len(gpus)] for i in range(jobs)]  # a slot for each process that may run
    waiting, running, failed, done = list(numbers), {}, [], 0
    started = printed = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number = waiting.pop(0)
                gpu = free.pop(0)
                own = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
                with open(logs / f"{number:03d}.log", "w") as log:
                    running[number] = (
                        gpu,
                        subprocess.Popen(
                            [
                                sys.executable,
                                "-m",
                                "lib.students.jobs",
                                settings.name,
                                "--only",
                                str(number),
                            ],
                            cwd=paths.ROOT,
                            env=environment | own,
                            stdout=log,
                            stderr=subprocess.STDOUT,
                        ),
                    )
            time.sleep(0.2)
            ended = [
                number for number, (_, process) in running.items() if process.poll() is not None
            ]
            for number in ended:
                gpu, process = running.pop(number)
                free.append(gpu)
                done += process.returncode == 0
                if process.returncode:
                    failed.append(number)
                    print(
                        f"failed: {labels[number]} (see {paths.shown(logs / f'{number:03d}.log')})",
                        flush=True,
                    )
            if ended or time.monotonic() - printed > 30:
                printed, finished = time.monotonic(), done + len(failed)
                eta = (printed - started) / finished * (len(numbers) - finished) if finished else 0
                print(
                    f"students {done}/{len(numbers)} done | {len(running)} running | {len(failed)} "
                    f"failed" + (f" | ETA {duration(eta)}" if eta else ""),
                    flush=True,
                )
    finally:
        for _, process in running.values():
            process.terminate()
    if failed:
        raise UserError(
            f"{len(failed)} of {len(numbers)} students failed: "
            f"{', '.join(labels[number] for number in failed)}; read their logs in "
            f"{paths.shown(logs)}, then run the same command again (the others are kept)."
        )


def submit(settings: profile.Profile, numbers: list[int], cluster: str, **options: object) -> list:
    """One submitit job a student (an array); a job that is killed and requeued goes on.

    ``cluster``: slurm or local. ``options`` go to submitit's ``update_parameters``.
    """
    import submitit

    executor = submitit.AutoExecutor(folder=grid.home(settings) / "logs" / "%j", cluster=cluster)
    executor.update_parameters(name=f"honey-{settings.name}", **options)
    return executor.map_array(_Requeued(settings.name), numbers)


class _Requeued:
    """``train_number`` that submitit may submit again: it goes on from the last checkpoint, and a
    finished student returns at once."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, number: int) -> str:
        return train_number(self.name, number)

    def checkpoint(self, number: int):
        """What submitit runs after a time-out or pre-emption."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, number)


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
        print(f"finished: {train_number(chosen.profile, chosen.only)}", flush=True)
        return
    settings = profile.load(chosen.profile)
    texts = teacher_texts(settings)
    missing = [
        i
        for i, student in enumerate(grid.students(settings))
        if not grid.is_whole(grid.place(settings, student, texts).folder)
    ]
    if chosen.slurm:
        jobs = submit(
            settings,
            missing,
            "slurm",
            slurm_partition=chosen.slurm,
            gpus_per_node=1,
            timeout_min=24 * 60,
        )
        print(f"submitted {len(jobs)} jobs; logs in {paths.shown(grid.home(settings) / 'logs')}")
    elif missing:
        run_side_by_side(settings, missing, chosen.jobs)


if __name__ == "__main__":
    main()
