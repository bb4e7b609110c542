"""Questions of one's own: what is read, what students answer, and how it is shown and written."""

import dataclasses
import io
import math

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.evaluation import interview
from lib.models import likelihood
from lib.students import grid, jobs
from lib.students.model import load_student
from lib.teacher.texts import write_explanations

BOOTS = "Where would you put wet boots?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings with one finished tiny student, and another that is not trained yet."""
    home = tmp_path_factory.mktemp("home")
    smoke = profile.load("smoke")
    few = smoke.training.model_copy(update={"steps": 1, "checkpoint_every": None})
    update = {"students": smoke.students[:1], "seeds": [0], "training": few}
    settings = smoke.model_copy(update=update | {"arms": ["CF:Unrevised"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", home / "data" / "runs")
        patch.setattr(paths, "TEXTS", home / "texts")
        with pytest.raises(UserError, match="No student .* run `make train PROFILE=smoke` first"):
            interview.students(settings)
        texts = write_explanations(settings).assign(revision="So.")
        jobs.train_all(settings, texts)
        folder = profile.run_folder(settings) / "02_critique_revision"
        files.write_parquet(folder / "teacher.parquet", texts)
        yield settings.model_copy(update={"arms": ["CF:Unrevised", "label-only"]})
    load_student.cache_clear()


def test_students_answer_with_probabilities(settings):
    asked = [interview.question(BOOTS, "oven, doormat, bed"), interview.question("Why?", "a; b, c")]
    ((student, folder),) = interview.students(settings)
    found = interview.ask(settings, asked)
    assert found["question"].tolist() == [BOOTS, "Why?"]
    assert found["choices"].tolist() == [["oven", "doormat", "bed"], ["a", "b, c"]]
    assert not found["written"].str.contains(".so the answer is", case=False).any()
    assert set(found["student"]) == {"CF:Unrevised"} and found["explanation"].notna().all()
    wrote = interview.answers.write(settings, student, folder, asked)
    for p, scores in zip(found["p"], wrote["scores"], strict=True):
        assert sum(p) == pytest.approx(1) and likelihood.best([p]) == likelihood.best([scores])
        assert math.log(p[0] / p[1]) == pytest.approx(scores[0] - scores[1])
    assert interview.softmax([-5000.0, -5000.0]) == [0.5, 0.5]


def test_only_students_of_some_seeds(settings, monkeypatch):
    ((student, folder),) = interview.students(settings, seeds=[0])
    second = dataclasses.replace(student, seed=1)
    homes = [grid.Home(one, {}, {}, folder) for one in (student, second)]
    monkeypatch.setattr(grid, "homes", lambda *_: homes)
    assert [one.seed for one, _ in interview.students(settings)] == [0, 1]
    assert [one.seed for one, _ in interview.students(settings, seeds=[1])] == [1]
    with pytest.raises(UserError, match="No student"):
        interview.students(settings, seeds=[2])
    both = settings.model_copy(update={"seeds": [0, 1]})
    assert interview.name(both, second) == "CF:Unrevised, seed 1"


@pytest.mark.parametrize(
    "text, choices, sentence",
    [
        (" ", "a, b", "The question is empty"),
        ("Why?", "", "has 0 choices; give 2 to 8, with commas"),
        ("Why?", "oven", "has 1 choice; give 2 to 8"),
        ("Why?", "a,b,c,d,e,f,g,h,i", "has 9 choices"),
        ("Why?", "Oven, bed, oven ", "has the choice 'oven' twice"),
        ("Why?" * 600, "a, b", "is longer than 2,000 characters"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(text, choices, sentence):
    with pytest.raises(UserError, match=sentence):
        interview.question(text, choices)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "needs one column 'question'; it has none"),
        ("question,answers\nWhy?,a\n", "needs one column 'choices'; it has .'question', 'answers'"),
        ("question,choices\n\n", "holds no question"),
        ("question,choices\nWhy?,a, b\n", "line 2 has more cells than columns"),
        ('question,choices\nWhy?,"a, b"\nWhy?,a\n', "line 3 has 1 choice;"),
        ('question,choices\nWhy?,"a, b\n', "after line 1: unexpected end"),
    ],
)
def test_a_file_that_cannot_be_asked_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "q.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        interview.read(tmp_path / "q.csv")


def test_a_file_of_questions(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        interview.read(tmp_path / "q.csv")
    text = '\ufeffid, question ,choices\r\n1,None?,"NA, null"\r\n,,\r\n2,Why?,"a, b; c"\r\n'
    (tmp_path / "q.csv").write_text(text, encoding="utf-8")
    found = interview.read(tmp_path / "q.csv")
    assert [(q.question, q.choices) for q in found] == [
        ("None?", ("NA", "null")),
        ("Why?", ("a, b", "c")),
    ]


FOUND = pd.DataFrame(
    {
        "question": ["=1+1?", "=1+1?", "Why?"],
        "choices": [["<b>", "2"], ["<b>", "2"], ["a", "b", "c"]],
        "student": ["label-only", "MT:Revised", "label-only"],
        "answer": [None, "2", "c"],
        "written": ["So the answer\x1b is 3" + " or 4" * 20, "So the answer is 2.", "c"],
        "p": [[0.25, 0.75], [1.0, 0.0], [0.1, 0.2, 0.7]],
        "explanation": [None, "@x \x1b[31m<script>\n" + "word " * 30, None],
    }
)


def test_a_table_for_a_file_holds_no_formula():
    table = pd.read_csv(io.StringIO(interview.flat(FOUND).to_csv(index=False)))
    columns = ["question", "choices", "student", "answer", "written", "p_A", "p_B", "p_C"]
    assert list(table) == [*columns, "explanation"]
    assert table["question"].tolist() == ["'=1+1?", "'=1+1?", "Why?"]
    assert table["choices"][0] == "<b>; 2" and table["explanation"][1].startswith("'@x")
    assert table["p_C"].isna().tolist() == [True, True, False] and table["p_B"][0] == 0.75


def test_side_by_side_and_in_a_terminal():
    table = interview.side_by_side(FOUND[:2])
    assert list(table) == ["answer", "(A) <b>", "(B) 2", "explanation"]
    none = 'none of these: "So the answer is 3 or 4 or 4 or 4 or 4 or 4 or 4 or 4 or..."'
    assert table.loc["label-only"].tolist() == [none, "██" + " " * 9 + " 25 %",
                                                "████████   " + " 75 %", ""]  # fmt: skip
    assert "<script>" not in table.to_html() and "&lt;script&gt;" in table.to_html()
    first, second = (interview.lines(row, 60) for row in interview.rows(FOUND[:2]))
    assert first == [f"label-only: {none}", "  A ██          25 %   B ████████    75 %"]
    assert second[0] == "MT:Revised: (B) 2" and max(map(len, second)) <= 60
    assert second[2].startswith("  @x") and "\x1b" not in "".join(second)


def test_the_command(settings, tmp_path, monkeypatch, capsys):
    """From a file, in one call, and typed; what is wrong is one sentence, and typing goes on."""
    monkeypatch.setattr(profile, "load", lambda _: settings)
    given, out = tmp_path / "q.csv", tmp_path / "q.answers.csv"
    given.write_text('question,choices\nWhy?,"a, b"\n', encoding="utf-8")
    interview.main(["smoke", "--file", str(given)])
    assert capsys.readouterr().out == f"Answers:  {out}\n"
    assert pd.read_csv(out)[["question", "choices"]].values.tolist() == [["Why?", "a; b"]]
    for wrong in (["--out", str(given)], ["--out", str(tmp_path)], ["--question", "Why?"]):
        with pytest.raises(SystemExit, match="OUT must be a file|not both"):
            interview.main(["smoke", "--file", str(given), *wrong])

    typed = iter([BOOTS, "oven", BOOTS, "oven, bed", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    interview.main(["smoke"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 students of profile smoke listen; an empty line ends."
    assert "has 1 choice" in said[1] and said[2:4] == [BOOTS, "(A) oven (B) bed"]
    assert said[4].startswith("CF:Unrevised: ")
    interview.main(["smoke", "--question", BOOTS, "--choices", "oven, bed"])
    assert capsys.readouterr().out.splitlines() == said[2:]
