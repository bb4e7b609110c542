"""Parts of a long benchmark, each in a process of its own: one that fails, hangs or loses the GPU
leaves a row that says so, and the others go on."""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path


def rows_of(part: Callable[[], Iterator[dict]], name: str, seconds: float) -> list[dict]:
    """The rows that a part yields within so many seconds, each with the part's name.

    A row ``failed`` with the reason stands behind those of a part that was not finished. The part
    runs in a fork: this process must have computed nothing with torch before.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        path.touch()
        child = multiprocessing.get_context("fork").Process(target=_write, args=(part, path))
        started = time.monotonic()
        child.start()
        try:
            child.join(seconds)
            reason = f"not finished within {seconds:.0f} s" if child.is_alive() else ""
        finally:
            if child.is_alive():  # with all that it has started
                os.killpg(child.pid, signal.SIGKILL)
                child.join()
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not reason and child.exitcode and not any("failed" in row for row in rows):
        reason = f"its process ended with status {child.exitcode}"
    if reason:
        rows.append({"failed": reason})
    took = f"{name}: {time.monotonic() - started:.0f} s"
    print(took + "".join(f" | {row['failed']}" for row in rows if "failed" in row), flush=True)
    return [{"part": name} | row for row in rows]


def true_in_fork(condition: Callable[[], bool]) -> bool:
    """Whether something is true, asked in a process of its own: CUDA, once asked for, could not be
    used in forks."""
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(not condition()))
    child.start()
    child.join()
    return child.exitcode == 0


def _write(part: Callable[[], Iterator[dict]], path: Path) -> None:
    os.setsid()
    with open(path, "a", encoding="utf-8") as file:
        try:
            for row in part():
                print(json.dumps(row), file=file, flush=True)
                print(line(row), flush=True)
        except Exception as error:
            traceback.print_exc()
            print(json.dumps({"failed": reason_of(error)}), file=file, flush=True)
            raise SystemExit(1) from None


def reason_of(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def line(row: dict) -> str:
    """A row in few words."""
    said = [row.get("what"), row.get("way"), row.get("failed")]
    if "value" in row:
        said.append(f"{row['value']:,.4g} {row.get('unit', '')}")
    for name, form in (
        ("peak_share", "{:.1%} of the peak"),
        ("ceiling_share", "{:.1%} of the ceiling"),
        ("padding_share", "{:.0%} padding"),
        ("peak_memory_gb", "{:.1f} GB"),
        ("warm_seconds", "warm after {:.0f} s"),
        ("note", "{}"),
    ):
        said += [form.format(row[name])] if row.get(name) else []
    return " | ".join(filter(None, said))
