"""A page on which people judge explanations, from a run to a file, and the way back to tables.

    python -m lib.survey.page build cpu [--kind errors] [--post URL] [--participants 120] [--seed 0]
    python -m lib.survey.page ingest FOLDER

People rate explanations (the kind ratings) or say whether answers are right, half of them with the
explanation (errors; lib.survey.error_finding). ``build`` writes index.html in the folder survey
(survey-errors) of data/runs/<profile>: one static file that needs no server and loads nothing. The
file key.json beside it says what each item code stands for: share the first, never the second. A
copy of the key stays in data/raw/surveys, so that building anew does not lose it. ``ingest`` is
lib.survey.answers.
"""

import argparse
import base64
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from lib.common import files, paths, profile, provenance
from lib.common.errors import UserError, command_line, hint
from lib.common.methods import PAPER_ARMS, explanation_objective, split_arm
from lib.common.profile import Profile
from lib.common.stage import Stage
from lib.evaluation.extraction import extract, is_right
from lib.questions import splits
from lib.survey import answers
from lib.survey.design import CHECK, PLANS, QUESTIONS, Survey, draw_up
from lib.survey.texts import facts, kinds

TEMPLATE = paths.LIB / "survey" / "page.html"
LIMIT = 300_000  # bytes of the page: seconds on a slow phone
UNCLEAR = "none of these"  # shown for an answer that is no choice
COLUMNS = ["method", "question", "text", "choices", "answer", "right", "explanation"]


def explained(stage: Stage, size: str | None = None) -> pd.DataFrame:
    """What students of a run's last (or the named) size and first seed wrote, where they did."""
    table = stage.read_table("04_evaluation", "explanations").astype({"id": str, "size": str})
    size = size or stage.profile.students[-1].size
    table = table[(table["size"] == size) & (table["seed"] == stage.profile.seeds[0])]
    return table[table["explanation"].fillna("").astype(str).str.strip() != ""]


def gather(
    stage: Stage, size: str | None = None, methods=(), kind: str = "ratings", beside=()
) -> pd.DataFrame:
    """Table of the explanations to judge: method, question (id), text, choices, answer, right,
    explanation.

    Of the profile's last student size and first seed, by the paper's four methods where all are
    there, else by every method that explains. A question counts if every method has a text; for
    the kind errors also an answer that is one of its choices, as others are plainly wrong.
    ``beside``: Stages of other profiles whose students are judged, too.
    """
    table = pd.concat([explained(run, size) for run in (stage, *beside)])
    present = list(dict.fromkeys(table["arm"]))
    methods = list(methods) or (PAPER_ARMS if set(PAPER_ARMS) <= set(present) else present)
    questions = {q.id: q for q in splits.load(stage.profile.task, stage.profile.seed)["test"]}
    table = table[table["arm"].isin(methods) & table["id"].isin(questions.keys())]
    rows = []
    for row in table.drop_duplicates(["arm", "id"]).to_dict("records"):
        q = questions[row["id"]]
        index = extract(str(row.get("prediction")), q.choices)
        answer = UNCLEAR if index is None else q.choices[index]
        right, text = is_right(index, q.answer, q.choices), str(row["explanation"]).strip()
        rows.append((row["arm"], q.id, q.question, q.choices, answer, right, text))
    table = pd.DataFrame(rows, columns=COLUMNS)
    if kind == "errors":
        table = table[table["answer"] != UNCLEAR]
    return table[table.groupby("question")["method"].transform("nunique") == len(methods)]


def page_and_key(survey: Survey, post="", contact="", consent="") -> tuple[str, dict]:
    """The page (HTML) and its key. The page knows items by codes and names no method.

    post: URL that receives answers; contact: whom participants can ask; consent: a text in place
    of the page's own. UserError where the page is over 300 kB or post is unsafe.
    """
    words, items = kinds()[survey.kind], len(survey.plans[0]) - 1
    position = {code: i for i, code in enumerate(survey.items)} | {CHECK: -1}
    page = {
        "questions": [[row["text"], list(row["choices"])] for row in survey.questions],
        "items": [
            [code, row["position"], row["answer"], row["explanation"]]
            for code, row in survey.items.items()
        ],
        "plans": [[position[code] for code in plan] for plan in survey.plans],
        "asks": words.asks,
        "check": words.check,
        "heading": words.heading,
        "how": words.how,
        "invitation": words.invitation.format(items=items),
        "minutes": round(words.minutes * items),
        "facts": [[name, text, list(bands.items())] for name, (text, bands) in facts().items()],
        "consent": [p.strip() for p in re.split(r"\n\s*\n", consent) if p.strip()],
        "contact": contact,
        "post": post,
    }
    page = {"survey": files.key_of(page), **page}
    key = {
        "note": "Private: says which method wrote which item. Keep it from participants.",
        "survey": page["survey"],
        "kind": survey.kind,
        "methods": survey.methods,
        "seed": survey.seed,
        "items": {
            code: {name: row[name] for name in ("method", "question", "shown", "right")}
            | {"length": len(row["explanation"])}
            for code, row in survey.items.items()
        },
        "plans": [[code for code in plan if code != CHECK] for plan in survey.plans],
    }
    return fill(page), key


def fill(page: dict) -> str:
    """The template with the data, and a policy that lets its own script and style run, no other."""
    html = TEMPLATE.read_text(encoding="utf-8")
    script, style = (
        base64.b64encode(hashlib.sha256(re.search(pattern, html, re.S)[1].encode()).digest())
        for pattern in ("<script>(.*?)</script>", "<style>(.*?)</style>")
    )
    policy = (
        f"default-src 'none'; script-src 'sha256-{script.decode()}'; "
        f"style-src 'sha256-{style.decode()}'; connect-src {origin(page['post'])}; "
        "base-uri 'none'; form-action 'none'"
    )
    # Only ASCII, and neither < nor & : no text can end the element or hide its direction marks.
    data = json.dumps(page, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    html = html.replace("@@POLICY@@", policy, 1).replace("@@DATA@@", data, 1)
    weight = len(html.encode())
    if weight > LIMIT:
        raise UserError(
            f"The survey page would weigh {weight / 1000:.0f} kB, more than {LIMIT // 1000}: "
            "lower --questions."
        )
    return html


def origin(post: str) -> str:
    """The origin of the receiving URL as the policy wants it; only https, or this machine."""
    if not post:
        return "'none'"
    parts = urlsplit(post)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
    plain = re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", parts.netloc)
    if not plain or not (parts.scheme == "https" or local):
        raise UserError(
            "--post needs a URL such as https://example.org/answers, without user and password."
        )
    return f"{parts.scheme}://{parts.netloc}"


def check_options(settings: Profile, options: argparse.Namespace) -> None:
    """UserError for what no run of this profile could fulfil: said before there is one."""
    sizes = [student.size for student in settings.students]
    runs = [settings, *map(profile.load, options.beside)]
    arms = [
        f"{arm}, {variant}" if variant else arm
        for run in runs
        for arm in run.arms
        for variant in run.variants or [""]
        if explanation_objective(split_arm(arm)[0])
    ]
    for wished, known in (([options.size or sizes[-1]], sizes), (options.methods, arms)):
        wrong = sorted(set(wished) - set(known))
        if wrong:
            raise UserError(
                f"Profile '{settings.name}' has no explanation by {', '.join(wrong)}; "
                + hint(wrong[-1], known)
            )
    if options.participants < 1 or options.seed < 0:
        raise UserError("A survey needs at least one of --participants, and a --seed of 0 or more.")
    origin(options.post)


def build(options: argparse.Namespace) -> None:
    """Write the page and its key for a profile and say where they are. options: see ``main``."""
    stage = Stage("04_evaluation", options.profile)
    check_options(stage.profile, options)
    if options.consent and not Path(options.consent).is_file():
        raise UserError(f"There is no consent text {options.consent}.")
    consent = files.read_text(Path(options.consent)) if options.consent else ""
    if options.check:
        return
    beside = [Stage("04_evaluation", name) for name in options.beside]
    table = gather(stage, options.size, options.methods, options.kind, beside)
    survey = draw_up(table, options.kind, options.participants, options.seed, options.questions)
    html, key = page_and_key(survey, options.post, options.contact, consent)
    key |= {
        "profile": " ".join([options.profile, *options.beside]),
        "size": options.size or stage.profile.students[-1].size,
        "commit": provenance.commit(),
    }
    page = stage.run / kinds()[options.kind].folder / "index.html"
    files.write_text(page, html)
    for path in (paths.RAW / "surveys" / f"key-{key['survey']}.json", page.parent / "key.json"):
        files.write_json(path, key)
    right = np.mean([item["right"] for item in key["items"].values()])
    print(
        f"{paths.shown(page)}: survey {key['survey']}, {len(html.encode()) / 1000:.0f} kB, "
        f"{len(key['items'])} items by {len(key['methods'])} methods, {right:.0%} with a right "
        f"answer, {len(key['plans'])} plans of {len(key['plans'][0])} items.\n"
        "Give participant 1 the link index.html?p=1, participant 2 ?p=2, and so on. "
        f"Keep {paths.shown(path)} to yourself."
    )


@command_line
def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.survey.page", description=__doc__.split("\n\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    option = commands.add_parser("build", help="write the survey page of a run").add_argument
    option("profile")
    option("--kind", choices=list(kinds()), default="ratings", help="rate, or find errors")
    option("--post", default="", help="URL that receives the answers, too")
    option("--participants", type=int, default=PLANS)
    option("--seed", type=int, default=0)
    option("--questions", type=int, default=QUESTIONS, help="size of the pool")
    option("--size", help="student size (default: the profile's last)")
    option("--methods", nargs="+", default=[], help="default: the paper's four")
    option("--beside", nargs="+", default=[], help="other profiles whose students are judged, too")
    option("--contact", default="", help="whom participants can ask")
    option("--consent", default="", help="text file with a consent text of your own")
    option("--check", action="store_true", help="only check these options")
    ingest = commands.add_parser("ingest", help="turn a folder of answer files into tables")
    ingest.add_argument("folder")
    options = parser.parse_args(arguments)
    if options.command == "ingest":
        answers.save(options.folder)
    else:
        build(options)


if __name__ == "__main__":
    main()
