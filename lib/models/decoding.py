"""Greedy decoding of many prompts: a shared prefix read once, finished rows dropped at once.

Few-shot prompts of one group begin with the same worked examples. Their keys and values are
computed once and attended to by all rows without being copied (each layer multiplies the rows'
queries with one prefix); only each prompt's own tokens and new tokens are kept per row.
"""

import contextlib
import functools
import re
from dataclasses import dataclass, field

import torch
from transformers import AttentionInterface

from lib.models.batching import common_prefix
from lib.models.forward import logits_at, mask

NAME = "shared_prefix"


@dataclass
class RowCache:
    """Keys and values per layer: the shared prefix (no batch axis) and the rows' own tokens.

    ``prefix``: layer -> (keys, values), each [key heads, prefix tokens, head size].
    ``rows``: layer -> (keys, values), each [rows, key heads, slots, head size]; ``used`` slots.
    """

    slots: int
    prefix: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    rows: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    used: int = 0
    is_compileable: bool = False

    def update(self, keys, values, layer_idx, *_, **__):
        """Store a layer's new keys and values ([rows, key heads, new, size]); return all so far."""
        if layer_idx not in self.rows:
            shape = (*keys.shape[:2], self.slots, keys.shape[3])
            self.rows[layer_idx] = (keys.new_empty(shape), values.new_empty(shape))
        end = self.used + keys.shape[2]
        for kept, new in zip(self.rows[layer_idx], (keys, values), strict=True):
            kept[:, :, self.used : end] = new
        return tuple(kept[:, :, :end] for kept in self.rows[layer_idx])

    def get_seq_length(self, *_):
        """Slots in use."""
        return self.used

    def keep(self, index: torch.Tensor) -> None:
        """Keep only the rows at ``index``."""
        self.rows = {layer: (k[index], v[index]) for layer, (k, v) in self.rows.items()}


def attention(module, query, key, value, attention_mask, scaling, row_cache, **others):
    """Exact attention over the shared prefix and each row's own tokens, in one softmax.

    query [rows, heads, new, size]; key, value [rows, key heads, used, size];
    attention_mask additive [rows, 1, new, used]. Returns ([rows, new, heads, size], None).
    """
    for name in ("softcap", "s_aux", "position_bias"):  # what else families do to their scores
        if others.get(name) is not None:
            raise NotImplementedError(f"decoding does not know the attention's {name}")
    rows, heads, new, size = query.shape
    groups = heads // key.shape[1]
    grouped = query.reshape(rows, key.shape[1], groups * new, size)
    own = torch.matmul(grouped, key.transpose(2, 3)) * scaling
    own = own.view(rows, key.shape[1], groups, new, -1) + attention_mask[:, :, None]
    prefix = row_cache.prefix.get(module.layer_idx)
    if prefix is None:
        weights = own.float().softmax(-1).to(query.dtype).flatten(2, 3)
        out = torch.matmul(weights, value)
    else:
        shared_key, shared_value = prefix
        across = grouped.transpose(0, 1).reshape(key.shape[1], -1, size)
        shared = torch.matmul(across, shared_key.transpose(1, 2)) * scaling
        shared = shared.view(key.shape[1], rows, groups, new, -1).transpose(0, 1)
        weights = torch.cat([shared, own], -1).float().softmax(-1).to(query.dtype)
        split = shared_key.shape[1]
        out = torch.matmul(weights[..., split:].flatten(2, 3), value)
        across = weights[..., :split].transpose(0, 1).reshape(key.shape[1], -1, split)
        shared_out = torch.matmul(across, shared_value)
        out = out + shared_out.view(key.shape[1], rows, groups * new, size).transpose(0, 1)
    return out.view(rows, heads, new, size).transpose(1, 2), None


AttentionInterface.register(NAME, attention)


@contextlib.contextmanager
def shared_prefixes(model):
    """Within it the model attends by ``attention``; yields False where its family can not (its code
    does not go through transformers' interface), which leaves it as it is."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield model.config._attn_implementation == NAME
    finally:
        model.set_attn_implementation(usual)


def next_logits(model, ids, visible, offset: int, cache: RowCache) -> torch.Tensor:
    """Logits [rows, vocabulary] of what follows ``ids`` [rows, new].

    ``visible`` [rows, used + new]: what is no padding; ``offset``: tokens in the shared prefix.
    """
    ids, visible = ids.to(model.device), visible.to(model.device)
    new, total = ids.shape[1], visible.shape[1]
    positions = (visible.cumsum(1) - 1).clamp(min=0)[:, total - new :] + offset
    causal = torch.ones(new, total, dtype=torch.bool, device=model.device).tril(total - new)
    logits = logits_at(
        model,
        (slice(None), -1),
        input_ids=ids,
        attention_mask=mask(model, causal[None] & visible[:, None]),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        row_cache=cache,
    )
    cache.used = total
    return logits


def read_prefix(model, tokens: tuple[int, ...]) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of a prefix by layer, for ``RowCache.prefix``."""
    cache, ids = RowCache(len(tokens)), torch.tensor([tokens])
    next_logits(model, ids, torch.ones_like(ids, dtype=torch.bool), 0, cache)
    return {layer: (keys[0], values[0]) for layer, (keys, values) in cache.rows.items()}


class Decoder:
    """A causal LM ready for greedy decoding of prompts that may share a prefix.

    ``newline``: whether each token's text has a line break, a boolean vector over the vocabulary.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        self.newline = torch.tensor(["\n" in text for text in texts], device=model.device)
        self.read_prefix = functools.lru_cache(maxsize=1)(functools.partial(read_prefix, model))

    @torch.inference_mode()
    def decode(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        """New token ids of each prompt, greedily, in the order given.

        A row ends at end-of-sequence, at ``limit`` new tokens or at the first line break after its
        first text; ended rows leave the batch.
        """
        with shared_prefixes(self.model) as shares:
            return self._decode(prompts, limit, shares and len(prompts) > 1)

    def _decode(self, prompts: list[list[int]], limit: int, shares: bool) -> list[list[int]]:
        # every row keeps a token of its own
        shared = common_prefix([row[:-1] for row in prompts]) if shares else 0
        own = [prompt[shared:] for prompt in prompts]
        width = max(map(len, own))
        cache = RowCache(width + limit)
        if shared:
            cache.prefix = self.read_prefix(tuple(prompts[0][:shared]))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in own])
        visible = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in own])
        visible = visible.to(self.model.device)
        ends = torch.tensor(sorted(self._ends()), device=self.model.device)
        alive = torch.arange(len(prompts), device=self.model.device)
        begun = torch.zeros(len(prompts), dtype=torch.bool, device=self.model.device)
        texts: list[list[int]] = [[] for _ in prompts]
        for _ in range(limit):
            token = next_logits(self.model, ids, visible, shared, cache).argmax(-1)
            is_line = self.newline[token.clamp(max=len(self.newline) - 1)]
            over = torch.isin(token, ends) | (is_line & begun)
            begun = begun | ~is_line
            going = ~over
            for row, value in zip(alive[going].tolist(), token[going].tolist(), strict=True):
                texts[row].append(value)
            if not going.any():
                break
            if over.any():
                index = going.nonzero()[:, 0]
                alive, begun, token, visible = (x[index] for x in (alive, begun, token, visible))
                cache.keep(index)
            ids = token[:, None]
            visible = torch.cat([visible, visible.new_ones(len(token), 1)], 1)
        return texts

    def _ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        return {*ends, self.tokenizer.eos_token_id} - {None}

    def texts(self, prompts: list[str], limit: int, shown: str = r"(?!)") -> list[str]:
        """``decode`` for strings: tokenised with special tokens only where the text has none.

        The texts lack special tokens, but for those that the pattern ``shown`` matches.
        """
        bare = not self._templated(prompts[0])
        ids = self.tokenizer(prompts, add_special_tokens=bare)["input_ids"]
        special = {
            number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special and not re.fullmatch(shown, token.content)
        }
        rows = self.decode(ids, limit)
        return self.tokenizer.batch_decode([[i for i in r if i not in special] for r in rows])

    def _templated(self, prompt: str) -> bool:
        return any(prompt.startswith(token) for token in self.tokenizer.all_special_tokens)
