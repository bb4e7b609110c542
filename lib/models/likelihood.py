"""How likely a model finds each of several continuations: answers scored without decoding."""

import itertools

import torch
from torch.nn.utils.rnn import pad_sequence

from lib.common.progress import Progress
from lib.models.batching import by_length, common_prefix, in_halves
from lib.models.forward import branches_seen, logits_at, mask


@torch.inference_mode()
def option_scores(
    model,
    prompts: list[list[int]],
    options: list[list[list[int]]],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> list[list[float]]:
    """Log-probability (nats, summed over tokens) of each option after its prompt.

    ``prompts``: token ids; ``options``: for each prompt its options' token ids. A prompt is read
    once for all its options: a causal LM sees them one behind another, each hidden from the others
    and at the positions right after the prompt; an encoder-decoder's encoder runs once.
    ``batch_size`` is 32 on the CPU, where what is read stays in its caches, and else 256.
    """
    way = _seq2seq if model.config.is_encoder_decoder else _causal
    batch_size = batch_size or (32 if model.device.type == "cpu" else 256)

    def score(rows: list[int]) -> list[list[float]]:
        return way(model, [prompts[i] for i in rows], [options[i] for i in rows])

    scores: list[list[float]] = [[] for _ in prompts]
    for rows in by_length(prompts, batch_size):
        for i, of_options in zip(rows, in_halves(score, rows), strict=True):
            scores[i] = of_options
        if progress is not None:
            progress.step(len(rows))
    return scores


def best(scores: list[list[float]]) -> list[int]:
    """Index of each row's most likely option (the first of equals)."""
    return [max(range(len(row)), key=row.__getitem__) for row in scores]


def _causal(model, prompts, options) -> list[list[float]]:
    # What a question's options begin with is read once, too; each keeps a token of its own.
    shared = [common_prefix([option[:-1] for option in row]) for row in options]
    begun = [p + row[0][:k] for p, row, k in zip(prompts, options, shared, strict=True)]
    rests = [[option[k:] for option in row] for row, k in zip(options, shared, strict=True)]
    wanted, labels, sizes, ids, branch, position = [], [], [], [], [], []
    for i, (prompt, row) in enumerate(zip(begun, rests, strict=True)):
        end = len(prompt)
        places = [*range(end - shared[i] - 1, end - 1)]
        labels += prompt[end - shared[i] :]
        sizes.append(shared[i])
        tokens, branches, positions = list(prompt), [0] * end, list(range(end))
        for number, option in enumerate(row, 1):
            size = len(option) - 1
            places += [end - 1, *range(len(tokens), len(tokens) + size)]
            labels += option
            sizes.append(len(option))
            tokens += option[:-1]
            branches += [number] * size
            positions += range(end, end + size)
        wanted.append(places)
        ids.append(tokens)
        branch.append(branches)
        position.append(positions)
    device = model.device
    owner = [i for i, places in enumerate(wanted) for _ in places]
    logits = logits_at(
        model,
        tuple(torch.tensor([owner, [*itertools.chain(*wanted)]], device=device)),
        input_ids=_padded(ids, 0, device),
        position_ids=_padded(position, 0, device),
        attention_mask=mask(model, branches_seen(_padded(branch, -1, device))),
        use_cache=False,
    )
    sums = iter(_sums(logits, torch.tensor(labels, device=device), sizes))
    scores = []
    for row in options:
        beginning = next(sums)
        scores.append([beginning + next(sums) for _ in row])
    return scores


def _seq2seq(model, prompts, options) -> list[list[float]]:
    from transformers.modeling_outputs import BaseModelOutput

    device = model.device
    ids = _padded(prompts, 0, device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    seen = (torch.arange(ids.shape[1], device=device)[None] < lengths[:, None]).long()
    state = model.get_encoder()(input_ids=ids, attention_mask=seen).last_hidden_state
    owner = torch.tensor([i for i, row in enumerate(options) for _ in row], device=device)
    flat = [*itertools.chain(*options)]
    targets = _padded(flat, -1, device)
    start = targets.new_full((len(targets), 1), model.config.decoder_start_token_id)
    inputs = torch.cat([start, targets[:, :-1].clamp(min=0)], 1)
    logits = logits_at(
        model,
        targets >= 0,
        encoder_outputs=BaseModelOutput(state[owner]),
        attention_mask=seen[owner],
        decoder_input_ids=inputs,
        use_cache=False,
    )
    sums = iter(_sums(logits, targets[targets >= 0], [len(option) for option in flat]))
    return [[next(sums) for _ in row] for row in options]


def _sums(logits, labels, sizes: list[int]) -> list[float]:
    """Sums of log-probabilities over runs of so many tokens; logits [all tokens, vocabulary]."""
    logp = -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    return [part.sum().item() for part in logp.cpu().split(sizes)]  # the GPU is waited for once


def _padded(rows: list[list[int]], fill: int, device) -> torch.Tensor:
    """Rows of numbers as one tensor [rows, longest]."""
    flat = torch.tensor([*itertools.chain(*rows)])
    return pad_sequence(flat.split([len(row) for row in rows]), True, fill).to(device)
