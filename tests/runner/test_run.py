"""lib.runner.run: what is left, printed and returned when notebooks succeed, fail or stop."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.models import checkpoints
from lib.runner import report, run, stages
from lib.teacher import prompt

ROOT = Path(__file__).resolve().parents[2]
FIVE, SIX, SEVEN = "05_human_study", "06_tradeoff", "07_own_study"
PARAMETERS = 'profile = "cpu"  # str: a profile\nown_ratings = ""  # str: a folder'
PLACES = {"ROOT": "", "LIB": "lib", "NOTEBOOKS": "notebooks", "BUILT": "", "RUNS": "data/runs",
          "FIGURES": "figures"}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Function that writes a notebook with cells; all that is built goes to tmp_path."""
    for name, folder in PLACES.items():
        monkeypatch.setattr(paths, name, tmp_path / folder)
    for name in ("HONEY_HOME", "HF_HUB_OFFLINE", "PYTHONUTF8", "IPYTHONDIR"):
        monkeypatch.setenv(name, "")  # lib.runner.run sets these: undone after each test
    for folder in ("notebooks", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data/minicqa").symlink_to(ROOT / "data/minicqa")

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


def printed_in(tmp_path: Path, name: str) -> str:
    """What an executed copy's cells printed."""
    nb = nbformat.read(tmp_path / f"data/runs/smoke/notebooks/{name}.ipynb", as_version=4)
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def built(tmp_path: Path) -> list[str]:
    """Names in the folders of executed notebooks and of records."""
    folder = tmp_path / "data/runs/smoke"
    found = [*folder.glob("notebooks/*"), *folder.glob("stages/*")]
    return sorted(path.name for path in found)


def test_a_run_then_only_what_changed_then_the_report(write, tmp_path, capsys):
    cell = "import os, sys\nprint(sys.executable, os.getcwd(), os.environ['HF_HUB_OFFLINE'])"
    write(FIVE, cell)
    write(SIX, "print('<b>six</b>')")
    run.main(["smoke"])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == (
        f"{FIVE} (notebook 1 of 2, about 1 min left): not run yet, or not to its end"
    )
    assert lines[1].startswith(f"{FIVE} took ") and lines[2].startswith(f"{SIX} (notebook 2 of 2, ")
    assert printed_in(tmp_path, FIVE) == f"{sys.executable} {tmp_path / 'notebooks'} 1\n"
    index = (tmp_path / "data/runs/smoke/report/index.html").as_uri()
    assert lines[-2:-1] == [f"Open       {index}"] and lines[-1].startswith("Next       make ")
    assert printed.err == ""
    copies = [f"{FIVE}.ipynb", f"{SIX}.ipynb"]
    assert built(tmp_path) == sorted([*copies, f"{FIVE}.json", f"{SIX}.json"])
    executed = tmp_path / f"data/runs/smoke/notebooks/{FIVE}.ipynb"
    nb = nbformat.read(executed, as_version=4)
    nbformat.validate(nb)
    made = nb.metadata["honey"]
    assert "widgets" not in nb.metadata
    assert (made["profile"], made["notebook"], made["parameters"], made["seeds"]) == (
        "smoke", f"notebooks/{FIVE}.ipynb", {}, profile.load("smoke").seeds,
    )  # fmt: skip
    assert made["notebook_sha256"] == files.sha256_file(tmp_path / f"notebooks/{FIVE}.ipynb")
    assert made["wall_seconds"] > 0 and (made["peak_memory_gb"] or 0.01) > 0
    assert str(tmp_path) not in json.dumps([nb.metadata["papermill"], made])

    page = tmp_path / "data/runs/smoke/report" / f"{SIX}.html"
    assert "&lt;b&gt;six&lt;/b&gt;" in page.read_text(
        encoding="utf-8"
    ) and "<b>six" not in page.read_text(encoding="utf-8")
    written = page.stat().st_mtime_ns
    write(FIVE, cell, "print(2)")
    run.main(["smoke"])
    printed = capsys.readouterr().out
    assert f"{FIVE} (notebook 1 of 2, about 1 min left): notebooks/{FIVE}.ipynb changed" in printed
    assert f"{SIX} took" not in printed and page.stat().st_mtime_ns == written
    run.main(["smoke"])
    again = capsys.readouterr().out.splitlines()
    assert again == ["Nothing to run: 05, 06 are up to date.", *lines[-3:]]


def test_parameters_reach_one_notebook_which_then_runs_in_any_case(write, tmp_path):
    write(FIVE, "1/0")
    write(SEVEN, "print([profile, own_ratings])")
    for _ in range(2):
        run.main(["smoke", "--stage", "07", "-p", "own_ratings=a b'=c"])
        assert printed_in(tmp_path, SEVEN) == """['smoke', "a b'=c"]\n"""
    assert built(tmp_path) == [f"{SEVEN}.ipynb", f"{SEVEN}.json"]
    records = stages.Records(profile.load("smoke"))
    assert records.why(SEVEN, records.inputs(SEVEN)) == "a parameter changed"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["smok"], "There is no profile 'smok' in .*; did you mean 'smoke'"),
        (["smoke", "--stage", "8"], "There is no notebook '8' in notebooks; there are 07_own_"),
        (["smoke", "--stage", "07", "-p", "own_rating=a"], "has no parameter 'own_rating'; did"),
        (["smoke", "--stage", "07", "-p", "own"], "-p name=value goes with --stage"),
        (["smoke", "-p", "own_ratings=a"], "-p name=value goes with --stage"),
    ],
)
def test_a_wrong_command_is_one_sentence(write, tmp_path, arguments, sentence):
    write(SEVEN, "1/0")
    with pytest.raises(SystemExit, match=sentence):
        run.main(arguments)
    assert built(tmp_path) == []


def test_progress_reaches_the_terminal_and_nothing_else(write, tmp_path, capsys):
    """Of cells that print themselves only lines that look like it; of others all."""
    told = [
        "explanation 64/128 texts | 1.63 texts/s | ETA 39s",
        "critique 5/5 texts | 5 found on disk | took 0s",
        "Loading the teacher tiny:llama ...",
        "data/texts/x/shard-0 is damaged; it is set aside and made again.",
    ]
    silent = ["...", "Question: which? | a", "8 of 15 effects hold.", "a 1/2", "<table>"]
    free = "[2/5] MT 135M seed 0\nMT | step 14 | dev loss 0.5\nDecoding goes on without it.\n"
    write(
        FIVE,
        *(f"print({line!r})" for line in told + silent),
        "print('1/2 texts | a', end='')",
        f"import sys\n_ = sys.stdout.write({free!r})",
        "1 + 1",
    )
    run.main(["smoke", "--stage", "05"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:-1] == [f"  {line}" for line in told + free.splitlines()]
    assert printed[-1].startswith(f"{FIVE} took")


def test_a_failed_notebook_is_kept_aside_until_it_succeeds(write, tmp_path):
    write(FIVE, "print('before')", "x = 1\n1 / 0", "print('after')")
    with pytest.raises(SystemExit) as stopped:
        run.main(["smoke"])
    assert printed_in(tmp_path, f"{FIVE}.failed") == "before\n"
    lines = str(stopped.value).splitlines()
    assert lines[:3] == [f"{FIVE} failed in cell [4]:", "    x = 1", "    1 / 0"]
    assert lines[-2:] == [
        "ZeroDivisionError: division by zero",
        f"The notebook as far as it came: data/runs/smoke/notebooks/{FIVE}.failed.ipynb",
    ]
    assert "\x1b" not in str(stopped.value)
    assert built(tmp_path) == [f"{FIVE}.failed.ipynb"]
    write(FIVE, "print('after')")
    run.main(["smoke", "--stage", "05"])
    assert built(tmp_path) == [f"{FIVE}.ipynb", f"{FIVE}.json"]


def test_a_failure_after_a_success_keeps_the_copy_but_does_not_count(write, tmp_path):
    """A user's mistake is its sentence alone; the report says that the notebook did not finish."""
    write(FIVE, "print(1)")
    run.main(["smoke", "--stage", "05"])
    mistake = "from lib.common.errors import UserError\nraise UserError('Mend this.')"
    write(FIVE, f"import sys\nsys.path.insert(0, {str(ROOT)!r})", mistake)
    with pytest.raises(SystemExit, match="^Mend this.$"):
        run.main(["smoke"])
    assert built(tmp_path) == [f"{FIVE}.failed.ipynb", f"{FIVE}.ipynb"]
    page = report.build(profile.load("smoke")).read_text(encoding="utf-8")
    assert f"{FIVE} did not finish the last time" in page


def test_a_killed_kernel_is_not_a_success(write, tmp_path):
    write(FIVE, "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(UserError, match="killed .often: out of memory.; finished work is kept"):
        run.run(profile.load("smoke"))
    assert built(tmp_path) == [f"{FIVE}.failed.ipynb"]


def test_ctrl_c_is_one_sentence(write, tmp_path):
    write(FIVE, "import time\nprint('begun ...', flush=True)\ntime.sleep(60)")
    code = f"""from lib.common import paths
from lib.runner import run
from pathlib import Path
for name, folder in {PLACES}.items():
    setattr(paths, name, Path({str(tmp_path)!r}) / folder)
run.main(["smoke"])"""
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also below a shell's "&"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=hears,
    ) as process:
        assert "  begun ...\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == (
            "Stopped; finished work is kept, run the same command again to go on.\n"
        )
    assert process.returncode == 130
    assert built(tmp_path) == [f"{FIVE}.failed.ipynb"]


def changed(settings: profile.Profile, **student: str) -> profile.Profile:
    one = settings.students[0].model_copy(update=student)
    return settings.model_copy(update={"students": [one]})


def test_what_is_wrong_in_a_profile_is_said_before_anything_runs(monkeypatch):
    smoke = profile.load("smoke")
    with pytest.raises(UserError, match="/absent holds no config.json; name a folder saved by"):
        run.check(changed(smoke, model="local:/absent"))
    with pytest.raises(UserError, match="'hub:owner/name' names no model; write embedded:"):
        run.check(changed(smoke, model="hub:owner/name"))
    task = smoke.task.model_copy(update={"train": 9999})
    with pytest.raises(UserError, match="the profile asks for 9999"):
        run.check(smoke.model_copy(update={"task": task}))
    monkeypatch.setattr(prompt, "read", lambda task: {"examples": []})
    with pytest.raises(UserError, match="0 worked examples; lower it or write more."):
        run.check(smoke)


LIMITS = {"max_position_embeddings": 300}


@pytest.fixture
def local(tmp_path):
    """Function that copies a tiny model, with other settings in its config, and names it."""

    def copy(name: str, **config) -> str:
        folder = shutil.copytree(checkpoints.fetch(f"tiny:{name}"), tmp_path / name)
        path = folder / "config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")) | config), encoding="utf-8"
        )
        return f"local:{folder}"

    return copy


def test_a_student_or_teacher_that_does_not_fit_is_said_before_anything_runs(local, spiece):
    smoke = profile.load("smoke")
    teacher = smoke.teacher.model_copy(update={"model": local("llama", **LIMITS)})
    run.check(changed(smoke, model=local("t5")))
    with pytest.raises(
        UserError, match="has 300 positions, but reads and writes up to .* lower te"
    ):
        run.check(smoke.model_copy(update={"teacher": teacher}))
    long = smoke.evaluation.model_copy(update={"explanation_tokens": 300})
    small = changed(smoke, model=teacher.model)
    run.check(small)
    with pytest.raises(UserError, match="lower evaluation.explanation_tokens or choose another st"):
        run.check(small.model_copy(update={"evaluation": long}))
    teacher = smoke.teacher.model_copy(update={"model": f"local:{spiece}"})
    with pytest.raises(UserError, match="is an encoder-decoder; choose a causal model"):
        run.check(smoke.model_copy(update={"teacher": teacher}))
    folder = Path(small.students[0].model.removeprefix("local:"))
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
    teacher = teacher.model_copy(update={"model": f"local:{folder}"})
    with pytest.raises(UserError, match="does not take our turns .no.; set teacher.chat to false"):
        run.check(smoke.model_copy(update={"teacher": teacher}))


def test_questions_that_a_student_cannot_tell_apart_are_said(spiece, tmp_path):
    smoke = profile.load("smoke")
    choices = {"label": ["A", "B"], "text": ["a < b", "a > b"]}
    for split in ("train", "test"):
        rows = [
            {"id": f"{split}{i}", "question": "Which?", "choices": choices, "answerKey": "A"}
            for i in range(40)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    task = profile.TaskSettings(name="minicqa", source=f"folder:{tmp_path}")
    mine = smoke.model_copy(update={"task": task})
    run.check(mine)
    with pytest.raises(UserError, match="writes 'a < b' and 'a > b' as one text, 'a b'; choose an"):
        run.check(changed(mine, model=f"local:{spiece}"))
