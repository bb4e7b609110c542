"""Training one student: fused weighted losses through transformers' Trainer, resumable, exact."""

import json
import random
import shutil
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from lib import store
from lib.objectives import TASKS
from lib.progress import duration
from lib.student import Encoder, target_logits


class Steps(Dataset):
    """Micro-batches in training order: item i is micro-batch i % accumulation of step i // that.

    Each step takes ``batch_size`` questions (every epoch in a new seeded order), all tasks of
    each, sorts the examples by length and splits them into ``accumulation`` micro-batches. Each
    target token carries the weight task weight / target tokens of that task in the whole step, so
    that the sum over micro-batches (and processes) is exactly the sum of weighted task means.
    """

    def __init__(self, examples: dict[str, list[dict]], weights: dict[str, float], encoder: Encoder,
                 *, steps: int, batch_size: int, accumulation: int = 1, seed: int = 0,
                 start: int = 0, rank: int = 0, world: int = 1):
        self.examples, self.weights, self.encoder = examples, weights, encoder
        self.steps, self.batch_size, self.accumulation = steps, batch_size, accumulation
        self.seed, self.start, self.rank, self.world = seed, start, rank, world
        self.questions = len(next(iter(examples.values())))

    def __len__(self) -> int:
        return (self.steps - self.start) * self.accumulation

    def chosen(self, step: int) -> list[int]:
        """Indices of the questions of a step."""
        picked = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, place = divmod(position, self.questions)
            picked.append(self._order(epoch)[place])
        return picked

    def _order(self, epoch: int) -> list[int]:
        order = list(range(self.questions))
        random.Random(f"order {self.seed} {epoch}").shuffle(order)
        return order

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        step, part = divmod(item + self.start * self.accumulation, self.accumulation)
        rows = [(task, self.examples[task][i]) for i in self.chosen(step) for task in self.weights]
        rows.sort(key=lambda row: len(row[1]["input_ids"]))
        tokens = dict.fromkeys(self.weights, 0)
        for task, example in rows:
            tokens[task] += sum(label >= 0 for label in example["labels"])
        parts, part = self.accumulation * self.world, part * self.world + self.rank
        share = rows[len(rows) * part // parts: len(rows) * (part + 1) // parts]
        batch = self.encoder.collate([example for _, example in share])
        batch["task"] = torch.tensor([TASKS.index(task) for task, _ in share])
        batch["weight"] = torch.tensor([self.weights[task] / tokens[task] for task, _ in share])
        return batch


def losses(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted loss of a micro-batch, and per task the summed loss and the target tokens [4]."""
    wanted = batch["labels"] != -100
    logits, labels = target_logits(model, batch)
    nll = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    row = wanted.nonzero()[:, 0]
    sums = torch.zeros(len(TASKS), device=nll.device).index_add_(0, batch["task"][row], nll.detach())
    counts = torch.bincount(batch["task"][row], minlength=len(TASKS))
    return (nll * batch["weight"][row]).sum(), sums, counts


class StudentTrainer(Trainer):
    """Trainer whose loss is the weighted sum of task losses and whose data are ``Steps``."""

    loss_is_scaled_for_ga = True  # the weights already count the whole step

    def __init__(self, *args, dev: Steps | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.dev = dev
        self.sums = torch.zeros(len(TASKS))
        self.counts = torch.zeros(len(TASKS))
        self.tokens = 0

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, sums, counts = losses(model, inputs)
        self.sums += sums.cpu()
        self.counts += counts.cpu()
        self.tokens += int(inputs["attention_mask"].sum())
        return loss * self.args.world_size  # data parallel averages gradients over processes

    def task_losses(self) -> dict[str, float]:
        """Mean token loss per task since the last call."""
        means = {task: float(s / c) for task, s, c in zip(TASKS, self.sums, self.counts, strict=True)
                 if c > 0}
        self.sums.zero_()
        self.counts.zero_()
        return means

    @torch.no_grad()
    def evaluate(self, *_, **__) -> dict[str, float]:
        """Mean token loss per task on the dev questions, and their weighted sum as eval_loss."""
        self.model.eval()
        sums, counts = torch.zeros(len(TASKS)), torch.zeros(len(TASKS))
        for item in range(len(self.dev)):
            with self.compute_loss_context_manager():
                _, more, n = losses(self.model, self._prepare_inputs(self.dev[item]))
            sums, counts = sums + more.cpu(), counts + n.cpu()
        self.model.train()
        means = {task: float(sums[i] / counts[i]) for i, task in enumerate(TASKS) if counts[i]}
        metrics = {f"eval_{task}": value for task, value in means.items()}
        metrics["eval_loss"] = sum(self.dev.weights[task] * value for task, value in means.items())
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
