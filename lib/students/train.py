"""Training one student: fused weighted losses through transformers' Trainer, resumable, exact."""

import os
import shutil
import time
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
from lib.students import record
from lib.students.data import IGNORE, Encoder, Steps
from lib.students.grid import Student, is_whole
from lib.students.model import adapt, base_precision, target_logits


def losses(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted loss of a micro-batch; by objective its summed loss and target tokens [2, 4]."""
    logits, labels = target_logits(model, batch)
    nll = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    objective = batch["objective"][batch["labels"] != IGNORE]
    sums = torch.zeros(len(OBJECTIVES), device=nll.device).index_add_(0, objective, nll.detach())
    counts = torch.bincount(objective, minlength=len(OBJECTIVES))
    return (nll * batch["weight"][objective]).sum(), torch.stack([sums, counts]).cpu()


def means(totals: torch.Tensor) -> dict[str, float]:
    """Objective -> mean token loss, of those with target tokens, from sums and counts [2, 4]."""
    return {
        name: float(total / count)
        for name, total, count in zip(OBJECTIVES, *totals, strict=True)
        if count
    }


class StudentTrainer(Trainer):
    """Trainer whose loss is the weighted sum of the objectives' and whose data are ``Steps``."""

    loss_is_scaled_for_ga = True  # the weights already count the whole step

    def __init__(self, *, dev: Steps, **options):
        super().__init__(**options)
        self.dev, self.totals = dev, torch.zeros(2, len(OBJECTIVES))

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, totals = losses(model, inputs)
        self.totals += totals
        self.state.num_input_tokens_seen += int(inputs["attention_mask"].sum())
        return loss * self.args.world_size  # data parallel averages gradients over processes

    @torch.no_grad()
    def evaluate(self, *_, **__) -> dict[str, dict[str, float]]:
        """Mean token losses by objective: train since the last evaluation, and dev, whose ``loss``
        is their weighted sum."""
        self.model.eval()
        totals = torch.zeros(2, len(OBJECTIVES))
        for item in range(len(self.dev)):
            with self.compute_loss_context_manager():
                totals += losses(self.model, self._prepare_inputs(self.dev[item]))[1]
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

    def __init__(self, folder: Path, label: str, steps: int, done: int):
        """``done``: step of the checkpoint that training goes on from; later rows are dropped."""
        self.folder, self.label = folder, label
        self.path = folder / "history.csv"
        rows = pd.read_csv(self.path).to_dict("records") if self.path.is_file() else []
        self.rows = [row for row in rows if row["step"] <= done]
        self.before = max((row["seconds"] for row in self.rows), default=0.0)  # earlier sessions
        self.progress = Progress(label, steps, "steps")
        self.progress.skip(done)

    def best(self) -> tuple[float, int]:
        """Dev loss and step of the best evaluation so far."""
        return min(
            (row["loss"], row["step"])
            for row in self.rows
            if row["split"] == "dev" and row["task"] == "loss"
        )

    def on_train_begin(self, args, state, control, **kwargs):
        self.tokens_before, self.started = state.num_input_tokens_seen, time.monotonic()

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
    of every micro-batch, and the first one writes.
    """
    record.reset_peak_memory()
    set_seed(student.seed)
    source = checkpoints.fetch(student.model.model)
    model, tokenizer = checkpoints.load(source, base_precision(student.model))
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    model = adapt(model, student.model)
    examples = {
        split: {name: [encoder.example(*pair) for pair in rows] for name, rows in part.items()}
        for split, part in pairs.items()
    }
    precision = settings.precision if settings.precision != "auto" else checkpoints.best_precision()
    checkpoint, done = last_checkpoint(folder)
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)  # a launcher's; the profile says it
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        seed=student.seed,
        gradient_accumulation_steps=settings.accumulation,
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
        accumulation=settings.accumulation,
        seed=student.seed,
        start=done,
        rank=arguments.process_index,
        world=arguments.world_size,
    )
    questions = len(next(iter(examples["dev"].values())))
    batch = min(20, questions)
    count = -(-questions // batch)
    dev_steps = Steps(examples["dev"], weights, encoder, count, batch, once=True)
    diary = Diary(folder, student.label, settings.steps, done)
    data = {"train_dataset": train_steps, "eval_dataset": [], "dev": dev_steps}
    trainer = StudentTrainer(model=model, args=arguments, callbacks=[diary], **data)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not diary.rows or diary.rows[-1]["step"] < settings.steps:
        trainer.evaluate()
    dev_loss, best_step = diary.best()
    seconds, tokens = diary.rows[-1]["seconds"], trainer.state.num_input_tokens_seen
    rate = (tokens - diary.tokens_before) / max(1e-9, seconds - diary.before)
    summary = {
        "label": student.label,
        "seed": student.seed,
        "seq2seq": model.config.is_encoder_decoder,
        "steps": settings.steps,
        "precision": precision,
        "seconds": seconds,
        "tokens_per_second": round(rate, 1),
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
