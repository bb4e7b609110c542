"""Makes the environment ready, once: ``python lib/setup/install.py``.

Which environment: that of the interpreter in the variable PYTHON; else the active virtual or conda
environment; else .venv, which is created. A stamp in it (see ``digest``) says that nothing is to
be done. ``--which`` only prints the interpreter.
Runs before anything is installed: standard library only, any Python 3.8 or later.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "lib")
SUPPORTED = ("3.11", "3.12")
VENV = ".venv"
PYTHONS = [sys.executable] + ["python" + version for version in SUPPORTED]  # that may create it


def stop(sentence, code=1):
    """End with one sentence."""
    sys.stderr.write(sentence + "\n")
    raise SystemExit(code)


def environment():
    """Interpreter and, where it can be told without running it, its environment's folder."""
    given = os.environ.get("PYTHON")
    if given:
        return os.path.abspath(given) if os.sep in given else given, None
    active = os.environ.get("VIRTUAL_ENV")
    conda = os.environ.get("CONDA_PREFIX")
    if (
        not active
        and conda
        and os.environ.get("CONDA_DEFAULT_ENV") != "base"
        and not os.path.isdir(os.path.join(conda, "condabin"))
    ):  # only base has condabin
        active = conda
    if active:
        return os.path.join(active, "bin", "python"), active
    return os.path.join(VENV, "bin", "python"), VENV


def ask(python):
    """Version (``3.11``) and prefix of an interpreter, or None if it cannot be run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.prefix)"
    try:
        done = subprocess.run(
            [python, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()


def create():
    """Make .venv with a supported Python: the one that runs this, else one found on the PATH."""
    for python in PYTHONS:
        found = ask(python)
        if found and found[0] in SUPPORTED:
            break
    else:
        stop(
            "Python 3.11 or 3.12 is needed and %s is %d.%d; install one of them, or activate an "
            "environment that has it (conda env create -f environment.yml), and run the same "
            "command again." % ((sys.executable,) + sys.version_info[:2])
        )
    print("Creating %s with Python %s." % (VENV, found[0]), flush=True)
    try:
        done = subprocess.run(
            [python, "-m", "venv", VENV],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        stop(
            "%s\n%s could not be created with %s (see above); on Debian and Ubuntu install "
            "python3-venv." % (done.stdout.strip(), VENV, python)
        )


def digest():
    """What a finished set-up leaves in the stamp: the hash of both lists of packages."""
    whole = hashlib.sha256()
    for name in ("requirements.txt", "constraints.txt"):
        with open(os.path.join(HERE, name), "rb") as file:
            whole.update(file.read())
    return whole.hexdigest()


def pip(python, *arguments):
    """Run pip quietly; a line every 20 s says where it is, its last lines are shown if it fails."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check"] + list(arguments)
    lines, said = [], time.time()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    ) as process:
        for line in process.stdout:
            lines.append(line.rstrip())
            if time.time() - said > 20:
                said = time.time()
                print("  " + lines[-1].strip()[:90], flush=True)
    if process.returncode:
        stop(
            "\n".join(lines[-15:]) + "\nInstalling failed (pip's last lines are above); mend it "
            "and run the same command again."
        )


def main(arguments):
    """Install what is missing; ``--which`` prints the interpreter instead."""
    if arguments not in ([], ["--which"]):
        stop("lib/setup/install.py takes no arguments, or --which; `make setup` runs it.", 2)
    python, prefix = environment()
    if arguments:
        print(python)
        return
    os.chdir(ROOT)
    if prefix == VENV and not os.path.exists(python):
        create()
    if prefix is None:
        prefix = (ask(python) or [None, None])[1]
    stamp, wanted = os.path.join(prefix or "", "honey.stamp"), digest()
    if prefix and os.path.exists(python if os.sep in python else prefix) and os.path.isfile(stamp):
        with open(stamp) as file:
            if file.read().strip() == wanted:
                return
    found = ask(python)
    if not found:
        stop(
            "%s cannot be run; name another interpreter (PYTHON=...) or leave the environment "
            "that has it." % python
        )
    if found[0] not in SUPPORTED:
        stop(
            "Python 3.11 or 3.12 is needed and %s is %s; activate another environment, or none: "
            "then %s is made." % (python, found[0], VENV)
        )
    with open("lib/requirements.txt", encoding="utf-8") as file:
        text = file.read()
    alone = re.findall(r"^# no-deps: (\S+)", text, re.M)
    count = len(re.findall(r"^[A-Za-z0-9]\S*==", text, re.M)) + len(alone)
    print(
        "Installing %d packages into %s, once (some minutes; longer where torch brings CUDA)."
        % (count, prefix),
        flush=True,
    )
    started = time.time()
    pip(python, "-r", "lib/requirements.txt")
    if alone:
        pip(python, "--no-deps", *alone)
    with open(stamp + ".new", "w") as file:
        file.write(wanted + "\n")
    os.replace(stamp + ".new", stamp)
    print("Installed in %d s." % (time.time() - started), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        stop("Stopped; run the same command again to go on.", 130)
