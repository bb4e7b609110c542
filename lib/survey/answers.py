"""Answer files of the survey page: what they hold, the rules for using them, the way to tables.

``ingest`` gives a table of each kind: the ratings go into the analyses of the published ones as
they are, the judgements of answers into lib.survey.error_finding. ``rules_table`` says what is done
with bad answers, and nothing else is. A participant is kept or left out whole, but for single pages
that were answered too fast.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.common import files, paths
from lib.common.errors import UserError
from lib.human_study.ratings import check_ratings, load_ratings
from lib.survey.error_finding import error_table, mark_correct
from lib.survey.texts import facts, kinds

UNTOLD = "not stated"
MAX_BYTES = 1_000_000  # of an answer file; a real one has about 4 kB
SECONDS, FAST_SHARE, EQUAL_SHARE = 5.0, 0.5, 0.95  # thresholds, see rules_table


class Strict(BaseModel):
    """Base: unknown keys and converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Scores = dict[str, Annotated[int, Field(ge=1, le=5)]]  # by what is asked, see read_answers


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
    facts: dict[str, str]
    answers: list[Answer]


def rules_table() -> pd.DataFrame:
    """The rules in words, in the order in which they are applied: rule, what is done."""
    equal = " or ".join(kind.equal for kind in kinds().values())
    rules = {
        "Not a .json file, or a folder": "not read",
        "Unreadable, an impossible value, other items than the plan's": "file left out",
        "No key for the file's survey": "file left out",
        "Two files with the same participant code and content": "first file name kept",
        "Two files with the same participant code but different content": "both left out",
        "Attention check: not what the page asks to choose": "participant left out",
        f"Straight-lining: at least {EQUAL_SHARE:.0%} of all {equal}": "participant left out",
        f"Too fast: over {FAST_SHARE:.0%} of the pages under {SECONDS:g} s": "participant left out",
        f"Too fast: a page under {SECONDS:g} s": "page left out",
    }
    return pd.DataFrame(rules.items(), columns=["rule", "consequence"])


def built_keys() -> dict[str, dict]:
    """Keys of all surveys built here (data/raw/surveys, data/runs), by id."""
    places = [*paths.RUNS.glob("*/survey*/key.json"), *paths.RAW.glob("surveys/key-*.json")]
    keys = [files.read_json(path, "make survey") for path in places]
    return {key["survey"]: key for key in keys if is_key(key)}


def is_key(content: object) -> bool:
    """Whether a file's content is the key of a survey."""
    return isinstance(content, dict) and {"survey", "kind", "plans", "items"} <= content.keys()


def read_file(path: Path) -> object:
    """What a file of JSON holds; ValueError says in a few words why it cannot be read."""
    if path.is_dir():
        raise ValueError("not read: a folder")
    if path.suffix.lower() != ".json":
        raise ValueError("not read: not a .json file")
    try:
        text = path.read_text(encoding="utf-8-sig") if path.stat().st_size <= MAX_BYTES else ""
        return json.loads(text)
    except (OSError, ValueError, RecursionError):
        raise ValueError("unreadable: not JSON of at most 1 MB") from None


def check_answers(found: object, keys: dict[str, dict]) -> AnswerFile:
    """What one answer file holds; ValueError says in a few words why it cannot be used.

    It says where, not what: the value itself may be personal.
    """
    try:
        content = AnswerFile.model_validate(found)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole file"
        raise ValueError(f"impossible value: {where}") from None
    if content.survey not in keys:
        raise ValueError(f"no key: survey {content.survey}")
    key = keys[content.survey]
    if content.plan > len(key["plans"]):
        raise ValueError("impossible value: plan")
    if [answer.item for answer in content.answers] != key["plans"][content.plan - 1]:
        raise ValueError("impossible value: items")
    most = {name: len(words) for name, _, words in kinds()[key["kind"]].asks}
    for scores in (content.check, *(answer.scores for answer in content.answers)):
        if scores.keys() != most.keys() or any(scores[name] > most[name] for name in most):
            raise ValueError("impossible value: scores")
    if any(value not in facts().get(name, ("", ()))[1] for name, value in content.facts.items()):
        raise ValueError("impossible value: facts")
    return content


def ingest(folder: str | Path) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Tables by kind, and report, from a folder of answer files.

    ratings: checked, as load_ratings gives; errors: see error_finding.mark_correct. Only
    kinds with answers that can be used are there; facts that do not differ are dropped. Report, a
    row for all that lies in the folder but keys: file, kind, participant, plan, reason (why it is
    left out), fast (pages), kept, used (pages). UserError where no answer is left.
    """
    folder = Path(folder)
    keys, found = built_keys(), {}
    for path in sorted(folder.iterdir()):
        try:
            found[path.name] = read_file(path)
        except ValueError as error:
            found[path.name] = error
        if is_key(found[path.name]):
            key = found.pop(path.name)
            keys[key["survey"]] = key
    if not found:
        raise UserError(
            f"{folder} has no answer file (*.json): name the folder into which the "
            "participants' files were put."
        )
    read, rows = {}, []
    for name, content in found.items():
        row = {"file": name, "kind": "", "participant": "", "plan": 0, "reason": "", "fast": 0}
        try:
            if isinstance(content, ValueError):
                raise content
            read[name] = content = check_answers(content, keys)
            row["kind"] = keys[content.survey]["kind"]
            row |= {"participant": content.participant, "plan": content.plan}
        except ValueError as error:
            row["reason"] = str(error)
        rows.append(row)
    report = pd.DataFrame(rows)
    _settle_duplicates(report, read)
    for i, row in report[report["reason"] == ""].iterrows():
        report.loc[i, ["reason", "fast"]] = _judge(read[row["file"]], row["kind"])
    report["kept"] = report["reason"] == ""
    if not report["kept"].any():
        reasons = report["reason"].str.split(":").str[0].value_counts(sort=False)
        reasons = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        raise UserError(f"No answer in {folder} can be used: {reasons}.")
    pages = {name: _pages(read[name], keys) for name in report.loc[report["kept"], "file"]}
    report["used"] = [len(pages.get(name, ())) for name in report["file"]]
    tables = {}
    for kind, part in report[report["kept"]].groupby("kind", sort=False):
        table = pd.DataFrame([page for name in part["file"] for page in pages[name]])
        table = table.drop(columns=[name for name in facts() if table[name].nunique() < 2])
        tables[kind] = (
            mark_correct(table) if kind == "errors" else check_ratings(table, str(folder))
        )
    return tables, report


def _settle_duplicates(report: pd.DataFrame, read: dict[str, AnswerFile]) -> None:
    """Write into the report which files of one participant are not used."""
    for _, names in report[report["reason"] == ""].groupby("participant")["file"]:
        first = names.iloc[0]
        if all(read[name] == read[first] for name in names):
            report.loc[names.index[1:], "reason"] = f"duplicate: same as {first}"
        else:
            report.loc[names.index, "reason"] = (
                "duplicate: differs from another of this participant"
            )


def _judge(content: AnswerFile, kind: str) -> tuple[str, int]:
    """Why a participant is left out, or nothing, and the number of pages answered too fast."""
    fast = sum(answer.seconds < SECONDS for answer in content.answers)
    scores = [tuple(sorted(answer.scores.items())) for answer in content.answers]
    if kind == "ratings":  # one scale for all that is asked
        scores = [score for page in scores for _, score in page]
    equal = max(Counter(scores).values()) / len(scores)
    if content.check != kinds()[kind].passing:
        return "attention check failed", fast
    if equal >= EQUAL_SHARE:
        return f"straight-lining: {equal:.0%} of the {kinds()[kind].equal}", fast
    if fast > FAST_SHARE * len(content.answers):
        return f"too fast: {fast} of {len(content.answers)} pages", fast
    return "", fast


def _pages(content: AnswerFile, keys: dict[str, dict]) -> list[dict]:
    """Rows of the kind's table; the slot is the position in the order of showing."""
    stated = {name: content.facts.get(name, UNTOLD) for name in facts()}
    items = keys[content.survey]["items"]
    return [
        {"participant": content.participant, "slot": f"S{position:02d}"}
        | items[answer.item]
        | answer.scores
        | stated
        for position, answer in enumerate(content.answers, 1)
        if answer.seconds >= SECONDS
    ]


def locate(own: str | Path) -> Path:
    """The folder or file so named, from here or from the repository; UserError if there is none."""
    own = Path(own).expanduser()
    for path in (own, paths.BUILT / own, paths.ROOT / own):
        if path.exists():
            return path
    raise UserError(
        f"{own}: no such folder or file; name the folder of your participants' answer "
        "files or a CSV table of ratings."
    )


def load(own: str | Path) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Tables by kind and report, as ``ingest``, from a folder or a CSV table of ratings (with an
    empty report); both are empty if nothing is named."""
    path = locate(own) if own else None
    if path and path.is_dir():
        return ingest(path)
    return {"ratings": load_ratings(path)} if path else {}, pd.DataFrame()


def save(own: str | Path) -> None:
    """Load, write data/raw/own_study/{report,ratings,judgements,error_finding}.csv, as far as there
    are such answers, and say what was left out; a CSV of ratings is only checked."""
    tables, report = load(own)
    if report.empty:
        print(f"{own}: {len(tables['ratings'])} ratings.")
        return
    written = {"report": report}
    if "ratings" in tables:
        written["ratings"] = tables["ratings"].drop(columns="Quality")
    if "errors" in tables:
        written["judgements"] = tables["errors"]
        written["error_finding"] = error_table(tables["errors"])
    for name, table in written.items():
        files.write_csv(paths.RAW / "own_study" / f"{name}.csv", table)
    kept, left = report[report["kept"]], report[~report["kept"]]
    print(
        f"Files: {len(report)}; participants kept: {len(kept)}; files left out: {len(left)}; "
        f"pages used: {kept['used'].sum()}; pages left out as too fast: {kept['fast'].sum()}."
    )
    for row in left.itertuples():
        print(f"  {row.file}: {row.reason}")
    print(f"Written: {paths.shown(paths.RAW / 'own_study')} ({'.csv, '.join(written)}.csv).")
    folder = locate(own).resolve()
    if folder.is_relative_to(paths.ROOT) and not folder.is_relative_to(paths.ROOT / "data" / "raw"):
        print(f"Note: git sees {paths.shown(folder)}; answers of people belong under data/raw.")
