"""Checkpoints: what is fetched and loaded, in which numbers, and what is refused."""

import json
import logging
import os
import shutil
import stat
import warnings

import pytest
import torch

from lib.common import paths
from lib.common.errors import UserError
from lib.models import checkpoints, tiny


def test_a_model_is_made_once_and_all_may_read_it(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    mask = os.umask(0o002)
    folder = checkpoints.fetch("tiny:llama")
    os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o664}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o775
    monkeypatch.setattr(tiny, "make", None)
    assert checkpoints.fetch("tiny:llama") == folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_identity_of_the_default_teacher():
    """It is part of every result's key."""
    reference = "embedded:smollm2-135m-instruct"
    sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert checkpoints.identity(reference) == {"model": reference, "sha256": sha256}
    assert checkpoints.identity("hub:a/b@c") == {"model": "a/b", "revision": "c"}


@pytest.fixture
def model(tmp_path):
    """A copy of a tiny model."""
    return shutil.copytree(checkpoints.fetch("tiny:llama"), tmp_path / "model")


DECIDE = [
    *("config.json", "generation_config.json", "model.safetensors", "model-00002.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json"),
    *("spiece.model", "merges.txt", "qwen.tiktoken", "adapter_config.json"),
    *("chat_template.jinja", "additional_chat_templates/tools.jinja"),
]


@pytest.mark.parametrize("name", DECIDE)
def test_a_local_model_is_known_by_every_file_that_decides_a_result(model, name):
    before = checkpoints.identity(f"local:{model}")
    (model / "README.md").write_text("Read me.", encoding="utf-8")
    assert checkpoints.identity(f"local:{model}") == before
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("another", encoding="utf-8")
    if name == "adapter_config.json":
        with pytest.raises(UserError, match="holds an adapter.* merge the two"):
            checkpoints.identity(f"local:{model}")
    else:
        assert checkpoints.identity(f"local:{model}") != before


def test_a_relative_folder_is_meant_from_the_repository(model, monkeypatch):
    """Notebooks and make run in different folders."""
    monkeypatch.setattr(paths, "ROOT", model.parent)
    assert checkpoints.fetch("local:model") == model
    assert checkpoints.check("local:model")[1].eos_token == "</s>"


def edit(path, **settings) -> None:
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8"
    )


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def add_token(folder) -> None:
    tokenizer = checkpoints.check(f"local:{folder}")[1]
    tokenizer.add_tokens(["[new]"])
    tokenizer.save_pretrained(folder)


def shards(folder) -> list:
    model = checkpoints.load(folder, "float32", "cpu")[0]
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert checkpoints.check(f"local:{folder}")
    return sorted(folder.glob("*.safetensors"))


WHOLE = "holds no whole model that can be loaded (.*); copy it again"


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda f: (f / "config.json").unlink(), "holds no config.json; name a folder saved by"),
        (lambda f: (f / "model.safetensors").unlink(), "other weight formats are not loaded"),
        (lambda f: (f / "config.json").write_text("{", encoding="utf-8"), WHOLE),
        (lambda f: edit(f / "config.json", model_type="new"), WHOLE),
        (lambda f: cut(f / "model.safetensors"), WHOLE),
        (lambda f: shards(f)[1].unlink(), WHOLE),
        (lambda f: cut(shards(f)[1]), WHOLE),
        (lambda f: shards(f) and (f / "model.safetensors.index.json").unlink(), WHOLE),
        (lambda f: (f / "tokenizer.json").unlink(), WHOLE),
        (lambda f: cut(f / "tokenizer.json"), WHOLE),
        (lambda f: edit(f / "config.json", num_hidden_layers=3), "lack model.layers.2.* .9 such"),
        (lambda f: edit(f / "config.json", intermediate_size=9), "in the size that config.json as"),
        (lambda f: edit(f / "config.json", vocab_size=500), "lack .* in the size that config.json"),
        (add_token, "has ids up to 600, but the model has 600 embeddings; bring the two"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(model, spoil, sentence):
    assert checkpoints.check(f"local:{model}")
    spoil(model)
    with pytest.raises(UserError, match=sentence):
        checkpoints.check(f"local:{model}")


def test_a_tokenizer_of_sentencepiece_alone(spiece):
    """protobuf reads it. What it lacks it writes as nothing."""
    model, tokenizer = checkpoints.check(f"local:{spiece}")
    assert len(tokenizer) == model.config.vocab_size == 600
    texts = ["So the answer is 3, not 4.", "a < b", "a > b"]
    assert checkpoints.written(tokenizer, texts) == [texts[0], "a b", "a b"]


def test_a_tokenizer_without_its_vocabulary_is_refused(spiece, tmp_path):
    """transformers makes an empty one of a T5's settings."""
    folder = shutil.copytree(spiece, tmp_path / "t5")
    (folder / "spiece.model").unlink()
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "T5Tokenizer"}', encoding="utf-8"
    )
    with pytest.raises(UserError, match="cannot write 'So the answer is yes.'; its vocabulary is"):
        checkpoints.check(f"local:{folder}")


@pytest.mark.parametrize("reference", ["gpt2", "hub:a", "hub:a/b", "tiny:gpt", "local:"])
def test_a_reference_that_names_no_model(reference):
    with pytest.raises(UserError, match="names no model; write embedded:smollm2"):
        checkpoints.check(reference)


def test_quiet_leaves_out_notes_on_packages_that_are_not_installed():
    tqdm = pytest.importorskip("tqdm.notebook")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        checkpoints.quiet()
        warnings.warn(tqdm.WARN_NOIPYW, UserWarning, stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["something else"]
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)


WINDOWS = (
    "The layers of this {} model see only the last {} tokens, which is not computed here; choose "
)


@pytest.mark.parametrize(
    "config, sentence",
    [
        ({"model_type": "gemma3_text", "sliding_window": 32}, WINDOWS.format("gemma3_text", 32)),
        (
            {"model_type": "gemma3", "text_config": {"sliding_window": 512}},
            WINDOWS.format("gemma3_text", 512),
        ),
        ({"model_type": "mistral", "sliding_window": 4096}, WINDOWS.format("mistral", 4096)),
        ({"model_type": "mistral"}, WINDOWS.format("mistral", 4096)),  # what its class takes then
        (
            {
                "model_type": "qwen2",
                "sliding_window": 64,
                "use_sliding_window": True,
                "max_window_layers": 2,
            },
            WINDOWS.format("qwen2", 64),
        ),
        (
            {
                "model_type": "lfm2",
                "num_hidden_layers": 2,
                "layer_types": ["conv", "full_attention"],
            },
            "The layers of this lfm2 model are of kind conv, which is not computed here; choose a ",
        ),
        ({"model_type": "mistral", "sliding_window": None}, ""),
        ({"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 4096}, ""),
        (
            {"model_type": "gemma3_text", "sliding_window": 4096, "max_position_embeddings": 4096},
            "",
        ),
        ({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": False}, ""),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 64,
                "use_sliding_window": True,
                "max_window_layers": 99,
            },
            "",
        ),
        ({"model_type": "qwen3", "sliding_window": None, "use_sliding_window": False}, ""),
        ({"model_type": "llama"}, ""),
        ({"model_type": "smollm3"}, ""),
        ({"model_type": "gpt2"}, ""),
        ({"model_type": "gpt_neox"}, ""),
        ({"model_type": "opt"}, ""),
    ],
)
def test_models_whose_tokens_do_not_see_all_before_them_are_refused(tmp_path, config, sentence):
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError if sentence else OSError) as told:  # else: it has no weights here
        checkpoints.load(tmp_path, "float32", "cpu")
    assert str(told.value).startswith(sentence)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("precision, layer", [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_weights_are_stored_in_few_bits(precision, layer, device):
    """And the model still says nearly the same."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    folder = checkpoints.fetch("tiny:llama")
    model = checkpoints.load(folder, precision, device)[0]
    small = getattr(bitsandbytes.nn, layer)
    layers = [module for module in model.modules() if isinstance(module, small)]
    assert len(layers) == 2 * 7, "all linear layers of the two blocks"
    if precision == "4bit":
        assert {module.weight.quant_type for module in layers} == {"nf4"}
    ids = torch.arange(40, device=device)[None]
    with torch.inference_mode():
        found = model(input_ids=ids).logits.flatten()
        exact = checkpoints.load(folder, "float32", device)[0](input_ids=ids).logits.flatten()
    assert torch.corrcoef(torch.stack([found.float(), exact]))[0, 1] > 0.9
