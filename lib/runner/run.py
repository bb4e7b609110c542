"""Runs a profile's notebooks that are out of date, in order: ``python -m lib.runner.run cpu``.

``--stage 04`` runs one notebook and those whose tables it needs; with ``-p name=value``, which sets
a parameter, it is run in any case. An executed copy appears in data/runs/<profile>/notebooks only
when every cell has succeeded; after a failure the copy as far as it came stands beside it as
``<notebook>.failed.ipynb``. lib.runner.stages says what is out of date, lib.runner.report follows.
"""

import argparse
import logging
import os
import re
import sys
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from lib.common import files, paths, profile, provenance
from lib.common.errors import UserError, command_line, hint
from lib.common.profile import Profile
from lib.common.progress import duration
from lib.models import checkpoints
from lib.questions import splits
from lib.runner import plan, report, stages, summary
from lib.students import objectives
from lib.teacher import prompt

# jsonschema, which nbformat needs, would compile a grammar of URIs for 1 s at its import; it does
# without the package, and no notebook has a field that would be checked by it.
sys.modules.setdefault("rfc3987_syntax", None)


# Of Jupyter's kernels, without a warning at each start that loopback is not encrypted.
LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]


START = "00_start_here"  # the notebook that stands alone

# Of cells that print themselves: progress of long work, as lib prints it.
PROGRESS = re.compile(r" \d+/\d+ \S+ \| |^\w.* \.\.\.$|is damaged|is not whole")


class Log:
    """Takes what a notebook prints and passes on what lib says of its progress: all that a cell
    without a print of its own prints, else lines of ``PROGRESS``. The executed copy has it all."""

    def __init__(self):
        self.rest, self.prints = "", True

    def begin(self, cell, cell_index: int) -> None:
        """Note whether the cell that now runs prints itself."""
        self.rest, self.prints = "", "print(" in cell.source

    def write(self, text: str) -> None:
        """Print the whole lines that have come."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(PROGRESS.search if self.prints else None, lines):
            print(f"  {line}", flush=True)

    def flush(self) -> None:
        """Nothing: each line is printed at once."""


class ThisPython(AsyncKernelManager):
    """Starts kernels with the interpreter that runs us, not a "python3" installed for Jupyter."""

    kernel_spec = KernelSpec(
        argv=[sys.executable, *LAUNCH], display_name="Python 3", language="python"
    )
    peak_memory_gb: float | None = None  # of the last kernel that was shut down

    async def shutdown_kernel(self, *args, **options):
        """Note the kernel's peak of memory (Linux tells it), then shut the kernel down."""
        status = Path(f"/proc/{self.provisioner.pid}/status")
        found = re.search(
            r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8") if status.is_file() else ""
        )
        ThisPython.peak_memory_gb = round(int(found[1]) * 1024 / 1e9, 2) if found else None
        await super().shutdown_kernel(*args, **options)


def check(settings: Profile) -> None:
    """UserError for what is wrong in a profile's models, questions and prompts: said now, not when
    they are loaded. Models of the hub that are not here yet are checked when they have come."""
    here = {name: checkpoints.check(name) for name in settings.models}
    asked = []
    for task in (settings.task, *settings.evaluation.also):
        if splits.files_of(task.name, task.source):
            asked += [q for part in splits.load(task, settings.seed).values() for q in part]
    if settings.teacher.writes:
        check_teacher(settings, here.get(settings.teacher.model))
    new = settings.evaluation.explanation_tokens
    advice = "lower evaluation.explanation_tokens or choose another student."
    for name in dict.fromkeys(student.model for student in settings.students):
        if here[name]:
            if here[name][0].config.is_encoder_decoder and "listwise" in str(settings.arms):
                raise UserError(f"{name} is an encoder-decoder; listwise needs a causal student.")
            objectives.check_choices(here[name][1], asked, name)
            inputs = [objectives.source("explain", question) for question in asked]
            check_positions(name, *here[name], inputs, new, advice)


def check_teacher(settings: Profile, here: tuple | None) -> None:
    """UserError for a dataset's file, and for a teacher (if it is ``here``) that cannot read
    prompts about a worked example."""
    chosen, texts = settings.teacher, prompt.read(settings.task.name)
    prefixes = prompt.prefixes(texts, chosen.shots, chosen.prefixes, settings.seed)
    if not here or not texts["examples"]:
        return
    model, tokenizer = here
    if model.config.is_encoder_decoder:
        raise UserError(f"The teacher {chosen.model} is an encoder-decoder; choose a causal model.")
    case, request = texts["examples"][0], texts["requests"][0]
    prompts = {
        "explanation": [prompt.explain(case, prefix) for prefix in prefixes],
        "revision": [prompt.revise(case, request, prefix, True) for prefix in prefixes],
    }
    chat = prompt.uses_chat(chosen.chat, tokenizer)
    advice = "lower teacher.shots or choose another teacher."
    for kind, asked in prompts.items():
        try:
            rendered = [prompt.render(one, tokenizer, chat) for one in asked]
        except Exception as error:  # a template fails in words of its own
            raise UserError(
                f"The chat template of {chosen.model} does not take our turns ({error}); set "
                "teacher.chat to false or choose another teacher."
            ) from None
        new = getattr(chosen.max_new_tokens, kind)
        check_positions(chosen.model, model, tokenizer, rendered, new, advice)


def check_positions(name, model, tokenizer, texts: list[str], new: int, advice: str) -> None:
    """UserError unless a model has positions for each text and so many new tokens."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = sorted(texts, key=len)[-20:] or [""]
    need = max(map(len, tokenizer(longest)["input_ids"]))
    if not model.config.is_encoder_decoder:  # its output counts from 0
        need += new
    if positions and need > positions:
        raise UserError(
            f"{name} has {positions} positions, but reads and writes up to {need} tokens; {advice}"
        )


def find(name: str) -> str:
    """The stage that is called so: ``04_evaluation``, or ``04``. UserError if there is none."""
    known = stages.in_order()
    for stage in known:
        if name in (stage, stage[:2]):
            return stage
    raise UserError(
        f"There is no notebook '{name}' in {paths.shown(paths.NOTEBOOKS)}; {hint(name, known)}"
    )


def check_parameters(stage: str, given: dict[str, str]) -> None:
    """UserError for a parameter that the notebook does not have."""
    import papermill

    notebook = stages.notebook(stage)
    known = papermill.inspect_notebook(str(notebook))
    for name in set(given) - set(known):
        where = paths.shown(notebook)
        raise UserError(f"{where} has no parameter '{name}'; {hint(name, known, 'it has')}")


def run_papermill(stage: str, settings: Profile, given: dict[str, str], partial: Path) -> None:
    """Run a notebook's cells and show their progress; the copy grows in ``partial``."""
    import papermill

    log = Log()
    if not plan.downloads(settings):
        os.environ["HF_HUB_OFFLINE"] = "1"  # else every look-up is tried for 23 s without a network
    os.environ["HONEY_HOME"] = str(paths.BUILT.resolve())  # the kernel starts in another folder
    os.environ["PYTHONUTF8"] = "1"
    os.environ["IPYTHONDIR"] = str(paths.RUNS / ".ipython")  # without a user's start-up files
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what matters is said by us
    papermill.execute_notebook(
        str(stages.notebook(stage)),
        str(partial),
        {**given, "profile": settings.name},
        kernel_name="python3",
        kernel_manager_class=ThisPython,
        cwd=str(paths.NOTEBOOKS),
        progress_bar=False,
        stdout_file=log,
        on_cell_execute=log.begin,
    )


def explain_failure(stage: str, error: BaseException, failed: Path) -> str:
    """What to say of an error in a cell or of a dead kernel; empty for other errors."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError, strip_color

    if isinstance(error, DeadKernelError):
        return (
            f"The kernel of {stage} was killed (often: out of memory); finished work is kept, run "
            f"the same command again. As far as it came: {paths.shown(failed)}"
        )
    if not isinstance(error, PapermillExecutionError):
        return ""
    if error.ename == "UserError":
        return error.evalue
    cell = "\n".join(f"    {line}" for line in error.source.strip().splitlines())
    lines = strip_color("\n".join(error.traceback)).splitlines()[-12:]
    return "\n".join(
        [
            f"{stage} failed in cell [{error.exec_count}]:\n{cell}",
            *lines,
            f"The notebook as far as it came: {paths.shown(failed)}",
        ]
    )


def stamp(partial: Path, executed: Path, settings: Profile, **more: object) -> None:
    """Write the executed copy with its provenance, without what GitHub cannot show."""
    import nbformat

    nb = nbformat.read(partial, as_version=4)
    notebook = paths.NOTEBOOKS / executed.name
    nb.metadata.pop("widgets", None)  # GitHub's viewer does not show notebooks that have it
    nb.metadata["papermill"] |= {
        "input_path": paths.shown(notebook),
        "output_path": str(executed.relative_to(paths.BUILT)),
    }
    nb.metadata["honey"] = provenance.stamp(
        notebook=paths.shown(notebook),
        notebook_sha256=files.sha256_file(notebook),
        profile=settings.name,
        seed=settings.seed,
        seeds=settings.seeds,
        peak_memory_gb=ThisPython.peak_memory_gb,
        **more,
    )
    files.write_text(executed, nbformat.writes(nb) + "\n")


def execute(stage: str, settings: Profile, given: dict[str, str]) -> None:
    """Run a notebook under a profile and keep the executed copy. UserError, with everything a
    reader needs, if a cell fails or the kernel dies."""
    executed = profile.run_folder(settings) / "notebooks" / f"{stage}.ipynb"
    failed, partial = executed.with_suffix(".failed.ipynb"), executed.with_name(f".{stage}.ipynb")
    executed.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    try:
        run_papermill(stage, settings, given, partial)
    except BaseException as error:
        if partial.is_file():
            partial.replace(failed)
        sentence = explain_failure(stage, error, failed)
        if sentence:
            raise UserError(sentence) from None
        raise
    seconds = time.time() - started
    stamp(partial, executed, settings, parameters=given, wall_seconds=round(seconds, 1))
    partial.unlink()
    failed.unlink(missing_ok=True)
    print(f"{stage} took {duration(seconds)}", flush=True)


def run(settings: Profile, last: str = "", given: dict[str, str] | None = None) -> None:
    """Run what is out of date: all stages, or the last one and what it needs. ``given``: parameters
    of the last one, which is then run in any case."""
    if given:
        check_parameters(last, given)
    records, names, count = stages.Records(settings), stages.in_order(last), 0
    for number, stage in enumerate(names, 1):
        parameters = given if given and stage == last else {}
        inputs = records.inputs(stage, parameters)
        reason = records.why(stage, inputs) or ("parameters are set" if parameters else "")
        if not reason:
            continue
        count += 1
        states = plan.states(settings)
        left = plan.left(settings, {name: states[name] for name in names[number - 1 :]})
        where = f"notebook {number} of {len(names)}" + (f", {left} left" if left else "")
        print(f"{stage} ({where}): {reason}", flush=True)
        records.path(stage).unlink(missing_ok=True)  # what is stopped half-way does not count
        execute(stage, settings, parameters)
        records.write(stage, inputs)
    if not count:
        print("Nothing to run: " + ", ".join(name[:2] for name in names) + " are up to date.")


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring; exit code 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.run", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile", help="a file in notebooks/profiles")
    parser.add_argument("--stage", default="", help="one notebook, such as 04")
    parser.add_argument(
        "-p",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="parameters",
        help="set a parameter (a text) of the notebook that --stage names",
    )
    parser.add_argument("--check", action="store_true", help="only check the profile")
    options = parser.parse_args(arguments)
    if options.parameters and not (options.stage and all("=" in p for p in options.parameters)):
        raise UserError("-p name=value goes with --stage, whose notebook has the parameter.")
    given = dict(item.split("=", 1) for item in options.parameters)
    settings = profile.load(options.profile)
    if options.stage == START[:2]:  # no stage: nothing reads what it shows
        check(settings)
        execute(START, settings, given)
        return
    last = options.stage and find(options.stage)
    if last[:2] not in ("05", "07"):  # which need no models, and no torch to look at them
        check(settings)
    if options.check:
        return
    try:
        run(settings, last, given)
    except KeyboardInterrupt:
        print(
            "Stopped; finished work is kept, run the same command again to go on.", file=sys.stderr
        )
        raise SystemExit(130) from None
    if not options.stage:
        print(*summary.lines(settings, report.build(settings)), sep="\n")


if __name__ == "__main__":
    main()
