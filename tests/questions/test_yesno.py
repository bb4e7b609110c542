"""The yes/no questions made from MiniCQA: about one choice of each, right or wrong in turn."""

from collections import Counter
from itertools import combinations

import pytest

from lib.common.profile import TaskSettings
from lib.questions.question import Question, parse
from lib.questions.splits import SPLITS, load
from lib.teacher import prompt


@pytest.fixture(scope="module")
def plain():
    return load(TaskSettings(name="minicqa"))


@pytest.fixture(scope="module")
def yesno():
    return load(TaskSettings(name="minicqa_yesno"))


@pytest.mark.parametrize("split", SPLITS)
def test_each_question_is_asked_about_one_of_its_choices(plain, yesno, split):
    for old, new in zip(plain[split], yesno[split], strict=True):
        assert new.id == f"{old.id}-yesno" and new.choices == ("yes", "no")
        text, candidate = new.question.removesuffix('"?').split(' Is the answer "')
        assert text == old.question and candidate in old.choices
        assert (candidate == old.answer_text) == (new.answer_text == "yes")


@pytest.mark.parametrize("split", SPLITS)
def test_yes_is_right_for_half_of_any_first_questions(yesno, split):
    answers = [q.answer for q in yesno[split]]
    for count in range(1, len(answers) + 1):
        seen = Counter(answers[:count])
        assert abs(seen[0] - seen[1]) <= 1


def test_wrong_candidates_stand_at_every_position_and_are_drawn_by_the_id_alone(plain, yesno):
    choices = {"label": list("ABCDE"), "text": ["a", "b", "c", "d", "e"]}
    row = {"id": "x", "question": "Why?", "answerKey": "B", "choices": choices}
    seen = {parse("yesno", row, f"test-{number:05d}", "") for number in range(1, 20, 2)}
    assert len(seen) == 1 and seen.pop().question != 'Why? Is the answer "b"?'
    right = Question("x-yesno", 'Why? Is the answer "b"?', ("yes", "no"), 0)
    assert parse("yesno", row, "test-00002", "") == right
    first = yesno["test"][1]
    assert first.id == "g71-2-yesno" and first.question == (
        "What can a tourist capture in an instant by pressing a camera's button? "
        'Is the answer "painting"?'
    )
    positions = Counter(
        old.choices.index(new.question.split('"')[-2])
        for old, new in zip(plain["train"], yesno["train"], strict=True)
        if new.answer
    )
    assert min(positions[i] for i in range(5)) > 12  # 130 / 5 = 26 expected


def test_no_question_of_one_split_is_in_another_or_a_worked_example(plain, yesno):
    stems = {
        split: {
            q.question.partition(" Is the answer")[0].lower() for q in plain[split] + yesno[split]
        }
        for split in SPLITS
    }
    assert not any(a & b for a, b in combinations(stems.values(), 2))
    known = set().union(*stems.values())
    known |= {example["question"].lower() for example in prompt.read("minicqa")["examples"]}
    examples = prompt.read("minicqa_yesno")["examples"]
    assert not {e["question"].partition(" Is the answer")[0].lower() for e in examples} & known
    assert all(e["question"].count('Is the answer "') == 1 for e in examples)
    assert sorted(Counter(e["answer"] for e in examples).values()) == [3, 4]
