"""The client of a completions server: order, retries, refusals, on a loopback server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib.common.errors import UserError
from lib.common.profile import ServerSettings, TeacherSettings
from lib.teacher import prompt
from lib.teacher.server import ServerTeacher


class Fake(BaseHTTPRequestHandler):
    """Echoes the last word of a prompt; fails as told by the server's ``failures`` list."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked)
            failure = self.server.failures.pop(0) if self.server.failures else None
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        try:
            if failure == "drop":
                self.connection.close()
                return
            if failure == "silence":
                self.server.over.wait(10)
                return
            if failure in ("half", "other"):
                body = b'{"choices": [{"te' if failure == "half" else b'["no choices"]'
                self.send_response(200)
                self.send_header("Content-Length", "1000" if failure == "half" else str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            status = failure or 200
            word = asked["prompt"].split()[-2]
            text = "" if word == "blank" and asked.get("stop") else f"\n {word}.\nQuestion: next"
            if asked.get("stop") and text.startswith("\n"):
                text = ""  # as a real server: generation stops at the first line break
            body = json.dumps({"choices": [{"text": text}]} if status == 200 else {"error": "no"})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())
        finally:
            with self.server.lock:
                self.server.now -= 1

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    found.asked, found.failures, found.lock, found.now, found.most = [], [], threading.Lock(), 0, 0
    found.over = threading.Event()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.over.set()
    found.shutdown()
    found.server_close()


def teacher(server, pauses, **settings):
    url = f"http://127.0.0.1:{server.server_port}/"
    return ServerTeacher(
        TeacherSettings(model="m", engine="server", server=ServerSettings(url=url, **settings)),
        sleep=pauses.append,
    )


def prompts(*words):
    return [prompt.Prompt((), f"say {word}") for word in words]


def test_texts_come_in_order_with_bounded_concurrency(server):
    words = [f"w{i}" for i in range(30)]
    found = teacher(server, [], concurrency=4).texts(prompts(*words), 7)
    assert found == [f"{word}." for word in words]
    assert server.most <= 4
    assert {(a["model"], a["max_tokens"], a["temperature"]) for a in server.asked} == {("m", 7, 0)}


def test_dropped_and_failing_requests_are_tried_again(server):
    pauses = []
    server.failures = ["drop", 503, 429]
    assert teacher(server, pauses, concurrency=1).texts(prompts("a"), 5) == ["a."]
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("failure", ["silence", "half", "other"])
def test_no_answer_half_an_answer_and_another_answer_are_tried_again(server, failure):
    pauses = []
    server.failures = [failure]
    settings = {"timeout": 0.1} if failure == "silence" else {}
    assert teacher(server, pauses, concurrency=1, **settings).texts(prompts("a"), 5) == ["a."]
    assert pauses[:1] == [1]


def test_patience_ends_in_a_sentence(server):
    server.failures = [500] * 50
    with pytest.raises(UserError, match=r"gave no text for 10 s \(500 .*finished texts are kept"):
        teacher(server, [], patience=10).texts(prompts("a"), 5)


def test_a_refusal_is_not_repeated(server):
    server.failures = [404]
    with pytest.raises(UserError, match="refuses: 404 .*check the profile's teacher.model"):
        teacher(server, [], concurrency=1).texts(prompts("a"), 5)
    assert len(server.asked) == 1


def test_no_server(server):
    settings = TeacherSettings(
        model="m", engine="server", server=ServerSettings(url="http://127.0.0.1:9", patience=1)
    )
    with pytest.raises(
        UserError, match="http://127.0.0.1:9 gave no text for 1 s .*start it and run"
    ):
        ServerTeacher(settings, sleep=lambda _: None).texts(prompts("a"), 5)
