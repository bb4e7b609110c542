"""The untrained student: which choice each reading takes, and the table of all readings."""

import math

import pandas as pd
import pytest

from lib.common import paths, profile
from lib.evaluation import answers, untrained
from lib.models import checkpoints, likelihood
from lib.questions.question import Question


@pytest.fixture
def tiny():
    return checkpoints.load(checkpoints.fetch("tiny:llama"), "float32")


def test_each_reading_of_a_choice_alone(tiny, monkeypatch):
    """Scores by hand: the sum takes the short choice, the prior takes that away."""
    scores = iter([[[-2.0, -3.0]], [[-1.0, -2.9]]])  # after the question, after "Answer:" alone
    monkeypatch.setattr(likelihood, "option_scores", lambda *_, **__: next(scores))
    question = Question("a", "Why?", ("ox", "a red cow in a field"), 1)
    _, tokenizer = tiny
    tokens = [
        len(tokenizer(f" {c}", add_special_tokens=False)["input_ids"]) for c in question.choices
    ]
    assert tokens[0] < tokens[1]
    found = untrained.alone(None, tokenizer, [question])
    assert list(found) == list(untrained.ALONE)
    assert [choice for (choice,) in found.values()] == [0, 1, 1, 1]


def test_choices_alone_are_scored_by_the_model(tiny):
    """The first reading is the sum of log-probabilities that a plain forward pass gives."""
    model, tokenizer = tiny
    question = Question("a", "What is hot?", ("ice", "the sun"), 1)
    ids = tokenizer("Question: What is hot?\nAnswer:")["input_ids"]
    sums = []
    for choice in question.choices:
        new = tokenizer(f" {choice}", add_special_tokens=False)["input_ids"]
        logits = model(model.dummy_inputs["input_ids"].new_tensor([ids + new])).logits[0]
        logp = logits.log_softmax(-1)[len(ids) - 1 : -1]
        sums.append(math.fsum(logp[k, token].item() for k, token in enumerate(new)))
    found = untrained.alone(model, tokenizer, [question])["each choice alone, sum"]
    assert found == [sums.index(max(sums))]


def test_the_table_has_a_row_a_size_and_reading_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    settings = profile.load("smoke")
    few = settings.evaluation.model_copy(update={"reader_questions": 3})
    settings = settings.model_copy(update={"evaluation": few})
    table = untrained.untrained_table(settings)
    assert table["size"].tolist() == ["tiny-t5"] * 6 + ["tiny-llama"] * 6
    assert table["reading"].tolist()[:6] == [
        untrained.WRITTEN,
        untrained.LIKELIEST,
        *untrained.ALONE,
    ]
    assert table["n"].tolist() == [3, 10, 10, 10, 10, 10] * 2
    assert table["accuracy"].between(table["low"], table["high"]).all()
    monkeypatch.setattr(answers, "generate", None)  # what is kept is not computed again
    pd.testing.assert_frame_equal(untrained.untrained_table(settings), table)
