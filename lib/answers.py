"""Answer files of the survey page: what they hold, the rules for using them, the way to ratings.

The texts that page and files share stand here. ``ingest`` gives a table that the analyses of the
published ratings take as it is; ``rules_table`` says what is done with bad answers, and nothing
else is. A participant is kept or left out whole, but for single pages that were answered too fast.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lib import paths, store, study
from lib.errors import UserError

# The five constructs of the paper, each as a statement in our own words.
STATEMENTS = (
    ("Plausibility", "The explanation is sound: its reasoning is logical and holds together."),
    ("Understandability", "I can follow the explanation in the context of the question."),
    ("Completeness", "The explanation covers what matters for the answer, and is precise enough."),
    ("Satisfaction", "I am satisfied with how the explanation justifies the answer."),
    ("Contrastiveness", "The explanation makes clear why this answer and not one of the others."))
SCALE = ("Strongly disagree", "Disagree", "Neither", "Agree", "Strongly agree")
CHECK = {"wanted": 2, "text": "This page has no explanation. It checks that pages are being read. "
                              "Please choose 2, “Disagree”, for each of the five statements."}
# Optional, in broad bands: name, question, (value in the file, words on the page).
FACTS = (
    ("age", "How old are you?",
     tuple((band, band.replace("-", " to ")) for band in
           ("18-24", "25-34", "35-44", "45-54", "55-64")) + (("65+", "65 or older"),)),
    ("gender", "What is your gender?",
     (("female", "Woman"), ("male", "Man"), ("other", "Another, or in my own words"))),
    ("education", "What is your highest finished education?",
     (("school", "School"), ("vocational", "Vocational training"),
      ("bachelor", "Bachelor’s degree"), ("higher", "Master’s degree or higher"))),
    ("employment", "What do you mostly do?",
     (("employed", "Employed or self-employed"), ("student", "Student or trainee"),
      ("other", "Something else"))))
UNTOLD = "not stated"
MAX_BYTES = 1_000_000  # of an answer file; a real one has about 4 kB


@dataclass(frozen=True)
class Rules:
    """Thresholds: seconds of a page, share of fast pages, share of equal scores."""

    seconds: float = 5.0
    fast_share: float = 0.5
    equal_share: float = 0.95


class Strict(BaseModel):
    """Base: unknown keys and converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Score = Annotated[int, Field(ge=1, le=5)]
Scores = create_model("Scores", __base__=Strict, **{name: Score for name in study.CONSTRUCTS})
Facts = create_model("Facts", __base__=Strict, **{
    name: (Literal[*(value for value, _ in bands)] | None, None) for name, _, bands in FACTS})


class Rating(Strict):
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
    answers: list[Rating]


def rules_table(rules: Rules = Rules()) -> pd.DataFrame:
    """The rules in words, in the order in which they are applied: rule, what is done."""
    return pd.DataFrame([
        ("Unreadable file, a value that the page cannot produce, or another order of items than "
         "the plan's", "file left out"),
        ("No key for the file's survey", "file left out"),
        ("Two files with the same participant code and content", "first file name kept"),
        ("Two files with the same participant code but different content", "both left out"),
        (f"Attention check: not {CHECK['wanted']} for all five statements", "participant left out"),
        (f"Straight-lining: at least {rules.equal_share:.0%} of all scores are the same",
         "participant left out"),
        (f"Too fast: more than {rules.fast_share:.0%} of the pages under {rules.seconds:g} s",
         "participant left out"),
        (f"Too fast: a page under {rules.seconds:g} s", "rating left out"),
        ("Two participants with the same plan", "kept, noted in the report")],
        columns=["rule", "consequence"])


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


def find_keys(folder: Path | None = None) -> dict[str, dict]:
    """Keys of all surveys built here (data/raw/surveys, data/runs) or lying in folder, by id."""
    places = [*paths.RUNS.glob("*/survey/key.json"), *paths.RAW.glob("surveys/key-*.json"),
              *(sorted(folder.glob("key*.json")) if folder else [])]
    keys = [store.read_json(path, "make survey") for path in places]
    return {key["survey"]: key for key in keys
            if isinstance(key, dict) and {"survey", "plans", "items"} <= key.keys()}


def ingest(folder: str | Path, rules: Rules = Rules()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings (checked, as study.load_ratings gives) and report from a folder of answer files.

    Report, a row a file: file, participant, plan, kept, reason, ratings (used), fast (pages), note.
    Facts that do not differ are dropped. UserError where no rating is left.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("key"))
    if not files:
        raise UserError(f"{folder} has no answer file (*.json): name the folder into which the "
                        "participants' files were put.")
    keys, read, rows = find_keys(folder), {}, []
    for path in files:
        row = {"file": path.name, "participant": "", "plan": 0, "kept": False, "reason": "",
               "ratings": 0, "fast": 0, "note": ""}
        try:
            read[path.name] = found = read_answers(path)
            row |= {"participant": found.participant, "plan": found.plan,
                    "reason": _misfit(found, keys.get(found.survey))}
        except ValueError as error:
            row["reason"] = str(error)
        rows.append(row)
    _settle_duplicates(rows, read)
    ratings = []
    for row in rows:
        if not row["reason"]:
            row["reason"], row["fast"] = _judge(read[row["file"]], rules)
        if not row["reason"]:
            used = _ratings(read[row["file"]], keys[read[row["file"]].survey], rules)
            row |= {"kept": True, "ratings": len(used)}
            ratings += used
    _note_plans(rows, read)
    report = pd.DataFrame(rows)
    if not ratings:
        reasons = Counter(report["reason"].str.split(":").str[0])
        raise UserError(f"No rating in {folder} can be used: " + ", ".join(
            f"{reason} ({n})" for reason, n in reasons.items()) + ".")
    table = pd.DataFrame(ratings)
    table = table.drop(columns=[name for name, _, _ in FACTS if table[name].nunique() < 2])
    return study.check_ratings(table, str(folder)), report


def _misfit(found: AnswerFile, key: dict | None) -> str:
    """Why a file does not belong to its survey, or nothing."""
    if key is None:
        return "no key: survey " + found.survey
    if found.plan > len(key["plans"]):
        return "impossible value: plan"
    if [rating.item for rating in found.answers] != key["plans"][found.plan - 1]:
        return "impossible value: items"
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
            row["reason"] = ("duplicate: same as " + group[0]["file"] if same else
                             "duplicate: differs from another file of this participant")


def _judge(found: AnswerFile, rules: Rules) -> tuple[str, int]:
    """Why a participant is left out, or nothing, and the number of pages answered too fast."""
    fast = sum(rating.seconds < rules.seconds for rating in found.answers)
    scores = [score for rating in found.answers for score in rating.scores.model_dump().values()]
    equal = max(Counter(scores).values()) / len(scores)
    if set(found.check.model_dump().values()) != {CHECK["wanted"]}:
        return "attention check failed", fast
    if equal >= rules.equal_share:
        return f"straight-lining: {equal:.0%} of the scores are the same", fast
    if fast > rules.fast_share * len(found.answers):
        return f"too fast: {fast} of {len(found.answers)} pages", fast
    return "", fast


def _ratings(found: AnswerFile, key: dict, rules: Rules) -> list[dict]:
    """Rows of the ratings table; the slot is the place in the order of showing."""
    facts = {name: value or UNTOLD for name, value in found.facts.model_dump().items()}
    return [{"participant": found.participant, "slot": f"S{place:02d}",
             **key["items"][rating.item], **rating.scores.model_dump(), **facts}
            for place, rating in enumerate(found.answers, 1) if rating.seconds >= rules.seconds]


def _note_plans(rows: list[dict], read: dict[str, AnswerFile]) -> None:
    """Note where kept participants share a plan: the balance of the design suffers a little."""
    kept = {row["file"]: (read[row["file"]].survey, row["plan"]) for row in rows if row["kept"]}
    counts = Counter(kept.values())
    for row in rows:
        if counts.get(kept.get(row["file"]), 0) > 1:
            row["note"] = f"plan {row['plan']} was used by {counts[kept[row['file']]]} participants"


def load_study(path: str | Path) -> pd.DataFrame:
    """Ratings for analysis from a folder of answer files or a CSV table of ratings."""
    return ingest(path)[0] if Path(path).is_dir() else study.load_ratings(path)


def save(folder: str | Path) -> None:
    """Ingest a folder, write data/raw/own_study/{ratings,report}.csv and say what was left out; a
    CSV table of ratings in place of a folder is only checked."""
    if Path(folder).is_file():
        print(f"{folder}: {len(study.load_ratings(folder))} ratings.")
        return
    ratings, report = ingest(folder)
    for name, table in (("ratings", ratings.drop(columns="Quality")), ("report", report)):
        store.write_csv(paths.RAW / "own_study" / f"{name}.csv", table)
    print(rules_table().to_string(index=False))
    left = report[~report["kept"]]
    print(f"\nFiles: {len(report)}; participants kept: {int(report['kept'].sum())}; "
          f"files left out: {len(left)}; ratings: {len(ratings)}; ratings left out as too fast: "
          f"{int(report.loc[report['kept'], 'fast'].sum())}.")
    for row in left.itertuples():
        print(f"  {row.file}: {row.reason}")
    print(f"Written: {paths.shown(paths.RAW / 'own_study')} (ratings.csv, report.csv).")
    place = Path(folder).resolve()
    if place.is_relative_to(paths.ROOT) and not place.is_relative_to(paths.ROOT / "data" / "raw"):
        print(f"Note: git sees {paths.shown(place)}; answers of people belong under data/raw.")
