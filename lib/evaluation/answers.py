"""Students answer the test questions: greedy texts read by one rule, and the choice found likeliest."""

import functools
import re
from pathlib import Path

import pandas as pd

from lib.common import files, methods, paths, profile
from lib.common.errors import UserError
from lib.common.profile import EvaluationSettings, Profile, TaskSettings
from lib.common.progress import Progress
from lib.evaluation.extraction import extract, is_right
from lib.models import checkpoints, likelihood
from lib.models.batching import by_length
from lib.questions import splits
from lib.questions.splits import Question
from lib.students import grid, objectives
from lib.students.grid import Student
from lib.students.model import Encoder

COLUMNS = [
    "id",
    "question",
    "choices",
    "gold",
    "prediction",
    "answered",
    "explanation",
    "likeliest",
    "correct",
]


def generate(
    model,
    tokenizer,
    inputs: list[str],
    limit: int,
    batch_size: int,
    progress: Progress | None = None,
) -> list[str]:
    """Greedy texts of at most ``limit`` new tokens for inputs, in their order; both architectures."""
    seq2seq = model.config.is_encoder_decoder
    encoder = Encoder(tokenizer, seq2seq)
    ids = [encoder.prompt(text) for text in inputs]
    texts: list[str] = [""] * len(ids)
    if seq2seq:
        decode = functools.partial(_seq2seq_decode, model, encoder)
    else:
        from lib.models.decoding import Decoder

        decode = Decoder(model, tokenizer).decode
    for batch in by_length(ids, batch_size):
        new = decode([ids[i] for i in batch], limit)
        for i, text in zip(
            batch, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True
        ):
            texts[i] = text.strip()
        if progress is not None:
            progress.step(len(batch))
    return texts


def _seq2seq_decode(
    model, encoder: Encoder, prompts: list[list[int]], limit: int
) -> list[list[int]]:
    import torch

    batch = encoder.collate([{"input_ids": p, "labels": [0]} for p in prompts])
    with torch.inference_mode():
        return model.generate(
            input_ids=batch["input_ids"].to(model.device),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            attention_mask=batch["attention_mask"].to(model.device),
        ).tolist()


def predictions(
    settings: Profile, student: Student, folder: Path, task: TaskSettings | None = None
) -> pd.DataFrame:
    """A row a test question: prediction (text), answered (index or None), gold, correct, likeliest
    (the choice that the student finds likeliest, whatever it writes), explanation.

    What it wrote and the likeliest choices are kept in ``04_evaluation/students``, named by student,
    task and evaluation settings; how texts are read is not, so that another rule reaches all of
    them. ``task``: another task than the profile's, of which no explanations are asked.
    """
    questions = splits.load(task or settings.task, settings.seed)["test"]
    chosen = settings.evaluation.model_dump(
        mode="json", include={"batch_size", "answer_tokens", "explanation_tokens", "explained"}
    )
    key = files.key_of([chosen, [[q.id, q.question, q.choices, q.answer] for q in questions]])
    name = f"{folder.name}-{task.name}-{key}" if task else f"{folder.name}-{key}"
    path = profile.run_folder(settings) / "04_evaluation" / "students" / f"{name}.parquet"
    if not path.is_file():
        files.write_parquet(path, _written(settings, student, folder, questions, task))
    table = pd.read_parquet(path)  # older files also hold answers read when they were written
    options = [*map(tuple, table["choices"])]
    answered = [*map(extract, table["prediction"], options)]
    return table.assign(
        answered=pd.array(answered, dtype="Int64"),
        explanation=table["explanation"].map(without_answer, na_action="ignore"),
        correct=[*map(is_right, answered, table["gold"], options)],
    )[COLUMNS].assign(arm=student.name, size=student.model.size, seed=student.seed)


def _written(
    settings: Profile,
    student: Student,
    folder: Path,
    questions: list[Question],
    other: TaskSettings | None,
) -> pd.DataFrame:
    """What is kept of a student: its answers and explanations as it wrote them, likeliest choices."""
    if not grid.is_whole(folder):
        raise UserError(
            f"The student {student.label} is damaged on disk; delete "
            f"{paths.shown(folder)} and run notebooks/03_training.ipynb again."
        )
    method, _ = methods.split_arm(student.arm)
    tags, chosen = settings.training_of(student.variant).tags, settings.evaluation
    checkpoints.quiet()
    model, tokenizer = load_student(student, folder)
    answers, explains = methods.answer_objective(method), methods.explanation_objective(method)
    asked = {answers: questions}
    if not other and explains not in (None, answers):
        asked[explains] = questions[: chosen.explained]
    sources = {
        task: [objectives.source(task, q, tags=tags) for q in part] for task, part in asked.items()
    }
    texts, label = {}, f"{student.label}, {other.name}" if other else student.label
    for task, inputs in sources.items():
        progress = Progress(f"{label} [{task}]", len(inputs), "questions")
        texts[task] = generate(
            model, tokenizer, inputs, token_limit(task, chosen), chosen.batch_size, progress
        )
    reasons = texts.get(explains, [])[: chosen.explained]
    reasons += [None] * (len(questions) - len(reasons))
    table = pd.DataFrame(
        [
            {
                "id": q.id,
                "question": q.question,
                "choices": list(q.choices),
                "gold": q.answer,
                "prediction": said,
                "explanation": reason,
            }
            for q, said, reason in zip(questions, texts[answers], reasons, strict=True)
        ]
    )
    leads = [f"{without_answer(said)} " if answers == "factual" else "" for said in texts[answers]]
    return table.assign(likeliest=likeliest(model, tokenizer, sources[answers], questions, leads))


def token_limit(task: str, chosen: EvaluationSettings) -> int:
    """New tokens that a student may write: an answer, an explanation or (factual) both."""
    return {
        "predict": chosen.answer_tokens,
        "explain": chosen.explanation_tokens,
        "factual": chosen.explanation_tokens + chosen.answer_tokens,
    }[task]


def likeliest(
    model, tokenizer, inputs: list[str], questions: list[Question], leads: list[str]
) -> list[int]:
    """The choice whose answer sentence, after its lead (an explanation or nothing), is likeliest."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    options = [
        [encoder.target(lead + objectives.answer(choice)) for choice in q.choices]
        for q, lead in zip(questions, leads, strict=True)
    ]
    return likelihood.best(
        likelihood.option_scores(model, [encoder.prompt(text) for text in inputs], options)
    )


def all_predictions(settings: Profile, trained: pd.DataFrame) -> pd.DataFrame:
    """Predictions of every finished student in the table of notebook 03. While it is loaded it
    answers the other tasks of ``evaluation.also`` too (kept for lib.evaluation.transfer)."""
    parts = []
    for found in grid.finished(settings, trained):
        parts.append(predictions(settings, *found))
        for task in settings.evaluation.also:
            predictions(settings, *found, task)
    return pd.concat(parts, ignore_index=True)


@functools.lru_cache(maxsize=1)
def load_student(student: Student, folder: Path):
    """A finished student in eval mode; an adapter is merged, into the dequantised base for QLoRA."""
    if not (folder / "adapter_config.json").is_file():
        return checkpoints.load(folder, "auto")
    from peft import PeftModel

    base = "4bit" if student.model.base == "4bit" else "float32"
    model, tokenizer = checkpoints.load(checkpoints.fetch(student.model.model), base)
    if base == "4bit":
        model = model.dequantize()
    return PeftModel.from_pretrained(model, folder).merge_and_unload().eval(), tokenizer


def without_answer(text: str) -> str:
    """The explanation without a closing answer sentence (CF students write both)."""
    return re.split(r"\bso the answer is\b", text, maxsplit=1, flags=re.IGNORECASE)[0].strip()
