"""How likely a model finds each of several continuations: answers scored without decoding."""

import torch
from torch.nn.utils.rnn import pad_sequence

from lib.common.progress import Progress
from lib.models.batching import by_length, common_prefix


@torch.inference_mode()
def option_scores(
    model,
    prompts: list[list[int]],
    options: list[list[list[int]]],
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[list[float]]:
    """Log-probability (nats, summed over tokens) of each option after its prompt.

    ``prompts``: token ids; ``options``: for each prompt its options' token ids. A prompt is read
    once for all its options: a causal LM sees them one behind another, each hidden from the others
    and at the positions right after the prompt; an encoder-decoder's encoder runs once.
    """
    score = _seq2seq if model.config.is_encoder_decoder else _causal
    scores: list[list[float]] = [[] for _ in prompts]
    if not model.config.is_encoder_decoder:
        model.set_attn_implementation("sdpa")  # takes a mask of any shape
    for rows in by_length(prompts, batch_size):
        batch = score(model, [prompts[i] for i in rows], [options[i] for i in rows])
        for i, of_options in zip(rows, batch, strict=True):
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
    width = max(len(p) + sum(len(o) - 1 for o in row) for p, row in zip(begun, rests, strict=True))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    positions = torch.zeros_like(ids)
    allowed = torch.eye(width, dtype=torch.bool).repeat(len(prompts), 1, 1)
    wanted, labels, sizes = [], [], []
    for i, (prompt, row) in enumerate(zip(begun, rests, strict=True)):
        end = len(prompt)
        ids[i, :end] = torch.tensor(prompt)
        positions[i, :end] = torch.arange(end)
        allowed[i, :end, :end] = torch.ones(end, end, dtype=torch.bool).tril()
        wanted += [(i, k) for k in range(end - shared[i] - 1, end - 1)]
        labels += prompt[end - shared[i] :]
        sizes.append(shared[i])
        for option in row:
            size = len(option) - 1
            part = slice(end, end + size)
            ids[i, part] = torch.tensor(option[:-1], dtype=torch.long)
            positions[i, part] = torch.arange(len(prompt), len(prompt) + size)
            allowed[i, part, : len(prompt)] = True
            allowed[i, part, part] = torch.ones(size, size, dtype=torch.bool).tril()
            wanted += [(i, len(prompt) - 1), *((i, k) for k in range(end, end + size))]
            labels += option
            sizes.append(len(option))
            end += size
    mask = torch.zeros(allowed.shape, dtype=model.dtype).masked_fill_(
        ~allowed, torch.finfo(model.dtype).min
    )
    device = model.device
    hidden = model.base_model(
        input_ids=ids.to(device),
        position_ids=positions.to(device),
        use_cache=False,
        attention_mask=mask[:, None].to(device),
    ).last_hidden_state
    row, column = torch.tensor(wanted, device=device).T
    logits = model.get_output_embeddings()(hidden[row, column])
    sums = iter(_sums(logits, torch.tensor(labels, device=device), sizes))
    scores = []
    for row in options:
        beginning = next(sums)
        scores.append([beginning + next(sums) for _ in row])
    return scores


def _seq2seq(model, prompts, options) -> list[list[float]]:
    from transformers.modeling_outputs import BaseModelOutput

    device = model.device
    ids = pad_sequence([torch.tensor(p) for p in prompts], True, 0).to(device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    mask = (torch.arange(ids.shape[1], device=device)[None] < lengths[:, None]).long()
    state = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
    owner = torch.tensor([i for i, row in enumerate(options) for _ in row], device=device)
    flat = [torch.tensor(option) for row in options for option in row]
    targets = pad_sequence(flat, True, -1).to(device)
    start = targets.new_full((len(targets), 1), model.config.decoder_start_token_id)
    inputs = torch.cat([start, targets[:, :-1].clamp(min=0)], 1)
    logits = model(
        encoder_outputs=BaseModelOutput(state[owner]),
        attention_mask=mask[owner],
        decoder_input_ids=inputs,
        use_cache=False,
    ).logits
    sums = iter(
        _sums(logits[targets >= 0], targets[targets >= 0], [len(option) for option in flat])
    )
    return [[next(sums) for _ in row] for row in options]


def _sums(logits, labels, sizes: list[int]) -> list[float]:
    """Sums of log-probabilities over runs of so many tokens; logits [all tokens, vocabulary]."""
    logp = -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    return [part.sum().item() for part in logp.split(sizes)]
