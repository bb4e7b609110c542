"""A page on which people judge explanations, from design to file, and the way back to tables.

    python -m lib.survey.page build cpu [--task errors] [--post URL] [--participants 120] [--seed 0]
    python -m lib.survey.page ingest FOLDER

People rate explanations (the task ratings) or say whether answers are right, half of them with the
explanation (errors; lib.survey.error_finding). ``build`` writes data/runs/<profile>/survey/index.html
(survey-errors/...), one static file that needs no server and loads nothing, and key.json, which
says what each item code stands for: share the first, never the second. A copy of the key stays in
data/raw/surveys, so that building anew does not lose it. ``ingest`` is lib.survey.answers.
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

from lib.common import files, paths, provenance
from lib.common.errors import UserError, command_line, hint
from lib.common.methods import PAPER_ARMS, explanation_objective, split_arm
from lib.common.profile import Profile
from lib.common.stage import Stage
from lib.evaluation.extraction import extract, is_right
from lib.questions import splits
from lib.survey import answers
from lib.survey.design import assign, choose_questions
from lib.survey.texts import FACTS, TASKS

TEMPLATE = paths.LIB / "survey" / "page.html"
KEYS = "surveys"  # folder of data/raw with a copy of every key
LIMIT = 300_000  # bytes of the page: seconds on a slow phone
ITEMS, QUESTIONS, PLANS = TASKS["ratings"]["items"], 90, 120  # rated by one, in the pool, drawn up
UNCLEAR = "none of these"  # shown for an answer that is no choice
LETTERS = np.array(list("23456789abcdefghjkmnpqrstuvwxyz"))  # of item codes; no 0 and o, 1 and l


def gather(
    stage: Stage, size: str | None = None, methods=(), task: str = "ratings"
) -> pd.DataFrame:
    """Explanations to judge: method, question (id), text, choices, answer, right, explanation.

    Of the profile's last student size and first seed, by the paper's four methods where all are
    there, else by every method that explains. A question counts if every method has a text; for the
    task errors also an answer that is one of its choices, as others are plainly wrong.
    """
    table = stage.read_table("04_evaluation", "explanations").astype({"id": str, "size": str})
    size = size or stage.profile.students[-1].size
    table = table[(table["size"] == size) & (table["seed"] == stage.profile.seeds[0])]
    table = table[table["explanation"].fillna("").astype(str).str.strip() != ""]
    present = list(dict.fromkeys(table["arm"]))
    methods = list(methods) or (PAPER_ARMS if set(PAPER_ARMS) <= set(present) else present)
    missing = [name for name in methods if name not in present]
    if missing or not present:
        raise UserError(
            f"This run has no explanation by {', '.join(missing) or 'any method'} at "
            f"size {size}; there are {', '.join(present) or 'none'}."
        )
    known = {q.id: q for q in splits.load(stage.profile.task, stage.profile.seed)["test"]}
    table = table[table["arm"].isin(methods) & table["id"].isin(known.keys())]
    rows = []
    for row in table.drop_duplicates(["arm", "id"]).to_dict("records"):
        q = known[row["id"]]
        given = extract(str(row.get("prediction")), q.choices)
        rows.append(
            {
                "method": row["arm"],
                "question": q.id,
                "text": q.question,
                "choices": q.choices,
                "answer": UNCLEAR if given is None else q.choices[given],
                "right": is_right(given, q.answer, q.choices),
                "explanation": str(row["explanation"]).strip(),
            }
        )
    found = pd.DataFrame(
        rows, columns=["method", "question", "text", "choices", "answer", "right", "explanation"]
    )
    if task == "errors":
        found = found[found["answer"] != UNCLEAR]
    return found[found.groupby("question")["method"].transform("nunique") == len(methods)]


def make_survey(
    table: pd.DataFrame,
    people: int = PLANS,
    seed: int = 0,
    items: int = 0,
    questions: int = QUESTIONS,
    post: str = "",
    contact: str = "",
    consent: str = "",
    task: str = "ratings",
) -> tuple[str, dict]:
    """The page and its key, from ``gather``'s table.

    The page knows the items by random codes, in random order. items: a participant sees, by default
    the task's number, or fewer where the methods cannot share them or questions are too few. For
    the task errors each explanation is two items, one of them without its text, and the questions
    are those with which right and wrong answers are about as many. post: URL that receives answers;
    consent: a text in place of the page's own. UserError where the page is over 300 kB.
    """
    rng, words = np.random.default_rng([seed, 0]), TASKS[task]
    rows = {(row["question"], row["method"]): row for row in table.to_dict("records")}
    names, ids = list(dict.fromkeys(table["method"])), sorted(set(table["question"]))
    methods = [(name, shown) for name in names for shown in words["shown"]]
    items = items or max(min(words["items"], len(ids), questions) // len(methods), 1) * len(methods)
    ids, sign = [ids[i] for i in rng.permutation(len(ids))], None
    if task == "errors" and len(ids) >= items:
        right = np.array([[rows[i, name]["right"] for name, _ in methods] for i in ids])
        pool = rng.permutation(choose_questions(right, items, questions))
        ids, sign = [ids[i] for i in pool], np.where(right[pool], 1, -1)
    ids = ids[:questions]
    plans = assign(people, len(methods), len(ids), seed, items, sign)
    order = [(q, m) for q in range(len(ids)) for m in range(len(methods))]
    order = [order[i] for i in rng.permutation(len(order))]
    place = {pair: i for i, pair in enumerate(order)}
    cards = {}  # by code, what is shown and what is known of it
    for code, (q, m) in zip(_codes(len(order), rng), order, strict=True):
        name, shown = methods[m]
        cards[code] = rows[ids[q], name] | {"place": q, "shown": shown}
        cards[code]["explanation"] *= shown
    codes = list(cards)
    shown = [[place[pair] for pair in plan] for plan in plans]
    for plan in shown:  # the attention check, -1, stands somewhere in the middle half
        plan.insert(int(rng.integers(items // 4 + 1, items - items // 4 + 1)), -1)
    firsts = [rows[i, names[0]] for i in ids]
    page = {
        "questions": [[row["text"], list(row["choices"])] for row in firsts],
        "items": [
            [code, card["place"], card["answer"], card["explanation"]]
            for code, card in cards.items()
        ],
        "plans": shown,
        **{name: words[name] for name in ("asks", "check", "heading", "how")},
        "invitation": words["invitation"].format(items=items),
        "minutes": round(words["minutes"] * items),
        "facts": FACTS,
        "consent": [p.strip() for p in re.split(r"\n\s*\n", consent) if p.strip()],
        "contact": contact,
        "post": post,
    }
    page = {"survey": files.key_of(page), **page}
    key = {
        "note": "Private: says which method wrote which item. Keep it from participants.",
        "survey": page["survey"],
        "task": task,
        "methods": names,
        "seed": seed,
        "items": {
            code: {
                "method": card["method"],
                "question": card["question"],
                "length": len(card["explanation"]),
                "shown": card["shown"],
                "right": card["right"],
            }
            for code, card in cards.items()
        },
        "plans": [[codes[i] for i in plan if i >= 0] for plan in shown],
    }
    return _fill(page), key


def _codes(count: int, rng: np.random.Generator) -> list[str]:
    """So many different codes of five letters, in no order."""
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes["".join(rng.choice(LETTERS, 5))] = None
    return list(codes)


def _fill(page: dict) -> str:
    """The template with the data, and a policy that lets its own script and style run, no other."""
    html = TEMPLATE.read_text(encoding="utf-8")
    hashes = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (
            re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1] for tag in ("script", "style")
        )
    ]
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; "
        f"style-src 'sha256-{hashes[1]}'; connect-src {_origin(page['post'])}; "
        "base-uri 'none'; form-action 'none'"
    )
    # Only ASCII, and neither < nor & : no text can end the element or hide its direction marks.
    data = json.dumps(page, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    html = html.replace("@@POLICY@@", policy, 1).replace("@@DATA@@", data, 1)
    if len(html.encode()) > LIMIT:
        raise UserError(
            f"The survey page would weigh {len(html.encode()) / 1000:.0f} kB, more "
            f"than {LIMIT // 1000}: lower --questions."
        )
    return html


def _origin(post: str) -> str:
    """The origin of the receiving URL as the policy wants it; only https, or this machine."""
    if not post:
        return "'none'"
    parts = urlsplit(post)
    local = parts.hostname in ("localhost", "127.0.0.1")
    if (
        parts.scheme != "https"
        and not (parts.scheme == "http" and local)
        or not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", parts.netloc)
    ):
        raise UserError(
            "--post needs a URL such as https://example.org/answers, without user and password."
        )
    return f"{parts.scheme}://{parts.netloc}"


def check_options(
    settings: Profile, size: str | None, methods: list[str], people: int, seed: int, post: str
) -> None:
    """UserError for what no run of this profile could fulfil: said before there is one."""
    sizes = [student.size for student in settings.students]
    explained = [arm for arm in settings.arms if explanation_objective(split_arm(arm)[0])]
    for wrong, known in (({size} - {*sizes, None}, sizes), ({*methods} - {*explained}, explained)):
        if wrong:
            raise UserError(
                f"Profile '{settings.name}' has no explanation by {', '.join(sorted(wrong))}; "
                + hint(wrong.pop(), known)
            )
    if people < 1 or seed < 0:
        raise UserError("A survey needs at least one of --participants, and a --seed of 0 or more.")
    _origin(post)


def build(
    profile: str,
    size: str | None,
    methods: list[str],
    task: str,
    consent: str,
    check: bool = False,
    **options,
) -> None:
    """Write the page and its key for a profile and say where they are. consent: a file or "".

    check: only whether the options can be fulfilled, before anything has been run.
    """
    stage = Stage("04_evaluation", profile)
    check_options(
        stage.profile, size, methods, *(options[name] for name in ("people", "seed", "post"))
    )
    try:
        consent = Path(consent).read_text(encoding="utf-8") if consent else ""
    except (OSError, UnicodeDecodeError):
        raise UserError(f"The consent text {consent} cannot be read; give a UTF-8 file.") from None
    if check:
        return
    table = gather(stage, size, methods, task)
    html, key = make_survey(table, task=task, consent=consent, **options)
    key = key | {
        "profile": profile,
        "size": size or stage.profile.students[-1].size,
        "commit": provenance.commit(),
    }
    page = files.write_text(
        stage.run / TASKS[task]["folder"] / "index.html", html, keep_if_same=True
    )
    for path in (paths.RAW / KEYS / f"key-{key['survey']}.json", page.parent / "key.json"):
        files.write_json(path, key, keep_if_same=True)
    print(
        f"{paths.shown(page)}: survey {key['survey']}, {len(html.encode()) / 1000:.0f} kB, "
        f"{len(key['items'])} items by {len(key['methods'])} methods, "
        f"{np.mean([item['right'] for item in key['items'].values()]):.0%} with a right answer, "
        f"{len(key['plans'])} plans of {len(key['plans'][0])} items.\n"
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
    make = commands.add_parser("build", help="write the survey page of a run")
    make.add_argument("profile")
    make.add_argument(
        "--task",
        choices=list(TASKS),
        default="ratings",
        help="rate explanations, or find errors in answers with and without them",
    )
    make.add_argument("--post", default="", help="URL that receives the answers, too")
    make.add_argument("--participants", type=int, default=PLANS, dest="people")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument(
        "--items",
        type=int,
        default=0,
        help="items a participant: 12 (errors: 16), or fewer where the run has too few questions",
    )
    make.add_argument("--questions", type=int, default=QUESTIONS, help="size of the pool")
    make.add_argument("--size", help="student size (default: the profile's last)")
    make.add_argument("--methods", nargs="+", default=[], help="default: the paper's four")
    make.add_argument("--contact", default="", help="whom participants can ask")
    make.add_argument("--consent", default="", help="text file with a consent text of your own")
    make.add_argument("--check", action="store_true", help="only check these options")
    read = commands.add_parser("ingest", help="turn a folder of answer files into tables")
    read.add_argument("folder")
    chosen = vars(parser.parse_args(arguments))
    if chosen.pop("command") == "ingest":
        answers.save(chosen["folder"])
    else:
        build(**chosen)


if __name__ == "__main__":
    main()
