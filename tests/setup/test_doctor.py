"""What make doctor says of made-up machines, and one run of it without any package."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lib.runner import depends
from lib.setup import doctor, install, machine

ROOT = Path(__file__).resolve().parents[2]
H100 = "NVIDIA H100 80GB HBM3, 81559 MiB, 9.0, 550.54.15\n"
T4 = "Tesla T4, 15360 MiB, 7.5, 535.104.05\n"
CPUINFO = "processor\t: 0\nflags\t\t: fpu sse2 avx512f {}\nbogomips\t: 4800\n"
MEMINFO = "MemTotal:       16384000 kB\nMemFree:  1000 kB\nMemAvailable:   12288000 kB\n"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    """Profiles are read from the working folder."""
    monkeypatch.chdir(ROOT)


def a_machine(**differs):
    """A set-up laptop: two cores, 16 GB, no GPU, on the network, no token."""
    answer = {
        "torch": "2.13.0+cpu",
        "build": None,
        "cuda": None,
        "bitsandbytes": "0.50.2",
        "hub": "https://hub.invalid",
        "jupyterlab": True,
    }
    return {
        "tried": [(".venv/bin/python", "3.11")],
        "folder": ".venv",
        "ready": True,
        "creatable": True,
        "make": "GNU Make 4.3\nBuilt for x",
        "compiler": "/usr/bin/gcc",
        "disk": 40.0,
        "setup": 0,
        "memory": 16.0,
        "memory_free": 12.0,
        "cores": 2,
        "cpuinfo": CPUINFO.format("avx512_bf16"),
        "gpus": [],
        "answer": answer,
        "hub": answer["hub"],
        "offline": False,
        "hub_problem": "",
        "token": False,
        "git": "/usr/bin/git",
        "texts": False,
    } | differs


def with_gpu(text, **differs):
    """The same with this GPU, which torch reaches, and much disk and memory."""
    answer = a_machine()["answer"]
    answer |= {"torch": "2.13.0", "build": "13.0", "cuda": text.split(",")[0]}
    return a_machine(gpus=machine.gpus(text), answer=answer, disk=500.0, memory=128.0) | differs


def states(m):
    """Check -> state."""
    return {name: state for name, (state, _) in doctor.examine(m).items()}


def test_a_laptop_runs_the_default_but_nothing_that_needs_a_gpu():
    m = a_machine()
    assert {name for name, state in states(m).items() if state != "ok"} == {"GPU", "token"}
    assert doctor.verdict("smoke", m) == "PROFILE=smoke will work."
    assert doctor.verdict("cpu", m) == "PROFILE=cpu will work."
    assert doctor.verdict("colab", m) == (
        "PROFILE=colab will not work; missing: a GPU of 14000 MiB."
    )
    assert doctor.verdict("paper", m) == (
        "PROFILE=paper will not work; missing: 30 GB of memory, 125 GB of free disk, a GPU of "
        "38000 MiB, a token for it."
    )
    assert "colab and paper will not" in doctor.examine(m)["GPU"][1]


def test_a_t4_is_enough_for_colab_only():
    m = with_gpu(T4, token=True)
    assert m["gpus"] == [
        {"name": "Tesla T4", "memory": 15360, "driver": "535.104.05", "bf16": False}
    ]
    assert doctor.examine(m)["GPU"] == (
        "note",
        (
            "Tesla T4, 15360 MiB, driver 535.104.05: enough for smoke, cpu, colab; too little for "
            "paper. No bf16: students train in float32, and PROFILE=paper will not work."
        ),
    )
    assert doctor.verdict("colab", m).startswith("PROFILE=colab has what it needs")
    assert doctor.verdict("paper", m).endswith("missing: a GPU of 38000 MiB, a GPU with bf16.")


def test_an_h100_is_enough_for_the_paper_with_a_token():
    m = with_gpu(T4 + H100)
    assert doctor.examine(m)["GPU"] == (
        "ok",
        (
            "NVIDIA H100 80GB HBM3, 81559 MiB, driver 550.54.15, largest of 2: enough for smoke, cpu, "
            "colab, paper."
        ),
    )
    assert doctor.verdict("paper", m) == "PROFILE=paper will not work; missing: a token for it."
    m["token"] = True
    assert doctor.verdict("paper", m) == (
        "PROFILE=paper has what it needs (but is untried: README.md)."
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "No devices were found\n",
    ],
)
def test_no_gpu_in_what_nvidia_smi_says(text):
    assert machine.gpus(text) == []


def test_an_unknown_compute_capability_is_not_held_against_a_gpu():
    assert machine.gpus("NVIDIA A40, 46068 MiB, [N/A], 470.1\n")[0]["bf16"]
    assert [gpu["bf16"] for gpu in machine.gpus("B, 9 MiB, 10.0, 1\nA, 8 MiB, 8.0, 1\n")] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    "differs, why",
    [
        ({"build": None}, "this is the build without CUDA"),
        ({}, "driver too old for CUDA 13.0, or CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_gpu_that_torch_does_not_reach(differs, why):
    m = with_gpu(H100, token=True)
    m["answer"] |= {"cuda": None, **differs}
    state, sentence = doctor.examine(m)["torch"]
    assert state == "no" and why in sentence
    assert doctor.verdict("colab", m).endswith("missing: a torch that reaches the GPU.")
    assert doctor.verdict("cpu", m) == "PROFILE=cpu will work."


def test_torch_and_bitsandbytes_that_do_not_start():
    m = a_machine(answer=None, hub=None)
    assert states(m)["torch"] == "no" and doctor.lacking(doctor.NEEDS["cpu"], m)[0] == [
        "a torch that starts"
    ]
    m = a_machine()
    m["answer"]["bitsandbytes"] = None
    assert doctor.examine(m)["torch"][0] == "note"
    assert "colab's 4-bit teacher will not work" in doctor.examine(m)["torch"][1]


def test_before_set_up_what_only_the_packages_know_is_left_open():
    m = with_gpu(T4, ready=False, answer=None, hub=None, setup=8)
    assert {name for name, state in states(m).items() if state == "no"} == {"token"}
    assert states(m)["packages"] == states(m)["model hub"] == states(m)["torch"] == "note"
    assert doctor.verdict("cpu", m) == "PROFILE=cpu will work after `make setup`."
    assert doctor.verdict("colab", m) == (
        "PROFILE=colab may work; not known yet: a torch that reaches the GPU, the model hub."
    )


@pytest.mark.parametrize(
    "free, setup, enough, state",
    [
        (40.0, 0, "enough for smoke, cpu, colab; too little for paper", "ok"),
        (4.0, 0, "enough for smoke, cpu; too little for colab, paper", "ok"),
        (4.0, 2.4, "enough for smoke; too little for cpu, colab, paper (set-up 2.4, ", "no"),
        (1.0, 2.4, "too little for smoke, cpu, colab, paper (set-up 2.4, ", "no"),
        (150.0, 8, "enough for smoke, cpu, colab, paper (set-up 8 with CUDA (estimated), ", "ok"),
    ],
)
def test_disk(free, setup, enough, state):
    found = doctor.check_disk(free, setup)
    assert found[0] == state and enough in found[1].replace(" (smoke", "")
    missing = doctor.lacking(doctor.NEEDS["cpu"], a_machine(disk=free, setup=setup))[0]
    assert missing == (["1.8 GB of free disk"] if state == "no" else [])


def test_memory_is_that_of_the_tightest_control_group():
    two = {
        "/sys/fs/cgroup/memory.max": "max\n",
        "/sys/fs/cgroup/job/memory.max": "4000000000\n",
        "/sys/fs/cgroup/job/task/memory.max": "max\n",
    }
    assert machine.memory_limit("0::/job/task\n", lambda path: two.get(path, "")) == 4_000_000_000
    assert machine.memory_limit("0::/\n", lambda path: two.get(path, "")) is None
    one = {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "6000000000\n"}  # as inside a container
    assert (
        machine.memory_limit("4:cpu,memory:/docker/1\n3:cpu:/\n", lambda path: one.get(path, ""))
        == 6_000_000_000
    )
    assert machine.memory_limit("", lambda path: "1") is None
    assert machine.memory(MEMINFO, None) == pytest.approx((16.777216, 12.582912))
    assert machine.memory(MEMINFO, 4_000_000_000) == (4.0, 4.0)
    assert machine.memory("", None)[0] > 0.1  # asked of the system


@pytest.mark.parametrize(
    "total, free, state, words",
    [
        (128, 100, "ok", "enough for smoke, cpu, colab, paper"),
        (16, 3, "note", "Only 3.0 GB are free now"),
        (4, 3, "no", "enough for smoke; too little for cpu"),
        (0.5, 0.4, "no", "too little for smoke"),
    ],
)
def test_memory(total, free, state, words):
    found = doctor.check_memory(total, free)
    assert found[0] == state and words in found[1]


def test_little_memory_leaves_smoke():
    m = a_machine(memory=4.0, memory_free=3.0)
    assert doctor.verdict("smoke", m) == "PROFILE=smoke will work."
    assert doctor.verdict("cpu", m) == "PROFILE=cpu will not work; missing: 5.8 GB of memory."


def test_processor():
    assert doctor.check_processor(2, CPUINFO.format("avx512_bf16 amx_bf16"))[1].startswith(
        "2 cores with bf16 and AMX;"
    )
    assert doctor.check_processor(2, CPUINFO.format("avx512_bf16"))[0] == "ok"
    assert doctor.check_processor(1, CPUINFO.format("avx512_bf16"))[0] == "note"
    for text in (CPUINFO.format(""), "Features\t: fp asimd bf16\n", ""):
        state, sentence = doctor.check_processor(8, text)
        assert state == "note" and sentence.startswith("8 cores without bf16: cpu works in float32")


def test_python():
    found = [("/usr/bin/python3", "3.9"), ("python3.11", None), ("python3.12", None)]
    assert doctor.check_python(found) == (
        "no",
        (
            "Python 3.11 or 3.12 is needed (/usr/bin/python3 is 3.9, python3.11 is missing, python3.12 "
            "is missing); no profile will run."
        ),
    )
    assert doctor.check_python(found[:2] + [("python3.12", "3.12")]) == (
        "ok",
        "python3.12 is Python 3.12.",
    )
    m = a_machine(tried=found)
    assert all(
        doctor.verdict(name, m).startswith(
            f"PROFILE={name} will not work; missing: Python 3.11 or 3.12"
        )
        for name in doctor.NEEDS
    )


def test_make_and_environment():
    assert doctor.check_make("GNU Make 4.3\n") == ("ok", "GNU Make 4.3.")
    assert [
        doctor.check_make(text)[0] for text in ("GNU Make 3.81", "GNU Make 3.80", "bmake", "")
    ] == ["note", "no", "no", "no"]
    assert doctor.check_packages(False, ".venv", True)[0] == "note"
    m = a_machine(ready=False, creatable=False, make="", answer=None)
    assert doctor.verdict("smoke", m) == (
        "PROFILE=smoke will not work; missing: an environment, GNU make."
    )


def test_model_hub():
    assert doctor.check_hub("https://hub.invalid", False, "")[0] == "ok"
    m = with_gpu(H100, token=True, hub_problem="timed out")
    assert "(timed out)" in doctor.examine(m)["model hub"][1]
    assert doctor.verdict("paper", m).endswith("missing: the model hub.")
    m = with_gpu(H100, token=True, offline=True)
    assert doctor.examine(m)["model hub"][0] == "note"
    assert doctor.verdict("colab", m).endswith("missing: the model hub.")
    told = {"HF_HUB_OFFLINE": "1"}, {"TRANSFORMERS_OFFLINE": "true"}, {"HF_HUB_OFFLINE": "0"}, {}
    assert [machine.is_offline(variables) for variables in told] == [True, True, False, False]


@pytest.mark.parametrize(
    "code, problem",
    [(200, ""), (404, ""), (401, ""), (403, "it answers 403"), (503, "it answers 503")],
)
def test_a_hub_is_asked_by_one_head_request(code, problem):
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
        assert machine.unreachable(f"http://127.0.0.1:{service.server_port}/hub") == problem
        service.shutdown()
    assert asked == ["/hub"]
    assert "refused" in machine.unreachable(f"http://127.0.0.1:{service.server_port}")
    assert machine.unreachable("file:///etc/hosts") == "HF_ENDPOINT is no http(s) address"


def test_a_token_is_looked_for_and_never_shown(tmp_path):
    here = {"HF_HOME": str(tmp_path)}
    assert not machine.has_token(here)
    (tmp_path / "token").write_text("")
    assert not machine.has_token(here)
    (tmp_path / "token").write_text("hf_secret")
    assert machine.has_token(here)
    assert machine.has_token({"HF_HOME": "/absent", "HF_TOKEN": "hf_secret"})
    assert machine.has_token({"HF_HOME": "/absent", "HF_TOKEN_PATH": str(tmp_path / "token")})
    assert "hf_secret" not in str(doctor.examine(a_machine(token=True)))


def test_missing_tools_do_not_stop_the_default_run():
    m = a_machine(compiler=None, git=None)
    assert (states(m)["compiler"], states(m)["git"]) == ("note", "note")
    assert doctor.verdict("cpu", m) == "PROFILE=cpu will work."


def test_published_texts_are_there_or_must_come_from_the_network():
    assert doctor.verdict("smollm2_esnli", a_machine()) == (
        "PROFILE=smollm2_esnli may work; not known yet: whether the authors' texts can be downloaded."
    )
    assert (
        doctor.verdict("smollm2_esnli", a_machine(texts=True)) == "PROFILE=smollm2_esnli will work."
    )
    assert "21 GB of memory" in doctor.verdict("smollm2_subset", a_machine())


def test_needs_of_profiles():
    assert doctor.needs_of("cpu") == doctor.NEEDS["cpu"]
    assert doctor.needs_of("smollm2") == doctor.NEEDS["cpu"] | {"texts": True}
    assert doctor.needs_of("learning_curve") == doctor.NEEDS["cpu"]
    assert doctor.needs_of("paper") == doctor.NEEDS["paper"]
    assert doctor.needs_of("colab") == doctor.NEEDS["colab"]
    assert doctor.needs_of("smollm2_subset")["memory"] == 21
    assert doctor.needs_of("smollm2_esnli")["memory"] == 6
    assert set(doctor.NEEDS) | set(doctor.SUBSETS) <= set(depends.profiles())


def test_a_profile_with_a_model_of_the_hub_needs_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notebooks/profiles").mkdir(parents=True)
    Path("notebooks/profiles/cpu.yaml").write_text("name: cpu  # no hub: here\n")
    Path("notebooks/profiles/mine.yaml").write_text(
        'extends: cpu\nstudents: [{size: x, model: "hub:owner/name@1"}]\n'
    )
    assert "hub" not in doctor.needs_of("cpu")
    m = a_machine(hub_problem="timed out")
    assert doctor.verdict("mine", m) == "PROFILE=mine will not work; missing: the model hub."


@pytest.fixture
def environment(tmp_path):
    """Variables of a set-up environment whose Python answers like ours, without loading torch."""
    prefix = tmp_path / "environment"
    (prefix / "bin").mkdir(parents=True)
    answer = json.dumps(a_machine()["answer"])
    (prefix / "bin/python").write_text(
        f"""#!/bin/sh
        case "$2" in *torch*) echo '{answer}';; *) echo 3.11; echo {prefix};; esac
        """
    )
    (prefix / "bin/python").chmod(0o755)
    (prefix / "honey.stamp").write_text(install.digest() + "\n")
    variables = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(
            ("HF_", "HUGGING", "XDG_", "CONDA", "PYTHON", "HONEY_", "TRANSFORMERS")
        )
    }
    return variables | {"VIRTUAL_ENV": str(prefix), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}


def start(environment, *arguments):
    """Run it as make doctor does."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "lib/setup/doctor.py", *arguments],
        cwd=ROOT,
        text=True,
        env=environment,
        capture_output=True,
    )


def test_it_runs_without_any_package(environment, tmp_path):
    done = start(environment, "smollm2")
    assert done.stderr == "" and done.returncode in (0, 1)  # 1 on a machine too small for cpu
    checks, verdicts = (part.splitlines() for part in done.stdout.split("\n\n"))
    assert {line.split()[0] for line in checks} <= {"ok", "note", "no"}
    assert [line[6:16].strip() for line in checks] == list(doctor.examine(a_machine()))
    assert checks[0] == f"ok    Python     {tmp_path}/environment/bin/python is Python 3.11."
    assert checks[1] == f"ok    packages   Installed in {tmp_path}/environment."
    assert "torch 2.13.0+cpu computes on the processor" in done.stdout
    assert "HF_HUB_OFFLINE is set" in done.stdout and "None (`hf auth login`)" in done.stdout
    assert [line.split(":")[0] for line in verdicts] == [
        "Needs no GPU",
        "Needs a GPU of 16 GB",
        "Needs a GPU of 40 GB",
        "Asked for",
    ]
    assert (done.returncode == 0) == ("PROFILE=cpu will work." in verdicts[0])


def test_exit_codes(environment, tmp_path):
    done = start(environment, "smolm2")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == (
        "There is no profile 'smolm2' in notebooks/profiles; did you mean 'smollm2'?\n"
    )
    (tmp_path / "environment/bin/python").write_text("#!/bin/sh\necho 3.9; echo /x\n")
    done = start(environment)
    assert done.returncode == 1
    assert "environment/bin/python is 3.9); no profile will run." in done.stdout


def test_packages_are_ready_where_set_up_left_its_stamp(tmp_path, monkeypatch):
    """The stamp is that of lib/setup/install.py, which is asked here whether it would do anything."""
    (tmp_path / "honey.stamp").write_text(install.digest())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(install, "pip", None)
    assert install.main([]) is None
