"""What make doctor says of made-up machines, of a hub played on loopback, and of this one."""

import http.server
import threading

import huggingface_hub
import pytest

from lib.common import paths, profile
from lib.setup import doctor

LAPTOP = {
    "memory_gb": 16.0,
    "free_gb": 12.0,
    "disk_gb": 40.0,
    "gpu": "none that torch reaches",
    "gpu_gb": 0.0,
    "bf16": True,
    "hub": "",
    "authors": "",
}
T4 = LAPTOP | {"gpu": "Tesla T4", "gpu_gb": 15.8, "bf16": False}
H100 = LAPTOP | {"gpu": "NVIDIA H100", "gpu_gb": 84.9, "memory_gb": 128.0, "disk_gb": 500.0}


@pytest.fixture(autouse=True)
def hub(monkeypatch):
    """A hub whose models are all there for us; ``hub.error``: what it raises instead."""
    state = type("Hub", (), {"error": None})()

    def auth_check(name):
        if state.error:
            raise state.error

    monkeypatch.setattr(huggingface_hub, "auth_check", auth_check)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    return state


def lacking(name: str, here: dict) -> list[str]:
    return doctor.lacking(profile.load(name), here)


def test_a_laptop_runs_the_default_but_nothing_that_needs_a_gpu():
    assert lacking("cpu", LAPTOP) == lacking("smollm2_esnli", LAPTOP) == []
    assert lacking("colab", LAPTOP) == ["a GPU of 15 GB"]
    assert lacking("smollm2_subset", LAPTOP) == ["21 GB of memory"]
    missing = ["30 GB of memory", "125 GB of free disk", "a GPU of 40 GB"]
    assert lacking("paper", LAPTOP) == missing
    assert lacking("smoke", LAPTOP | {"memory_gb": 4.0}) == []
    assert lacking("cpu", LAPTOP | {"memory_gb": 4.0}) == ["6 GB of memory"]


def test_a_small_gpu_is_enough_for_colab_and_a_large_one_for_the_paper():
    assert lacking("colab", T4) == lacking("paper", H100) == []
    assert lacking("paper", H100 | {"gpu_gb": 42.0, "bf16": False}) == ["bf16"]
    told = doctor.describe(T4)
    assert "Tesla T4, 16 GB" in told and "on the GPU, without bf16 (students train in" in told
    assert "none that torch reaches\n" in doctor.describe(LAPTOP)


def test_models_of_the_hub_are_asked_for_one_by_one(hub, monkeypatch):
    hub.error = huggingface_hub.errors.GatedRepoError(
        "no", response=type("R", (), {"headers": {}, "request": None})()
    )
    (missing, *_) = lacking("paper", H100)
    assert missing.startswith("access to meta-llama/Llama-2-13b-hf (ask for it")
    hub.error = OSError("no")
    assert lacking("colab", T4) == ["Qwen/Qwen2.5-1.5B-Instruct on the hub (OSError)"]
    assert lacking("colab", T4 | {"hub": "timed out"}) == [
        "the model hub for Qwen/Qwen2.5-1.5B-Instruct"
    ]
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "config.json")
    assert lacking("colab", T4 | {"hub": "timed out"}) == []


def test_published_texts_must_come_from_the_network():
    assert "(timed out)" in doctor.describe(LAPTOP | {"hub": "timed out"})
    (missing,) = lacking("published", LAPTOP | {"authors": "timed out"})
    assert missing.startswith("the authors' texts (https://") and "timed out" in missing
    assert lacking("cpu", LAPTOP | {"authors": "timed out"}) == []


def test_verdicts_say_what_a_run_takes():
    assert doctor.verdict(profile.load("cpu"), LAPTOP) == (
        "runs here (6 GB of memory, 1.8 GB of free disk, 10 min on two cores)"
    )
    assert doctor.verdict(profile.load("published"), LAPTOP).endswith("was not measured)")
    assert doctor.verdict(profile.load("colab"), LAPTOP) == (
        "does not run here; missing: a GPU of 15 GB"
    )


@pytest.mark.parametrize(
    ("code", "problem"), [(200, ""), (404, ""), (401, ""), (503, "it answers 503")]
)
def test_an_address_is_asked_by_one_head_request(code, problem):
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{service.server_port}"
        assert doctor.unreachable(f"{address}/hub") == problem
        service.shutdown()
    assert asked == ["/hub"] and "refused" in doctor.unreachable(address)


def test_this_machine_line_by_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, "unreachable", lambda _: "not asked")
    monkeypatch.setattr(paths, "BUILT", tmp_path / "new" / "home")
    code = doctor.main(["smoke"])
    machine, verdicts, asked = capsys.readouterr().out.split("\n\n")
    assert [line.split(" ")[0] for line in machine.splitlines()] == [
        *("Python", "memory", "disk", "GPU", "computes", "model")
    ]
    assert [line.split()[0] for line in verdicts.splitlines()] == profile.names()
    assert (code == 0) == ("\nsmoke                  runs here" in verdicts)
    assert asked.splitlines()[0] == f"smoke: {profile.load('smoke').description}"
    assert asked.splitlines()[1].startswith("smoke runs here" if code == 0 else "smoke does not")
    command = "reproduce" if code == 0 else "plan"
    assert asked.splitlines()[2] == f"Next: make {command} PROFILE=smoke"
    with pytest.raises(
        SystemExit, match="There is no profile 'smolm2_gpu'.*did you mean 'smollm2_gpu'"
    ):
        doctor.main(["smolm2_gpu"])
