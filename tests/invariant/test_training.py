"""What must not change a student: padding, passes, processes, fusing, an interruption."""

import pandas as pd
import pytest
import torch

from lib.students import train
from lib.students.model import target_logits
from tests.students.examples import WEIGHTS, close, load, run, steps

ARCHITECTURES = ["tiny:llama", "tiny:t5"]


@pytest.fixture(params=ARCHITECTURES)
def student(request):
    return load(request.param)


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_padding_does_not_change_a_row(student):
    model, encoder = student
    model.eval()
    short, long = encoder.example("a?", "b."), encoder.example("a much longer question?", "c d e.")
    alone, _ = target_logits(model, encoder.collate([short]))
    together, _ = target_logits(model, encoder.collate([short, long]))
    torch.testing.assert_close(alone, together[: len(alone)], rtol=1e-4, atol=1e-5)


def test_fused_objectives_are_a_pass_for_each(student):
    model, encoder = student
    data = steps(encoder)
    loss, (sums, counts) = train.losses(model, data[0]["passes"][0])
    loss.backward()
    fused, total = gradients(model), 0.0
    for name, weight in WEIGHTS.items():
        rows = [data.examples[name][i] for i in data.questions_of(0)]
        logits, labels = target_logits(model, encoder.collate(rows))
        part = torch.nn.functional.cross_entropy(logits, labels)
        (weight * part).backward()
        total += weight * part.item()
        number = train.OBJECTIVES.index(name)
        assert counts[number] == len(labels)
        assert sums[number] / counts[number] == pytest.approx(part.item(), abs=1e-5)
    assert loss.item() == pytest.approx(total, abs=1e-5)
    close(fused, gradients(model))


@pytest.mark.parametrize("split", [{"accumulation": 4}, {"accumulation": 2, "world": 2}])
def test_passes_and_processes_sum_to_the_whole_step(student, split):
    model, encoder = student
    train.losses(model, steps(encoder)[0]["passes"][0])[0].backward()
    whole = gradients(model)
    for rank in range(split.get("world", 1)):
        step = steps(encoder, **split, rank=rank)[0]
        assert len(step["passes"]) == split["accumulation"]
        for batch in step["passes"]:
            train.losses(model, batch)[0].backward()
    close(whole, gradients(model))


@pytest.mark.parametrize(
    ("reference", "rank"), [("tiny:llama", None), ("tiny:t5", None), ("tiny:llama", 4)]
)
def test_resumed_is_uninterrupted(reference, rank, tmp_path, monkeypatch):
    whole, expected = run(tmp_path / "whole", reference, lora_rank=rank)

    class Killed(Exception):
        pass

    def stop(self, args, state, control, **_):
        if state.global_step == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train.Diary, "on_step_end", stop)
        with pytest.raises(Killed):
            run(tmp_path / "broken", reference, lora_rank=rank)
    assert (tmp_path / "broken" / "checkpoint-4").is_dir()
    record, found = run(tmp_path / "broken", reference, lora_rank=rank)
    close(expected, found, 0)
    assert record["tokens"] == whole["tokens"] > 0
    columns = ["step", "split", "task", "loss"]
    a, b = (pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("whole", "broken"))
    assert a[a["split"] == "dev"].equals(b[b["split"] == "dev"])
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


def test_the_seed_decides_the_weights(tmp_path, monkeypatch):
    one = run(tmp_path / "one")[1]
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as `accelerate launch` leaves it
    close(one, run(tmp_path / "same")[1], 0)
    other = run(tmp_path / "other", seed=1)[1]
    assert any(not torch.equal(one[name], other[name]) for name in one)
