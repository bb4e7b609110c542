"""Methods, tasks, inputs and targets."""

import pytest

from lib.common import methods
from lib.common.errors import UserError
from lib.questions.splits import Question
from lib.students import objectives

QUESTION = Question("q", "Where do fish live?", ("tree", "water", "tree"), 1)
TEXTS = {
    "explanation": "They breathe water.",
    "revision": "Gills need water, a tree is dry.",
    "counterfactuals": ["Trees are tall.", "Water is wet.", None],
}
LETTERED = "(A) tree (B) water (C) tree"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("label-only", {"predict": 1.0}),
        ("MT", {"predict": 0.3, "explain": 0.7}),
        ("CF", {"factual": 0.6, "counterfactual": 0.4}),
        ("MT+CF", {"predict": 0.27, "explain": 0.63, "factual": 0.06, "counterfactual": 0.04}),
    ],
)
def test_weights(method, expected):
    found = methods.weights(method, alpha=0.3, beta=0.6, gamma=0.9)
    assert found == pytest.approx(expected) and sum(found.values()) == pytest.approx(1)


def test_unweighted_sum_of_the_authors():
    assert methods.weights("CF", cf_loss="sum") == {"factual": 1.0, "counterfactual": 1.0}
    assert methods.weights("MT+CF", gamma=0.8, cf_loss="sum") == pytest.approx(
        {"predict": 0.4, "explain": 0.4, "factual": 0.2, "counterfactual": 0.2}
    )


def test_a_task_of_weight_zero_is_not_trained():
    assert methods.weights("MT", alpha=1.0) == {"predict": 1.0}


def test_arms_are_methods_by_texts():
    assert methods.arms() == [
        "label-only",
        "CF:Unrevised",
        "MT:Unrevised",
        "MT+CF:Unrevised",
        "CF:Revised",
        "MT:Revised",
        "MT+CF:Revised",
    ]


def test_a_fifth_method_is_one_line(monkeypatch):
    """The README's example: rationale-first explains, then answers."""
    four = methods.methods
    monkeypatch.setattr(
        objectives, "methods", lambda **how: {**four(**how), "rationale-first": {"factual": 1.0}}
    )
    assert methods.weights("rationale-first") == {"factual": 1.0}
    assert methods.answer_objective("rationale-first") == "factual"
    assert methods.explanation_objective("rationale-first") == "factual"
    assert {"rationale-first:Unrevised", "rationale-first:Revised"} < set(methods.arms())


@pytest.mark.parametrize(
    ("method", "answers", "explains"),
    [
        ("label-only", "predict", None),
        ("MT", "predict", "explain"),
        ("CF", "factual", "factual"),
        ("MT+CF", "predict", "explain"),
    ],
)
def test_what_a_student_is_asked(method, answers, explains):
    assert (methods.answer_objective(method), methods.explanation_objective(method)) == (
        answers,
        explains,
    )


def test_unknown_method():
    with pytest.raises(UserError, match="no method 'XX'; choose one of label-only"):
        methods.weights("XX")


@pytest.mark.parametrize(
    ("task", "revised", "expected"),
    [
        (
            "predict",
            False,
            (f"[predict] Where do fish live? Choices: {LETTERED}", "So the answer is water."),
        ),
        (
            "explain",
            False,
            (f"[explain] Where do fish live? Choices: {LETTERED}", "They breathe water."),
        ),
        (
            "explain",
            True,
            (
                f"[explain] Where do fish live? Choices: {LETTERED}",
                "Gills need water, a tree is dry.",
            ),
        ),
        (
            "factual",
            False,
            (
                f"[factual] Where do fish live? Choices: {LETTERED}",
                "They breathe water. So the answer is water.",
            ),
        ),
        (
            "counterfactual",
            True,
            (
                f"[counterfactual] Where do fish live? Choices: {LETTERED} "
                "Rationale: Trees are tall.",
                "So the answer is tree.",
            ),
        ),
    ],
)
def test_pairs(task, revised, expected):
    assert objectives.pair(task, QUESTION, TEXTS, revised) == expected


def test_factual_target_of_the_authors():
    target = objectives.pair("factual", QUESTION, TEXTS, True, factual_from="counterfactual")[1]
    assert target == "Water is wet. So the answer is water."
    lacking = TEXTS | {"counterfactuals": ["Trees are tall.", None, None]}
    target = objectives.pair("factual", QUESTION, lacking, False, factual_from="counterfactual")[1]
    assert target == "They breathe water. So the answer is water."


def test_a_random_wrong_choice_is_seeded_and_usable():
    many = Question("q", "Which?", tuple("abcde"), 0)
    texts = TEXTS | {"counterfactuals": ["right", "b is.", None, "d is.", "e is."]}
    found = [
        objectives.pair("counterfactual", many, texts, False, wrong_choice="random", seed=seed)
        for seed in range(40)
    ]
    assert {target for _, target in found} == {f"So the answer is {c}." for c in "bde"}
    assert all(source.split()[-2] == target.split()[-1].strip(".") for source, target in found)
    assert found[3] == objectives.pair(
        "counterfactual", many, texts, False, wrong_choice="random", seed=3
    )


@pytest.mark.parametrize("wrong_choice", ["first", "random"])
@pytest.mark.parametrize("texts", [["", "Water is wet.", ""], [None, "Water is wet.", None]])
def test_without_a_counterfactual_text_the_rationale_is_empty(wrong_choice, texts):
    found = objectives.pair(
        "counterfactual",
        QUESTION,
        TEXTS | {"counterfactuals": texts},
        False,
        wrong_choice=wrong_choice,
        seed=3,
    )
    assert found == (
        f"[counterfactual] Where do fish live? Choices: {LETTERED} Rationale: ",
        "So the answer is tree.",
    )


@pytest.mark.parametrize(
    ("tags", "start"),
    [
        ("words", "[explain] Where"),
        ("numbers", "[2] Where"),
        ("none", "Where"),
        ("twice", "[explain] [explain] Where"),
    ],
)
def test_tags(tags, start):
    assert objectives.source("explain", QUESTION, tags=tags).startswith(start)


def test_wrong_choices_are_indices():
    """Two equal choices do not confuse what is wrong."""
    assert QUESTION.wrong == [0, 2]
    assert methods.split_arm("MT+CF:Revised") == ("MT+CF", "Revised")
    assert methods.split_arm("MT+CF:Revised, share 0.1") == ("MT+CF", "Revised")
    assert methods.split_arm("label-only") == ("label-only", None)
