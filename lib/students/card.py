"""The model card of a student: README.md in its folder, for people and for the hub."""

from pathlib import Path

import pandas as pd
from huggingface_hub import ModelCard, ModelCardData

from lib.common import files, methods
from lib.students import objectives

TEXT = """
# {label}

A student of the profile `{profile}`, fine-tuned from `{model}` ({trained_parameters:,} parameters trained) on
{task} with {texts} (method {method}). It was trained for {steps} steps; these are the
weights of step {best_step}, the best on the dev split. The test split was not read.

| task | weight in the loss | dev loss (mean over tokens) |
| --- | --- | --- |
{losses}

Seed {seed}, {precision}, {seconds:.0f} s on {device}, commit {provenance[commit]}, data {key[data]}.

## Use

Input: `{example}`. {ask}
`lib.evaluation.answers.load_student` loads it; so does `from_pretrained` of {library}.

The student repeats what its teacher wrote, faults included; it is meant for research on explanations,
not for advice.
"""


def write(folder: Path, settings, student, record: dict) -> None:
    """Write the card from a student's record and loss history (see ``lib.students.grid.train_one``)."""
    adapter = (folder / "adapter_config.json").is_file()
    method, texts = methods.split_arm(student.arm)
    history = pd.read_csv(folder / "history.csv")
    dev = history[(history["split"] == "dev") & (history["step"] == record["best_step"])]
    dev = dev.set_index("task")["loss"]
    rows = "\n".join(
        f"| {task} | {weight:g} | {dev[task]:.4f} |"
        for task, weight in record["task_weights"].items()
    )
    asked = methods.answer_objective(method)
    tag = objectives.TAGS[settings.training_of(student.variant).tags][
        methods.OBJECTIVES.index(asked)
    ]
    kind, _, checkpoint = student.model.model.partition(":")  # only hub: names what the hub knows
    data = ModelCardData(
        library_name="peft" if adapter else "transformers",
        language="en",
        base_model=checkpoint.partition("@")[0] if kind == "hub" else None,
        tags=["knowledge-distillation", "explanations", asked],
    )
    text = TEXT.format(
        **record,
        profile=settings.name,
        model=student.model.model,
        method=method,
        task=settings.task.name,
        losses=rows,
        texts=f"{texts.lower()} explanations" if texts else "answers only",
        example=f"{tag if record['seq2seq'] else ''}<question> Choices: (A) <choice> (B) <choice>",
        ask="" if record["seq2seq"] else f"Then a line break, `{tag.strip()}` and a line break.",
        library="peft (an adapter)" if adapter else "transformers",
    )
    files.write_text(folder / "README.md", str(ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")))
