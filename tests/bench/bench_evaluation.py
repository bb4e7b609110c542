"""Answers per second of a student: one by one and padded, against batches by length.

``python -m tests.bench.bench_evaluation [questions]`` (also ``make bench WHAT=evaluation``).
Reference: one question a call, padded to the longest of all, transformers' ``generate``. Ours:
lib.evaluation.answers.generate. Both greedy, both end a row at end-of-sequence; ours also ends it
with its line. The student is the first MT student of profile ``cpu`` if it is trained, else the
embedded checkpoint as it is.
"""

import sys

import torch

from lib.common import files, profile
from lib.evaluation import answers
from lib.models import checkpoints
from lib.questions import splits
from lib.students import grid, objectives
from lib.students.data import Encoder
from tests.bench import bench


def a_student() -> tuple:
    """Model, tokenizer and name of the student that answers."""
    folder = grid.students_folder(profile.load("cpu"))
    for record in sorted(folder.glob("MT-Unrevised-*/student.json")):
        label = files.read_json(record, "training")["label"]
        return *checkpoints.load(record.parent, "auto"), label
    source = checkpoints.fetch("embedded:smollm2-135m-instruct")
    return *checkpoints.load(source, "auto"), "SmolLM2-135M-Instruct"


def one_by_one(model, tokenizer, inputs: list[str], limit: int) -> list[str]:
    """Each input alone, left-padded to the longest."""
    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    rows = encoder.prompts(inputs)
    width, texts = max(map(len, rows)), []
    for row in rows:
        ids = torch.tensor([[encoder.pad] * (width - len(row)) + row], device=model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row)], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=limit, do_sample=False
            )
        new = out[0] if model.config.is_encoder_decoder else out[0, width:]
        texts.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    return texts


def main(count: str = "48") -> None:
    """Measure answers and explanations of one student."""
    checkpoints.quiet()
    model, tokenizer, name = a_student()
    settings = profile.load("cpu")
    chosen = settings.evaluation
    questions = splits.load(settings.task)["test"][: int(count)]
    limits, rows = {"predict": chosen.answer_tokens, "explain": chosen.explanation_tokens}, []
    for objective, limit in limits.items():
        inputs, texts = [objectives.source(objective, q) for q in questions], {}

        def reference(inputs=inputs, limit=limit, texts=texts):
            texts["reference"] = one_by_one(model, tokenizer, inputs, limit)

        def ours(inputs=inputs, limit=limit, texts=texts):
            found = answers.generate(model, tokenizer, inputs, limit, chosen.batch_size)
            texts["ours"] = found

        reference(inputs[:2], 2)  # both ways warm up
        ours(inputs[:2], 2)
        rows.append(bench.pair(f"{objective}, {name}", "texts/s", len(inputs), reference, ours))
        first = [text.split("\n", 1)[0] for text in texts["reference"]]
        same = sum(a == b for a, b in zip(first, texts["ours"], strict=True))
        print(f"{objective}: {same} of {len(inputs)} texts identical", flush=True)
    bench.finish("evaluation", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
