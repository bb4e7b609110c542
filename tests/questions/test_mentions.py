"""Which other choices a text names."""

import math

import pytest

from lib.questions.mentions import degenerate, find_choices, mentioned, name_pattern

CHOICES = ["fox", "hen house", "berry", "boxes", "store"]


@pytest.mark.parametrize(
    "text, share",
    [
        ("It sleeps in a den.", 0.0),
        ("A fox would be awake.", 0.25),
        ("FOXES and foxes and a fox: one choice.", 0.25),
        ("Foxglove is a flower and outfoxed is a verb.", 0.0),
        ("Both the hen house and the Hen-Houses are full.", 0.25),
        ("A hen and its house are two things.", 0.0),
        ("Berries grow here, one berry a twig.", 0.25),
        ("It fits in the box.", 0.25),
        ("Not a fox, nor a hen house, a berry or a box.", 1.0),
        ("The store is the answer, and naming it does not count.", 0.0),
        ("", 0.0),
    ],
)
def test_share_of_wrong_choices(text, share):
    assert mentioned(text, CHOICES, 4) == share


def test_a_choice_inside_a_longer_one_is_not_named():
    choices = ["grocery store", "store", "park"]
    assert mentioned("Milk is sold at a grocery store.", choices, 0) == 0.0
    assert mentioned("A grocery store is a store with food.", choices, 0) == 0.5
    assert mentioned("Milk is sold at a grocery store.", choices, 2) == 0.5


def test_positions_of_each_choice():
    text = "A store is no grocery store; Stores sell."
    choices = ["store", "grocery store", " Store ", "", "park"]
    assert find_choices(text, choices) == [[2, 29], [14], [2, 29], [], []]


def test_equal_texts_count_once_and_the_answers_text_never():
    assert mentioned("A cat.", ["cat", "Cat", "dog", "dog"], 0) == 0.0
    assert mentioned("A dog.", ["cat", "Cat", "dog", "dog"], 0) == 1.0
    assert math.isnan(mentioned("A cat.", ["cat", "cat"], 0))


@pytest.mark.parametrize(
    "choice, text",
    [
        ("the moon", "on moons"),
        ("cities", "a city"),
        ("dishes", "one dish"),
        ("glass", "glasses"),
        ("classes", "the class"),
        ("potato", "potatoes"),
        ("mother-in-law", "her mother in law"),
        ("u.s.", "in the U.S. today"),
        ("c++ (old)", "It is C++ (old) here"),
        ("bus", "buses"),
        ("boxes", "a box"),
        ("shoes", "one shoe"),
        ("tie", "ties"),
        ("day", "days"),
    ],
)
def test_names_that_are_found(choice, text):
    assert name_pattern(choice).search(text)


@pytest.mark.parametrize(
    "choice, text",
    [
        ("glass", "a glas"),
        ("bus", "a bu"),
        ("swim", "swimming"),
        ("us", "use"),
        ("a", "an apple"),
    ],
)
def test_names_that_are_not_found(choice, text):
    assert not name_pattern(choice).search(text)


@pytest.mark.parametrize(
    "text, repeats",
    [
        ("a fox runs and a fox runs", False),
        ("A fox runs, a fox runs, a fox runs", False),
        ("a fox runs a fox runs a Fox runs", True),
        ("no no no no no", True),
        ("no no no no", False),
        ("", False),
        ("two words", False),
    ],
)
def test_degenerate_is_three_words_three_times(text, repeats):
    assert degenerate(text) == repeats
