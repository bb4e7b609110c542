"""Question sets: sources, parsers, and what is said when one is out of reach."""

import http.server
import json
import os
import subprocess
import sys
import threading

import datasets
import pandas as pd
import pytest

from lib.common import paths
from lib.common.errors import UserError
from lib.common.profile import TaskSettings
from lib.questions import question, release, splits
from lib.questions.question import Question
from lib.teacher import prompt

CODE = (
    "from lib.common.profile import TaskSettings; from lib.questions import splits; "
    "splits.load(TaskSettings(name='commonsenseqa'))"
)


def write(folder, split, rows):
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )


def sizes(found):
    """How many questions each split has."""
    return {split: len(questions) for split, questions in found.items()}


def some(row, count):
    """So many rows like this one, each with its own id (where rows have ids)."""
    key = next((key for key in ("id", "qid") if key in row), None)
    return [row | ({key: f"{row[key]}{i}"} if key else {}) for i in range(count)]


YES = {"qid": "t", "question": "x?", "answer": True}


def strategyqa(folder, train, test=(YES,), **more):
    """The task of a folder with these rows."""
    for split, rows in {"train": train, "test": test, **more}.items():
        write(folder, split, rows)
    return TaskSettings(name="strategyqa", source=f"folder:{folder}")


def test_minicqa_sizes_and_schema():
    found = splits.load(TaskSettings(name="minicqa", train=10, test=5))
    assert sizes(found) == {"train": 10, "dev": 40, "test": 5}
    first = found["train"][0]
    assert len(first.choices) == 5 and first.answer not in first.wrong
    assert first.lettered().startswith("(A) ") and " (E) " in first.lettered()
    assert len(splits.load(TaskSettings(name="minicqa"))["train"]) == 260, "a cut is not remembered"


def test_too_many_questions_asked_for():
    with pytest.raises(
        UserError, match="minicqa has 260 train questions; the profile asks for 999"
    ):
        splits.load(TaskSettings(name="minicqa", train=999))


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "strategyqa",
            {"qid": "a1", "question": " Do fish fly? ", "answer": False},
            Question("a1", "Do fish fly?", ("yes", "no"), 1),
        ),
        (
            "esnli",
            {"premise": "A man sleeps.", "hypothesis": "He runs", "label": 2},
            Question(
                "esnli-test-00000",
                "Premise: A man sleeps. Hypothesis: He runs. What is the relation "
                "between premise and hypothesis?",
                ("entailment", "neutral", "contradiction"),
                2,
            ),
        ),
        (
            "commonsenseqa",
            {
                "id": "q",
                "question": "Why?",
                "answerKey": "B",
                "choices": {"label": ["A", "B"], "text": ["x", "x"]},
            },
            Question("q", "Why?", ("x", "x"), 1),
        ),
    ],
)
def test_a_folder_is_a_source_for_every_task(name, row, expected, tmp_path):
    write(tmp_path / name, "train", some(row, 20))
    write(tmp_path / name, "test", [row])
    found = splits.load(TaskSettings(name=name, source=f"folder:{tmp_path / name}"))
    assert found["test"] == [expected]
    assert (len(found["train"]), len(found["dev"])) == (18, 2)


def test_a_relative_folder_is_meant_from_the_repository(tmp_path, monkeypatch):
    """Notebooks and make run in different folders."""
    row = {"qid": "1", "question": "x?", "answer": True}
    write(tmp_path / "data", "train", some(row, 10))
    write(tmp_path / "data", "test", [row])
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert len(splits.load(TaskSettings(name="strategyqa", source="folder:data"))["train"]) == 9


def test_what_a_folder_of_questions_holds_besides_is_said(tmp_path, capsys):
    row = {"qid": "1", "question": "x?", "answer": True}
    for split, rows in {"train": some(row, 10), "test": [row]}.items():
        write(tmp_path, split, rows)
    settings = TaskSettings(name="strategyqa", source=f"folder:{tmp_path}")
    splits.load(settings, seed=1)
    assert capsys.readouterr().out == ""
    write(tmp_path, "validation", [row])
    (tmp_path / "dev.JSONL").mkdir()
    splits.load(settings, seed=2)
    assert "not read: dev.JSONL, validation.jsonl; the questions are in train" in (
        capsys.readouterr().out
    )


def test_dev_is_seeded(tmp_path):
    rows = [{"qid": str(i), "question": f"Is it {i}?", "answer": True} for i in range(30)]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", [rows[0] | {"qid": "t"}])
    a, b, c = (
        splits.load(TaskSettings(name="strategyqa", source=f"folder:{tmp_path}"), seed)["dev"]
        for seed in (0, 0, 1)
    )
    assert a == b != c and len(a) == 3


def test_bad_rows_and_files_are_sentences(tmp_path):
    write(tmp_path, "train", [{"qid": "1", "question": "x?"}])
    write(tmp_path, "test", [])
    settings = TaskSettings(name="strategyqa", source=f"folder:{tmp_path}")
    with pytest.raises(
        UserError, match=r"strategyqa: .*train\.jsonl line 1: answer: Field required; correct"
    ):
        splits.load(settings)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"test\.jsonl is missing; the folder needs"):
        splits.load(settings, seed=5)
    (tmp_path / "train.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.jsonl line 1 is not JSON \(Expecting"):
        splits.load(settings, seed=6)


def test_hub_out_of_reach_names_the_alternatives(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        UserError,
        match=r"Cannot load tau/commonsense_qa at 94630fe3 from the hub "
        r"\(ConnectionError\); check the network, or use task.source published",
    ):
        splits.load(TaskSettings(name="commonsenseqa"), seed=99)
    monkeypatch.setattr(
        splits,
        "describe",
        lambda name: {"reader": name, "hub": {"path": "a/b", "revision": None, "test": "test"}},
    )
    with pytest.raises(
        UserError, match="strategyqa has no pinned hub revision; write the commit of a/b"
    ):
        splits.load(TaskSettings(name="strategyqa"), seed=99)


def test_snli_rows_without_an_agreed_label_are_left_out():
    rows = [{"premise": "A", "hypothesis": "B", "label": label} for label in (0, -1, 2)]
    parts = {"train": {f"row {i}": row for i, row in enumerate(rows)}}
    found = splits._parse("esnli", parts)
    assert [(q.id, q.answer) for q in found["train"]] == [
        ("esnli-train-00000", 0),
        ("esnli-train-00002", 2),
    ]


def test_letters_are_counted_by_split():
    """Even: what to expect if each answer were drawn evenly from its question's choices."""
    two, four = (Question("q", "Why?", tuple("wxyz")[:size], 1) for size in (2, 4))
    assert [
        tuple(row.values())
        for row in splits.letter_counts({"train": [two] * 2 + [four], "test": [two]})
    ] == [
        ("train", "A", 0, 1.25),
        ("train", "B", 3, 1.25),
        ("train", "C", 0, 0.25),
        ("train", "D", 0, 0.25),
        ("test", "A", 0, 0.5),
        ("test", "B", 1, 0.5),
    ]


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (
            "train",
            r"the id 'a3' occurs twice, in .*train\.jsonl line 4 and .*train\.jsonl line 11; ",
        ),
        ("dev", r"the id 'a3' occurs twice, in .*train\.jsonl line 4 and .*dev\.jsonl line 1; "),
        ("test", r"the id 'a3' occurs twice, in .*train\.jsonl line 4 and .*test\.jsonl line 1; "),
    ],
)
def test_an_id_that_occurs_twice_is_a_mistake(split, sentence, tmp_path):
    """Else a question would get the texts of another one."""
    train = some({"qid": "a", "question": "x?", "answer": True}, 10)
    rows = {"train": train}
    rows[split] = [*rows.get(split, []), {"qid": "a3", "question": "Another?", "answer": False}]
    with pytest.raises(UserError, match=sentence + "texts and answers are kept by id"):
        splits.load(strategyqa(tmp_path, **rows))


def test_every_split_needs_questions(tmp_path):
    row = {"qid": "a", "question": "x?", "answer": True}
    with pytest.raises(UserError, match="strategyqa has no test questions; add some"):
        splits.load(strategyqa(tmp_path, some(row, 10), test=[]))
    with pytest.raises(
        UserError, match="has no train questions; add some .where there is no dev file, dev takes"
    ):
        splits.load(strategyqa(tmp_path, [row]))
    settings = strategyqa(tmp_path, [row], dev=[row | {"qid": "b"}])
    assert [len(part) for part in splits.load(settings).values()] == [1, 1, 1]


@pytest.mark.parametrize("name", ["commonsenseqa", "strategyqa", "esnli", "minicqa"])
def test_no_worked_example_is_a_question_of_the_data(name, shared):
    theirs = {
        q.question.lower()
        for part in splits.load(TaskSettings(name="minicqa")).values()
        for q in part
    }
    for data in ("cqa", "strategyqa", "esnli"):
        for split in ("train", "test"):
            table = pd.read_parquet(shared / "published" / f"{data}-llama-{split}.parquet")
            column = "premise" if data == "esnli" else "question"
            theirs |= set(table[column].str.strip().str.lower())
    for example in prompt.read(name)["examples"]:
        text = example["question"].lower()
        premise = text.partition("premise: ")[2].partition(" hypothesis:")[0]
        assert not {text, premise, premise.rstrip(".")} - {""} & theirs


def test_unknown_task_and_no_published_text():
    with pytest.raises(UserError, match="no task 'mini'; there are commonsenseqa, esnli, minicqa"):
        question.describe("mini")
    with pytest.raises(UserError, match="published no texts for minicqa"):
        splits.load(TaskSettings(name="minicqa", source="published"), seed=99)


@pytest.mark.parametrize("name", ["commonsenseqa", "strategyqa", "esnli"])
def test_published_questions(name, shared, monkeypatch, tmp_path):
    monkeypatch.setenv("HONEY_SOURCE", str(shared / "published"))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    splits._load.cache_clear()
    release.teacher_table.cache_clear()
    found = splits.load(TaskSettings(name=name, source="published"))
    assert (
        sizes(found)
        == {
            "commonsenseqa": {"train": 8628, "dev": 955, "test": 1221},
            "strategyqa": {"train": 1442, "dev": 161, "test": 687},
            "esnli": {"train": 9884, "dev": 1099, "test": 9824},
        }[name]
    )
    assert not {q.id for q in found["train"]} & {q.id for q in found["dev"] + found["test"]}
    splits._load.cache_clear()


# The hub


class NotFound(http.server.BaseHTTPRequestHandler):
    """A hub that knows no data set."""

    def do_GET(self):
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound)
    threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{service.server_port}"
    service.shutdown()
    service.server_close()


@pytest.mark.parametrize("how", ["offline", "wrong id"])
def test_real_client_ends_in_a_sentence(how, hub, tmp_path):
    settings = (
        {"HF_HUB_OFFLINE": "1"}
        if how == "offline"
        else {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=paths.ROOT,
        encoding="utf-8",
        capture_output=True,
        env={**os.environ, **settings, "HONEY_HOME": str(tmp_path), "HF_HOME": str(tmp_path)},
        timeout=300,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert (
        done.returncode == 1 and "Cannot load tau/commonsense_qa at 94630fe3 from the hub" in last
    )
    assert "use task.source published or folder:PATH" in last


ROWS = {
    "commonsenseqa": {
        "id": "q",
        "question": "Why?",
        "answerKey": "B",
        "choices": {"label": ["A", "B"], "text": ["x", "y"]},
    },
    "strategyqa": {"qid": "q", "question": "Is it?", "answer": True},
    "esnli": {"premise": "A man sleeps.", "hypothesis": "He rests.", "label": 0},
}


@pytest.mark.parametrize("name", ROWS)
def test_pinned_revision_and_named_split_are_asked_for(name, monkeypatch):
    asked = {}

    def load_dataset(path, revision, **_):
        asked.update(path=path, revision=revision)
        rows = [
            ROWS[name] | {key: str(i) for key in ("id", "qid") if key in ROWS[name]}
            for i in range(23)
        ]
        return {"train": rows[:20], hub["test"]: rows[20:]}

    hub = question.describe(name)["hub"]
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    splits._load.cache_clear()
    found = splits.load(TaskSettings(name=name))
    splits._load.cache_clear()
    assert sizes(found) == {"train": 18, "dev": 2, "test": 3}
    assert (
        asked == {"path": hub["path"], "revision": hub["revision"]} and len(hub["revision"]) == 40
    )
