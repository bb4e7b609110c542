"""The door from Google Colab: what Colab lacks, a folder on Drive, a profile for its GPU.

Every notebook's second code cell comes here on Colab, and only there. Colab's torch, numpy, pandas
and some 600 other packages fit each other: they stay as they are, and what is missing is put beside
them. Standard library only, and not lib.common.paths, which reads HONEY_HOME: that is set here.
"""

import importlib
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from lib.common.errors import UserError
from lib.setup import machine

ROOT = Path(__file__).resolve().parents[2]  # on Colab /content/<name of the repository>
DEFAULT = "cpu"  # of every notebook's parameter ``profile``

# Never installed here: Colab's own GPU build, and what only make, tests or other machines use.
LEFT_OUT = {
    "torch",
    "numpy",
    "jupyterlab",
    "papermill",
    "nbclient",
    "nbconvert",
    "nbformat",
    "ipykernel",
    "ipython",
    "jupyter-client",
    "pytest",
    "selenium",
    "fastapi",
    "uvicorn",
    "openai",
    "pillow",
    "psutil",
    "submitit",
}

# Lowest version that works; below it the pinned one is installed. All others are taken as they are:
# the statistics' tests pass with numpy 2.0.2, pandas 2.2.2, scipy 1.16.3, statsmodels 0.14.6 and
# pydantic 2.12.3, Colab's in June 2026.
LOWEST = {
    "transformers": "5.23.0",  # 5.16 has no GgufConfig, which reads the embedded model
    "peft": "0.20.0",
}  # transformers 5.23 asks for it

# What a newer transformers may lift, within a major version, as Colab's other packages use these.
LIFTED = {"tokenizers", "huggingface-hub", "safetensors", "hf-xet", "click"}

# Installed alone, with the one dependency that Colab lacks: pingouin 0.7 asks for numpy 2.2 and
# pandas 2.3, but all that is used of it here gives the same values with 2.0.2 and 2.2.2.
ALONE = {"pingouin": "pandas-flavor==0.8.1"}

VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*(\+[\w.]+)?")  # that pip understands


def canonical(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """Canonical name -> version of every package that can be imported here."""
    importlib.invalidate_caches()
    found = reversed(list(metadata.distributions()))  # of two with one name the first is imported
    return {canonical(d.metadata["Name"]): d.version for d in found if d.metadata["Name"]}


def number(version: str) -> tuple[int, ...]:
    """A version's release as numbers: ``2.11.0+cu128`` -> (2, 11, 0)."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


def missing(requirements: str, present: dict[str, str]) -> tuple[list[str], list[str]]:
    """Pins that are absent or too old: to install with what they need, and to install alone.

    ``requirements``: text of lib/requirements.txt; ``present``: canonical name -> version.
    """
    wanted, alone = [], []
    for line in re.findall(r"^(?:# no-deps: )?[A-Za-z0-9][\w.-]*==\S+", requirements, re.M):
        pin = line.removeprefix("# no-deps: ")
        name = canonical(pin.split("==")[0])
        if (
            name in LEFT_OUT
            or name in present
            and number(present[name]) >= number(LOWEST.get(name, "0"))
        ):
            continue
        if name in ALONE and canonical(ALONE[name].split("==")[0]) not in present:
            wanted.append(ALONE[name])
        (alone if name in ALONE or pin != line else wanted).append(pin)
    return wanted, alone


def constraints(wanted: list[str], present: dict[str, str]) -> list[str]:
    """Lines for pip that hold all present packages, but for those wanted, at their versions."""
    names = {canonical(pin.split("==")[0]) for pin in wanted}
    lifted = LIFTED if "transformers" in names else set()
    return [
        f"{name}<{number(version)[0] + 1}" if name in lifted else f"{name}=={version}"
        for name, version in sorted(present.items())
        if name not in names and VERSION.fullmatch(version)
    ]


def install() -> None:
    """Install what is missing; nothing that Colab has changes but what is too old.

    UserError if pip fails; a restart if a package was already imported in its former version.
    """
    before = installed()
    wanted, alone = missing((ROOT / "lib" / "requirements.txt").read_text(), before)
    if not wanted and not alone:
        return
    names = ", ".join(pin.split("==")[0] for pin in wanted + alone)
    print(f"Installing what Colab lacks (some minutes): {names}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text("\n".join(constraints(wanted, before)) + "\n")
        if wanted:
            pip("--constraint", str(held), *wanted)
    if alone:
        pip("--no-deps", *alone)
    stale = imported(before, installed())
    if stale:
        restart(stale)


def pip(*arguments: str) -> None:
    """Run pip install quietly; UserError with its own reason if it fails."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *arguments,
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        told = [line for line in lines if line.startswith("ERROR:")] or lines
        raise UserError(
            f"pip could not install what Colab lacks ({told[-1][:200]}); check the "
            "network and run this cell again, or take a fresh runtime (Runtime menu)."
        )


def imported(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Packages that changed their version although this Python has already imported them."""
    changed = {name for name, version in before.items() if after.get(name) != version}
    if not changed:
        return []
    return sorted(
        {
            canonical(name)
            for module, names in metadata.packages_distributions().items()
            if module in sys.modules
            for name in names
        }
        & changed
    )


def restart(names: list[str]) -> None:
    """Restart Colab's Python, before any weights are loaded, and stop the cell by a UserError.

    Colab has no function for it; this is what its maintainers advise instead.
    """
    from IPython import get_ipython

    get_ipython().kernel.do_shutdown(restart=True)
    raise UserError(
        f"{', '.join(names)}: imported before the new version came, so this runtime "
        "restarts (Colab may call it a crash); run the notebook again from the top."
    )


def keep_on_drive() -> None:
    """Build everything in the folder honey of Google Drive, where it outlives the runtime.

    Models, which can be downloaded again, stay on the machine. UserError if Drive is not mounted,
    or if this Python already builds elsewhere.
    """
    from google.colab import drive

    mount = ROOT.parent / "drive"
    home = mount / "MyDrive" / "honey"
    loaded = sys.modules.get("lib.common.paths")
    if loaded and home != loaded.BUILT:
        raise UserError(
            f"This notebook already builds in {loaded.BUILT}; restart it (Runtime > "
            "Restart session) and run it from the top to build on Drive."
        )
    try:
        drive.mount(str(mount))
    except Exception as error:  # a refused permission, a time-out, a policy: each another kind
        raise UserError(
            f"Google Drive was not mounted ({str(error) or type(error).__name__}); run "
            "this cell again and allow it, or write drive=False."
        ) from error
    if not home.parent.is_dir():
        raise UserError(
            f"Google Drive is not at {home.parent}; run this cell again and allow it, "
            "or write drive=False."
        )
    os.environ["HONEY_HOME"] = str(home)
    os.environ.setdefault("HONEY_MODELS", str(ROOT / "data" / "models"))
    print(f"data/ and figures/ are kept in {home}", flush=True)


def prepare(profile: str, drive: bool = False) -> str:
    """Make Colab ready and return the profile: ``colab`` for the default one where there is a GPU.

    ``drive``: keep all results on Google Drive (see ``keep_on_drive``).
    """
    install()
    if drive:
        keep_on_drive()
    words = "No GPU here (Runtime > Change runtime type offers a T4)"
    gpus = machine.gpus(machine.run(machine.NVIDIA_SMI))
    if gpus:
        profile = "colab" if profile == DEFAULT else profile
        words = f"{gpus[0]['name']}, {gpus[0]['memory'] * 2**20 / 1e9:.0f} GB, " + (
            "bf16"
            if gpus[0]["bf16"]
            else "no bf16: the 4-bit teacher computes in fp16, students train in float32"
        )
    print(f"{words}; profile {profile}", flush=True)
    return profile
