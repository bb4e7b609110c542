"""What the benchmarks work on: models of known shapes, examples of realistic lengths, the authors'
way of training."""

import contextlib
import itertools
import os
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from lib.common import methods, paths, profile
from lib.models import checkpoints
from lib.questions import release, splits
from lib.students import objectives
from lib.students.data import IGNORE, Encoder, Steps

REASON = "This choice fits best, since the other ones are made for other things in daily life."
SHAPES = {  # config.json of the checkpoints
    "SmolLM2-135M": {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 8192, "tie_word_embeddings": True,
    },
    "LLaMA-2-13B": {
        "vocab_size": 32000, "hidden_size": 5120, "intermediate_size": 13824,
        "num_hidden_layers": 40, "num_attention_heads": 40, "max_position_embeddings": 4096,
    },
    "tiny LLaMA": {
        "vocab_size": 600, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    },
    "T5-small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "T5-v1.1-large": {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
    "tiny T5": {
        "vocab_size": 600, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 1, "num_heads": 4,
    },
}  # fmt: skip
# Tokens (SmolLM2's) of CommonsenseQA with the published texts: the least, the quantiles 0.1, 0.25,
# 0.5, 0.75, 0.9, and the most; tags are 7 or 8 tokens, an answer is 7 to 9.
QUANTILES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
LENGTHS = {
    "question": (33, 39, 41, 44, 49, 55, 98),
    "Unrevised": (15, 32, 39, 48, 56, 62, 71),
    "Revised": (12, 63, 87, 112, 139, 171, 275),
}


def model_of(shape: str, precision: str = "float32", device: str = "cpu"):
    """A LLaMA or T5 of the given shape with random weights and without dropout."""
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    if "T5" in shape:
        rest = {"vocab_size": 32128, "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0}
        rest |= {"tie_word_embeddings": False, "decoder_start_token_id": 0}
        config, kind = T5Config, T5ForConditionalGeneration
    else:
        rest, config, kind = {}, LlamaConfig, LlamaForCausalLM
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        with torch.device(device):
            return kind(config(pad_token_id=0, eos_token_id=2, **rest | SHAPES[shape])).eval()
    finally:
        torch.set_default_dtype(before)


class Ids(Encoder):
    """An encoder of what is token ids already."""

    def __init__(self, seq2seq: bool):
        super().__init__(SimpleNamespace(eos_token_id=2, pad_token_id=0), seq2seq)

    def prompts(self, texts: list[list[int]]) -> list[list[int]]:
        return texts

    def targets(self, texts: list[list[int]]) -> list[list[int]]:
        return [[*ids, 2] for ids in texts]


def drawn(arm: str, count: int, encoder: Ids, vocabulary: int) -> dict[str, list[dict]]:
    """Objective -> examples of an arm: random token ids, lengths as LENGTHS has them, and what the
    objectives of a question share."""
    method, texts = methods.split_arm(arm)
    rng = random.Random(arm)

    def ids(kind: str | int) -> list[int]:
        size = kind
        if not isinstance(kind, int):
            at = rng.random()
            k = next(k for k, share in enumerate(QUANTILES[1:]) if at <= share)
            part = (at - QUANTILES[k]) / (QUANTILES[k + 1] - QUANTILES[k])
            size = round(LENGTHS[kind][k] + part * (LENGTHS[kind][k + 1] - LENGTHS[kind][k]))
        return [rng.randrange(3, vocabulary) for _ in range(size)]

    tags = {name: ids(7) for name in methods.OBJECTIVES}
    examples = {name: [] for name in methods.weights(method)}
    for _ in range(count):
        question, reason, other = ids("question"), ids(texts or "Unrevised"), ids("Unrevised")
        answer, wrong = ids(7), ids(7)
        pairs = {
            "predict": (question, answer),
            "explain": (question, reason),
            "factual": (question, reason + answer),
            "counterfactual": (question + other, wrong),
        }
        for name, rows in examples.items():
            source, target = pairs[name]
            tagged = tags[name] + source if encoder.seq2seq else source + tags[name]
            rows.append(encoder.example(tagged, target))
    return examples


def example_pairs(weights: dict[str, float], count: int) -> tuple[dict[str, list], str]:
    """Objective -> pairs of the released CommonsenseQA texts where they are at hand, else of
    MiniCQA's questions with texts as long, all of them different; and the dataset's name."""
    os.environ.setdefault("HONEY_SOURCE", str(paths.ROOT.parent / "shared" / "published"))
    recipe, released = objectives.Recipe(revised=True), Path(os.environ["HONEY_SOURCE"]).is_dir()
    name, source = ("commonsenseqa", "published") if released else ("minicqa", "default")
    questions = splits.load(profile.TaskSettings(name=name, source=source))["train"]
    chosen = list(itertools.islice(itertools.cycle(questions), count))
    if released:
        texts = release.teacher_table(name).set_index("id").to_dict("index")
        cases = [(q, texts[q.id]) for q in chosen]
    else:
        cases = []
        for number, q in enumerate(chosen):
            reason = f"{number}: {REASON} "
            case = {"explanation": 3 * reason, "revision": 7 * reason}
            case |= {"counterfactuals": [3 * reason] * 5}
            cases.append((replace(q, question=f"{q.question} ({number})"), case))
    pairs = {
        objective: [objectives.pair(objective, *case, recipe) for case in cases]
        for objective in weights
    }
    return pairs, name


def precision(model):
    """bf16 autocast where the hardware has it, for all ways alike."""
    if checkpoints.best_precision() != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)


class AuthorsSteps(Steps):
    """Steps the authors' way: each objective a pass of its own, padded to its longest example."""

    def __getitem__(self, item: int) -> dict:
        passes = []
        for objective, weight in self.weights.items():
            examples = self.examples[objective]
            rows = [examples[i] for i in self.questions_of(self.start + item)]
            widest = {name: [1] * max(len(e[name]) for e in examples) for name in rows[0]}
            batch = self.encoder.collate([*rows, widest])
            batch = {name: value[:-1] for name, value in batch.items()}
            passes.append(batch | {"share": torch.tensor(weight)})
        return super().__getitem__(item) | {"passes": passes}  # of as many tokens


def authors_loss(model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, None]:
    """Weighted loss of one of the authors' passes, from logits everywhere."""
    labels = batch["labels"] if model.config.is_encoder_decoder else None
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    logits = model(**inputs, labels=labels, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE
    )
    return batch["share"] * loss, None


def put(value, device):
    """What a step holds, on the device."""
    if isinstance(value, list):
        return [put(each, device) for each in value]
    if isinstance(value, dict):
        return {name: put(each, device) for name, each in value.items()}
    return value.to(device) if isinstance(value, torch.Tensor) else value


def one_step(model, optimiser, passes: list[dict], loss) -> torch.Tensor:
    """An optimiser step as Trainer does it; ``loss(model, batch)`` is (loss, sums) of a pass."""
    total = 0.0
    for batch in passes:
        with precision(model):
            value, _ = loss(model, batch)
        value.backward()
        total += value.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return total
