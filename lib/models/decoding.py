"""Greedy decoding of many prompts: a shared prefix read once, finished rows dropped at once.

Few-shot prompts of one group begin with the same worked examples. Their keys and values are
computed once and attended to by all rows without being copied (each layer multiplies the rows'
queries with one prefix); only each prompt's own tokens and new tokens are kept per row.

On the CPU the rows' tensors grow with the text. On CUDA that would leave the GPU waiting for
launches: there they keep their places (``FixedBatch``), so that a step is recorded once as a CUDA
graph and replayed.
"""

import contextlib
import functools
import itertools
import re
import textwrap
from dataclasses import dataclass, field

import torch

from lib.models.batching import common_prefix, in_halves
from lib.models.forward import logits_at, mask

NAME = "shared_prefix"
EVERY = 8  # steps between two looks at which rows have ended: each look waits for the GPU
WARM = 1  # steps of each size before one is recorded: libraries set themselves up in them
WINDOW = 64  # by so many slots grows what a fixed batch attends to: few recordings, little unused
FEWEST = 16  # rows: with fewer, a step's time is that of the weights
AT_ONCE = 4096  # own tokens of prompts read at once: bounds the memory for their scores


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


@dataclass
class FixedCache(RowCache):
    """A RowCache for ``most`` rows whose tensors stay where they are.

    The rows ``part`` write new keys and values at the slots ``at``, a tensor, and see the first
    ``window`` slots: what is not written yet is zero and to be masked.
    """

    most: int = 0
    part: slice | None = None
    at: torch.Tensor | None = None
    window: int = 0

    def update(self, keys, values, layer_idx, *_, **__):
        """Store a layer's new keys and values ([rows, key heads, new, size]); return the window."""
        if layer_idx not in self.rows:
            shape = (self.most, keys.shape[1], self.slots, keys.shape[3])
            self.rows[layer_idx] = (keys.new_zeros(shape), values.new_zeros(shape))
        seen = tuple(kept[self.part, :, : self.window] for kept in self.rows[layer_idx])
        for kept, new in zip(seen, (keys, values), strict=True):
            kept.index_copy_(2, self.at, new)
        return seen

    def keep(self, index: torch.Tensor) -> None:
        """Move the rows at ``index`` to the front."""
        for kept in itertools.chain.from_iterable(self.rows.values()):
            kept[: len(index)] = kept[index]


def attention(module, query, key, value, attention_mask, scaling, row_cache, **others):
    """Exact attention over the shared prefix and each row's own tokens, in one softmax.

    query [rows, heads, new, size]; key, value [rows, key heads, used, size];
    attention_mask additive [rows, 1, new, used]. Returns ([rows, new, heads, size], None).
    """
    for name in ("softcap", "s_aux", "position_bias"):  # what else families do to their scores
        if others.get(name) is not None:
            raise NotImplementedError(f"decoding does not know the attention's {name}")
    exact = None if query.is_cuda else torch.float32  # CUDA's computes in float32 in any case
    rows, heads, new, size = query.shape
    groups = heads // key.shape[1]
    grouped = query.reshape(rows, key.shape[1], groups * new, size)
    own = torch.matmul(grouped, key.transpose(2, 3)) * scaling
    own = own.view(rows, key.shape[1], groups, new, -1) + attention_mask[:, :, None]
    prefix = row_cache.prefix.get(module.layer_idx)
    if prefix is None:
        weights = own.softmax(-1, dtype=exact).to(query.dtype).flatten(2, 3)
        out = torch.matmul(weights, value)
    else:
        shared_key, shared_value = prefix
        across = grouped.transpose(0, 1).reshape(key.shape[1], -1, size)
        shared = torch.matmul(across, shared_key.transpose(1, 2)) * scaling
        shared = shared.view(key.shape[1], rows, groups, new, -1).transpose(0, 1)
        weights = torch.cat([shared, own], -1).softmax(-1, dtype=exact).to(query.dtype)
        split = shared_key.shape[1]
        out = torch.matmul(weights[..., split:].flatten(2, 3), value)
        across = weights[..., :split].transpose(0, 1).reshape(key.shape[1], -1, split)
        shared_out = torch.matmul(across, shared_value)
        out = out + shared_out.view(key.shape[1], rows, groups * new, size).transpose(0, 1)
    return out.view(rows, heads, new, size).transpose(1, 2), None


@contextlib.contextmanager
def shared_prefixes(model):
    """Within it the model attends by ``attention``; yields False where its family can not (its code
    does not go through transformers' interface), which leaves it as it is."""
    from transformers import AttentionInterface  # takes seconds

    AttentionInterface.register(NAME, attention)
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


class FixedBatch:
    """Rows that are decoded in tensors of fixed places and sizes, without waiting for the GPU.

    Of ``ids`` [rows, width] ``visible`` are no padding; ``prefix``: what all rows begin with, of
    ``offset`` tokens. Every few steps it is looked which rows have ended; when half have, the
    others move to the front and the batch is halved.
    """

    def __init__(self, decoder, ids, visible, limit: int, offset: int, prefix: dict):
        device, (self.rows, self.width) = decoder.model.device, ids.shape
        self.decoder, self.limit, self.offset = decoder, limit, offset
        slots = -(-(self.width + limit) // 8) * 8  # matrix products are slow at odd widths
        self.cache = FixedCache(slots, prefix, most=self.rows)
        self.ids, self.seen = ids.to(device), ids.new_zeros(self.rows, slots, dtype=torch.bool)
        self.seen[:, : self.width] = visible
        self.padding = visible.int().argmax(1).tolist()
        self.seen = self.seen.to(device)
        self.owner = torch.arange(self.rows, device=device)
        self.token = torch.zeros_like(self.owner)[:, None]
        self.begun, self.over = torch.zeros(2, self.rows, dtype=torch.bool, device=device)
        self.texts = torch.full((self.rows, limit), -1, device=device)
        self.stage, self.graph, self.steps = None, None, 0
        self.side = self.pool = None
        if decoder.records:
            self.side, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def decode(self) -> list[list[int]]:
        """New token ids of each row."""
        self.read()
        for step in range(1, self.limit):
            if step % EVERY == 0:
                left = self.rows - int(self.over[: self.rows].sum())
                if not left:
                    break
                self.halve(left)
            used = -(-(self.width + step) // WINDOW) * WINDOW
            self.cache.window = min(used, self.cache.slots)
            self.advance()
        return [[token for token in text if token >= 0] for text in self.texts.tolist()]

    def read(self) -> None:
        """The rows' own tokens, some rows at a time, and the first new token of each."""
        cache, size = self.cache, max(1, AT_ONCE // self.width)
        slots, logits = torch.arange(self.width, device=self.ids.device), []
        cache.window = self.width
        for start in range(0, self.rows, size):
            cache.part, cache.used = slice(start, start + size), 0
            first = min(self.padding[cache.part])
            cache.at, seen = slots[first:], self.seen[cache.part, : self.width]
            model, ids = self.decoder.model, self.ids[cache.part, first:]
            logits.append(next_logits(model, ids, seen, self.offset, cache))
        cache.part, cache.at = slice(0, self.rows), slots[-1:] + 1
        self.take(torch.cat(logits))

    def step(self) -> None:
        """A token more of every row: nothing in it waits for the GPU, or depends on a number that
        changes from step to step and is not in a tensor."""
        seen = self.seen[: self.rows]
        seen.index_fill_(1, self.cache.at, True)
        seen, token = seen[:, : self.cache.window], self.token[: self.rows]
        logits = next_logits(self.decoder.model, token, seen, self.offset, self.cache)
        self.cache.at += 1
        self.take(logits)

    def take(self, logits: torch.Tensor) -> None:
        """The most likely token of each row; nothing is written for rows that have ended."""
        token, begun, over = (x[: self.rows] for x in (self.token, self.begun, self.over))
        token[:, 0] = logits.argmax(-1)
        ended, goes_on = self.decoder.ended(token[:, 0], begun)
        over |= ended
        begun.copy_(goes_on)
        column = (self.cache.at - self.width).expand(self.rows)
        new = token[:, 0].masked_fill(over, -1)
        self.texts.index_put_((self.owner[: self.rows], column), new)

    def halve(self, left: int) -> None:
        """Halve the batch while half of it holds the rows that are ``left``."""
        size = self.rows
        while size // 2 >= max(left, FEWEST):
            size //= 2
        if size == self.rows:
            return
        index = self.over[: self.rows].int().argsort(stable=True)[:size]
        for rows in (self.seen, self.owner, self.token, self.begun, self.over):
            rows[:size] = rows[index]
        self.cache.keep(index)
        self.rows, self.cache.part = size, slice(0, size)

    def advance(self) -> None:
        """One step, replayed where it can be: it is recorded anew when its sizes change."""
        stage = (self.rows, self.cache.window)
        if stage != self.stage:
            self.stage, self.graph, self.steps = stage, None, 0
        if self.decoder.records and self.graph is None and self.steps >= WARM:
            self.record()
        if self.graph is not None:
            self.graph.replay()
        elif self.decoder.records:  # on the stream on which it is to be recorded
            self.side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.side):
                self.step()
            torch.cuda.current_stream().wait_stream(self.side)
        else:
            self.step()
        self.steps += 1

    def record(self) -> None:
        """The step as a CUDA graph; where that fails, a line says why and steps go on without."""
        graph, options = torch.cuda.CUDAGraph(), {"pool": self.pool, "stream": self.side}
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local", **options):
                self.step()
            self.graph = graph
        except RuntimeError as error:
            self.decoder.records = False
            reason = textwrap.shorten(str(error), 160, placeholder=" ...")
            print(f"Decoding goes on without CUDA graphs ({reason}).", flush=True)


@functools.lru_cache(maxsize=1)
def line_breaks(tokenizer) -> list[bool]:
    """Whether the text of each token has a line break."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return ["\n" in text for text in texts]


class Decoder:
    """A causal LM ready for greedy decoding of prompts that may share a prefix.

    ``newline``: whether each token's text has a line break, a boolean vector over the vocabulary;
    ``ends``: the tokens that end a text; ``fixed``: whether rows are in a ``FixedBatch``;
    ``records``: whether its steps are recorded as CUDA graphs.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.newline = torch.tensor(line_breaks(tokenizer), device=model.device)
        self.read_prefix = functools.lru_cache(maxsize=1)(functools.partial(read_prefix, model))
        ends = model.generation_config.eos_token_id
        ends = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
        self.ends = torch.tensor(sorted(ends), device=model.device)
        self.fixed = self.records = model.device.type == "cuda"

    @torch.inference_mode()
    def decode(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        """New token ids of each prompt, greedily, in the order given.

        A row ends at end-of-sequence, at ``limit`` new tokens or at the first line break after its
        first text; ended rows leave the batch.
        """
        with shared_prefixes(self.model) as shares:
            return in_halves(lambda rows: self._decode(rows, limit, shares), prompts)

    def _decode(self, prompts: list[list[int]], limit: int, shares: bool) -> list[list[int]]:
        fixed = self.fixed and shares
        # every row keeps a token of its own
        shared = common_prefix([row[:-1] for row in prompts]) if shares and len(prompts) > 1 else 0
        if fixed:
            shared -= shared % 8  # matrix products are slow at odd widths
        own = [prompt[shared:] for prompt in prompts]
        width = max(map(len, own))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in own])
        visible = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in own])
        prefix = self.read_prefix(tuple(prompts[0][:shared])) if shared else {}
        if fixed:
            return FixedBatch(self, ids, visible, limit, shared, prefix).decode()
        cache = RowCache(width + limit, prefix)
        visible = visible.to(self.model.device)
        alive = torch.arange(len(prompts), device=self.model.device)
        begun = torch.zeros(len(prompts), dtype=torch.bool, device=self.model.device)
        texts: list[list[int]] = [[] for _ in prompts]
        for _ in range(limit):
            token = next_logits(self.model, ids, visible, shared, cache).argmax(-1)
            over, begun = self.ended(token, begun)
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

    def ended(self, token: torch.Tensor, begun: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which rows end with ``token`` [rows], and which have begun their text (before: begun)."""
        is_line = self.newline[token.clamp(max=len(self.newline) - 1)]
        over = (token[:, None] == self.ends).any(-1) | (is_line & begun)
        return over, begun | ~is_line

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
