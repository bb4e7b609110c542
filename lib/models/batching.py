"""Rows of token ids in batches: what they begin with, and which are alike in length."""

import functools
import itertools
from collections.abc import Callable


def common_prefix(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with."""
    alike = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False))
    return sum(1 for _ in alike)


def by_length(rows: list, size: int) -> list[list[int]]:
    """Indices of the rows in batches of ``size``, alike in length together."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def in_halves(work: Callable[[list], list], rows: list) -> list:
    """``work(rows)``, one result a row; by halves where all at once do not fit into GPU memory."""
    import torch

    try:
        return work(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(rows) // 2
    _tell(f"GPU memory holds less than {len(rows)} texts at once: {half} go on.")
    return in_halves(work, rows[:half]) + in_halves(work, rows[half:])


@functools.cache
def _tell(line: str) -> None:
    print(line, flush=True)  # once, not for each batch
