"""Rows of datasets become questions, or are refused with where and why; nothing is converted."""

import pytest

from lib.common.errors import UserError
from lib.questions.question import parse

ROWS = {
    "strategyqa": {"qid": "q", "question": "Is it?", "answer": False},
    "esnli": {"premise": "A", "hypothesis": "B", "label": 0},
    "cqa": {"id": "q", "question": "Why?", "choices": ["x", "y"], "answer": "y"},
    "commonsenseqa": {
        "id": "q",
        "question": "Why?",
        "choices": {"label": ["A", "B"], "text": ["x", "y"]},
        "answerKey": "B",
    },
}
ROWS["yesno"] = ROWS["commonsenseqa"]
LETTERS = list("ABCDEFGHI")


@pytest.mark.parametrize("name", ROWS)
def test_other_columns_are_passed_over(name):
    asked = parse(name, ROWS[name], "test-00000", "")
    assert parse(name, ROWS[name] | {"term": 1}, "test-00000", "") == asked
    assert asked.answer in range(len(asked.choices))


@pytest.mark.parametrize(
    "name, change, problem",
    [
        ("strategyqa", {"answer": "false"}, "answer: Input should be a valid boolean (found 'fal"),
        ("strategyqa", {"answer": 0}, "answer: Input should be a valid boolean (found 0)"),
        ("strategyqa", {"answer": 1.0}, "answer: Input should be a valid boolean (found 1.0)"),
        ("strategyqa", {"answer": None}, "answer: Input should be a valid boolean (found None)"),
        ("strategyqa", {"question": " "}, "question: String should have at least 1 character (fo"),
        ("strategyqa", {"question": 7}, "question: Input should be a valid string (found 7)"),
        ("strategyqa", {"qid": None}, "qid: Input should be a valid string (found None)"),
        ("strategyqa", {"qid": True}, "qid: Input should be a valid string (found True)"),
        ("esnli", {"label": "1"}, "label: Input should be a valid integer (found '1')"),
        ("esnli", {"label": True}, "label: Input should be a valid integer (found True)"),
        ("esnli", {"label": 3}, "label: Input should be less than or equal to 2 (found 3)"),
        ("esnli", {"hypothesis": ""}, "hypothesis: String should have at least 1 character (foun"),
        ("cqa", {"answer": "z"}, "the answer 'z' is none of x, y"),
        ("cqa", {"choices": "xy"}, "choices: Input should be a valid list (found 'xy')"),
        ("commonsenseqa", {"answerKey": "b"}, "the answer 'b' is none of A, B"),
        ("commonsenseqa", {"answerKey": 1}, "answerKey: Input should be a valid string (found 1)"),
        ("commonsenseqa", {"choices": ["x"]}, "choices: Input should be a valid dictionary or in"),
    ],
)
def test_a_wrong_row_is_a_sentence(name, change, problem):
    with pytest.raises(UserError) as told:
        parse(name, ROWS[name] | change, "test-00000", "a.jsonl line 3")
    sentence = str(told.value)
    assert sentence.startswith(f"a.jsonl line 3: {problem}"), sentence
    assert f"; correct the row ({name} reads {', '.join(ROWS[name])})." in sentence


@pytest.mark.parametrize(
    "labels, texts, problem",
    [
        (LETTERS, list("abcdefghi"), "9 choices; give it 2 to 8"),
        (["A"], ["a"], "1 choices; give it 2 to 8"),
        (["A", "B", "C"], ["a", "b"], "2 choices have the labels A, B, C"),
        (["A", "A"], ["a", "b"], "2 choices have the labels A, A"),
        (["A", "B"], ["a", " "], "the question or a choice is blank"),
        (["A", "B"], ["a", 7], "choices.text.1: Input should be a valid string (found 7)"),
        ("AB", ["a", "b"], "choices.label: Input should be a valid list (found 'AB')"),
    ],
)
@pytest.mark.parametrize("name", ["commonsenseqa", "yesno"])
def test_choices_that_cannot_be_asked(name, labels, texts, problem):
    row = ROWS[name] | {"choices": {"label": labels, "text": texts}, "answerKey": "A"}
    with pytest.raises(UserError) as told:
        parse(name, row, "test-00000", "line 1")
    assert str(told.value).startswith(f"line 1: {problem}; correct the row")


@pytest.mark.parametrize("row", [None, "x", ["x"], {}])
def test_a_row_that_is_none(row):
    with pytest.raises(UserError, match="^line 1: .*; correct the row .strategyqa reads qid, "):
        parse("strategyqa", row, "test-00000", "line 1")
