"""Whether a family of models computes here what its own plain forward pass gives.

Training, decoding and scoring say themselves which token sees which, and at which position. Not
every family listens: one may add a boolean mask to its scores, count positions on its own or read
a cache in another way, and go on without a message. So each is tried before its weights are loaded,
on a small twin with random weights: what is tried are code and settings, not numbers. (With a
model's own weights, rounding in 16 or 8 bits would hide a fault.)
"""

import copy
import textwrap

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lib.common.errors import UserError
from lib.models import decoding, likelihood

SMALL = {  # sizes of a twin, where its config has them
    "vocab_size": 128,
    "pad_token_id": 0,
    **dict.fromkeys(["num_hidden_layers", "num_decoder_layers"], 2),
    **dict.fromkeys(["encoder_layers", "decoder_layers"], 2),
    **dict.fromkeys(["intermediate_size", "moe_intermediate_size", "ffn_dim", "d_ff"], 64),
    **dict.fromkeys(["encoder_ffn_dim", "decoder_ffn_dim"], 64),
    "decoder_attention_heads": 4,
}
BEGUN, ENDS = [*range(10, 16)], [[*range(20, 25)], [*range(30, 39)]]  # what is tried: token ids
TOLERANCE = 1e-3  # of logits' spread; rounding is below 1e-4, faults are above 1e-2


def check_family(config) -> None:
    """UserError unless a model with this config passes ``differences``; the state of the random
    number generator is kept. A line is printed if it cannot share prefixes."""
    kind = (config if config.is_encoder_decoder else config.get_text_config()).model_type
    advice = "choose another family, such as LLaMA, Qwen3 or T5."
    try:
        model = twin(config)
        with torch.no_grad():
            found = differences(model)
    except Exception as error:  # families fail in ways of their own
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise UserError(
            f"A {kind} model cannot be computed here ({type(error).__name__}: {reason}); {advice}"
        ) from error
    for what, off in found.items():
        if not off < TOLERANCE:
            raise UserError(
                f"{what} of a {kind} model would not follow its own forward pass here (off by "
                f"{off:.1%} of its logits' spread); {advice}"
            )
    with decoding.shared_prefixes(model) as shares:
        if not shares and not config.is_encoder_decoder:
            print(
                f"What prompts share, a {kind} model reads for each of them (slower).", flush=True
            )


def twin(config):
    """A model of the same class and settings with random weights, in float32: two narrow layers, a
    small vocabulary, windows of attention shorter than the texts that are tried."""
    config = copy.deepcopy(config if config.is_encoder_decoder else config.get_text_config())
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        small, heads = dict(SMALL), getattr(part, "num_attention_heads", None)
        if heads:
            width = part.hidden_size // heads * 4
            small |= {"num_attention_heads": 4, "hidden_size": width}
            small["cross_attention_hidden_size"] = width
        for name in ("num_key_value_heads", "num_kv_heads"):
            small[name] = {heads: 4, 1: 1}.get(getattr(part, name, None), 2)
        pad, start = (getattr(part, f"{name}_token_id", None) for name in ("pad", "decoder_start"))
        small["decoder_start_token_id"] = 0 if start == pad else 1  # T5 starts with padding
        longest = getattr(part, "max_position_embeddings", None) or float("inf")
        for name, value in vars(part).items():
            if "window" in name and type(value) is int and 4 < value < longest:
                small[name] = 4
        for name, value in small.items():
            if getattr(part, name, None) is not None:
                setattr(part, name, value)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind.from_config(config, dtype=torch.float32).eval()


def differences(model) -> dict[str, float]:
    """How far what is computed here is from plain forward passes, in parts of the logits' spread.

    Two texts with a common beginning are scored (as a student is trained: side by side in one row,
    hidden from each other) and, unless transformers decodes, read on a shared prefix.
    """
    seq2seq, plain = model.config.is_encoder_decoder, []
    for end in ENDS:
        row = {"input_ids": torch.tensor([BEGUN if seq2seq else BEGUN + end])}
        if seq2seq:
            start = model.config.decoder_start_token_id
            row["decoder_input_ids"] = torch.tensor([[start, *end]])
        plain.append(model(**row).logits[0, -len(end) - 1 :])
    spread = plain[0].std().item()
    sums = [
        torch.log_softmax(logits[:-1], -1)[range(len(end)), end].sum().item()
        for logits, end in zip(plain, ENDS, strict=True)
    ]
    # the second row is shorter, so that it is padded
    both, first = likelihood.option_scores(model, [BEGUN, BEGUN], [ENDS, ENDS[:1]])
    off = torch.tensor(both + first) - torch.tensor(sums + sums[:1])
    found = {"Training and scoring": off.abs().max().item() / spread}
    if seq2seq:
        return found
    with decoding.shared_prefixes(model) as shares:
        shared = len(BEGUN) if shares else 0
        rows = [(BEGUN + end)[shared:] for end in ENDS]
        width, missing = len(rows[1]), len(rows[1]) - len(rows[0])
        ids = torch.tensor([[0] * missing + rows[0], rows[1]])
        visible = torch.tensor([[False] * missing + [True] * len(rows[0]), [True] * width])
        prefix = decoding.read_prefix(model, BEGUN) if shares else {}
        caches = [decoding.RowCache(width, prefix)]
        if shares:  # as on CUDA
            caches.append(decoding.FixedCache(width, prefix, most=2, part=slice(2)))
        steps = [_steps(model, cache, ids, visible, shared) for cache in caches]
    off = torch.stack(steps) - torch.stack([logits[-3:] for logits in plain], 1)
    return found | {"Decoding": off.abs().max().item() / spread}


def _steps(model, cache, ids, visible, shared: int) -> torch.Tensor:
    """Logits [3, rows, vocabulary]: all but two tokens are read at once, then one and one."""
    found, width = [], ids.shape[1]
    for start, end in ((0, width - 2), (width - 2, width - 1), (width - 1, width)):
        window = width if start and isinstance(cache, decoding.FixedCache) else end
        cache.at, cache.window = torch.arange(start, end), window
        seen = visible[:, :window] & (torch.arange(window) < end)
        found.append(decoding.next_logits(model, ids[:, start:end], seen, shared, cache))
    return torch.stack(found)
