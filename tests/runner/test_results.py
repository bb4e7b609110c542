"""Collected results: what is recomputed and drawn from them, and README's tables."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths, profile
from lib.common.errors import UserError
from lib.evaluation import measures, transfer
from lib.findings import replication
from lib.runner import results

ARMS = ["label-only", "CF:Unrevised", "MT:Unrevised", "MT+CF:Unrevised", "MT+CF:Revised"]
QUESTIONS = 40


def made_up() -> dict[str, pd.DataFrame]:
    """Results of five arms and two seeds: CF is right on every fourth question, all others on
    every second; all choose right by likelihood."""
    rng = np.random.default_rng(0)
    student = {"arm": ARMS, "size": ["135M"], "seed": [0, 1]}
    asked = cross(**student, id=[f"q{i}" for i in range(QUESTIONS)])
    i = asked["id"].str[1:].astype(int)
    right = i % asked["arm"].map({"CF:Unrevised": 4}).fillna(2) == 0
    answers = asked.assign(gold=0, options=5, answered=1 - right, likeliest=0, likely=1)
    answers["correct"] = right.astype(int)
    texts = asked["arm"] != "label-only"
    explained = asked[texts].assign(**dict.fromkeys(measures.MEASURES, 0.5))
    explained = explained.assign(characters=100 + i, empty=0, mentions_other_choices=0.01 * (i % 3))
    readings = answers[texts].assign(
        read_question=0,
        read_both=i % 2,
        read_explanation=1,
        read_masked=1,
        p_question=rng.random(texts.sum()),
        p_both=rng.random(texts.sum()),
    )
    counts = {"n": 40, "correct": 20, "unanswered": 0, "accuracy": 0.5, "low": 0.3, "high": 0.7}
    moved = cross(**student, trained_on=["commonsenseqa"], task=["commonsenseqa", "minicqa"])
    costs = cross(**student).assign(tokens=1000, peak_memory_gb=2.0, tokens_per_second=16.0)
    losses = cross(**student, step=[1, 2], split=["train", "dev"], task=["predict"])
    return {
        "answers": answers,
        "explanations": explained,
        "readings": readings,
        "faithfulness": asked[["arm", "size", "seed", "id"]]
        .query("arm == 'CF:Unrevised' and id == 'q1'")
        .assign(choice=1, followed=1, anyway=0),
        "losses": losses.assign(loss=1 / (losses["step"] + 1)),
        "transfer": moved.assign(**counts, likelihood=0.5, chance=0.2)[transfer.COLUMNS],
        "runs": costs.assign(seconds=60.0 + costs["seed"]),
        "untrained": pd.DataFrame([{"reading": "each choice alone, sum", "size": "135M"} | counts]),
    }


def cross(**values) -> pd.DataFrame:
    """A row for every combination of the values."""
    return pd.MultiIndex.from_product(values.values(), names=values).to_frame(index=False)


def write(root, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "FIGURES", root / "figures")
    for name, table in made_up().items():
        path = results.home("smollm2_gpu") / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    return results.home("smollm2_gpu")


@pytest.fixture
def written(tmp_path, monkeypatch):
    return write(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The tables of the made-up results, from the files alone."""
    with pytest.MonkeyPatch.context() as patch:
        write(tmp_path_factory.mktemp("results"), patch)
        return results.tables(results.load("smollm2_gpu"))


def test_tables_come_from_the_files_alone(found):
    summary = found["summary"].set_index("arm")
    assert summary["accuracy"].tolist() == pytest.approx([50, 25, 50, 50, 50])
    assert list(summary.index) == ARMS
    assert (summary["likeliest"] == 100).all() and (summary["first"] == 100).all()
    assert summary.loc["CF:Unrevised", "seconds"] == 60.5
    assert summary.loc["MT:Unrevised", "paper_770M"] == pytest.approx(75.5616003)
    assert summary.loc["label-only", ["named", "paper_770M"]].isna().all()
    assert summary.loc["MT:Unrevised", "characters"] == 119.5


def test_a_position_that_students_prefer_shows(found):
    letters = found["letters"].set_index("arm")
    assert letters["A"].tolist() == [100] * 6 and letters.index[0] == "(right answers)"


def test_markdown_has_a_row_a_student_and_dashes_for_what_is_not_there(found):
    lines = replication.markdown(found["summary"], replication.SUMMARY).splitlines()
    assert len(lines) == 2 + len(ARMS) and len({line.count("|") for line in lines}) == 1
    row = next(line for line in lines if line.startswith("| label-only"))
    assert row.startswith("| label-only | 2 x 40 | 50.0 [") and row.endswith("| – | – |")
    shown = results.markdown_tables(found)
    assert [text.split("\n")[0].strip("| ").split(" | ")[1] for text in shown] == [
        "seeds x questions",
        "explanation, characters",
        "accuracy, %",
        "difference",
    ]
    assert "| each choice alone, sum | 50.0 [30.0, 70.0] |" in shown[2]


def test_positions_are_those_of_all_collected_runs(written):
    table = results.position_bias()
    assert set(table["profile"]) == {"smollm2_gpu"} and set(table["questions"]) == {8628}
    assert table.groupby("letter")[["share", "gold"]].first().values.tolist() == [
        [100, 100],
        [0, 0],
    ]


def test_figures_are_drawn_from_the_files(written, monkeypatch, capsys):
    drawn = {}
    monkeypatch.setattr(results, "collected", lambda: ["smollm2_gpu"])
    monkeypatch.setattr(
        results.style, "save", lambda figure, name, table, stage, **_: drawn.update({name: table})
    )
    folder = results.draw("smollm2_gpu")
    assert set(drawn) == {
        "student_accuracy",
        "accuracy_differences",
        "claims",
        "explanation_measures",
        "tradeoff",
        "own_answer",
        "support",
        "transfer",
        "loss_curves",
        "training_cost",
    }
    seconds = drawn["training_cost"].query("cost == 'seconds'")
    assert set(seconds["min"]) == {60} and set(seconds["max"]) == {61}
    assert (folder / "tables" / "summary.csv").is_file()
    assert "| label-only | 2 x 40 |" in capsys.readouterr().out


def test_runs_that_were_collected_before_agreement_was_measured(written):
    path, readings = written / "explanations.csv", written / "readings.csv"
    pd.read_csv(path).drop(columns=["agrees", "argues_against"]).to_csv(path, index=False)
    pd.read_csv(readings).drop(columns="read_masked").to_csv(readings, index=False)
    found = results.tables(results.load("smollm2_gpu"))
    assert not {"agreement", "own_answer", "joint", "battery", "information"} & set(found)
    masked = found["measures"].query("measure == 'agrees_masked'")
    assert len(masked) == 4 and masked["mean"].isna().all()
    assert "its own" not in results.markdown_tables(found)[1]


def test_new_methods_are_held_against_mt(written, found):
    assert list(found["joint"]["arm"]) == ARMS[1:] and len(results.markdown_tables(found)) == 4
    for name in ("answers", "explanations", "readings"):
        table = pd.read_csv(written / f"{name}.csv")
        arms = table["arm"].replace("MT+CF:Revised", "answer-first:Unrevised")
        table.assign(arm=arms).to_csv(written / f"{name}.csv", index=False)
    shown = results.markdown_tables(results.tables(results.load("smollm2_gpu")))
    assert (
        shown[4].splitlines()[-1].startswith("| answer-first:Unrevised | +0.0 [+0.0, +0.0] | 50.0")
    )
    assert shown[4].splitlines()[-1].endswith("| as accurate, agrees too seldom |")


def test_parts_that_only_some_runs_have(written):
    student = {"arm": "CF:Unrevised", "size": "135M", "seed": 0}
    row = {"id": "q1", "condition": "0 %", "change": -0.5, "kept": 1, "followed": np.nan}
    pd.DataFrame([row | student]).to_csv(written / "battery.csv", index=False)
    told = student | {"measure": "right choice", "n": 1, "mean": 0.3, "low": 0.2, "high": 0.4}
    pd.DataFrame([told]).to_csv(written / "information.csv", index=False)
    found = results.tables(results.load("smollm2_gpu"))
    assert found["information"]["mean"].tolist() == [0.3]
    assert set(found["battery"]["measure"]) == {"kept, 0 %", "change, 0 %"}


def test_what_is_missing_or_damaged_is_said(written):
    with pytest.raises(
        UserError, match="No results of profile 'cpu' are collected.*there are smollm2_gpu"
    ):
        results.load("cpu")
    (written / "answers.csv").rename(written / "answers.CSV")
    with pytest.raises(UserError, match="answers.csv is missing; restore it with git"):
        [results.load(name) for name in results.collected()]
    (written / "answers.CSV").rename(written / "answers.csv")
    (written / "runs.csv").unlink()
    with pytest.raises(UserError, match="runs.csv is missing; restore it with git"):
        results.load("smollm2_gpu")


def test_a_profile_stands_for_those_that_extend_it(monkeypatch, capsys):
    monkeypatch.setattr(results, "collected", lambda: ["cpu", "smollm2_subset"])
    assert results._wanted(None) == ["cpu", "smollm2_subset"]
    assert results._wanted("smollm2_gpu") == ["smollm2_subset"]
    assert "Of smollm2_gpu itself nothing is collected" in capsys.readouterr().out
    monkeypatch.setattr(results, "collected", lambda: ["cpu", "smollm2_gpu", "smollm2_subset"])
    assert results._wanted("smollm2_gpu") == ["smollm2_gpu"]
    assert results._wanted("cpu") == ["cpu"] and results._wanted("smoke") == ["smoke"]
    assert profile.ancestors("smollm2_subset") == ["smollm2_gpu"] and profile.ancestors("cpu") == []


def test_the_hash_is_of_all_that_was_written():
    table = pd.DataFrame({"id": ["b", "a"], "prediction": ["x", "y"], "explanation": [None, "é"]})
    assert results.texts_hash(table) == results.texts_hash(table.iloc[::-1])
    assert results.texts_hash(table) != results.texts_hash(table.assign(prediction=["x", "z"]))


@pytest.mark.parametrize("name", results.collected())
def test_readme_shows_what_the_collected_files_say(name):
    readme = (results.home("x").parent / "README.md").read_text(encoding="utf-8")
    found = results.tables(results.load(name))
    family = results.NEW in (name, *profile.ancestors(name))  # in one table, by make figures
    shown = results.tables(results.new_methods()) if family else found
    for table in results.markdown_tables(shown):
        assert table in readme, f"make figures{f' PROFILE={name}' * (not family)}"
    runs = results.load(name)["runs"].set_index(results.STUDENT)
    again = found["students"].set_index(results.STUDENT)
    assert (runs["correct"] == again["correct"]).all() and (runs["n"] == again["n"]).all()
