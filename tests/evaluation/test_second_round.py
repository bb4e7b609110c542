"""A second round: a listwise student's own rationales become the texts that another learns."""

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.evaluation import second_round
from lib.questions import splits
from lib.students import grid, jobs
from lib.students.model import load_student
from lib.teacher import texts


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings with one finished tiny listwise student."""
    home, smoke = tmp_path_factory.mktemp("home"), profile.load("smoke")
    few = smoke.training.model_copy(update={"steps": 1, "checkpoint_every": None})
    models = [profile.StudentModel(size="tiny", model="tiny:llama")]
    update = {"students": models, "seeds": [0], "training": few, "arms": ["listwise:Unrevised"]}
    settings = smoke.model_copy(update=update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", home / "data" / "runs")
        patch.setattr(paths, "TEXTS", home / "texts")
        table = texts.write_explanations(settings).assign(revision="So.")
        jobs.train_all(settings, table)
        files.write_parquet(
            profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet", table
        )
        yield settings
    load_student.cache_clear()


def second(settings, folder):
    """The same with the folder's questions and texts."""
    task = settings.task.model_copy(update={"source": f"folder:{folder}"})
    teacher = settings.teacher.model_copy(update={"source": "written"})
    return settings.model_copy(update={"name": "second", "task": task, "teacher": teacher})


def test_own_rationales_are_learned_in_a_second_round(settings, tmp_path, monkeypatch, capsys):
    path = second_round.write(settings, tmp_path / "second")
    asked, again = splits.load(settings.task, settings.seed), second(settings, path.parent)
    assert splits.load(again.task, again.seed) == asked
    table = texts.write_revisions(again, texts.write_explanations(again))
    first = pd.read_parquet(
        profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    )
    assert table["explanation"].tolist() == first["explanation"].tolist()
    assert "critique" not in table and "not read" not in capsys.readouterr().out
    ((student, folder),) = second_round.interview.students(settings)
    model = load_student(student.model, folder)
    ask = second_round.Asked(*model, settings, settings.training.tags, "")
    question, size = asked["train"][0], settings.evaluation.batch_size
    taught = asked["train"] + asked["dev"]
    batch = [(q, choice) for q in taught for choice in q.choices][:size]  # the first of its batches
    said = ask.texts("advocate", *map(list, zip(*batch, strict=True)))[: len(question.choices)]
    assert list(table["counterfactuals"][0]) == said and len(set(said)) > 1
    pairs = grid.training_pairs(again, grid.students(again)[0], table)
    assert [target for _, target in pairs["train"]["advocate"][0]][0] == said[question.answer]
    jobs.train_all(again, table)

    monkeypatch.setattr(second_round.Asked, "texts", None)  # what is written is not written again
    kept = path.read_bytes()
    assert second_round.write(settings, tmp_path / "second").read_bytes() == kept


def test_what_has_no_second_round_is_a_sentence(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(second_round.interview, "students", lambda _: [])
    with pytest.raises(UserError, match="no finished listwise student; train one"):
        second_round.write(settings, tmp_path)
    monkeypatch.setattr(profile, "load", lambda _: settings)
    with pytest.raises(SystemExit, match="no finished listwise student"):
        second_round.main(["smoke", str(tmp_path)])
    task = profile.TaskSettings(name="esnli")
    with pytest.raises(UserError, match="cannot be written in its schema"):
        second_round.write(settings.model_copy(update={"task": task}), tmp_path)


@pytest.mark.parametrize(
    "rows, sentence",
    [
        (None, "texts.jsonl is missing; write a line a question there"),
        ([{"id": 1}], "line 1: id: Input should be a valid string .*; correct the row"),
        ([], "has no written explanation; add it to .*texts.jsonl"),
        ([{"explanation": "So."}], "has no written revision; add it"),
        ([{"explanation": "So.", "revision": "So."}], "has no written counterfactual .*; add it"),
    ],
)
def test_a_folder_without_its_texts_is_a_sentence(settings, tmp_path, rows, sentence):
    asked = splits.load(settings.task, settings.seed)
    for split, part in asked.items():
        second_round.write_lines(tmp_path / f"{split}.jsonl", map(second_round.row_of, part))
    if rows is not None:
        rows = [{"id": asked["train"][0].id} | row for row in rows]
        second_round.write_lines(tmp_path / "texts.jsonl", rows)
    with pytest.raises(UserError, match=sentence):
        texts.write_explanations(second(settings, tmp_path))
