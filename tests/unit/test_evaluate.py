"""The one extraction rule, as a table of cases; tables of students."""

import pytest

from lib import evaluate

CHOICES = ("go fishing", "a dog", "A. cat", "sleep")


@pytest.mark.parametrize(("text", "expected"), [
    ("So the answer is go fishing.", 0),
    ("so THE ANSWER IS  Go   Fishing", 0),
    ("Dogs bark. So the answer is a dog.", 1),
    ("So the answer is (B) a dog.", 1),
    ("So the answer is (B).", 1),
    ("So the answer is B) a dog", 1),
    ("So the answer is: sleep", 3),
    ('So the answer is "sleep".', 3),
    ("So the answer is a. cat.", 2),
    ("The answer is sleep. So the answer is a dog.", 1),
    ("So the answer is sleep.\nSo much for that.", 3),
    ("So the answer is (B) sleep.", None),
    ("So the answer is go fishing with a dog.", None),
    ("So the answer is dog.", None),
    ("So the answer is (E).", None),
    ("a dog", None),
    ("The answers are many", None),
    ("", None),
])
def test_extraction(text, expected):
    assert evaluate.extract(text, CHOICES) == expected


def test_equal_choices_count_as_the_first():
    assert evaluate.extract("So the answer is x.", ("x", "x")) == 0


def test_explanation_without_its_answer():
    assert evaluate.without_answer("It barks. So the answer is a dog.") == "It barks."
    assert evaluate.without_answer("It barks.") == "It barks."


def test_which_task_answers_and_explains():
    assert [evaluate.answer_task(m) for m in ("label-only", "MT", "CF", "MT+CF")] == [
        "predict", "predict", "factual", "predict"]
    assert [evaluate.explanation_task(m) for m in ("label-only", "MT", "CF", "MT+CF")] == [
        None, "explain", "factual", "explain"]
