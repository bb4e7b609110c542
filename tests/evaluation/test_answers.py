"""What students write, what is kept of it, and how it is read (see test_transfer for other tasks)."""

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.evaluation import answers
from lib.students import grid
from lib.teacher import texts as corpus


def test_explanation_without_its_answer():
    assert answers.without_answer("It barks. So the answer is a dog.") == "It barks."
    assert answers.without_answer("It barks.") == "It barks."


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """A tiny CF student of the smoke profile, in a home of its own."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    smoke = profile.load("smoke")
    few = smoke.training.model_copy(update={"steps": 2, "checkpoint_every": None})
    return smoke.model_copy(
        update={
            "students": smoke.students[:1],
            "seeds": [0],
            "arms": ["CF:Unrevised"],
            "training": few,
        }
    )


def test_a_new_way_of_reading_reaches_what_is_kept(settings, monkeypatch, capsys):
    texts = corpus.write_explanations(settings).assign(revision="So.")
    texts["counterfactuals"] = [["" for _ in row] for row in texts["counterfactuals"]]
    trained = grid.train_all(settings, texts)
    assert (
        "CF:Unrevised tiny-t5 seed 0 | 20 counterfactual rationales are empty"
        in capsys.readouterr().out
    )
    answers.load_student.cache_clear()
    monkeypatch.setattr(
        answers,
        "generate",
        lambda model, tokenizer, inputs, *_: ["They bark. So the answer is a dog." for _ in inputs],
    )
    first = answers.all_predictions(settings, trained)
    assert list(first) == [*answers.COLUMNS, "arm", "size", "seed"]
    assert first["answered"].isna().all() and not first["correct"].any()
    assert set(first["explanation"]) == {"They bark."} and first["answered"].dtype == "Int64"

    monkeypatch.setattr(answers, "load_student", None)  # from now on only what is kept
    student, folder = grid.finished(settings, trained)[0]
    monkeypatch.setattr(answers, "extract", lambda text, choices: len(choices) - 1)
    now = answers.predictions(settings, student, folder)
    last = now["choices"].map(len) - 1
    assert (now["answered"] == last).all() and (now["correct"] == (now["gold"] == last)).all()

    (path,) = [
        path
        for path in (profile.run_folder(settings) / "04_evaluation" / "students").iterdir()
        if "minicqa_yesno" not in path.name
    ]
    kept = pd.read_parquet(path)
    assert list(kept) == [
        "id",
        "question",
        "choices",
        "gold",
        "prediction",
        "explanation",
        "likeliest",
    ]
    assert set(kept["explanation"]) == {"They bark. So the answer is a dog."}, "as written"
    files.write_parquet(
        path,
        kept.assign(  # as older files were
            answered=pd.array([0] * len(kept), dtype="Int64"),
            correct=True,
            explanation="They bark.",
        ),
    )
    pd.testing.assert_frame_equal(answers.predictions(settings, student, folder), now)


def test_students_without_explanations(settings, monkeypatch, capsys):
    """label-only explains nothing; progress lines tell the tasks apart."""
    only = settings.model_copy(update={"arms": ["label-only"]})
    trained = grid.train_all(only, corpus.write_explanations(only).assign(revision="So."))
    capsys.readouterr()
    found = answers.all_predictions(only, trained)
    assert found["explanation"].isna().all() and len(found) == 10
    lines = capsys.readouterr().out
    assert lines.count("label-only tiny-t5 seed 0 [predict] 10/10") == 1
    assert lines.count("label-only tiny-t5 seed 0, minicqa_yesno [predict] 10/10") == 1
