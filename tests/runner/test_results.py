"""Collected results: what is written, what is recomputed, and README's tables from them."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths, profile
from lib.common.errors import UserError
from lib.evaluation import accuracy, measures, transfer
from lib.findings import replication
from lib.runner import results

ARMS = ["label-only", "CF:Unrevised", "MT:Unrevised", "MT+CF:Unrevised", "MT+CF:Revised"]
QUESTIONS = 40


def made_up() -> dict[str, pd.DataFrame]:
    """Results of five arms and two seeds: CF is right on every fourth question, all others on
    every second, MT in addition on the first ten; revised explanations name half of the others."""
    rng, rows, explained, readings, costs = np.random.default_rng(0), [], [], [], []
    for arm in ARMS:
        for seed in (0, 1):
            costs.append(
                {
                    "arm": arm,
                    "size": "135M",
                    "seed": seed,
                    "seconds": 60.0 + seed,
                    "tokens": 1000,
                    "peak_memory_gb": 2.0,
                    "tokens_per_second": 16.0,
                }
            )
            for i in range(QUESTIONS):
                right = i % (4 if arm.startswith("CF") else 2) == 0 or (
                    arm == "MT:Unrevised" and i < 10
                )
                key = {"arm": arm, "size": "135M", "seed": seed, "id": f"q{i}"}
                rows.append(
                    {
                        **key,
                        "gold": 0,
                        "options": 5,
                        "answered": 0 if right else 1,
                        "likeliest": 0,
                        "correct": int(right),
                        "likely": 1,
                    }
                )
                if arm != "label-only":
                    named = (0.5 if arm.endswith(":Revised") else 0.0) + 0.01 * (i % 3)
                    values = dict.fromkeys(measures.MEASURES, 0.5)
                    explained.append(
                        {
                            **key,
                            **values,
                            "characters": 100 + i,
                            "empty": 0,
                            "mentions_other_choices": named,
                        }
                    )
                    readings.append(
                        {
                            **key,
                            "answered": 0,
                            "correct": int(right),
                            "read_question": 0,
                            "read_both": i % 2,
                            "read_explanation": 1,
                            "p_question": rng.random(),
                            "p_both": rng.random(),
                        }
                    )
    moved = pd.DataFrame(
        [
            {
                "trained_on": "commonsenseqa",
                "arm": arm,
                "size": "135M",
                "seed": 0,
                "task": task,
                "n": 40,
                "correct": 20,
                "unanswered": 0,
                "accuracy": 0.5,
                "low": 0.3,
                "high": 0.7,
                "likelihood": 0.5,
                "chance": 0.2,
            }
            for arm in ARMS
            for task in ("commonsenseqa", "minicqa")
        ]
    )
    followed = pd.DataFrame(
        [
            {
                "arm": "CF:Unrevised",
                "size": "135M",
                "seed": 0,
                "id": "q1",
                "choice": 1,
                "followed": 1,
                "anyway": 0,
            }
        ]
    )
    losses = pd.DataFrame(
        [
            {
                "arm": arm,
                "size": "135M",
                "seed": 0,
                "step": step,
                "split": split,
                "task": "predict",
                "loss": 1 / (step + 1),
            }
            for arm in ARMS
            for step in (1, 2)
            for split in ("train", "dev")
        ]
    )
    return {
        "answers": pd.DataFrame(rows),
        "explanations": pd.DataFrame(explained),
        "readings": pd.DataFrame(readings),
        "faithfulness": followed,
        "losses": losses,
        "transfer": moved[transfer.COLUMNS],
        "runs": pd.DataFrame(costs),
    }


def write(root, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "FIGURES", root / "figures")
    for name, table in made_up().items():
        path = results.home("smollm2") / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    return results.home("smollm2")


@pytest.fixture
def written(tmp_path, monkeypatch):
    return write(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The tables of the made-up results, from the files alone."""
    with pytest.MonkeyPatch.context() as patch:
        write(tmp_path_factory.mktemp("results"), patch)
        return results.tables(results.load("smollm2"))


def test_tables_come_from_the_files_alone(found):
    summary = found["summary"].set_index("arm")
    assert summary["accuracy"].to_dict() == pytest.approx(
        {
            "label-only": 50,
            "CF:Unrevised": 25,
            "MT:Unrevised": 62.5,
            "MT+CF:Unrevised": 50,
            "MT+CF:Revised": 50,
        }
    )
    assert (summary["likeliest"] == 100).all() and summary.loc["CF:Unrevised", "seconds"] == 60.5
    assert summary.loc["MT:Unrevised", "paper_770M"] == pytest.approx(75.5616003)
    assert np.isnan(summary.loc["label-only", "named"]) and np.isnan(
        summary.loc["label-only", "paper_770M"]
    )
    assert summary.loc["MT:Unrevised", "characters"] == 119.5


def test_a_place_that_students_prefer_shows(found):
    letters = found["letters"].set_index("arm")
    assert letters["A"].tolist() == [100] * 6 and letters.index[0] == "(right answers)"
    assert (found["summary"]["first"] == 100).all()
    answers = made_up()["answers"].query("arm == 'CF:Unrevised' and seed == 0")
    answers = answers.assign(
        likeliest=np.arange(QUESTIONS) % 4 // 2, gold=np.arange(QUESTIONS) % 2 * 2
    )
    table = accuracy.letter_table(answers).set_index("arm")
    assert table.loc["(right answers)", ["A", "B", "C"]].tolist() == [50, 0, 50]
    assert table.loc["CF:Unrevised", ["A", "B", "C"]].tolist() == [50, 50, 0]


def test_claims_with_intervals_and_verdicts(found):
    found = found["verdicts"].set_index("difference of")
    assert found.loc["MT:Unrevised - CF:Unrevised", "difference"] == pytest.approx(37.5)
    assert found.loc["MT:Unrevised - CF:Unrevised", "holds"] == "yes; by likeliest choice open"
    assert found.loc[
        "MT:Unrevised - CF:Unrevised", ["likely_difference", "likely_low"]
    ].tolist() == [0, 0]
    assert found.loc["MT:Unrevised - MT+CF:Unrevised", "difference"] == 12.5
    same = found.loc["MT+CF:Revised - MT+CF:Unrevised"]
    assert same["difference"].tolist() == pytest.approx([0, 50]) and same["holds"].tolist() == [
        "open",
        "yes",
    ]
    assert same["paper"].iloc[0] == pytest.approx(-1.0511802) and np.isnan(same["paper"].iloc[1])


def test_a_reversed_claim_is_called_no_and_missing_methods_are_left_out():
    data = made_up()
    swapped = {"CF:Unrevised": "MT:Unrevised", "MT:Unrevised": "CF:Unrevised"}
    answers = data["answers"].replace({"arm": swapped})
    answers = answers[answers["arm"].isin(list(swapped))].assign(likely=lambda t: t["correct"])
    found = replication.verdicts(answers, data["explanations"].head(0))
    assert found[["difference of", "holds"]].to_numpy().tolist() == [
        ["MT:Unrevised - CF:Unrevised", "no"]
    ]


def test_markdown_has_a_row_a_student_and_dashes_for_what_is_not_there(found):
    lines = replication.markdown(found["summary"]).splitlines()
    assert len(lines) == 2 + len(ARMS) and len({line.count("|") for line in lines}) == 1
    row = next(line for line in lines if line.startswith("| label-only"))
    assert row.startswith("| label-only | 2 x 40 | 50.0 [") and row.endswith("| – | – |")


def test_figures_are_drawn_from_the_files(written, monkeypatch):
    monkeypatch.setattr(results, "collected", lambda: ["smollm2"])
    folder = results.draw("smollm2")
    names = {path.stem for path in folder.glob("*.png")}
    assert names == {
        "student_accuracy",
        "accuracy_differences",
        "explanation_measures",
        "tradeoff",
        "transfer",
        "loss_curves",
        "training_cost",
    }
    drawn = pd.read_csv(folder / "training_cost.csv")
    assert {60.0, 61.0} <= set(drawn.select_dtypes("number").to_numpy().ravel())


def test_what_is_missing_or_damaged_is_said(written):
    with pytest.raises(
        UserError, match="No results of profile 'cpu' are collected.*there are smollm2"
    ):
        results.load("cpu")
    table = pd.read_csv(written / "readings.csv").drop(columns="p_both")
    table.to_csv(written / "readings.csv", index=False)
    with pytest.raises(UserError, match=r"readings.csv lacks the column\(s\) p_both; restore"):
        results.load("smollm2")
    (written / "runs.csv").unlink()
    table.assign(p_both=0).to_csv(written / "readings.csv", index=False)
    with pytest.raises(UserError, match="runs.csv is missing; restore it with git"):
        results.load("smollm2")


def test_a_profile_stands_for_those_that_extend_it(monkeypatch, capsys):
    monkeypatch.setattr(results, "collected", lambda: ["cpu", "smollm2_subset"])
    assert results._wanted(None) == ["cpu", "smollm2_subset"]
    assert results._wanted("smollm2") == ["smollm2_subset"]
    assert "Of smollm2 itself nothing is collected" in capsys.readouterr().out
    assert results._wanted("cpu") == ["cpu"] and results._wanted("smoke") == ["smoke"]
    assert profile.ancestors("smollm2_subset") == ["smollm2"] and profile.ancestors("cpu") == []


def test_the_hash_is_of_all_that_was_written():
    table = pd.DataFrame({"id": ["b", "a"], "prediction": ["x", "y"], "explanation": [None, "é"]})
    assert results.texts_hash(table) == results.texts_hash(table.iloc[::-1])
    assert results.texts_hash(table) != results.texts_hash(table.assign(prediction=["x", "z"]))


@pytest.mark.parametrize("name", results.collected())
def test_readme_shows_what_the_collected_files_say(name):
    readme = (paths.ROOT / "README.md").read_text() + (
        results.home("x").parent / "README.md"
    ).read_text()
    found = results.tables(results.load(name))
    for table in (table for table in ("summary", "verdicts") if len(found[table])):
        assert replication.markdown(found[table]) in readme, (
            f"make figures PROFILE={name} prints it"
        )
    runs = results.load(name)["runs"].set_index(results.STUDENT)
    again = found["students"].set_index(results.STUDENT)
    assert (runs["correct"] == again["correct"]).all() and (runs["n"] == again["n"]).all()
