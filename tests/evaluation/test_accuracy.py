"""Accuracy by student, by reading rule, by letter, and under variants."""

import pandas as pd
import pytest

from lib.common import profile
from lib.evaluation import accuracy, extraction

PETS = ["go fishing", "a dog", "A. cat", "sleep"]
TEXTS = [
    "So the answer is sleep.",
    "Tired. So the answer is sleep.",
    "So the answer is (D).",
    "I would sleep",
    "So the answer is a dog.",
]


@pytest.fixture
def predictions():
    one = pd.DataFrame(
        {"id": list("abcde"), "gold": 3, "prediction": TEXTS, "likeliest": 3, "size": "135M"}
    ).assign(choices=[PETS] * 5, seed=0)
    parts = [one.assign(arm="MT:Unrevised"), one.assign(arm="CF:Unrevised", prediction="")]
    return pd.concat(parts, ignore_index=True)


def test_accuracy_by_rule(predictions):
    table = accuracy.by_rule(predictions)
    counts = ["n", "correct", "unanswered", "accuracy", "low", "high"]
    assert list(table) == ["arm", "size", "seed", "rule", *counts]
    assert table["arm"].tolist() == ["MT:Unrevised"] * 5 + ["CF:Unrevised"] * 5
    assert table["rule"].tolist() == 2 * [*extraction.RULES, "likelihood"]
    assert table["correct"].tolist() == [1, 2, 3, 3, 5, 0, 0, 0, 0, 5]
    assert table["unanswered"].tolist() == [3, 2, 1, 1, 0, 5, 5, 5, 5, 0]
    assert table["accuracy"].tolist() == [0.2, 0.4, 0.6, 0.6, 1, 0, 0, 0, 0, 1]
    # Wilson, 1 of 5: centre (0.2 + z2/10) / (1 + z2/5), half z sqrt(0.16/5 + z2/100) / (1 + z2/5)
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx([0.036224, 0.624465], abs=1e-6)


def test_a_letter_that_students_prefer_stands_out(predictions):
    table = accuracy.letter_table(predictions.assign(gold=[0, 1, 1, 2, 3] * 2))
    assert list(table) == ["arm", "size", "A", "B", "C", "D"]
    assert table["arm"].tolist() == ["(right answers)", "MT:Unrevised", "CF:Unrevised"]
    assert table[["A", "B", "C", "D"]].values.tolist() == [
        [20, 40, 20, 20],
        [0, 0, 0, 100],
        [0, 0, 0, 100],
    ]
    assert accuracy.chance(predictions) == 0.25


def students(variants):
    row = {"size": "135M", "seed": 0, "n": 10, "accuracy": 0.4, "low": 0.2, "high": 0.7}
    return pd.DataFrame([{"arm": f"MT+CF:Unrevised, {name}"} | row for name in variants])


def test_gamma_stands_beside_the_authors_values():
    settings = profile.load("ablation_gamma")
    table = accuracy.variant_table(settings, students(settings.variants))
    assert accuracy.varied(settings) == "gamma" and list(table) == accuracy.VARIANTS
    sources = table.groupby(table["source"] != "this run")
    ours, theirs = (part.set_index("value")["accuracy"] for _, part in sources)
    assert list(ours.index) == list(theirs.index) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert theirs[0.7] == 0.77641


def test_a_variant_that_changes_nothing_has_the_profiles_own_value():
    settings = profile.load("cpu")
    own = settings.training.gamma
    variants = {"as it is": {}, "more": {"gamma": own + 0.1}}
    settings = settings.model_copy(update={"variants": variants})
    table = accuracy.variant_table(settings, students(variants))
    assert table["value"].tolist()[:2] == [own, own + 0.1]


def test_variants_in_words_have_no_value():
    variants = {"words": {"tags": "words"}, "none": {"tags": "none"}}
    settings = profile.load("ablation_gamma").model_copy(update={"variants": variants})
    assert accuracy.varied(settings) is None
    table = accuracy.variant_table(settings, students(variants))
    assert list(table["variant"]) == ["words", "none"] and "value" not in table


def test_position_bias_against_the_number_of_questions():
    """Of four questions CF takes (A) always after 10 questions, twice after 100."""
    one = pd.DataFrame({"id": list("abcd"), "gold": [0, 1, 1, 2], "arm": "CF", "size": "135M"})
    few = one.assign(seed=0, questions=10, likeliest=0)
    more = one.assign(seed=0, questions=100, likeliest=[0, 0, 1, 3])
    table = accuracy.position_bias(pd.concat([few, more]))
    assert list(table) == accuracy.BIAS
    assert table[["questions", "letter", "share", "gold"]].values.tolist() == [
        [10, "A", 100, 25],
        [10, "B", 0, 50],
        [100, "A", 50, 25],
        [100, "B", 25, 50],
    ]
    assert table.loc[0, ["low", "high"]].tolist() == [100, 100]
    assert table.loc[2, "low"] < 50 < table.loc[2, "high"]
