"""Does an explanation speak for its student's own answer?

Measures of the text alone, with the literal names of lib.questions.mentions: a choice that is
paraphrased is not seen. What a reader makes of a masked explanation: lib.evaluation.reader.
"""

import re

import numpy as np

from lib.questions.mentions import find_choices, mask

OWN, OTHER = "<own>", "<other>"  # stand for the choices in AGAINST
NAME = r"[\"'“]?(?:\([a-h]\) ?)?(?:an? |the )?<(?:own|other)>[\"'”]?"
MINE = NAME.replace("own|other", "own")
JOINED = r"(?:, | ?/ ?|,? (?:and|or|nor) )"  # between the names of a list
LISTED = rf"(?:{NAME}(?:, | ?/ ?))*(?:{NAME},? (?:and|or|nor) )?"
REST = rf"(?:{JOINED}{NAME})*"
NEGATED = (
    r"(?:(?:is|are|was|were|do|does|did|has|have|ca|could|would|should|may|might|will)(?:n't| not)"
    r"|cannot)\b(?! (?:the )?(?:only|just|merely|necessarily|always)\b)"
)
UNFIT = (
    r"(?:is|are|would be) (?:\w+ly )?(?:less|irrelevant|unrelated|unsuitable|inappropriate"
    r"|incorrect|unlikely)\b"
)
AGAINST = [  # on a text in which OWN stands for the own answer and OTHER for the other choices
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # the other options (a) <other> and (b) <own>; other choices, such as <own>
        r"\b(?:other|remaining|alternative) (?:answer )?(?:options|choices|answers|alternatives)"
        rf"(?:,? (?:such as|like|including|namely)|:| ?\()? ?(?:in |at |on )?{LISTED}{MINE}"
        rf"(?![\"'”]?{REST}\)?,? (?:which )?(?:may|might|can|could) also\b)",
        # unlike <own>; rather than <other> or <own>
        r"\b(?:unlike|rather than|instead of|as opposed to|(?:in contrast|compared) (?:to|with)"
        r"|(?<!, )not|neither|nor|than) (?:in |at |on |to )?"
        rf"(?:{MINE}|{LISTED}(?<=(?:nd|or) ){MINE}|{LISTED}{MINE}(?={JOINED}{NAME}))",
        # <own>, <other> and <other> are not ...; <own>: this choice does not ...
        rf"{MINE}{REST}\)?(?:,|: this(?: \w+)?)? (?:\w+ly |also |all )?(?:{NEGATED}|{UNFIT})",
        # while <own> is ..., it does not ...
        rf"\b(?:while|although|though) [^.,;]*{MINE}[^.,;]*, (?:it|they|this|that) "
        rf"(?:\w+ )?(?:{NEGATED}|{UNFIT})",
    )
]


def first_named(text: str, choices: list[str]) -> int | None:
    """Index of the choice that the text names first (of equal choices the first), or None."""
    starts = [(min(found), i) for i, found in enumerate(find_choices(text, choices)) if found]
    return min(starts)[1] if starts else None


def agrees(text: str, choices: list[str], answer: int | None) -> float:
    """1.0 if the choice that the text names first is the student's own answer, else 0.0; nan if it
    names none or no answer was read.

    First, as explanations open with what they explain; those that contrast name others later.
    """
    first = first_named(text, choices)
    if first is None or answer is None:
        return np.nan
    return float(_plain(choices[first]) == _plain(choices[answer]))


def argues_against(text: str, choices: list[str], answer: int | None) -> float:
    """1.0 if some clause of the text speaks against the student's own answer, else 0.0; nan if no
    answer was read.

    A clause counts (AGAINST) that lists the answer among "the other options", sets something above
    it ("rather than ...", "unlike ..."), or denies something of it ("... is not suitable", "while
    ..., it does not"). A text may speak for the answer elsewhere. Of 40 clauses found in texts of
    SmolLM2-135M students 39 were against it; what is said without its name, or of "the
    other options" at large, is missed.
    """
    if answer is None:
        return np.nan
    own = _plain(choices[answer])
    marked = mask(text, choices, [OWN if _plain(name) == own else OTHER for name in choices])
    return float(any(pattern.search(marked) for pattern in AGAINST))


def _plain(choice: str) -> str:
    return choice.strip().lower()
