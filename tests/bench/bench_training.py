"""Training examples per second: the reference way against ours, for MT+CF, at equal loss.

``python -m tests.bench.bench_training [steps] [batch]`` (also ``make bench WHAT=training``). Reference, as the
authors': each task its own pass, padded to the longest of 1,000 examples, gradient checkpointing,
logits at all positions. Ours: all tasks of a step fused, sorted by length, padded to the longest of
the micro-batch, logits only at targets. Same model, data order, precision and optimiser.
"""

import contextlib
import os
import sys
from pathlib import Path

import torch

from lib.common import methods, paths, profile, provenance
from lib.models import checkpoints
from lib.questions import splits
from lib.students import objectives
from lib.students.batches import Steps
from lib.students.model import IGNORE, Encoder
from lib.students.train import losses
from tests.bench import bench

WEIGHTS = methods.weights("MT+CF")
EXAMPLES = 1000
GPU_ROWS: list[dict] = []  # of the second table, made on a GPU only


def example_pairs(count: int) -> tuple[dict[str, list], str]:
    """Task -> pairs of the released CommonsenseQA texts where they are at hand, else of MiniCQA."""
    os.environ.setdefault("HONEY_SOURCE", str(paths.ROOT.parent / "shared" / "published"))
    if Path(os.environ["HONEY_SOURCE"]).is_dir():
        from lib.questions import release

        questions = splits.load(profile.TaskSettings(name="commonsenseqa", source="published"))[
            "train"
        ]
        texts = release.teacher_table("commonsenseqa").set_index("id").to_dict("index")
        rows = [(q, texts[q.id]) for q in questions[:count]]
        name = "CommonsenseQA"
    else:
        questions = splits.load(profile.TaskSettings(name="minicqa"))["train"]
        reason = (
            "This choice fits best, since the other ones are made for other things in daily life."
        )
        rows = [
            (
                q,
                {
                    "explanation": reason,
                    "revision": f"{reason} {reason}",
                    "counterfactuals": [reason] * 5,
                },
            )
            for q in questions
        ]
        rows = (rows * (count // len(rows) + 1))[:count]
        name = "MiniCQA"
    return {task: [objectives.pair(task, q, t, True) for q, t in rows] for task in WEIGHTS}, name


def reference_step(model, data: Steps, step: int, widths: dict[str, tuple[int, int]]) -> float:
    """The authors' way: a forward and backward pass per task over fixed-size batches."""
    total = 0.0
    for task, weight in WEIGHTS.items():
        rows = [data.examples[task][i] for i in data.chosen(step)]
        batch = data.encoder.collate([*rows, _filler(data.encoder, *widths[task])])
        batch = {name: value[:-1].to(model.device) for name, value in batch.items()}
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        labels = batch["labels"]
        if model.config.is_encoder_decoder:
            inputs["labels"] = labels
        with precision(model):
            logits = model(**inputs, use_cache=False).logits
        loss = weight * torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE
        )
        loss.backward()
        total += loss.item()
    return total


def _filler(encoder: Encoder, inputs: int, labels: int) -> dict:
    return {"input_ids": [1] * inputs, "labels": [1] * (labels if encoder.seq2seq else inputs)}


def our_step(model, data: Steps, step: int) -> float:
    """All tasks in one pass per micro-batch."""
    total = 0.0
    for part in range(data.accumulation):
        batch = {k: v.to(model.device) for k, v in data[step * data.accumulation + part].items()}
        with precision(model):
            loss = losses(model, batch)[0]
        loss.backward()
        total += loss.item()
    return total


def precision(model):
    """bf16 autocast where the hardware has it, for both ways alike."""
    if checkpoints.best_precision() != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)


def t5_shaped(d_model: int, d_ff: int, layers: int, heads: int):
    """A T5-v1.1 of the given shape with random weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128,
        d_model=d_model,
        d_ff=d_ff,
        d_kv=64,
        num_layers=layers,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    return T5ForConditionalGeneration(config)


def qwen3_shaped():
    """A Qwen3-0.6B shape with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=151936,
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=2,
        )
    )


def utilisation(model, data: Steps) -> dict:
    """One line of the GPU table: rate of arithmetic against the measured bf16 matrix ceiling."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        our_step(model, data, 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def steps() -> None:
        for step in range(5):
            our_step(model, data, step)
            optimiser.step()
            optimiser.zero_grad()

    steps()
    torch.cuda.reset_peak_memory_stats()
    taken = bench.seconds(steps) / 5
    size = 8192
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    ceiling = 20 * 2 * size**3 / bench.seconds(lambda: [a @ a for _ in range(20)])
    rate = counter.get_total_flops() / taken
    return {
        "seconds_per_step": taken,
        "tflops": rate / 1e12,
        "ceiling_tflops": ceiling / 1e12,
        "utilisation": rate / ceiling,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9,
        "hours_for_5000_steps": 5000 * taken / 3600,
    }


def encode(model, encoder: Encoder, pairs: dict) -> dict[str, list[dict]]:
    """Task -> examples as the model reads them; token ids are cut to its vocabulary."""
    size = model.config.vocab_size  # random weights do not mind which ids
    return {
        task: [
            {
                name: [i % size if i >= 0 else i for i in ids]
                for name, ids in encoder.example(*pair).items()
            }
            for pair in rows
        ]
        for task, rows in pairs.items()
    }


def measure(
    name: str, model, tokenizer, pairs: dict, steps: int, batch: int, accumulation: int
) -> dict:
    """One line of the table: the same steps both ways, from the same weights."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).train()
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    encoded = encode(model, encoder, pairs)
    widths = {
        task: (max(len(e["input_ids"]) for e in rows), max(len(e["labels"]) for e in rows))
        for task, rows in encoded.items()
    }
    data = Steps(
        encoded, WEIGHTS, encoder, steps=steps + 1, batch_size=batch, accumulation=accumulation
    )
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    curves: dict[str, list[float]] = {}

    def run(way: str) -> None:
        model.load_state_dict(start)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        curves[way] = []
        for step in range(1, steps + 1):
            optimiser.zero_grad()
            one = (
                reference_step(model, data, step, widths)
                if way == "reference"
                else our_step(model, data, step)
            )
            optimiser.step()
            curves[way].append(one)

    def reference() -> None:
        model.gradient_checkpointing_enable()
        run("reference")
        model.gradient_checkpointing_disable()

    our_step(model, data, 0)  # warm up
    if device == "cuda":
        GPU_ROWS.append({"what": name, "batch": batch, **utilisation(model, data)})
        model.load_state_dict(start)
    found = bench.pair(
        f"{name}, MT+CF", "questions/s", steps * batch, reference, lambda: run("ours")
    )
    print(
        f"{name}: losses {[round(x, 4) for x in curves['reference']]} (reference), "
        f"{[round(x, 4) for x in curves['ours']]} (ours); {found['ratio']:.1f} times as fast",
        flush=True,
    )
    return found


def linear(model, tokenizer, pairs: dict) -> None:
    """Seconds of our way against steps and against questions a step, four sizes each; a figure."""
    import matplotlib.pyplot as plt

    from lib.figures import style

    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    encoded = encode(model, encoder, pairs)
    rows = []
    our_step(model, Steps(encoded, WEIGHTS, encoder, steps=1, batch_size=8), 0)  # warm up
    for steps, batch in [(n, 8) for n in (1, 2, 4, 8)] + [(2, n) for n in (4, 8, 16, 32)]:
        data = Steps(
            encoded, WEIGHTS, encoder, steps=steps, batch_size=batch, accumulation=batch // 2
        )
        taken = bench.seconds(
            lambda data=data: [our_step(model, data, i) for i in range(data.steps)]
        )
        model.zero_grad()
        rows.append(
            {
                "what": "steps" if len(rows) < 4 else "questions a step",
                "steps": steps,
                "questions_per_step": batch,
                "seconds": taken,
                "device": provenance.device_name(),
                "commit": provenance.commit(),
            }
        )
    table = bench.finish("training_linear", rows)
    style.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(style.DOUBLE, 2.4), sharey=True)
    for ax, (what, part) in zip(axes, table.groupby("what", sort=False), strict=True):
        x = part["steps" if what == "steps" else "questions_per_step"]
        ax.plot(
            [0, x.max()],
            [0, x.max() * (part["seconds"] * x).sum() / (x**2).sum()],
            color=style.GREY,
            linewidth=0.8,
        )
        ax.plot(x, part["seconds"], "o", color="#0072B2")
        ax.set(
            xlabel=f"{what.capitalize()} ({'8 questions each' if what == 'steps' else '2 steps'})",
            ylabel="Seconds",
            xlim=(0, None),
            ylim=(0, None),
        )
    path = paths.RUNS / "bench" / "training_linear.png"
    figure.savefig(path)
    print(f"Figure: {paths.shown(path)}", flush=True)


def main(steps: int = 2, batch: int = 8) -> None:
    """Measure a T5-small-shaped model and the embedded SmolLM2; on a GPU larger shapes too."""
    checkpoints.quiet()
    pairs, name = example_pairs(EXAMPLES)
    small, tokenizer = checkpoints.load(
        checkpoints.fetch("embedded:smollm2-135m-instruct"), "float32", "cpu"
    )
    gpu = torch.cuda.is_available()
    if gpu:
        steps, batch = 10, 64
    rows = [
        measure(
            f"T5-small shape, {name}",
            t5_shaped(512, 1024, 8, 6),
            tokenizer,
            pairs,
            steps * 2,
            batch,
            1 if gpu else 4,
        ),
        measure(f"SmolLM2-135M, {name}", small, tokenizer, pairs, steps, batch, 1 if gpu else 4),
    ]
    if gpu:
        for what, make in (
            ("T5-large shape", lambda: t5_shaped(1024, 2816, 24, 16)),
            ("Qwen3-0.6B shape", qwen3_shaped),
        ):
            torch.cuda.empty_cache()
            rows.append(measure(f"{what}, {name}", make(), tokenizer, pairs, 3, batch, 2))
        bench.finish("training_gpu", GPU_ROWS)
    bench.finish("training", rows)
    linear(t5_shaped(512, 1024, 8, 6).to("cuda" if gpu else "cpu").train(), tokenizer, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
