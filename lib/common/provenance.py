"""What a result came from: commit, pinned packages, machine, seeds."""

import functools
import os
import platform
import subprocess
from importlib import metadata

from lib.common import files, paths

PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "bitsandbytes",
    "numpy",
    "pandas",
    "pingouin",
    "statsmodels",
)


def git(*arguments: str) -> str | None:
    """Output of a git command in the repository, or None outside a checkout or without git."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=paths.ROOT, check=True, encoding="utf-8", capture_output=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@functools.cache
def commit() -> str:
    """Short commit; ``unknown`` without git.

    With ``+dirty`` where tracked files differ from it, or where lib/ or notebooks/ hold files that
    git neither tracks nor ignores.
    """
    head = git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no")
    new = git("ls-files", "--others", "--exclude-standard", "--", "lib", "notebooks")
    return head + ("+dirty" if changed or new else "")


def installed(package: str) -> str | None:
    """Installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def cpu_name() -> str:
    """The processor's name as Linux gives it, else what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def device_name() -> str:
    """Name of the GPU that torch would use, else of the processor with its core count."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"{cpu_name()}, {os.cpu_count()} cores"


def stamp(**more: object) -> dict:
    """Provenance of a result as a JSON-ready dict; ``more`` adds profile, seeds, models, hashes."""
    return {
        "commit": commit(),
        "requirements_sha256": files.sha256_file(paths.REQUIREMENTS),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "packages": {name: installed(name) for name in PACKAGES},
        **more,
    }
