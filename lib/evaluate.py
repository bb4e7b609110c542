"""Students answer the test questions: greedy texts, one extraction rule, accuracy per student."""

import re
from pathlib import Path

import pandas as pd

from lib import grid, models, objectives, paths, profile, store, tasks
from lib.errors import UserError
from lib.extraction import extract
from lib.grid import Student
from lib.mentions import mentioned
from lib.profile import Profile
from lib.progress import Progress
from lib.student import Encoder
from lib.tasks import Question


def generate(model, tokenizer, inputs: list[str], limit: int, batch_size: int,
             progress: Progress | None = None) -> list[str]:
    """Greedy texts for inputs (in their order), batched by length; both architectures."""
    seq2seq = model.config.is_encoder_decoder
    encoder = Encoder(tokenizer, seq2seq)
    ids = [encoder.prompt(text) for text in inputs]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    texts: list[str] = [""] * len(ids)
    if seq2seq:
        decode = _seq2seq_decode
    else:
        from lib.decoding import Decoder

        decoder = Decoder(model, tokenizer)

        def decode(_, __, prompts, limit):
            return decoder.decode(prompts, limit)
    for start in range(0, len(order), batch_size):
        batch = order[start:start + batch_size]
        new = decode(model, encoder, [ids[i] for i in batch], limit)
        for i, text in zip(batch, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            texts[i] = text.strip()
        if progress is not None:
            progress.step(len(batch))
    return texts


def _seq2seq_decode(model, encoder: Encoder, prompts: list[list[int]], limit: int) -> list[list[int]]:
    import torch

    batch = encoder.collate([{"input_ids": p, "labels": [0]} for p in prompts])
    with torch.inference_mode():
        return model.generate(
            input_ids=batch["input_ids"].to(model.device), max_new_tokens=limit, do_sample=False,
            num_beams=1, attention_mask=batch["attention_mask"].to(model.device)).tolist()


def predictions(settings: Profile, student: Student, folder: Path) -> pd.DataFrame:
    """A row a test question: prediction (text), answered (index or None), gold, explanation.

    Kept in ``04_evaluation/students``, named by student and evaluation settings.
    """
    questions = tasks.load(settings.task, settings.seed)["test"]
    chosen = settings.evaluation
    key = store.key_of([chosen.model_dump(mode="json"),
                        [[q.id, q.question, q.choices, q.answer] for q in questions]])
    path = profile.run_folder(settings) / "04_evaluation" / "students" / f"{folder.name}-{key}.parquet"
    if not path.is_file():
        tags = settings.training_of(student.variant).tags
        store.write_parquet(path, _predict(student, folder, questions, chosen, tags))
    return pd.read_parquet(path).assign(arm=student.name, size=student.model.size, seed=student.seed)


def _predict(student: Student, folder: Path, questions: list[Question], chosen,
             tags: str) -> pd.DataFrame:
    if not grid.is_whole(folder):
        raise UserError(f"The student {student.label} is damaged on disk; delete "
                        f"{paths.shown(folder)} and run notebooks/03_training.ipynb again.")
    method, _ = objectives.split_arm(student.arm)
    models.quiet()
    model, tokenizer = load_student(student, folder)
    texts: dict[str, list[str]] = {}
    answers, explains = objectives.answer_task(method), objectives.explanation_task(method)
    for task in dict.fromkeys((answers, explains)):
        if task is not None:
            limit = chosen.answer_tokens if task == "predict" else chosen.explanation_tokens
            progress = Progress(f"{student.label} [{task}]", len(questions), "questions")
            texts[task] = generate(
                model, tokenizer, [objectives.source(task, q, tags=tags) for q in questions], limit,
                chosen.batch_size, progress)
    rows = []
    for i, q in enumerate(questions):
        said, reason = texts[answers][i], texts[explains][i] if explains else None
        rows.append({"id": q.id, "question": q.question, "choices": list(q.choices),
                     "gold": q.answer, "prediction": said, "answered": extract(said, q.choices),
                     "explanation": without_answer(reason) if reason is not None else None})
    table = pd.DataFrame(rows)
    table["answered"] = table["answered"].astype("Int64")
    return table.assign(correct=(table["answered"] == table["gold"]).fillna(False).astype(bool))


def all_predictions(settings: Profile, trained: pd.DataFrame) -> pd.DataFrame:
    """Predictions of every finished student in the table of notebook 03."""
    parts = [predictions(settings, *found) for found in grid.finished(settings, trained)]
    return pd.concat(parts, ignore_index=True)


def load_student(student: Student, folder: Path):
    """A finished student in eval mode; an adapter is merged, into the dequantised base for QLoRA."""
    if not (folder / "adapter_config.json").is_file():
        return models.load(folder, "auto")
    from peft import PeftModel

    base = "4bit" if student.model.base == "4bit" else "float32"
    model, tokenizer = models.load(models.fetch(student.model.model), base)
    if base == "4bit":
        model = model.dequantize()
    return PeftModel.from_pretrained(model, folder).merge_and_unload().eval(), tokenizer


def without_answer(text: str) -> str:
    """The explanation without a closing answer sentence (CF students write both)."""
    return re.split(r"\bso the answer is\b", text, maxsplit=1, flags=re.IGNORECASE)[0].strip()


def explanation_table(everything: pd.DataFrame) -> pd.DataFrame:
    """A row an explanation: characters, empty, share of the other choices that it names.

    "Other" is relative to the student's own answer, else to the gold answer.
    """
    rows = []
    for row in everything[everything["explanation"].notna()].to_dict("records"):
        answer = row["gold"] if pd.isna(row["answered"]) else int(row["answered"])
        rows.append({"arm": row["arm"], "size": row["size"], "seed": row["seed"], "id": row["id"],
                     "prediction": row["prediction"], "correct": row["correct"],
                     "explanation": row["explanation"], "characters": len(row["explanation"]),
                     "empty": not row["explanation"], "mentions_other_choices":
                     mentioned(row["explanation"], list(row["choices"]), answer)})
    return pd.DataFrame(rows)
