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
from lib.common import paths, profile
from lib.questions.mentions import find_choices
from lib.teacher import prompt
from lib.teacher.texts import read_written

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


# Written texts

TRAIN, DEV, TEST = 112, 16, 60  # questions that have them: what profile cpu takes
LENGTHS = {  # in words
    "explanation": (15, 40),
    "counterfactual": (15, 40),
    "critique": (15, 60),
    "revision": (30, 70),
}


@pytest.fixture(scope="module")
def written(splits) -> list[dict]:
    """A row a written text: id, kind, text, the question's choices and the one it argues for."""
    rows, known = [], read_written("minicqa")
    asked = {row["id"]: row for part in splits.values() for row in part}
    for id, texts in known.items():
        choices = asked[id]["choices"]["text"]
        answer = choices["ABCDE".index(asked[id]["answerKey"])]
        pairs = [("explanation", answer, texts["explanation"])]
        if "revision" in texts:
            pairs += [(kind, answer, texts[kind]) for kind in ("critique", "revision")]
            pairs += [("counterfactual", *pair) for pair in texts["counterfactuals"].items()]
        rows += [
            {"id": id, "kind": kind, "text": text, "choices": choices, "choice": choice}
            for kind, choice, text in pairs
        ]
    return rows


def test_every_question_of_the_default_profile_has_its_texts(splits, written):
    task = profile.load("cpu").task
    assert (task.train, task.dev) == (TRAIN, DEV)
    parts = [row["id"] for row in splits["train"][:TRAIN] + splits["dev"][:DEV]]
    found = pd.DataFrame(written).groupby("kind")["id"].apply(list)
    assert found["critique"] == found["revision"] == parts
    assert found["explanation"] == parts + [row["id"] for row in splits["test"][:TEST]]
    for row in splits["train"][:TRAIN] + splits["dev"][:DEV]:
        given = {
            r["choice"] for r in written if (r["id"], r["kind"]) == (row["id"], "counterfactual")
        }
        answer = row["choices"]["text"]["ABCDE".index(row["answerKey"])]
        assert given == {*row["choices"]["text"]} - {answer}


def test_written_texts_are_sentences_of_the_right_length(written):
    for row in written:
        shortest, longest = LENGTHS[row["kind"]]
        assert shortest <= len(re.findall(r"[A-Za-z0-9'-]+", row["text"])) <= longest, row
        assert row["text"] == prompt.clean(row["text"]) and row["text"][-1] in ".!?", row
        assert row["text"].isascii(), row


def test_written_texts_copy_nothing(written, splits):
    """No eight words in a row stand in two texts, nor in a worked example or a question."""
    examples = prompt.read("minicqa")["examples"]
    taken = {gram for row in examples for text in row.values() for gram in grams(str(text))}
    for row in (row for part in splits.values() for row in part):
        taken |= grams(row["question"])
    for row in written:
        found = grams(row["text"])
        assert not found & taken, row
        taken |= found


def test_a_rationale_names_its_choice_and_no_letter(written):
    """Names it by its main words, whatever their endings."""
    for row in written:
        assert not re.search(r"\([A-H]\)|\b[Oo]ption [A-H]\b|answer is", row["text"]), row
        if row["kind"] != "critique":
            for stem in stems(row["choice"]):
                assert any(word.startswith(stem[:-1]) for word in words(row["text"])), row


def test_a_blind_reader_saw_what_each_text_argues_for(written):
    """Marked texts were rewritten after that; how many, the data card says."""
    read = pd.read_csv(paths.MINICQA / "second_reading.csv", keep_default_na=False)
    texts = {(r["id"], r["kind"], r["choice"]) for r in written if r["kind"] != "critique"}
    assert set(read[["id", "kind", "choice"]].itertuples(index=False, name=None)) == texts
    assert len(read) == len(texts) and read["supports"].equals(read["choice"])
    count = read["verdict"].value_counts()
    marked = len(read) - count["ok"]
    said = f"marked {marked} texts ({100 * marked / len(read):.1f} %): {count['false']} false, "
    said += f"{count['weak']} weak"
    assert said in (paths.MINICQA / "README.md").read_text(encoding="utf-8")
    assert read["remark"].eq("").sum() == count["ok"]


def test_a_revision_says_more_of_the_other_choices(written):
    def others(row):
        found = find_choices(row["text"], row["choices"])
        named = {choice for choice, spots in zip(row["choices"], found, strict=True) if spots}
        return len(named - {row["choice"]})

    count = {(row["id"], row["kind"]): others(row) for row in written}
    revised = {id: n for (id, kind), n in count.items() if kind == "revision"}
    assert all(n >= 2 and n > count[id, "explanation"] for id, n in revised.items())
