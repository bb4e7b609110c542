"""Inputs and targets of the objectives."""

import pytest

from lib.common.errors import UserError
from lib.models import checkpoints
from lib.questions.question import Question
from lib.students import objectives
from lib.students.objectives import Recipe

QUESTION = Question("q", "Where do fish live?", ("tree", "water", "tree"), 1)
TEXTS = {
    "explanation": "They breathe water.",
    "revision": "Gills need water, a tree is dry.",
    "counterfactuals": ["Trees are tall.", "Water is wet.", None],
}
ASKED = "Where do fish live? Choices: (A) tree (B) water (C) tree"
ANSWER = "So the answer is water."


@pytest.mark.parametrize(
    ("objective", "revised", "source", "target"),
    [
        ("predict", False, ASKED, ANSWER),
        ("explain", False, ASKED, "They breathe water."),
        ("explain", True, ASKED, "Gills need water, a tree is dry."),
        ("factual", False, ASKED, f"They breathe water. {ANSWER}"),
        ("factual", True, ASKED, f"Gills need water, a tree is dry. {ANSWER}"),
        ("counterfactual", True, f"{ASKED} Rationale: Trees are tall.", "So the answer is tree."),
        ("answer_first", False, ASKED, f"{ANSWER} They breathe water."),
        (
            *("contrast", True, "Where do fish live? Choice: water rather than tree"),
            "Gills need water, a tree is dry.",
        ),
    ],
)
def test_pairs(objective, revised, source, target):
    found = objectives.pair(objective, QUESTION, TEXTS, Recipe(revised=revised))
    assert found == (f"[{objective}] {source}", target)


def test_factual_target_of_the_authors():
    recipe = Recipe(revised=True, factual_from="counterfactual")
    target = objectives.pair("factual", QUESTION, TEXTS, recipe)[1]
    assert target == f"Water is wet. {ANSWER}"
    lacking = TEXTS | {"counterfactuals": ["Trees are tall.", None, None]}
    target = objectives.pair("factual", QUESTION, lacking, recipe)[1]
    assert target == f"Gills need water, a tree is dry. {ANSWER}"


def test_a_random_wrong_choice_is_seeded_and_usable():
    many = Question("q", "Which?", tuple("abcde"), 0)
    texts = TEXTS | {"counterfactuals": ["right", "b is.", None, "d is.", "e is."]}
    recipes = [Recipe(wrong_choice="random", seed=seed) for seed in range(40)]
    found = [objectives.pair("counterfactual", many, texts, recipe) for recipe in recipes]
    assert {target for _, target in found} == {f"So the answer is {c}." for c in "bde"}
    assert all(source.split()[-2] == target.split()[-1].strip(".") for source, target in found)
    assert found[3] == objectives.pair("counterfactual", many, texts, recipes[3])


@pytest.mark.parametrize("wrong_choice", ["first", "random"])
@pytest.mark.parametrize("texts", [["", "Water is wet.", ""], [None, "Water is wet.", None]])
def test_without_a_counterfactual_text_the_rationale_is_empty(wrong_choice, texts):
    recipe, texts = Recipe(wrong_choice=wrong_choice, seed=3), TEXTS | {"counterfactuals": texts}
    found = objectives.pair("counterfactual", QUESTION, texts, recipe)
    assert found == (f"[counterfactual] {ASKED} Rationale: ", "So the answer is tree.")


@pytest.mark.parametrize(
    ("tags", "front"),
    [("words", "[explain] "), ("numbers", "[2] "), ("none", ""), ("twice", "[explain] [explain] ")],
)
def test_tags(tags, front):
    assert objectives.source("explain", QUESTION, tags=tags) == front + ASKED


def test_choices_that_a_tokenizer_writes_alike_are_refused(spiece):
    tokenizer = checkpoints.check(f"local:{spiece}")[1]
    alike = Question("q3", "Which?", ("a < b", "a > b", "c"), 0)
    with pytest.raises(UserError) as told:
        objectives.check_choices(tokenizer, [QUESTION, alike], "small")
    assert str(told.value) == (
        "Question q3: the tokenizer of small writes 'a < b' and 'a > b' as one text, 'a b'; choose "
        "another student or take the question out."
    )
    objectives.check_choices(tokenizer, [QUESTION], "small")  # alike in the data, too: no harm
    byte_level = checkpoints.load(checkpoints.fetch("tiny:t5"), "float32", "meta")[1]
    objectives.check_choices(byte_level, [alike], "small")
    texts = ["a < b", "a b", "{x}"]
    assert objectives.lost(tokenizer, texts) == (2, "< { }")
    assert objectives.lost(byte_level, texts) == (0, "")


def test_half_of_the_time_a_wrong_choice_is_to_be_justified():
    found = []
    for i in range(200):
        question = Question(f"q{i}", "Which?", ("a", "b", "c"), 0)
        texts = TEXTS | {"counterfactuals": ["a is", "b is", None]}
        found.append(objectives.pair("justify", question, texts))
    wrong = [pair for pair in found if pair[1] == "b is"]
    right = [pair for pair in found if pair[1] == "They breathe water."]
    assert len(wrong) + len(right) == 200 and 80 < len(wrong) < 120
    assert {source.rpartition(" Answer: ")[2] for source, _ in wrong} == {"b"}
    assert {source.rpartition(" Answer: ")[2] for source, _ in right} == {"a"}


def test_advocates_speak_for_every_choice_the_right_one_first():
    front = "[advocate] Where do fish live? Choice:"
    expected = [
        (f"{front} water", "Water is wet."),
        (f"{front} tree", "Trees are tall."),
        (f"{front} tree", ""),
    ]
    assert objectives.pair("advocate", QUESTION, TEXTS) == expected
    silent = objectives.pair("advocate", QUESTION, TEXTS, Recipe(rationales="none"))
    assert silent == [(source, "") for source, _ in expected]


def test_as_many_tokens_as_a_question_has_texts():
    found = objectives.pair("explain", QUESTION, TEXTS, Recipe(rationales="three"))
    assert [target for _, target in found] == [
        "They breathe water.", "Water is wet.", "Gills need water, a tree is dry.",
    ]  # fmt: skip
    assert {source for source, _ in found} == {f"[explain] {ASKED}"}
