"""Training one student: fused weighted losses through transformers' Trainer, resumable, exact."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from lib.common import files, paths, provenance
from lib.common.methods import OBJECTIVES
from lib.common.profile import TrainingSettings
from lib.common.progress import Progress
from lib.models import checkpoints
from lib.students import fast, record
from lib.students.data import Encoder, Steps
from lib.students.grid import Student, is_whole
from lib.students.model import adapt, base_precision, losses


def means(totals: torch.Tensor) -> dict[str, float]:
    """Objective -> mean token loss, of those with target tokens, from sums and counts [2, n]."""
    return {
        name: float(total / count)
        for name, total, count in zip(OBJECTIVES, *totals.cpu(), strict=True)
        if count and name != "rival"
    }


class StudentTrainer(Trainer):
    """Trainer whose data are ``Steps``, each item a whole optimiser step in passes, and whose loss
    is the weighted sum of the objectives' (``losses``, or another way to compute it)."""

    def __init__(self, *, dev: Steps, diary: "Diary", losses: Callable, **options):
        super().__init__(**options)
        self.dev, self.diary, self.losses = dev, diary, losses
        self.totals = torch.zeros(2, len(OBJECTIVES), device=self.args.device)

    def get_train_dataloader(self) -> DataLoader:
        """On a GPU a process of its own collates the next steps meanwhile."""
        if self.args.device.type != "cuda":
            return DataLoader(self.train_dataset, batch_size=None)
        self.train_dataset.parts.share_memory_()
        return DataLoader(self.train_dataset, batch_size=None, num_workers=1, pin_memory=True)

    def floating_point_ops(self, inputs) -> int:
        """Not counted here."""
        return 0

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        """Gradients of a step; in more passes and once again if memory runs out for them."""
        model.train()
        before = self.totals.clone()
        while True:
            if inputs["parts"] != int(self.train_dataset.parts):  # collated before there were more
                inputs = self.train_dataset[self.state.global_step - self.train_dataset.start]
            try:
                loss = self.gradients(model, inputs["passes"])
            except torch.OutOfMemoryError:
                if not self.can_split(inputs):
                    raise
            else:
                break
            fast.free(model)
            self.totals = before.clone()
            self.train_dataset.parts *= 2
            told = f"memory runs out: a step in {int(self.train_dataset.parts)} parts from here on"
            print(f"{self.diary.label} | {told}", flush=True)
        self.state.num_input_tokens_seen += inputs["tokens"]
        self.diary.count(inputs)
        return loss

    def gradients(self, model, passes: list[dict]) -> torch.Tensor:
        """Add up the gradients and the totals of all passes, on the device; returns their loss."""
        total = 0.0
        for number, batch in enumerate(passes, 1):
            last = number == len(passes)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                loss, totals = self.losses(model, fast.moved(batch, self.args.device))
                # data parallel averages gradients over processes
                self.accelerator.backward(loss * self.args.world_size)
            self.totals += totals
            total = total + loss.detach()
        return total

    def can_split(self, inputs: dict) -> bool:
        """Whether a step can be done in twice as many parts."""
        rows = len(self.train_dataset.rows_of(self.state.global_step)[0])
        return self.args.world_size == 1 and inputs["parts"] * 2 <= rows

    @torch.no_grad()
    def evaluate(self, *_, **__) -> dict[str, dict[str, float]]:
        """Mean token losses by objective: train since the last evaluation, and dev, whose ``loss``
        is their weighted sum."""
        self.model.eval()
        totals = torch.zeros_like(self.totals)
        for item in range(len(self.dev)):
            for batch in self.dev[item]["passes"]:
                totals += self.losses(self.model, fast.moved(batch, self.args.device))[1]
        self.model.train()
        dev = means(totals)
        dev["loss"] = sum(self.dev.weights[name] * value for name, value in dev.items())
        metrics = {"train": means(self.totals), "dev": dev}
        self.totals.zero_()
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class Diary(TrainerCallback):
    """Keeps the loss history and the best weights, and prints how training goes on."""

    def __init__(self, folder: Path, label: str, steps: int, done: int, parameters: int):
        """``done``: step of the checkpoint that training goes on from; later rows are dropped.
        ``parameters``: how many the model has, for its share of the device's arithmetic."""
        self.folder, self.label, self.parameters = folder, label, parameters
        self.path = folder / "history.csv"
        rows = pd.read_csv(self.path).to_dict("records") if self.path.is_file() else []
        self.rows = [row for row in rows if row["step"] <= done]
        self.before = max((row["seconds"] for row in self.rows), default=0.0)  # earlier sessions
        self.tokens = self.slots = self.passes = 0  # of this session
        self.device, self.noted = torch.device("cpu"), (time.monotonic(), 0)
        self.progress = Progress(label, steps, "steps", note=self.note)
        self.progress.skip(done)

    def count(self, inputs: dict) -> None:
        """Count a step of ``Steps``."""
        self.tokens += inputs["tokens"]
        self.slots += inputs["slots"]
        self.passes = max(self.passes, len(inputs["passes"]))

    def padding_share(self) -> float:
        """The part of what was read in this session that is padding."""
        return 1 - self.tokens / max(1, self.slots)

    def note(self) -> str:
        """Tokens a second since the last note, padding; on a GPU its use and memory, too."""
        now, tokens = time.monotonic(), self.tokens
        since, before = self.noted
        self.noted = now, tokens
        if tokens == before:
            return ""
        rate = (tokens - before) / max(1e-9, now - since)
        parts = [f"{rate:,.0f} tokens/s", f"{self.padding_share():.0%} padding"]
        share = record.peak_share(self.parameters, rate, self.device)
        if share is not None:
            parts.append(f"{share:.0%} of its peak")
        if self.device.type == "cuda":
            parts.append(f"{record.peak_memory_gb(self.device):.1f} GB")
        return " | ".join(parts)

    def best(self) -> tuple[float, int]:
        """Dev loss and step of the best evaluation so far."""
        return min(
            (row["loss"], row["step"])
            for row in self.rows
            if row["split"] == "dev" and row["task"] == "loss"
        )

    def on_train_begin(self, args, state, control, **kwargs):
        self.device, self.started = args.device, time.monotonic()
        self.noted = self.started, self.tokens

    def on_step_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.progress.step()

    def on_evaluate(self, args, state, control, metrics, model, **kwargs):
        seconds = round(self.before + time.monotonic() - self.started, 2)
        for split, values in metrics.items():
            for objective, loss in values.items():
                row = {"step": state.global_step, "split": split, "task": objective, "loss": loss}
                self.rows.append(row | {"seconds": seconds})
        if not state.is_world_process_zero:
            return
        loss, best_step = metrics["dev"]["loss"], self.best()[1]
        if best_step == state.global_step:
            weights = {
                name: value.detach().cpu().contiguous()
                for name, value in model.named_parameters()
                if value.requires_grad
            }
            temporary = self.folder / ".best.safetensors"
            save_file(weights, temporary)
            temporary.rename(self.folder / "best.safetensors")
        files.write_csv(self.path, pd.DataFrame(self.rows))
        print(f"{self.label} | step {state.global_step} | dev loss {loss:.3f}", flush=True)

    def on_save(self, args, state, control, **kwargs):
        """Write the checkpoint's hashes last: without them it does not count."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            hashes = {path.name: files.sha256_file(path) for path in sorted(folder.iterdir())}
            files.write_json(folder / "checkpoint.json", {"files": hashes})
            files.usual_modes(self.folder)  # perhaps another user goes on


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The newest whole checkpoint and its step; others are removed, with a line."""
    steps = (int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
    for step in sorted(steps, reverse=True):
        path = folder / f"checkpoint-{step}"
        if is_whole(path, "checkpoint.json"):
            return path, step
        print(f"{paths.shown(path)} is not whole; it is removed.", flush=True)
        shutil.rmtree(path)
    return None, 0


def train(
    student: Student,
    settings: TrainingSettings,
    weights: dict[str, float],
    pairs: dict[str, dict[str, list]],
    folder: Path,
) -> dict:
    """Train one student in ``folder`` and save it there; returns its record.

    ``pairs``: split (train, dev) -> objective -> [(input, target), ...], questions in the same
    order for every objective; ``weights``: objective -> weight. Goes on from the newest whole
    checkpoint in the folder. The weights that did best on dev are saved as safetensors with the
    tokenizer; checkpoints are then removed. Under ``accelerate launch`` each process takes its part
    of every pass, and the first one writes.
    """
    record.reset_peak_memory()
    set_seed(student.seed)
    source = checkpoints.fetch(student.model.model)
    model, tokenizer = checkpoints.load(source, base_precision(student.model))
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    model = adapt(model, student.model)
    examples = encoder.encode(pairs)
    precision = settings.precision if settings.precision != "auto" else checkpoints.best_precision()
    checkpoint, done = last_checkpoint(folder)
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)  # a launcher's; the profile says it
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        seed=student.seed,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        save_strategy="steps" if settings.checkpoint_every else "no",
        save_steps=settings.checkpoint_every or settings.steps,
        save_total_limit=1,
        logging_strategy="no",
        logging_nan_inf_filter=False,  # it would wait for every loss
        disable_tqdm=True,
        ignore_data_skip=True,  # Steps begins at the step that is to do
        ddp_find_unused_parameters=False,
    )
    train_steps = Steps(
        examples["train"],
        weights,
        encoder,
        steps=settings.steps,
        batch_size=settings.batch_size,
        accumulation=1 if settings.accumulation == "auto" else settings.accumulation,
        seed=student.seed,
        start=done,
        rank=arguments.process_index,
        world=arguments.world_size,
    )
    way, reason = None, ""
    if settings.fast and arguments.world_size == 1:
        way, reason = fast.choose(model, train_steps, precision)
        if reason:
            print(f"{student.label} | training without all of the fast path: {reason}", flush=True)
    questions = len(next(iter(examples["dev"].values())))
    # evaluating is not to take the most memory
    batch = min(settings.batch_size if way else 8, questions)
    count = -(-questions // batch)
    dev_steps = Steps(examples["dev"], weights, encoder, count, batch, once=True)
    if way:
        dev_steps.layout, dev_steps.parts = train_steps.layout, train_steps.parts
    parameters = sum(p.numel() for p in model.parameters())
    if model.config.is_encoder_decoder:  # a token passes one of the two halves
        parameters //= 2
    diary = Diary(folder, student.label, settings.steps, done, parameters)
    data = {"train_dataset": train_steps, "eval_dataset": [], "dev": dev_steps}
    ways = {"losses": way or losses, "diary": diary}
    trainer = StudentTrainer(model=model, args=arguments, callbacks=[diary], **data, **ways)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not diary.rows or diary.rows[-1]["step"] < settings.steps:
        trainer.evaluate()
    dev_loss, best_step = diary.best()
    seconds, tokens = diary.rows[-1]["seconds"], trainer.state.num_input_tokens_seen
    rate = diary.tokens / max(1e-9, seconds - diary.before)
    share = record.peak_share(parameters, rate, arguments.device)
    summary = {
        "label": student.label,
        "seed": student.seed,
        "seq2seq": model.config.is_encoder_decoder,
        "steps": settings.steps,
        "precision": precision,
        "seconds": seconds,
        "tokens_per_second": round(rate, 1),
        "padding_share": round(diary.padding_share(), 4),
        "peak_share": None if share is None else round(share, 4),
        "passes": diary.passes,
        "path": "fast" if way else "plain",
        "path_reason": reason,
        "tokens": tokens * arguments.world_size,
        "peak_memory_gb": round(record.peak_memory_gb(model.device), 3),
        "inputs_cut": encoder.cut,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "device": provenance.device_name(),
        "threads": torch.get_num_threads(),
        "dev_loss": dev_loss,
        "best_step": best_step,
    }
    if trainer.is_world_process_zero():
        save(model, tokenizer, folder, precision)
    return summary


def save(model, tokenizer, folder: Path, precision: str) -> None:
    """Put the best weights in and save model and tokenizer; remove what only training needs."""
    model.load_state_dict(load_file(folder / "best.safetensors"), strict=False)
    if precision == "bfloat16" and not hasattr(model, "peft_config"):
        model.to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "best.safetensors").unlink()
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
