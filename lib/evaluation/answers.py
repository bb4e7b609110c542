"""Students answer the test questions: greedy texts read by one rule, and the most likely choice."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from lib.common import files, methods, paths, profile
from lib.common.errors import UserError
from lib.common.profile import EvaluationSettings, Profile, TaskSettings
from lib.common.progress import Progress
from lib.evaluation.extraction import ANSWER, extract, is_right
from lib.models import checkpoints, likelihood
from lib.models.batching import by_length, in_halves
from lib.models.decoding import Decoder
from lib.questions import splits
from lib.questions.question import Question, lettered
from lib.students import grid, objectives
from lib.students.data import Encoder
from lib.students.grid import Student
from lib.students.model import load_student

QUESTION = ["id", "question", "choices", "gold"]
READ = ["prediction", "answered", "explanation", "likeliest", "correct"]


def all_predictions(settings: Profile, trained: pd.DataFrame) -> pd.DataFrame:
    """Predictions of every finished student in the table of notebook 03. While a student is loaded
    it answers the questions of ``evaluation.also``, too (kept for lib.evaluation.transfer)."""
    parts = []
    for student, folder in grid.finished(settings, trained):
        parts.append(predictions(settings, student, folder))
        for dataset in settings.evaluation.also:
            predictions(settings, student, folder, dataset)
    return pd.concat(parts, ignore_index=True)


def predictions(
    settings: Profile, student: Student, folder: Path, other: TaskSettings | None = None
) -> pd.DataFrame:
    """A row a test question: id, question, choices, gold (index), prediction (text), answered
    (index or None), explanation, likeliest (index of the most likely choice, whatever the student
    writes), correct; and the student's arm, size and seed.

    What it wrote and the most likely choices are kept in ``04_evaluation/students``, named by
    student, its files, dataset and evaluation settings; not by how texts are read, so that another
    rule reaches all of them. ``other``: another dataset, of which no explanations are asked.
    """
    questions = splits.load(other or settings.task, settings.seed)["test"]
    chosen = settings.evaluation.model_dump(
        mode="json", include={"batch_size", "answer_tokens", "explanation_tokens", "explained"}
    )
    weights = files.read_json(folder / "student.json", grid.NOTEBOOK)["files"]
    asked = [[q.id, q.question, q.choices, q.answer] for q in questions]
    key = files.key_of([chosen, weights, asked])
    name = f"{folder.name}-{other.name}-{key}" if other else f"{folder.name}-{key}"
    path = profile.run_folder(settings) / "04_evaluation" / "students" / f"{name}.parquet"
    if not path.is_file():
        files.write_parquet(path, _write(settings, student, folder, questions, other))
    table = pd.read_parquet(path)
    answered = [*map(extract, table["prediction"], table["choices"])]
    return table.assign(
        answered=pd.array(answered, dtype="Int64"),
        explanation=table["explanation"].map(without_answer, na_action="ignore"),
        correct=[*map(is_right, answered, table["gold"], table["choices"])],
    )[[*QUESTION, *READ]].assign(arm=student.name, size=student.model.size, seed=student.seed)


def in_words(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions to read, by arm: the question, its choices, the right and the student's answer in
    words, and the explanation."""
    asked = predictions[["choices", "gold", "answered"]].itertuples(index=False)
    words = [
        (lettered(choices), choices[gold], "(none read)" if pd.isna(said) else choices[said])
        for choices, gold, said in asked
    ]
    columns = ["choices", "right answer", "student's answer"]
    table = pd.DataFrame(words, columns=columns, index=predictions["arm"])
    table.insert(0, "question", predictions["question"].to_numpy())
    return table.assign(explanation=predictions["explanation"].to_numpy())


def _write(
    settings: Profile,
    student: Student,
    folder: Path,
    questions: list[Question],
    other: TaskSettings | None,
) -> pd.DataFrame:
    """What is kept of a student: answers and explanations as written, and most likely choices."""
    if not grid.is_whole(folder):
        raise UserError(
            f"The student {student.label} is damaged on disk; delete "
            f"{paths.shown(folder)} and run notebooks/03_training.ipynb again."
        )
    label = f"{student.label}, {other.name}" if other else student.label
    table = write(settings, student, folder, questions, explains=not other, label=label)
    return table.assign(likeliest=likelihood.best(table["scores"].tolist())).drop(columns="scores")


def write(
    settings: Profile,
    student: Student,
    folder: Path,
    questions: list[Question],
    *,
    explains: bool = True,
    label: str = "",
) -> pd.DataFrame:
    """A student's answers, as written: id, question, choices, gold, prediction, explanation (of the
    first ``evaluation.explained`` questions), and scores, the log-probability of each choice's
    answer sentence. ``label``: of lines of progress, which there are none of without it."""
    method, _ = methods.split_arm(student.arm)
    answering, explaining = methods.answer_objective(method), methods.explanation_objective(method)
    checkpoints.quiet()
    model, tokenizer = load_student(student.model, folder)
    ask = Asked(model, tokenizer, settings, settings.training_of(student.variant).tags, label)
    texts, reasons = None, []
    if answering == "advocate":
        found = ask.judged(questions)
        said = [
            objectives.answer(q.choices[best])
            for q, best in zip(questions, likelihood.best(found), strict=True)
        ]
    else:
        texts = ask.texts(answering, questions)
        named = [checkpoints.written(tokenizer, list(q.choices)) for q in questions]
        if answering == "answer_first":
            parted = [*map(split_answer, texts, named)]
            texts, said = [rest for _, rest in parted], [first for first, _ in parted]
        else:
            said = texts
        rows = zip(said, questions, named, strict=True)
        said = [restore(text, q.choices, names) for text, q, names in rows]
        leads = [f"{without_answer(text)} " if answering == "factual" else "" for text in said]
        inputs = [objectives.source(answering, q, tags=ask.tags) for q in questions]
        found = scores(model, tokenizer, inputs, questions, leads, ends=answering != "answer_first")
    part = questions[: settings.evaluation.explained]
    if explaining == answering:
        reasons = texts[: len(part)]
    elif explains and explaining:
        reasons = ask.texts(explaining, part, given(explaining, part, said, found))
        if explaining == "answer_first":
            reasons = [
                split_answer(text, q.choices)[1] for text, q in zip(reasons, part, strict=True)
            ]
    return pd.DataFrame(
        {
            "id": [q.id for q in questions],
            "question": [q.question for q in questions],
            "choices": [list(q.choices) for q in questions],
            "gold": [q.answer for q in questions],
            "prediction": said,
            "explanation": [*reasons, *[None] * (len(questions) - len(reasons))],
            "scores": found,
        }
    )


@dataclass
class Asked:
    """A loaded student that is asked. ``label``: of its lines of progress (none: no lines)."""

    model: object
    tokenizer: object
    settings: Profile
    tags: str
    label: str

    def texts(
        self, objective: str, questions: list[Question], given: list[str] | None = None
    ) -> list[str]:
        """What it writes for an objective; ``given``: what the input gives beside the question."""
        chosen, given = self.settings.evaluation, given or [""] * len(questions)
        told = f"{self.label} [{objective}]"
        progress = Progress(told, len(questions), "questions") if self.label else None
        pairs = zip(questions, given, strict=True)
        inputs = [objectives.source(objective, q, text, self.tags) for q, text in pairs]
        limit = token_limit(objective, chosen)
        return generate(self.model, self.tokenizer, inputs, limit, chosen.batch_size, progress)

    def judged(self, questions: list[Question]) -> list[list[float]]:
        """A listwise student's scores of the choices of each question: the log-probability of its
        verdict after its own rationale for the choice."""
        asked = [(q, choice) for q in questions for choice in q.choices]
        each, choices = [q for q, _ in asked], [choice for _, choice in asked]
        rationales = self.texts("advocate", each, choices)
        encoder = Encoder(self.tokenizer, False)
        sources = [objectives.source("advocate", *pair, self.tags) for pair in asked]
        prompts = [
            prompt + rationale
            for prompt, rationale in zip(
                encoder.prompts(sources), encoder.targets(rationales), strict=True
            )
        ]
        options = [[[encoder.verdict]]] * len(prompts)
        found = iter(likelihood.option_scores(self.model, prompts, options))
        return [[next(found)[0] for _ in q.choices] for q in questions]


def given(
    explaining: str, questions: list[Question], said: list[str], scores: list[list[float]]
) -> list[str]:
    """What an explanation is to be for: nothing, the student's own answer (the most likely choice
    where none can be read), or its best choice rather than the next best."""
    if explaining == "explain":
        return [""] * len(questions)
    found = []
    for question, text, row in zip(questions, said, scores, strict=False):
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
        if explaining == "contrast":
            found.append(objectives.rather(question, *order[:2]))
        else:
            own = extract(text, question.choices)
            found.append(question.choices[order[0] if own is None else own])
    return found


def split_answer(text: str, choices: list[str]) -> tuple[str, str]:
    """An answer-first text as its answer sentence and the explanation behind it."""
    for sentence in sorted(map(objectives.answer, choices), key=len, reverse=True):
        if text.casefold().startswith(sentence.casefold()):
            return text[: len(sentence)], text[len(sentence) :].strip()
    first = re.match(r"\s*so the answer is[^.!?\n]*[.!?]?", text, re.IGNORECASE)
    return (first[0].strip(), text[first.end() :].strip()) if first else ("", text)


def restore(text: str, choices: tuple[str, ...], written: list[str]) -> str:
    """A student's answer with the choice in full that its tokenizer writes without what its
    vocabulary lacks; ``written``: the choices as it writes them."""
    given = extract(text, written)
    if given is None or extract(text, choices) == given:
        return text
    *_, answer = ANSWER.finditer(text)
    return f"{text[: answer.end()].rstrip()} {choices[given]}."


def token_limit(objective: str, chosen: EvaluationSettings) -> int:
    """New tokens that a student may write: an answer, an explanation or both."""
    both = chosen.explanation_tokens + chosen.answer_tokens
    return {
        "predict": chosen.answer_tokens,
        "explain": chosen.explanation_tokens,
        **dict.fromkeys(["justify", "advocate", "contrast"], chosen.explanation_tokens),
        **dict.fromkeys(["factual", "answer_first"], both),
    }[objective]


def generate(
    model,
    tokenizer,
    inputs: list[str],
    limit: int,
    batch_size: int,
    progress: Progress | None = None,
) -> list[str]:
    """Greedy texts of at most ``limit`` new tokens for inputs, in their order; any architecture."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    prompts = encoder.prompts(inputs)
    if encoder.seq2seq:
        decode = functools.partial(_seq2seq_decode, model, encoder)
    else:
        decode = Decoder(model, tokenizer).decode
    texts = [""] * len(prompts)
    for rows in by_length(prompts, batch_size):
        new = decode([prompts[i] for i in rows], limit)
        new = tokenizer.batch_decode(new, skip_special_tokens=True)
        for i, text in zip(rows, new, strict=True):
            texts[i] = text.strip()
        if progress is not None:
            progress.step(len(rows))
    return texts


@torch.inference_mode()
def _seq2seq_decode(model, encoder: Encoder, prompts: list[list[int]], limit: int):
    def written(rows: list[list[int]]) -> list[list[int]]:
        batch = encoder.collate([{"input_ids": row, "labels": [0]} for row in rows])
        return model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
        ).tolist()

    return in_halves(written, prompts)


def scores(
    model,
    tokenizer,
    inputs: list[str],
    questions: list[Question],
    leads: list[str],
    ends: bool = True,
) -> list[list[float]]:
    """How likely each choice's answer sentence is after the lead (an explanation, or ""); as a
    text's end, if it ``ends`` there."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    options = [
        encoder.targets([lead + objectives.answer(choice) for choice in q.choices])
        for q, lead in zip(questions, leads, strict=True)
    ]
    if not ends:
        options = [[ids[:-1] for ids in row] for row in options]
    prompts = encoder.prompts(inputs)
    return likelihood.option_scores(model, prompts, options)


def likeliest(
    model, tokenizer, inputs: list[str], questions: list[Question], leads: list[str]
) -> list[int]:
    """The choice whose answer sentence is most likely."""
    return likelihood.best(scores(model, tokenizer, inputs, questions, leads))


def without_answer(text: str) -> str:
    """The explanation without a closing answer sentence (CF students write both)."""
    return re.split(r"\bso the answer is\b", text, maxsplit=1, flags=re.IGNORECASE)[0].strip()
