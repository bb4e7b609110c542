"""Answer files of the survey page: what they hold, the rules for using them, the way to tables.

``ingest`` gives a table of each task: the ratings go into the analyses of the published ones as
they are, the judgements of answers into lib.survey.error_finding. ``rules_table`` says what is done with
bad answers, and nothing else is. A participant is kept or left out whole, but for single pages that
were answered too fast.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lib.common import files as store
from lib.common import paths
from lib.common.errors import UserError
from lib.human_study import study
from lib.survey import error_finding
from lib.survey.texts import FACTS, TASKS

UNTOLD = "not stated"
MAX_BYTES = 1_000_000  # of an answer file; a real one has about 4 kB
SECONDS, FAST_SHARE, EQUAL_SHARE = 5.0, 0.5, 0.95  # thresholds, see rules_table


class Strict(BaseModel):
    """Base: unknown keys and converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Scores = dict[str, Annotated[int, Field(ge=1, le=5)]]  # by what is asked, see _misfit
Facts = create_model(
    "Facts",
    __base__=Strict,
    **{name: (Literal[*(value for value, _ in bands)] | None, None) for name, _, bands in FACTS},
)


class Answer(Strict):
    """One item's scores and the seconds for which its page was shown."""

    item: str
    scores: Scores
    seconds: float = Field(ge=0)


class AnswerFile(Strict):
    """What the page's download holds."""

    format: Literal[1]
    survey: str = Field(pattern=r"^[0-9a-f]{8}$")
    participant: str = Field(pattern=r"^[0-9a-f]{16}$")
    plan: int = Field(ge=1)
    consent: Literal[True]
    check: Scores
    facts: Facts
    answers: list[Answer]


def rules_table() -> pd.DataFrame:
    """The rules in words, in the order in which they are applied: rule, what is done."""
    return pd.DataFrame(
        [
            (
                "Unreadable file, a value that the page cannot produce, or another order of items than "
                "the plan's",
                "file left out",
            ),
            ("No key for the file's survey", "file left out"),
            ("Two files with the same participant code and content", "first file name kept"),
            ("Two files with the same participant code but different content", "both left out"),
            ("Attention check: not what the page asks to choose", "participant left out"),
            (
                f"Straight-lining: at least {EQUAL_SHARE:.0%} of all "
                + ", or ".join(task["equal"] for task in TASKS.values()),
                "participant left out",
            ),
            (
                f"Too fast: more than {FAST_SHARE:.0%} of the pages under {SECONDS:g} s",
                "participant left out",
            ),
            (f"Too fast: a page under {SECONDS:g} s", "page left out"),
            ("Two participants with the same plan", "kept, noted in the report"),
        ],
        columns=["rule", "consequence"],
    )


def read_answers(path: Path) -> AnswerFile:
    """Read one answer file; ValueError says in a few words why it cannot be used."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else ""
        return AnswerFile.model_validate(json.loads(text))
    except ValidationError as error:
        # Where, not what: the value itself may be personal.
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole file"
        raise ValueError(f"impossible value: {where}") from None
    except (OSError, ValueError, RecursionError):
        raise ValueError("unreadable: not JSON of at most 1 MB") from None


def find_keys(folder: Path) -> dict[str, dict]:
    """Keys of all surveys built here (data/raw/surveys, data/runs) or lying in folder, by id."""
    places = [
        *paths.RUNS.glob("*/survey*/key.json"),
        *paths.RAW.glob("surveys/key-*.json"),
        *sorted(folder.glob("key*.json")),
    ]
    keys = [store.read_json(path, "make survey") for path in places]
    return {
        key["survey"]: {"task": "ratings"} | key
        for key in keys  # older keys name no task
        if isinstance(key, dict) and {"survey", "plans", "items"} <= key.keys()
    }


def ingest(folder: str | Path) -> tuple[dict, pd.DataFrame]:
    """Tables by task, and report, from a folder of answer files.

    ratings: checked, as study.load_ratings gives; errors: see error_finding.mark_correct. Only
    tasks with answers that can be used are there; facts that do not differ are dropped. Report, a
    row a file: file, task, participant, plan, kept, reason, used (pages), fast (pages), note.
    UserError where no answer is left.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("key"))
    if not files:
        raise UserError(
            f"{folder} has no answer file (*.json): name the folder into which the "
            "participants' files were put."
        )
    keys, read, rows = find_keys(folder), {}, []
    for path in files:
        row = {
            "file": path.name,
            "task": "",
            "participant": "",
            "plan": 0,
            "kept": False,
            "reason": "",
            "used": 0,
            "fast": 0,
            "note": "",
        }
        try:
            read[path.name] = found = read_answers(path)
            key = keys.get(found.survey)
            row |= {
                "participant": found.participant,
                "plan": found.plan,
                "task": key["task"] if key else "",
                "reason": _misfit(found, key),
            }
        except ValueError as error:
            row["reason"] = str(error)
        rows.append(row)
    _settle_duplicates(rows, read)
    pages: dict[str, list[dict]] = {}
    for row in rows:
        if not row["reason"]:
            row["reason"], row["fast"] = _judge(read[row["file"]], row["task"])
        if not row["reason"]:
            used = _pages(read[row["file"]], keys[read[row["file"]].survey])
            row |= {"kept": True, "used": len(used)}
            pages.setdefault(row["task"], []).extend(used)
    _note_plans(rows, read)
    report = pd.DataFrame(rows)
    if not pages:
        reasons = Counter(report["reason"].str.split(":").str[0])
        raise UserError(
            f"No answer in {folder} can be used: "
            + ", ".join(f"{reason} ({n})" for reason, n in reasons.items())
            + "."
        )
    tables = {task: pd.DataFrame(found) for task, found in pages.items()}
    for task, table in tables.items():
        table = table.drop(columns=[name for name, _, _ in FACTS if table[name].nunique() < 2])
        tables[task] = (
            study.check_ratings(table, str(folder))
            if task == "ratings"
            else error_finding.mark_correct(table)
        )
    return tables, report


def _misfit(found: AnswerFile, key: dict | None) -> str:
    """Why a file does not belong to its survey, or nothing."""
    if key is None:
        return "no key: survey " + found.survey
    if found.plan > len(key["plans"]):
        return "impossible value: plan"
    if [answer.item for answer in found.answers] != key["plans"][found.plan - 1]:
        return "impossible value: items"
    most = {name: len(words) for name, _, words in TASKS[key["task"]]["asks"]}
    for scores in (found.check, *(answer.scores for answer in found.answers)):
        if scores.keys() != most.keys() or any(scores[name] > most[name] for name in most):
            return "impossible value: scores"
    return ""


def _settle_duplicates(rows: list[dict], read: dict[str, AnswerFile]) -> None:
    """Write into the rows which files of one participant are not used."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        if not row["reason"]:
            groups.setdefault(row["participant"], []).append(row)
    for group in groups.values():
        same = all(read[row["file"]] == read[group[0]["file"]] for row in group)
        for row in group[1:] if same else group:
            row["reason"] = (
                "duplicate: same as " + group[0]["file"]
                if same
                else "duplicate: differs from another file of this participant"
            )


def _judge(found: AnswerFile, task: str) -> tuple[str, int]:
    """Why a participant is left out, or nothing, and the number of pages answered too fast."""
    fast = sum(answer.seconds < SECONDS for answer in found.answers)
    scores = [tuple(sorted(answer.scores.items())) for answer in found.answers]
    if task == "ratings":  # one scale for all that is asked
        scores = [score for page in scores for _, score in page]
    equal = max(Counter(scores).values()) / len(scores)
    if found.check != TASKS[task]["wanted"]:
        return "attention check failed", fast
    if equal >= EQUAL_SHARE:
        return f"straight-lining: {equal:.0%} of the {TASKS[task]['equal']}", fast
    if fast > FAST_SHARE * len(found.answers):
        return f"too fast: {fast} of {len(found.answers)} pages", fast
    return "", fast


def _pages(found: AnswerFile, key: dict) -> list[dict]:
    """Rows of the task's table; the slot is the place in the order of showing."""
    facts = {name: value or UNTOLD for name, value in found.facts.model_dump().items()}
    return [
        {
            "participant": found.participant,
            "slot": f"S{place:02d}",
            **key["items"][answer.item],
            **answer.scores,
            **facts,
        }
        for place, answer in enumerate(found.answers, 1)
        if answer.seconds >= SECONDS
    ]


def _note_plans(rows: list[dict], read: dict[str, AnswerFile]) -> None:
    """Note where kept participants share a plan: the balance of the design suffers a little."""
    kept = {row["file"]: (read[row["file"]].survey, row["plan"]) for row in rows if row["kept"]}
    counts = Counter(kept.values())
    for row in rows:
        if counts[kept.get(row["file"])] > 1:
            row["note"] = f"plan {row['plan']} was used by {counts[kept[row['file']]]} participants"


def locate(own: str | Path) -> Path:
    """The folder or file so named, from here or from the repository; UserError if there is none."""
    given = Path(own).expanduser()
    for place in (given, paths.BUILT / given, paths.ROOT / given):
        if place.exists():
            return place
    raise UserError(
        f"{own}: no such folder or file; name the folder of your participants' answer "
        "files or a CSV table of ratings."
    )


def load_study(own: str | Path) -> pd.DataFrame | None:
    """Ratings from a folder of answer files or a CSV table, see ``locate``; None where the folder
    holds answers to the other task only."""
    path = locate(own)
    return ingest(path)[0].get("ratings") if path.is_dir() else study.load_ratings(path)


def save(folder: str | Path) -> None:
    """Ingest a folder, write data/raw/own_study/{report,ratings,judgements,error_finding}.csv, as
    far as there are such answers, and say what was left out; a CSV of ratings is only checked."""
    place = locate(folder).resolve()
    if place.is_file():
        return print(f"{folder}: {len(study.load_ratings(place))} ratings.")
    found, report = ingest(place)
    tables = {"report": report}
    if "ratings" in found:
        tables["ratings"] = found["ratings"].drop(columns="Quality")
    if "errors" in found:
        tables |= {
            "judgements": found["errors"],
            "error_finding": error_finding.error_table(found["errors"]),
        }
    for name, table in tables.items():
        store.write_csv(paths.RAW / "own_study" / f"{name}.csv", table)
    print(rules_table().to_string(index=False))
    left = report[~report["kept"]]
    print(
        f"\nFiles: {len(report)}; participants kept: {int(report['kept'].sum())}; "
        f"files left out: {len(left)}; pages used: {int(report['used'].sum())}; pages left out "
        f"as too fast: {int(report.loc[report['kept'], 'fast'].sum())}."
    )
    for row in left.itertuples():
        print(f"  {row.file}: {row.reason}")
    if "errors" in found:
        print(tables["error_finding"].round(3).to_string(index=False))
    print(f"Written: {paths.shown(paths.RAW / 'own_study')} ({'.csv, '.join(tables)}.csv).")
    if place.is_relative_to(paths.ROOT) and not place.is_relative_to(paths.ROOT / "data" / "raw"):
        print(f"Note: git sees {paths.shown(place)}; answers of people belong under data/raw.")
