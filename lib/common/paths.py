"""Absolute names of the compendium's folders (tests move the built ones with HONEY_HOME)."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / Path(os.environ.get("HONEY_HOME", "")).expanduser()  # all that is built goes there

LIB = ROOT / "lib"
NOTEBOOKS = ROOT / "notebooks"
PROFILES = NOTEBOOKS / "profiles"
OWN_PROFILES = None  # a second folder of them, outside the repository
if os.environ.get("PROFILES"):
    OWN_PROFILES = (ROOT / Path(os.environ["PROFILES"]).expanduser()).resolve()
PROMPTS = LIB / "prompts"
REQUIREMENTS = LIB / "requirements.txt"

MINICQA = ROOT / "data" / "minicqa"
PUBLISHED = ROOT / "data" / "published"

RAW = BUILT / "data" / "raw"
MODELS = ROOT / Path(os.environ.get("HONEY_MODELS") or BUILT / "data" / "models").expanduser()
RUNS = BUILT / "data" / "runs"
TEXTS = BUILT / "data" / "texts"  # the teacher's, shared by all profiles that ask for the same
FIGURES = BUILT / "figures"


def shown(path: Path) -> str:
    """The path as a reader sees it: relative to the repository where it lies inside, else whole."""
    path = Path(path)
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
