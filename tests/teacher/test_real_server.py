"""The client against a real server: transformers' own, serving the embedded model on loopback."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from lib.common import paths, profile
from lib.models import checkpoints
from lib.teacher import texts

pytest.importorskip("fastapi")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(port: int) -> subprocess.Popen:
    """Start the server; it is up when /health answers."""
    code = "from transformers.cli.transformers import main; main()"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--device",
            "cpu",
            "--dtype",
            "float32",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return process
        except OSError:
            assert process.poll() is None, "the server ended at once"
            time.sleep(0.3)
    process.kill()
    raise AssertionError("the server did not come up")


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    folder = checkpoints.fetch("embedded:smollm2-135m-instruct")
    smoke, port = profile.load("smoke"), free_port()
    limits = smoke.teacher.max_new_tokens.model_copy(update={"explanation": 10})
    teacher = smoke.teacher.model_copy(
        update={
            "model": str(folder),
            "engine": "server",
            "shots": 1,
            "prefixes": 1,
            "batch_size": 2,
            "max_new_tokens": limits,
            "server": profile.ServerSettings(
                url=f"http://127.0.0.1:{port}", concurrency=2, patience=120
            ),
        }
    )
    task = smoke.task.model_copy(update={"train": 6, "dev": 2})
    return smoke.model_copy(update={"teacher": teacher, "task": task}), port


def test_killed_and_restarted_in_mid_run(settings, monkeypatch, tmp_path):
    chosen, port = settings
    process = start(port)
    try:
        expected = texts.Corpus(chosen).write("explanation")
        assert len(expected) == 8 and all(expected.values())
        monkeypatch.setattr(paths, "TEXTS", tmp_path / "broken")
        other = texts.Corpus(chosen)
        found = {}
        worker = threading.Thread(target=lambda: found.update(other.write("explanation")))
        worker.start()
        while not list(paths.TEXTS.glob("*/shard-*")):
            time.sleep(0.02)
        process.kill()
        process.wait()
        process = start(port)
        worker.join(300)
        assert found == expected
    finally:
        process.kill()
