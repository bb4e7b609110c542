"""Atomic files, friendly reading, progress lines."""

import errno
import io
import os
import sys

import pytest

from lib.common import files
from lib.common.errors import UserError, command_line
from lib.common.progress import Progress, duration


def test_write_is_atomic_and_keeps_identical_files(tmp_path):
    path = files.write_text(tmp_path / "deep" / "a.txt", "one")
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before - 10**9, before - 10**9))
    files.write_text(path, "one")
    assert path.stat().st_mtime_ns == before - 10**9
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"], "no temporary file is left"


def test_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "a.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        UserError, match=r"Cannot write .*a\.txt: No space left on device; free space"
    ):
        files.write_text(path, "new")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_key_changes_with_any_setting():
    assert files.key_of({"a": 1, "b": 2}) == files.key_of({"b": 2, "a": 1})
    assert files.key_of({"a": 1}) != files.key_of({"a": 2})


def test_json_lines_name_the_line_that_is_broken(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": "x\u2028\x85y"}\r\n\n[2]'.encode())
    assert files.read_jsonl(path) == {1: {"a": "x\u2028\x85y"}, 3: [2]}
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(UserError, match="a.jsonl line 3 is not JSON .Expecting value."):
        files.read_jsonl(path)
    path.write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(UserError, match="a.jsonl is not UTF-8 .at byte 8.; save it as UTF-8"):
        files.read_jsonl(path)


def test_broken_yaml_is_a_sentence(tmp_path):
    path = tmp_path / "a.yaml"
    for text, sentence in (
        ("a: [", "not valid YAML near line 1"),
        ("- a", "expected 'key: value' lines"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"a.yaml: {sentence}"):
            files.read_yaml(path)


def test_broken_json_names_its_maker(tmp_path):
    with pytest.raises(UserError, match="is missing; run notebook 3 first"):
        files.read_json(tmp_path / "a.json", "notebook 3")
    (tmp_path / "a.json").write_text('{"a": 1,')
    with pytest.raises(UserError, match="is damaged .* run notebook 3 again"):
        files.read_json(tmp_path / "a.json", "notebook 3")


def test_progress_lines(capsys):
    progress = Progress("texts", 4, every=1e9)
    progress.skip(2)
    progress.step()
    progress.step()
    out = capsys.readouterr().out
    assert out.startswith("texts 4/4 items | 2 found on disk | ") and "took" in out
    assert out.count("\n") == 1
    assert [duration(s) for s in (5, 65, 7500)] == ["5s", "1m05s", "2h05m"]


def test_a_letter_that_the_terminal_lacks_is_no_error(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    command_line(lambda: print("ü → …"))()
    terminal.flush()
    assert terminal.buffer.getvalue() == b"\xfc \\u2192 \\u2026\n"
