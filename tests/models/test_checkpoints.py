"""Checkpoints: what is fetched and loaded, in which numbers, and what is refused."""

import json
import logging
import stat
import warnings

import pytest
import torch

from lib.common import paths
from lib.common.errors import UserError
from lib.models import checkpoints, tiny


def test_a_model_is_made_once_and_all_may_read_it(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    usual = tmp_path / "usual"
    usual.mkdir()
    folder = checkpoints.fetch("tiny:llama")
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    monkeypatch.setattr(tiny, "make", None)
    assert checkpoints.fetch("tiny:llama") == folder
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([folder.name, "usual"])


def test_identity_of_the_default_teacher():
    """It is part of every result's key."""
    reference = "embedded:smollm2-135m-instruct"
    sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert checkpoints.identity(reference) == {"model": reference, "sha256": sha256}
    assert checkpoints.identity("hub:a/b@c") == {"model": "a/b", "revision": "c"}


def test_a_local_folder_is_known_by_its_files(tmp_path):
    reference = f"local:{tmp_path}"
    with pytest.raises(UserError, match="holds no config.json"):
        checkpoints.check(reference)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="other weight formats are not loaded"):
        checkpoints.check(reference)
    (tmp_path / "model.safetensors").write_text("a")
    first = checkpoints.identity(reference)
    (tmp_path / "model.safetensors").write_text("bb")
    assert checkpoints.identity(reference) != first


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
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError if sentence else OSError) as told:  # else: it has no weights here
        checkpoints.load(tmp_path, "float32", "cpu")
    assert str(told.value).startswith(sentence)


@pytest.mark.parametrize("precision, layer", [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_weights_are_stored_in_few_bits(precision, layer):
    """And the model still says nearly the same."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    folder = checkpoints.fetch("tiny:llama")
    model = checkpoints.load(folder, precision, "cpu")[0]
    small = getattr(bitsandbytes.nn, layer)
    layers = [module for module in model.modules() if isinstance(module, small)]
    assert len(layers) == 2 * 7, "all linear layers of the two blocks"
    if precision == "4bit":
        assert {module.weight.quant_type for module in layers} == {"nf4"}
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        found = model(input_ids=ids).logits.flatten()
        exact = checkpoints.load(folder, "float32", "cpu")[0](input_ids=ids).logits.flatten()
    assert torch.corrcoef(torch.stack([found.float(), exact]))[0, 1] > 0.9
