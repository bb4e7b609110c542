"""Makes the environment ready, once: ``python lib/setup/install.py``.

Which environment: that of the interpreter in the variable PYTHON; else the active virtual or conda
environment; else .venv, which is created. A stamp in it (see ``digest``) says that nothing is to
be done. ``--which`` only prints the interpreter; ``--without-models`` installs less (see ``pins``).
Runs before anything is installed: standard library only, any Python 3.8 or later.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12")
VENV = ".venv"
NEEDED = "Python 3.11 or 3.12 is needed and %s is %s; "


def environment():
    """Interpreter and, where it can be told without running it, its environment's folder."""
    given = os.environ.get("PYTHON")
    if given:
        return os.path.abspath(given) if os.sep in given else given, None
    active, conda = os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")
    base = os.environ.get("CONDA_DEFAULT_ENV") == "base"
    if not active and conda and not base and not Path(conda, "condabin").is_dir():
        active = conda  # only base has condabin
    folder = active or VENV
    return os.path.join(folder, "bin", "python"), folder


def ask(python):
    """Version (``3.11``) and prefix of an interpreter; None twice if it cannot be run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.prefix)"
    try:
        return subprocess.check_output(
            [python, "-c", code], stderr=subprocess.DEVNULL, encoding="utf-8"
        ).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None, None


def create():
    """Make .venv with a supported Python: the one that runs this, else one found on the PATH."""
    known = {python: ask(python)[0] for python in (sys.executable, "python3.11", "python3.12")}
    fit = [python for python, version in known.items() if version in SUPPORTED]
    if not fit:
        sys.exit(
            NEEDED % (sys.executable, known[sys.executable]) + "install one of them, or activate "
            "an environment that has it (conda env create -f environment.yml), and run the same "
            "command again."
        )
    print(f"Creating {VENV} with Python {known[fit[0]]}.", flush=True)
    made = False
    try:
        made = subprocess.call([fit[0], "-m", "venv", VENV]) == 0
    finally:
        if not made:
            shutil.rmtree(VENV, ignore_errors=True)
    if not made:
        sys.exit(
            f"{VENV} could not be created with {fit[0]} (see above); on Debian and Ubuntu install "
            "python3-venv."
        )


def digest(part=False):
    """What a finished set-up leaves in the stamp: the hash of both lists, and if it was a part."""
    names = ("requirements.txt", "constraints.txt")
    lists = b"".join((ROOT / "lib" / name).read_bytes() for name in names)
    return hashlib.sha256(lists).hexdigest() + " without models" * part


def pins(part=False):
    """The pinned packages, and those to be installed alone; ``part``: without models, that is what
    stands above the line "# With models" in requirements.txt."""
    text = Path("lib/requirements.txt").read_text(encoding="utf-8")
    text = text.partition("\n# With models")[0] if part else text
    names = re.findall(r"^[A-Za-z0-9]\S*==\S+", text, re.M)
    return names, re.findall(r"^# no-deps: (\S+)", text, re.M)


def pip(python, *arguments):
    """Run pip quietly; a line every 20 s says where it is, its last lines are shown if it fails."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    lines, said = [], time.time()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout:
            lines.append(line.rstrip())
            if time.time() - said > 20:
                said = time.time()
                print("  " + lines[-1].strip()[:90], flush=True)
    if process.returncode:
        last = "\n".join(lines[-15:])
        sys.exit(
            f"{last}\nInstalling failed (pip's last lines are above); mend it and run the same "
            "command again."
        )


def main(arguments):
    """Install what is missing; ``--which`` prints the interpreter instead."""
    (python, prefix), part = environment(), arguments == ["--without-models"]
    if arguments == ["--which"]:
        print(python)
        return
    os.chdir(ROOT)
    if prefix == VENV and not os.path.exists(python):
        create()
    prefix = prefix or ask(python)[1] or ""
    stamp, enough = Path(prefix, "honey.stamp"), (digest(), digest(part))
    there = os.path.exists(python if os.sep in python else prefix) and stamp.is_file()
    if there and stamp.read_text(encoding="utf-8").strip() in enough:
        return
    version = ask(python)[0]
    if not version:
        sys.exit(
            f"{python} cannot be run; name another interpreter (PYTHON=...) or leave the "
            "environment that has it."
        )
    if version not in SUPPORTED:
        sys.exit(
            NEEDED % (python, version) + f"activate another environment, or none: then {VENV} is "
            "made."
        )
    (names, alone), started = pins(part), time.time()
    takes = "without models" if part else "some minutes; longer where torch brings CUDA"
    print(
        f"Installing {len(names) + len(alone)} packages into {prefix}, once ({takes}).", flush=True
    )
    quick = ["--no-compile"] * part  # half of the time; Python compiles what is imported
    pip(python, *quick, "-c", "lib/requirements.txt", *names)
    if alone:
        pip(python, "--no-deps", *alone)
    stamp.with_name("honey.stamp.new").write_text(enough[1] + "\n", encoding="utf-8")
    stamp.with_name("honey.stamp.new").replace(stamp)
    print(f"Installed in {time.time() - started:.0f} s.", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("Stopped; run the same command again to go on.")
