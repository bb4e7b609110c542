"""What a notebook reads of others, and the commit that its results name."""

import subprocess
import sys

import pandas as pd
import pytest

from lib.common import files, paths, provenance
from lib.common.errors import UserError
from lib.common.stage import Stage


def test_tables_of_other_stages_are_csv_or_parquet(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    stage, table = Stage("04_evaluation", "smoke"), pd.DataFrame({"id": ["a"], "n": [1]})
    files.write_csv(stage.run / "03_training" / "students.csv", table)
    files.write_parquet(stage.run / "02_critique_revision" / "teacher.parquet", table)
    assert stage.read_table("03_training", "students").equals(table)
    assert stage.read_table("02_critique_revision", "teacher").equals(table)


def test_a_missing_table_is_named_with_what_writes_it(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    stage = Stage("03_training", "smoke")
    start = (
        r"teacher.csv \(or .parquet\), which notebook 02_critique_revision writes, is missing; run "
    )
    with pytest.raises(
        UserError,
        match=start + "notebooks/02_critique_revision.ipynb with profile 'smoke' "
        "first, or `make reproduce PROFILE=smoke`",
    ):
        stage.read_table("02_critique_revision", "teacher")
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(
        UserError, match=start + "that notebook first, with drive=True in both and the same profile"
    ):
        stage.read_table("02_critique_revision", "teacher")


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A repository of one commit; the commit is asked for anew in the test."""

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("*.pyc\n", encoding="utf-8")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "commit", provenance.commit.__wrapped__)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("lib/a.py", True),
        ("lib/new.py", True),
        ("notebooks/profiles/mine.yaml", True),
        ("lib/new.pyc", False),
        ("notes.txt", False),
    ],
)
def test_a_changed_or_new_file_of_code_is_told(repository, name, dirty):
    clean = provenance.commit()
    assert len(clean) == 12
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed", encoding="utf-8")
    assert provenance.commit() == clean + ("+dirty" if dirty else "")
