"""Logits at the targets, what is trained, and finished students loaded again."""

import re

import pytest
import torch
import transformers

from lib.common.errors import UserError
from lib.common.profile import StudentModel
from lib.models import checkpoints
from lib.students.data import IGNORE
from lib.students.model import adapt, freeze_below, load_student, target_logits
from tests.students.examples import SETTINGS, close, load, run, steps

SHORT = SETTINGS.model_copy(update={"steps": 2, "evaluate_every": 2, "checkpoint_every": None})


@pytest.fixture(params=["tiny:llama", "tiny:t5"])
def student(request):
    return load(request.param)


def test_target_logits_are_the_models_own(student):
    model, encoder = student
    rows = [example for examples in steps(encoder).examples.values() for example in examples]
    batch = encoder.collate(rows)
    logits, labels = target_logits(model, batch)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.is_encoder_decoder:
        full = model(**inputs, labels=batch["labels"])
        torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, labels), full.loss)
    else:
        full = model(**inputs)
    torch.testing.assert_close(logits, full.logits[batch["labels"] != IGNORE])


LLAMA = ["lm_head.weight", "model.norm.weight"]
T5 = ["decoder.final_layer_norm.weight", "encoder.final_layer_norm.weight"]


def test_freezing_trains_only_the_top(student):
    model, _ = student
    freeze_below(model, 1)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    top = {name for name in names if re.search(r"(layers|block)\.1\.", name)}
    assert sorted(names - top) == (T5 if model.config.is_encoder_decoder else LLAMA)
    assert len(top) == (23 if model.config.is_encoder_decoder else 9)
    with pytest.raises(UserError, match=r"trainable_layers is 9, but in the student \(\w+\) 2 "):
        freeze_below(model, 9)


def test_blocks_that_are_not_found_are_said(student):
    model, _ = student
    stack = model.encoder if model.config.is_encoder_decoder else model.model
    name = "block" if model.config.is_encoder_decoder else "layers"
    setattr(stack, name, torch.nn.Sequential(*getattr(stack, name)))
    with pytest.raises(UserError, match="0 layers are found; lower it, or leave it out"):
        freeze_below(model, 1)


OTHERS = {  # architecture: configuration, names of frozen and of trained modules
    "GPT2": (
        {"n_embd": 8, "n_head": 2, "n_layer": 3, "n_positions": 16},
        "transformer.wte transformer.wpe transformer.h.0",
        "transformer.h.1 transformer.ln_f",
    ),
    "GPTNeoX": (
        {
            "hidden_size": 8,
            "num_attention_heads": 2,
            "num_hidden_layers": 3,
            "intermediate_size": 8,
        },
        "gpt_neox.embed_in gpt_neox.layers.0",
        "gpt_neox.layers.1 gpt_neox.final_layer_norm lm_head",
    ),
    "OPT": (
        {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "ffn_dim": 8}
        | {"word_embed_proj_dim": 8, "max_position_embeddings": 16},
        "model.decoder.embed_tokens model.decoder.embed_positions model.decoder.layers.0",
        "model.decoder.layers.1 model.decoder.final_layer_norm",
    ),
    "Bart": (
        {"d_model": 8, "encoder_layers": 3, "decoder_layers": 4, "max_position_embeddings": 16}
        | {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        | {"encoder_ffn_dim": 8, "decoder_ffn_dim": 8},
        "model.shared model.encoder.embed_positions model.encoder.layernorm_embedding "
        "model.decoder.layernorm_embedding model.encoder.layers.0 model.decoder.layers.1",
        "model.encoder.layers.1 model.decoder.layers.2",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_freezing_finds_the_blocks_of_other_models(kind):
    shape, frozen, trained = OTHERS[kind]
    special = {"vocab_size": 20, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(**shape, **special)
    auto = "AutoModelForSeq2SeqLM" if kind == "Bart" else "AutoModelForCausalLM"
    model = getattr(transformers, auto).from_config(config)
    freeze_below(model, 2)
    for names, trains in ((frozen, False), (trained, True)):
        for name in names.split():
            parameters = model.get_submodule(name).parameters()
            assert {p.requires_grad for p in parameters} == {trains}, name
    ids = torch.tensor([[3, 4, 5]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert all((p.grad is None) != p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("base", ["full", "4bit"])
def test_students_load_with_their_adapter_merged(base, tmp_path):
    pytest.importorskip("bitsandbytes")
    from peft import PeftModel

    record, weights = run(tmp_path, settings=SHORT, lora_rank=4, base=base)
    assert record["trained_parameters"] == sum(weight.numel() for weight in weights.values())
    assert any(weight.abs().max() > 0 for name, weight in weights.items() if "lora_B" in name)
    model = StudentModel(size="tiny", model="tiny:llama", lora_rank=4, base=base)
    merged, _ = load_student(model, tmp_path)
    precision = "4bit" if base == "4bit" else "float32"
    below, _ = checkpoints.load(checkpoints.fetch("tiny:llama"), precision, "cpu")
    adapted = PeftModel.from_pretrained(below, tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        a, b = (one(input_ids=ids).logits.float() for one in (merged, adapted))
    tolerance = 0.05 if base == "4bit" else 1e-4  # the 4-bit base computes in bf16
    assert (a - b).abs().max() < tolerance * b.abs().max()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_four_bit_gradients_survive_a_generation(device):
    """The AVX512 repacking of bitsandbytes is off, so that training after decoding stays right."""
    pytest.importorskip("bitsandbytes")
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "4bit", device)
    model = adapt(model, StudentModel(size="x", model="tiny:llama", lora_rank=4)).train()
    encoder = load("tiny:llama")[1]
    batch = encoder.collate([encoder.example("a?", "b."), encoder.example("c d?", "e f.")])
    batch = {name: value.to(device) for name, value in batch.items()}

    def gradient():
        logits, labels = target_logits(model.train(), batch)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
        model.zero_grad()
        return found

    before = gradient()
    assert any(value.abs().max() > 0 for value in before.values())
    assert all(value.isfinite().all() for value in before.values())
    model.eval().generate(input_ids=batch["input_ids"], max_new_tokens=2, do_sample=False)
    close(before, gradient(), 1e-6)
