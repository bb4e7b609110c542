"""Training steps for CUDA: rows packed into few lengths, compiled blocks, the loss in chunks.

Three pieces, each of which gives the same loss and gradients as the plain way (``model.losses``):
a decoder-only student's rows are packed one after the other into passes of two lengths (and
FlexAttention keeps them apart), others are padded beside rows of like length; the model's blocks
are compiled one by one; the logits of a few targets at a time are made, and made again for their
gradients. ``choose`` compares each way with the plain one before training and says what it takes.
"""

import functools
import heapq
import itertools
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, pad
from torch.utils.checkpoint import checkpoint

from lib.common.methods import OBJECTIVES
from lib.models.forward import BLOCK, hidden_at, logits_at
from lib.students import model as plain
from lib.students.data import IGNORE, JUDGE, PADDING, Encoder, Steps
from lib.students.model import blocks_of, inputs_of

CHUNK = 2_048  # targets whose logits are held at once
LONGEST = 32_768  # tokens of a pass, with padding; more do not make it faster
FEWEST = 4_096  # fewer are read together with longer rows rather than alone
FLEX = "packed_flex_attention"  # transformers' name for ``attention``
WAYS = ((True, True), (False, True), (False, False))  # (packed, compiled) as ``choose`` tries them
TRIED = 8  # rows of the first step whose loss and gradients are compared


@dataclass(frozen=True)
class Packed:
    """Makes passes of rows one after the other in one row; the rest of its length is padding.

    ``sizes``: tokens of a usual and of a long step. Passes have a length of these two (each is
    compiled once), whatever the step, and the tokens of a step are shared out evenly among them.
    """

    encoder: Encoder
    sizes: tuple[int, int]

    def __call__(self, rows: list[dict], parts: int) -> list[dict]:
        parts = min(max(parts, -(-self.sizes[1] // LONGEST)), len(rows))
        parted, filled = [[] for _ in range(parts)], [(0, part) for part in range(parts)]
        for row in reversed(rows):  # the longest first, each where there is most room
            size, part = heapq.heappop(filled)
            parted[part].append(row)
            heapq.heappush(filled, (size + len(row["input_ids"]), part))
        fullest = max(filled)[0]
        known = (coarse(1.02 * size / parts) for size in self.sizes)
        length = min((size for size in known if size >= fullest), default=whole(fullest))
        return [self.collate(part, length) for part in parted]

    def collate(self, rows: list[dict], length: int) -> dict[str, torch.Tensor]:
        """A batch [1, length]: ``document`` numbers the rows (-1 in padding), ``first`` is what
        ``lib.models.forward.blocks_seen`` takes."""
        sizes = torch.tensor([len(row["input_ids"]) for row in rows])
        ends = sizes.cumsum(0)
        columns = {
            name: torch.tensor([*itertools.chain.from_iterable(row[name] for row in rows)])
            for name in rows[0]
        }
        columns["document"] = torch.arange(len(rows)).repeat_interleave(sizes)
        padding = PADDING | {"input_ids": self.encoder.pad, "document": -1}
        room = (0, length - int(ends[-1]))
        batch = {name: pad(ids, room, value=padding[name])[None] for name, ids in columns.items()}
        start = pad((ends - sizes).repeat_interleave(sizes), room, value=int(ends[-1]))
        return with_targets(batch) | {"first": start[::BLOCK] // BLOCK}


@dataclass(frozen=True)
class Padded:
    """Makes passes of rows of like length, padded to multiples of 64 tokens (below: 16 or 32)."""

    encoder: Encoder

    def __call__(self, rows: list[dict], parts: int) -> list[dict]:
        most = min(LONGEST, -(-slots(rows) // parts))
        return [self.collate(part) for group in alike(rows) for part in halves(group, most)]

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """A batch of ``Encoder.collate`` of a rounded width, with the places of its targets."""
        padding = PADDING | {"input_ids": self.encoder.pad, "attention_mask": 0}
        batch = self.encoder.collate(rows)
        return with_targets(
            {
                name: pad(ids, (0, rounded(ids.shape[1]) - ids.shape[1]), value=padding[name])
                for name, ids in batch.items()
            }
        )


def whole(tokens: float) -> int:
    """The next multiple of BLOCK."""
    return -int(-tokens // BLOCK) * BLOCK


def coarse(tokens: float) -> int:
    """The next multiple of BLOCK, or of twice, four times, ... that: at most a sixteenth more, so
    that students of other seeds meet lengths that are compiled already."""
    unit = BLOCK
    while 32 * unit <= tokens:
        unit *= 2
    return -int(-tokens // unit) * unit


def rounded(width: int) -> int:
    """16, 32 or the next multiple of 64."""
    return next((size for size in (16, 32) if width <= size), -(-width // 64) * 64)


def slots(rows: list[dict]) -> int:
    """Tokens of rows that are padded together: inputs, and an encoder-decoder's targets."""
    names = ("input_ids",) if "branch" in rows[0] else ("input_ids", "labels")
    return len(rows) * sum(rounded(max(len(row[name]) for row in rows)) for name in names)


def alike(rows: list[dict]) -> Iterator[list[dict]]:
    """Rows (sorted by length) in groups of one rounded length; small groups join the next."""
    waiting = []
    for _, group in itertools.groupby(rows, lambda row: rounded(len(row["labels"]))):
        waiting += group
        if slots(waiting) >= FEWEST:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def halves(rows: list[dict], most: int) -> list[list[dict]]:
    """Rows in equal parts of at most so many slots each, if a row alone has not more."""
    count = min(len(rows), -(-slots(rows) // most))
    edges = [len(rows) * part // count for part in range(count + 1)]
    return [rows[first:end] for first, end in itertools.pairwise(edges)]


def with_targets(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch and, of its targets, the places in its flattened rows, labels, objectives (and
    questions, where a judge compares): to look for them on the device would mean to wait for it."""
    labels = batch["labels"].flatten()
    places = (labels != IGNORE).nonzero().flatten()
    targets = {"wanted": labels[places], "of": batch["objective"].flatten()[places]}
    if (targets["of"] == JUDGE).any():
        targets["question"] = plain.questions_of(batch).flatten()[places]
    return batch | {"targets": places} | targets


def chunk_nll(head, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Losses of a chunk of targets [targets]; its logits are made again for the gradients."""
    return checkpoint(_nll, head, hidden, labels, use_reentrant=False, preserve_rng_state=False)


def _nll(head, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(head(hidden).float(), labels, reduction="none")


def losses(
    model, batch: dict[str, torch.Tensor], nll: Callable = chunk_nll, precision: str = "float32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """``model.losses`` of a pass of ``Packed`` or ``Padded``, the logits in chunks."""
    head = getattr(model, "module", model).get_output_embeddings()
    with autocast(model, precision):
        hidden = hidden_at(model, batch["targets"], **inputs_of(model, batch))
        with autocast(model, precision, cache=False):  # so that its gradients add up in float32
            chunks = zip(hidden.split(CHUNK), batch["wanted"].split(CHUNK), strict=True)
            nlls = torch.cat([nll(head, *chunk) for chunk in chunks])
    if "question" in batch:
        nlls = plain.listwise(nlls, batch["of"], batch["question"])
    return plain.weighted(nlls, batch["of"], batch["weight"])


def autocast(model, precision: str, cache: bool = True) -> torch.autocast:
    """bf16 autocast, if that is the precision."""
    bf16 = precision == "bfloat16"
    return torch.autocast(model.device.type, torch.bfloat16, enabled=bf16, cache_enabled=cache)


def attention(module, query, key, value, attention_mask, **options):
    """transformers' FlexAttention in the precision of the values (under autocast the turning of
    queries and keys by their positions leaves them in float32)."""
    from transformers.integrations.flex_attention import flex_attention_forward

    query, key = query.to(value.dtype), key.to(value.dtype)
    return flex_attention_forward(module, query, key, value, attention_mask, **options)


def prepare(
    model, data: Steps, precision: str, packed: bool = True, compiled: bool = True, **options
) -> Callable:
    """Lay out ``data`` in passes of the fast path and prepare the model for them (see ``restore``);
    returns its ``losses``. ``options`` are torch.compile's. ValueError if the rows of this family
    cannot be packed."""
    if packed:
        from transformers import AttentionInterface

        AttentionInterface.register(FLEX, attention)
        if model._supports_flex_attn:
            model.set_attn_implementation(FLEX)
        if model.config.is_encoder_decoder or model.config._attn_implementation != FLEX:
            raise ValueError("the family does not take FlexAttention")
        shown = range(0, data.steps, max(1, data.steps // 32))  # the same whenever training starts
        sizes = sorted(sum(len(r["input_ids"]) for r in data.rows_of(i)[0]) for i in shown)
        data.layout = Packed(data.encoder, (sizes[len(sizes) * 2 // 3], sizes[-1]))
    else:
        data.layout = Padded(data.encoder)
    nll = chunk_nll
    if compiled:
        torch._dynamo.config.recompile_limit = 64  # shapes x with and without gradients
        dynamic = False if packed else None
        for _, blocks in blocks_of(model):
            for block in blocks:
                block.compile(dynamic=dynamic, **options)
        nll = torch.compile(chunk_nll, **options)
    return functools.partial(losses, nll=nll, precision=precision)


def restore(model, data: Steps, usual: str) -> None:
    """Undo ``prepare``; ``usual``: the model's attention before."""
    if model.config._attn_implementation != usual:
        model.set_attn_implementation(usual)
    for _, blocks in blocks_of(model):
        for block in blocks:
            block._compiled_call_impl = None
    data.layout = None


def choose(
    model, data: Steps, precision: str, ways: tuple = (), **options
) -> tuple[Callable | None, str]:
    """The first of ``ways`` (on a GPU: WAYS) whose loss and gradients on a few rows are the plain
    way's, prepared: its ``losses`` (None if it is the plain way), and what was left out and why.

    Nothing else changes: neither weights, nor the state of the random number generators. Where
    memory runs out, ``data.parts`` doubles before a way is given up.
    """
    ways = ways or (WAYS if model.device.type == "cuda" else ())
    if not ways:
        return None, ""
    usual, told = model.config._attn_implementation, []
    rows, counts = data.rows_of(data.start)
    rows = rows[:: max(1, len(rows) // TRIED)]
    weights = [data.weights.get(name, 0.0) / max(1, counts[name]) for name in OBJECTIVES]
    weight = {"weight": torch.tensor(weights)}
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            batch = moved(with_targets(data.encoder.collate(rows)) | weight, model.device)
            _check_head(model.eval(), batch, precision)
            expected = _measure(model, [batch], plain.losses, precision)
        except Exception as error:
            return None, _words(error)
        for packed, compiled in ways:
            if packed and data.encoder.seq2seq:
                continue
            while True:
                try:
                    found = prepare(model, data, precision, packed, compiled, **options)
                    parts = data.layout(rows, int(data.parts))
                    batches = [moved(part | weight, model.device) for part in parts]
                    _check(_measure(model, batches, found, precision), expected, precision)
                    return found, "; ".join(told)
                except torch.OutOfMemoryError as error:
                    more = int(data.parts) * 2 <= len(rows)
                    reason = _words(error)
                except Exception as error:  # compilers fail in ways of their own
                    more, reason = False, _words(error)
                restore(model, data, usual)
                free(model)
                if not more:
                    break
                data.parts *= 2
            what = ["packed rows"] * packed + ["compiled blocks"] * compiled or ["loss in chunks"]
            told.append(f"no {' and '.join(what)} ({reason})")
    return None, "; ".join(told)


def free(model) -> None:
    """Drop gradients and give unused memory of the GPU back."""
    model.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def moved(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch on the device, without waiting for it."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _words(error: Exception) -> str:
    said = " ".join(str(error).split())
    return textwrap.shorten(f"{type(error).__name__}: {said}", 160, placeholder=" ...")


def _measure(model, batches: list[dict], way: Callable, precision: str) -> tuple[float, list]:
    """Loss and gradients of some passes; with dropout, which no two ways draw alike, without it."""
    drops = (value for name, value in vars(model.config).items() if "drop" in name)
    model.train(not any(isinstance(value, float) and value > 0 for value in drops))
    model.zero_grad()
    total = 0.0
    for batch in batches:
        with autocast(model, precision):
            loss, _ = way(model, batch)
        loss.backward()
        total += loss.item()
    found = [p.grad for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    model.train()
    return total, found


@torch.no_grad()
def _check_head(model, batch: dict[str, torch.Tensor], precision: str) -> None:
    """ValueError if a family does something to what its output layer gives."""
    inputs = inputs_of(model, batch)
    with autocast(model, precision):
        whole = logits_at(model, batch["labels"] != IGNORE, **inputs)
        head = model.get_output_embeddings()
        alone = head(hidden_at(model, batch["targets"], **inputs))
    if (whole - alone).abs().max() > 1e-3 * whole.abs().max():
        raise ValueError("the model's logits are not what its output layer gives")


def _check(found: tuple[float, list], expected: tuple[float, list], precision: str) -> None:
    """ValueError unless losses are within 1 % and the cosine of all gradients is above 0.99 (in
    float32: 0.01 % and 0.9999)."""
    loss, cosine = (1e-2, 0.99) if precision == "bfloat16" else (1e-4, 0.9999)
    off = abs(found[0] - expected[0]) / abs(expected[0])
    pairs = [(a, b) for a, b in zip(found[1], expected[1], strict=True) if b is not None]
    if any(a is None for a, _ in pairs):
        raise ValueError("gradients are missing")
    dot, one, other = (
        sum((x * y).sum(dtype=torch.float64) for x, y in products)
        for products in (pairs, [(a, a) for a, _ in pairs], [(b, b) for _, b in pairs])
    )
    alike = (dot / (one * other).sqrt()).item()
    if not (off <= loss and alike >= cosine):
        raise ValueError(
            f"loss off by {off:.2%}, cosine of the gradients {alike:.4f}; more than rounding"
        )
