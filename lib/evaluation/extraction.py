"""Which choice a student's text gives as its answer: the one rule, and others to compare it with.

The rule of all results is ``extract`` ("standard"). The others show how far a result hangs on it.
"""

import re
import unicodedata

from lib.questions.mentions import find_choices
from lib.questions.question import LETTERS
from lib.students.objectives import answer

ANSWER = re.compile(r"\bthe answer is\b\s*:?\s*", re.IGNORECASE)


def extract(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the choice that a student's text gives as its answer, or None.

    The one rule for all students: what follows the last "the answer is", up to the end of the
    line, without closing punctuation, quotes or case, must equal a choice; a leading letter such
    as "(B)" is allowed and, alone, is enough. Of equal choices the first counts.
    """
    parts = ANSWER.split(text)
    if len(parts) < 2:
        return None
    given = _plain(parts[-1].split("\n", 1)[0])
    plain = [_plain(choice) for choice in choices]
    if given in plain:
        return plain.index(given)
    letter = re.fullmatch(r"\(?([a-h])\)\s*(.*)", given)
    if letter:
        index, rest = LETTERS.index(letter[1].upper()), letter[2].strip()
        if index < len(choices) and rest in ("", plain[index]):
            return index
    return None


def _plain(text: str) -> str:
    return " ".join(text.strip().strip(" .!,;:\"'").lower().split())


def extract_strict(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the choice whose answer sentence is the whole text, letter for letter, or None.

    CF students are taught to explain first, so this is not fair to them; ``extract_ending`` is.
    """
    sentences = [answer(choice) for choice in choices]
    return sentences.index(text.strip()) if text.strip() in sentences else None


def extract_ending(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the choice with whose answer sentence the text ends, letter for letter, or None."""
    ends = [re.search(rf"(?<!\S){re.escape(answer(choice))}\s*\Z", text) for choice in choices]
    return next((i for i, end in enumerate(ends) if end), None)


def extract_lenient(text: str, choices: tuple[str, ...]) -> int | None:
    """Index of the choice named last after the last "the answer is", else last in the text.

    None where none is named. Modelled on the authors' rule that an answer occurs somewhere; but
    whole words only ("ear" is not in "bear"), and longer choices are taken out first ("store" is
    not in "grocery store"). Case, blanks, invisible marks and Unicode's compatibility forms do not
    matter. Letters are not read, nor is "not".
    """
    text = _folded(text)
    parts = ANSWER.split(text)
    found = _last_named(parts[-1], choices) if len(parts) > 1 else None
    return _last_named(text, choices) if found is None else found


def _last_named(text: str, choices: tuple[str, ...]) -> int | None:
    positions = find_choices(text, [_folded(choice) for choice in choices], _whole_words)
    last = [max(of_choice, default=-1) for of_choice in positions]
    return last.index(max(last)) if max(last) >= 0 else None  # of equal choices the first


def _whole_words(name: str) -> re.Pattern:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def _folded(text: str) -> str:
    """Compatibility form, without case, invisible marks (such as right-to-left), extra blanks."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
    shown = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return " ".join(shown.split())


# The narrowest first; "standard" is the one that all results use.
RULES = {
    "strict": extract_strict,
    "ending": extract_ending,
    "standard": extract,
    "lenient": extract_lenient,
}


def is_right(answered: int | None, gold: int, choices: list[str]) -> bool:
    """Whether a read answer is the right one; a wrong index with the right choice's text counts."""
    return answered is not None and (
        answered == gold or _folded(choices[answered]) == _folded(choices[gold])
    )
