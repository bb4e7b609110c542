"""Eight questions with texts and pairs, tiny students that learn them, a teacher's table."""

import pandas as pd
import torch
from safetensors.torch import load_file

from lib.common import methods
from lib.common.profile import StudentModel, TrainingSettings
from lib.models import checkpoints
from lib.questions import splits
from lib.questions.question import Question
from lib.students import objectives, train
from lib.students.data import Encoder, Steps
from lib.students.grid import Student
from lib.students.model import losses

WORDS = ["red", "wet", "loud", "cold", "soft", "new", "old", "dry"]
CHOICES = ("a b", "c", "dd", "e e e", "f")
QUESTIONS = [
    Question(f"q{i}", f"What is {'very ' * (i % 4)}{word}?", CHOICES, i % 5)
    for i, word in enumerate(WORDS)
]
TEXTS = {
    "explanation": "It just is so.",
    "revision": "It is, and c is not.",
    "counterfactuals": [f"Choice {i} seems right." for i in range(5)],
}
WEIGHTS = methods.weights("MT+CF", alpha=0.3, beta=0.6, gamma=0.4)
PAIRS = {
    split: {name: [objectives.pair(name, q, TEXTS) for q in rows] for name in WEIGHTS}
    for split, rows in (("train", QUESTIONS), ("dev", QUESTIONS[:3]))
}
SETTINGS = TrainingSettings(
    steps=6,
    batch_size=4,
    accumulation=2,
    learning_rate=1e-2,
    evaluate_every=3,
    checkpoint_every=2,
    precision="float32",
    schedule="linear",
    warmup_steps=1,
)


def load(reference):
    """A tiny model, ready to train, and its encoder."""
    torch.manual_seed(0)
    model, tokenizer = checkpoints.load(checkpoints.fetch(reference), "float32", "cpu")
    return model.train(), Encoder(tokenizer, model.config.is_encoder_decoder)


def steps(encoder, **options):
    """The training steps of the eight questions, four a step."""
    pairs = PAIRS["train"].items()
    encoded = {name: [encoder.example(*pair) for pair in rows] for name, rows in pairs}
    return Steps(encoded, WEIGHTS, encoder, **{"steps": 2, "batch_size": 4} | options)


def run(folder, reference="tiny:llama", seed=0, settings=SETTINGS, **model):
    """Train a tiny student in a folder; its record and its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    student = Student("MT+CF", StudentModel(size="tiny", model=reference, **model), seed)
    record = train.train(student, settings, WEIGHTS, PAIRS, folder)
    return record, load_file(next(folder.glob("*model.safetensors")))


def close(a, b, tolerance=1e-5):
    """Two sets of tensors are the same, up to rounding (tolerance 0: exactly)."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=10 * tolerance, atol=tolerance)


def measured(net, passes, way=losses):
    """Loss, totals and gradients of passes."""
    net.zero_grad()
    parts = []
    for batch in passes:
        loss, totals = way(net, batch)
        loss.backward()
        parts.append(torch.cat([loss.detach()[None], totals.flatten()]))
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {"losses": sum(parts), **gradients}


def teacher_table(settings):
    """A teacher's table, as notebook 02 writes it, with a plain text of every kind."""
    found = splits.load(settings.task, settings.seed)
    return pd.DataFrame(
        [
            {
                "id": q.id,
                "split": split,
                "explanation": f"It fits {q.id}.",
                "revision": f"It fits {q.id} best.",
                "counterfactuals": [f"{choice} would do." for choice in q.choices],
            }
            for split in ("train", "dev")
            for q in found[split]
        ]
    )
