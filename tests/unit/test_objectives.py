"""Methods, tasks, inputs and targets."""

import pytest

from lib import objectives
from lib.errors import UserError
from lib.tasks import Question

QUESTION = Question("q", "Where do fish live?", ("tree", "water", "tree"), 1)
TEXTS = {"explanation": "They breathe water.", "revision": "Gills need water, a tree is dry.",
         "counterfactuals": ["Trees are tall.", "Water is wet.", None]}
LETTERED = "(A) tree (B) water (C) tree"


@pytest.mark.parametrize(("method", "expected"), [
    ("label-only", {"predict": 1.0}),
    ("MT", {"predict": 0.3, "explain": 0.7}),
    ("CF", {"factual": 0.6, "counterfactual": 0.4}),
    ("MT+CF", {"predict": 0.27, "explain": 0.63, "factual": 0.06, "counterfactual": 0.04}),
])
def test_weights(method, expected):
    found = objectives.weights(method, alpha=0.3, beta=0.6, gamma=0.9)
    assert found == pytest.approx(expected) and sum(found.values()) == pytest.approx(1)


def test_unknown_method():
    with pytest.raises(UserError, match="no method 'XX'; choose one of label-only"):
        objectives.weights("XX")


@pytest.mark.parametrize(("task", "revised", "expected"), [
    ("predict", False, (f"[predict] Where do fish live? Choices: {LETTERED}",
                        "So the answer is water.")),
    ("explain", False, (f"[explain] Where do fish live? Choices: {LETTERED}", "They breathe water.")),
    ("explain", True, (f"[explain] Where do fish live? Choices: {LETTERED}",
                       "Gills need water, a tree is dry.")),
    ("factual", False, (f"[factual] Where do fish live? Choices: {LETTERED}",
                        "They breathe water. So the answer is water.")),
    ("counterfactual", True, (f"[counterfactual] Where do fish live? Choices: {LETTERED} "
                              "Rationale: Trees are tall.", "So the answer is tree.")),
])
def test_pairs(task, revised, expected):
    assert objectives.pair(task, QUESTION, TEXTS, revised) == expected


def test_factual_target_of_the_authors():
    target = objectives.pair("factual", QUESTION, TEXTS, True, "counterfactual")[1]
    assert target == "Water is wet. So the answer is water."


def test_wrong_choices_are_indices():
    """Two equal choices do not confuse what is wrong."""
    assert QUESTION.wrong == [0, 2]
    assert objectives.split_arm("MT+CF:Revised") == ("MT+CF", "Revised")
    assert objectives.split_arm("label-only") == ("label-only", None)
