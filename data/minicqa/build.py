"""MiniCQA's splits from its groups: ``python -m data.minicqa.build`` writes the .jsonl files."""

import argparse
import json
import random

from lib.common import files, paths

SEED = 20
SIZES = {"train": 52, "dev": 8, "test": 36}  # groups of five questions
LETTERS = "ABCDE"


def read_groups() -> list[dict]:
    """The 96 groups: five choices, and for each choice the question that it answers."""
    return list(files.read_jsonl(paths.MINICQA / "groups.jsonl").values())


def build_splits(groups: list[dict]) -> dict[str, list[dict]]:
    """Questions in CommonsenseQA's schema, split by whole groups, answer letters balanced.

    In each group every letter is the answer of exactly one question, and every choice is the
    answer of exactly one, so that the choices alone say nothing about the answer.
    """
    rng = random.Random(SEED)
    groups = groups.copy()
    rng.shuffle(groups)
    splits, start = {}, 0
    for split, size in SIZES.items():
        rows = [row for group in groups[start : start + size] for row in _questions(group, rng)]
        rng.shuffle(rows)
        splits[split] = rows
        start += size
    return splits


def _questions(group: dict, rng: random.Random) -> list[dict]:
    letters = rng.sample(range(5), 5)
    rows = []
    for i, (question, answer) in enumerate(zip(group["questions"], group["choices"], strict=True)):
        texts = [choice for choice in group["choices"] if choice != answer]
        rng.shuffle(texts)
        texts.insert(letters[i], answer)
        rows.append(
            {
                "id": f"{group['group']}-{i}",
                "question": question,
                "choices": {"label": list(LETTERS), "text": texts},
                "answerKey": LETTERS[letters[i]],
            }
        )
    return rows


def main() -> None:
    """Write the three split files."""
    argparse.ArgumentParser(prog="python -m data.minicqa.build", description=__doc__).parse_args()
    for split, rows in build_splits(read_groups()).items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        files.write_text(paths.MINICQA / f"{split}.jsonl", lines, keep_if_same=True)
        print(f"{split}: {len(rows)} questions")


if __name__ == "__main__":
    main()
