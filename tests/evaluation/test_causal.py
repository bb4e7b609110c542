"""Does the answer depend on the explanation: by hand, on tiny students, and what is kept."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.evaluation import answers, causal
from lib.models import checkpoints
from lib.questions.question import Question
from lib.students import grid, jobs
from lib.students.model import load_student
from lib.teacher.texts import write_explanations

QUESTIONS = [
    Question("a", "Who?", ("me", "you", "they"), 0),
    Question("b", "Why?", ("x", "y", "z"), 1),
]
RATIONALES = [["Me.", "You did it.", None], [None, "Y is why.", None]]
LIMITS = profile.EvaluationSettings(batch_size=4, answer_tokens=4, explanation_tokens=8)


def test_shorter_explanations_and_filler():
    found = causal.shortened("one two three four five")
    assert found == {
        "75 %": "one two three",
        "50 %": "one two",
        "25 %": "one",
        "0 %": "",
        "filler": "... ... ... ... ...",
    }
    assert set(causal.shortened("").values()) == {""}
    assert causal.lead("So.") == "So. " and causal.lead("") == ""


def test_normalised_scores_by_hand():
    """A liking for the first choice alone, e times as likely, counts for nothing."""
    assert causal.normalised([1.0, 0.0], [1.0, 0.0]) == pytest.approx(np.log([0.5, 0.5]))
    base = [0.0, np.log(2)]
    assert causal.normalised([np.log(3), 0.0], base) == pytest.approx(np.log([6 / 7, 1 / 7]))


def test_changes_by_hand(monkeypatch):
    """Scores stand for the last word before the answer: the explanation "x y" leads to choice 1."""
    known = {"y": [0, 2, 0], "x": [1, 0, 0], "...": [0, 1, 1], "": [1, 0, 0], "swap": [0, 0, 3]}
    question = Question("a", "Who?", ("me", "you", "they"), 0)

    def scores(model, tokenizer, inputs, asked, leads, ends=True):
        bare = [0, 0, np.log(2)]
        words = [text.split()[-1] if text.split() else "" for text in leads]
        return [
            bare if q.question == "N/A" else known[w] for q, w in zip(asked, words, strict=True)
        ]

    monkeypatch.setattr(answers, "scores", scores)
    monkeypatch.setattr(answers, "generate", lambda *_: ["x y So the answer is you."])
    found = causal.changes(None, None, [question], [["", "own", "a swap"]], LIMITS)
    found = found.set_index("condition")
    assert list(found.index) == causal.CONDITIONS
    assert found["kept"].to_dict() == {
        "own": 1,
        "75 %": 0,
        "50 %": 0,
        "25 %": 0,
        "0 %": 0,
        "filler": 1,
        "swapped": 0,
        "no question": 0,
    }
    e = np.exp
    then = np.log(e(2) / (1 + e(2) + 1 / 2))  # the last choice is twice as likely anyway
    assert found["change"].to_dict() == pytest.approx(
        {
            "own": 0,
            **dict.fromkeys(["75 %", "50 %"], np.log(1 / (e(1) + 1 + 1 / 2)) - then),
            **dict.fromkeys(["25 %", "0 %"], np.log(1 / (e(1) + 1 + 1 / 2)) - then),
            "filler": np.log(e(1) / (1 + e(1) + e(1) / 2)) - then,
            "swapped": np.log(1 / (1 + 1 + e(3) / 2)) - then,
            "no question": np.log(1 / 3) - then,
        }
    )
    assert found["followed"]["swapped"] == 1 and found["followed"].count() == 1
    nobody = causal.changes(None, None, [question], [["right", "own", None]], LIMITS)
    assert "swapped" not in set(nobody["condition"]), "no rationale for another wrong choice"


@pytest.mark.parametrize("reference", ["tiny:llama", "tiny:t5"])
def test_changes_of_tiny_models(reference):
    model = checkpoints.load(checkpoints.fetch(reference), "float32", "cpu")
    found = causal.changes(*model, QUESTIONS, RATIONALES, LIMITS)
    assert list(found) == causal.CHANGES and np.isfinite(found["change"]).all()
    assert set(found["condition"]) - {"swapped"} == set(causal.CONDITIONS) - {"swapped"}
    own = found[found["condition"] == "own"]
    assert (own["change"] == 0).all() and (own["kept"] == 1).all() and len(own) == 2
    assert causal.changes(*model, [], [], LIMITS).empty


def test_the_table_by_hand():
    rows = [("a", "own", 0.0, 1.0, np.nan), ("b", "own", 0.0, 1.0, np.nan)]
    rows += [("a", "50 %", -1.0, 1.0, np.nan), ("b", "50 %", -2.0, 0.0, np.nan)]
    rows += [("b", "swapped", -3.0, 0.0, 1.0)]
    battery = pd.DataFrame(rows, columns=causal.CHANGES).assign(arm="CF", size="x", seed=0)
    found = causal.battery_table(battery)
    assert list(found) == ["arm", "size", "measure", "n", "mean", "low", "high"]
    assert found[["measure", "n", "mean"]].values.tolist() == [
        ["kept, 50 %", 2, 0.5],
        ["change, 50 %", 2, -1.5],
        ["kept, swapped", 1, 0.0],
        ["change, swapped", 1, -3.0],
        ["followed, swapped", 1, 1.0],
    ]
    assert (found["low"][1], found["high"][1]) == (-2.0, -1.0)
    empty = causal.battery_table(battery.head(0))
    assert empty.empty and list(empty) == list(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Settings, table and texts of two tiny students of the smoke profile."""
    home = tmp_path_factory.mktemp("home")
    smoke = profile.load("smoke")
    few = smoke.training.model_copy(update={"steps": 2, "checkpoint_every": None})
    arms = ["label-only", "CF:Unrevised"]
    update = {"students": smoke.students[:1], "seeds": [0], "arms": arms, "training": few}
    settings = smoke.model_copy(update=update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", home / "data" / "runs")
        patch.setattr(paths, "TEXTS", home / "texts")
        texts = write_explanations(settings).assign(revision="So.")
        yield settings, jobs.train_all(settings, texts), texts
    load_student.cache_clear()


def test_only_students_that_explain_first_and_kept(run, monkeypatch, capsys):
    settings, trained, texts = run
    found = causal.battery(settings, trained, texts)
    assert "no answer follows the explanation there: label-only." in capsys.readouterr().out
    assert list(found) == causal.COLUMNS and set(found["arm"]) == {"CF:Unrevised"}
    monkeypatch.setattr(causal, "changes", None)  # from now on only what is kept
    assert causal.battery(settings, trained, texts).equals(found)
    (student, folder) = grid.finished(settings, trained)[1]
    record = (folder / "student.json").read_bytes()
    files.write_json(folder / "student.json", json.loads(record) | {"files": {"x": "other"}})
    with pytest.raises(TypeError):
        causal.battery(settings, trained, texts)
    (folder / "student.json").write_bytes(record)
    changed = [["Another."] * len(given) for given in texts["counterfactuals"]]
    with pytest.raises(TypeError):
        causal.battery(settings, trained, texts.assign(counterfactuals=changed))


def test_nothing_to_ask(run, capsys):
    """No rationales, or no arm whose answer follows: an empty table with its columns."""
    settings, trained, texts = run
    found = causal.battery(settings, trained, texts.head(0))
    assert found.empty and list(found) == causal.COLUMNS
    fewer = settings.model_copy(update={"arms": ["label-only"]})
    found = causal.battery(fewer, trained[trained["arm"] == "label-only"], texts)
    assert found.empty and list(found) == causal.COLUMNS
    assert causal.battery_table(found).empty
    assert capsys.readouterr().out.count("Not asked") == 2
