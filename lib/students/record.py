"""What is kept of a student beside its weights: its model card, and what its training took."""

import contextlib
import ctypes
import gc
import re
import resource
import sys
from pathlib import Path

import pandas as pd
import torch

from lib.common import files, methods
from lib.common.profile import Profile
from lib.common.tables import melt_table
from lib.students import objectives
from lib.students.grid import Student

PEAKS = {  # dense bf16 arithmetic in 10^12 a second (T4: fp16), from NVIDIA's data sheets
    "H100 PCIe": 756, "H100 NVL": 835, "H200 NVL": 835, "H100": 989, "H200": 989, "A100": 312,
    "L40S": 362, "L4": 121, "A10": 125, "RTX 4090": 165, "T4": 65,
}  # fmt: skip
CARD = """
# {label}

A student of the profile `{profile}`, fine-tuned from `{model}` ({trained_parameters:,} parameters
trained) on {dataset} with {texts} (method {method}). It was trained for {steps} steps; these are
the weights of step {best_step}, the best on the dev split. The test split was not read.

| objective | weight in the loss | dev loss (mean over tokens) |
| --- | --- | --- |
{losses}

Seed {seed}, {precision}, {seconds:.0f} s on {device}, commit {provenance[commit]}, data
{key[data]}.

## Use

Input: `{example}`. {ask}
`lib.students.model.load_student` loads it; so does `from_pretrained` of {library}.

The student repeats what its teacher wrote, faults included; it is meant for research on
explanations, not for advice.
"""


def write_card(folder: Path, settings: Profile, student: Student, record: dict) -> None:
    """Write README.md, for people and for the hub, from a student's record and loss history."""
    from huggingface_hub import ModelCard, ModelCardData

    method, texts = methods.split_arm(student.arm)
    asked = methods.answer_objective(method)
    tags = objectives.TAGS[settings.training_of(student.variant).tags]
    tag = tags[methods.OBJECTIVES.index(asked)]
    history = pd.read_csv(folder / "history.csv")
    best = history[(history["split"] == "dev") & (history["step"] == record["best_step"])]
    dev = best.set_index("task")["loss"]
    rows = [f"| {name} | {w:g} | {dev[name]:.4f} |" for name, w in record["weights"].items()]
    library = "peft" if (folder / "adapter_config.json").is_file() else "transformers"
    kind, _, checkpoint = student.model.model.partition(":")  # only hub: names what the hub knows
    data = ModelCardData(
        library_name=library,
        language="en",
        base_model=checkpoint.partition("@")[0] if kind == "hub" else None,
        tags=["knowledge-distillation", "explanations", asked],
    )
    text = CARD.format(
        **record,
        profile=settings.name,
        model=student.model.model,
        method=method,
        dataset=settings.task.name,
        losses="\n".join(rows),
        texts=f"{texts.lower()} explanations" if texts else "answers only",
        example=f"{tag if record['seq2seq'] else ''}<question> Choices: (A) <choice> (B) <choice>",
        ask="" if record["seq2seq"] else f"Then a line break, `{tag.strip()}` and a line break.",
        library="peft (an adapter)" if library == "peft" else library,
    )
    files.write_text(folder / "README.md", str(ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")))


def cost_statistics(trained: pd.DataFrame) -> pd.DataFrame:
    """Cost of every student (see ``jobs.train_all``) as a long table of statistics."""
    names = trained["arm"] + " " + trained["size"] + " seed " + trained["seed"].astype(str)
    kinds = ["seconds", "peak_memory_gb", "tokens_per_second", "best_step"]
    costs = trained[kinds + [name for name in ("padding_share", "peak_share") if name in trained]]
    return melt_table(costs.assign(student=names), "cost", ["student"], "training")


def reset_peak_memory() -> None:
    """Give unused memory back and start measuring the peak anew (on Linux; elsewhere it is the
    whole process's)."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; absent with other libcs
        if trim is not None:
            trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory_gb(device: torch.device) -> float:
    """Peak since ``reset_peak_memory``: allocated on the GPU, or this process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    with contextlib.suppress(OSError, IndexError):  # where there is no /proc, or not this line
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def peak_flops(device: torch.device | str) -> float | None:
    """The card's peak of dense bf16 arithmetic, operations a second; None on a CPU, on a part of a
    card (MIG) and where the name says nothing."""
    if torch.device(device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = (10**12 * peak for card, peak in PEAKS.items() if re.search(rf"\b{card}\b", name))
    return None if "MIG" in name else next(known, None)


def peak_share(
    parameters: int, tokens_per_second: float, device: torch.device | str
) -> float | None:
    """Model FLOPs utilisation: 6 x parameters x tokens a second over the card's peak (0 to 1), or
    None without one. PaLM's formula (Chowdhery et al. 2022) without its term for attention; a
    model whose weights are partly frozen does less than that."""
    peak = peak_flops(device)
    return 6 * parameters * tokens_per_second / peak if peak else None
