"""The questions of a dataset in their splits, from files, the hub or the authors' release."""

import functools
import random
from collections import Counter
from pathlib import Path

from lib.common import files, paths
from lib.common.errors import UserError
from lib.questions import release
from lib.questions.question import LETTERS, Question, describe, parse

SPLITS = ("train", "dev", "test")


def load(task, seed: int = 0) -> dict[str, list[Question]]:
    """The splits train, dev and test of a TaskSettings, cut to the sizes that it names.

    ``source``: default (the dataset's files, or the hub at a pinned revision), published (the
    authors' release: questions that have usable texts) or folder:PATH with train.jsonl and
    test.jsonl (and dev.jsonl) in the schema of the dataset's parser. Where there is no dev file,
    10 % of train, drawn with ``seed``, is dev. UserError if a source is out of reach, a row cannot
    be read or asked, an id occurs twice (all texts are kept by id), or a split is empty.
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


def files_of(name: str, source: str) -> dict[str, Path]:
    """The file of each split; none where the questions are downloaded."""
    pattern = ""
    if source.startswith("folder:"):
        pattern = source.removeprefix("folder:") + "/{split}.jsonl"
    elif source == "default":
        pattern = describe(name).get("files", "")
    return {
        split: paths.ROOT / Path(pattern.replace("{split}", split)).expanduser()
        for split in SPLITS
        if pattern
    }


def texts_of(name: str, source: str) -> list[Path]:
    """The files of the written texts that questions come with."""
    if source.startswith("folder:"):
        return [files_of(name, source)["train"].with_name("texts.jsonl")]
    return [paths.ROOT / path for path in describe(name).get("written", [])]


def letter_counts(splits: dict[str, list[Question]]) -> list[dict]:
    """How often each letter is the answer, as rows group (a split), letter, count, even.

    even: the count to expect if every question's answer were drawn evenly from its choices.
    """
    rows = []
    for split, questions in splits.items():
        counts = Counter(q.answer for q in questions)
        sizes = Counter(len(q.choices) for q in questions)
        for i in range(max(sizes, default=0)):
            even = sum(n / size for size, n in sizes.items() if i < size)
            rows.append({"group": split, "letter": LETTERS[i], "count": counts[i], "even": even})
    return rows


@functools.cache
def _load(name: str, source: str, seed: int) -> dict[str, list[Question]]:
    if source == "published":
        return _take_released(name, seed)
    held = files_of(name, source)
    if source.startswith("folder:") and held["train"].parent.is_dir():
        _say_what_is_not_read(held)
    rows = _read_files(name, held) if held else _read_hub(name, describe(name)["hub"])
    splits = _parse(name, rows)
    if "dev" not in splits:
        splits = _hold_out_dev(splits, seed)
    for split in SPLITS:
        if not splits[split]:
            raise UserError(
                f"{name} has no {split} questions; add some (where there is no dev file, dev takes "
                "a tenth of train, at least one question)."
            )
    return splits


def _take_released(name: str, seed: int) -> dict[str, list[Question]]:
    table = release.teacher_table(name, seed)
    splits: dict[str, list[Question]] = {split: [] for split in SPLITS}
    for row in table.to_dict("records"):
        question = Question(row["id"], row["question"], tuple(row["choices"]), row["answer"])
        splits[row["split"]].append(question)
    return splits


# Rows by split and by where they are, as a user finds them: "data/x/train.jsonl line 3".
Rows = dict[str, dict[str, dict]]


def _read_files(name: str, held: dict[str, Path]) -> Rows:
    rows = {}
    for split, path in held.items():
        if path.is_file():
            lines = files.read_jsonl(path).items()
            rows[split] = {f"{paths.shown(path)} line {number}": row for number, row in lines}
        elif split != "dev":
            raise UserError(
                f"{name}: {paths.shown(path)} is missing; the folder needs train.jsonl and "
                "test.jsonl."
            )
    return rows


def _say_what_is_not_read(held: dict[str, Path]) -> None:
    """A dev file of another name would be missed without a word."""
    folder, read = held["train"].parent, [path.name for path in held.values()]
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - {*read, "texts.jsonl"})  # written texts, for those who ask for them
    if others:
        print(
            f"{paths.shown(folder)}: not read: {', '.join(others)}; the questions are in "
            f"{', '.join(read)}.",
            flush=True,
        )


def _read_hub(name: str, hub: dict) -> Rows:
    import datasets

    if not hub.get("revision"):
        raise UserError(
            f"{name} has no pinned hub revision; write the commit of {hub['path']} into "
            f"lib/prompts/{name}.yaml."
        )
    try:
        cache = str(paths.RAW / "hub")
        data = datasets.load_dataset(hub["path"], revision=hub["revision"], cache_dir=cache)
        return {
            split: {f"{split} row {number}": row for number, row in enumerate(data[part], 1)}
            for split, part in (("train", "train"), ("test", hub["test"]))
        }
    except Exception as error:  # datasets raises many kinds when the hub is out of reach
        raise UserError(
            f"Cannot load {hub['path']} at {hub['revision'][:8]} from the hub "
            f"({type(error).__name__}); check the network, or use task.source published or "
            "folder:PATH, or PROFILE=cpu, which needs no network."
        ) from error


def _parse(name: str, rows: Rows) -> dict[str, list[Question]]:
    reader = describe(name)["reader"]
    splits: dict[str, list[Question]] = {split: [] for split in rows}
    where_of: dict[str, str] = {}
    for split, part in rows.items():
        for number, (where, row) in enumerate(part.items()):
            question = parse(reader, row, f"{split}-{number:05d}", f"{name}: {where}")
            if question is None:
                continue
            if question.id in where_of:
                raise UserError(
                    f"{name}: the id '{question.id}' occurs twice, in {where_of[question.id]} and "
                    f"{where}; texts and answers are kept by id, so give every question of all "
                    "splits one of its own."
                )
            where_of[question.id] = where
            splits[split].append(question)
    return splits


def _hold_out_dev(splits: dict[str, list[Question]], seed: int) -> dict[str, list[Question]]:
    train = splits["train"]
    held = set(random.Random(f"dev {seed}").sample(range(len(train)), -(-len(train) // 10)))
    return splits | {
        "dev": [q for i, q in enumerate(train) if i in held],
        "train": [q for i, q in enumerate(train) if i not in held],
    }
