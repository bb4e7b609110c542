"""What a profile asks for, before anything is loaded: ``python -m lib.plan PROFILE``."""

import sys

from lib import download, grid, profile, prompt, tasks
from lib.errors import UserError


def question_counts(settings: profile.Profile) -> dict[str, int]:
    """Questions of each split: counted in local files, else as the task's file or the pins say."""
    task, told = settings.task, tasks.describe(settings.task.name)
    if task.source != "published" and (task.source != "default" or "files" in told):
        return {split: len(rows) for split, rows in tasks.load(task, settings.seed).items()}
    if "sizes" not in told:
        raise UserError(f"The task '{task.name}' says no sizes; add `sizes: {{train: ..., test: ...}}` to "
                        "its file for `make plan`.")
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
    asked = counts["train"] + counts["dev"]
    choices = len(prompt.read(settings.task.name)["examples"][0]["choices"])
    each = choices if settings.teacher.counterfactuals == "all" else 1
    return {kind: asked * (each if kind == "counterfactual" else 1) for kind in prompt.KINDS}


def downloads(settings: profile.Profile) -> list[str]:
    """What would come from the network."""
    found = []
    told = tasks.describe(settings.task.name)
    if settings.task.source == "published":
        found.append("the authors' released texts (pinned by commit, size and SHA-256)")
    elif settings.task.source == "default" and "hub" in told:
        found.append(f"questions {told['hub']['path']} at {told['hub']['revision'] or 'no revision'}")
    references = [settings.teacher.model or "", *(student.model for student in settings.students)]
    found += [f"model {name.removeprefix('hub:')}" for name in dict.fromkeys(references)
              if name.startswith("hub:")]
    return found


def describe(settings: profile.Profile) -> list[str]:
    """The plan as lines."""
    counts, texts, t = question_counts(settings), text_counts(settings), settings.training
    teacher = settings.teacher.model or "the authors' LLaMA-2-13B (published texts)"
    trainings = len(grid.students(settings))
    variants = f"{len(settings.variants)} variants x " if settings.variants else ""
    models = ", ".join(f"{s.size} ({s.model})" for s in settings.students)
    return [
        f"Profile {settings.name}: {settings.description}",
        f"Questions  {settings.task.name}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()),
        f"Teacher    {teacher}: " + ", ".join(f"{n:,} {kind} texts" for kind, n in texts.items()),
        f"Students   {trainings} trainings ({len(settings.arms)} arms x {variants}"
        f"{len(settings.students)} sizes x "
        f"{len(settings.seeds)} seeds) of {t.steps:,} steps x {t.batch_size} questions: {models}",
        f"Arms       {', '.join(settings.arms)}",
        f"Answers    {trainings * counts['test']:,} test answers and as many explanations",
        "Downloads  " + ("; ".join(downloads(settings)) or "none"),
    ]


def main(name: str) -> None:
    """Print the plan of a profile."""
    try:
        print("\n".join(describe(profile.load(name))))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:2])
