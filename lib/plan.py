"""What a profile asks for, before anything is loaded: ``python -m lib.plan PROFILE``."""

import argparse

from lib import download, grid, objectives, profile, prompt, tasks
from lib.errors import UserError, command_line


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
    each = 1
    if settings.teacher.counterfactuals == "all":
        examples = prompt.read(settings.task.name)["examples"]
        if not examples:
            raise UserError(f"The task '{settings.task.name}' has no worked example, by whose choices the "
                            "counterfactual rationales are counted; write one.")
        each = len(examples[0]["choices"])
    return {kind: asked * (each if kind == "counterfactual" else 1) for kind in prompt.KINDS}


def downloads(settings: profile.Profile) -> list[str]:
    """What would come from the network: questions and texts of all tasks, and models."""
    asked = [settings.task, *settings.evaluation.also]
    found = ["the authors' released texts (pinned by commit, size and SHA-256)"] * any(
        task.source == "published" for task in asked)
    for task in asked:
        hub = tasks.describe(task.name).get("hub")
        if task.source == "default" and hub:
            found.append(f"questions {hub['path']} at {hub['revision'] or 'no revision'}")
    return found + [f"model {name.removeprefix('hub:')}" for name in settings.models
                    if name.startswith("hub:")]


def describe(settings: profile.Profile) -> list[str]:
    """The plan as lines."""
    writes = settings.teacher.source == "generate"
    counts, texts, t = question_counts(settings), text_counts(settings), settings.training
    teacher = settings.teacher.model or "the authors' LLaMA-2-13B (published texts)"
    students = grid.students(settings)
    explaining = [s for s in students if objectives.explanation_task(objectives.split_arm(s.arm)[0])]
    explained = min(settings.evaluation.explained or counts["test"], counts["test"])
    variants = f"{len(settings.variants)} variants x " if settings.variants else ""
    models = ", ".join(f"{s.size} ({s.model})" for s in settings.students)
    return [
        f"Profile {settings.name}: {settings.description}",
        f"Questions  {settings.task.name}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()),
        f"Teacher    {teacher}" + (": " if writes else "")
        + ", ".join(f"{n:,} {kind} texts" for kind, n in texts.items() if writes),
        f"Students   {len(students)} trainings ({len(settings.arms)} arms x {variants}"
        f"{len(settings.students)} sizes x "
        f"{len(settings.seeds)} seeds) of {t.steps:,} steps x {t.batch_size} questions: {models}",
        f"Arms       {', '.join(settings.arms)}",
        f"Answers    {len(students) * counts['test']:,} test answers, "
        f"{len(explaining) * explained:,} explanations",
        "Downloads  " + ("; ".join(downloads(settings)) or "none"),
    ]


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.plan", description=__doc__.split("\n\n")[0])
    parser.add_argument("profile", nargs="?", default="cpu")
    print("\n".join(describe(profile.load(parser.parse_args().profile))))


if __name__ == "__main__":
    main()
