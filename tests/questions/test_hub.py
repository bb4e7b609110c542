"""Question sets from the hub through ``datasets``: pinned, and one sentence when out of reach."""

import http.server
import os
import subprocess
import sys
import threading

import pytest

from lib.common import paths
from lib.common.profile import TaskSettings
from lib.questions import splits

CODE = "from lib import profile, tasks; tasks.load(profile.TaskSettings(name='commonsenseqa'))"


class NotFound(http.server.BaseHTTPRequestHandler):
    """A hub that knows no data set."""

    def do_GET(self):
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound)
    threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{service.server_port}"
    service.shutdown()
    service.server_close()


@pytest.mark.parametrize("how", ["offline", "wrong id"])
def test_real_client_ends_in_a_sentence(how, hub, tmp_path):
    settings = (
        {"HF_HUB_OFFLINE": "1"}
        if how == "offline"
        else {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=paths.ROOT,
        text=True,
        capture_output=True,
        env={**os.environ, **settings, "HONEY_HOME": str(tmp_path), "HF_HOME": str(tmp_path)},
        timeout=300,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert (
        done.returncode == 1 and "Cannot load tau/commonsense_qa at 94630fe3 from the hub" in last
    )
    assert "use task.source published or folder:PATH" in last


ROWS = {
    "commonsenseqa": {
        "id": "q",
        "question": "Why?",
        "answerKey": "B",
        "choices": {"label": ["A", "B"], "text": ["x", "y"]},
    },
    "strategyqa": {"qid": "q", "question": "Is it?", "answer": True},
    "esnli": {"premise": "A man sleeps.", "hypothesis": "He rests.", "label": 0},
}


@pytest.mark.parametrize("name", ROWS)
def test_pinned_revision_and_named_split_are_asked_for(name, monkeypatch):
    import datasets

    asked = {}

    def load_dataset(path, revision, **_):
        asked.update(path=path, revision=revision)
        rows = [
            ROWS[name] | {key: str(i) for key in ("id", "qid") if key in ROWS[name]}
            for i in range(23)
        ]
        return {"train": rows[:20], hub["test"]: rows[20:]}

    hub = splits.describe(name)["hub"]
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    splits._load.cache_clear()
    found = splits.load(TaskSettings(name=name))
    splits._load.cache_clear()
    assert {split: len(rows) for split, rows in found.items()} == {"train": 18, "dev": 2, "test": 3}
    assert (
        asked == {"path": hub["path"], "revision": hub["revision"]} and len(hub["revision"]) == 40
    )
