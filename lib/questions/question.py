"""A multiple-choice question, and how a row of a dataset becomes one.

A dataset is one file, lib/prompts/<dataset>.yaml: its section ``task`` names where the questions
are and, as ``reader``, a parser (a function here that turns a row and its position into a
Question); the rest are worked examples.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lib.common import files, paths, profile
from lib.common.errors import UserError

LETTERS = "ABCDEFGH"
FINAL = re.compile(r"[.!?][\"')\]\u201d\u2019]*$")  # a text that ends as a sentence does


@dataclass(frozen=True)
class Question:
    """One multiple-choice question; ``answer`` is an index into ``choices``."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int

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


def parse_commonsenseqa(row: dict, position: str) -> Question:
    """A row in CommonsenseQA's schema: id, question, choices (label, text), answerKey."""
    labels, texts = list(row["choices"]["label"]), tuple(row["choices"]["text"])
    return Question(str(row["id"]), row["question"].strip(), texts, labels.index(row["answerKey"]))


def parse_cqa(row: dict, position: str) -> Question:
    """A row of the authors' CommonsenseQA tables: id, question, choices and answer as texts."""
    choices = tuple(choice.strip() for choice in row["choices"])
    answer = list(row["choices"]).index(row["answer"])
    return Question(row["id"], row["question"].strip(), choices, answer)


def parse_strategyqa(row: dict, position: str) -> Question:
    """A row of StrategyQA: qid, question, answer (true or false) -> yes/no."""
    answer = 0 if row["answer"] else 1
    return Question(str(row["qid"]), row["question"].strip(), ("yes", "no"), answer)


def parse_esnli(row: dict, position: str) -> Question | None:
    """A row of (e-)SNLI: premise, hypothesis, label (0 entailment, 1 neutral, 2 contradiction).

    Rows have no ids, so that ``position`` (as "test-00012") becomes one. None for SNLI's rows
    without an agreed label (-1), which e-SNLI does not have.
    """
    if row["label"] == -1:
        return None
    parts = [str(row[key]).strip() for key in ("premise", "hypothesis")]
    premise, hypothesis = (text if FINAL.search(text) else f"{text}." for text in parts)
    asked = (
        f"Premise: {premise} Hypothesis: {hypothesis} "
        "What is the relation between premise and hypothesis?"
    )
    choices = ("entailment", "neutral", "contradiction")
    return Question(f"esnli-{position}", asked, choices, int(row["label"]))


def parse_yesno(row: dict, position: str) -> Question:
    """A row in CommonsenseQA's schema as a yes/no question about one of its choices.

    Rows take turns: one is asked about its right choice, the next about a wrong one, drawn by its
    id.
    """
    asked = parse_commonsenseqa(row, position)
    wrong = int(position.rpartition("-")[2]) % 2
    choice = random.Random(asked.id).choice(asked.wrong) if wrong else asked.answer
    text = f'{asked.question} Is the answer "{asked.choices[choice]}"?'
    return Question(f"{asked.id}-yesno", text, ("yes", "no"), wrong)


PARSERS = {
    "commonsenseqa": parse_commonsenseqa,
    "cqa": parse_cqa,
    "strategyqa": parse_strategyqa,
    "esnli": parse_esnli,
    "yesno": parse_yesno,
}


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
