"""What an explanation says beyond the label: what is left of the answer when no choice is named.

A bag of words guesses which choice a masked explanation speaks for; what it gets above chance is
more than the label said again. Related: REV, Chen et al. 2023 (arXiv 2210.04982), which compares an
explanation with a text that only restates the label. What a simple model can use bounds the
information from below (Xu et al. 2020, arXiv 2002.10689).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from lib.common.profile import Profile
from lib.evaluation import measures, reader
from lib.questions.mentions import mask

NEUTRAL = "something"
TEACHER = "(teacher)"
SMOOTHING = 2000.0  # words; on CommonsenseQA's dev questions 500 to 5,000 differ by two points


def masked(text: str, choices: Sequence[str]) -> str:
    """The text with every name of a choice (lib.questions.mentions) replaced by "something"; other
    forms stay ("swim" of "swimming pool")."""
    return mask(text, choices, [NEUTRAL] * len(choices))


def rest(explanation: str, question: str, choices: Sequence[str]) -> list[str]:
    """The distinct words of a masked explanation, in order, that neither question nor choices have
    and that do not begin like a word of a choice (same first four letters): other forms of a name
    would still tell the label ("dancing" for "dance").

    What an explanation repeats of its question it does not add: of CommonsenseQA's dev questions
    the bag of words would get 29 % from the question's own words alone (chance: 20).
    """
    named = [word for choice in choices for word in measures.words(choice)]
    left_out = {NEUTRAL, *measures.words(question), *named}
    alike = tuple(word[:4] for word in named if len(word) > 2)
    found = dict.fromkeys(measures.words(masked(explanation, choices)))
    return [word for word in found if word not in left_out and not word.startswith(alike)]


@dataclass(frozen=True)
class Bag:
    """How far each word of an explanation speaks for each word of a choice; see ``learn``."""

    words: CountVectorizer
    names: CountVectorizer
    evidence: sparse.csr_array  # [words of choices, words]
    cost: np.ndarray  # of any word [words of choices]

    def scores(self, rest: list[str], choices: Sequence[str]) -> np.ndarray:
        """How far an explanation's words (``rest``) speak for each choice, in nats: the mean over
        the known words of the choice; 0 where there is none."""
        said = sparse.csr_array(self.words.transform([rest]))
        names = [measures.words(choice) for choice in choices]
        named = sparse.csr_array(self.names.transform(names))
        spoken = (named @ self.evidence @ said.T).toarray()[:, 0]
        total = spoken + said.sum() * (named @ self.cost)
        return total / np.maximum(named.sum(axis=1), 1)

    def picks(self, rest: list[str], choices: Sequence[str]) -> np.ndarray:
        """1 for the choice with the highest score, 0 for the others; ties share the 1."""
        scores = self.scores(rest, choices)
        best = scores == scores.max()
        return best / best.sum()


def learn(rests: list[list[str]], answers: list[str], smoothing: float = SMOOTHING) -> Bag:
    """A bag of words from explanations (``rest``), not all without words, and their right choices.

    Word v speaks for word w of a choice by log P(v | w) - log P(v): P(v) is v's share of all words
    of all texts, and P(v | w) = (n_vw + smoothing P(v)) / (n_w + smoothing), where n_vw counts the
    texts with v whose right choice has w, and n_w is the sum of n_vw over v. That is naive Bayes
    with Dirichlet smoothing (Zhai & Lafferty 2004, doi 10.1145/984321.984322).
    """
    words, names = (CountVectorizer(analyzer=set, dtype=float) for _ in range(2))
    said = sparse.csr_array(words.fit_transform(rests))
    named = sparse.csr_array(names.fit_transform([measures.words(answer) for answer in answers]))
    together = sparse.csr_array(named.T @ said)
    share = said.sum(axis=0) / said.sum()
    evidence = sparse.csr_array(together @ sparse.diags_array(1 / (smoothing * share)))
    cost = np.log(smoothing / (together.sum(axis=1) + smoothing))
    return Bag(words, names, evidence.log1p(), cost)


def beyond_label(settings: Profile, predictions: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """How often the masked explanation leads to the right choice and to the student's own answer.

    A row an arm, size and measure ("right choice, bag of words", "own answer, ..."): n, mean, low,
    high as in ``measures.means``; chance is 1 / number of choices. The bag of words learns from the
    teacher's explanations (``texts``, the table of notebook 02), none of a question in
    ``predictions``. Arm "(teacher)": the teacher's explanations of the same questions. With
    readings as ``predictions`` (column ``read_masked``) also what the reader gets from masked
    explanations. Empty without texts to learn from or without explanations.
    """
    known = texts[texts["explanation"].notna() & ~texts["id"].isin(predictions["id"])]
    learned = [rest(*row) for row in known[["explanation", "question", "choices"]].to_numpy()]
    if not any(learned) or not len(predictions):
        return measures.mean_table([])
    bag = learn(learned, [c[i] for c, i in zip(known["choices"], known["answer"], strict=True)])
    asked = predictions.drop_duplicates("id")[["id", "question", "choices", "gold"]]
    taught = asked["id"].map(reader.teacher_texts(settings).to_dict())
    teacher = asked.assign(explanation=taught, arm=TEACHER, size="")
    table = pd.concat([predictions, teacher], ignore_index=True).astype({"answered": "Int64"})
    table = table[table["explanation"].notna()].reset_index(drop=True)
    picks = [
        bag.picks(rest(row["explanation"], row["question"], row["choices"]), row["choices"])
        for row in table.to_dict("records")
    ]
    found = {}
    for name, column in {"right choice": "gold", "own answer": "answered"}.items():
        chosen = zip(picks, table[column], strict=True)
        found[f"{name}, bag of words"] = [np.nan if pd.isna(i) else p[i] for p, i in chosen]
        if "read_masked" in table:
            pair = table[["read_masked", column]].astype("Float64").to_numpy(float, na_value=np.nan)
            same = (pair[:, 0] == pair[:, 1]).astype(float)
            found[f"{name}, reader"] = np.where(np.isnan(pair).any(axis=1), np.nan, same)
    means = measures.means(table.assign(**found), found)
    return means[means["n"] > 0].reset_index(drop=True)
