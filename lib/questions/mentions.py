"""Whether an explanation names the other choices (a rough measure of contrast) or repeats itself.

Only literal names count: a choice that is paraphrased, inflected ("swim", "swimming") or named by
its letter is missed, and a choice that is an everyday word ("have", "place") may be met by chance.
"""

import functools
import re
from collections import Counter
from collections.abc import Sequence

PLURALS = (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", ""))


@functools.lru_cache(maxsize=256)  # the texts of a question come one after another
def name_pattern(choice: str) -> re.Pattern:
    """Pattern of a choice as whole words: any case, singular or plural, blanks or hyphens.

    A leading article is optional. Only the last word may change its number, by -s, -es, -y/-ies.
    """
    words = re.split(r"[\s-]+", choice.strip().lower())
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    forms = sorted(_forms(words[-1]), key=len, reverse=True)
    last = "|".join(re.escape(form) for form in forms)
    start = "".join(re.escape(word) + r"[\s-]+" for word in words[:-1])
    return re.compile(rf"(?<!\w){start}(?:{last})(?!\w)", re.IGNORECASE)


def _forms(word: str) -> set[str]:
    """The word, its singular where it looks like a plural, and the plural of that."""
    one = word
    for ending, singular in () if word.endswith("ss") else PLURALS:
        if word.endswith(ending) and len(word) - len(ending) + len(singular) >= 3:
            one = word[: -len(ending)] + singular
            break
    if re.search(r"[^aeiou]y$", one):
        return {word, one, one[:-1] + "ies"}
    return (
        {word, one, one + "s", one + "es"}
        if one.endswith("o")
        else {word, one, one + ("es" if re.search(r"(?:s|x|z|ch|sh)$", one) else "s")}
    )


def find_choices(text: str, choices: Sequence[str], pattern=name_pattern) -> list[list[int]]:
    """Where the text names each choice: for every choice the positions at which its names start.

    Longer choices are looked for first and taken out, so that "store" is not found within "grocery
    store"; of equally long ones the first in the alphabet goes first. Choices that differ only in
    case share their positions; a blank one has none. ``pattern`` turns a choice in lower case into
    what to look for.
    """
    names = [choice.strip().lower() for choice in choices]
    positions: dict[str, list[int]] = {"": []}
    for name in sorted(set(names) - {""}, key=lambda name: (-len(name), name)):
        positions[name] = [match.start() for match in pattern(name).finditer(text)]
        text = pattern(name).sub(lambda match: "\0" * len(match[0]), text)  # keeps the positions
    return [positions[name] for name in names]


def mask(text: str, choices: Sequence[str], marks: Sequence[str]) -> str:
    """The text with each name of a choice replaced by the choice's mark, found as ``find_choices``
    finds them (longer ones first; of equal choices the first one's mark)."""
    names = [choice.strip().lower() for choice in choices]
    for name in sorted(set(names) - {""}, key=lambda name: (-len(name), name)):
        text = name_pattern(name).sub(chr(0xE000 + names.index(name)), text)  # private use: no word
    for i, mark in enumerate(marks):
        text = text.replace(chr(0xE000 + i), mark)
    return text


def mentioned(text: str, choices: Sequence[str], answer: int) -> float:
    """Share (0 to 1) of the wrong choices that the text names; nan if there is none.

    ``answer`` is the index of the right choice. Choices with the same text count once, and not at
    all where they read like the answer.
    """
    names = [choice.strip().lower() for choice in choices]
    named = dict(zip(names, map(bool, find_choices(text, choices)), strict=True))
    wrong = set(names) - {names[answer], ""}
    return sum(named[name] for name in wrong) / len(wrong) if wrong else float("nan")


def degenerate(text: str) -> bool:
    """Whether some three words in a row occur at least three times."""
    words = text.lower().split()
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return max(triples.values(), default=0) >= 3
