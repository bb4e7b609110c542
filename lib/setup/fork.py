"""A profile of one's own to change: ``python -m lib.setup.fork mine --from cpu`` (``make new``).

It extends another profile; the settings that are changed most often stand in it as comments, with
the other's values, and what lib.common.profile says of them.
"""

import argparse
import re
import textwrap
from pathlib import Path
from typing import Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile, Settings

CHANGED = {  # section -> the settings that are changed most often
    "task": "name source train dev test",
    "teacher": "source model precision counterfactuals",
    "training": "steps batch_size accumulation learning_rate schedule evaluate_every share tags",
    "evaluation": "explained explanation_tokens reader reader_questions also",
}
WHOLE = ("students", "arms", "seeds")
HEAD = """\
# What is not said here is taken over from {parent}; `make plan PROFILE={name}` says what would run.
name: {quoted}
extends: {parent}
description: {parent}, changed (say here what your run is to show)

# To change a setting, take away the `#` of its line and of its section's line above it.
"""


def comment(text: str) -> list[str]:
    """A docstring as lines of comment, without its marks of code."""
    plain = " ".join(text.split()).replace("``", "`")
    return textwrap.wrap(plain, 98, initial_indent="# ", subsequent_indent="# ")


def line(name: str, value: object, indent: str = "") -> str:
    """A setting as a line of YAML."""
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"{indent}{name}: {flow.removesuffix('...' + chr(10)).strip()}"


def choices(annotation: object) -> list[str]:
    """The words that a setting may take, if it takes only some."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [str(word) for word in parts]
    words = [word for part in parts for word in choices(part)]
    return [*words, "a number"] if words and len(parts) > 1 else words


def without_defaults(value: object) -> object:
    """A list of sections without what is as by default, so that it stays short."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [without_defaults(one) for one in value] if isinstance(value, list) else value


def section(title: str, settings: Settings, names: list[str]) -> list[str]:
    """A section of a profile as lines of comment: what it is, and settings with their values."""
    told = ["", *comment(type(settings).__doc__), f"# {title}:"]
    for name in names:
        words = choices(type(settings).model_fields[name].annotation)
        said = line(name, without_defaults(getattr(settings, name)), "#   ")
        told.append(f"{said}   # {' | '.join(words)}" if words else said)
    return told


def text(name: str, parent: Profile) -> str:
    """The new profile's file."""
    quoted = line("name", name).removeprefix("name: ")
    told = [HEAD.format(name=name, quoted=quoted, parent=parent.name).rstrip()]
    told += ["", *comment(type(parent.students[0]).__doc__)]
    told += [line(key, without_defaults(getattr(parent, key)), "# ") for key in WHOLE]
    for title, names in CHANGED.items():
        told += section(title, getattr(parent, title), names.split())
    return "\n".join(told) + "\n"


def write(name: str, parent: Profile) -> Path:
    """Write the new profile beside the others, or into the folder PROFILES, and read it back;
    UserError for a name that is taken or cannot be one."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise UserError(
            f"NAME={name or '(nothing)'} cannot name a profile; take letters, digits, _ and -, a "
            "letter first: make new NAME=mine FROM=cpu."
        )
    path = profile.home() / f"{name}.yaml"
    taken = profile.located().get(name, path)
    if taken.exists():
        raise UserError(f"{paths.shown(taken)} is there already; take another NAME, or edit it.")
    files.write_text(path, text(name, parent))
    profile.load(name)
    return path


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.setup.fork", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("name")
    parser.add_argument("--from", default="cpu", dest="parent")
    given = parser.parse_args(arguments)
    path = write(given.name, profile.load(given.parent))
    print(
        f"Profile:  {paths.shown(path)}\nNext:     change it, then make plan PROFILE={given.name}"
    )


if __name__ == "__main__":
    main()
