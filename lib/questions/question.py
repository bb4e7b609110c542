"""A multiple-choice question, and how a row of a dataset becomes one.

A dataset is one file, lib/prompts/<dataset>.yaml: its section ``task`` names where the questions
are and, as ``reader``, a parser (a class here: the columns of a row with their types, and the
question that it asks); the rest are worked examples.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from lib.common import files, paths, profile
from lib.common.errors import UserError

LETTERS = "ABCDEFGH"
FINAL = re.compile(r"[.!?][\"')\]\u201d\u2019]*$")  # a text that ends as a sentence does


@dataclass(frozen=True)
class Question:
    """One multiple-choice question; ``answer`` is an index into ``choices``.

    ValueError if there are fewer than 2 or more than 8 choices, or a text is blank.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self):
        if not 2 <= len(self.choices) <= len(LETTERS):
            raise ValueError(f"{len(self.choices)} choices; give it 2 to {len(LETTERS)}")
        if not all(text.strip() for text in (self.question, *self.choices)):
            raise ValueError("the question or a choice is blank")

    @property
    def answer_text(self) -> str:
        """The right choice."""
        return self.choices[self.answer]

    @property
    def wrong(self) -> list[int]:
        """Indices of the wrong choices, in order (indices, so equal texts do no harm)."""
        return [i for i in range(len(self.choices)) if i != self.answer]

    def lettered(self) -> str:
        """The choices as ``(A) fox (B) hen ...`` on one line."""
        return lettered(self.choices)


def lettered(choices: Sequence[str]) -> str:
    """Choices as ``(A) fox (B) hen ...`` on one line."""
    return " ".join(f"({LETTERS[i]}) {text}" for i, text in enumerate(choices))


class Row(BaseModel):
    """A row of a dataset by its columns, of which nothing is converted; others are passed over.

    Its ``ask`` makes the question, or None where there is nothing to ask. ``position`` (as
    "test-00012") says where the row stands.
    """

    model_config = ConfigDict(strict=True)


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[list[str], BeforeValidator(lambda x: list(x) if hasattr(x, "dtype") else x)]
Id = Annotated[str, BeforeValidator(lambda x: str(x) if type(x) is int else x)]


class Choices(Row):
    """CommonsenseQA's choices."""

    label: Texts
    text: Texts


class CommonsenseQA(Row):
    """CommonsenseQA's schema: the answer is the label of a choice."""

    id: Id
    question: Text
    choices: Choices
    answerKey: str

    def ask(self, position: str) -> Question:
        labels, texts = self.choices.label, self.choices.text
        if not len(set(labels)) == len(labels) == len(texts):
            raise ValueError(f"{len(texts)} choices have the labels {', '.join(labels)}")
        return Question(self.id, self.question, tuple(texts), index_of(self.answerKey, labels))


class Cqa(Row):
    """The authors' CommonsenseQA tables: choices and answer are texts."""

    id: Id
    question: Text
    choices: Texts
    answer: str

    def ask(self, position: str) -> Question:
        choices = tuple(choice.strip() for choice in self.choices)
        return Question(self.id, self.question, choices, index_of(self.answer, self.choices))


class StrategyQA(Row):
    """A yes/no question, whose answer is true or false."""

    qid: Id
    question: Text
    answer: bool

    def ask(self, position: str) -> Question:
        return Question(self.qid, self.question, ("yes", "no"), 0 if self.answer else 1)


class Esnli(Row):
    """A pair of (e-)SNLI: label 0 entailment, 1 neutral, 2 contradiction.

    Rows have no ids. Nothing is asked of SNLI's rows without an agreed label (-1).
    """

    premise: Text
    hypothesis: Text
    label: Annotated[int, Field(ge=-1, le=2)]

    def ask(self, position: str) -> Question | None:
        if self.label == -1:
            return None
        parts = (self.premise, self.hypothesis)
        premise, hypothesis = (text if FINAL.search(text) else f"{text}." for text in parts)
        asked = (
            f"Premise: {premise} Hypothesis: {hypothesis} "
            "What is the relation between premise and hypothesis?"
        )
        choices = ("entailment", "neutral", "contradiction")
        return Question(f"esnli-{position}", asked, choices, self.label)


class YesNo(CommonsenseQA):
    """CommonsenseQA's schema as a yes/no question about one of its choices.

    Rows take turns: one is asked about its right choice, the next about a wrong one, drawn by its
    id.
    """

    def ask(self, position: str) -> Question:
        asked = super().ask(position)
        wrong = int(position.rpartition("-")[2]) % 2
        choice = random.Random(asked.id).choice(asked.wrong) if wrong else asked.answer
        text = f'{asked.question} Is the answer "{asked.choices[choice]}"?'
        return Question(f"{asked.id}-yesno", text, ("yes", "no"), wrong)


def index_of(answer: str, choices: list[str]) -> int:
    """Which of the choices, or of their labels, is the answer."""
    if answer not in choices:
        raise ValueError(f"the answer '{answer}' is none of {', '.join(choices)}")
    return choices.index(answer)


PARSERS = {
    "commonsenseqa": CommonsenseQA,
    "cqa": Cqa,
    "strategyqa": StrategyQA,
    "esnli": Esnli,
    "yesno": YesNo,
}


def parse(name: str, row: object, position: str, where: str) -> Question | None:
    """The question that a parser makes of a row; UserError says ``where`` and why there is none."""
    try:
        return PARSERS[name].model_validate(row).ask(position)
    except ValidationError as error:
        problem = words(error)
    except ValueError as error:
        problem = str(error)
    columns = ", ".join(PARSERS[name].model_fields)
    raise UserError(f"{where}: {problem}; correct the row ({name} reads {columns}).")


def words(error: ValidationError) -> str:
    """Which column is wrong first, what is expected and what was found."""
    first = error.errors()[0]
    column, expected = ".".join(map(str, first["loc"])), first["msg"]
    found = "" if first["type"] == "missing" else f" (found {first['input']!r:.60})"
    return f"{column}: {expected}{found}" if column else f"{expected}{found}"


def describe(dataset: str) -> dict:
    """The section ``task`` of a dataset's file."""
    path = paths.PROMPTS / f"{dataset}.yaml"
    if not path.is_file():
        raise UserError(
            f"There is no task '{dataset}'; there are {', '.join(profile.task_names())}, and a new "
            f"one is a file {paths.shown(path)}."
        )
    section = files.read_yaml(path).get("task") or {}
    if section.get("reader") not in PARSERS:
        raise UserError(f"{paths.shown(path)}: task.reader must be one of {', '.join(PARSERS)}.")
    return section
