"""Methods, their objectives and weights, and the arms."""

import pytest

from lib.common import methods
from lib.common.errors import UserError


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


def test_an_objective_of_weight_zero_is_not_trained():
    assert methods.weights("MT", alpha=1.0) == {"predict": 1.0}


def test_unknown_method():
    with pytest.raises(UserError, match="no method 'XX'; choose one of label-only"):
        methods.weights("XX")


def test_arms_are_methods_by_texts():
    explained = ["CF", "MT", "MT+CF", "rationale-first", "answer-first", "MT-own", "listwise"]
    pairs = [f"{method}:{texts}" for texts in ("Unrevised", "Revised") for method in explained]
    assert methods.arms() == ["label-only", *pairs]
    assert methods.split_arm("MT+CF:Revised") == ("MT+CF", "Revised")
    assert methods.split_arm("MT+CF:Revised, share 0.1") == ("MT+CF", "Revised")
    assert methods.split_arm("label-only") == ("label-only", None)


def test_another_method_is_one_line(monkeypatch):
    """The example of notebooks/EXTENDING.md: the answer, and the answer before its explanation."""
    known, other = methods.methods, {"answer-twice": {"predict": 0.5, "answer_first": 0.5}}
    monkeypatch.setattr(methods, "methods", lambda **how: known(**how) | other)
    assert methods.weights("answer-twice") == {"predict": 0.5, "answer_first": 0.5}
    assert methods.answer_objective("answer-twice") == "predict"
    assert methods.explanation_objective("answer-twice") == "answer_first"
    assert {"answer-twice:Unrevised", "answer-twice:Revised"} < set(methods.arms())


@pytest.mark.parametrize(
    ("method", "answers", "explains"),
    [
        ("label-only", "predict", None),
        ("MT", "predict", "explain"),
        ("CF", "factual", "factual"),
        ("MT+CF", "predict", "explain"),
        ("rationale-first", "factual", "factual"),
        ("answer-first", "answer_first", "answer_first"),
        ("MT-own", "predict", "justify"),
        ("listwise", "advocate", "contrast"),
    ],
)
def test_what_a_student_is_asked(method, answers, explains):
    assert methods.answer_objective(method) == answers
    assert methods.explanation_objective(method) == explains
