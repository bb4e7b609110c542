"""The client against a real server: transformers' own, serving a tiny model on loopback."""

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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(port: int) -> subprocess.Popen:
    """Start the server; it is up when /health answers."""
    code = "from transformers.cli.transformers import main; main()"
    options = f"serve --host 127.0.0.1 --port {port} --device cpu --dtype float32".split()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options],
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
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the server did not come up")


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    folder = checkpoints.fetch("tiny:llama")
    smoke, port = profile.load("smoke"), free_port()
    server = profile.ServerSettings(url=f"http://127.0.0.1:{port}", concurrency=2, patience=120)
    changes = {"model": str(folder), "engine": "server", "batch_size": 2, "server": server}
    teacher = smoke.teacher.model_copy(update=changes)
    return smoke.model_copy(update={"teacher": teacher}), port


def test_killed_and_restarted_in_mid_run(settings, monkeypatch, tmp_path):
    chosen, port = settings
    process = start(port)
    try:
        expected = texts.Corpus(chosen).write("explanation")
        assert len(expected) == 25 and any(expected.values())
        monkeypatch.setattr(paths, "TEXTS", tmp_path / "broken")
        other, written = texts.Corpus(chosen), {}
        worker = threading.Thread(target=lambda: written.update(other.write("explanation")))
        worker.start()
        while not list(paths.TEXTS.glob("*/shard-*")):
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert len(list(paths.TEXTS.glob("*/shard-*"))) < 13, "killed too late"
        process = start(port)
        worker.join(300)
        assert written == expected
    finally:
        process.kill()
