"""What students write, what is kept of it, and how it is read and shown."""

import dataclasses
import json

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.evaluation import answers, transfer
from lib.questions import splits
from lib.questions.question import Question
from lib.students import grid, jobs, objectives
from lib.students.model import load_student
from lib.teacher.texts import write_explanations

WRITTEN = "They bark. So the answer is a dog."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Settings and table of two tiny students of the smoke profile, in a home of their own."""
    home = tmp_path_factory.mktemp("home")
    smoke = profile.load("smoke")
    few = smoke.training.model_copy(update={"steps": 2, "checkpoint_every": None})
    arms = ["label-only", "CF:Unrevised"]
    update = {"students": smoke.students[:1], "seeds": [0], "arms": arms, "training": few}
    settings = smoke.model_copy(update=update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", home / "data" / "runs")
        patch.setattr(paths, "TEXTS", home / "texts")
        texts = write_explanations(settings).assign(revision="So.")
        yield settings, jobs.train_all(settings, texts)
    load_student.cache_clear()


def test_explanation_without_its_answer():
    assert answers.without_answer("It barks. So the answer is a dog.") == "It barks."
    assert answers.without_answer("It barks.") == "It barks."


def test_students_answer_their_own_and_other_questions(run, capsys):
    """Progress lines tell the objectives apart; label-only explains nothing."""
    settings, trained = run
    found = answers.all_predictions(settings, trained)
    assert list(found) == [*answers.QUESTION, *answers.READ, "arm", "size", "seed"]
    explained = found.groupby("arm")["explanation"].count()
    assert explained.to_dict() == {"CF:Unrevised": 10, "label-only": 0} and len(found) == 20
    lines = capsys.readouterr().out
    assert lines.count("label-only tiny-t5 seed 0 [predict] 10/10") == 1
    assert lines.count("label-only tiny-t5 seed 0, minicqa_yesno [predict] 10/10") == 1

    table = transfer.answers(settings, trained)
    assert "10/10" not in capsys.readouterr().out, "answers are kept"
    assert list(table) == transfer.COLUMNS
    assert table[["trained_on", "arm", "task", "n", "chance"]].values.tolist() == [
        ["minicqa", arm, dataset, 10, chance]
        for arm in ("label-only", "CF:Unrevised")
        for dataset, chance in (("minicqa", pytest.approx(0.2)), ("minicqa_yesno", 0.5))
    ]
    other = answers.predictions(
        settings, *grid.finished(settings, trained)[0], settings.evaluation.also[0]
    )
    assert other["id"].str.endswith("-yesno").all() and set(other["likeliest"]) <= {0, 1}
    assert table["likelihood"][1] == (other["likeliest"] == other["gold"]).mean()


def test_a_new_way_of_reading_reaches_what_is_kept(run, monkeypatch):
    settings, trained = run
    settings = settings.model_copy(update={"evaluation": profile.EvaluationSettings(batch_size=5)})
    student, folder = grid.finished(settings, trained)[1]
    monkeypatch.setattr(
        answers, "generate", lambda model, tokenizer, inputs, *_: [WRITTEN] * len(inputs)
    )
    first = answers.predictions(settings, student, folder)
    assert first["answered"].isna().all() and not first["correct"].any()
    assert set(first["explanation"]) == {"They bark."} and first["answered"].dtype == "Int64"

    monkeypatch.setattr(answers, "load_student", None)  # from now on only what is kept
    monkeypatch.setattr(answers, "extract", lambda text, choices: len(choices) - 1)
    now = answers.predictions(settings, student, folder)
    last = now["choices"].map(len) - 1
    assert (now["answered"] == last).all() and (now["correct"] == (now["gold"] == last)).all()

    kept = profile.run_folder(settings) / "04_evaluation" / "students"
    (path,) = [
        path for path in kept.iterdir() if (pd.read_parquet(path)["prediction"] == WRITTEN).all()
    ]
    table = pd.read_parquet(path)
    assert list(table) == [*answers.QUESTION, "prediction", "explanation", "likeliest"]
    assert set(table["explanation"]) == {WRITTEN}, "as written"
    old = {"answered": pd.array([0] * len(table), dtype="Int64"), "correct": True}
    files.write_parquet(path, table.assign(**old, explanation="They bark."))  # as older files were
    pd.testing.assert_frame_equal(answers.predictions(settings, student, folder), now)


def test_answers_belong_to_the_weights_and_questions(run, monkeypatch):
    settings, trained = run
    student, folder = grid.finished(settings, trained)[0]
    path, asked = folder / "student.json", []
    monkeypatch.setattr(answers, "_write", lambda *given: asked.append(given) or 1 / 0)
    answers.predictions(settings, student, folder)
    assert not asked
    record = path.read_bytes()
    files.write_json(path, json.loads(record) | {"files": {"model.safetensors": "other"}})
    with pytest.raises(ZeroDivisionError):
        answers.predictions(settings, student, folder)
    path.write_bytes(record)
    questions = splits.load(settings.task, settings.seed)
    first = dataclasses.replace(questions["test"][0], question="Another?")
    questions["test"] = [first, *questions["test"][1:]]
    monkeypatch.setattr(splits, "load", lambda *_: questions)
    with pytest.raises(ZeroDivisionError):
        answers.predictions(settings, student, folder)


@pytest.mark.parametrize(
    "text, restored",
    [
        ("So the answer is a b.", "So the answer is a < b."),
        ("Less. So the answer is A b", "Less. So the answer is a < b."),
        ("So the answer is c.", "So the answer is c."),
        ("So the answer is (A).", "So the answer is (A)."),
        ("So the answer is .", "So the answer is <>."),
        ("a b", "a b"),
    ],
)
def test_a_choice_that_the_tokenizer_cannot_write_is_restored(text, restored):
    found = answers.restore(text, ("a < b", "c", "<>"), ["a b", "c", ""])
    assert found == restored


def test_answers_in_words():
    predictions = pd.DataFrame(
        {
            "arm": ["MT:Revised", "label-only"],
            "question": "What barks?",
            "choices": [["a cat", "a dog"]] * 2,
            "gold": 1,
            "answered": pd.array([0, None], dtype="Int64"),
            "explanation": ["It barks.", None],
        }
    )
    table = answers.in_words(predictions)
    assert table.loc["MT:Revised"].to_dict() == {
        "question": "What barks?",
        "choices": "(A) a cat (B) a dog",
        "right answer": "a dog",
        "student's answer": "a cat",
        "explanation": "It barks.",
    }
    assert table.loc["label-only", "student's answer"] == "(none read)"


@pytest.mark.parametrize(
    "text, parts",
    [
        (
            "So the answer is St. Ives. It is a town.",
            ("So the answer is St. Ives.", "It is a town."),
        ),
        ("so the answer is sea. Salt.", ("so the answer is sea.", "Salt.")),
        ("So the answer is land. Dry.", ("So the answer is land.", "Dry.")),
        ("It is salty.", ("", "It is salty.")),
    ],
)
def test_an_answer_first_text_has_two_parts(text, parts):
    assert answers.split_answer(text, ["sea", "St. Ives"]) == parts


def test_an_explanation_is_asked_for_the_students_own_answer():
    question = Question("q", "Where?", ("sea", "pond", "jar"), 2)
    told, scores = ["So the answer is pond.", "Hm."], [[-1.0, -3.0, -2.0]] * 2
    assert answers.given("justify", [question] * 2, told, scores) == ["pond", "sea"]
    assert answers.given("contrast", [question], told, scores) == ["sea rather than jar"]
    assert answers.given("explain", [question], told, scores) == [""]


NEW = ["rationale-first:Revised", "answer-first:Unrevised", "MT-own:Unrevised", "listwise:Revised"]


@pytest.mark.parametrize(
    ("arm", "model"),
    [
        *((arm, "tiny:llama") for arm in NEW),
        ("answer-first:Revised", "tiny:t5"),
        (NEW[2], "tiny:t5"),
    ],
)
def test_students_of_the_new_methods_answer_and_explain(arm, model, run, monkeypatch):
    """Trained, kept and read as all others are; a listwise student's answer is its judge's."""
    settings, _ = run
    models = [profile.StudentModel(size="tiny", model=model)]
    settings = settings.model_copy(update={"arms": [arm], "students": models})
    texts = write_explanations(settings).assign(revision="So.")
    trained = jobs.train_all(settings, texts)
    asked, source = [], objectives.source
    monkeypatch.setattr(
        objectives, "source", lambda *given, **tags: asked.append(given) or source(*given, **tags)
    )
    found = answers.all_predictions(settings, trained)
    assert found["explanation"].notna().all() and len(found) == 10
    objectives_asked = {given[0] for given in asked}
    if arm == "listwise:Revised":
        assert objectives_asked == {"advocate", "contrast"}
        assert (found["answered"] == found["likeliest"]).all()
        contrasts = [given[2] for given in asked if given[0] == "contrast"]
        rows = zip(found["choices"], found["likeliest"], strict=True)
        firsts = [choices[best] for choices, best in rows]
        assert [text.partition(" rather than ")[0] for text in contrasts] == firsts
    if arm == "MT-own:Unrevised":
        assert objectives_asked == {"predict", "justify"}
