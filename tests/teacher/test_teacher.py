"""The client of a completions server: order, retries, refusals, on a loopback server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from lib.common.errors import UserError
from lib.common.profile import ServerSettings, TeacherSettings
from lib.teacher import prompt, teacher


class Fake(BaseHTTPRequestHandler):
    """Echoes the last word but one of a prompt; fails as the server's ``failures`` list says."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked | {"key": self.headers["Authorization"]})
            failure = self.server.failures.pop(0) if self.server.failures else 200
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        try:
            self.answer(asked, failure)
        finally:
            with self.server.lock:
                self.server.now -= 1

    def answer(self, asked, failure):
        if failure == "drop":
            self.connection.close()
        elif failure == "silence":
            self.server.over.wait(10)
        elif failure == "half":
            self.reply(200, '{"choices": [{"te', length=1000)
        elif failure == "other":
            self.reply(200, '["no choices"]')
        elif failure != 200:
            self.reply(failure, '{"error": "no"}')
        else:
            word = asked["prompt"].split()[-2]
            # as a real server: with a stop, generation ends at the first line break
            text = "" if asked.get("stop") else f"\n {word}.\nQuestion: next"
            self.reply(200, json.dumps({"choices": [{"text": text}]}))

    def reply(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    fake = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    fake.asked, fake.failures, fake.lock, fake.now, fake.most = [], [], threading.Lock(), 0, 0
    fake.over = threading.Event()
    threading.Thread(target=fake.serve_forever, args=(0.05,), daemon=True).start()
    yield fake
    fake.over.set()
    fake.shutdown()
    fake.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """How long the client would have slept before each further try, in s."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def texts(port, words, limit=5, **settings):
    """What a teacher at this port writes for prompts that end in these words."""
    server = ServerSettings(url=f"http://127.0.0.1:{port}/", **settings)
    settings = TeacherSettings(model="m", engine="server", server=server)
    prompts = [prompt.Prompt((), f"say {word}") for word in words]
    return teacher.load(settings).texts(prompts, limit)


def test_texts_come_in_order_with_bounded_concurrency(server, monkeypatch):
    monkeypatch.setenv("HONEY_API_KEY", "secret")
    words = [f"w{i}" for i in range(30)]
    assert texts(server.server_port, words, 7, concurrency=4) == [f"{word}." for word in words]
    assert server.most <= 4
    sent = {(a["model"], a["max_tokens"], a["temperature"], a["key"]) for a in server.asked}
    assert sent == {("m", 7, 0, "Bearer secret")}


def test_an_empty_first_line_is_asked_for_again_without_a_stop(server):
    assert texts(server.server_port, ["a"]) == ["a."]
    assert [a.get("stop") for a in server.asked] == [["\n"], None]


def test_what_a_server_only_thinks_is_left_out(server):
    assert texts(server.server_port, ["<think>Hm.</think>a", "<think>Hm"]) == ["a.", ""]


@pytest.mark.parametrize("failure", ["drop", "silence", "half", 500, 503, 429])
def test_a_failing_server_is_asked_again_after_growing_pauses(server, pauses, failure):
    server.failures = [failure] * 3
    timeout = 0.2 if failure == "silence" else 10
    assert texts(server.server_port, ["a"], concurrency=1, timeout=timeout) == ["a."]
    assert len(pauses) == 3 and 0.3 < pauses[0] < pauses[1] < pauses[2] <= 2


@pytest.mark.parametrize(
    ("patience", "count"), [(0, 0), (0.4, 0), (0.5, 1), (8, 4), (16, 5), (600, 78)]
)
def test_patience_is_how_long_the_client_waits_in_all(patience, count):
    assert teacher.retries(patience) == count


def test_patience_ends_in_a_sentence(server, pauses):
    server.failures = [500] * 50
    with pytest.raises(UserError, match=r"gave no text for 10 s \(.*500 .*finished texts are kept"):
        texts(server.server_port, ["a"], patience=10)
    assert len(pauses) == 4


@pytest.mark.parametrize(("failure", "words"), [(404, "404"), (401, "401"), ("other", "")])
def test_a_refusal_is_one_sentence_and_is_not_repeated(server, pauses, failure, words):
    server.failures = [failure]
    with pytest.raises(UserError, match=f"refuses: .*{words}.*check the profile's teacher.model"):
        texts(server.server_port, ["a"], concurrency=1)
    assert len(server.asked) == 1 and pauses == []


def test_no_server(pauses):
    with pytest.raises(
        UserError, match=r"http://127.0.0.1:9/ gave no text for 1 s \(.*refused.*; start it and run"
    ):
        texts(9, ["a"], patience=1)


@pytest.mark.parametrize(
    "template, wanted, used",
    [("{{ x }}", None, True), (None, None, False), ("{{ x }}", False, False), (None, True, True)],
)
def test_chat_template_where_there_is_one_unless_the_profile_says_otherwise(template, wanted, used):
    tokenizer = SimpleNamespace(chat_template=template)
    assert prompt.uses_chat(wanted, tokenizer) == used


def test_thinking_is_switched_off_and_what_is_thought_nevertheless_left_out(monkeypatch):
    """A tiny model whose chat template has Qwen3's switch, and tags that are special tokens."""
    made = teacher.load(TeacherSettings(model="tiny:llama", precision="float32", chat=True))
    tags = ["[THINK]", "[/THINK]"]
    made.tokenizer.add_special_tokens({"additional_special_tokens": tags})
    made.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}[/INST]"
        "{% if enable_thinking is false %}[THINK]\n\n[/THINK]\n\n{% endif %}"
    )
    asked = []

    def decode(rows, limit):
        asked.extend(map(made.tokenizer.decode, rows))
        return made.tokenizer(["[THINK]Hm.[/THINK] A fish.</s>", "[THINK]Hm, a"])["input_ids"]

    monkeypatch.setattr(made.decoder, "decode", decode)
    assert made.texts([prompt.Prompt((), "Who swims?")] * 2, 9) == ["A fish.", ""]
    assert asked == ["Who swims?[/INST][THINK]\n\n[/THINK]\n\n"] * 2
