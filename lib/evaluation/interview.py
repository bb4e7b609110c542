"""Questions of one's own, put to all finished students side by side: ``make ask``.

``python -m lib.evaluation.interview PROFILE`` asks in the terminal; ``--question`` and
``--choices`` ask one question; ``--file`` takes a CSV table with the columns question and choices,
and writes one with a row a question and student. Choices stand apart by commas, or by semicolons
where one holds a comma.
"""

import argparse
import csv
import io
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.profile import Profile
from lib.evaluation import answers
from lib.evaluation.extraction import extract
from lib.questions.question import LETTERS, Question, lettered
from lib.students import grid, objectives
from lib.students.grid import Student
from lib.students.model import load_student

LONGEST = 2000  # characters of a question with its choices
SHOWN = 60  # characters of an answer that names none of the choices
BEFORE = re.compile(r"^.*?(?=\bso the answer is\b)", re.IGNORECASE | re.DOTALL)
BAR = 10  # characters of a probability of 1


def question(text: str, choices: str, where: str = "The question") -> Question:
    """A question from what a person wrote; UserError says ``where`` what is wrong."""
    text, separator = " ".join(text.split()), ";" if ";" in choices else ","
    options = [" ".join(part.split()) for part in choices.split(separator) if part.strip()]
    if not text:
        raise UserError(f"{where} is empty; write one.")
    if not 2 <= len(options) <= len(LETTERS):
        raise UserError(
            f"{where} has {len(options)} choice{'s' * (len(options) != 1)}; give 2 to "
            f"{len(LETTERS)}, with commas between them (semicolons where one holds a comma)."
        )
    seen = [option.casefold() for option in options]
    twice = [option for i, option in enumerate(options) if seen[i] in seen[:i]]
    if twice:
        raise UserError(f"{where} has the choice '{twice[0]}' twice; make each another.")
    if len(text) + len(choices) > LONGEST:
        raise UserError(f"{where} is longer than {LONGEST:,} characters; shorten it.")
    return Question(where.removeprefix("The question") or "1", text, tuple(options), 0)


def read(path: Path) -> list[Question]:
    """The questions of a CSV file; UserError names the line that is wrong."""
    where = paths.shown(path)
    if not path.is_file():
        raise UserError(f"There is no file {where}; give FILE the path of a CSV table.")
    reader = csv.DictReader(io.StringIO(files.read_text(path), newline=""), strict=True)
    columns, found = [str(column).strip() for column in reader.fieldnames or []], []
    for column in ("question", "choices"):
        if columns.count(column) != 1:
            raise UserError(f"{where} needs one column '{column}'; it has {columns or 'none'}.")
    reader.fieldnames = columns
    try:
        for row in reader:
            line = f"{where} line {reader.line_num}"
            if None in row:
                raise UserError(
                    f"{line} has more cells than columns; put choices in double quotes."
                )
            text, choices = row["question"] or "", row["choices"] or ""
            if text.strip() or choices.strip():
                found.append(question(text, choices, line))
    except csv.Error as error:
        raise UserError(f"{where} after line {reader.line_num}: {error}; correct it.") from None
    if not found:
        raise UserError(f"{where} holds no question; write a row below its first line.")
    return found


def students(settings: Profile, seeds: list[int] | None = None) -> list[tuple[Student, Path]]:
    """The students of a profile (of some seeds) that are on disk, with their folders; UserError if
    none is."""
    path, found = profile.run_folder(settings) / "02_critique_revision" / "teacher.parquet", []
    if path.is_file():
        homes = grid.homes(settings, pd.read_parquet(path))
        found = [
            (home.student, home.folder)
            for home in homes
            if (home.folder / "student.json").is_file()
            and (seeds is None or home.student.seed in seeds)
        ]
    if not found:
        raise UserError(
            f"No student of profile '{settings.name}' is trained yet; run "
            f"`make train PROFILE={settings.name}` first."
        )
    return found


def ask(settings: Profile, questions: list[Question], seeds: list[int] | None = None):
    """A row a question and student: question, choices, student, answer (None where none can be
    read), written (its answer sentence), p (probability of each choice), explanation.

    p: softmax over the log-probabilities of the choices' answer sentences, whose highest is the
    most likely choice of lib.evaluation.answers. ``seeds``: only students of these.
    """
    tables = pd.concat(each(settings, students(settings, seeds), questions))
    return tables.sort_index(kind="stable").reset_index(drop=True)


def each(
    settings: Profile, asked: list[tuple[Student, Path]], questions: list[Question]
) -> Iterator[pd.DataFrame]:
    """The table of ``ask`` of one student after the other."""
    everything = settings.evaluation.model_copy(update={"explained": None})
    settings = settings.model_copy(update={"evaluation": everything})
    for student, folder in asked:
        objectives.check_choices(load_student(student.model, folder)[1], questions, student.label)
        table = answers.write(settings, student, folder, questions)
        read = [*map(extract, table["prediction"], table["choices"])]
        pairs = zip(table["choices"], read, strict=True)
        yield table[["question", "choices"]].assign(
            student=name(settings, student),
            answer=[None if i is None else choices[i] for choices, i in pairs],
            written=table["prediction"].str.replace(BEFORE, "", n=1, regex=True),
            p=[softmax(scores) for scores in table["scores"]],
            explanation=table["explanation"].map(answers.without_answer, na_action="ignore"),
        )


def name(settings: Profile, student: Student) -> str:
    """A student as the tables name it: its size and seed only where there are several."""
    size = f", {student.model.size}" * (len(settings.students) > 1)
    return f"{student.name}{size}" + f", seed {student.seed}" * (len(settings.seeds) > 1)


def softmax(scores: list[float]) -> list[float]:
    """Probabilities from log-probabilities that need not sum to 1."""
    odds = np.exp(np.array(scores) - max(scores))
    return (odds / odds.sum()).tolist()


def bar(p: float, width: int = BAR) -> str:
    """A probability as a bar of text: ``███        31 %``."""
    return f"{'█' * round(width * p):{width}} {100 * p:3.0f} %"


def unread(row: dict) -> str:
    """What stands where an answer names none of the choices."""
    written = textwrap.shorten(printable(row["written"]), SHOWN, placeholder="...")
    return f'none of these: "{written}"'


def printable(text: str) -> str:
    """A text without what would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def rows(found: pd.DataFrame) -> list[dict]:
    """The rows of the table of ``ask``, None where there is no text."""
    return found.astype(object).where(found.notna(), None).to_dict("records")


def side_by_side(found: pd.DataFrame) -> pd.DataFrame:
    """The table of ``ask`` of one question to look at: a row a student, a bar a choice."""
    table = [
        [row["answer"] or unread(row), *map(bar, row["p"]), row["explanation"] or ""]
        for row in rows(found)
    ]
    heads = [
        f"({letter}) {c}" for letter, c in zip(LETTERS, found["choices"].iloc[0], strict=False)
    ]
    return pd.DataFrame(table, index=found["student"], columns=["answer", *heads, "explanation"])


def flat(found: pd.DataFrame) -> pd.DataFrame:
    """The table of ``ask`` for a file: a column p_A, p_B and so on for each choice.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    p = [{f"p_{LETTERS[i]}": round(one, 4) for i, one in enumerate(row)} for row in found["p"]]
    table = found.assign(choices=found["choices"].map("; ".join)).drop(columns="p")
    table = table.map(lambda text: f"'{text}" if str(text)[:1] in "=+-@\t\r" and text else text)
    explanation = table.pop("explanation")
    return pd.concat([table, pd.DataFrame(p), explanation], axis=1)


def lines(row: dict, width: int) -> list[str]:
    """One student's row of the table of ``ask`` for a terminal of so many columns."""
    letters = dict(zip(row["choices"], LETTERS, strict=False))
    bars = (f"{LETTERS[i]} {bar(p)}" for i, p in enumerate(row["p"]))
    said = f"({letters[row['answer']]}) {row['answer']}" if row["answer"] else unread(row)
    told = [f"{row['student']}: {said}"]
    look = {"initial_indent": "  ", "subsequent_indent": "  ", "width": width}
    room = max(1, (width - 2) // (BAR + 10))
    cells = list(bars)
    told += ["  " + "   ".join(cells[i : i + room]) for i in range(0, len(cells), room)]
    if row["explanation"]:
        told += textwrap.wrap(printable(row["explanation"]), **look)
    return told


def show(settings: Profile, asked: list[tuple[Student, Path]], one: Question) -> None:
    """Ask one question in the terminal; each student's answer is printed as it comes."""
    width = min(shutil.get_terminal_size().columns, 100)
    print(one.question, lettered(one.choices), sep="\n")
    for table in each(settings, asked, [one]):
        print(*lines(rows(table)[0], width), sep="\n", flush=True)


def converse(settings: Profile, asked: list[tuple[Student, Path]]) -> None:
    """Ask what is typed, until an empty line."""
    print(f"{len(asked)} students of profile {settings.name} listen; an empty line ends.")
    try:
        while text := input("\nQuestion: ").strip():
            try:
                show(settings, asked, question(text, input("Choices, with commas: ")))
            except UserError as error:
                print(error)
    except (EOFError, KeyboardInterrupt):
        print()


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.evaluation.interview", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("profile", nargs="?", default="cpu")
    parser.add_argument("--question", default="")
    parser.add_argument("--choices", default="", help='such as "oven, doormat, bed"')
    parser.add_argument("--file", default="", help="a CSV table with columns question, choices")
    parser.add_argument("--out", default="", help="where the answers to a file go")
    given = parser.parse_args(arguments)
    settings = profile.load(given.profile)
    if given.file and (given.question or given.choices):
        raise UserError("Give FILE, or QUESTION and CHOICES; not both.")
    if given.file:
        path = Path(given.file).expanduser()
        out = Path(given.out).expanduser() if given.out else path.with_suffix(".answers.csv")
        if out.is_dir() or out.resolve() == path.resolve():
            raise UserError(f"OUT must be a file other than FILE; {paths.shown(out)} is not.")
        table = flat(ask(settings, read(path)))
        print(f"Answers:  {paths.shown(files.write_csv(out, table))}")
    elif given.question or given.choices:
        asked = question(given.question, given.choices)
        show(settings, students(settings), asked)
    else:
        converse(settings, students(settings))


if __name__ == "__main__":
    main()
