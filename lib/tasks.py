"""Question sets: where the questions come from and how one is written for a model."""

import json
from dataclasses import dataclass

from lib import paths
from lib.errors import UserError

HUB = {"commonsenseqa": {"path": "tau/commonsense_qa",
                         "revision": "94630fe30dad47192a8546eb75f094926d47e155"}}
SPLITS = ("train", "dev", "test")
LETTERS = "ABCDEFGH"


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
        return " ".join(f"({LETTERS[i]}) {text}" for i, text in enumerate(self.choices))


def from_row(row: dict) -> Question:
    """A Question from a row in CommonsenseQA's schema (id, question, choices, answerKey)."""
    labels, texts = list(row["choices"]["label"]), tuple(row["choices"]["text"])
    if row["answerKey"] not in labels:
        raise UserError(f"Question {row['id']}: answerKey '{row['answerKey']}' is none of {labels}.")
    return Question(row["id"], row["question"].strip(), texts, labels.index(row["answerKey"]))


def load(task, seed: int = 0) -> dict[str, list[Question]]:
    """The splits train, dev and test of a TaskSettings, cut to the sizes that it names.

    MiniCQA ships with the repository. CommonsenseQA comes from the hub at a pinned revision; its
    test split has no labels, so (as in the paper) its validation split is the test and 10 % of
    train, drawn with ``seed``, is dev. Published questions are those of the authors' release that
    have usable texts. UserError if the hub or the release cannot be reached.
    """
    if task.source == "published":
        splits = _published(task.name, seed)
    else:
        splits = _minicqa() if task.name == "minicqa" else _from_hub(task.name, seed)
    for split in SPLITS:
        size = getattr(task, split)
        if size is not None and size > len(splits[split]):
            raise UserError(f"{task.name} has {len(splits[split])} {split} questions; the profile "
                            f"asks for {size}: lower task.{split}.")
        splits[split] = splits[split][:size]
    return splits


def _minicqa() -> dict[str, list[Question]]:
    return {split: [from_row(json.loads(line)) for line in
                    (paths.MINICQA / f"{split}.jsonl").read_text().splitlines()]
            for split in SPLITS}


def _published(name: str, seed: int) -> dict[str, list[Question]]:
    from lib import published

    found = {}
    for split in ("train", "test"):
        table = f"{published.TASKS[name]}-llama-{split}"
        published.fetch(table)
        found |= {q.id: q for q in published.questions(table)}
    texts = published.teacher_table(name, seed)
    return {split: [found[id] for id in texts.loc[texts["split"] == split, "id"]] for split in SPLITS}


def _from_hub(name: str, seed: int) -> dict[str, list[Question]]:
    import datasets

    source = HUB[name]
    try:
        data = datasets.load_dataset(source["path"], revision=source["revision"],
                                     cache_dir=str(paths.RAW / "hub"))
    except Exception as error:  # datasets raises many kinds when the hub is out of reach
        raise UserError(
            f"Cannot load {source['path']} at {source['revision'][:8]} from the hub "
            f"({type(error).__name__}); check the network, or use PROFILE=cpu, which needs none."
        ) from error
    parts = data["train"].train_test_split(test_size=0.1, seed=seed)
    rows = {"train": parts["train"], "dev": parts["test"], "test": data["validation"]}
    return {split: [from_row(row) for row in table] for split, table in rows.items()}
