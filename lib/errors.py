"""Errors that a user can mend."""


class UserError(Exception):
    """One clear sentence: what is wrong, where, and what to do about it.

    Notebooks show the sentence alone, without a traceback (IPython asks the exception for
    ``_render_traceback_``); command lines print ``str(error)``.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]
