"""kill -9 at random moments: nothing finished is made again, nothing is missing."""

import os
import random
import signal
import time
from collections import Counter

import pytest

from lib.common import files, paths, profile
from lib.teacher import texts
from lib.teacher.shards import Shards


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """120 questions for the tiny teacher, in a folder of texts of their own."""
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    smoke = profile.load("smoke")
    task = smoke.task.model_copy(update={"train": 110, "dev": 10})
    teacher = smoke.teacher.model_copy(update={"batch_size": 2})
    return smoke.model_copy(update={"task": task, "teacher": teacher})


def write_in_child(settings, log) -> int:
    """Write all explanations in a forked process that notes every shard it finishes."""
    child = os.fork()
    if child == 0:
        try:
            import torch

            torch.set_num_threads(1)
            write = Shards.write

            def note(self, number, records):
                write(self, number, records)
                with open(log, "a", encoding="utf-8") as file:
                    file.write(f"{number}\n")

            Shards.write = note
            texts.Corpus(settings).write("explanation")
            os._exit(0)
        except BaseException:
            os._exit(1)
    return child


def test_killed_at_random_moments(settings, tmp_path, monkeypatch):
    started = time.monotonic()
    assert os.waitpid(write_in_child(settings, tmp_path / "whole.log"), 0)[1] == 0
    whole = time.monotonic() - started
    expected = texts.Corpus(settings).write("explanation")
    shards = len((tmp_path / "whole.log").read_text(encoding="utf-8").split())
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "broken")
    log, rng, seen = tmp_path / "shards.log", random.Random(0), []
    for _ in range(8):
        child = write_in_child(settings, log)
        time.sleep(rng.uniform(0, whole / 2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.append(len(log.read_text(encoding="utf-8").split()) if log.is_file() else 0)
    assert os.waitpid(write_in_child(settings, log), 0)[1] == 0
    assert any(0 < count < shards for count in seen), f"no kill in mid-run: {seen} of {shards}"
    assert texts.Corpus(settings).write("explanation") == expected
    finished = Counter(log.read_text(encoding="utf-8").split())
    assert len(finished) == shards and max(finished.values()) == 1, "a shard was made twice"


def test_a_changed_setting_starts_a_new_folder(settings):
    first = texts.Corpus(settings).plan_key("explanation")
    teacher = settings.teacher.model_copy(update={"shots": 1})
    other = settings.model_copy(update={"teacher": teacher})
    assert files.key_of(first) != files.key_of(texts.Corpus(other).plan_key("explanation"))
    limits = settings.teacher.max_new_tokens.model_copy(update={"revision": 9})
    teacher = settings.teacher.model_copy(update={"max_new_tokens": limits})
    other = settings.model_copy(update={"teacher": teacher})
    assert texts.Corpus(other).plan_key("explanation") == first, "a later kind's limit"
    assert texts.Corpus(other).plan_key("revision") != texts.Corpus(settings).plan_key("revision")
