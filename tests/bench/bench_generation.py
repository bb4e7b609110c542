"""Texts per second of the teacher: every full prompt on its own against the shared prefix.

``python -m tests.bench.bench_generation [questions] [precision]`` (also ``make bench
WHAT=generation``). Reference: full prompts in dataset order, left-padded to the longest of the
batch, transformers' ``generate`` until the whole batch is done or at the token limit. Ours:
lib.models.decoding. Same model, same prompts, greedy; the share of identical texts is printed
(float32; bf16 flips near ties).
"""

import itertools
import sys

import torch

from lib.common import profile
from lib.models import checkpoints, decoding
from lib.models.batching import by_length
from lib.questions import splits
from lib.teacher import prompt
from tests.bench import bench

MODEL = "embedded:smollm2-135m-instruct"
LIMITS = {"explanation": 160, "critique": 300, "revision": 300}  # new tokens, as in the paper


def prompts_of(kind: str, questions, texts: dict) -> list[prompt.Prompt]:
    """Seven-shot prompts (six for critiques) of one kind, all behind the same worked examples."""
    prefix = prompt.prefixes(texts, 7, 1, 0)[0]
    draft = "It is the usual thing, and people know it from everyday life."
    fault = "The text does not say why, and it leaves out the other choices."
    cases = [prompt.case(q, q.answer, draft, fault) for q in questions]
    requests = itertools.cycle(texts["requests"][:8])
    if kind == "explanation":
        return [prompt.explain(case, prefix) for case in cases]
    if kind == "critique":
        return [prompt.critique(case, next(requests), prefix) for case in cases]
    return [prompt.revise(case, next(requests), prefix, True) for case in cases]


def naive(model, tokenizer, texts: list[str], limit: int) -> list[str]:
    """Full prompts, dataset order, whole batches to the end."""
    tokenizer.padding_side = "left"
    found, size = [], 64 if model.device.type == "cuda" else 16
    for start in range(0, len(texts), size):
        batch = tokenizer(texts[start : start + size], return_tensors="pt", padding=True)
        batch = batch.to(model.device)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=limit, do_sample=False)
        new = out[:, batch["input_ids"].shape[1] :]
        found += [
            prompt.clean(text) for text in tokenizer.batch_decode(new, skip_special_tokens=True)
        ]
    return found


def shared(decoder: decoding.Decoder, texts: list[str], limit: int) -> list[str]:
    """Ours: by length, prefix read once, rows leave when their line is complete."""
    found = [""] * len(texts)
    for part in by_length(texts, 128):
        for i, text in zip(part, decoder.texts([texts[i] for i in part], limit), strict=True):
            found[i] = prompt.clean(text)
    return found


def main(count: str = "48", precision: str = "float32") -> None:
    """Measure all kinds on MiniCQA questions and write the table."""
    checkpoints.quiet()
    count = int(count)
    model, tokenizer = checkpoints.load(checkpoints.fetch(MODEL), precision)
    decoder = decoding.Decoder(model, tokenizer)
    questions = splits.load(profile.TaskSettings(name="minicqa"))["train"]
    questions = (questions * (count // len(questions) + 1))[:count]
    texts, rows = prompt.read("minicqa"), []
    for kind, limit in LIMITS.items():
        rendered = [prompt.render(p, tokenizer, False) for p in prompts_of(kind, questions, texts)]
        tokens = [len(ids) for ids in tokenizer(rendered)["input_ids"]]
        found: dict[str, list[str]] = {}

        def reference(rendered=rendered, limit=limit, found=found):
            found["reference"] = naive(model, tokenizer, rendered, limit)

        def ours(rendered=rendered, limit=limit, found=found):
            decoder.read_prefix.cache_clear()
            found["ours"] = shared(decoder, rendered, limit)

        reference(rendered[:2], 2)  # both ways warm up on two prompts
        ours(rendered[:2], 2)
        what = f"{kind}, {min(tokens)}-{max(tokens)} tokens a prompt, {precision}"
        rows.append(bench.pair(what, "texts/s", count, reference, ours))
        both = list(zip(found["reference"], found["ours"], strict=True))
        print(f"{kind}: {sum(a == b for a, b in both)} of {count} texts identical", flush=True)
        for a, b in both:
            if a != b and count <= 64:
                print(f"  differs:\n    {a}\n    {b}", flush=True)
        bench.finish("generation" if precision == "float32" else f"generation_{precision}", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
