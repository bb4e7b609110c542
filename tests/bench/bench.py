"""What all benchmarks share: timing two ways in turn, the printed table, the CSV file."""

import time
from collections.abc import Callable

import pandas as pd

from lib.common import files, paths, provenance


def synchronise() -> None:
    """Wait for the GPU, if there is one, so that a clock read means something."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def pair(
    what: str, unit: str, amount: float, reference: Callable[[], object], ours: Callable[[], object]
) -> dict:
    """One line of a benchmark's table: rates (``amount`` of ``unit``) of both ways, run in turn."""
    reference_rate, our_rate = amount / seconds(reference), amount / seconds(ours)
    return {
        "what": what,
        "reference_rate": reference_rate,
        "our_rate": our_rate,
        "ratio": our_rate / reference_rate,
        "unit": unit,
        "device": provenance.device_name(),
        "commit": provenance.commit(),
    }


def finish(name: str, rows: list[dict]) -> pd.DataFrame:
    """Print the table and write ``data/runs/bench/<name>.csv``."""
    table = pd.DataFrame(rows)
    path = files.write_csv(paths.RUNS / "bench" / f"{name}.csv", table)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"), flush=True)
    print(f"Written to {paths.shown(path)}", flush=True)
    return table
