"""Shared-prefix decoding gives what transformers' own greedy generate gives."""

from types import SimpleNamespace

import pytest
import torch

from lib import decoding, models, student, teacher


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = models.load(models.fetch("tiny:llama"), "float32", "cpu")
    return model, tokenizer


def reference(model, prompt: list[int], limit: int, ends: set[int]) -> list[int]:
    """One prompt at a time, without a cache."""
    model.set_attn_implementation("sdpa")
    ids, new = list(prompt), []
    with torch.inference_mode():
        for _ in range(limit):
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in ends:
                break
            new.append(token)
            ids.append(token)
    return new


def of_many_lines(model, tokenizer) -> decoding.Decoder:
    """A decoder to which no token is a line break."""
    decoder = decoding.Decoder(model, tokenizer)
    decoder.newline = torch.zeros_like(decoder.newline)
    return decoder


PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 30], [5, 6, 7, 8, 9, 40, 41, 42, 43], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1], [[5, 9], [7, 8, 9, 10]], [[5, 9]] * 2],
                         ids=["shared prefix", "one prompt", "nothing shared", "all the same"])
def test_same_tokens_as_one_by_one(tiny, prompts):
    model, tokenizer = tiny
    ends = {tokenizer.eos_token_id}
    expected = [reference(model, prompt, 12, ends) for prompt in prompts]
    assert of_many_lines(model, tokenizer).decode(prompts, 12) == expected


def test_rows_end_at_eos_and_leave_the_others_alone(tiny):
    """Ending some rows early (here: at a token that they do produce) changes no other row."""
    model, tokenizer = tiny
    decoder = of_many_lines(model, tokenizer)
    free = decoder.decode(PROMPTS, 12)
    stop = free[0][3]
    decoder._ends = lambda: {stop}
    assert decoder.decode(PROMPTS, 12) == [
        row[:row.index(stop)] if stop in row else row for row in free]


def test_one_line_ends_at_the_first_break_after_text(tiny):
    model, tokenizer = tiny
    decoder = of_many_lines(model, tokenizer)
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
    forward = decoder._forward
    monkeypatch.setattr(decoder, "_forward", lambda ids, *rest: calls.append(ids.shape) or forward(ids, *rest))
    decoder.decode(PROMPTS, 1)
    decoder.decode(PROMPTS, 1)
    assert [tuple(shape) for shape in calls] == [(1, 4), (4, 5), (4, 5)]


def test_common_prefix():
    assert student.common_prefix([[1, 2, 3], [1, 2, 4]]) == 2
    assert student.common_prefix([[1, 2], [1, 2, 3]]) == 2
    assert student.common_prefix([[1, 9], [2, 9]]) == student.common_prefix([[], [2]]) == 0


@pytest.mark.parametrize("template, wanted, used", [
    ("{{ x }}", None, True), (None, None, False), ("{{ x }}", False, False), (None, True, True)])
def test_chat_template_where_there_is_one_unless_the_profile_says_otherwise(template, wanted, used):
    tokenizer = SimpleNamespace(chat_template=template)
    assert teacher.uses_chat(SimpleNamespace(chat=wanted), tokenizer) == used


def test_a_prompt_that_brings_its_special_tokens_gets_no_others(tiny):
    decoder = decoding.Decoder(*tiny)
    assert decoder._templated("<s>Why?") and not decoder._templated("Why?")


def test_newline_tokens(tiny):
    model, tokenizer = tiny
    flags = decoding.Decoder(model, tokenizer).newline
    line, = tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert flags[line] and not flags[tokenizer("fox", add_special_tokens=False)["input_ids"][0]]
