"""lib.runner.run: what is left, printed and returned when a notebook succeeds, fails or is stopped."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.runner import run
from lib.teacher import prompt

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = """profile = "cpu"  # str: name of a file in notebooks/profiles
count = 3  # int: how many
rate = 1e-4  # float: how fast
fast = True  # bool
text = "a"
nothing = None
names = ["a"]
total = 2 * 3"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Function that writes notebooks/NAME.ipynb with cells; all that is built goes to tmp_path."""
    for name, folder in {
        "ROOT": "",
        "NOTEBOOKS": "notebooks",
        "BUILT": "",
        "RUNS": "data/runs",
        "FIGURES": "figures",
    }.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setenv("HONEY_HOME", "")  # lib.runner.run sets these two: undone after each test
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    (tmp_path / "notebooks").mkdir()

    def write(name, *cells):
        nb = nbformat.v4.new_notebook(
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "widgets": {"application/vnd.jupyter.widget-state+json": {}},
            }
        )
        nb.cells = [nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        nb.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nb, tmp_path / "notebooks" / f"{name}.ipynb")

    return write


def built(tmp_path: Path) -> list[str]:
    """Names in the folder of executed notebooks."""
    return sorted(path.name for path in (tmp_path / "data/runs/smoke/notebooks").iterdir())


def test_success(write, tmp_path, capsys):
    write(
        "01_a",
        "import os, sys\nprint(sys.executable, os.getcwd(), os.environ['HF_HUB_OFFLINE'])",
        "home = os.environ['HONEY_HOME']\nopen(f'{home}/got.txt', 'w').write(repr("
        "[profile, count, rate, fast, text, nothing, names]))",
    )
    assert run.main(["01", "--profile", "smoke"]) == 0
    printed = capsys.readouterr()
    assert f"{sys.executable} {tmp_path / 'notebooks'} 1\n" in printed.out
    assert printed.err == ""
    assert (tmp_path / "got.txt").read_text() == ("['smoke', 3, 0.0001, True, 'a', None, ['a']]")
    assert built(tmp_path) == ["01_a.ipynb"]
    executed = tmp_path / "data/runs/smoke/notebooks/01_a.ipynb"
    nb = nbformat.read(executed, as_version=4)
    nbformat.validate(nb)
    made = nb.metadata["honey"]
    assert "widgets" not in nb.metadata
    assert (made["profile"], made["notebook"], made["parameters"], made["seeds"]) == (
        "smoke",
        "notebooks/01_a.ipynb",
        {},
        [0, 1],
    )
    assert made["notebook_sha256"] == files.sha256_file(tmp_path / "notebooks/01_a.ipynb")
    assert made["wall_seconds"] > 0 and made["peak_memory_gb"] > 0
    assert str(tmp_path) not in json.dumps([nb.metadata["papermill"], made])
    record = tmp_path / "data/runs/smoke/stages/01_a.json"
    assert json.loads(record.read_text()) == {"tables": {}, "shown": {}}
    # As old as the start of the run, so that inputs changed meanwhile are newer.
    assert executed.stat().st_mtime_ns < record.stat().st_mtime_ns


def test_parameters_reach_the_notebook_and_make_does_not_count_that_run(write, tmp_path):
    write(
        "01_a",
        "import os\nopen(os.environ['HONEY_HOME'] + '/got.txt', 'w').write(repr("
        "[profile, count, rate, fast, text, nothing, names]))",
    )
    options = ["count=7", "rate=1e-5", "fast=false", "text=1", "nothing=[2]", "names=['b', 'c']"]
    assert run.main(["01_a", "--profile", "smoke", *(f"-p{option}" for option in options)]) == 0
    assert (tmp_path / "got.txt").read_text() == "['smoke', 7, 1e-05, False, '1', [2], ['b', 'c']]"
    assert (tmp_path / "data/runs/smoke/notebooks/01_a.ipynb").stat().st_mtime == 0


@pytest.mark.parametrize(
    "option, sentence",
    [
        ("conut=7", "notebooks/01_a.ipynb has no parameter 'conut'; did you mean 'count'?"),
        (
            "zzz=7",
            "notebooks/01_a.ipynb has no parameter 'zzz'; it has profile, count, rate, fast, "
            "text, nothing, names, total.",
        ),
        ("count=7.5", "Parameter 'count' is of type int (its default is 3); '7.5' is not."),
        ("rate=fast", "Parameter 'rate' is of type float (its default is 0.0001); 'fast' is not."),
        ("fast=1", "Parameter 'fast' is of type bool (its default is True); '1' is not."),
        ("fast=maybe", "Parameter 'fast' is of type bool (its default is True); 'maybe' is not."),
        ("names=a", "Parameter 'names' is of type list (its default is ['a']); 'a' is not."),
        (
            "total=7",
            "Parameter 'total' has the default 2 * 3, which is not a plain value; change it in "
            "the notebook.",
        ),
        ("profile=cpu", "The profile is chosen with --profile (make: PROFILE=), not with -p."),
        ("count", "-p count: write -p name=value."),
    ],
)
def test_wrong_parameters_stop_before_anything_runs(write, tmp_path, capsys, option, sentence):
    write("01_a", "1/0")
    assert run.main(["01_a", "--profile", "smoke", "-p", option]) == 2
    assert capsys.readouterr().err == sentence + "\n"
    assert not (tmp_path / "data").exists()


def test_too_few_worked_examples_are_said_before_anything_runs(monkeypatch, capsys):
    monkeypatch.setattr(prompt, "read", lambda task: {"examples": []})
    assert run.main(["--check", "--profile", "smoke"]) == 2
    assert "0 worked examples; lower it or write more." in capsys.readouterr().err


@pytest.mark.parametrize(
    "reference, sentence",
    [
        ("local:/absent", "/absent holds no config.json; name a folder saved by save_pretrained."),
        ("hub:owner/name", "'hub:owner/name' names no model; write embedded:"),
    ],
)
def test_an_absent_student_is_said_before_anything_runs(monkeypatch, capsys, reference, sentence):
    settings = profile.load("smoke")
    student = settings.students[0].model_copy(update={"model": reference})
    settings = settings.model_copy(update={"students": (student,)})
    monkeypatch.setattr(profile, "load", lambda name: settings)
    assert run.main(["--check", "--profile", "smoke"]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_unknown_names(write, capsys):
    write("01_alpha", "")
    assert run.main(["01_alhpa", "--profile", "smoke"]) == 2
    assert run.main(["01_alpha", "--profile", "smok"]) == 2
    assert run.main(["--check", "--profile", "smok"]) == 2
    assert run.main(["--check", "--profile", "smoke"]) == 0
    assert (
        capsys.readouterr().err.splitlines()
        == ["There is no notebook '01_alhpa' in notebooks; did you mean '01_alpha'?"]
        + [f"There is no profile 'smok' in {paths.PROFILES}; did you mean 'smoke'?"] * 2
    )


def test_a_failed_notebook_is_kept_aside_until_it_succeeds(write, tmp_path, capsys):
    write("02_b", "print('before')", "x = 1\n1 / 0", "print('after')")
    assert run.main(["02_b", "--profile", "smoke"]) == 1
    printed = capsys.readouterr()
    assert "before\n" in printed.out and "after" not in printed.out
    lines = printed.err.splitlines()
    assert lines[:3] == ["02_b failed in cell [4]:", "    x = 1", "    1 / 0"]
    assert lines[-2:] == [
        "ZeroDivisionError: division by zero",
        "The notebook as far as it came: data/runs/smoke/notebooks/02_b.failed.ipynb",
    ]
    assert "\x1b" not in printed.err
    assert built(tmp_path) == ["02_b.failed.ipynb"]
    assert not (tmp_path / "data/runs/smoke/stages").exists()
    write("02_b", "print('after')")
    assert run.main(["02_b", "--profile", "smoke"]) == 0
    assert built(tmp_path) == ["02_b.ipynb"]


def test_a_users_mistake_is_one_sentence(write, tmp_path, capsys):
    write(
        "02_b",
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})",
        "from lib.common.errors import UserError\nraise UserError('Mend this.')",
    )
    assert run.main(["02_b", "--profile", "smoke"]) == 1
    assert capsys.readouterr().err == "Mend this.\n"
    assert built(tmp_path) == ["02_b.failed.ipynb"]


def test_a_killed_kernel_is_not_a_success(write, tmp_path, capsys):
    write("02_b", "import os\nos.kill(os.getpid(), 9)")
    assert run.main(["02_b", "--profile", "smoke"]) == 1
    assert capsys.readouterr().err == (
        "The kernel of 02_b was killed (often: out of memory); finished work is kept, run the same "
        "command again. As far as it came: data/runs/smoke/notebooks/02_b.failed.ipynb\n"
    )
    assert built(tmp_path) == ["02_b.failed.ipynb"]


def test_ctrl_c_is_one_sentence(write, tmp_path):
    write("02_b", "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    code = (
        "from lib import paths, run; from pathlib import Path; "
        f"paths.BUILT = Path({str(tmp_path)!r}); paths.NOTEBOOKS = paths.BUILT / 'notebooks'; "
        "paths.RUNS = paths.BUILT / 'runs'; "
        "raise SystemExit(run.main(['02', '--profile', 'smoke']))"
    )
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also below a shell's "&"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears,
    ) as process:
        assert "begun\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == (
            "02_b was stopped; finished work is kept, run the same command again to go on.\n"
        )
    assert process.returncode == 130


def test_the_record_changes_only_with_the_tables(tmp_path, monkeypatch):
    for name, folder in {"BUILT": "", "RUNS": "data/runs", "FIGURES": "figures"}.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    settings = profile.load("smoke")
    made = tmp_path / "data/runs/smoke/03_training"
    files.write_text(made / "students.csv", "a\n1\n")
    files.write_text(made / "statistics.csv", "a\n1\n")
    files.write_text(made / "weights.safetensors", "not listed")
    files.write_text(made / "checkpoint-5/state.json", "not listed")
    files.write_text(made.parent / "statistics.csv", "a\n1\n")
    for name in ("MT-1", ".working-MT-2"):
        for file in ("student.json", "config.json", "history.csv"):
            files.write_text(made / "students" / name / file, "{}")
    figures = tmp_path / "figures/smoke"
    for name, notebook in (("curves", "03_training"), ("other", "04_evaluation")):
        files.write_text(figures / f"{name}.png", "png")
        files.write_json(figures / f"{name}.json", {"notebook": f"notebooks/{notebook}.ipynb"})
    path = run.record("03_training", settings)
    found = json.loads(path.read_text())
    assert list(found["tables"]) == [
        "data/runs/smoke/03_training/statistics.csv",
        "data/runs/smoke/03_training/students.csv",
        "data/runs/smoke/03_training/students/MT-1/student.json",
    ]
    assert list(found["shown"]) == [
        "data/runs/smoke/statistics.csv",
        "figures/smoke/curves.json",
        "figures/smoke/curves.png",
    ]
    assert found["tables"]["data/runs/smoke/03_training/students.csv"] == files.sha256_bytes(
        b"a\n1\n"
    )
    os.utime(path, (1, 1))
    files.write_text(figures / "curves.png", "changed")
    run.record("03_training", settings)
    assert path.stat().st_mtime == 1
    assert json.loads(path.read_text())["shown"]["figures/smoke/curves.png"] == files.sha256_bytes(
        b"changed"
    )
    files.write_text(made / "students.csv", "a\n2\n")
    run.record("03_training", settings)
    assert path.stat().st_mtime > 1


def test_a_notebook_without_parameters_is_refused(tmp_path):
    nb = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}
        }
    )
    nbformat.write(nb, tmp_path / "01_a.ipynb")
    with pytest.raises(UserError, match="01_a.ipynb has no parameter 'profile'"):
        run.typed(tmp_path / "01_a.ipynb", {})
