"""Does an explanation speak for its student's own answer: by hand, and on what students wrote."""

import math

import pytest

from lib.evaluation import support
from lib.questions.mentions import mask

CHOICES = ["store", "grocery store", "oven", "roof"]


def test_the_choice_that_is_named_first():
    assert support.first_named("Not the roof: a Grocery-Store.", CHOICES) == 3
    assert support.first_named("Grocery stores sell it, as a store does.", CHOICES) == 1
    assert support.first_named("Nothing is named.", CHOICES) is None
    assert support.first_named("", CHOICES) is None
    assert support.first_named("An oven.", ["roof", "oven", "Oven"]) == 1, "of equal ones the first"


def test_agreement_is_that_of_the_first_name():
    text = "An oven is hot, a roof is not."
    assert [support.agrees(text, CHOICES, answer) for answer in (2, 3)] == [1, 0]
    assert support.agrees("An oven.", ["roof", "oven", "Oven"], 2) == 1, "an equal choice"
    for nothing in (("No name.", CHOICES, 2), (text, CHOICES, None)):
        assert math.isnan(support.agrees(*nothing))


WRITTEN = [  # by SmolLM2-135M students: own answer, other choices named, text
    (
        "food store",
        "field, restaurant, salad",
        "The other options (field, restaurant, salad, and food store) are not suitable for "
        "purchasing and consuming grape juice.",
    ),
    (
        "corn fields",
        "chicken coop, beach, great outdoors",
        "The other options (a) chicken coop, (b) beach, (c) great outdoors, and (e) corn fields "
        "are not suitable choices for a weasel in the woods.",
    ),
    (
        "martorell",
        "in cinema, show",
        "This choice is more appropriate than the other options, such as (a) in cinema, (b) "
        "martorell, and (d) show, which are not relevant to the man's location in Barcelona.",
    ),
    (
        "copy machine",
        "stock certificate, notebook",
        "Unlike a copy machine or a stock certificate, an old Apple Inc. notebook is valuable.",
    ),
    (
        "big city",
        "resort area",
        "The person wants to be in a place where they can relax, rather than in a big city or "
        "other urban environment.",
    ),
    (
        "state facts",
        "talking loudly",
        "(a) state facts: This choice does not relate to the context of the question.",
    ),
    (
        "heaven",
        "church",
        "While heaven is a place of comfort, it is not a place where people go when they die.",
    ),
    ("bus stop", "map", "The bus stop or map may not be the most suitable option for their needs."),
    ("curved", "bent", "A straight wire is a material that is not curved or bent."),
    ("nature", "wildlife", "(d) nature is not a direct consequence of human activities."),
]
SPEAKS = [  # against other choices, or against none
    (
        "lamp",
        "candle, match",
        "Unlike other options, such as a candle or match, a lamp is specifically designed for "
        "lighting a living room.",
    ),
    (
        "bridge",
        "waterfall, valley",
        "The other options, such as waterfall, and valley, are not suitable. A bridge spans it.",
    ),
    ("box", "cage", "Unlike a cage, a box can be closed."),
    ("basement", "sewers", "However, the basement is not the only location where rats might hide."),
    ("lie down", "sit", "Consider the other options, such as 'lie down', which may also be valid."),
    ("band", "medium", "(c) medium: This is a type of music that is played on it, not a band."),
    ("sporting event", "party", "It is more suitable than the other options because a sporting "
     "event does have a goal."),
    ("school", "office", "An office is not where one learns; a school is."),
]  # fmt: skip


@pytest.mark.parametrize(("own", "others", "text"), WRITTEN + SPEAKS)
def test_arguing_against_the_own_answer(own, others, text):
    choices = [*others.split(", "), own]
    against = (own, others, text) in WRITTEN
    assert support.argues_against(text, choices, len(choices) - 1) == against


def test_without_an_answer_nothing_is_argued():
    assert math.isnan(support.argues_against("Not an oven.", CHOICES, None))
    assert support.argues_against("Not an oven.", ["roof", "oven", "Oven"], 2) == 1
    assert support.argues_against("", CHOICES, 0) == 0


def test_masks_are_where_names_are_found():
    marks = ["1", "2", "3", "4"]
    assert mask("A grocery store, not stores; Ovens", CHOICES, marks) == "A 2, not 1; 3"
    assert mask("oven", ["oven", "Oven", ""], ["x", "y", "z"]) == "x"
