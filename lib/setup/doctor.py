"""What this machine can run: ``python -m lib.setup.doctor [PROFILE]`` (``make doctor``).

What the machine has, then a line a profile: that it runs here, or what is missing of what its
section ``needs`` says. Exit code 1 if the named profile (else cpu) cannot run. Downloads nothing.
"""

import argparse
import os
import platform
import sys
import urllib.error
import urllib.request

import psutil

from lib.common import paths, profile
from lib.common.errors import UserError, command_line

AUTHORS = "https://raw.githubusercontent.com"  # where their released texts are
AMOUNTS = {
    "memory_gb": "{:g} GB of memory",
    "disk_gb": "{:g} GB of free disk",
    "gpu_gb": "a GPU of {:g} GB",
}


def unreachable(address: str) -> str:
    """Why an address does not answer within 5 s; "" if it does (a refusal is an answer, too)."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError as error:
        return f"it answers {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return ""


def look() -> dict:
    """What this machine has: amounts in GB (1e9 bytes), and why the network is not reached."""
    import torch
    from huggingface_hub import constants

    built = next(folder for folder in (paths.BUILT, *paths.BUILT.parents) if folder.exists())
    texts = any(paths.RAW.glob("*-llama-train*")) or os.environ.get("HONEY_SOURCE")
    here = {
        "memory_gb": psutil.virtual_memory().total / 1e9,
        "free_gb": psutil.virtual_memory().available / 1e9,
        "disk_gb": psutil.disk_usage(str(built)).free / 1e9,
        "gpu": "none that torch reaches",
        "gpu_gb": 0.0,
        "bf16": torch.cpu._is_avx512_bf16_supported(),
        "hub": unreachable(constants.ENDPOINT),
        "authors": "" if texts else unreachable(AUTHORS),
    }
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        here |= {"gpu": card.name, "gpu_gb": card.total_memory / 1e9, "bf16": bf16}
    return here


def describe(here: dict) -> str:
    """The machine in lines."""
    bf16 = "with bf16" if here["bf16"] else "without bf16 (students train in float32)"
    computed = "on the GPU" if here["gpu_gb"] else f"on {psutil.cpu_count()} cores"
    return f"""\
Python     {platform.python_version()} in {sys.prefix}
memory     {here["memory_gb"]:.1f} GB, {here["free_gb"]:.1f} GB of it free
disk       {here["disk_gb"]:.1f} GB free in {paths.BUILT}
GPU        {here["gpu"]}{f", {here['gpu_gb']:.0f} GB" * bool(here["gpu_gb"])}
computes   {computed}, {bf16}
model hub  {f"not reached ({here['hub']})" if here["hub"] else "answers"}
"""


def withheld(reference: str, hub: str) -> str:
    """Why a model of the hub cannot be had; "" if it is in the cache or may be downloaded.

    ``hub``: why the hub is not reached, or "".
    """
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    name, _, revision = reference.removeprefix("hub:").partition("@")
    if huggingface_hub.try_to_load_from_cache(name, "config.json", paths.MODELS / "hub", revision):
        return ""
    if hub:
        return f"the model hub for {name}"
    try:
        huggingface_hub.auth_check(name)
    except GatedRepoError:
        return f"access to {name} (ask for it on the hub, then `hf auth login`)"
    except Exception as error:  # offline mode, a wrong name, a proxy
        return f"{name} on the hub ({type(error).__name__})"
    return ""


def lacking(settings: profile.Profile, here: dict) -> list[str]:
    """What a profile needs and the machine has not, in words."""
    amounts = settings.needs.model_dump(exclude_none=True, include=set(AMOUNTS))
    gaps = [AMOUNTS[name].format(gb) for name, gb in amounts.items() if gb > here[name]]
    if settings.needs.gpu_gb and settings.teacher.precision == "bfloat16" and not here["bf16"]:
        gaps.append("bf16")
    hub = [name for name in settings.models if name.startswith("hub:")]
    gaps += filter(None, (withheld(name, here["hub"]) for name in hub))
    datasets = [settings.task, *settings.evaluation.also]
    if here["authors"] and any(dataset.source == "published" for dataset in datasets):
        gaps.append(f"the authors' texts ({AUTHORS}: {here['authors']})")
    return gaps


def verdict(settings: profile.Profile, here: dict) -> str:
    """One sentence: whether the profile runs here, and what it takes."""
    gaps = lacking(settings, here)
    if gaps:
        return f"does not run here; missing: {', '.join(gaps)}"
    amounts = settings.needs.model_dump(exclude_none=True)
    minutes = amounts.pop("minutes", None)
    takes = [AMOUNTS[name].format(gb) for name, gb in amounts.items()]
    cores = "" if "gpu_gb" in amounts else " on two cores"
    takes += [f"{minutes:g} min{cores}"] if minutes else []
    return f"runs here ({', '.join(takes) or 'what it takes was not measured'})"


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Print machine and verdicts; the exit code."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__.split("\n\n")[0])
    parser.add_argument("profile", nargs="?", default="cpu")
    asked = profile.load(parser.parse_args(arguments).profile)
    here = look()
    print(describe(here))
    for name in profile.names():
        try:
            print(f"{name:22} {verdict(profile.load(name), here)}")
        except UserError as error:
            print(f"{name:22} {error}")
    gaps = lacking(asked, here)
    print(f"\n{asked.name}: {asked.description}\n{asked.name} {verdict(asked, here)}")
    command = "reproduce" if not gaps else "plan"
    print(f"Next: make {command} PROFILE={asked.name}")
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main())
