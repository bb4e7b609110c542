"""Question sets: where the questions come from and how one is written for a model.

A task is one file, lib/prompts/<task>.yaml: its section ``task`` names sources and a reader (a
function here that turns a row and its place into a Question), the rest are worked examples.
"""

import functools
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.common import files, paths, profile
from lib.common.errors import UserError

SPLITS = ("train", "dev", "test")
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


def read_commonsenseqa(row: dict, place: str) -> Question:
    """A row in CommonsenseQA's schema: id, question, choices (label, text), answerKey."""
    labels, texts = list(row["choices"]["label"]), tuple(row["choices"]["text"])
    return Question(str(row["id"]), row["question"].strip(), texts, labels.index(row["answerKey"]))


def read_strategyqa(row: dict, place: str) -> Question:
    """A row of StrategyQA: qid, question, answer (true or false) -> yes/no."""
    return Question(
        str(row["qid"]), row["question"].strip(), ("yes", "no"), 0 if row["answer"] else 1
    )


def read_esnli(row: dict, place: str) -> Question | None:
    """A row of (e-)SNLI: premise, hypothesis, label (0 entailment, 1 neutral, 2 contradiction).

    Rows have no ids, so that ``place`` (as "test-00012") becomes one. None for SNLI's rows without
    an agreed label (-1), which e-SNLI does not have.
    """
    if row["label"] == -1:
        return None
    parts = [str(row[key]).strip() for key in ("premise", "hypothesis")]
    premise, hypothesis = (text if FINAL.search(text) else f"{text}." for text in parts)
    text = (
        f"Premise: {premise} Hypothesis: {hypothesis} "
        "What is the relation between premise and hypothesis?"
    )
    return Question(
        f"esnli-{place}", text, ("entailment", "neutral", "contradiction"), int(row["label"])
    )


def read_yesno(row: dict, place: str) -> Question:
    """A row in CommonsenseQA's schema as a yes/no question about one of its choices.

    Rows take turns: one is asked about its right choice, the next about a wrong one, drawn by its id.
    """
    asked = read_commonsenseqa(row, place)
    wrong = int(place.rpartition("-")[2]) % 2
    choice = random.Random(asked.id).choice(asked.wrong) if wrong else asked.answer
    text = f'{asked.question} Is the answer "{asked.choices[choice]}"?'
    return Question(f"{asked.id}-yesno", text, ("yes", "no"), wrong)


READERS = {
    "commonsenseqa": read_commonsenseqa,
    "strategyqa": read_strategyqa,
    "esnli": read_esnli,
    "yesno": read_yesno,
}


def describe(name: str) -> dict:
    """The section ``task`` of a task's file."""
    path = paths.PROMPTS / f"{name}.yaml"
    if not path.is_file():
        raise UserError(
            f"There is no task '{name}'; there are {', '.join(profile.task_names())}, and a new one is "
            f"a file {paths.shown(path)}."
        )
    found = files.read_yaml(path).get("task") or {}
    if found.get("reader") not in READERS:
        raise UserError(f"{paths.shown(path)}: task.reader must be one of {', '.join(READERS)}.")
    return found


def from_files(task) -> bool:
    """Whether the questions of a TaskSettings are files that are here, so that nothing is downloaded."""
    return task.source.startswith("folder:") or (
        task.source == "default" and "files" in describe(task.name)
    )


def files_of(task) -> list[Path]:
    """The files that hold the questions of a TaskSettings; none where they are downloaded."""
    pattern = None
    if task.source.startswith("folder:"):
        pattern = f"{task.source.removeprefix('folder:')}/{{split}}.jsonl"
    elif task.source == "default":
        pattern = describe(task.name).get("files")
    named = [(pattern or "").replace("{split}", split) for split in SPLITS]
    found = [paths.ROOT / Path(name).expanduser() for name in named if name]
    return [path for path in found if path.is_file()]


def load(task, seed: int = 0) -> dict[str, list[Question]]:
    """The splits train, dev and test of a TaskSettings, cut to the sizes that it names.

    ``source``: default (the task's files, or the hub at a pinned revision), published (the authors'
    release: questions that have usable texts) or folder:PATH with train.jsonl and test.jsonl (and
    dev.jsonl) in the schema of the task's reader. Where there is no dev file, 10 % of train, drawn
    with ``seed``, is dev. UserError if a source is out of reach, a row cannot be read or asked, an
    id occurs twice (all texts are kept by id), or a split is empty.
    """
    splits = dict(_load(task.name, task.source, seed))
    for split in SPLITS:
        size = getattr(task, split)
        if size is not None and size > len(splits[split]):
            raise UserError(
                f"{task.name} has {len(splits[split])} {split} questions; the profile "
                f"asks for {size}: lower task.{split}."
            )
        splits[split] = splits[split][:size]
    return splits


def letter_counts(splits: dict[str, list[Question]]) -> list[dict]:
    """How often each letter is the answer, as rows group (a split), letter, count, even.

    even: the count to expect if every question's answer were drawn evenly from its choices.
    """
    rows = []
    for split, questions in splits.items():
        counts = Counter(q.answer for q in questions)
        sizes = Counter(len(q.choices) for q in questions)
        rows += [
            {
                "group": split,
                "letter": LETTERS[i],
                "count": counts[i],
                "even": sum(n / size for size, n in sizes.items() if i < size),
            }
            for i in range(max(sizes, default=0))
        ]
    return rows


@functools.cache
def _load(name: str, source: str, seed: int) -> dict[str, list[Question]]:
    told = describe(name)
    reader = READERS[told["reader"]]
    if source == "published":
        return _published(name, told, seed)
    if source.startswith("folder:"):
        folder = paths.ROOT / Path(source.removeprefix("folder:")).expanduser()
        return _from_files(name, str(folder / "{split}.jsonl"), reader, seed)
    if "files" in told:
        return _from_files(name, str(paths.ROOT / told["files"]), reader, seed)
    return _from_hub(name, told["hub"], reader, seed)


def _from_files(name: str, pattern: str, reader, seed: int) -> dict[str, list[Question]]:
    rows = {}
    for split in SPLITS:
        path = Path(pattern.replace("{split}", split))
        if path.is_file():
            rows[split] = files.read_jsonl(path)
        elif split != "dev":
            raise UserError(
                f"{name}: {paths.shown(path)} is missing; the folder needs train.jsonl "
                "and test.jsonl."
            )
    return _questions(name, rows, reader, seed, f"{paths.shown(Path(pattern))} line")


def _questions(
    name: str, rows: dict[str, dict[int, dict]], reader, seed: int, where: str = "{split} row"
) -> dict[str, list[Question]]:
    found, places = {split: [] for split in rows}, {}
    for split, part in rows.items():
        for number, (line, row) in enumerate(part.items()):
            place = f"{where.replace('{split}', split)} {line}"
            try:
                question = reader(row, f"{split}-{number:05d}")
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{name}: {place} cannot be read "
                    f"({type(error).__name__}: {error}); see {reader.__name__} in "
                    "lib/questions/splits.py for the fields that it needs."
                ) from None
            if question is None:
                continue
            _check(question, f"{name}: {place}")
            if places.setdefault(question.id, place) != place:
                raise UserError(
                    f"{name}: the id '{question.id}' occurs twice, in {places[question.id]} "
                    f"and {place}; texts and answers are kept by id, so give every "
                    "question of all splits one of its own."
                )
            found[split].append(question)
    if "dev" not in found:
        train = found["train"]
        held = set(random.Random(f"dev {seed}").sample(range(len(train)), -(-len(train) // 10)))
        found["dev"] = [q for i, q in enumerate(train) if i in held]
        found["train"] = [q for i, q in enumerate(train) if i not in held]
    for split in SPLITS:
        if not found[split]:
            raise UserError(
                f"{name} has no {split} questions; add some (where there is no dev file, "
                "dev takes a tenth of train, at least one question)."
            )
    return found


def _check(question: Question, place: str) -> None:
    count = len(question.choices)
    if not 2 <= count <= len(LETTERS):
        raise UserError(f"{place} has {count} choices; give it 2 to {len(LETTERS)}.")
    if not 0 <= question.answer < count:
        raise UserError(
            f"{place} has {count} choices, but the answer is number "
            f"{question.answer + 1}; correct one of them."
        )
    if not all(isinstance(choice, str) and choice.strip() for choice in question.choices):
        raise UserError(f"{place} has a choice that is empty or no text; write a text in quotes.")


def _published(name: str, told: dict, seed: int) -> dict[str, list[Question]]:
    from lib.questions import release

    if "published" not in told:
        raise UserError(f"The authors published no texts for {name}; use task.source default.")
    found = {}
    for split in ("train", "test"):
        table = f"{told['published']}-llama-{split}"
        release.fetch(table)
        found |= {q.id: q for q in release.questions(table)}
    texts = release.teacher_table(name, seed)
    return {
        split: [found[id] for id in texts.loc[texts["split"] == split, "id"]] for split in SPLITS
    }


def _from_hub(name: str, hub: dict, reader, seed: int) -> dict[str, list[Question]]:
    import datasets

    instead = (
        f"use task.source published or folder:PATH for {name}"
        if name != "commonsenseqa"
        else "use task.source published or folder:PATH, or PROFILE=cpu, which needs no network"
    )
    if not hub.get("revision"):
        raise UserError(
            f"{name} has no pinned hub revision; {instead}, or write the commit of "
            f"{hub['path']} into lib/prompts/{name}.yaml."
        )
    try:
        data = datasets.load_dataset(
            hub["path"], revision=hub["revision"], cache_dir=str(paths.RAW / "hub")
        )
        rows = {
            "train": dict(enumerate(data["train"], 1)),
            "test": dict(enumerate(data[hub["test"]], 1)),
        }
    except Exception as error:  # datasets raises many kinds when the hub is out of reach
        raise UserError(
            f"Cannot load {hub['path']} at {hub['revision'][:8]} from the hub "
            f"({type(error).__name__}); check the network, or {instead}."
        ) from error
    return _questions(name, rows, reader, seed)
