"""Students side by side: all are trained, a failed one is named and does not lose the others."""

import pytest

from lib import corpus, grid, jobs, paths, profile, store
from lib.errors import UserError


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """The smoke profile in a home of its own, with the teacher's table written."""
    monkeypatch.setenv("HONEY_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    chosen = profile.load("smoke")
    texts = corpus.write_revisions(chosen, corpus.write_explanations(chosen))
    store.write_parquet(profile.run_folder(chosen) / "02_critique_revision" / "teacher.parquet", texts)
    return chosen


def test_a_failed_student_is_named_and_the_others_are_kept(settings, capsys):
    texts, wanted = jobs.teacher_texts(settings), grid.students(settings)
    numbers = [0, 2, 9]
    places = {i: grid.place(settings, wanted[i], texts) for i in numbers}
    broken = places[2].folder
    broken.parent.mkdir(parents=True)
    blocker = broken.with_name(f".working-{broken.name}")
    blocker.write_text("in the way")
    with pytest.raises(UserError, match=r"1 of 3 students failed: CF:Unrevised tiny-t5 seed 0; read"):
        jobs.run_side_by_side(settings, numbers, 2)
    assert [grid.is_whole(places[i].folder) for i in numbers] == [True, False, True]
    assert "students 2/3 done" in capsys.readouterr().out
    blocker.unlink()
    assert jobs.train_number("smoke", 2) == "CF:Unrevised tiny-t5 seed 0"
    assert grid.is_whole(broken)
    before = (broken / "student.json").stat().st_mtime_ns
    jobs.train_number("smoke", 2)
    assert (broken / "student.json").stat().st_mtime_ns == before, "a finished student is not touched"


def test_a_student_in_training_is_not_trained_twice(settings):
    import fcntl

    student = grid.students(settings)[0]
    found = grid.place(settings, student, jobs.teacher_texts(settings))
    found.folder.parent.mkdir(parents=True)
    with open(found.folder.with_name(f".lock-{found.folder.name}"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is being trained by another process"):
            grid.train_one(settings, student, found)


def test_missing_texts_name_their_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(UserError, match="run notebooks/02_critique_revision.ipynb with profile 'smoke'"):
        jobs.teacher_texts(profile.load("smoke"))
