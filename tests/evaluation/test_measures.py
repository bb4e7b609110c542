"""Measures of explanations: hand-computed values, and a table that a reader can believe."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.evaluation import measures

QUESTION = "Where does a cat sleep at night?"
CHOICES = ["basket", "bath tub", "roof", "oven", "tub"]


def test_words_are_runs_of_letters_and_digits():
    assert measures.words("It's 2nd-hand — isn’t it? (Kühl!) 🙂 _") == [
        "it's",
        "2nd-hand",
        "isn't",
        "it",
        "kühl",
    ]
    assert measures.words(" ... ") == []


@pytest.mark.parametrize(
    "text, share",
    [
        ("a b c d", 0.0),
        (
            "It is a cat. It is a cat!",
            2 / 6,
        ),  # 6 triples, "it is a" and "is a cat" for a second time
        ("no no no no no", 2 / 3),
        ("two words", math.nan),
        ("", math.nan),
    ],
)
def test_repetition_is_the_share_of_triples_said_before(text, share):
    assert measures.repetition(text) == pytest.approx(share, nan_ok=True)


@pytest.mark.parametrize(
    "text, share",
    [
        ("a cat sleep at night", 1.0),
        ("A cat sleep, he said", 1 / 3),
        ("at night basket bath tub", 0.0),  # across the borders of question and choices
        ("in a bath tub", 0.0),
        ("a cat", math.nan),
    ],
)
def test_copied_is_the_share_of_triples_of_question_and_choices(text, share):
    assert measures.copied(text, QUESTION, CHOICES) == pytest.approx(share, nan_ok=True)


def test_new_words_are_distinct_and_in_neither_question_nor_choices():
    assert measures.new_words("A cat, a soft cat, likes soft tub", QUESTION, CHOICES) == 2 / 5
    assert math.isnan(measures.new_words("!", QUESTION, CHOICES))


@pytest.mark.parametrize(
    "text, answer, named",
    [
        ("Cats like Baskets.", 0, 1.0),
        ("Cats like it.", 0, 0.0),
        ("", 0, 0.0),
        ("Not the bath tub.", 4, 0.0),
        ("The tub, not the bath tub.", 4, 1.0),
        ("The bath tub.", 1, 1.0),
        ("The roof.", None, math.nan),
    ],
)
def test_the_own_answer_is_named(text, answer, named):
    assert measures.names_answer(text, CHOICES, answer) == pytest.approx(named, nan_ok=True)


@pytest.mark.parametrize(
    "text, teacher, score",
    [
        ("the cat sleeps on the mat", "the cat sat on a mat", 2 * (4 / 6) * (4 / 6) / (8 / 6)),
        ("The CAT.", "the cat sat on", 2 * 1.0 * 0.5 / 1.5),
        ("cat the", "the cat", 0.5),
        ("", "the cat", 0.0),
        ("猫", "the cat", 0.0),
        ("the cat", " ", math.nan),
    ],
)
def test_rouge_l_is_the_f_of_the_longest_common_subsequence(text, teacher, score):
    assert measures.rouge_l(text, teacher) == pytest.approx(score, nan_ok=True)


@pytest.mark.parametrize(
    "text, characters, words, sentences",
    [
        ("The cat sat. It slept!", 16, 5, 2),
        ("About 3.5 cats", 11, 4, 1),
        ("Well... no?! Yes", 9, 3, 3),
    ],
)
def test_reading_grade_is_the_readability_index(text, characters, words, sentences):
    grade = 4.71 * characters / words + 0.5 * words / sentences - 21.43
    assert measures.reading_grade(text) == pytest.approx(grade)
    assert math.isnan(measures.reading_grade("?!"))


def table(**columns) -> pd.DataFrame:
    base = {
        "id": ["q"],
        "question": [QUESTION],
        "choices": [np.array(CHOICES)],
        "gold": [0],
        "answered": pd.array([2], dtype="Int64"),
        "explanation": ["The roof, not the oven."],
    }
    return pd.DataFrame(base | columns)


def test_one_row_an_explanation():
    two = pd.concat(
        [
            table(arm="MT"),
            table(answered=pd.array([pd.NA], dtype="Int64"), arm="CF"),
            table(explanation=[None], arm="label-only"),
        ]
    )
    found = measures.explanation_measures(two, pd.Series({"q": "A roof."}))
    assert found["arm"].tolist() == ["MT", "CF"]
    assert list(found.columns[-len(measures.MEASURES) :]) == list(measures.MEASURES)
    first = found.iloc[0]
    assert (first["characters"], first["words"], first["empty"]) == (23, 5, False)
    assert (first["names_answer"], first["mentions_other_choices"]) == (1.0, 0.25)
    assert first["rouge_l"] == pytest.approx(2 * 0.2 * 0.5 / 0.7)  # "roof" alone is common
    assert (first["agrees"], first["argues_against"]) == (1.0, 0.0)
    assert found.iloc[1][["names_answer", "agrees", "argues_against"]].isna().all()
    assert found.iloc[1]["mentions_other_choices"] == 0.5  # of those which are not gold
    for teacher in (pd.Series({"other": "x"}), pd.Series({"q": None})):
        found = measures.explanation_measures(table(), teacher)
        assert found.loc[0, ["rouge_l", "similarity"]].isna().all()
    empty = measures.explanation_measures(table().iloc[:0], pd.Series(dtype=str))
    assert empty.empty and set(measures.MEASURES) < set(empty.columns)


def test_means_draw_questions_with_all_their_explanations():
    each = pd.DataFrame(
        {
            "arm": ["MT"] * 6 + ["CF"],
            "size": "135M",
            "id": [*"aabbccz"],
            "words": [0, 0, 3, 3, 6, 6, 5],
            "rouge_l": [np.nan] * 5 + [0.5, np.nan],
        }
    )
    found = measures.means(each).set_index(["arm", "measure"])
    words = found.loc[("MT", "words")]
    assert (words["n"], words["mean"]) == (6, 3.0)
    # of the 27 draws of three questions one has mean 0, so 1/27 > 2.5 % lies at the ends
    assert (words["low"], words["high"]) == (0.0, 6.0)
    assert found.loc[("MT", "rouge_l"), "n"] == 1 and found.loc[("MT", "rouge_l"), "mean"] == 0.5
    assert np.isnan(found.loc[("MT", "rouge_l"), ["low", "high"]].to_numpy(float)).all()
    assert found.loc[("CF", "rouge_l"), "n"] == 0 and math.isnan(found.loc[("CF", "words"), "low"])
    assert list(found.columns) == ["size", "n", "mean", "low", "high"]


def test_means_are_seeded_and_near_the_normal_interval():
    values = np.random.default_rng(1).normal(10, 2, 200)
    each = pd.DataFrame({"arm": "MT", "size": "770M", "id": range(200), "characters": values})
    found = measures.means(each)
    pd.testing.assert_frame_equal(found, measures.means(each))
    half = 1.96 * values.std() / np.sqrt(200)
    assert found["low"][0] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"][0] == pytest.approx(values.mean() + half, abs=0.1 * half)


@pytest.fixture(scope="module")
def ten() -> pd.DataFrame:
    return measures.explanation_measures(*measures.load_examples()).set_index("kind")


def test_ten_explanations_read_as_they_are(ten):
    assert len(ten) == 10 and ten["id"].nunique() == 1
    assert ten.index[ten["empty"]].tolist() == ["empty"]
    full = ten.drop("empty")

    def is_most(measure: str, kind: str) -> bool:
        return full[measure].nlargest(1, keep="all").index.tolist() == [kind]

    assert is_most("copied", "copied") and is_most("repetition", "repetitive")
    assert is_most("words", "verbose") and is_most("reading_grade", "verbose")
    assert is_most("mentions_other_choices", "names all choices")
    assert is_most("rouge_l", "good") and is_most("similarity", "good")
    assert set(full["similarity"].nsmallest(2).index) == {"off-topic", "other language"}
    assert full["rouge_l"].idxmin() == "other language"
    assert set(full["rouge_l"].nsmallest(3).index) == {"off-topic", "other language", "verbose"}
    assert full["words"].idxmin() == "circular" and full["new_words"].idxmin() == "copied"
    assert full.index[full["repetition"] > 0].tolist() == ["repetitive", "circular"]


def test_what_the_ten_name(ten):
    named = ten.index[ten["names_answer"] == 1].tolist()
    assert named == ["good", "verbose", "repetitive", "names all choices", "circular"]
    other = ten["mentions_other_choices"]
    assert other["names all choices"] == 1.0 and other["good"] == other["contradictory"] == 0.25
    assert ten.loc["contradictory", "names_answer"] == 0
    assert (other.drop(["names all choices", "good", "contradictory"]) == 0).all()


def test_nothing_to_measure_in_an_empty_explanation(ten):
    nothing = ten.loc["empty"]
    for measure in ("characters", "words", "names_answer", "mentions_other_choices", "rouge_l"):
        assert nothing[measure] == 0
    for measure in ("repetition", "copied", "new_words", "reading_grade", "similarity"):
        assert math.isnan(nothing[measure])
