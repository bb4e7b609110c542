"""Greedy decoding of many prompts: a shared prefix read once, finished rows dropped at once.

Few-shot prompts of one group begin with the same worked examples. Their keys and values are
computed once and attended to by all rows without being copied (each layer multiplies the rows'
queries with one prefix); only each prompt's own tokens and new tokens are kept per row.
"""

import re
from dataclasses import dataclass, field

import torch
from transformers import AttentionInterface

from lib.models.batching import common_prefix

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


def attention(module, query, key, value, attention_mask, scaling, row_cache, **_):
    """Exact attention over the shared prefix and each row's own tokens, in one softmax.

    query [rows, heads, new, size]; key, value [rows, key heads, used, size];
    attention_mask additive [rows, 1, new, used]. Returns ([rows, new, heads, size], None).
    """
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


class Decoder:
    """A causal LM ready for greedy decoding of prompts that may share a prefix.

    ``newline``: whether each token's text has a line break, a boolean vector over the vocabulary.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.model.set_attn_implementation(NAME)
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        self.newline = torch.tensor(["\n" in text for text in texts], device=model.device)
        self._prefix_tokens: list[int] = []
        self._prefix: dict = {}

    @torch.inference_mode()
    def read_prefix(self, tokens: list[int]) -> dict:
        """Keys and values of the prefix per layer; the last prefix read is kept."""
        if tokens != self._prefix_tokens:
            cache = RowCache(len(tokens))
            self._forward(
                torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.bool), 0, cache
            )
            self._prefix = {layer: (k[0], v[0]) for layer, (k, v) in cache.rows.items()}
            self._prefix_tokens = list(tokens)
        return self._prefix

    def _forward(self, ids, visible, offset: int, cache: RowCache) -> torch.Tensor:
        """Last hidden state [rows, size] of ``ids`` [rows, new]; ``visible`` [rows, used + new]."""
        device, dtype = self.model.device, self.model.dtype
        ids, visible = ids.to(device), visible.to(device)
        new, total = ids.shape[1], visible.shape[1]
        positions = (visible.cumsum(1) - 1).clamp(min=0)[:, total - new :] + offset
        causal = torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
        allowed = causal[None] & visible[:, None]
        mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
        mask.masked_fill_(~allowed, torch.finfo(dtype).min)
        hidden = self.model.base_model(
            input_ids=ids,
            attention_mask=mask[:, None],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            row_cache=cache,
        ).last_hidden_state
        cache.used = total
        return hidden[:, -1]

    @torch.inference_mode()
    def decode(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        """New token ids of each prompt, greedily, in the order given.

        A row ends at end-of-sequence, at ``limit`` new tokens or at the first line break after its
        first text; ended rows leave the batch.
        """
        # every row keeps a token of its own
        shared = common_prefix([row[:-1] for row in prompts]) if len(prompts) > 1 else 0
        own = [prompt[shared:] for prompt in prompts]
        width = max(map(len, own))
        cache = RowCache(width + limit)
        if shared:
            cache.prefix = self.read_prefix(prompts[0][:shared])
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in own])
        visible = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in own])
        visible = visible.to(self.model.device)
        head = self.model.get_output_embeddings()
        ends = torch.tensor(sorted(self._ends()), device=self.model.device)
        alive = torch.arange(len(prompts), device=self.model.device)
        begun = torch.zeros(len(prompts), dtype=torch.bool, device=self.model.device)
        texts: list[list[int]] = [[] for _ in prompts]
        for _ in range(limit):
            token = head(self._forward(ids, visible, shared, cache)).argmax(-1)
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
