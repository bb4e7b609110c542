"""Training examples per second: the reference way against ours, for MT+CF, at equal loss.

``python -m tests.bench.bench_training [steps] [batch]`` (also ``make bench WHAT=training``).
Reference, as the authors': each objective its own pass, padded to the longest of 1,000 examples,
gradient checkpointing, logits at all positions. Ours: all objectives of a step fused, sorted by
length, padded to the longest of the micro-batch, logits only at targets. Same model, data order,
precision and optimiser. On a GPU larger shapes, too, and the rate of arithmetic.
"""

import contextlib
import itertools
import os
import sys
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM, T5Config, T5ForConditionalGeneration

from lib.common import methods, paths, profile, provenance
from lib.models import checkpoints
from lib.questions import release, splits
from lib.students import objectives
from lib.students.data import IGNORE, Encoder, Steps
from lib.students.train import losses
from tests.bench import bench

WEIGHTS = methods.weights("MT+CF")
EXAMPLES = 1000
GPU = torch.cuda.is_available()
REASON = "This choice fits best, since the other ones are made for other things in daily life."


def example_pairs() -> tuple[dict[str, list], str]:
    """Objective -> pairs of the released CommonsenseQA texts where they are at hand, else of
    MiniCQA with one text for all."""
    os.environ.setdefault("HONEY_SOURCE", str(paths.ROOT.parent / "shared" / "published"))
    recipe = objectives.Recipe(revised=True)
    if Path(os.environ["HONEY_SOURCE"]).is_dir():
        name, source = "commonsenseqa", "published"
        texts = release.teacher_table(name).set_index("id").to_dict("index")
    else:
        name, source = "minicqa", "default"
        plain = {"explanation": REASON, "revision": 2 * REASON, "counterfactuals": [REASON] * 5}
        texts = {}
    questions = splits.load(profile.TaskSettings(name=name, source=source))["train"]
    chosen = list(itertools.islice(itertools.cycle(questions), EXAMPLES))
    pairs = {
        objective: [
            objectives.pair(objective, q, texts[q.id] if texts else plain, recipe) for q in chosen
        ]
        for objective in WEIGHTS
    }
    return pairs, name


def encode(model, encoder: Encoder, pairs: dict) -> dict[str, list[dict]]:
    """Objective -> examples as the model reads them; token ids are cut to its vocabulary."""
    size = model.config.vocab_size  # random weights do not mind which ids
    return {
        objective: [
            {
                name: [i % size if i >= 0 else i for i in ids]
                for name, ids in encoder.example(*pair).items()
            }
            for pair in rows
        ]
        for objective, rows in pairs.items()
    }


def precision(model):
    """bf16 autocast where the hardware has it, for both ways alike."""
    if checkpoints.best_precision() != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)


def reference_step(model, data: Steps, step: int, longest: dict[str, dict]) -> float:
    """The authors' way: a forward and backward pass per objective over fixed-size batches."""
    total = 0.0
    for objective, weight in WEIGHTS.items():
        rows = [data.examples[objective][i] for i in data.questions_of(step)]
        batch = data.encoder.collate([*rows, longest[objective]])  # as wide as the longest
        batch = {name: value[:-1].to(model.device) for name, value in batch.items()}
        labels = batch["labels"] if data.encoder.seq2seq else None
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        with precision(model):
            logits = model(**inputs, labels=labels, use_cache=False).logits
        loss = weight * torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE
        )
        loss.backward()
        total += loss.item()
    return total


def our_step(model, data: Steps, step: int) -> float:
    """All objectives in one pass per micro-batch."""
    total = 0.0
    for item in range(step * data.accumulation, (step + 1) * data.accumulation):
        batch = {name: value.to(model.device) for name, value in data[item].items()}
        with precision(model):
            loss, _ = losses(model, batch)
        loss.backward()
        total += loss.item()
    return total


def train(model, step, steps: range) -> list[float]:
    """Losses of some optimiser steps; ``step(number)`` is one pass forward and backward."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    found = []
    for number in steps:
        optimiser.zero_grad()
        found.append(step(number))
        optimiser.step()
    return found


def measure(name: str, model, tokenizer, pairs, steps: int, batch: int, accumulation: int) -> dict:
    """One line of the table: the same steps both ways, from the same weights."""
    model = model.to("cuda" if GPU else "cpu").train()
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    data = Steps(encode(model, encoder, pairs), WEIGHTS, encoder, steps + 1, batch, accumulation)
    longest = {}
    for objective, rows in data.examples.items():
        widths = {key: max(len(row[key]) for row in rows) for key in ("input_ids", "labels")}
        longest[objective] = {key: [1] * width for key, width in widths.items()}
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    curves = {}

    def reference() -> None:
        model.load_state_dict(start)
        model.gradient_checkpointing_enable()
        step = lambda number: reference_step(model, data, number, longest)  # noqa: E731
        curves["reference"] = train(model, step, range(1, steps + 1))
        model.gradient_checkpointing_disable()

    def ours() -> None:
        model.load_state_dict(start)
        step = lambda number: our_step(model, data, number)  # noqa: E731
        curves["ours"] = train(model, step, range(1, steps + 1))

    our_step(model, data, 0)  # warm up
    found = bench.pair(f"{name}, MT+CF", "questions/s", steps * batch, reference, ours)
    rounded = {way: [round(loss, 4) for loss in curve] for way, curve in curves.items()}
    print(f"{name}: losses {rounded}; {found['ratio']:.1f} times as fast", flush=True)
    return found


def utilisation(name: str, model, tokenizer, pairs, batch: int, accumulation: int) -> dict:
    """One line of the GPU table: rate of arithmetic against the measured bf16 matrix ceiling."""
    from torch.utils.flop_counter import FlopCounterMode

    model = model.to("cuda").train()
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    data = Steps(encode(model, encoder, pairs), WEIGHTS, encoder, 5, batch, accumulation)
    step = lambda number: our_step(model, data, number)  # noqa: E731
    with FlopCounterMode(display=False) as counter:
        step(0)
    train(model, step, range(5))  # warm up
    torch.cuda.reset_peak_memory_stats()
    taken = bench.seconds(lambda: train(model, step, range(5))) / 5
    peak = torch.cuda.max_memory_allocated() / 1e9
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    bench.seconds(lambda: [a @ a for _ in range(3)])
    ceiling = 20 * 2 * 8192**3 / bench.seconds(lambda: [a @ a for _ in range(20)])
    rate = counter.get_total_flops() / taken
    return {
        "what": name,
        "batch": batch,
        "seconds_per_step": taken,
        "tflops": rate / 1e12,
        "ceiling_tflops": ceiling / 1e12,
        "utilisation": rate / ceiling,
        "peak_memory_gb": peak,
    }


def linear(model, tokenizer, pairs: dict) -> None:
    """Seconds of our way against steps and against questions a step, four sizes each."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    encoded, rows = encode(model, encoder, pairs), []
    our_step(model, Steps(encoded, WEIGHTS, encoder, 1, 8), 0)  # warm up
    for what, sizes in (
        ("steps", [(1, 8), (2, 8), (4, 8), (8, 8)]),
        ("questions a step", [(2, 4), (2, 8), (2, 16), (2, 32)]),
    ):
        for steps, batch in sizes:
            data = Steps(encoded, WEIGHTS, encoder, steps, batch, batch // 2)
            work = lambda data=data: [our_step(model, data, i) for i in range(data.steps)]  # noqa: E731
            row = {"what": what, "steps": steps, "questions_per_step": batch}
            rows.append(row | {"seconds": bench.seconds(work), "device": provenance.device_name()})
            rows[-1]["commit"] = provenance.commit()
            model.zero_grad()
    bench.finish("training_linear", rows)


def t5_shaped(d_model: int, d_ff: int, layers: int, heads: int):
    """A T5-v1.1 of the given shape with random weights."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128,
        d_model=d_model,
        d_ff=d_ff,
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
    torch.manual_seed(0)
    config = Qwen3Config(
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
    return Qwen3ForCausalLM(config)


def main(steps: int = 10 if GPU else 2, batch: int = 64 if GPU else 8) -> None:
    """Measure a T5-small-shaped model and the embedded SmolLM2; on a GPU larger shapes too."""
    checkpoints.quiet()
    pairs, name = example_pairs()
    source = checkpoints.fetch("embedded:smollm2-135m-instruct")
    small, tokenizer = checkpoints.load(source, "float32", "cpu")
    parts = 1 if GPU else 4
    t5 = t5_shaped(512, 1024, 8, 6)
    rows = [
        measure(f"T5-small shape, {name}", t5, tokenizer, pairs, steps * 2, batch, parts),
        measure(f"SmolLM2-135M, {name}", small, tokenizer, pairs, steps, batch, parts),
    ]
    if GPU:
        large = {
            "T5-large shape": t5_shaped(1024, 2816, 24, 16),
            "Qwen3-0.6B shape": qwen3_shaped(),
        }
        gpu_rows = []
        for what, model in large.items():
            gpu_rows.append(utilisation(what, model, tokenizer, pairs, batch, 2))
            rows.append(measure(f"{what}, {name}", model, tokenizer, pairs, 3, batch, 2))
            model.cpu()
        bench.finish("training_gpu", gpu_rows)
    bench.finish("training", rows)
    linear(t5, tokenizer, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
