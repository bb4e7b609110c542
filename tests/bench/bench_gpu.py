"""What only a GPU can show, in six minutes: ``make gpu``, or ``python -m tests.bench.bench_gpu``.

The tests marked gpu, then speed and memory of training (the plain and the fast path in the same
run), answering, the teacher and a start. Random weights of known shapes, random token ids of
realistic lengths: nothing is downloaded. Writes data/runs/bench/gpu.csv and gpu.json after each
part. ``--tiny`` runs the same code with tiny models on any machine; names of parts run only these.
"""

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pandas as pd
import torch

from lib.common import files, methods, paths, provenance
from lib.models import checkpoints, decoding, likelihood
from lib.students import fast, record
from lib.students.data import Steps
from lib.students.model import losses
from tests.bench import bench, material
from tests.bench.parts import reason_of, rows_of, true_in_fork

EMBEDDED = "embedded:smollm2-135m-instruct"
LIMIT = 350  # seconds of all parts together
WAYS = {  # pieces of the fast path: are rows packed, are blocks compiled
    "loss in chunks": (False, False),
    "chunks, packed rows": (True, False),
    "chunks, compiled blocks": (False, True),
    "chunks, packed rows, compiled blocks": (True, True),
}


@dataclass
class Scale:
    """How large everything is."""

    device: str = "cuda"
    precision: str = "bfloat16"
    student: str = "SmolLM2-135M"
    seq2seq: str = "T5-v1.1-large"
    teacher: str = "LLaMA-2-13B"
    arms: tuple[str, ...] = (
        *("MT+CF:Unrevised", "MT+CF:Revised", "label-only", "MT:Unrevised", "CF:Unrevised"),
    )
    questions: int = 64  # a step
    steps: int = 4  # that are timed
    answered: int = 1221
    prompts: tuple[int, ...] = (64, 192)  # of the teacher, at once
    shared: int = 780  # tokens that these begin with
    new: int = 160  # tokens that the teacher writes
    learned: int = 8628  # questions that a process encodes before its first step
    processes: int = 2


TINY = Scale(
    device="cpu",
    precision="float32",
    student="tiny LLaMA",
    seq2seq="tiny T5",
    teacher="tiny LLaMA",
    arms=("MT+CF:Revised", "label-only"),
    questions=4,
    steps=1,
    answered=12,
    prompts=(4,),
    shared=30,
    new=6,
    learned=40,
    processes=1,
)


def row(what: str, way: str, value: float, unit: str, **more) -> dict:
    """One line of the table."""
    return {"what": what, "way": way, "value": value, "unit": unit, **more}


def steps_of(model, arm: str, scale: Scale, kind=Steps) -> Steps:
    """Training steps of an arm at this scale."""
    encoder = material.Ids(model.config.is_encoder_decoder)
    weights = methods.weights(methods.split_arm(arm)[0])
    examples = material.drawn(arm, scale.questions * scale.steps, encoder, model.config.vocab_size)
    return kind(examples, weights, encoder, scale.steps, scale.questions)


def way_of(way: str, model, data: Steps, scale: Scale) -> tuple[Callable, str]:
    """The losses of a way (see WAYS), and a note; ``fast.restore`` undoes what it prepares."""
    precision = checkpoints.best_precision()
    cuda = scale.device == "cuda"
    if way == "plain":
        return losses, ""
    if way == "fast":  # on a CPU "pieces" alone compiles, to be quick
        found, told = fast.choose(model, data, precision, fast.WAYS if cuda else [(False, False)])
        return found or losses, told
    options = {} if cuda else {"backend": "eager"}
    return fast.prepare(model, data, precision, *WAYS[way], **options), ""


def trained(what: str, way: str, model, data: Steps, scale: Scale, **more) -> dict:
    """Tokens a second of all steps of ``data`` in a way; each step was done once before.

    The learning rate is 0, so that each way meets the same weights: ``loss`` is the first step's.
    """
    device, usual = model.device, model.config._attn_implementation
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, fused=True)
    try:
        started = time.perf_counter()
        if way == "authors'":
            model.gradient_checkpointing_enable()
            loss, note = material.authors_loss, ""
        else:
            loss, note = way_of(way, model, data, scale)
        items = [material.put(data[i], device) for i in range(len(data))]

        def work() -> list[torch.Tensor]:
            return [material.one_step(model, optimiser, item["passes"], loss) for item in items]

        first = work()[0].item()
        warm = time.perf_counter() - started
        record.reset_peak_memory()
        seconds = bench.seconds(work)
    except Exception as error:
        return {"what": what, "way": way, "failed": reason_of(error)}
    finally:
        if way == "authors'":
            model.gradient_checkpointing_disable()
        fast.restore(model, data, usual)
        fast.free(model)
    tokens, slots = (sum(item[name] for item in items) for name in ("tokens", "slots"))
    size = sum(parameter.numel() for parameter in model.parameters())
    if model.config.is_encoder_decoder:  # a token passes one of the two halves
        size //= 2
    found = {
        "peak_share": record.peak_share(size, tokens / seconds, device),
        "seconds_a_step": seconds / len(items),
        "warm_seconds": warm,
        "padding_share": 1 - tokens / slots,
        "passes": max(len(item["passes"]) for item in items),
        "peak_memory_gb": record.peak_memory_gb(device),
        "loss": first,
        "note": note,
    }
    return row(what, way, tokens / seconds, "tokens/s", **found | more)


def training(scale: Scale) -> Iterator[dict]:
    """Training a small student: every method, the plain and the fast path."""
    model = material.model_of(scale.student, device=scale.device).train()
    goals = {"MT+CF:Unrevised": ">= 250000 tokens/s", "MT+CF:Revised": "<= 25 GB"}
    for arm in scale.arms:
        what = f"{scale.student} shape, {arm}, {scale.questions} questions a step"
        for way in ("plain", "fast"):
            data = steps_of(model, arm, scale)
            yield trained(what, way, model, data, scale, goal=goals.get(arm, "10 times"))


def pieces(scale: Scale) -> Iterator[dict]:
    """What each piece of the fast path gives."""
    model = material.model_of(scale.student, device=scale.device).train()
    for way in ("plain", *WAYS):
        data = steps_of(model, "MT+CF:Unrevised", scale)
        yield trained(f"{scale.student} shape, MT+CF, pieces", way, model, data, scale)


def seq2seq(scale: Scale) -> Iterator[dict]:
    """Training the paper's student; arithmetic as a share of what matrix products reach."""
    from torch.utils.flop_counter import FlopCounterMode

    size = 8192 if scale.device == "cuda" else 256
    a = torch.randn(size, size, device=scale.device, dtype=torch.bfloat16)
    bench.seconds(lambda: [a @ a for _ in range(3)])
    ceiling = 20 * 2 * size**3 / bench.seconds(lambda: [a @ a for _ in range(20)])
    yield row(f"bf16 matrix products of {size} x {size}", "", ceiling / 1e12, "TFLOP/s")
    model = material.model_of(scale.seq2seq, device=scale.device).train()
    data = steps_of(model, "MT+CF:Unrevised", scale)
    with FlopCounterMode(display=False) as counter:
        for batch in material.put(data[0]["passes"], model.device):
            with material.precision(model):
                losses(model, batch)[0].backward()
    fast.free(model)
    scale = replace(scale, steps=min(2, scale.steps))
    for way in ("plain", "fast", "authors'"):
        kind = material.AuthorsSteps if way == "authors'" else Steps
        data = steps_of(model, "MT+CF:Unrevised", scale, kind)
        what = f"{scale.seq2seq} shape, MT+CF, {scale.questions} questions a step"
        found = trained(what, way, model, data, scale, goal=">= 40 % of the ceiling")
        if "value" in found:
            rate = counter.get_total_flops() / found["seconds_a_step"]
            found |= {"ceiling_share": rate / ceiling}
            found |= {"minutes_for_5000_steps": 5000 / 60 * found["seconds_a_step"]}
        yield found


def tests(scale: Scale) -> Iterator[dict]:
    """The tests marked gpu, in a process of their own."""
    folder = paths.ROOT / "tests"
    marked = sorted(
        str(path)
        for path in folder.rglob("test_*.py")
        if "mark.gpu" in path.read_text(encoding="utf-8")
    )
    ahead = f"from lib.models import checkpoints; checkpoints.fetch('{EMBEDDED}')"
    converting = subprocess.Popen([sys.executable, "-c", ahead], cwd=paths.ROOT)  # for `process`
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rfE", "--tb=short", *marked]
    done = subprocess.run(command, cwd=paths.ROOT, encoding="utf-8", capture_output=True)
    converting.wait()
    files.write_text(paths.RUNS / "bench" / "gpu_tests.txt", done.stdout + done.stderr)
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            yield row(" ".join(line.split())[:300], "", 0, "tests")
    *_, last = done.stdout.splitlines() or ["nothing was printed"]
    for count, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", last):
        yield row(kind, "", int(count), "tests")
    if done.returncode not in (0, 5):  # 5: none are marked
        raise RuntimeError(last)


def launches(scale: Scale) -> Iterator[dict]:
    """Calls of PyTorch's operators and launches of the GPU's kernels in one training step."""
    from torch.profiler import ProfilerActivity, profile

    model = material.model_of(scale.student, device=scale.device).train()
    kinds = [ProfilerActivity.CPU]
    kinds += [ProfilerActivity.CUDA] * (scale.device == "cuda")
    for way in ("plain", "fast"):
        data = steps_of(model, "MT+CF:Unrevised", scale)
        loss, _ = way_of(way, model, data, scale)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
        passes = material.put(data[0], model.device)["passes"]
        material.one_step(model, optimiser, passes, loss)
        with profile(activities=kinds) as profiler:
            material.one_step(model, optimiser, passes, loss)
            bench.synchronise()
        names = Counter(event.name for event in profiler.events())
        for unit, pattern in (
            ("operator calls", r"aten::"),
            ("casts", r"aten::_to_copy"),
            ("launches", r"cuda(LaunchKernel|GraphLaunch)|cuLaunchKernel"),
        ):
            count = sum(n for name, n in names.items() if re.match(pattern, name))
            yield row("a step of MT+CF", way, count, unit, passes=len(passes))


def choice(scale: Scale) -> Iterator[dict]:
    """The most likely of five choices, as notebook 04 asks a student."""
    model = material.model_of(scale.student, scale.precision, scale.device)
    size = model.config.vocab_size
    examples = material.drawn("MT+CF:Unrevised", scale.answered, material.Ids(False), size)
    prompts = [row["input_ids"][:-7] for row in examples["predict"]]
    options = [[[5, 6, 7, 8, 9, 10 + k, 2] for k in range(5)] for _ in prompts]
    work = functools.partial(likelihood.option_scores, model, prompts, options)
    likelihood.option_scores(model, prompts[:64], options[:64])
    yield row(f"most likely of {len(prompts)} x 5", "ours", bench.seconds(work), "s", goal="<= 1.5")


class Words:
    """What the decoder asks of a tokenizer, for a model that has none: nothing ends a row."""

    pad_token_id, eos_token_id = 0, 2

    def __len__(self) -> int:
        return 3

    def batch_decode(self, ids: list[list[int]]) -> list[str]:
        return ["a"] * len(ids)


def teacher(scale: Scale) -> Iterator[dict]:
    """New tokens a second of the teacher: seven-shot prompts, ours (with tensors that grow, and in
    fixed places, too) and transformers' generate."""
    model = material.model_of(scale.teacher, scale.precision, scale.device)
    model.generation_config.eos_token_id = 2
    size = model.config.vocab_size
    decoder = decoding.Decoder(model, Words())
    head = torch.randint(3, size, (scale.shared,)).tolist()
    ways = {
        "ours": (decoder.fixed, decoder.records),
        "fixed, not recorded": (True, False),
        "growing": (False, False),
    }
    few = [(scale.prompts[0], way) for way in ways if way != "ours"]
    for count, way in [*((count, "ours") for count in scale.prompts), *few]:
        decoder.fixed, decoder.records = ways[way]
        own = [torch.randint(3, size, (30 + 67 * i // count,)).tolist() for i in range(count)]
        prompts = [head + ids for ids in own]
        decoder.decode(prompts, 2)
        record.reset_peak_memory()
        found = []
        seconds = bench.seconds(lambda p=prompts, f=found: f.extend(decoder.decode(p, scale.new)))
        yield row(
            f"{scale.teacher} shape, {count} prompts of {scale.shared} and 30 to 97 tokens",
            way,
            sum(map(len, found)) / seconds,
            "new tokens/s",
            peak_memory_gb=record.peak_memory_gb(model.device),
            goal=">= 6000" * (way == "ours"),
        )
    width, count = max(map(len, prompts)), scale.prompts[0]
    ids = torch.tensor([[3] * (width - len(ids)) + ids for ids in prompts[:count]])
    inputs = {"input_ids": ids.to(model.device), "pad_token_id": 0, "do_sample": False}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    new = scale.new
    with torch.inference_mode():
        generate = functools.partial(
            model.generate, **inputs, min_new_tokens=new, max_new_tokens=new
        )
        seconds = bench.seconds(generate)
    yield row(
        f"{scale.teacher} shape, {count} prompts, {new} new tokens each",
        "transformers' generate",
        count * new / seconds,
        "new tokens/s",
    )


def process(scale: Scale) -> Iterator[dict]:
    """A student's process: seconds from its start to the first step (with nothing compiled before,
    then with what the first one compiled), and tokens a second of Trainer's own loop."""
    reference = "tiny:llama" if scale.device == "cpu" else EMBEDDED
    checkpoints.fetch(reference)
    sizes = [str(scale.learned), str(8 * scale.steps)]
    command = [sys.executable, "-m", "tests.bench.one_student", reference, *sizes]
    with tempfile.TemporaryDirectory() as compiled:
        variables = os.environ | {"TORCHINDUCTOR_CACHE_DIR": compiled}
        for way in ("first", "again")[: scale.processes]:
            done = subprocess.run(
                command, cwd=paths.ROOT, env=variables, encoding="utf-8", capture_output=True
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-250:])
            *told, last = done.stdout.splitlines()
            found, more = json.loads(last), {"note": "; ".join(told)[:300]}
            what = f"process start to first step, MT+CF:Revised, {scale.learned} questions"
            yield row(what, way, found["first_step"], "s", goal="<= 8", **more)
            what = f"MT+CF:Revised, {scale.questions} questions a step, Trainer's own loop"
            yield row(what, way, found["tokens_per_second"], "tokens/s")


PARTS = {  # in order of importance, with the seconds that each may take at most
    training: 120,
    tests: 60,
    seq2seq: 70,
    choice: 20,
    process: 90,
    teacher: 60,
    launches: 30,
    pieces: 60,
}


def machine() -> dict:
    """The GPU as its driver names it, and what is installed."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, encoding="utf-8", capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        found = ""
    return {"gpu": found.splitlines(), "cuda": torch.version.cuda, **provenance.stamp()}


def main(*chosen: str) -> None:
    """Run the parts and write the table."""
    tiny = "--tiny" in chosen
    if not tiny and not true_in_fork(torch.cuda.is_available):
        print(
            "There is no GPU here (CUDA); `python -m tests.bench.bench_gpu --tiny` runs the same "
            "code with tiny models."
        )
        return
    from torch import _dynamo  # noqa: F401  once, before the forks

    checkpoints.quiet()
    scale, name = (TINY, "gpu_tiny") if tiny else (Scale(), "gpu")
    wanted = {part: limit for part, limit in PARTS.items() if part.__name__ in chosen} or PARTS
    began, rows = time.monotonic(), []
    for part, limit in wanted.items():
        limit = min(limit, LIMIT - (time.monotonic() - began))
        if limit < 5:
            rows.append({"part": part.__name__, "failed": "no time was left"})
        else:
            rows += rows_of(functools.partial(part, scale), part.__name__, limit)
        found = machine() | {"seconds": round(time.monotonic() - began), "rows": rows}
        files.write_json(paths.RUNS / "bench" / f"{name}.json", found)
        table = files.write_csv(paths.RUNS / "bench" / f"{name}.csv", pd.DataFrame(rows))
    print(f"Written to {paths.shown(table)} and .json", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
