"""Rows of token ids in batches: what they begin with, and which are alike in length."""

import itertools


def common_prefix(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with."""
    alike = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False))
    return sum(1 for _ in alike)


def by_length(rows: list, size: int) -> list[list[int]]:
    """Indices of the rows in batches of ``size``, alike in length together."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    return [order[start : start + size] for start in range(0, len(order), size)]
