"""What a profile asks for, before anything is loaded: ``python -m lib.runner.plan PROFILE``."""

import argparse

from lib.common import methods, profile
from lib.common.errors import UserError, command_line
from lib.questions import download
from lib.questions import splits as tasks
from lib.students import grid
from lib.teacher import prompt


def question_counts(settings: profile.Profile) -> dict[str, int]:
    """Questions of each split: counted in local files, else as the task's file or the pins say."""
    task, told = settings.task, tasks.describe(settings.task.name)
    if tasks.from_files(task):
        return {split: len(rows) for split, rows in tasks.load(task, settings.seed).items()}
    if "sizes" not in told:
        raise UserError(
            f"The task '{task.name}' says no sizes; add `sizes: {{train: ..., test: ...}}` to "
            "its file for `make plan`."
        )
    known = dict(told["sizes"])
    if task.source == "published":
        rows = download.read_sources()["rows"]
        known = {split: rows[f"{told['published']}-llama-{split}"] for split in ("train", "test")}
    known["dev"] = -(-known["train"] // 10)
    known["train"] -= known["dev"]
    return {split: getattr(task, split) or known[split] for split in tasks.SPLITS}


def text_counts(settings: profile.Profile) -> dict[str, int]:
    """Texts that the teacher writes, by kind; none where they are published."""
    if settings.teacher.source == "published":
        return dict.fromkeys(prompt.KINDS, 0)
    counts = question_counts(settings)
    found = dict.fromkeys(prompt.KINDS, counts["train"] + counts["dev"])
    if settings.teacher.counterfactuals == "first":
        return found
    if tasks.from_files(settings.task):
        splits = tasks.load(settings.task, settings.seed)
        choices = sum(len(q.choices) for split in ("train", "dev") for q in splits[split])
        return found | {"counterfactual": choices}
    examples = prompt.read(settings.task.name)["examples"]  # the questions are not here yet
    if not examples:
        raise UserError(
            f"The task '{settings.task.name}' has no worked example, by whose choices the "
            "counterfactual rationales are counted; write one."
        )
    return found | {"counterfactual": found["counterfactual"] * len(examples[0]["choices"])}


def several(count: int, noun: str) -> str:
    """A count with its noun: 1 size, 2 sizes."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def span(values: list[int]) -> str:
    """The smallest and the largest of some numbers, or the one that they all are."""
    return " to ".join(f"{value:,}" for value in sorted({min(values), max(values)}))


def downloads(settings: profile.Profile) -> list[str]:
    """What would come from the network: questions and texts of all tasks, and models."""
    asked = [settings.task, *settings.evaluation.also]
    found = ["the authors' released texts (pinned by commit, size and SHA-256)"] * any(
        task.source == "published" for task in asked
    )
    for task in asked:
        hub = tasks.describe(task.name).get("hub")
        if task.source == "default" and hub:
            found.append(f"questions {hub['path']} at {hub['revision'] or 'no revision'}")
    return found + [
        f"model {name.removeprefix('hub:')}" for name in settings.models if name.startswith("hub:")
    ]


def describe(settings: profile.Profile) -> list[str]:
    """The plan as lines."""
    writes = settings.teacher.source == "generate"
    counts, texts = question_counts(settings), text_counts(settings)
    trained = [settings.training_of(variant) for variant in settings.variants or [""]]
    teacher = settings.teacher.model or "the authors' LLaMA-2-13B (published texts)"
    students = grid.students(settings)
    explaining = [s for s in students if methods.explanation_objective(methods.split_arm(s.arm)[0])]
    explained = min(settings.evaluation.explained or counts["test"], counts["test"])
    variants = f"{several(len(trained), 'variant')} x " if settings.variants else ""
    models = ", ".join(f"{s.size} ({s.model})" for s in settings.students)
    return [
        f"Profile {settings.name}: {settings.description}",
        f"Questions  {settings.task.name}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()),
        f"Teacher    {teacher}"
        + (": " if writes else "")
        + ", ".join(f"{n:,} {kind} texts" for kind, n in texts.items() if writes),
        f"Students   {several(len(students), 'training')} ({several(len(settings.arms), 'arm')} x {variants}"
        f"{several(len(settings.students), 'size')} x {several(len(settings.seeds), 'seed')}) of "
        f"{span([t.steps for t in trained])} steps x {span([t.batch_size for t in trained])} questions: "
        f"{models}",
        f"Arms       {', '.join(settings.arms)}",
        f"Answers    {len(students) * counts['test']:,} test answers, "
        f"{len(explaining) * explained:,} explanations",
        "Downloads  " + ("; ".join(downloads(settings)) or "none"),
    ]


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.plan", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile", nargs="?", default="cpu")
    print("\n".join(describe(profile.load(parser.parse_args().profile))))


if __name__ == "__main__":
    main()
