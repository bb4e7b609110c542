"""What a run would do, before anything is loaded: ``python -m lib.runner.plan PROFILE``."""

import argparse

from lib.common import methods, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.questions import question, release, splits
from lib.runner import stages
from lib.students import grid
from lib.teacher import prompt


def question_counts(settings: Profile) -> dict[str, int]:
    """Questions of each split: counted in files, else as the dataset's file or the pins say."""
    task, described = settings.task, question.describe(settings.task.name)
    if splits.files_of(task.name, task.source):
        return {split: len(rows) for split, rows in splits.load(task, settings.seed).items()}
    if "sizes" not in described:
        raise UserError(
            f"The task '{task.name}' says no sizes; add `sizes: {{train: ..., test: ...}}` to "
            "its file for `make plan`."
        )
    known = dict(described["sizes"])
    if task.source == "published":
        rows = release.read_sources()["rows"]
        known = {
            split: rows[f"{described['published']}-llama-{split}"] for split in ("train", "test")
        }
    known["dev"] = -(-known["train"] // 10)
    known["train"] -= known["dev"]
    return {split: getattr(task, split) or known[split] for split in splits.SPLITS}


def text_counts(settings: Profile) -> dict[str, int]:
    """Texts that the teacher writes, by kind; none where they are published, and few where they are
    written."""
    if not settings.teacher.writes:
        return dict.fromkeys(prompt.KINDS, 0)
    written, counts = settings.teacher.source == "written", question_counts(settings)
    asked = settings.teacher.live if written else counts["train"] + counts["dev"]
    texts = dict.fromkeys(prompt.KINDS, asked)
    if settings.teacher.counterfactuals == "first":
        return texts
    if splits.files_of(settings.task.name, settings.task.source):
        questions = splits.load(settings.task, settings.seed)
        known = [q for split in ("train", "dev") for q in questions[split]]
        choices = sum(len(q.choices) for q in known[:asked])
    else:  # the questions are not here yet: as many choices as a worked example has
        examples = prompt.read(settings.task.name)["examples"]
        choices = texts["counterfactual"] * len(examples[0]["choices"])
    return texts | {"counterfactual": choices}


def downloads(settings: Profile) -> list[str]:
    """What would come from the network: questions and texts of all datasets, and models."""
    asked, found = [settings.task, *settings.evaluation.also], []
    if any(task.source == "published" for task in asked):
        found.append("the authors' released texts (pinned by commit, size and SHA-256)")
    for task in asked:
        hub = question.describe(task.name).get("hub")
        if task.source == "default" and hub:
            found.append(f"questions {hub['path']} at {hub['revision'] or 'no revision'}")
    hub_models = [name for name in settings.models if name.startswith("hub:")]
    return found + [f"model {name.removeprefix('hub:')}" for name in hub_models]


def several(count: int, noun: str) -> str:
    """A count with its noun: 1 size, 2 sizes."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def span(values: list[int]) -> str:
    """The smallest and the largest of some numbers, or the one that they all are."""
    return " to ".join(f"{value:,}" for value in sorted({min(values), max(values)}))


def about(seconds: float) -> str:
    """A rough time in words: about 9 min, about 2.5 h."""
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} min" if minutes < 100 else f"about {minutes / 60:.1f} h"


NEEDS = {
    "memory_gb": "{:g} GB of memory",
    "disk_gb": "{:g} GB of disk",
    "gpu_gb": "a GPU with {:g} GB",
}


def describe(settings: Profile) -> list[str]:
    """What a profile asks for, as lines."""
    counts, texts = question_counts(settings), text_counts(settings)
    teacher = settings.teacher.model or "the authors' LLaMA-2-13B (published texts)"
    if settings.teacher.writes:
        teacher += ": " + ", ".join(f"{n:,} {kind} texts" for kind, n in texts.items())
    if settings.teacher.source == "written":
        live = f"; live beside them, {teacher}" if settings.teacher.live else ""
        teacher = f"written texts of all questions{live}"
    students = grid.students(settings)
    trained = [settings.training_of(variant) for variant in settings.variants or [""]]
    sets = [several(len(settings.arms), "arm")]
    if settings.variants:
        sets.append(several(len(trained), "variant"))
    sets += [several(len(settings.students), "size"), several(len(settings.seeds), "seed")]
    needs = settings.needs.model_dump(exclude_none=True)
    minutes = needs.pop("minutes", None)
    takes = [about(60 * minutes) + " on two CPU cores" * ("gpu_gb" not in needs)] if minutes else []
    takes += [NEEDS[name].format(n) for name, n in needs.items()]
    explaining = [s for s in students if methods.explanation_objective(methods.split_arm(s.arm)[0])]
    explained = min(settings.evaluation.explained or counts["test"], counts["test"])
    return [
        f"Profile {settings.name}: {settings.description}",
        f"Questions  {settings.task.name}: " + ", ".join(f"{n:,} {s}" for s, n in counts.items()),
        f"Teacher    {teacher}",
        f"Students   {several(len(students), 'training')} ({' x '.join(sets)}) of "
        f"{span([t.steps for t in trained])} steps x {span([t.batch_size for t in trained])} "
        f"questions: {', '.join(f'{s.size} ({s.model})' for s in settings.students)}",
        f"Arms       {', '.join(settings.arms)}",
        f"Answers    {len(students) * counts['test']:,} test answers, "
        f"{len(explaining) * explained:,} explanations",
        "Downloads  " + ("; ".join(downloads(settings)) or "none"),
        "Needs      " + (", ".join(takes) or "not measured"),
    ]


def states(settings: Profile) -> dict[str, str]:
    """Stage -> "up to date", or why it would run, in their order."""
    records, found, running = stages.Records(settings), {}, set()
    for stage in stages.in_order():
        reason = records.why(stage, records.inputs(stage))
        waits = [other for other in stages.in_order(stage) if other in running]
        if reason:
            found[stage] = f"runs: {reason}"
        elif waits:
            numbers = " or ".join(other[:2] for other in waits)
            found[stage] = f"runs if the tables of {numbers} come out different"
        else:
            found[stage] = "up to date"
            continue
        running.add(stage)
    return found


def left(settings: Profile, states: dict[str, str]) -> str:
    """About how long the stages take that are not up to date; empty where that is not known."""
    records = stages.Records(settings)
    seconds = [records.seconds(name) for name in states if states[name] != "up to date"]
    return about(sum(seconds)) if seconds and all(seconds) else ""


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.runner.plan", description=__doc__)
    parser.add_argument("profile", nargs="?", default="cpu")
    settings = profile.load(parser.parse_args(arguments).profile)
    print(*describe(settings), sep="\n")
    found = states(settings)
    for stage, state in found.items():
        takes = left(settings, {stage: state})
        print(f"  {stage:22} {state}{f' ({takes})' * bool(takes)}")
    if total := left(settings, found):
        print(f"In all     {total}")


if __name__ == "__main__":
    main()
