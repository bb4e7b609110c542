"""The untrained student under several readings: nothing is called learned that these explain."""

import pandas as pd

from lib.common import files, profile
from lib.common.profile import Profile
from lib.common.progress import Progress
from lib.evaluation import accuracy, answers
from lib.evaluation.extraction import extract, is_right
from lib.models import checkpoints, likelihood
from lib.questions import splits
from lib.questions.question import Question
from lib.students import objectives

WRITTEN, LIKELIEST = "choices listed, written answer", "choices listed, most likely choice"
ALONE = {  # how a choice that is read alone is scored: log-probability after the question, after
    # "Answer:" alone, tokens, characters
    "each choice alone, sum": lambda score, prior, tokens, characters: score,
    "each choice alone, per token": lambda score, prior, tokens, characters: score / tokens,
    "each choice alone, per character": lambda score, prior, tokens, characters: score / characters,
    "each choice alone, minus its prior": lambda score, prior, tokens, characters: score - prior,
}


def untrained_table(settings: Profile) -> pd.DataFrame:
    """A row a size and reading of the test questions before any training: reading, size, n,
    correct, unanswered, accuracy with Wilson's interval (low, high).

    "choices listed": asked as students are (tag, question, choices); the written answer only of the
    first ``reader_questions``, as hardly one can be read. "each choice alone": after
    "Question: ..." and "Answer:" without the list, by its log-probability (sum, mean per token, per
    character) or by how much the question raises it over "Answer:" alone (the domain-conditional
    PMI of Holtzman et al. 2021, arXiv 2104.08315). Which choice each reading takes is kept in
    ``04_evaluation/untrained``.
    """
    parts = []
    for student in settings.students:
        chosen = _choices(settings, student.model).assign(size=student.size, seed=0)
        parts.append(accuracy.student_table(chosen.rename(columns={"reading": "arm"})))
    table = pd.concat(parts, ignore_index=True).rename(columns={"arm": "reading"})
    return table.drop(columns="seed")


def _choices(settings: Profile, model: str) -> pd.DataFrame:
    """A row a reading and question: reading, answered (index or none), correct."""
    questions, chosen = splits.load(settings.task, settings.seed)["test"], settings.evaluation
    tags, limit = settings.training.tags, chosen.answer_tokens
    asked = [chosen.reader_questions, *([q.question, q.choices, q.answer] for q in questions)]
    key = files.key_of([checkpoints.identity(model), tags, limit, asked])
    path = profile.run_folder(settings) / "04_evaluation" / "untrained" / f"{key}.parquet"
    if not path.is_file():
        checkpoints.quiet()
        loaded = checkpoints.load(checkpoints.fetch(model), "auto")
        inputs = [objectives.source("predict", q, tags=tags) for q in questions]
        few = inputs[: chosen.reader_questions]
        progress = Progress("untrained [predict]", len(few), "questions")
        texts = answers.generate(*loaded, few, limit, chosen.batch_size, progress)
        found = {
            WRITTEN: [extract(text, q.choices) for text, q in zip(texts, questions, strict=False)],
            LIKELIEST: answers.likeliest(*loaded, inputs, questions, [""] * len(questions)),
            **alone(*loaded, questions),
        }
        rows = [
            (reading, answered, is_right(answered, q.answer, q.choices))
            for reading, row in found.items()
            for answered, q in zip(row, questions, strict=False)
        ]
        table = pd.DataFrame(rows, columns=["reading", "answered", "correct"])
        files.write_parquet(path, table.astype({"answered": "Int64"}))
    return pd.read_parquet(path)


def alone(model, tokenizer, questions: list[Question]) -> dict[str, list[int]]:
    """Reading -> the choice of each question, each choice read alone after the question."""
    prompts = [tokenizer(f"Question: {q.question}\nAnswer:")["input_ids"] for q in questions]
    options = [
        [tokenizer(f" {choice}", add_special_tokens=False)["input_ids"] for choice in q.choices]
        for q in questions
    ]
    progress = Progress("untrained [each choice alone]", len(prompts), "questions")
    scores = likelihood.option_scores(model, prompts, options, progress=progress)
    without = [tokenizer("Answer:")["input_ids"]] * len(questions)
    priors = likelihood.option_scores(model, without, options)
    found = {}
    for reading, adjust in ALONE.items():
        rows = zip(scores, priors, options, [q.choices for q in questions], strict=True)
        found[reading] = likelihood.best(
            [
                [adjust(s, p, len(ids), len(text)) for s, p, ids, text in zip(*row, strict=True)]
                for row in rows
            ]
        )
    return found
