"""What the machine is and has, for lib/setup/doctor.py to judge; installs and downloads nothing.

Runs before anything is installed: standard library only, any Python 3.8 or later.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request

from lib.setup import install

# Asked of the environment's own Python; torch is never loaded by the one that runs this.
ASK = """import importlib.util, json, torch
from huggingface_hub import constants
try:
    from bitsandbytes import __version__ as bitsandbytes
except Exception:
    bitsandbytes = None
cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
print(json.dumps({"torch": torch.__version__, "build": torch.version.cuda, "cuda": cuda,
                  "bitsandbytes": bitsandbytes, "hub": constants.ENDPOINT,
                  "jupyterlab": bool(importlib.util.find_spec("jupyterlab"))}))"""
PACKAGES, PACKAGES_CUDA = 2.4, 8  # GB of disk; the second, where torch brings CUDA, is estimated
NVIDIA_SMI = [
    "nvidia-smi",
    "--query-gpu=name,memory.total,compute_cap,driver_version",
    "--format=csv,noheader",
]


def run(command, timeout=20):
    """What a command prints on standard output; "" if it is absent, fails or takes too long."""
    try:
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=timeout,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def read(path):
    """Text of a file; "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def pythons():
    """The environment's Python and folder, whether its packages are ready, whether it is there or
    can be made, and ``tried``: [(interpreter, version or None)] in set-up's order."""
    python, folder = install.environment()
    there = install.ask(python)
    tried, creatable = [(python, there and there[0])], bool(there)
    if there:
        folder = there[1]
    elif folder == install.VENV:
        tried = [(name, (install.ask(name) or [None])[0]) for name in install.PYTHONS]
        fit = [name for name, version in tried if version in install.SUPPORTED]
        creatable = not fit or bool(run([fit[0], "-c", "import ensurepip, venv; print(1)"]))
    stamp = read(os.path.join(folder, "honey.stamp")) if folder else ""
    return {
        "python": python,
        "folder": folder or python,
        "ready": stamp.strip() == install.digest(),
        "creatable": creatable,
        "tried": tried,
    }


def packages(python):
    """What ASK prints, as a dict; None if it fails or takes more than two minutes."""
    try:
        return json.loads(run([python, "-c", ASK], timeout=120).splitlines()[-1])
    except (IndexError, ValueError):
        return None


def memory_limit(own, reader=read):
    """Smallest limit in bytes of the control groups in ``own`` (/proc/self/cgroup), or None."""
    limits = []
    for kinds, path in re.findall(r"^\d+:([^:]*):(.*)$", own, re.M):
        base, name = (
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            if kinds
            else ("/sys/fs/cgroup", "memory.max")
        )
        if not kinds or "memory" in kinds.split(","):
            parts = [part for part in path.split("/") if part]  # a container may show none of them
            limits += [
                reader("/".join([base] + parts[:depth] + [name])).strip()
                for depth in range(len(parts) + 1)
            ]
    return min([int(limit) for limit in limits if limit.isdigit()], default=None)


def memory(meminfo, limit):
    """GB of memory that there are and that are free now, from /proc/meminfo and a limit or None."""
    lines = re.findall(r"^Mem(?:Total|Available): +(\d+)", meminfo, re.M)
    found = [int(kib) * 1024 for kib in lines] or [  # not Linux
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    ]
    return tuple(min(size, limit or size) / 1e9 for size in (found[0], found[-1]))


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus(text):
    """Largest GPU first, from what NVIDIA_SMI prints: name, MiB of memory, driver, whether bf16."""
    rows = re.findall(r"^(.+), *(\d+) MiB, *([^,]+), *(\S+)$", text, re.M)
    found = [
        {
            "name": name,
            "memory": int(size),
            "driver": driver,
            "bf16": not re.match(r"[1-7]\.", level),
        }
        for name, size, level, driver in rows
    ]
    return sorted(found, key=lambda gpu: -gpu["memory"])


def is_offline(variables):
    """Whether huggingface_hub is told to stay off the network."""
    told = variables.get("HF_HUB_OFFLINE") or variables.get("TRANSFORMERS_OFFLINE") or ""
    return told.upper() in ("1", "ON", "YES", "TRUE")


def unreachable(address):
    """Why a model hub does not answer a HEAD request within 5 s; "" if it does."""
    if not re.match("https?://", address):
        return "HF_ENDPOINT is no http(s) address"
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError as error:  # an answer, unless a proxy's or a broken server's
        return "" if error.code in (401, 404, 405, 429) else "it answers %d" % error.code
    except Exception as error:  # whatever else went wrong, it was not reached
        return str(getattr(error, "reason", "") or error) or type(error).__name__
    return ""


def has_token(variables):
    """Whether there is an access token where huggingface_hub looks for one; it is not read."""
    cache = variables.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = variables.get("HF_HOME") or os.path.join(cache, "huggingface")
    path = os.path.expanduser(variables.get("HF_TOKEN_PATH") or os.path.join(home, "token"))
    return bool(
        variables.get("HF_TOKEN")
        or variables.get("HUGGING_FACE_HUB_TOKEN")
        or os.path.isfile(path)
        and os.path.getsize(path)
    )


def free_disk(folder):
    """Free GB where a folder is or will be made."""
    folder = os.path.abspath(folder)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free / 1e9


def look():
    """All that lib/setup/doctor.py judges; the working folder must be the repository."""
    found = pythons()
    answer = packages(found["python"]) if found["ready"] else None
    home = os.environ.get("HONEY_HOME") or "."
    hub = os.environ.get("HF_ENDPOINT") or (answer or {}).get("hub")
    offline = is_offline(os.environ)
    total, free = memory(read("/proc/meminfo"), memory_limit(read("/proc/self/cgroup")))
    cards = gpus(run(NVIDIA_SMI))
    return dict(
        found,
        answer=answer,
        setup=0 if found["ready"] else PACKAGES_CUDA if cards else PACKAGES,
        make=run(["make", "--version"]),
        git=shutil.which("git"),
        compiler=shutil.which("gcc") or shutil.which("cc"),
        memory=total,
        memory_free=free,
        disk=free_disk(home),
        cores=cores(),
        texts=bool(glob.glob(os.path.join(home, "data/raw/*-train.parquet"))),
        cpuinfo=read("/proc/cpuinfo"),
        gpus=cards,
        token=has_token(os.environ),
        hub=hub,
        offline=offline,
        hub_problem=unreachable(hub) if hub and not offline else "",
    )
