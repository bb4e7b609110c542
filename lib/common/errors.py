"""Errors that a user can mend, and how they reach the user."""

import difflib
import functools
import sys
from collections.abc import Iterable


class UserError(Exception):
    """One clear sentence: what is wrong, where, and what to do about it.

    Notebooks show the sentence alone, without a traceback (IPython asks the exception for
    ``_render_traceback_``); command lines print it (see command_line).
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def command_line(main):
    """Decorates a ``main``: a user's mistake ends the command with its sentence and exit code 1;
    a letter that the terminal's encoding lacks is printed as its code, and is no error."""

    @functools.wraps(main)
    def wrapped(*arguments):
        sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return main(*arguments)
        except UserError as error:
            sys.exit(str(error))

    return wrapped


def hint(name: str, known: Iterable[str], otherwise: str = "there are") -> str:
    """The end of a sentence about a wrong name: the known name that is most like it, else all."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean '{near[0]}'?" if near else f"{otherwise} {', '.join(known)}."
