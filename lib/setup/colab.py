"""The door from Google Colab: what Colab lacks, a folder on Drive, a profile for its GPU.

Every notebook's second code cell runs this file on Colab, and only there. Colab's torch, numpy,
pandas and some 600 other packages fit each other: they stay, and what is missing comes beside them.
"""

import importlib
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]  # on Colab /content/honey
DEFAULT = "cpu"  # of every notebook's parameter ``profile``
STAY = {"torch", "torchvision", "numpy", "pandas", "scipy", "scikit-learn", "pyarrow", "matplotlib"}
NEW = {"transformers", "peft"}  # at least as new as the pin: 5.16 cannot read the embedded model
ALONE = {"pingouin", "pandas-flavor"}  # ask for a newer pandas, which what is used here needs not


def installed() -> dict[str, str]:
    """Name -> version of every package that can be imported here."""
    importlib.invalidate_caches()
    found = reversed(list(metadata.distributions()))  # of two with one name the first is imported
    return {canonicalize_name(d.name): d.version for d in found if d.name}


def missing(present: dict[str, str]) -> tuple[list[str], list[str]]:
    """Pins that are absent or too old: to install with what they need, and to install alone.

    Tools that only make and the tests use are in sections of requirements.txt that name Colab.
    """
    text = (ROOT / "lib" / "requirements.txt").read_text(encoding="utf-8")
    used = "\n".join(part for part in text.split("\n\n") if not re.match("# .*Colab", part))
    held = (ROOT / "lib" / "constraints.txt").read_text(encoding="utf-8")
    more = re.findall(r"^pandas-flavor==\S+", held, re.M)
    pins = re.findall(r"^[A-Za-z]\S+==\S+", used, re.M) + more
    carried = re.findall(r"^# no-deps: (\S+)", text, re.M)
    wanted = []
    for pin in pins + carried:
        name, version = canonicalize_name(pin.split("==")[0]), pin.split("==")[1]
        old = name in NEW and name in present and Version(present[name]) < Version(version)
        if name not in STAY and (old or name not in present):
            wanted.append((pin, name in ALONE or pin in carried))
    return [pin for pin, alone in wanted if not alone], [pin for pin, alone in wanted if alone]


def install() -> None:
    """Install what is missing, without a change to what shall STAY; says so if pip fails."""
    before = installed()
    wanted, alone = missing(before)
    if not wanted and not alone:
        return
    print("Installing what Colab lacks (some minutes):", *wanted, *alone, flush=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as held:
        held.write("\n".join(f"{name}=={before[name]}" for name in sorted(STAY & before.keys())))
        held.flush()
        for options in (["--constraint", held.name, *wanted], ["--no-deps", *alone]):
            command = [sys.executable, "-m", "pip", "install", "--quiet", *options]
            if subprocess.call(command):
                sys.exit("pip failed (see above); check the network and run this cell again.")
    after = installed()
    changed = {name for name, version in before.items() if after.get(name) != version}
    loaded = {
        canonicalize_name(name)
        for module, names in metadata.packages_distributions().items()
        if module in sys.modules
        for name in names
    }
    if changed & loaded:
        sys.exit(
            f"{', '.join(sorted(changed & loaded))} was in use before its new version came: choose "
            "Runtime > Restart session and run the notebook again from the top."
        )


def keep_on_drive() -> None:
    """Build everything in the folder honey of Google Drive, where it outlives the runtime.

    Models, which can be downloaded again, stay on the machine.
    """
    from google.colab import drive

    drive.mount(str(ROOT.parent / "drive"))
    home = ROOT.parent / "drive" / "MyDrive" / "honey"
    loaded = sys.modules.get("lib.common.paths")
    if loaded and home != loaded.BUILT:
        sys.exit(
            f"This notebook already builds in {loaded.BUILT}; choose Runtime > Restart session and "
            "run it from the top to build on Drive."
        )
    os.environ["HONEY_HOME"] = str(home)
    os.environ.setdefault("HONEY_MODELS", str(ROOT / "data" / "models"))
    print(f"data/ and figures/ are kept in {home}", flush=True)


def prepare(profile: str, drive: bool = False) -> str:
    """Make Colab ready and return the profile: ``colab`` for the default one where there is a GPU.

    ``drive``: keep all results on Google Drive (see ``keep_on_drive``).
    """
    install()
    sys.path.insert(0, str(ROOT))
    if drive:
        keep_on_drive()
    import torch

    machine = "No GPU here (Runtime > Change runtime type offers a T4)"
    if torch.cuda.is_available():
        profile = "colab" if profile == DEFAULT else profile
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        machine = torch.cuda.get_device_name() + (
            "" if bf16 else ", no bf16: the 4-bit teacher computes in fp16, students in float32"
        )
    print(f"{machine}; profile {profile}", flush=True)
    return profile
