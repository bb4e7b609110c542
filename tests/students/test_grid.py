"""Where students live and what moves them; jobs and model cards. No student is trained here."""

import pandas as pd
import pytest

from lib.common import files, methods, paths, profile
from lib.common.errors import UserError
from lib.questions import splits as tasks
from lib.students import card, grid, jobs

# What a student's key holds


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """One T5 student of every arm of the smoke profile, in a folder of the test."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    smoke = profile.load("smoke")
    return smoke.model_copy(
        update={"students": smoke.students[:1], "seeds": [0], "arms": methods.arms()}
    )


def changed(settings, **training):
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


@pytest.fixture
def texts(settings):
    """A teacher's table with a text of every kind."""
    splits = tasks.load(settings.task, settings.seed)
    return pd.DataFrame(
        [
            {
                "id": q.id,
                "split": split,
                "explanation": f"It fits {q.id}.",
                "revision": f"It fits {q.id} best.",
                "counterfactuals": [f"{choice} would do." for choice in q.choices],
            }
            for split in ("train", "dev")
            for q in splits[split]
        ]
    )


def moved(before, after, texts) -> set[str]:
    """The arms that have another folder under other settings."""
    pairs = zip(grid.students(before), grid.students(after), strict=True)
    return {
        old.arm
        for old, new in pairs
        if grid.place(before, old, texts).folder != grid.place(after, new, texts).folder
    }


def arms_of(*methods) -> set[str]:
    return {arm for arm in methods.arms() if methods.split_arm(arm)[0] in methods}


@pytest.mark.parametrize(
    ("change", "methods"),
    [
        ({"alpha": 0.25}, ("MT", "MT+CF")),
        ({"beta": 0.25}, ("CF", "MT+CF")),
        ({"gamma": 0.25}, ("MT+CF",)),
        ({"cf_loss": "sum"}, ("CF", "MT+CF")),
        ({"wrong_choice": "random"}, ("CF", "MT+CF")),
        ({"factual_from": "counterfactual"}, ("MT+CF",)),
        ({"checkpoint_every": None}, ()),
        *[
            (change, ("label-only", "CF", "MT", "MT+CF"))
            for change in (
                {"steps": 5},
                {"batch_size": 2},
                {"accumulation": 1},
                {"learning_rate": 0.1},
                {"warmup_steps": 1},
                {"schedule": "linear"},
                {"weight_decay": 0.1},
                {"precision": "bfloat16"},
                {"evaluate_every": 1},
                {"tags": "none"},
                {"share": 0.5},
            )
        ],
    ],
)
def test_a_setting_moves_the_students_that_it_changes(settings, texts, change, methods):
    assert moved(settings, changed(settings, **change), texts) == arms_of(*methods)


def test_every_training_setting_is_in_the_key_or_known_to_be_elsewhere(settings):
    key = grid.settings_key(settings, grid.students(settings)[0])
    assert key["training"].keys() | grid.NOT_IN_KEY == profile.TrainingSettings.model_fields.keys()


def test_other_weights_in_the_table_of_methods_move_that_method(settings, texts, monkeypatch):
    before = {s.arm: grid.place(settings, s, texts).folder for s in grid.students(settings)}
    four = methods.methods
    monkeypatch.setattr(
        methods, "methods", lambda **how: {**four(**how), "MT": {"predict": 0.9, "explain": 0.1}}
    )
    after = {s.arm: grid.place(settings, s, texts).folder for s in grid.students(settings)}
    assert {arm for arm in before if before[arm] != after[arm]} == arms_of("MT")


def test_other_texts_move_the_students_that_learn_them(settings, texts):
    before, other = grid.students(settings), texts.assign(revision="Because.")
    found = {
        s.arm
        for s in before
        if grid.place(settings, s, texts).folder != grid.place(settings, s, other).folder
    }
    assert found == {"CF:Revised", "MT:Revised", "MT+CF:Revised"}


# What is finished


@pytest.fixture
def trained(settings, texts):
    """Records of finished students without weights, as notebook 03's table names them."""
    rows = []
    for student in grid.students(settings):
        found = grid.place(settings, student, texts)
        files.write_json(found.folder / "student.json", {"key": found.key, "files": {}})
        rows.append(
            {
                "arm": student.name,
                "size": student.model.size,
                "seed": student.seed,
                "folder": found.folder.name,
            }
        )
    return pd.DataFrame(rows)


def test_finished_students_are_those_of_the_settings_now(settings, trained):
    found = grid.finished(settings, trained)
    assert [student.arm for student, _ in found] == methods.arms()
    assert [folder.name for _, folder in found] == list(trained["folder"])
    sentence = (
        "The student label-only tiny-t5 seed 0 was trained under other settings .* run "
        "notebooks/03_training.ipynb with profile 'smoke' again"
    )
    with pytest.raises(UserError, match=sentence):
        grid.finished(changed(settings, steps=400), trained)
    with pytest.raises(UserError, match=r"MT\+CF:Unrevised tiny-t5 seed 0 was trained under other"):
        grid.finished(changed(settings, gamma=0.25), trained)
    few = settings.model_copy(update={"arms": ["label-only", "MT:Revised"]})
    assert len(grid.finished(changed(few, gamma=0.25, checkpoint_every=None), trained)) == 2
    more = settings.model_copy(update={"seeds": [0, 1]})
    with pytest.raises(UserError, match="label-only tiny-t5 seed 1 is not trained; run"):
        grid.finished(more, trained)


def test_finished_students_are_those_of_the_texts_now(settings, texts, trained):
    path = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet"
    files.write_parquet(path, texts)
    assert len(grid.finished(settings, trained)) == 7
    with pytest.raises(UserError, match="label-only tiny-t5 seed 0 was trained .* on other texts"):
        grid.finished(changed(settings, tags="none"), trained)
    files.write_parquet(path, texts.assign(revision="Because."))
    with pytest.raises(UserError, match="CF:Revised tiny-t5 seed 0 was trained .* on other texts"):
        grid.finished(settings, trained)
    few = settings.model_copy(update={"arms": ["label-only", "MT:Unrevised"]})
    assert len(grid.finished(few, trained)) == 2


@pytest.mark.parametrize(
    ("reference", "base"),
    [
        ("hub:google/t5-v1_1-small@0123abc", "google/t5-v1_1-small"),
        ("tiny:t5", None),
        ("embedded:smollm2-135m-instruct", None),
        ("local:/tmp/mine", None),
    ],
)
def test_a_card_names_a_base_model_that_the_hub_knows(settings, tmp_path, reference, base):
    from huggingface_hub import ModelCard

    student = grid.Student("label-only", profile.StudentModel(size="x", model=reference), 0)
    files.write_csv(
        tmp_path / "history.csv",
        pd.DataFrame([{"step": 2, "split": "dev", "task": "predict", "loss": 1.5}]),
    )
    card.write(
        tmp_path,
        settings,
        student,
        {
            "label": student.label,
            "task_weights": {"predict": 1.0},
            "best_step": 2,
            "steps": 4,
            "seed": 0,
            "seq2seq": True,
            "trained_parameters": 9,
            "precision": "float32",
            "seconds": 1.0,
            "device": "CPU",
            "provenance": {"commit": "abc"},
            "key": {"data": "def"},
        },
    )
    assert ModelCard.load(tmp_path / "README.md").data.base_model == base
    assert f"`{reference}`" in (tmp_path / "README.md").read_text()


# Jobs


@pytest.mark.parametrize("number", [-1, 60])
def test_no_such_student(number):
    assert len(grid.students(profile.load("smoke"))) <= 60
    with pytest.raises(UserError, match=f"Profile 'smoke' has no student {number}; they are 0 to"):
        jobs.train_number("smoke", number)


def test_no_jobs():
    with pytest.raises(UserError, match="0 jobs cannot train anything"):
        jobs.run_side_by_side(profile.load("smoke"), [0], 0)


def test_jobs_that_are_no_number(monkeypatch):
    monkeypatch.setenv("JOBS", "four")
    settings = profile.load("smoke")
    monkeypatch.setattr(grid, "students", lambda settings: [])
    with pytest.raises(UserError, match="JOBS is 'four'; make it the number of students"):
        grid.train_all(settings, pd.DataFrame())


@pytest.mark.parametrize(
    ("visible", "expected"), [("", [None] * 4), ("2,5", ["2", "5", "2", "5"]), ("7", ["7"] * 4)]
)
def test_students_side_by_side_share_out_the_gpus(monkeypatch, tmp_path, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(grid, "home", lambda settings: tmp_path)
    monkeypatch.setattr(jobs.machine, "cores", lambda: 6)
    given, threads = [], set()

    class Process:
        returncode = 0

        def __init__(self, command, env, **_):
            given.append(env["CUDA_VISIBLE_DEVICES"] or None)
            threads.add(env["OMP_NUM_THREADS"])

        def poll(self):
            return 0

    monkeypatch.setattr(jobs.subprocess, "Popen", Process)
    jobs.run_side_by_side(profile.load("smoke"), [0, 1, 2, 3], 2)
    assert given == expected and threads == {"3"}
