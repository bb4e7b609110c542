"""Families of models: each is computed here as its own plain forward does, or is refused."""

import json
import shutil

import pytest
import torch
import transformers

from lib.common.errors import UserError
from lib.models import checkpoints, contract, likelihood
from lib.students.data import IGNORE, Encoder
from lib.students.model import target_logits
from tests.models import test_decoding, test_likelihood

WIDE = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
DEEP = WIDE | {"num_hidden_layers": 2, "initializer_range": 0.5}
GROUPED = DEEP | {"num_key_value_heads": 2}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.5}
NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 600}
GRANITE = {"logits_scaling": 4.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8}
NARROW = {"max_position_embeddings": 64, "ffn_dim": 64, "init_std": 0.5}
BART = {
    f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")
}
FAMILIES = {  # name: model type, configuration, what the refusal says ("" if there is none)
    "llama": ("llama", GROUPED, ""),
    "llama, eager": ("llama", GROUPED | {"attn_implementation": "eager"}, ""),
    "qwen2": ("qwen2", GROUPED, ""),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 8}, ""),
    "mistral": ("mistral", GROUPED | {"sliding_window": None}, ""),
    "granite": ("granite", GROUPED | GRANITE, ""),
    "cohere": ("cohere", GROUPED, ""),
    "olmo2": ("olmo2", GROUPED, ""),
    "phi": ("phi", DEEP, ""),
    "gpt2": ("gpt2", OLD, ""),
    "gptj": ("gptj", OLD | {"rotary_dim": 4}, ""),
    "gpt_neox": ("gpt_neox", DEEP, ""),
    "opt": ("opt", DEEP | NARROW | {"word_embed_proj_dim": 32}, ""),
    "falcon": ("falcon", DEEP, ""),
    "gpt_neo": ("gpt_neo", NEO | {"attention_types": [[["global"], 2]]}, ""),
    "t5": ("t5", {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}, ""),
    "bart": ("bart", NARROW | BART | {"d_model": 32}, ""),
    "gpt_neo, windows": (
        "gpt_neo",
        NEO | {"attention_types": [[["global", "local"], 1]]},
        "raining",
    ),
    "gemma2": ("gemma2", GROUPED | GEMMA, "does not know the attention's softcap"),
    "stablelm": ("stablelm", GROUPED, "row_cache"),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "ValueError"),
    "mpt": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4}, "Training and scoring of a mpt"),
    "mamba": (
        "mamba",
        {"hidden_size": 32, "num_hidden_layers": 2},
        "mamba model cannot be computed",
    ),
    "bert": ("bert", DEEP, "Training and scoring of a bert"),
}


@pytest.fixture(scope="module")
def tokenizer():
    return checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")[1]


def config_of(name: str):
    kind, options, _ = FAMILIES[name]
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 600}
    options = options | special | ({"decoder_start_token_id": 0} if kind in ("t5", "bart") else {})
    return transformers.AutoConfig.for_model(kind, **options)


@pytest.mark.parametrize("name", [name for name, (*_, refusal) in FAMILIES.items() if not refusal])
def test_a_family_is_computed_as_its_plain_forward_does(name, tokenizer):
    config = config_of(name)
    contract.check_family(config)
    seq2seq = config.is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config).eval()
    usual = model.config._attn_implementation
    assert usual == "eager" or name != "llama, eager"

    encoder = Encoder(tokenizer, seq2seq)
    pairs = [("[a] What barks?", "A dog."), ("[b] What barks?", "It is loud, so a dog.")]
    examples = [encoder.example(*pair) for pair in pairs] + [encoder.example("Why?", "So.")]
    rows = encoder.rows(enumerate(examples[:2])) + encoder.rows([(0, examples[2])])
    with torch.no_grad():
        logits, _ = target_logits(model, encoder.collate(rows))
        plain = []
        for example in examples:
            ids, labels = (torch.tensor([example[k]]) for k in ("input_ids", "labels"))
            given = {"labels": labels} if seq2seq else {}
            plain.append(model(input_ids=ids, **given).logits[labels != IGNORE])
        torch.testing.assert_close(logits, torch.cat(plain), rtol=1e-4, atol=1e-4)

        scores = likelihood.option_scores(model, test_likelihood.PROMPTS, test_likelihood.OPTIONS)
        for prompt, options, found in zip(
            test_likelihood.PROMPTS, test_likelihood.OPTIONS, scores, strict=True
        ):
            expected = [test_likelihood.one_by_one(model, prompt, option) for option in options]
            assert found == pytest.approx(expected, abs=1e-3)
    if not seq2seq:
        decoder = test_decoding.of_many_lines(model, tokenizer)
        found = decoder.decode(test_decoding.PROMPTS, 6)
        ends = set(decoder.ends.tolist())
        assert found == [
            test_decoding.reference(model, prompt, 6, ends) for prompt in test_decoding.PROMPTS
        ]
    assert model.config._attn_implementation == usual


@pytest.mark.parametrize("name", [name for name, (*_, refusal) in FAMILIES.items() if refusal])
def test_other_families_are_refused_in_a_sentence(name):
    with pytest.raises(UserError) as told:
        contract.check_family(config_of(name))
    said = str(told.value)
    assert FAMILIES[name][2] in said and "choose another family, such as LLaMA" in said
    assert "\n" not in said and len(said) < 320


def test_a_mask_that_is_added_is_seen(monkeypatch):
    """Booleans for an attention that adds what it is given: later tokens are seen."""
    monkeypatch.setattr(likelihood, "mask", lambda model, allowed: allowed[:, None])
    contract.check_family(config_of("llama"))
    with pytest.raises(UserError, match="Training and scoring of a llama model would not follow"):
        contract.check_family(config_of("llama, eager"))


def test_a_check_draws_nothing():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    contract.check_family(config_of("llama"))
    assert torch.equal(before, torch.get_rng_state())


def test_families_without_shared_prefixes_are_said(capsys):
    contract.check_family(config_of("llama"))
    assert capsys.readouterr().out == ""
    contract.check_family(config_of("gptj"))
    assert "a gptj model reads for each of them (slower)" in capsys.readouterr().out


@pytest.mark.parametrize("named", ["eager", "flash_attention_2"])
def test_attention_named_in_a_config_is_that_of_another_machine(named, tmp_path):
    source = checkpoints.fetch("tiny:llama")
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["attn_implementation"] = named
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    ids = torch.arange(9)[None]
    found, plain = (checkpoints.load(path, "float32", "cpu")[0] for path in (tmp_path, source))
    assert torch.equal(found(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_a_check_of_a_profile_refuses_a_family_before_weights_are_read(tmp_path):
    config_of("mpt").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="Training and scoring of a mpt model would not follow"):
        checkpoints.check(f"local:{tmp_path}")
