"""What training keeps: the best weights, whole checkpoints, the history."""

import pandas as pd

from lib.common import files
from lib.students import train
from tests.students.examples import SETTINGS, WEIGHTS, run


def test_a_damaged_checkpoint_is_removed(tmp_path, capsys):
    for step in (2, 10, 4):
        weights = tmp_path / f"checkpoint-{step}" / "model.safetensors"
        digest = files.sha256_file(files.write_text(weights, "x" * step))
        record = {"files": {"model.safetensors": digest}}
        files.write_json(weights.with_name("checkpoint.json"), record)
    (tmp_path / "checkpoint-10" / "checkpoint.json").unlink()
    (tmp_path / "checkpoint-4" / "model.safetensors").write_text("xx", encoding="utf-8")
    assert train.last_checkpoint(tmp_path) == (tmp_path / "checkpoint-2", 2)
    said = capsys.readouterr().out
    assert "checkpoint-10 is not whole" in said and "checkpoint-4 is not whole" in said
    assert train.last_checkpoint(tmp_path / "empty") == (None, 0)


def test_the_best_dev_weights_are_kept(tmp_path, capsys):
    """With a learning rate that ruins the model, the first evaluation wins."""
    wild = {"learning_rate": 0.5, "evaluate_every": 1, "steps": 4, "warmup_steps": 0}
    wild |= {"schedule": "constant", "checkpoint_every": None}
    record, _ = run(tmp_path, settings=SETTINGS.model_copy(update=wild))
    history = pd.read_csv(tmp_path / "history.csv")
    dev = history[history["split"] == "dev"].pivot(index="step", columns="task", values="loss")
    assert record["best_step"] == dev["loss"].idxmin() < 4
    assert record["dev_loss"] == dev["loss"].min()
    weighted = sum(weight * dev[name] for name, weight in WEIGHTS.items())
    pd.testing.assert_series_equal(weighted, dev["loss"], check_names=False)
    assert set(history.loc[history["split"] == "train", "task"]) == set(WEIGHTS)
    said = capsys.readouterr().out
    assert "MT+CF tiny seed 0 | step 1 | dev loss" in said and "4/4 steps" in said
