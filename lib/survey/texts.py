"""What the survey page says and asks, for both kinds of page, from texts.yaml."""

from dataclasses import dataclass
from functools import cache

from lib.common import files, paths

PATH = paths.LIB / "survey" / "texts.yaml"


@dataclass(frozen=True)
class Kind:
    """One kind of survey page: ratings or errors."""

    asks: list  # name, text and the scale's words of all that a page asks
    passing: dict[str, int]  # the scores that pass the attention check
    items: int  # that a participant sees
    minutes: float  # that each of them takes
    shown: list[bool]  # whether the explanation is shown
    folder: str  # of the run
    equal: str  # what straight-lining is
    heading: str
    invitation: str
    how: list[str]  # what is shown, what is asked, what to keep in mind
    check: str  # the attention check


@cache
def kinds() -> dict[str, Kind]:
    """Both kinds of page by name."""
    return {name: Kind(**kind) for name, kind in files.read_yaml(PATH)["kinds"].items()}


@cache
def facts() -> dict[str, tuple[str, dict[str, str]]]:
    """Optional facts by name: the question, and the words on the page by the value in the file."""
    return files.read_yaml(PATH)["facts"]
