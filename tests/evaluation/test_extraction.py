"""The extraction rules, side by side, as one table of cases."""

import pytest

from lib.evaluation import answers, extraction

RULES = list(extraction.RULES)
PETS = ("go fishing", "a dog", "A. cat", "sleep")
SHOPS = ("store", "grocery store", "bear", "ear")
TWINS = ("x", "y", "x")
ABROAD = ("Hund", "caf\u00e9", "farmer's market", "Stra\u00dfe")
NONE = (None, None, None, None)

# text, choices, what strict, ending, standard and lenient read
CASES = [
    # the sentence as taught, and near it
    ("So the answer is go fishing.", PETS, (0, 0, 0, 0)),
    ("  So the answer is go fishing.\n", PETS, (0, 0, 0, 0)),
    ("So the answer is A. cat.", PETS, (2, 2, 2, 2)),
    ("So the answer is go fishing", PETS, (None, None, 0, 0)),
    ("So the answer is  go fishing.", PETS, (None, None, 0, 0)),
    ("so THE ANSWER IS  Go   Fishing", PETS, (None, None, 0, 0)),
    ("So the answer is a. cat.", PETS, (None, None, 2, 2)),
    ("So the answer is a dog!", PETS, (None, None, 1, 1)),
    ("So the answer is: sleep", PETS, (None, None, 3, 3)),
    ('So the answer is "sleep".', PETS, (None, None, 3, 3)),
    ("So the answer is \u201csleep\u201d.", PETS, (None, None, None, 3)),
    ("The answer is sleep.", PETS, (None, None, 3, 3)),
    ("alSo the answer is sleep.", PETS, (None, None, 3, 3)),
    # an explanation before or after
    ("Dogs bark. So the answer is a dog.", PETS, (None, 1, 1, 1)),
    ("Dogs bark.\nSo the answer is a dog.", PETS, (None, 1, 1, 1)),
    ("So the answer is a dog. It barks.", PETS, (None, None, None, 1)),
    ("So the answer is sleep.\nSo much for that.", PETS, (None, None, 3, 3)),
    ("So the answer is sleep.\nI also like a dog.", PETS, (None, None, 3, 1)),
    ("So the answer is\nsleep.", PETS, (None, None, 3, 3)),
    # letters
    ("So the answer is (B) a dog.", PETS, (None, None, 1, 1)),
    ("So the answer is B) a dog", PETS, (None, None, 1, 1)),
    ("So the answer is (B).", PETS, (None, None, 1, None)),
    ("So the answer is B.", PETS, NONE),
    ("So the answer is (E).", PETS, NONE),
    ("So the answer is (B) sleep.", PETS, (None, None, None, 3)),
    # several answers
    ("The answer is sleep. So the answer is a dog.", PETS, (None, 1, 1, 1)),
    ("So the answer is a dog, not sleep.", PETS, (None, None, None, 3)),
    ("A dog? Sleep? So the answer is cake.", PETS, (None, None, None, 3)),
    ("So the answer is go fishing with a dog.", PETS, (None, None, None, 1)),
    # no answer sentence, or a cut one
    ("a dog", PETS, (None, None, None, 1)),
    ("I would not sleep near a dog. So the", PETS, (None, None, None, 1)),
    ("A dog barks. So the answer is", PETS, (None, None, None, 1)),
    ("So the answer is dog.", PETS, NONE),
    ("So the answer is sleeping.", PETS, NONE),
    ("The answers are many", PETS, NONE),
    ("", PETS, NONE),
    (" \n ", PETS, NONE),
    ("So the answer is .", PETS, NONE),
    # a choice inside another choice, or inside a word
    ("So the answer is grocery store.", SHOPS, (1, 1, 1, 1)),
    ("So the answer is store.", SHOPS, (0, 0, 0, 0)),
    ("So the answer is the grocery store.", SHOPS, (None, None, None, 1)),
    ("A store, or rather a grocery store", SHOPS, (None, None, None, 1)),
    ("A grocery store, or any store", SHOPS, (None, None, None, 0)),
    ("So the answer is a bear.", SHOPS, (None, None, None, 2)),
    ("So the answer is bookstore.", SHOPS, NONE),
    # duplicate and empty choices
    ("So the answer is x.", TWINS, (0, 0, 0, 0)),
    ("So the answer is (C) x.", TWINS, (None, None, 2, 0)),
    ("the y before the X", TWINS, (None, None, None, 0)),
    ("So the answer is cake.", ("", "pie"), NONE),
    # Unicode and other languages
    ("So the answer is caf\u00e9.", ABROAD, (1, 1, 1, 1)),
    ("So the answer is cafe\u0301.", ABROAD, (None, None, None, 1)),
    ("So the answer is CAF\u00c9.", ABROAD, (None, None, 1, 1)),
    ("So the answer is STRASSE.", ABROAD, (None, None, None, 3)),
    ("So the answer is farmer\u2019s market.", ABROAD, (None, None, None, 2)),
    ("So the answer is \u200fHund\u200f.", ABROAD, (None, None, None, 0)),
    ("So the answer is\u00a0Hund.", ABROAD, (None, None, 0, 0)),
    ("Die Antwort ist Hund.", ABROAD, (None, None, None, 0)),
    ("\u7b54\u6848\u662f\u72d7\u3002", ("\u732b", "\u72d7"), NONE),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("text", "choices", "expected"), CASES)
def test_rule(rule, text, choices, expected):
    found = extraction.RULES[rule](text, choices)
    assert found == expected[RULES.index(rule)]


def test_narrower_rules_never_contradict_wider_ones():
    strict, ending, standard, _ = extraction.RULES.values()
    for text, choices, _ in CASES:
        for narrow, wide in ((strict, ending), (ending, standard)):
            assert narrow(text, choices) in (None, wide(text, choices))


def test_results_use_the_standard_rule():
    assert extraction.RULES["standard"] is extraction.extract is answers.extract
    assert RULES == ["strict", "ending", "standard", "lenient"]
