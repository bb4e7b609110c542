"""The reader's measures, computed by hand, and its views on tiny models."""

import math

import pandas as pd
import pytest

from lib.evaluation import simulator
from lib.models import checkpoints
from lib.questions.splits import Question

#          own answer, reader from question, both, explanation alone, right?, trust without and with
CASES = pd.DataFrame(
    [
        (0, 0, 0, 0, True, 0.9, 0.9),  # leaks; nothing gained
        (1, 0, 1, 1, True, 0.2, 0.8),  # leaks; gained
        (2, 0, 2, 0, False, 0.1, 0.7),  # does not leak; gained
        (2, 2, 0, 0, False, 0.4, 0.1),  # does not leak; lost
        (3, 0, 1, 0, False, 0.3, 0.2),
    ],  # does not leak; neither
    columns=[
        "answered",
        "read_question",
        "read_both",
        "read_explanation",
        "correct",
        "p_question",
        "p_both",
    ],
)


def test_simulatability_by_hand():
    found = simulator.simulatability(CASES)
    assert found == pytest.approx(
        {"leaking": 1 / 2, "other": 0.0, "las": 1 / 4, "leak_rate": 2 / 5}
    )
    assert simulator.simulatability(CASES[:2])["las"] == pytest.approx(1 / 2), "only leaking ones"


def test_consistency_and_error_finding_by_hand():
    assert simulator.consistency(CASES) == pytest.approx(3 / 5)
    assert simulator.error_finding(CASES, "question") == pytest.approx(4 / 6)
    assert simulator.error_finding(CASES, "both") == pytest.approx(6 / 6)
    assert math.isnan(simulator.error_finding(CASES[:2], "both")), "all right: nothing to find"


def test_what_the_reader_sees():
    args = ("Who?", ["me", "you"], "It was me.")
    assert simulator.reader_prompt(*args, "both") == (
        "Question: Who?\nChoices: (A) me (B) you\nExplanation: It was me.\nSo the answer is"
    )
    assert "Explanation" not in simulator.reader_prompt(*args, "question")
    assert "Question" not in simulator.reader_prompt(*args, "explanation")


def test_readings_on_a_tiny_model():
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")
    table = pd.DataFrame(
        {
            "question": ["Who?", "Who?", "Where?", "Why?"],
            "answered": pd.array([0, 1, None, 2], "Int64"),
            "choices": [["me", "you"]] * 2 + [["a", "b"], ["x", "y", "z"]],
            "explanation": ["It was me.", "You did.", "There.", None],
        },
        index=[4, 7, 8, 9],
    )
    found = simulator.readings(model, tokenizer, table)
    assert list(found.index) == [4, 7], "no answer or no explanation: nothing to read"
    assert found["read_question"].nunique() == 1, "the same question reads the same"
    assert found["p_question"].sum() == pytest.approx(1), "both answers to one question"
    assert found.equals(simulator.readings(model, tokenizer, table))


@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5"])
def test_following_asks_for_each_wrong_choice_with_a_rationale(reference):
    model, tokenizer = checkpoints.load(checkpoints.fetch(reference), "float32", "cpu")
    questions = [
        Question("a", "Who?", ("me", "you", "they"), 0),
        Question("b", "Why?", ("x", "y"), 1),
    ]
    rationales = [["Me.", "You did it.", None], ["X is why.", "Y is why."]]
    found = simulator.following(model, tokenizer, questions, rationales)
    assert list(zip(found["id"], found["choice"], strict=True)) == [("a", 1), ("b", 0)]
    assert found[["followed", "anyway"]].dtypes.eq(bool).all()
