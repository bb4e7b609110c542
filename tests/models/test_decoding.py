"""Shared-prefix decoding gives what transformers' own greedy generate gives."""

import pytest
import torch

from lib.models import checkpoints, decoding
from lib.models.batching import common_prefix


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")
    return model, tokenizer


def reference(model, prompt: list[int], limit: int, ends: set[int]) -> list[int]:
    """One prompt at a time, without a cache."""
    ids, new = list(prompt), []
    with torch.inference_mode():
        for _ in range(limit):
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in ends:
                break
            new.append(token)
            ids.append(token)
    return new


def of_many_lines(model, tokenizer, fixed: bool = False) -> decoding.Decoder:
    """A decoder to which no token is a line break."""
    decoder = decoding.Decoder(model, tokenizer)
    decoder.newline = torch.zeros_like(decoder.newline)
    decoder.fixed = fixed
    return decoder


@pytest.fixture(params=[False, True], ids=["growing", "fixed"])
def fixed(request, monkeypatch):
    """Whether rows are in a fixed batch: one that is halved early and reads few tokens at once."""
    for name, value in {"EVERY": 2, "WINDOW": 4, "FEWEST": 1, "AT_ONCE": 12}.items():
        monkeypatch.setattr(decoding, name, value)
    return request.param


PROMPTS = [
    [5, 6, 7, 8, 9, 10, 11],
    [5, 6, 7, 8, 30],
    [5, 6, 7, 8, 9, 40, 41, 42, 43],
    [5, 6, 7, 8, 9],
]


@pytest.mark.parametrize(
    "prompts",
    [PROMPTS, PROMPTS[:1], [[5, 9], [7, 8, 9, 10]], [[5, 9]] * 2],
    ids=["shared prefix", "one prompt", "nothing shared", "all the same"],
)
def test_same_tokens_as_one_by_one(tiny, prompts, fixed):
    model, tokenizer = tiny
    ends = {tokenizer.eos_token_id}
    expected = [reference(model, prompt, 12, ends) for prompt in prompts]
    assert of_many_lines(model, tokenizer, fixed).decode(prompts, 12) == expected


def test_rows_end_at_eos_and_leave_the_others_alone(tiny, fixed):
    """Ending some rows early (here: at a token that they do produce) changes no other row."""
    model, tokenizer = tiny
    decoder = of_many_lines(model, tokenizer, fixed)
    free = decoder.decode(PROMPTS, 12)
    stop = free[0][3]
    decoder.ends = torch.tensor([stop])
    assert decoder.decode(PROMPTS, 12) == [
        row[: row.index(stop)] if stop in row else row for row in free
    ]


def test_one_line_ends_at_the_first_break_after_text(tiny, fixed):
    model, tokenizer = tiny
    decoder = of_many_lines(model, tokenizer, fixed)
    free = decoder.decode(PROMPTS, 12)
    breaks = torch.zeros_like(decoder.newline)
    breaks[[free[0][0], free[0][4]]] = True
    decoder.newline = breaks
    found = decoder.decode(PROMPTS, 12)
    for row, whole in zip(found, free, strict=True):
        begun, expected = False, []
        for token in whole:
            if breaks[token] and begun:
                break
            begun = begun or not bool(breaks[token])
            expected.append(token)
        assert row == expected


def test_the_prefix_is_read_once(tiny, monkeypatch):
    model, tokenizer = tiny
    decoder = decoding.Decoder(model, tokenizer)
    calls = []
    forward = decoding.next_logits
    monkeypatch.setattr(
        decoding,
        "next_logits",
        lambda model, ids, *rest: calls.append(ids.shape) or forward(model, ids, *rest),
    )
    decoder.decode(PROMPTS, 1)
    decoder.decode(PROMPTS, 1)
    assert [tuple(shape) for shape in calls] == [(1, 4), (4, 5), (4, 5)]


def test_a_fixed_batch_is_halved_as_rows_end(tiny, fixed, monkeypatch):
    """Rows that end one after another: texts as without, over batches of 8, 4, 2 and 1 rows."""
    model, tokenizer = tiny
    prompts = [[*range(5, 22), *range(30, 32 + i)] for i in range(8)]
    free = of_many_lines(model, tokenizer).decode(prompts, 30)
    stops = {row[3 * i] for i, row in enumerate(free)}
    decoder, sizes = of_many_lines(model, tokenizer, True), []
    decoder.ends = torch.tensor(sorted(stops))
    step = decoding.FixedBatch.step
    monkeypatch.setattr(
        decoding.FixedBatch,
        "step",
        lambda batch: sizes.append((batch.rows, batch.cache.window)) or step(batch),
    )
    expected = [
        row[: min((k for k, token in enumerate(row) if token in stops), default=30)] for row in free
    ]
    assert decoder.decode(prompts, 30) == expected
    assert len({len(row) for row in expected}) > 3 and max(map(len, expected)) < 30
    assert len({rows for rows, _ in sizes}) > 1 and len({window for _, window in sizes}) > 2
    assert sizes == sorted(sizes, key=lambda size: (-size[0], size[1]))


def test_what_gpu_memory_does_not_hold_goes_on_in_halves(tiny, capsys):
    decoder = of_many_lines(*tiny)
    expected, read = decoder.decode(PROMPTS, 5), decoder._decode

    def small(prompts, *others):
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(prompts, *others)

    decoder._decode = small
    assert [decoder.decode(PROMPTS, 5) for _ in range(2)] == [expected] * 2
    assert capsys.readouterr().out.splitlines() == [
        "GPU memory holds less than 4 texts at once: 2 go on.",
        "GPU memory holds less than 2 texts at once: 1 go on.",
    ]
    decoder._decode = lambda *_: small([0, 0])
    with pytest.raises(torch.OutOfMemoryError):
        decoder.decode(PROMPTS[:1], 5)


@pytest.mark.gpu
@pytest.mark.parametrize("limit", [12, 200])
def test_a_recorded_step_writes_what_others_write(limit, monkeypatch):
    """On the GPU in float32: recorded = fixed = growing = one by one, and steps are recorded."""
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cuda")
    prompts = [[*range(5, 40), *range(50, 52 + i % 7), 60 + i] for i in range(48)]
    decoder = of_many_lines(model, tokenizer)
    expected = decoder.decode(prompts, limit)
    decoder.ends = torch.tensor([expected[0][limit // 2]], device="cuda")
    expected, replays = decoder.decode(prompts, limit), []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: replays.append(1) or replay(graph)
    )
    decoder.fixed, decoder.records = True, False
    assert decoder.decode(prompts, limit) == expected and not replays
    decoder.records = True
    assert decoder.decode(prompts, limit) == expected and decoder.records and replays


@pytest.mark.gpu
def test_a_step_that_cannot_be_recorded_is_run(monkeypatch, capsys):
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cuda")
    decoder = of_many_lines(model, tokenizer)
    expected, take = decoder.decode(PROMPTS, 12), decoding.FixedBatch.take
    decoder.fixed = True
    monkeypatch.setattr(  # it waits for the GPU
        decoding.FixedBatch, "take", lambda batch, logits: take(batch, logits) or batch.at_place()
    )
    monkeypatch.setattr(
        decoding.FixedBatch, "at_place", lambda batch: batch.cache.at.tolist(), raising=False
    )
    assert decoder.decode(PROMPTS, 12) == expected and not decoder.records
    assert capsys.readouterr().out.startswith("Decoding goes on without CUDA graphs (")


def test_common_prefix():
    assert common_prefix([[1, 2, 3], [1, 2, 4]]) == 2
    assert common_prefix([[1, 2], [1, 2, 3]]) == 2
    assert common_prefix([[1, 9], [2, 9]]) == common_prefix([[], [2]]) == 0


def test_a_prompt_that_brings_its_special_tokens_gets_no_others(tiny):
    decoder = decoding.Decoder(*tiny)
    assert decoder._templated("<s>Why?") and not decoder._templated("Why?")


def test_newline_tokens(tiny):
    model, tokenizer = tiny
    flags = decoding.Decoder(model, tokenizer).newline
    (line,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert flags[line] and not flags[tokenizer("fox", add_special_tokens=False)["input_ids"][0]]


def test_a_window_would_change_what_is_decoded(tiny):
    """Why they are refused: tokens that a window hides are seen here."""
    import transformers

    shape = {
        "vocab_size": len(tiny[1]),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "initializer_range": 0.5,
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": False,
    }
    prompts = [[5 + (7 * i + j) % 300 for j in range(24)] for i in range(4)]
    same = []
    for window in (8, 64):
        torch.manual_seed(0)
        model = transformers.Gemma3ForCausalLM(
            transformers.Gemma3TextConfig(
                **shape, sliding_window=window, max_position_embeddings=64
            )
        ).eval()
        expected = [reference(model, prompt, 6, set()) for prompt in prompts]
        decoder = of_many_lines(model, tiny[1])
        decoder.ends = torch.tensor([-1])
        same.append(decoder.decode(prompts, 6) == expected)
    assert same == [False, True]
