"""The rules of data/minicqa/README.md, each checked."""

import csv
import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from data.minicqa import build as minicqa
from lib.common import paths

STOP = re.compile(
    r"an?|the|to|of|in|on|at|it|is|be|for|and|with|by|from|as|your|you|his|her|our|off|out|up|"
    r"into|down|over"
)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[dict]]:
    return {
        split: [
            json.loads(line)
            for line in (paths.MINICQA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for split in minicqa.SIZES
    }


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def stems(text: str) -> set[str]:
    return {
        re.sub(r"(ies|es|s|ing|ed)$", "", word) for word in words(text) if not STOP.fullmatch(word)
    }


def grams(text: str, n: int = 8) -> set[tuple]:
    w = words(text)
    return {tuple(w[i : i + n]) for i in range(len(w) - n + 1)}


def test_splits_follow_from_groups_and_seed(splits):
    assert splits == minicqa.build_splits(minicqa.read_groups())
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 260,
        "dev": 40,
        "test": 180,
    }


def test_schema_letters_and_groups(splits):
    for rows in splits.values():
        letters = Counter(row["answerKey"] for row in rows)
        assert len(set(letters.values())) == 1 and set(letters) == set("ABCDE")
        groups = Counter(row["id"].split("-")[0] for row in rows)
        assert set(groups.values()) == {5}, "a group is never split"
        for row in rows:
            assert row["choices"]["label"] == list("ABCDE")
            assert len({text.lower() for text in row["choices"]["text"]}) == 5
            assert row["question"].endswith("?") and 7 <= len(row["question"].split()) <= 24
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(ids) == len(set(ids)) == 480


def test_each_choice_of_a_group_is_the_answer_once(splits):
    for rows in splits.values():
        answers: dict[str, list[str]] = {}
        for row in rows:
            text = row["choices"]["text"]["ABCDE".index(row["answerKey"])]
            answers.setdefault(row["id"].split("-")[0], []).append(text)
            assert set(row["choices"]["text"]) >= {text}
        assert all(len(set(texts)) == 5 for texts in answers.values())


def test_distractors_are_as_long_as_the_answer(splits):
    for rows in splits.values():
        lengths = np.array([[len(text) for text in row["choices"]["text"]] for row in rows])
        answer = np.array(["ABCDE".index(row["answerKey"]) for row in rows])
        own = lengths[np.arange(len(rows)), answer].mean()
        others = (lengths.sum(1) - lengths[np.arange(len(rows)), answer]).mean() / 4
        assert own == pytest.approx(others, rel=1e-9), "exactly, since a group shares its choices"
        assert (lengths.max(1) <= 2.2 * lengths.min(1) + 4).all()


def test_question_does_not_name_its_answer(splits):
    for rows in splits.values():
        for row in rows:
            answer = row["choices"]["text"]["ABCDE".index(row["answerKey"])]
            assert not stems(answer) & stems(row["question"]), row


def test_no_near_duplicates(splits):
    questions = [row["question"] for rows in splits.values() for row in rows]
    assert len(set(questions)) == 480
    table = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(questions)
    similar = (table @ table.T).toarray()
    np.fill_diagonal(similar, 0)
    assert similar.max() < 0.5


def test_choices_alone_say_nothing(splits):
    """A classifier that never sees the question stays near chance (.20) on the test split."""

    def rows_of(split):
        texts, labels = [], []
        for row in splits[split]:
            for letter, text in zip("ABCDE", row["choices"]["text"], strict=True):
                texts.append(f"{text} position{letter} length{len(text) // 3}")
                labels.append(letter == row["answerKey"])
        return texts, np.array(labels)

    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)),
        LogisticRegression(class_weight="balanced", max_iter=500),
    )
    model.fit(*rows_of("train"))
    texts, labels = rows_of("test")
    picked = model.predict_proba(texts)[:, 1].reshape(-1, 5).argmax(1)
    accuracy = labels.reshape(-1, 5)[np.arange(len(picked)), picked].mean()
    assert accuracy < 0.28, f"{accuracy:.3f}: the choices give the answer away"


def test_second_reader_agrees(splits):
    """Every answer was confirmed by a reader who did not know the key."""
    with open(paths.MINICQA / "second_reader.csv", encoding="utf-8", newline="") as file:
        answers = {row["id"]: row["answer"] for row in csv.DictReader(file)}
    for rows in splits.values():
        for row in rows:
            assert answers[row["id"]] == row["choices"]["text"]["ABCDE".index(row["answerKey"])]


def test_no_overlap_with_commonsenseqa(splits, shared):
    published = [
        pd.read_parquet(shared / "published" / f"cqa-llama-{split}.parquet", columns=["question"])
        for split in ("train", "test")
    ]
    theirs = set().union(*[grams(text) for part in published for text in part["question"]])
    ours = [row["question"] for rows in splits.values() for row in rows]
    assert not [text for text in ours if grams(text) & theirs]
