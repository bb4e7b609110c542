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
    assert path.read_text(encoding="utf-8") == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"], "no temporary file is left"


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_mode_that_umask_gives(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "a.txt", "one")
        (tmp_path / "b").touch(0o600)  # as safetensors leaves its files
        files.usual_modes(tmp_path)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "a.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        UserError, match=r"Cannot write .*a\.txt: No space left on device; free space"
    ):
        files.write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old" and len(list(tmp_path.iterdir())) == 1


def test_key_changes_with_any_setting():
    assert files.key_of({"a": 1, "b": 2}) == files.key_of({"b": 2, "a": 1})
    assert files.key_of({"a": 1}) != files.key_of({"a": 2})


def test_json_lines_name_the_line_that_is_broken(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('\ufeff{"a": "x\u2028\x85y"}\r\n\n[2]'.encode())
    assert files.read_jsonl(path) == {1: {"a": "x\u2028\x85y"}, 3: [2]}
    path.write_text('{"a": 1}\n\n{"a": \n', encoding="utf-8")
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
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=f"a.yaml: {sentence}"):
            files.read_yaml(path)


def test_broken_json_names_its_maker(tmp_path):
    with pytest.raises(UserError, match="is missing; run notebook 3 first"):
        files.read_json(tmp_path / "a.json", "notebook 3")
    (tmp_path / "a.json").write_text('{"a": 1,', encoding="utf-8")
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


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "b: {a: 1, c: 2, a: 3}", "b: [{a: 1, a: 2}]"])
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="x.yaml: 'a' stands twice; keep one of them"):
        files.read_yaml(path)
