"""The order in which a student sees its examples: seeded, fused over tasks, exact in its weights."""

import random

import torch
from torch.utils.data import Dataset

from lib.common.errors import UserError
from lib.common.methods import OBJECTIVES
from lib.students.model import Encoder


class Steps(Dataset):
    """Micro-batches in training order: item i is micro-batch i % accumulation of step
    start + i // accumulation.

    Each step takes ``batch_size`` questions (every epoch in a new seeded order), all tasks of
    each, sorts the rows by length and splits them into ``accumulation`` micro-batches. Each
    target token carries the weight task weight / target tokens of that task in the whole step, so
    that the sum over micro-batches (and processes) is exactly the sum of weighted task means.

    ``examples``: task -> encoded examples, the same questions in each. ``start``: the first step
    that is still to do. With
    ``once`` (dev) every question comes once, and the last step may be smaller.
    """

    def __init__(
        self,
        examples: dict[str, list[dict]],
        weights: dict[str, float],
        encoder: Encoder,
        *,
        steps: int,
        batch_size: int,
        accumulation: int = 1,
        seed: int = 0,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        once: bool = False,
    ):
        self.examples, self.weights, self.encoder = examples, weights, encoder
        self.steps, self.batch_size, self.accumulation = steps, batch_size, accumulation
        self.seed, self.start, self.rank, self.world = seed, start, rank, world
        self.once = once
        self.questions = len(next(iter(examples.values())))

    def __len__(self) -> int:
        return (self.steps - self.start) * self.accumulation

    def chosen(self, step: int) -> list[int]:
        """Indices of the questions of a step."""
        first, end = step * self.batch_size, (step + 1) * self.batch_size
        if self.once:
            end = min(end, self.questions)
        orders = {}
        for epoch in range(first // self.questions, (end - 1) // self.questions + 1):
            orders[epoch] = list(range(self.questions))
            random.Random(f"order {self.seed} {epoch}").shuffle(orders[epoch])
        return [
            orders[place // self.questions][place % self.questions] for place in range(first, end)
        ]

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """A batch of ``Encoder.collate`` with the weight of a target token of each task [4]."""
        step, part = divmod(item + self.start * self.accumulation, self.accumulation)
        number = {task: OBJECTIVES.index(task) for task in self.weights}
        rows, tokens = [], [0] * len(OBJECTIVES)
        for i in self.chosen(step):
            examples = {number[task]: self.examples[task][i] for task in self.weights}
            for task, example in examples.items():
                tokens[task] += sum(label >= 0 for label in example["labels"])
            rows += self.encoder.rows(examples)
        # alike in length together; an encoder-decoder pays most for its targets
        rows.sort(key=lambda row: (len(row["labels"]), len(row["input_ids"])))
        parts, part = self.accumulation * self.world, part * self.world + self.rank
        share = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
        if not share:
            raise UserError(
                f"A step has {len(rows)} rows, too few for {parts} parts; lower "
                "training.accumulation or the number of processes, or raise batch_size."
            )
        batch = self.encoder.collate(share)
        batch["weight"] = torch.tensor(
            [
                self.weights[task] / tokens[number[task]] if task in number else 0.0
                for task in OBJECTIVES
            ]
        )
        return batch
