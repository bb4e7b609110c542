"""Measures of an explanation that need no people: each a short function of its text.

None is quality: they say how long, repetitive, copied or telling a text is. A word is a run of
letters and digits, also with apostrophes or hyphens inside; case does not count.
"""

import re
from functools import cache

import numpy as np
import pandas as pd
from rouge_score.rouge_scorer import RougeScorer

from lib.common.intervals import ratio_interval
from lib.common.paths import ROOT
from lib.evaluation.support import agrees, argues_against
from lib.models.embeddings import cosines
from lib.questions.mentions import find_choices, mentioned

BY = ["arm", "size"]
EXAMPLES = ROOT / "data" / "measures" / "ten_explanations.csv"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
MEASURES = {  # column -> what it says, in the order of every table
    "characters": "length in characters",
    "words": "length in words",
    "empty": "1 if it has no word at all",
    "repetition": "share of word triples that came before",
    "copied": "share of word triples taken from question or choices",
    "new_words": "share of distinct words that are not in question or choices",
    "names_answer": "1 if it names the student's own answer",
    "mentions_other_choices": "share of the other choices that it names",
    "reading_grade": "Automated Readability Index: US school grade (higher is harder)",
    "rouge_l": "ROUGE-L F1 with the teacher's text",
    "similarity": "cosine of sentence embeddings with the teacher's text",
    "agrees": "of those that name a choice, 1 if the first named is the student's own answer",
    "argues_against": "1 if it argues against the student's own answer",
}


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.replace("’", "'") for word in WORD.findall(text.lower())]


def triples(text: str) -> list[tuple[str, ...]]:
    """The runs of three words of a text (trigrams), in order."""
    found = words(text)
    return list(zip(found, found[1:], found[2:], strict=False))


def repetition(text: str) -> float:
    """1 - distinct trigrams / trigrams: 0 says nothing twice; nan below three words.

    seq-rep-n of Welleck et al. 2020 (arXiv 1908.04319), here with n = 3 for short texts.
    """
    found = triples(text)
    return 1 - len(set(found)) / len(found) if found else np.nan


def copied(text: str, question: str, choices: list[str]) -> float:
    """Share of the text's trigrams that the question or a choice has; nan below three words.

    1 - share of novel trigrams (See et al. 2017, arXiv 1704.04368) against question and choices.
    """
    source = {triple for part in (question, *choices) for triple in triples(part)}
    found = triples(text)
    return sum(triple in source for triple in found) / len(found) if found else np.nan


def new_words(text: str, question: str, choices: list[str]) -> float:
    """Share of the text's distinct words that question and choices lack; nan without a word.

    Novel unigrams (See et al. 2017, arXiv 1704.04368). Function words count too: compare texts, do
    not read it as a level. A text that only turns the question around is low.
    """
    source = {word for part in (question, *choices) for word in words(part)}
    found = set(words(text))
    return len(found - source) / len(found) if found else np.nan


def names_answer(text: str, choices: list[str], answer: int | None) -> float:
    """1.0 if the text names the student's own answer, else 0.0; nan if it gave none.

    The literal side of label leakage (Hase et al. 2020, arXiv 2010.04119). What counts as a name:
    lib.questions.mentions.
    """
    if answer is None:
        return np.nan
    return float(bool(find_choices(text, choices)[answer]))


def rouge_l(text: str, teacher: str) -> float:
    """ROUGE-L F1: 2PR / (P + R), P and R = longest common subsequence / words of each text.

    Lin 2004 (ACL W04-1013), by the package rouge-score without stemming, which reads only a-z and
    0-9 in lower case. 0 for an empty explanation; nan where the teacher's text is blank.
    """
    return _scorer().score(teacher, text)["rougeL"].fmeasure if teacher.strip() else np.nan


@cache
def _scorer() -> RougeScorer:
    return RougeScorer(["rougeL"])


def reading_grade(text: str) -> float:
    """4.71 characters / words + 0.5 words / sentences - 21.43; nan without a word.

    Automated Readability Index, a US school grade (Senter & Smith 1967, AMRL-TR-66-220): it needs
    no guess at syllables, as Flesch's formula does. Characters are those of the words; a sentence
    ends with . ! or ? before a blank or the end. Texts of one short sentence may be below 0.
    """
    found = words(text)
    if not found:
        return np.nan
    sentences = sum(bool(words(part)) for part in re.split(r"[.!?]+(?=\s|$)", text))
    return 4.71 * sum(map(len, found)) / len(found) + 0.5 * len(found) / sentences - 21.43


def explanation_measures(table: pd.DataFrame, teacher_texts: pd.Series) -> pd.DataFrame:
    """One row an explanation (all columns of the table are kept), one column a measure.

    ``table`` has id, question, choices (lists), gold and answered (indices; answered may be NA)
    and explanation; rows whose explanation is NA (label-only students) are left out.
    ``teacher_texts`` is indexed by question id. "Other" choices are relative to the student's own
    answer, else to the gold one. nan where a measure is undefined: see each function; rouge_l and
    similarity also where the teacher has no text, similarity also for blank explanations.
    """
    table = table[table["explanation"].notna()].reset_index(drop=True)
    teacher = table["id"].map(teacher_texts.to_dict()).astype(object).fillna("").tolist()
    rows = map(_measure, table.to_dict("records"), teacher)
    found = pd.DataFrame(rows, columns=[m for m in MEASURES if m != "similarity"])
    found["similarity"] = cosines(table["explanation"].tolist(), teacher)
    return table.assign(**found[list(MEASURES)])


def _measure(row: dict, teacher: str) -> dict:
    text, question, choices = row["explanation"], row["question"], list(row["choices"])
    own = None if pd.isna(row["answered"]) else int(row["answered"])
    return {
        "characters": len(text),
        "words": len(words(text)),
        "empty": not words(text),
        "repetition": repetition(text),
        "copied": copied(text, question, choices),
        "new_words": new_words(text, question, choices),
        "names_answer": names_answer(text, choices, own),
        "mentions_other_choices": mentioned(text, choices, row["gold"] if own is None else own),
        "reading_grade": reading_grade(text),
        "rouge_l": rouge_l(text, teacher),
        "agrees": agrees(text, choices, own),
        "argues_against": argues_against(text, choices, own),
    }


def means(measured: pd.DataFrame, columns=MEASURES) -> pd.DataFrame:
    """Mean of each measure per method with a 95 % interval: BY, measure, n, mean, low, high.

    measured: BY, id and (some of) the columns; ``n``: rows where the measure is defined. The
    interval is a percentile bootstrap over questions, each with all of its explanations (seeds): it
    speaks of other questions, not of other training runs; nan below two questions.
    """
    rows = []
    for group, part in measured.groupby(BY, sort=False):
        for name in (name for name in columns if name in measured):
            values = part[name].astype(float)
            each = values.groupby(part["id"]).agg(["sum", "count"]).query("count > 0")
            limits = ratio_interval(each["sum"], each["count"])
            rows.append((*group, name, values.count(), values.mean(), *limits))
    return mean_table(rows)


def mean_table(rows: list[tuple]) -> pd.DataFrame:
    """Rows (arm, size, measure, n, mean, low, high) as a table, also where there are none."""
    numbers = {"n": int, "mean": float, "low": float, "high": float}
    return pd.DataFrame(rows, columns=[*BY, "measure", *numbers]).astype(numbers)


def load_examples() -> tuple[pd.DataFrame, pd.Series]:
    """Ten hand-made explanations of one question (column kind), and the teacher's text by id."""
    table = pd.read_csv(EXAMPLES, keep_default_na=False)
    table["choices"] = table["choices"].str.split("|", regex=False)
    return table.drop(columns="teacher"), table.groupby("id")["teacher"].first()
