"""A model in a reader's place: what it concludes from a student's explanation, and what that is worth.

The reader scores every choice as the continuation of a prompt (lib.models.likelihood); it never writes.
Sources: simulatability adjusted for leakage, Hase et al. 2020 (LAS); counterfactual faithfulness,
Wang et al. 2023 (SCOTT).
"""

import pandas as pd
from scipy.special import softmax
from scipy.stats import rankdata

from lib.common.progress import Progress
from lib.models import likelihood
from lib.questions.splits import Question, lettered
from lib.students import objectives
from lib.students.model import Encoder


def reader_prompt(question: str, choices: list[str], explanation: str, view: str) -> str:
    """What the reader sees: question and choices, with or without the explanation, or only that."""
    asked = "" if view == "explanation" else f"Question: {question}\n"
    explained = "" if view == "question" else f"Explanation: {explanation}\n"
    return f"{asked}Choices: {lettered(choices)}\n{explained}So the answer is"


def readings(model, tokenizer, table: pd.DataFrame) -> pd.DataFrame:
    """What the reader chooses for each explanation in each view: ``read_question``, ``read_both`` and
    ``read_explanation`` (index of the choice) and ``p_question``, ``p_both`` (probability, normalised
    over the choices, of the student's own answer).

    ``table``: predictions with an explanation and an answer (others are left out); index is kept.
    The view ``question`` is read once a question, whoever answered it.
    """
    table = table[table["explanation"].notna() & table["answered"].notna()]
    found = pd.DataFrame(index=table.index)
    for view in ("question", "both", "explanation"):
        texts = [
            reader_prompt(row.question, list(row.choices), row.explanation, view)
            for row in table.itertuples()
        ]
        first = {text: i for i, text in reversed(list(enumerate(texts)))}
        prompts = [tokenizer(text)["input_ids"] for text in first]
        options = [
            [
                tokenizer(f" {choice}.", add_special_tokens=False)["input_ids"]
                for choice in table["choices"].iloc[i]
            ]
            for i in first.values()
        ]
        progress = Progress(f"reader [{view}]", len(prompts), "prompts")
        scores = dict(
            zip(
                first,
                likelihood.option_scores(model, prompts, options, progress=progress),
                strict=True,
            )
        )
        found[f"read_{view}"] = likelihood.best([scores[text] for text in texts])
        if view != "explanation":
            found[f"p_{view}"] = [
                softmax(scores[text])[int(answer)]
                for text, answer in zip(texts, table["answered"], strict=True)
            ]
    return found


def consistency(table: pd.DataFrame) -> float:
    """Share of explanations from which, with the question, the reader gets the student's own answer.

    ``table``: predictions joined with ``readings``.
    """
    return float((table["read_both"] == table["answered"]).mean())


def simulatability(table: pd.DataFrame) -> dict[str, float]:
    """LAS (Hase et al. 2020): the mean of its two parts, ``leaking`` and ``other``.

    Each part is the mean of [reader gets the student's answer from question and explanation] minus
    [from the question]; leaking explanations give the answer away without the question. With one
    part empty, LAS is the other.
    """
    gain = (table["read_both"] == table["answered"]).astype(int) - (
        table["read_question"] == table["answered"]
    ).astype(int)
    leaks = table["read_explanation"] == table["answered"]
    parts = {"leaking": gain[leaks].mean(), "other": gain[~leaks].mean()}
    return {
        "las": float(pd.Series(parts).mean()),
        **{k: float(v) for k, v in parts.items()},
        "leak_rate": float(leaks.mean()),
    }


def error_finding(table: pd.DataFrame, view: str) -> float:
    """How well the reader's trust in the student's answer tells right from wrong answers.

    Area under the ROC curve of ``p_<view>`` (0.5 = no better than chance; Mann-Whitney's U over all
    pairs of a right and a wrong answer); nan if all are right or all are wrong.
    """
    right = table["correct"].to_numpy(bool)
    pairs = right.sum() * (~right).sum()
    if not pairs:
        return float("nan")
    ranks = rankdata(table[f"p_{view}"])
    return float((ranks[right].sum() - right.sum() * (right.sum() + 1) / 2) / pairs)


def following(
    model,
    tokenizer,
    questions: list[Question],
    rationales: list[list[str | None]],
    tags: str = "words",
) -> pd.DataFrame:
    """Counterfactual faithfulness: whether a student's answer follows a rationale for another choice.

    A row a question and wrong choice with a rationale (``rationales``: by choice): ``followed`` if
    the student, given it, finds that choice's answer sentence likeliest; ``anyway`` if it does so
    with an empty rationale. For students of methods with the counterfactual task.
    """
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    cases = [
        (q, i)
        for q, texts in zip(questions, rationales, strict=True)
        for i in q.wrong
        if i < len(texts) and texts[i]
    ]
    texts = {q.id: row for q, row in zip(questions, rationales, strict=True)}
    options = [
        [encoder.target(objectives.answer(choice)) for choice in q.choices] for q, _ in cases
    ]
    found = []
    for given in (True, False):
        progress = Progress("rationales " + ("given" if given else "empty"), len(cases), "prompts")
        prompts = [
            encoder.prompt(
                objectives.source("counterfactual", q, texts[q.id][i] if given else "", tags)
            )
            for q, i in cases
        ]
        found.append(
            likelihood.best(likelihood.option_scores(model, prompts, options, progress=progress))
        )
    return pd.DataFrame(
        [
            {"id": q.id, "choice": i, "followed": a == i, "anyway": b == i}
            for (q, i), a, b in zip(cases, *found, strict=True)
        ]
    )
