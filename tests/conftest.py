"""Fixtures of all tests. ``make test`` runs them in two processes, of one thread each."""

import fcntl
import os
import re
import string
import subprocess
import sys
from pathlib import Path

if os.environ.get("PYTEST_XDIST_WORKER"):  # two threads each on two cores are far slower
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import matplotlib
import numpy as np
import pandas as pd
import pytest

from lib.common import paths
from lib.common.methods import PAPER_ARMS

matplotlib.use("Agg")  # draws without a screen
ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """Tests marked gpu are skipped where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a GPU (CUDA); see make gpu"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the authors' raw files (published/), or skip: they are not in the repository."""
    folder = Path(os.environ.get("HONEY_SHARED") or ROOT.parent / "shared")
    if not (folder / "published").is_dir():
        pytest.skip(f"no raw data: {folder} has no published/; set HONEY_SHARED")
    return folder


@pytest.fixture(scope="session")
def smoke_run() -> Path:
    """The folder data/runs/smoke with a finished run; what is out of date in it is run now, by one
    of the processes of tests, while the others wait."""
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    with open(paths.RUNS / ".smoke-of-tests", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "reproduce", "PROFILE=smoke"],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if "MAKE" not in k}
            | {"PYTHON": sys.executable},
            encoding="utf-8",
            capture_output=True,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return paths.RUNS / "smoke"


@pytest.fixture(scope="session")
def spiece(tmp_path_factory) -> Path:
    """A tiny T5 whose tokenizer is a spiece.model alone, as old checkpoints have it; it knows
    letters, digits, comma and full stop."""
    import sentencepiece

    from lib.models import checkpoints

    folder, source = tmp_path_factory.mktemp("spiece"), checkpoints.fetch("tiny:t5")
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).write_bytes((source / name).read_bytes())
    text = (paths.MINICQA / "train.jsonl").read_text(encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(re.findall(r"[A-Z0-9][\w ,.]{8,}", text)),
        model_prefix=str(folder / "spiece"),
        vocab_size=500,  # and 100 extra ids
        required_chars=string.ascii_letters + string.digits + ".,",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()
    return folder


@pytest.fixture
def style():
    """The house style for the figures of one test, which are closed after it."""
    import matplotlib.pyplot as plt

    from lib.figures import style as figures

    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


@pytest.fixture(scope="session")
def make_ratings():
    """Function that simulates checked ratings: each person rates each of the four methods in so
    many slots; effect lifts the last method."""
    from lib.human_study.ratings import CONSTRUCTS, check_ratings

    def make(people=24, effect=0.0, seed=0, slots=2):
        rng = np.random.default_rng(seed)
        rows = []
        for person in range(people):
            level = rng.normal(3.4, 0.7)
            for m, method in enumerate(PAPER_ARMS):
                for slot in range(slots):
                    lift = effect * (m == len(PAPER_ARMS) - 1)
                    values = np.clip(np.rint(level + lift + rng.normal(0, 0.8, 5)), 1, 5)
                    rows.append(
                        [
                            str(person),
                            method,
                            rng.integers(100, 400),
                            f"{m}-{slot}",
                            *values,
                            "male" if person % 3 else "female",
                        ]
                    )
        columns = ["participant", "method", "length", "slot", *CONSTRUCTS, "gender"]
        return check_ratings(pd.DataFrame(rows, columns=columns))

    return make
