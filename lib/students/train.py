"""Training one student: fused weighted losses through transformers' Trainer, resumable, exact."""

import shutil
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from lib.common import files, paths, provenance
from lib.common.errors import UserError
from lib.common.methods import OBJECTIVES
from lib.common.profile import StudentModel, TrainingSettings
from lib.common.progress import duration
from lib.models import checkpoints
from lib.students import resources
from lib.students.batches import Steps
from lib.students.model import IGNORE, Encoder, adapt, target_logits


def losses(
    model, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted loss of a micro-batch, and per task the summed loss and the target tokens [4]."""
    wanted = batch["labels"] != IGNORE
    logits, labels = target_logits(model, batch)
    nll = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    task = batch["task"][wanted]
    sums = torch.zeros(len(OBJECTIVES), device=nll.device).index_add_(0, task, nll.detach())
    return (
        (nll * batch["weight"][task]).sum(),
        sums,
        torch.bincount(task, minlength=len(OBJECTIVES)),
    )


def task_means(sums: torch.Tensor, counts: torch.Tensor) -> dict[str, float]:
    """Mean token loss of each task that has target tokens, from ``losses``' sums and counts [4]."""
    return {task: float(s / c) for task, s, c in zip(OBJECTIVES, sums, counts, strict=True) if c}


class StudentTrainer(Trainer):
    """Trainer whose loss is the weighted sum of task losses and whose data are ``Steps``."""

    loss_is_scaled_for_ga = True  # the weights already count the whole step

    def __init__(self, *, dev: Steps, **options):
        super().__init__(**options)
        self.dev = dev
        self.sums = torch.zeros(len(OBJECTIVES))
        self.counts = torch.zeros(len(OBJECTIVES))

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, sums, counts = losses(model, inputs)
        self.sums += sums.cpu()
        self.counts += counts.cpu()
        self.state.num_input_tokens_seen += int(
            inputs["attention_mask"].sum()
        )  # in checkpoints, too
        return loss * self.args.world_size  # data parallel averages gradients over processes

    def task_losses(self) -> dict[str, float]:
        """Mean token loss per task since the last call."""
        means = task_means(self.sums, self.counts)
        self.sums.zero_()
        self.counts.zero_()
        return means

    @torch.no_grad()
    def evaluate(self, *_, **__) -> dict[str, float]:
        """Mean token loss per task on the dev questions, and their weighted sum as eval_loss."""
        self.model.eval()
        sums, counts = torch.zeros(len(OBJECTIVES)), torch.zeros(len(OBJECTIVES))
        for item in range(len(self.dev)):
            with self.compute_loss_context_manager():
                _, more, n = losses(self.model, self._prepare_inputs(self.dev[item]))
            sums, counts = sums + more.cpu(), counts + n.cpu()
        self.model.train()
        means = task_means(sums, counts)
        metrics = {f"eval_{task}": value for task, value in means.items()}
        metrics["eval_loss"] = sum(self.dev.weights[task] * value for task, value in means.items())
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class Diary(TrainerCallback):
    """Keeps the loss history, prints one line per evaluation or 30 s, and keeps the best weights."""

    def __init__(self, folder: Path, label: str, steps: int, done: int):
        """``done``: step of the checkpoint that training goes on from; later rows are dropped."""
        self.folder, self.label, self.steps = folder, label, steps
        self.trainer: StudentTrainer | None = None  # is made with this diary
        self.path = folder / "history.csv"
        rows = pd.read_csv(self.path).to_dict("records") if self.path.is_file() else []
        self.rows = [row for row in rows if row["step"] <= done]
        self.before = max((row["seconds"] for row in self.rows), default=0.0)  # earlier sessions

    def best(self) -> tuple[float, int]:
        """Dev loss and step of the best evaluation so far."""
        return min(
            (row["loss"], row["step"])
            for row in self.rows
            if row["split"] == "dev" and row["task"] == "loss"
        )

    def on_train_begin(self, args, state, control, **kwargs):
        self.first, self.tokens_before = state.global_step, state.num_input_tokens_seen
        self.started = self.printed = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        now = time.monotonic()
        if (
            now - self.printed > 30
            and state.global_step < self.steps
            and state.is_world_process_zero
        ):
            self.printed = now
            self._print(state.global_step)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        step, seconds = state.global_step, self.before + time.monotonic() - self.started
        dev = {key.removeprefix("eval_"): value for key, value in metrics.items()}
        for split, values in (("train", self.trainer.task_losses()), ("dev", dev)):
            for task, value in values.items():
                self.rows.append(
                    {
                        "step": step,
                        "split": split,
                        "task": task,
                        "loss": value,
                        "seconds": round(seconds, 2),
                    }
                )
        if not state.is_world_process_zero:
            return
        if self.best()[1] == step:
            weights = {
                name: value.detach().cpu().contiguous()
                for name, value in self.trainer.model.named_parameters()
                if value.requires_grad
            }
            temporary = self.folder / ".best.safetensors"
            save_file(weights, temporary)
            temporary.rename(self.folder / "best.safetensors")
        files.write_csv(self.path, pd.DataFrame(self.rows))
        self.printed = time.monotonic()
        self._print(step, f"dev loss {metrics['eval_loss']:.3f}")

    def on_save(self, args, state, control, **kwargs):
        """Write the checkpoint's hashes last: without them it does not count."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        hashes = {path.name: files.sha256_file(path) for path in sorted(folder.iterdir())}
        files.write_json(folder / "hashes.json", hashes)

    def _print(self, step: int, note: str = "") -> None:
        elapsed = time.monotonic() - self.started
        rate = (step - self.first) / elapsed if elapsed else 0.0
        eta = (
            f" | ETA {duration((self.steps - step) / rate)}"
            if 0 < rate and step < self.steps
            else ""
        )
        tokens = self.trainer.state.num_input_tokens_seen - self.tokens_before
        print(
            f"{self.label} | step {step}/{self.steps} | {tokens / elapsed:.0f} tokens/s{eta}"
            + (f" | {note}" if note else ""),
            flush=True,
        )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; damaged or half-written ones are removed, with a line."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        try:
            hashes = files.read_json(path / "hashes.json", "training")
            whole = all(files.sha256_file(path / name) == value for name, value in hashes.items())
        except (OSError, UserError):
            whole = False
        if whole:
            return path
        print(f"{paths.shown(path)} is not whole; it is removed.", flush=True)
        shutil.rmtree(path)
    return None


def train(
    model_settings: StudentModel,
    weights: dict[str, float],
    pairs: dict[str, dict[str, list]],
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    label: str,
) -> dict:
    """Train one student in ``folder`` and save it there; returns its record.

    ``pairs``: split (train, dev) -> task -> [(input, target), ...], questions in the same order
    for every task. Goes on from the newest whole checkpoint in the folder. The weights that did
    best on dev are saved as safetensors with the tokenizer; checkpoints are then removed. Under
    ``accelerate launch`` each process takes its part of every micro-batch, and the first one writes.
    """
    resources.reset_peak_memory()
    energy = resources.joules()
    set_seed(seed)
    source = checkpoints.fetch(model_settings.model)
    model, tokenizer = checkpoints.load(
        source, "4bit" if model_settings.base == "4bit" else "float32"
    )
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    model = adapt(model, model_settings)
    examples = {
        split: {task: [encoder.example(*pair) for pair in rows] for task, rows in tasks.items()}
        for split, tasks in pairs.items()
    }
    precision = settings.precision if settings.precision != "auto" else checkpoints.best_precision()
    checkpoint = last_checkpoint(folder)
    done = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        seed=seed,
        data_seed=seed,
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
        report_to=[],
        disable_tqdm=True,
        ignore_data_skip=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        average_tokens_across_devices=False,
        ddp_find_unused_parameters=False,
    )
    rank, world = arguments.process_index, arguments.world_size
    data = Steps(
        examples["train"],
        weights,
        encoder,
        steps=settings.steps,
        batch_size=settings.batch_size,
        accumulation=settings.accumulation,
        seed=seed,
        start=done,
        rank=rank,
        world=world,
    )
    questions = len(next(iter(examples["dev"].values())))
    dev = Steps(
        examples["dev"],
        weights,
        encoder,
        steps=-(-questions // 20),
        batch_size=min(20, questions),
        once=True,
    )
    diary = Diary(folder, label, settings.steps, done)
    trainer = StudentTrainer(
        model=model, args=arguments, train_dataset=data, dev=dev, eval_dataset=[], callbacks=[diary]
    )
    diary.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not diary.rows or diary.rows[-1]["step"] < settings.steps:
        trainer.evaluate()
    seconds, (dev_loss, best_step) = diary.rows[-1]["seconds"], diary.best()
    tokens = trainer.state.num_input_tokens_seen
    record = {
        "label": label,
        "seed": seed,
        "seq2seq": model.config.is_encoder_decoder,
        "steps": settings.steps,
        "precision": precision,
        "seconds": seconds,
        "tokens_per_second": round(
            (tokens - diary.tokens_before) / max(1e-9, seconds - diary.before), 1
        ),
        "tokens": tokens * world,
        "joules": resources.spent(energy),
        "peak_memory_gb": round(resources.peak_memory_gb(model.device), 3),
        "inputs_cut": encoder.cut,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "device": provenance.device_name(),
        "threads": torch.get_num_threads(),
        "dev_loss": dev_loss,
        "best_step": best_step,
    }
    if trainer.is_world_process_zero():
        save(model, tokenizer, folder, precision)
    return record


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
