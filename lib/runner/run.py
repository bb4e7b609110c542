"""Runs one notebook: ``python -m lib.runner.run 04_evaluation --profile cpu [-p name=value]``.

The executed copy appears in data/runs/<profile>/notebooks only when every cell has succeeded; after
a failure the copy as far as it came stands beside it as ``<notebook>.failed.ipynb``. Then the
stage's record, data/runs/<profile>/stages/<notebook>.json, lists what it made (see lib/runner/depends.py).
"""

import argparse
import ast
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from lib.common import files as store
from lib.common import paths, profile, provenance
from lib.common.errors import UserError, hint
from lib.common.profile import Profile
from lib.common.progress import duration
from lib.models import checkpoints
from lib.questions import splits
from lib.teacher import prompt

TABLES = {".csv", ".json", ".parquet"}
STUDENT = "student.json"  # has the hashes of all that lies beside it, also of the weights


class ThisPython(AsyncKernelManager):
    """Starts kernels with the interpreter that runs us, not a "python3" installed for Jupyter."""

    kernel_spec = KernelSpec(
        argv=[
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--log-level=CRITICAL",
        ],  # no warning at each start that loopback is not encrypted
        display_name="Python 3",
        language="python",
    )


def find(name: str) -> Path:
    """The notebook that is called so: ``04_evaluation``, or ``04``. UserError if there is none."""
    known = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
    for path in known:
        if name in (path.stem, path.stem[:2]):
            return path
    raise UserError(
        f"There is no notebook '{name}' in {paths.shown(paths.NOTEBOOKS)}; "
        + hint(name, [path.stem for path in known])
    )


def typed(notebook: Path, given: dict[str, str]) -> dict[str, object]:
    """Parameters from the command line as values of their defaults' types.

    UserError for a parameter that the notebook does not have, or a value that does not fit.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    if "profile" not in known:
        raise UserError(
            f"{paths.shown(notebook)} has no parameter 'profile'; its first code cell "
            'must be tagged "parameters" and set profile = "cpu".'
        )
    values = {}
    for name, text in given.items():
        if name == "profile":
            raise UserError("The profile is chosen with --profile (make: PROFILE=), not with -p.")
        if name not in known:
            raise UserError(
                f"{paths.shown(notebook)} has no parameter '{name}'; " + hint(name, known, "it has")
            )
        values[name] = _value(name, text, known[name]["default"])
    return values


def _value(name: str, text: str, source: str) -> object:
    try:
        default = ast.literal_eval(source)
    except (ValueError, SyntaxError):
        raise UserError(
            f"Parameter '{name}' has the default {source}, which is not a plain value; "
            "change it in the notebook."
        ) from None
    kind = type(default)
    if kind is str:
        return text
    try:
        if kind in (int, float):
            return kind(text)
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
        if default is None or type(value) is kind:
            return value
    except (ValueError, SyntaxError):
        pass
    raise UserError(
        f"Parameter '{name}' is of type {kind.__name__} (its default is {default!r}); "
        f"'{text}' is not."
    )


def execute(notebook: Path, settings: Profile, parameters: dict[str, object]) -> Path:
    """Run a notebook under a profile and return the executed copy; what it prints is shown.

    UserError, with everything a reader needs, if a cell fails or the kernel dies.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from lib.runner import plan

    run = profile.run_folder(settings)
    executed = run / "notebooks" / notebook.name
    failed = executed.with_suffix(".failed.ipynb")
    partial = executed.with_name(f".{executed.name}")
    executed.parent.mkdir(parents=True, exist_ok=True)
    if not plan.downloads(settings):
        os.environ["HF_HUB_OFFLINE"] = "1"  # else every look-up is tried for 23 s without a network
    os.environ["HONEY_HOME"] = str(paths.BUILT.resolve())  # the kernel starts in another folder
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what matters is said below
    started = time.time()
    print(f"{notebook.stem} (profile {settings.name})", flush=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(partial),
            {"profile": settings.name, **parameters},
            kernel_name="python3",
            kernel_manager_class=ThisPython,
            cwd=str(paths.NOTEBOOKS),
            progress_bar=False,
            stdout_file=sys.stdout,
        )
    except BaseException as error:
        if partial.is_file():
            partial.replace(failed)
        if isinstance(error, PapermillExecutionError):
            raise UserError(_failure(notebook, failed, error)) from None
        if isinstance(error, DeadKernelError):
            raise UserError(
                f"The kernel of {notebook.stem} was killed (often: out of memory); finished work "
                f"is kept, run the same command again. As far as it came: {paths.shown(failed)}"
            ) from None
        raise
    nb = nbformat.read(partial, as_version=4)
    nb.metadata.pop("widgets", None)  # GitHub's viewer does not show notebooks that have it
    nb.metadata["papermill"] |= {
        "input_path": paths.shown(notebook),
        "output_path": str(executed.relative_to(paths.BUILT)),
    }
    nb.metadata["honey"] = provenance.stamp(
        notebook=paths.shown(notebook),
        notebook_sha256=store.sha256_file(notebook),
        profile=settings.name,
        parameters=parameters,
        seed=settings.seed,
        seeds=settings.seeds,
        wall_seconds=round(time.time() - started, 1),
        peak_memory_gb=_children_peak_gb(),
    )
    record(notebook.stem, settings)
    store.write_text(executed, nbformat.writes(nb) + "\n")
    # As old as its start, so that an input changed meanwhile makes it out of date; a copy that
    # other parameters made is always out of date for Make.
    os.utime(executed, (started, 0 if parameters else started))
    partial.unlink()
    failed.unlink(missing_ok=True)
    print(f"{notebook.stem} took {duration(time.time() - started)}", flush=True)
    return executed


def record(stage: str, settings: Profile) -> Path:
    """Write the hashes of what a stage has made: tables, which other stages read, and figures.

    The file keeps its time while the tables are the same (even if figures changed), so that Make
    reruns the stages that read them only when it must.
    """
    run, figures = profile.run_folder(settings), paths.FIGURES / settings.name
    tables = [
        path
        for path in (run / stage).rglob("*")
        if path.suffix in TABLES and (path.name == STUDENT or not (path.parent / STUDENT).is_file())
    ]
    shown = [run / "statistics.csv"] if (run / stage / "statistics.csv").is_file() else []
    for path in figures.glob("*.json"):
        if store.read_json(path, "its notebook").get("notebook") == f"notebooks/{stage}.ipynb":
            shown += figures.glob(f"{path.stem}.*")
    made = {
        kind: {name: store.sha256_file(paths.BUILT / name) for name in sorted(names)}
        for kind, names in (("tables", _names(tables)), ("shown", _names(shown)))
    }
    path = run / "stages" / f"{stage}.json"
    try:
        written = path.stat().st_mtime_ns
        same = json.loads(path.read_text())["tables"] == made["tables"]
    except (OSError, ValueError, KeyError):  # there is none yet, or it is damaged
        same = False
    store.write_json(path, made, keep_if_same=True)
    if same:
        os.utime(path, ns=(written, written))
    return path


def _names(files: list[Path]) -> list[str]:
    names = [path.relative_to(paths.BUILT) for path in files if path.is_file()]
    return [
        str(name)
        for name in names
        if not any(part.startswith((".", "checkpoint-")) for part in name.parts)
    ]


def _failure(notebook: Path, failed: Path, error) -> str:
    if error.ename == "UserError":
        return error.evalue
    from papermill.exceptions import strip_color

    lines = strip_color("\n".join(error.traceback)).splitlines()
    cell = "\n".join(f"    {line}" for line in error.source.strip().splitlines())
    return (
        f"{notebook.stem} failed in cell [{error.exec_count}]:\n{cell}\n"
        + "\n".join(lines[-12:])
        + f"\nThe notebook as far as it came: {paths.shown(failed)}"
    )


def _children_peak_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9, 2)


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the notebook failed, 2 the command is wrong, 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.run", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("notebook", nargs="?", help="such as 04_evaluation")
    parser.add_argument("--profile", default="cpu", help="a file in notebooks/profiles")
    parser.add_argument(
        "-p",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="parameters",
        help="set a parameter of the notebook",
    )
    parser.add_argument("--check", action="store_true", help="only check the profile")
    options = parser.parse_args(arguments)
    # jsonschema, which nbformat needs, would compile a grammar of URIs for 1 s at its import; it
    # does without the package, and no notebook has a field that would be checked by it.
    sys.modules.setdefault("rfc3987_syntax", None)
    try:
        settings = profile.load(options.profile)
        if options.check:
            teacher = settings.teacher  # what is wrong is said now, not when it is loaded
            for reference in settings.models:
                checkpoints.check(reference)
            for task in (settings.task, *settings.evaluation.also):
                if splits.from_files(task):
                    splits.load(task, settings.seed)
            if teacher.source == "generate":
                prompt.variants(prompt.read(settings.task.name), teacher.shots, 1, settings.seed)
            return 0
        if not options.notebook:
            raise UserError("Which notebook? python -m lib.runner.run 04_evaluation --profile cpu")
        given = dict(item.partition("=")[::2] for item in options.parameters)
        wrong = [item for item in options.parameters if "=" not in item]
        if wrong:
            raise UserError(f"-p {wrong[0]}: write -p name=value.")
        notebook = find(options.notebook)
        parameters = typed(notebook, given)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        execute(notebook, settings, parameters)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"{notebook.stem} was stopped; finished work is kept, run the same command again to "
            "go on.",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
