"""Invariants of training, on tiny models of both architectures."""

import json
import re

import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file

from lib.common import methods
from lib.common.errors import UserError
from lib.common.profile import StudentModel, TrainingSettings
from lib.models import checkpoints
from lib.questions.splits import Question
from lib.students import objectives, train
from lib.students.batches import Steps
from lib.students.model import IGNORE, Encoder, adapt, freeze_below, target_logits

ARCHITECTURES = ["tiny:llama", "tiny:t5"]
WEIGHTS = methods.weights("MT+CF", alpha=0.3, beta=0.6, gamma=0.4)
QUESTIONS = [
    Question(
        f"q{i}", f"What is {'very ' * (i % 4)}{word}?", ("a b", "c", "dd", "e e e", "f"), i % 5
    )
    for i, word in enumerate(["red", "wet", "loud", "cold", "soft", "new", "old", "dry"])
]
TEXTS = {
    "explanation": "It just is so.",
    "revision": "It is, and c is not.",
    "counterfactuals": [f"Choice {i} seems right." for i in range(5)],
}
PAIRS = {
    split: {task: [objectives.pair(task, q, TEXTS, False) for q in rows] for task in WEIGHTS}
    for split, rows in (("train", QUESTIONS), ("dev", QUESTIONS[:3]))
}


@pytest.fixture(params=ARCHITECTURES)
def student(request):
    torch.manual_seed(0)
    model, tokenizer = checkpoints.load(checkpoints.fetch(request.param), "float32", "cpu")
    return model.train(), Encoder(tokenizer, model.config.is_encoder_decoder)


def encoded(encoder):
    return {
        task: [encoder.example(*pair) for pair in pairs] for task, pairs in PAIRS["train"].items()
    }


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def steps(encoder, **options):
    return Steps(encoded(encoder), WEIGHTS, encoder, steps=2, batch_size=4, **options)


def close(a, b, tolerance=1e-5):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=tolerance)


def test_labels_are_the_target_with_eos_and_nothing_else(student):
    model, encoder = student
    example = encoder.example("[predict] a? Choices: (A) b", "So the answer is b.")
    wanted = [label for label in example["labels"] if label != IGNORE]
    assert wanted[-1] == encoder.tokenizer.eos_token_id
    assert encoder.tokenizer.decode(wanted[:-1]) == "So the answer is b."
    if not model.config.is_encoder_decoder:  # each label stands where the token before it is read
        start = example["labels"].index(wanted[0])
        assert example["input_ids"][start + 1 :] == wanted[:-1]
        assert len(example["input_ids"]) == len(example["labels"])


def test_padding_is_never_a_label_even_if_pad_is_eos(student):
    _, encoder = student
    encoder.pad = encoder.tokenizer.eos_token_id
    batch = encoder.collate([encoder.example("a", "b"), encoder.example("a longer one", "c d e f")])
    ends = (batch["labels"] == encoder.tokenizer.eos_token_id).sum(1)
    assert ends.tolist() == [1, 1]
    assert batch["attention_mask"].sum() == sum(
        len(encoder.example(*p)["input_ids"]) for p in (("a", "b"), ("a longer one", "c d e f"))
    )


def test_target_logits_are_the_models_own(student):
    model, encoder = student
    rows = [example for examples in encoded(encoder).values() for example in examples]
    batch = encoder.collate(rows)
    logits, labels = target_logits(model, batch)
    wanted = batch["labels"] != IGNORE
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.is_encoder_decoder:
        full = model(**inputs, labels=batch["labels"])
        mean = torch.nn.functional.cross_entropy(logits, labels)
        torch.testing.assert_close(mean, full.loss)
    else:
        full = model(**inputs)
    torch.testing.assert_close(logits, full.logits[wanted])


def test_tasks_of_a_question_share_its_prompt():
    """A decoder-only student reads question and choices once for all tasks."""
    encoder = Encoder(checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")[1], False)
    alone = {task: encoder.example(*PAIRS["train"][task][0]) for task in WEIGHTS}
    (row,) = encoder.rows(dict(enumerate(alone.values())))
    shared = row["branch"].count(0)
    question = encoder.tokenizer(objectives.source("predict", QUESTIONS[0], tags="none"))[
        "input_ids"
    ]
    assert row["input_ids"][:shared] == question[:shared] and shared >= len(question) - 1
    assert len(row["input_ids"]) == sum(len(e["input_ids"]) for e in alone.values()) - 3 * shared
    for number, example in enumerate(alone.values(), 1):
        own = [i for i, branch in enumerate(row["branch"]) if branch in (0, number)]
        assert [row["input_ids"][i] for i in own] == example["input_ids"]
        assert [row["position"][i] for i in own] == list(range(len(own)))


def test_a_tag_asked_for_twice_stands_in_front_and_at_the_end():
    tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")[1]
    encoder = Encoder(tokenizer, False)
    said = {
        tags: [
            tokenizer.decode(encoder.prompt(objectives.source(task, QUESTIONS[0], tags=tags)))
            for task in ("predict", "explain")
        ]
        for tags in ("words", "twice")
    }
    asked = f"{QUESTIONS[0].question} Choices: {QUESTIONS[0].lettered()}"
    assert said["words"] == [f"{asked}\n[predict]\n", f"{asked}\n[explain]\n"]
    assert said["twice"] == [f"[predict] {asked}\n[predict]\n", f"[explain] {asked}\n[explain]\n"]


def test_fused_batch_equals_a_pass_per_task(student):
    model, encoder = student
    data = steps(encoder)
    loss, sums, counts = train.losses(model, data[0])
    loss.backward()
    fused = gradients(model)
    total = 0.0
    for task, weight in WEIGHTS.items():
        rows = [data.examples[task][i] for i in data.chosen(0)]
        logits, labels = target_logits(model, encoder.collate(rows))
        part = weight * torch.nn.functional.cross_entropy(logits, labels)
        part.backward()
        total += part.item()
    assert loss.item() == pytest.approx(total, abs=1e-5)
    close(fused, gradients(model))
    assert counts.tolist() == [
        sum(len([x for x in data.examples[t][i]["labels"] if x >= 0]) for i in data.chosen(0))
        for t in methods.OBJECTIVES
    ]


@pytest.mark.parametrize("split", [{"accumulation": 4}, {"accumulation": 2, "world": 2}])
def test_micro_batches_and_processes_sum_to_the_whole_step(student, split):
    model, encoder = student
    train.losses(model, steps(encoder)[0])[0].backward()
    whole = gradients(model)
    world = split.get("world", 1)
    for rank in range(world):
        data = steps(encoder, **split, rank=rank)
        for part in range(split["accumulation"]):
            train.losses(model, data[part])[0].backward()
    close(whole, gradients(model))


def test_padding_does_not_change_a_row(student):
    model, encoder = student
    model.eval()
    short, long = encoder.example("a?", "b."), encoder.example("a much longer question?", "c d e.")
    alone, _ = target_logits(model, encoder.collate([short]))
    together, _ = target_logits(model, encoder.collate([short, long]))
    torch.testing.assert_close(alone, together[: len(alone)], rtol=1e-4, atol=1e-5)


def test_every_epoch_uses_every_question_once(student):
    _, encoder = student
    data = Steps(encoded(encoder), WEIGHTS, encoder, steps=4, batch_size=4, seed=3)
    assert sorted(data.chosen(0) + data.chosen(1)) == list(range(8))
    assert sorted(data.chosen(2) + data.chosen(3)) == list(range(8))
    assert data.chosen(0) != data.chosen(2)
    late = Steps(encoded(encoder), WEIGHTS, encoder, steps=4, batch_size=4, seed=3, start=2)
    assert torch.equal(late[1]["input_ids"], data[3]["input_ids"])


SETTINGS = TrainingSettings(
    steps=6,
    batch_size=4,
    accumulation=2,
    learning_rate=1e-2,
    evaluate_every=3,
    checkpoint_every=2,
    precision="float32",
    schedule="linear",
    warmup_steps=1,
)


def run(reference, folder, seed=0, settings=SETTINGS, lora=None):
    folder.mkdir(parents=True, exist_ok=True)
    model = StudentModel(size="tiny", model=reference, lora_rank=lora)
    record = train.train(model, WEIGHTS, PAIRS, settings, seed, folder, "test")
    return record, load_file(next(folder.glob("*model.safetensors")))


@pytest.mark.parametrize(
    ("reference", "lora"), [("tiny:llama", None), ("tiny:t5", None), ("tiny:llama", 4)]
)
def test_resumed_equals_uninterrupted(reference, lora, tmp_path, monkeypatch):
    whole, expected = run(reference, tmp_path / "whole", lora=lora)

    class Killed(Exception):
        pass

    def stop(self, args, state, control, **_):
        if state.global_step == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train.Diary, "on_step_end", stop)
        with pytest.raises(Killed):
            run(reference, tmp_path / "broken", lora=lora)
    assert (tmp_path / "broken" / "checkpoint-4").is_dir()
    record, found = run(reference, tmp_path / "broken", lora=lora)
    close(expected, found, 0)
    assert record["tokens"] == whole["tokens"] > 0
    columns = ["step", "split", "task", "loss"]
    a, b = (pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("whole", "broken"))
    assert a[a["split"] == "dev"].equals(b[b["split"] == "dev"])
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


def test_a_damaged_checkpoint_is_removed(tmp_path, capsys):
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_text("x" * step)
        (folder / "hashes.json").write_text(
            json.dumps({"model.safetensors": train.store.sha256_file(folder / "model.safetensors")})
        )
    (tmp_path / "checkpoint-4" / "model.safetensors").write_text("xx")
    assert train.last_checkpoint(tmp_path).name == "checkpoint-2"
    assert "checkpoint-4 is not whole" in capsys.readouterr().out


def test_seed_decides_the_weights(tmp_path):
    short = SETTINGS.model_copy(update={"steps": 2, "checkpoint_every": None})
    a, b, c = (
        run("tiny:llama", tmp_path / name, seed, short)[1]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    close(a, b, 0)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_best_dev_weights_are_kept(tmp_path):
    """With a learning rate that ruins the model, the first evaluation wins."""
    wild = SETTINGS.model_copy(
        update={
            "learning_rate": 0.5,
            "evaluate_every": 1,
            "steps": 4,
            "schedule": "constant",
            "warmup_steps": 0,
        }
    )
    record, _ = run("tiny:llama", tmp_path, settings=wild)
    history = pd.read_csv(tmp_path / "history.csv")
    dev = history[(history["split"] == "dev") & (history["task"] == "loss")]
    assert record["best_step"] == dev.loc[dev["loss"].idxmin(), "step"]


def test_lora_merges_to_the_same_logits(tmp_path):
    from peft import PeftModel

    run("tiny:llama", tmp_path, lora=4)
    base, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")
    adapted = PeftModel.from_pretrained(base, tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        after = adapted.merge_and_unload()(input_ids=ids).logits
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def test_qlora_students_load_with_their_adapter_merged(tmp_path):
    pytest.importorskip("bitsandbytes")
    from peft import PeftModel

    from lib.evaluation import answers
    from lib.students import grid

    chosen = StudentModel(size="tiny", model="tiny:llama", lora_rank=4, base="4bit")
    record = train.train(chosen, WEIGHTS, PAIRS, SETTINGS, 0, tmp_path, "test")
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert record["trained_parameters"] == sum(w.numel() for w in weights.values())
    assert any(w.abs().max() > 0 for name, w in weights.items() if "lora_B" in name)
    merged, _ = answers.load_student(grid.Student("MT:Revised", chosen, 0), tmp_path)
    base, _ = checkpoints.load(checkpoints.fetch("tiny:llama"), "4bit", "cpu")
    adapted = PeftModel.from_pretrained(base, tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        a, b = (model(input_ids=ids).logits.float() for model in (merged, adapted))
    assert (a - b).abs().max() < 0.05 * b.abs().max(), "the 4-bit base computes in bf16"


def test_t5_is_never_in_half_precision(monkeypatch):
    """A GPU without bf16 (T4) trains in float32; only a causal LM in 4 bits computes in fp16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    assert checkpoints.best_precision() == "float32"
    with pytest.raises(ValueError, match="float32"):
        TrainingSettings(
            steps=1, batch_size=1, learning_rate=1e-3, evaluate_every=1, precision="float16"
        )
    used = {}
    monkeypatch.setattr(
        "transformers.AutoModelForSeq2SeqLM.from_pretrained",
        lambda folder, **options: used.update(options) or torch.nn.Linear(1, 1),
    )
    checkpoints.load(checkpoints.fetch("tiny:t5"), "4bit", "cuda")
    assert used["dtype"] == torch.float32
    assert used["quantization_config"].bnb_4bit_compute_dtype == torch.float32


LLAMA = ["lm_head.weight", "model.norm.weight"]
T5 = ["decoder.final_layer_norm.weight", "encoder.final_layer_norm.weight"]


def test_freezing_trains_only_the_top(student):
    model, _ = student
    freeze_below(model, 1)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    top = {name for name in names if re.search(r"(layers|block)\.1\.", name)}
    assert sorted(names - top) == (T5 if model.config.is_encoder_decoder else LLAMA)
    assert len(top) == (23 if model.config.is_encoder_decoder else 9)
    with pytest.raises(
        UserError, match=r"trainable_layers is 9, but the student \(\w+\) has 2 layers"
    ):
        freeze_below(model, 9)


@pytest.mark.parametrize(
    "kind, config, frozen, trained",
    [
        (
            "GPT2",
            {"n_embd": 8, "n_head": 2, "n_layer": 3, "n_positions": 16},
            ["transformer.wte", "transformer.wpe", "transformer.h.0"],
            ["transformer.h.1", "transformer.ln_f"],
        ),
        (
            "GPTNeoX",
            {
                "hidden_size": 8,
                "num_attention_heads": 2,
                "num_hidden_layers": 3,
                "intermediate_size": 8,
            },
            ["gpt_neox.embed_in", "gpt_neox.layers.0"],
            ["gpt_neox.layers.1", "gpt_neox.final_layer_norm", "lm_head"],
        ),
        (
            "OPT",
            {
                "hidden_size": 8,
                "num_attention_heads": 2,
                "num_hidden_layers": 3,
                "ffn_dim": 8,
                "word_embed_proj_dim": 8,
                "max_position_embeddings": 16,
            },
            [
                "model.decoder.embed_tokens",
                "model.decoder.embed_positions",
                "model.decoder.layers.0",
            ],
            ["model.decoder.layers.1", "model.decoder.final_layer_norm"],
        ),
        (
            "Bart",
            {
                "d_model": 8,
                "encoder_layers": 3,
                "decoder_layers": 4,
                "encoder_attention_heads": 2,
                "decoder_attention_heads": 2,
                "encoder_ffn_dim": 8,
                "decoder_ffn_dim": 8,
                "max_position_embeddings": 16,
            },
            [
                "model.shared",
                "model.encoder.embed_positions",
                "model.encoder.layernorm_embedding",
                "model.decoder.layernorm_embedding",
                "model.encoder.layers.0",
                "model.decoder.layers.1",
            ],
            ["model.encoder.layers.1", "model.decoder.layers.2"],
        ),
    ],
)
def test_freezing_finds_the_blocks_of_other_models(kind, config, frozen, trained):
    made = getattr(transformers, f"{kind}Config")(
        vocab_size=20, pad_token_id=1, bos_token_id=2, eos_token_id=2, **config
    )
    auto = (
        transformers.AutoModelForSeq2SeqLM if kind == "Bart" else transformers.AutoModelForCausalLM
    )
    model = auto.from_config(made)
    freeze_below(model, 2)
    for names, trains in ((frozen, False), (trained, True)):
        for module in names:
            assert {p.requires_grad for p in model.get_submodule(module).parameters()} == {
                trains
            }, module
    ids = torch.tensor([[3, 4, 5]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert all((p.grad is None) != p.requires_grad for p in model.parameters())
    with pytest.raises(
        UserError, match=f"trainable_layers is 99, but .* \\({made.model_type}\\) has 3"
    ):
        freeze_below(model, 99)


def test_blocks_that_are_not_found_are_said(student):
    model, _ = student
    if model.config.is_encoder_decoder:
        model.encoder.block = torch.nn.Sequential(*model.encoder.block)
    else:
        model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(
        UserError, match=f"the layers of a {model.config.model_type} student are not"
    ):
        freeze_below(model, 1)


def test_four_bit_gradients_survive_a_generation():
    """The AVX512 repacking of bitsandbytes is off, so that training after decoding stays right."""
    pytest.importorskip("bitsandbytes")
    folder = checkpoints.fetch("tiny:llama")
    model, tokenizer = checkpoints.load(folder, "4bit", "cpu")
    model = adapt(model, StudentModel(size="x", model="tiny:llama", lora_rank=4)).train()
    encoder = Encoder(tokenizer, False)
    batch = encoder.collate([encoder.example("a?", "b."), encoder.example("c d?", "e f.")])

    def gradient():
        logits, labels = target_logits(model, batch)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        return gradients(model)

    before = gradient()
    model.eval()
    model.generate(input_ids=batch["input_ids"], max_new_tokens=2, do_sample=False)
    close(before, (model.train(), gradient())[1], 1e-6)
