"""The listwise method: a judge's verdicts on rationales for all choices of a question."""

import math

import pytest
import torch

from lib.common import methods
from lib.common.errors import UserError
from lib.students import fast, model, objectives, train
from lib.students.data import IGNORE, JUDGE, RIVAL, Steps
from lib.students.objectives import Recipe
from tests.students.examples import QUESTIONS, SETTINGS, TEXTS, close, load, measured

WEIGHTS = methods.weights("listwise")
PAIRS = {
    split: {
        name: [objectives.pair(name, q, TEXTS) for q in rows]
        for name in WEIGHTS
        if name in objectives.PAIRS
    }
    for split, rows in (("train", QUESTIONS), ("dev", QUESTIONS[:3]))
}


def steps(encoder, **options):
    encoded = encoder.encode(PAIRS)["train"]
    return Steps(encoded, WEIGHTS, encoder, **{"steps": 2, "batch_size": 4} | options)


def test_the_judge_gets_a_cross_entropy_over_the_choices_of_its_question():
    """Two questions with scores log 0.5, log 0.3 (right: the first) and log 0.2, log 0.1 (right:
    the second), and a token of another objective."""
    nll = -torch.log(torch.tensor([0.5, 0.3, 0.2, 0.1, 0.9]))
    of = torch.tensor([JUDGE, RIVAL, RIVAL, JUDGE, 0])
    found = model.listwise(nll, of, torch.tensor([0, 0, 1, 1, 1]))
    expected = [-math.log(0.5 / 0.8), 0, 0, -math.log(0.1 / 0.3), -math.log(0.9)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_a_row_holds_a_branch_a_choice_and_one_for_the_contrast():
    encoder = load("tiny:llama")[1]
    data = steps(encoder)
    rows, counts = data.rows_of(0)
    assert len(rows) == 4 and counts["judge"] == 4 and counts["rival"] == 0
    for row in rows:
        assert max(row["branch"]) == 6
        assert (row["objective"].count(JUDGE), row["objective"].count(RIVAL)) == (1, 4)
        at = row["objective"].index(JUDGE)
        assert row["branch"][at] == 1 and row["labels"][at] == encoder.verdict
        assert row["input_ids"][at] == encoder.tokenizer.eos_token_id
    targets = sum(label != IGNORE for row in rows for label in row["labels"])
    assert sum(counts.values()) == targets - 4 * 4  # rivals' verdicts are no targets


def test_passes_and_the_fast_path_change_nothing(monkeypatch):
    monkeypatch.setattr(fast, "CHUNK", 7)
    net, encoder = load("tiny:llama")
    data = steps(encoder)
    expected = measured(net, data[0]["passes"])
    close(expected, measured(net, steps(encoder, accumulation=2)[0]["passes"]))
    for layout in (fast.Packed(encoder, (10, 20)), fast.Padded(encoder)):
        data.layout = layout
        assert all("question" in batch for batch in data[0]["passes"])
        close(expected, measured(net, data[0]["passes"], fast.losses))
        close(expected, measured(net, data[0]["passes"]))


def test_order_of_the_wrong_choices_does_not_matter():
    net, encoder = load("tiny:llama")
    expected = measured(net, steps(encoder)[0]["passes"])["losses"]
    data = steps(encoder)
    data.examples = data.examples | {
        "advocate": [[right, *rest[::-1]] for right, *rest in data.examples["advocate"]]
    }
    torch.testing.assert_close(expected, measured(net, data[0]["passes"])["losses"])


def test_a_judge_learns(tmp_path):
    from lib.common.profile import StudentModel
    from lib.students.grid import Student

    student = Student("listwise:Unrevised", StudentModel(size="tiny", model="tiny:llama"), 0)
    found = train.train(student, SETTINGS, WEIGHTS, PAIRS, tmp_path)
    history = (tmp_path / "history.csv").read_text(encoding="utf-8")
    assert ",judge," in history and "rival" not in history and found["dev_loss"] > 0


def test_an_encoder_decoder_is_refused():
    encoder = load("tiny:t5")[1]
    pairs = {"train": {"advocate": [objectives.pair("advocate", QUESTIONS[0], TEXTS, Recipe())]}}
    with pytest.raises(UserError, match="decoder-only; choose another student"):
        encoder.encode(pairs)
