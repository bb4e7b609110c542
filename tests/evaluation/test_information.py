"""What a bag of words learns from masked explanations: by hand, on made-up and on bad tables."""

import numpy as np
import pandas as pd
import pytest

from lib.common import profile
from lib.evaluation import information, reader

CHOICES = ["swimming pool", "pool", "bank"]


def test_every_name_is_masked_longer_ones_first():
    text = "A Swimming pool or two pools, no bank; swim in it, bankers."
    found = "A something or two something, no something; swim in it, bankers."
    assert information.masked(text, CHOICES) == found
    assert information.masked("", CHOICES) == "" and information.masked("So.", []) == "So."


def test_the_rest_tells_neither_question_nor_choices():
    text = "You dive in the pool, not at a bank, as swimmers or bankers; banking is so so dull."
    found = information.rest(text, "Where do you dive at?", CHOICES)
    assert found == ["in", "the", "not", "a", "as", "or", "is", "so", "dull"]
    assert information.rest("A man is there.", "Why?", ["a", "is"]) == ["man", "there"], (
        "short ones"
    )
    assert information.rest("Yes.", "Why?", []) == ["yes"]


def test_a_bag_of_words_by_hand():
    """Three texts: "wet" twice for "pool", "money" once for "bank"; six words in all."""
    rests = [["wet", "deep"], ["wet", "blue"], ["money", "blue"]]
    bag = information.learn(rests, ["the pool", "pool", "bank"], smoothing=2.0)
    # P(wet) = 2/6; P(wet | pool) = (2 + 2 * 2/6) / (4 + 2), P(wet | bank) = (0 + 2 * 2/6) / (2 + 2)
    pool, bank = np.log((8 / 3 / 6) / (1 / 3)), np.log((2 / 3 / 4) / (1 / 3))
    scores = bag.scores(["wet", "unheard"], ["pool", "bank", "roof"])
    assert scores == pytest.approx([pool, bank, 0])
    # blue: once with pool (of 4 words), once with bank (of 2); scores of words add up
    blue = np.log([(1 + 2 / 3) / 6 * 3, (1 + 2 / 3) / 4 * 3])
    assert bag.scores(["wet", "blue"], ["pool", "bank"]) == pytest.approx(
        [pool + blue[0], bank + blue[1]]
    )
    # "the pool": the mean of its two words; "the" was there once, with wet and deep
    the = np.log((1 + 2 / 3) / (2 + 2) * 3)
    assert bag.scores(["wet"], ["the pool"]) == pytest.approx([(the + pool) / 2])
    assert bag.picks(["wet"], ["bank", "pool"]).tolist() == [0, 1]
    assert bag.picks([], ["bank", "pool"]).tolist() == [0.5, 0.5], "nothing said: a tie"


def tables():
    """Six taught questions; two arms and the teacher on four others: MT's explanations tell."""
    asked = {"question": "Which?", "choices": [["pool", "bank"]]}
    texts = pd.DataFrame(
        {
            "id": [f"t{i}" for i in range(6)],
            "answer": [0, 1] * 3,
            "explanation": ["You get wet there.", "You get money there."] * 3,
        }
    ).assign(question="Which?", choices=asked["choices"] * 6, split="train")
    parts = [
        pd.DataFrame(
            {
                "id": list("abcd"),
                "gold": [0, 1, 0, 1],
                "answered": pd.array([0, 1, 1, None], dtype="Int64"),
                "explanation": said,
            }
        ).assign(question="Which?", choices=asked["choices"] * 4, arm=arm, size="x", seed=0)
        for arm, said in {
            "MT:Unrevised": ["Wet: the pool.", "Money, bank.", "Wet.", "Money."],
            "label-only": [None] * 4,
        }.items()
    ]
    return pd.concat(parts, ignore_index=True), texts


@pytest.fixture
def settings(monkeypatch):
    taught = pd.Series({"a": "Wet.", "b": "Wet.", "c": "Wet."})
    monkeypatch.setattr(reader, "teacher_texts", lambda settings: taught)
    return profile.load("smoke")


def test_beyond_the_label_by_hand(settings):
    predictions, texts = tables()
    found = information.beyond_label(settings, predictions, texts)
    assert found[["arm", "measure", "n", "mean"]].values.tolist() == [
        ["MT:Unrevised", "right choice, bag of words", 4, 1.0],
        ["MT:Unrevised", "own answer, bag of words", 3, pytest.approx(2 / 3)],
        ["(teacher)", "right choice, bag of words", 3, pytest.approx(2 / 3)],
    ]
    assert list(found) == ["arm", "size", "measure", "n", "mean", "low", "high"]
    assert found.equals(information.beyond_label(settings, predictions, texts)), "seeded"


def test_the_reader_stands_beside_it_where_it_read(settings):
    predictions, texts = tables()
    readings = predictions.assign(read_masked=[0, 0, 1, 1, *[None] * 4])
    found = information.beyond_label(settings, readings, texts).set_index(["arm", "measure"])
    mean = found["mean"]["MT:Unrevised"]
    assert mean["right choice, reader"] == 2 / 4 and mean["own answer, reader"] == 2 / 3
    assert found["n"]["MT:Unrevised"]["own answer, reader"] == 3
    assert "right choice, reader" not in found.loc["(teacher)"].index


def test_no_question_is_learned_that_is_asked(settings):
    predictions, texts = tables()
    assert information.beyond_label(settings, predictions, texts.assign(id="a")).empty


def test_nothing_to_learn_from_or_to_tell(settings):
    predictions, texts = tables()
    for said, taught in (
        (predictions, texts.head(0)),
        (predictions, texts.assign(explanation=None)),
        (predictions, texts.assign(explanation="Pool.")),  # nothing but a name
        (predictions.head(0), texts),
    ):
        found = information.beyond_label(settings, said, taught)
        assert found.empty
        assert list(found) == ["arm", "size", "measure", "n", "mean", "low", "high"]
    silent = information.beyond_label(settings, predictions.assign(explanation=None), texts)
    assert silent["arm"].tolist() == ["(teacher)"]
