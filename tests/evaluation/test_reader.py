"""What a reader makes of explanations, by hand and on tiny models; faithfulness; kept readings."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths, profile
from lib.evaluation import measures, reader
from lib.models import checkpoints
from lib.questions import splits
from lib.questions.question import Question

CHOICES = ["answered", "read_question", "read_both", "read_explanation", "read_masked"]
CASES = pd.DataFrame(
    [
        (0, 0, 0, 0, 0, True, 0.9, 0.9),  # leaks; nothing gained
        (1, 0, 1, 1, 2, True, 0.2, 0.8),  # leaks; gained
        (2, 0, 2, 0, 0, False, 0.1, 0.7),  # does not leak; gained
        (2, 2, 0, 0, 2, False, 0.4, 0.1),  # does not leak; lost
        (3, 0, 1, 0, 3, False, 0.3, 0.2),  # does not leak; neither
    ],
    columns=[*CHOICES, "correct", "p_question", "p_both"],
)


def test_reader_measures_by_hand():
    (row,) = reader.reader_measures(CASES).to_dict("records")
    assert row == pytest.approx(
        {
            "consistency": 3 / 5,
            "las": (1 / 2 + 0) / 2,  # of those that leak, and of the others
            "leak_rate": 2 / 5,
            "errors_found_without": 4 / 6,  # pairs of a right and a wrong answer
            "errors_found_with": 6 / 6,
            "agrees_masked": 3 / 5,
        }
    )
    before = reader.reader_measures(CASES.drop(columns="read_masked"))  # collected earlier
    assert before["agrees_masked"].isna().all() and before["las"].tolist() == [0.25]
    ties = reader.reader_measures(CASES.assign(p_both=0.5))
    assert ties["errors_found_with"].tolist() == [0.5]


def test_reader_measures_of_samples():
    """A row a sample: the first two explanations, which leak and are right; the third twice."""
    found = reader.reader_measures(CASES, np.array([[1, 1, 0, 0, 0], [1, 0, 2, 0, 0]]))
    assert found["las"].tolist() == [0.5, 0.5] and found["leak_rate"].tolist() == [1, 1 / 3]
    assert found["errors_found_with"].isna().tolist() == [True, False], "all right: nothing to find"
    twice = reader.reader_measures(CASES.iloc[[0, 2, 2]])
    pd.testing.assert_frame_equal(found.tail(1).reset_index(drop=True), twice)


def make_readings(n=40, seed=0):
    """Made-up readings of two arms: the first arm's explanations always lead to its answer."""
    rng = np.random.default_rng(seed)
    parts = []
    for arm in ("MT:Unrevised", "MT:Revised"):
        choices = pd.DataFrame(rng.integers(0, 5, (n, len(CHOICES))), columns=CHOICES)
        if arm == "MT:Unrevised":
            choices["read_both"] = choices["answered"]
        trust = {name: rng.random(n) for name in ("p_question", "p_both")}
        ids = [f"q{i}" for i in range(n)]
        parts.append(
            choices.assign(id=ids, arm=arm, size="135M", correct=rng.random(n) < 0.5, **trust)
        )
    return pd.concat(parts, ignore_index=True)


def test_reader_table_has_the_measures_with_intervals():
    table = reader.reader_table(make_readings())
    assert set(table["measure"]) == set(reader.reader_measures(CASES))
    first = table[(table["arm"] == "MT:Unrevised") & (table["measure"] == "consistency")].iloc[0]
    assert (first["mean"], first["low"], first["high"], first["n"]) == (1, 1, 1, 40)
    other = table[table["arm"] == "MT:Revised"]
    assert (other["low"] <= other["mean"]).all() and (other["mean"] <= other["high"]).all()
    assert table.equals(reader.reader_table(make_readings())), "seeded"
    assert reader.reader_table(make_readings().head(0)).empty
    assert reader.reader_table(make_readings().head(1))["low"].isna().all(), "one question"


def test_faithfulness_by_hand():
    followed = pd.DataFrame(
        {
            "arm": "CF:Unrevised",
            "size": "135M",
            "id": ["a", "a", "b", "b"],
            "followed": [True, True, False, True],
            "anyway": [False, False, False, True],
        }
    )
    table = reader.faithfulness_table(followed).set_index("measure")
    assert table["mean"].to_dict() == {"followed": 0.75, "anyway": 0.25, "gain": 0.5}
    # Drawn by question: a, b or both, so 1, 0.5 and 0.75, not as of four independent rows.
    assert table.loc["followed", ["n", "low", "high"]].tolist() == [4, 0.5, 1]


def test_every_measure_has_a_label():
    drawn = [*measures.MEASURES, *reader.reader_measures(CASES), "followed", "anyway", "gain"]
    assert list(reader.LABELS) == drawn


def test_what_the_reader_sees():
    args = ("Who?", ["me", "you"], "It was me.")
    assert reader.prompt(*args, "both") == (
        "Question: Who?\nChoices: (A) me (B) you\nExplanation: It was me.\nSo the answer is"
    )
    assert "Explanation" not in reader.prompt(*args, "question")
    assert "Question" not in reader.prompt(*args, "explanation")
    text = "It was me, not (b) You, my friend."
    assert reader.prompt("Who?", ["me", "you"], text, "masked") == (
        "Choices: (A) me (B) you\nExplanation: It was ___, not ___, my friend.\nSo the answer is"
    )


def test_readings_on_a_tiny_model():
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")
    table = pd.DataFrame(
        {
            "question": ["Who?", "Who?", "Where?", "Why?"],
            "answered": pd.array([0, 1, None, 2], "Int64"),
            "choices": [["me", "you"]] * 2 + [["a", "b"], ["x", "y", "z"]],
            "explanation": ["It was me.", "You did.", "There.", None],
        },
        index=[4, 7, 8, 9],
    )
    found = reader.read(model, tokenizer, table)
    assert list(found) == reader.FOUND
    assert list(found.index) == [4, 7], "no answer or no explanation: nothing to read"
    assert found["read_question"].nunique() == 1, "the same question reads the same"
    assert found["p_question"].sum() == pytest.approx(1), "both answers to one question"


@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5"])
def test_following_asks_for_each_wrong_choice_with_a_rationale(reference):
    model, tokenizer = checkpoints.load(checkpoints.fetch(reference), "float32", "cpu")
    questions = [
        Question("a", "Who?", ("me", "you", "they"), 0),
        Question("b", "Why?", ("x", "y"), 1),
    ]
    rationales = [["Me.", "You did it.", None], ["X is why.", "Y is why."]]
    found = reader.following(model, tokenizer, questions, rationales)
    assert list(zip(found["id"], found["choice"], strict=True)) == [("a", 1), ("b", 0)]
    assert found[["followed", "anyway"]].dtypes.eq(bool).all()


def test_without_a_reader_nobody_reads(capsys):
    settings = profile.load("smollm2_gpu").model_copy(
        update={"evaluation": profile.EvaluationSettings()}
    )
    assert reader.reader_name(settings) is None
    assert reader.readings(settings, make_readings()).empty
    assert "names no reader" in capsys.readouterr().out
    assert reader.reader_name(profile.load("cpu")) == "embedded:smollm2-135m-instruct"


def test_written_explanations_of_test_questions_are_the_reference():
    settings = profile.load("cpu")
    found = reader.teacher_texts(settings)
    assert list(found.index) == [q.id for q in splits.load(settings.task)["test"][:60]]
    assert found.str.len().between(60, 300).all()


def test_readings_belong_to_their_rows(monkeypatch, tmp_path):
    """Rows without an answer are left out, and kept readings come back beside the right rows."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    predictions = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "arm": "MT:Unrevised",
            "size": "x",
            "seed": 0,
            "gold": 0,
            "correct": True,
            "question": ["Who?", "Where?", "Why?"],
            "choices": [["me", "you"], ["here", "there"], ["x", "y"]],
            "answered": pd.array([1, None, 0], "Int64"),
            "explanation": ["You.", "There.", "Because x."],
        }
    )
    settings = profile.load("smoke")
    first = reader.readings(settings, predictions)
    assert list(first["id"]) == ["a", "c"]
    monkeypatch.setattr(reader, "read", None)  # from now on only what is kept
    assert reader.readings(settings, predictions).equals(first)
    for column in ("question", "choices", "explanation", "answered"):
        other = predictions.assign(**{column: predictions[column][::-1].to_numpy()})
        with pytest.raises(TypeError):
            reader.readings(settings, other)
    monkeypatch.setattr(checkpoints, "identity", lambda reference: {"model": "another"})
    with pytest.raises(TypeError):
        reader.readings(settings, predictions)
    assert reader.reader_table(first)["mean"].notna().any()
