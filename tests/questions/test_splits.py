"""Question sets: sources, readers, and what is said when one is out of reach."""

import json

import pytest

from lib.common.errors import UserError
from lib.common.profile import TaskSettings
from lib.questions import splits as tasks


def write(folder, split, rows):
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def some(row, count):
    """So many rows like this one, each with its own id (where rows have ids)."""
    key = next((key for key in ("id", "qid") if key in row), None)
    return [row | ({key: f"{row[key]}{i}"} if key else {}) for i in range(count)]


def strategyqa(folder, train, test=({"qid": "t", "question": "x?", "answer": True},), **more):
    """The task of a folder with these rows."""
    for split, rows in {"train": train, "test": test, **more}.items():
        write(folder, split, rows)
    return TaskSettings(name="strategyqa", source=f"folder:{folder}")


def test_minicqa_sizes_and_schema():
    splits = tasks.load(TaskSettings(name="minicqa", train=10, test=5))
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 10,
        "dev": 40,
        "test": 5,
    }
    question = splits["train"][0]
    assert len(question.choices) == 5 and question.answer not in question.wrong
    assert question.lettered().startswith("(A) ") and " (E) " in question.lettered()
    assert len(tasks.load(TaskSettings(name="minicqa"))["train"]) == 260, "a cut is not remembered"


def test_too_many_questions_asked_for():
    with pytest.raises(
        UserError, match="minicqa has 260 train questions; the profile asks for 999"
    ):
        tasks.load(TaskSettings(name="minicqa", train=999))


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "strategyqa",
            {"qid": "a1", "question": " Do fish fly? ", "answer": False},
            tasks.Question("a1", "Do fish fly?", ("yes", "no"), 1),
        ),
        (
            "esnli",
            {"premise": "A man sleeps.", "hypothesis": "He runs", "label": 2},
            tasks.Question(
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
            tasks.Question("q", "Why?", ("x", "x"), 1),
        ),
    ],
)
def test_a_folder_is_a_source_for_every_task(name, row, expected, tmp_path):
    write(tmp_path / name, "train", some(row, 20))
    write(tmp_path / name, "test", [row])
    found = tasks.load(TaskSettings(name=name, source=f"folder:{tmp_path / name}"))
    assert found["test"] == [expected]
    assert (len(found["train"]), len(found["dev"])) == (18, 2)


def test_a_relative_folder_is_meant_from_the_repository(tmp_path, monkeypatch):
    """Notebooks and make run in different folders."""
    from lib.common import paths

    row = {"qid": "1", "question": "x?", "answer": True}
    write(tmp_path / "data", "train", some(row, 10))
    write(tmp_path / "data", "test", [row])
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert len(tasks.load(TaskSettings(name="strategyqa", source="folder:data"))["train"]) == 9


def test_dev_is_seeded(tmp_path):
    rows = [{"qid": str(i), "question": f"Is it {i}?", "answer": True} for i in range(30)]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", [rows[0] | {"qid": "t"}])
    a, b, c = (
        tasks.load(TaskSettings(name="strategyqa", source=f"folder:{tmp_path}"), seed)["dev"]
        for seed in (0, 0, 1)
    )
    assert a == b != c and len(a) == 3


def test_bad_rows_and_files_are_sentences(tmp_path):
    write(tmp_path, "train", [{"qid": "1", "question": "x?"}])
    write(tmp_path, "test", [])
    settings = TaskSettings(name="strategyqa", source=f"folder:{tmp_path}")
    with pytest.raises(
        UserError, match=r"strategyqa: .*train\.jsonl line 1 cannot be read \(KeyError: 'answer'\)"
    ):
        tasks.load(settings)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"test\.jsonl is missing; the folder needs"):
        tasks.load(settings, seed=5)
    (tmp_path / "train.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"train\.jsonl line 1 is not JSON \(Expecting"):
        tasks.load(settings, seed=6)


def test_hub_out_of_reach_names_the_alternatives(monkeypatch):
    import datasets

    def unreachable(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        UserError,
        match=r"Cannot load tau/commonsense_qa at 94630fe3 from the hub "
        r"\(ConnectionError\); check the network, or use task.source published",
    ):
        tasks.load(TaskSettings(name="commonsenseqa"), seed=99)
    monkeypatch.setattr(
        tasks,
        "describe",
        lambda name: {"reader": name, "hub": {"path": "a/b", "revision": None, "test": "test"}},
    )
    with pytest.raises(UserError, match="strategyqa has no pinned hub revision; use task.source"):
        tasks.load(TaskSettings(name="strategyqa"), seed=99)


def test_snli_rows_without_an_agreed_label_are_left_out():
    rows = [{"premise": "A", "hypothesis": "B", "label": label} for label in (0, -1, 2)]
    parts = {split: dict(enumerate(rows, 1)) for split in tasks.SPLITS}
    found = tasks._questions("esnli", parts, tasks.read_esnli, 0)
    assert [(q.id, q.answer) for q in found["train"]] == [
        ("esnli-train-00000", 0),
        ("esnli-train-00002", 2),
    ]


def test_letters_are_counted_by_split():
    """Even: what to expect of a letter if answers were drawn evenly from the choices that there are."""
    two, four = (tasks.Question("q", "Why?", tuple("wxyz")[:size], 1) for size in (2, 4))
    assert [
        tuple(row.values())
        for row in tasks.letter_counts({"train": [two] * 2 + [four], "test": [two]})
    ] == [
        ("train", "A", 0, 1.25),
        ("train", "B", 3, 1.25),
        ("train", "C", 0, 0.25),
        ("train", "D", 0, 0.25),
        ("test", "A", 0, 0.5),
        ("test", "B", 1, 0.5),
    ]


def test_the_even_split_is_drawn_by_letter(style):
    import pandas as pd

    from lib.figures import texts as plots_texts

    two, four = (tasks.Question("q", "Why?", tuple("wxyz")[:size], 1) for size in (2, 4))
    figure, table = plots_texts.letter_distribution(
        pd.DataFrame(tasks.letter_counts({"test": [two] * 2 + [four]}))
    )
    assert table["share"].tolist() == [0, 100, 0, 0]
    drawn = figure.axes[0].collections[-1].get_segments()
    assert [line[0][1] for line in drawn] == pytest.approx([125 / 3, 125 / 3, 25 / 3, 25 / 3])


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
        tasks.load(strategyqa(tmp_path, **rows))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (list("abcdefghi"), r"commonsenseqa: .*test\.jsonl line 1 has 9 choices; give it 2 to 8"),
        (["a"], "line 1 has 1 choices; give it 2 to 8"),
        (["a", " "], "line 1 has a choice that is empty or no text"),
        (["a", 7], "line 1 has a choice that is empty or no text"),
    ],
)
def test_choices_that_cannot_be_asked(texts, sentence, tmp_path):
    row = {
        "id": "q",
        "question": "Why?",
        "answerKey": "A",
        "choices": {"label": ["A", "B"], "text": ["x", "y"]},
    }
    write(tmp_path, "train", some(row, 10))
    write(
        tmp_path,
        "test",
        [row | {"choices": {"label": list("ABCDEFGHI")[: len(texts)], "text": texts}}],
    )
    with pytest.raises(UserError, match=sentence):
        tasks.load(TaskSettings(name="commonsenseqa", source=f"folder:{tmp_path}"))
    write(
        tmp_path,
        "test",
        [row | {"answerKey": "C", "choices": {"label": ["A", "B", "C"], "text": ["x", "y"]}}],
    )
    with pytest.raises(
        UserError, match="line 1 has 2 choices, but the answer is number 3; correct"
    ):
        tasks.load(TaskSettings(name="commonsenseqa", source=f"folder:{tmp_path}"))


def test_every_split_needs_questions(tmp_path):
    row = {"qid": "a", "question": "x?", "answer": True}
    with pytest.raises(UserError, match="strategyqa has no test questions; add some"):
        tasks.load(strategyqa(tmp_path, some(row, 10), test=[]))
    with pytest.raises(
        UserError, match="has no train questions; add some .where there is no dev file, dev takes"
    ):
        tasks.load(strategyqa(tmp_path, [row]))
    settings = strategyqa(tmp_path, [row], dev=[row | {"qid": "b"}])
    assert [len(part) for part in tasks.load(settings).values()] == [1, 1, 1]


def test_the_check_reads_questions_that_are_files(tmp_path, monkeypatch, capsys):
    from lib.common import profile
    from lib.runner import run

    smoke = profile.load("smoke")
    row = {"qid": "a", "question": "x?", "answer": True}

    def check(**task):
        found = strategyqa(tmp_path, some(row, 10)).model_copy(update=task)
        monkeypatch.setattr(profile, "load", lambda name: smoke.model_copy(update={"task": found}))
        return run.main(["--check"]), capsys.readouterr().err

    assert check() == (0, "")
    assert check(train=20) == (
        2,
        "strategyqa has 9 train questions; the profile asks for 20: lower task.train.\n",
    )
    assert "absent/train.jsonl is missing" in check(source=f"folder:{tmp_path}/absent")[1]
    assert check(source="default")[1] == "", "nothing is downloaded"


@pytest.mark.parametrize("name", ["commonsenseqa", "strategyqa", "esnli", "minicqa"])
def test_no_worked_example_is_a_question_of_the_data(name, shared):
    import pandas as pd

    from lib.teacher import prompt

    theirs = {
        q.question.lower()
        for part in tasks.load(TaskSettings(name="minicqa")).values()
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
        tasks.describe("mini")
    with pytest.raises(UserError, match="published no texts for minicqa"):
        tasks.load(TaskSettings(name="minicqa", source="published"), seed=99)


@pytest.mark.parametrize("name", ["commonsenseqa", "strategyqa", "esnli"])
def test_published_questions(name, shared, monkeypatch, tmp_path):
    from lib.common import paths
    from lib.questions import release

    monkeypatch.setenv("HONEY_SOURCE", str(shared / "published"))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    tasks._load.cache_clear()
    release.teacher_table.cache_clear()
    found = tasks.load(TaskSettings(name=name, source="published"))
    sizes = {split: len(rows) for split, rows in found.items()}
    assert (
        sizes
        == {
            "commonsenseqa": {"train": 8628, "dev": 955, "test": 1221},
            "strategyqa": {"train": 1442, "dev": 161, "test": 687},
            "esnli": {"train": 9884, "dev": 1099, "test": 9824},
        }[name]
    )
    assert not {q.id for q in found["train"]} & {q.id for q in found["dev"] + found["test"]}
    tasks._load.cache_clear()


def test_a_new_task_is_one_file(monkeypatch, tmp_path):
    """As README shows: a file with its source and worked examples, no code."""
    import shutil

    import yaml

    from lib.common import paths, profile
    from lib.runner import plan
    from lib.teacher import prompt

    prompts = tmp_path / "prompts"
    shutil.copytree(paths.PROMPTS, prompts)
    rows = [
        {
            "id": f"m{i}",
            "question": f"What is {i}?",
            "answerKey": "A",
            "choices": {"label": ["A", "B"], "text": ["x", "y"]},
        }
        for i in range(20)
    ]
    write(tmp_path / "mytask", "train", rows)
    write(tmp_path / "mytask", "test", [row | {"id": f"t{i}"} for i, row in enumerate(rows[:4])])
    example = {
        "question": "Why?",
        "choices": ["x", "y"],
        "answer": "x",
        "explanation": "So.",
        "draft": "It is.",
        "critique": "Vague.",
        "revision": "So, and y is not.",
    }
    (prompts / "mytask.yaml").write_text(
        yaml.safe_dump(
            {
                "task": {
                    "files": str(tmp_path / "mytask" / "{split}.jsonl"),
                    "reader": "commonsenseqa",
                    "sizes": {"train": 18, "dev": 2, "test": 4},
                },
                "examples": [example] * 7,
            }
        )
    )
    monkeypatch.setattr(paths, "PROMPTS", prompts)
    settings = profile.load("smoke")
    settings = profile.Profile(**settings.model_dump() | {"task": {"name": "mytask"}})
    found = tasks.load(settings.task)
    assert {split: len(part) for split, part in found.items()} == {"train": 18, "dev": 2, "test": 4}
    assert plan.text_counts(settings)["explanation"] == 20
    prefix = prompt.prefixes(prompt.read("mytask"), 7, 1, 0)[0]
    assert "The answer is x." in prompt.explain(prompt.case(found["test"][0], 0), prefix).tail
