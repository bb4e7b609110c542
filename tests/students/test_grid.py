"""Where students live, what moves them, and which are finished."""

import shutil

import pandas as pd
import pytest

from lib.common import files, methods, paths, profile
from lib.common.errors import UserError
from lib.models import checkpoints
from lib.students import grid
from tests.students.examples import teacher_table

# What a student's key holds


ARMS = [
    arm
    for arm in methods.arms()
    if methods.split_arm(arm)[0] in ("label-only", "CF", "MT", "MT+CF")
]


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """One T5 student of every arm of the smoke profile, in a folder of the test."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    smoke = profile.load("smoke")
    return smoke.model_copy(update={"students": smoke.students[:1], "seeds": [0], "arms": ARMS})


SELFTAUGHT = [  # students of that profile on the teacher's table of tests.students.examples
    "label-only-135M-s0-9fa96815",
    "CF-Unrevised-135M-s0-a31d0ef0",
    "MT-Unrevised-135M-s0-179f541f",
    "MT-CF-Unrevised-135M-s0-a49de743",
    "MT-CF-Revised-135M-s0-ef662004",
]


def changed(settings, **training):
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


@pytest.fixture
def texts(settings):
    return teacher_table(settings)


def folders(settings, texts) -> dict[str, str]:
    """Arm -> folder of its student."""
    return {home.student.arm: home.folder.name for home in grid.homes(settings, texts)}


def moved(before: dict, after: dict) -> set[str]:
    """The arms that have another folder."""
    return {arm for arm in before if before[arm] != after[arm]}


def arms_of(*names) -> set[str]:
    return {arm for arm in ARMS if methods.split_arm(arm)[0] in names}


@pytest.mark.parametrize(
    ("change", "names"),
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
def test_a_setting_moves_the_students_that_it_changes(settings, texts, change, names):
    after = folders(changed(settings, **change), texts)
    assert moved(folders(settings, texts), after) == arms_of(*names)


def test_every_training_setting_is_in_the_key_or_known_to_be_elsewhere(settings):
    key = grid.settings_key(settings, grid.students(settings)[0])
    assert key["training"].keys() | grid.NOT_IN_KEY == profile.TrainingSettings.model_fields.keys()


def test_other_weights_in_the_table_of_methods_move_that_method(settings, texts, monkeypatch):
    before, four = folders(settings, texts), methods.methods
    other = {"MT": {"predict": 0.9, "explain": 0.1}}
    monkeypatch.setattr(methods, "methods", lambda **how: four(**how) | other)
    assert moved(before, folders(settings, texts)) == arms_of("MT")


def test_other_texts_move_the_students_that_learn_them(settings, texts):
    found = moved(folders(settings, texts), folders(settings, texts.assign(revision="Because.")))
    assert found == {"CF:Revised", "MT:Revised", "MT+CF:Revised"}


def test_another_file_of_the_checkpoint_moves_its_students(settings, texts, tmp_path):
    """A tokenizer, too; and students from what it was count no longer as finished."""
    folder = shutil.copytree(checkpoints.fetch("tiny:t5"), tmp_path / "mine")
    mine = settings.students[0].model_copy(update={"model": f"local:{folder}"})
    settings = settings.model_copy(update={"students": [mine]})
    before, table = folders(settings, texts), records(settings, texts)
    assert grid.finished(settings, table)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert moved(before, folders(settings, texts)) == set(before)
    with pytest.raises(UserError, match="trained under other settings, from another checkpoint o"):
        grid.finished(settings, table)


def test_keys_of_students_stay():
    """Students that were trained with an earlier version are found again."""
    settings = profile.load("selftaught")
    assert list(folders(settings, teacher_table(settings)).values()) == SELFTAUGHT


def test_pairs_are_made_once_a_lesson(settings, texts, monkeypatch):
    made, pairs = [], grid.training_pairs
    monkeypatch.setattr(
        grid, "training_pairs", lambda *asked: made.append(asked[1].label) or pairs(*asked)
    )
    both = profile.load("smoke").students[:2]
    many = settings.model_copy(update={"students": both, "seeds": [0, 1, 2]})
    homes = grid.homes(many, texts)
    assert len(homes) == 42 and len(made) == 7
    for home in homes:  # what is shared is what each would have alone
        assert home == grid.home(many, home.student, texts)
    drawn = changed(many, wrong_choice="random", share=0.5)
    for home in grid.homes(drawn, texts):
        assert home.pairs == pairs(drawn, home.student, texts)
    table = records(many, texts)
    files.write_parquet(profile.run_folder(many) / "02_critique_revision/teacher.parquet", texts)
    made.clear()
    assert len(grid.finished(many, table)) == len(grid.finished(many, table)) == 42
    assert len(made) == 7


# What is finished


@pytest.fixture
def trained(settings, texts):
    return records(settings, texts)


def records(settings, texts) -> pd.DataFrame:
    """Records of finished students without weights, as notebook 03's table names them."""
    rows = []
    for home in grid.homes(settings, texts):
        files.write_json(home.folder / "student.json", {"key": home.key, "files": {}})
        rows.append([home.student.name, home.student.model.size, home.student.seed])
        rows[-1].append(home.folder.name)
    return pd.DataFrame(rows, columns=["arm", "size", "seed", "folder"])


def test_finished_students_are_those_of_the_settings_now(settings, trained):
    found = grid.finished(settings, trained)
    assert [student.arm for student, _ in found] == ARMS
    assert [folder.name for _, folder in found] == list(trained["folder"])
    sentence = (
        "The student label-only tiny-t5 seed 0 was trained under other settings, .* run "
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
