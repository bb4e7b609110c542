"""How likely a model finds each of several continuations: answers scored without decoding."""

import torch
from torch.nn.utils.rnn import pad_sequence

from lib.progress import Progress


@torch.inference_mode()
def option_scores(model, prompts: list[list[int]], options: list[list[list[int]]], *,
                  batch_size: int = 32, progress: Progress | None = None) -> list[list[float]]:
    """Log-probability (nats, summed over tokens) of each option after its prompt, both architectures.

    ``prompts``: token ids; ``options``: for each prompt its options' token ids. A prompt is read
    once for all its options: a causal LM sees them one behind another, each hidden from the others
    and placed right after the prompt; an encoder-decoder's encoder runs once.
    """
    score = _seq2seq if model.config.is_encoder_decoder else _causal
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: list[list[float]] = [[] for _ in prompts]
    if not model.config.is_encoder_decoder:
        model.set_attn_implementation("sdpa")  # takes a mask of any shape
    for start in range(0, len(order), batch_size):
        rows = order[start:start + batch_size]
        nll = score(model, [prompts[i] for i in rows], [options[i] for i in rows])
        for i, scores in zip(rows, nll, strict=True):
            found[i] = scores
        if progress is not None:
            progress.step(len(rows))
    return found


def best(scores: list[list[float]]) -> list[int]:
    """Index of each row's most likely option (the first of equals)."""
    return [max(range(len(row)), key=row.__getitem__) for row in scores]


def _causal(model, prompts, options) -> list[list[float]]:
    width = max(len(p) + sum(len(o) - 1 for o in row) for p, row in zip(prompts, options, strict=True))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    places = torch.zeros_like(ids)
    allowed = torch.eye(width, dtype=torch.bool).repeat(len(prompts), 1, 1)
    wanted, labels = [], []
    for i, (prompt, row) in enumerate(zip(prompts, options, strict=True)):
        end = len(prompt)
        ids[i, :end] = torch.tensor(prompt)
        places[i, :end] = torch.arange(end)
        allowed[i, :end, :end] = torch.ones(end, end, dtype=torch.bool).tril()
        for option in row:
            size = len(option) - 1
            part = slice(end, end + size)
            ids[i, part] = torch.tensor(option[:-1], dtype=torch.long)
            places[i, part] = torch.arange(len(prompt), len(prompt) + size)
            allowed[i, part, :len(prompt)] = True
            allowed[i, part, part] = torch.ones(size, size, dtype=torch.bool).tril()
            wanted += [(i, len(prompt) - 1), *((i, k) for k in range(end, end + size))]
            labels += option
            end += size
    mask = torch.zeros(allowed.shape, dtype=model.dtype).masked_fill_(
        ~allowed, torch.finfo(model.dtype).min)
    device = model.device
    hidden = model.base_model(input_ids=ids.to(device), position_ids=places.to(device), use_cache=False,
                              attention_mask=mask[:, None].to(device)).last_hidden_state
    row, column = torch.tensor(wanted, device=device).T
    logits = model.get_output_embeddings()(hidden[row, column])
    return _sums(logits, torch.tensor(labels, device=device), options)


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
    logits = model(encoder_outputs=BaseModelOutput(state[owner]), attention_mask=mask[owner],
                   decoder_input_ids=inputs, use_cache=False).logits
    return _sums(logits[targets >= 0], targets[targets >= 0], options)


def _sums(logits, labels, options) -> list[list[float]]:
    """Per option the sum of its tokens' log-probabilities; logits [all options' tokens, vocabulary]."""
    logp = -torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    sums = iter(part.sum().item() for part in logp.split([len(o) for row in options for o in row]))
    return [[next(sums) for _ in row] for row in options]
