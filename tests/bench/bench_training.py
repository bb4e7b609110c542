"""Training examples per second: the reference way against ours, for MT+CF, at equal loss.

``python -m tests.bench.bench_training [steps] [batch]`` (also ``make bench WHAT=training``).
Reference, as the authors': each objective its own pass, padded to the longest of 1,000 examples,
gradient checkpointing, logits at all positions. Ours: all objectives of a step fused, sorted by
length, padded to the longest of the pass, logits only at targets. Same model, data order,
precision and optimiser. (On a GPU: ``make gpu``.)
"""

import sys

import torch

from lib.common import methods, provenance
from lib.models import checkpoints
from lib.students.data import Encoder, Steps
from lib.students.model import losses
from tests.bench import bench, material

WEIGHTS = methods.weights("MT+CF")
EXAMPLES = 1000


def encode(model, encoder: Encoder, pairs: dict) -> dict[str, list[dict]]:
    """Objective -> examples as the model reads them; token ids are cut to its vocabulary."""
    size = model.config.vocab_size  # random weights do not mind which ids
    return {
        objective: [
            {name: [i % size if i >= 0 else i for i in ids] for name, ids in example.items()}
            for example in encoder.examples(rows)
        ]
        for objective, rows in pairs.items()
    }


def train(model, data: Steps, loss) -> list[float]:
    """Losses of all optimiser steps but the first, which is for warming up."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    found = []
    for number in range(1, len(data)):
        passes = material.put(data[number]["passes"], model.device)
        found.append(material.one_step(model, optimiser, passes, loss).item())
    return found


def measure(name: str, model, tokenizer, pairs, steps: int, batch: int, accumulation: int) -> dict:
    """One line of the table: the same steps both ways, from the same weights."""
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    sizes = (encode(model, encoder, pairs), WEIGHTS, encoder, steps + 1, batch)
    plain, ours_data = material.AuthorsSteps(*sizes), Steps(*sizes, accumulation)
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    curves = {}

    def reference() -> None:
        model.load_state_dict(start)
        model.gradient_checkpointing_enable()
        curves["reference"] = train(model, plain, material.authors_loss)
        model.gradient_checkpointing_disable()

    def ours() -> None:
        model.load_state_dict(start)
        curves["ours"] = train(model, ours_data, losses)

    backward(model, ours_data[0])  # warm up
    model.zero_grad()
    found = bench.pair(f"{name}, MT+CF", "questions/s", steps * batch, reference, ours)
    rounded = {way: [round(loss, 4) for loss in curve] for way, curve in curves.items()}
    print(f"{name}: losses {rounded}; {found['ratio']:.1f} times as fast", flush=True)
    return found


def backward(model, item: dict) -> None:
    """Forward and backward of a step."""
    for batch in material.put(item["passes"], model.device):
        with material.precision(model):
            loss, _ = losses(model, batch)
        loss.backward()


def linear(model, tokenizer, pairs: dict) -> None:
    """Seconds of our way against steps and against questions a step, four sizes each."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    encoded, rows = encode(model, encoder, pairs), []
    backward(model, Steps(encoded, WEIGHTS, encoder, 1, 8)[0])  # warm up
    for what, sizes in (
        ("steps", [(1, 8), (2, 8), (4, 8), (8, 8)]),
        ("questions a step", [(2, 4), (2, 8), (2, 16), (2, 32)]),
    ):
        for steps, batch in sizes:
            data = Steps(encoded, WEIGHTS, encoder, steps, batch, batch // 2)
            work = lambda data=data: [backward(model, data[i]) for i in range(len(data))]  # noqa: E731
            row = {"what": what, "steps": steps, "questions_per_step": batch}
            rows.append(row | {"seconds": bench.seconds(work), "device": provenance.device_name()})
            rows[-1]["commit"] = provenance.commit()
            model.zero_grad()
    bench.finish("training_linear", rows)


def main(steps: int = 2, batch: int = 8) -> None:
    """Measure a T5-small-shaped model and the embedded SmolLM2."""
    checkpoints.quiet()
    pairs, name = material.example_pairs(WEIGHTS, EXAMPLES)
    source = checkpoints.fetch("embedded:smollm2-135m-instruct")
    small, tokenizer = checkpoints.load(source, "float32", "cpu")
    t5 = material.model_of("T5-small")
    rows = [
        measure(f"T5-small shape, {name}", t5, tokenizer, pairs, steps * 2, batch, 4),
        measure(f"SmolLM2-135M, {name}", small, tokenizer, pairs, steps, batch, 4),
    ]
    bench.finish("training", rows)
    linear(t5, tokenizer, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
