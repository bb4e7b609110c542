"""A page on which people rate explanations, from design to file, and the way back to ratings.

    python -m lib.survey build cpu [--post URL] [--participants 120] [--seed 0]
    python -m lib.survey ingest FOLDER

``build`` writes data/runs/<profile>/survey/index.html, one static file that needs no server and
loads nothing, and key.json, which says what each item code stands for: share the first, never the
second. A copy of the key stays in data/raw/surveys, so that building anew does not lose it.
``ingest`` is lib.answers.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from lib import answers, paths, provenance, store, tasks
from lib.errors import UserError
from lib.stage import Stage
from lib.stats import METHODS

TEMPLATE = paths.LIB / "survey_page.html"
KEYS = "surveys"  # folder of data/raw with a copy of every key
LIMIT = 300_000  # bytes of the page: seconds on a slow phone
ITEMS, QUESTIONS, PLANS = 12, 90, 120  # a participant rates, are in the pool, plans drawn up
UNCLEAR = "none of these"  # shown for an answer that is no choice
LETTERS = np.array(list("23456789abcdefghjkmnpqrstuvwxyz"))  # of item codes; no 0 and o, 1 and l


def cycle(people: int, methods: int, questions: int, each: int) -> np.ndarray:
    """Question numbers [people, methods, each] of an incomplete block design.

    Every method runs through the questions in a circle, each from its own starting point, so no
    person meets a question twice and the counts of all (question, method) pairs differ by at most
    one. UserError where there are fewer questions than a person rates.
    """
    if questions < methods * each:
        raise UserError(f"{methods * each} explanations a participant need as many questions, but "
                        f"this run has {questions} with a text from every method: evaluate on more "
                        "questions, or lower --items.")
    start = np.arange(methods) * (questions // methods)
    step = np.arange(people * each).reshape(people, 1, each)
    return (start[None, :, None] + step) % questions


def assign(people: int, methods: int, questions: int, seed: int, items: int = ITEMS) -> list:
    """One plan a person: a list of (question, method) numbers in the order of showing.

    From ``cycle`` by trades: two persons swap questions of one method, which leaves all counts as
    they are but mixes which questions meet. Persons trade only within a window in which no pair
    occurs twice, so the first n plans are balanced, too, should only n people come.
    """
    if methods < 2 or items < methods or items % methods:
        raise UserError(f"{items} explanations cannot be shared out evenly over {methods} "
                        "method(s); change --items or --methods.")
    rng, each = np.random.default_rng([seed, 1]), items // methods
    design = cycle(people, methods, questions, each)
    for start in range(0, people, questions // each):
        window = design[start:start + questions // each]
        for _ in range(20 * window.shape[0] * items if len(window) > 1 else 0):
            a, b = rng.choice(len(window), 2, replace=False)
            m, i, j = rng.integers(methods), rng.integers(each), rng.integers(each)
            one, other = window[a, m, i], window[b, m, j]
            if one not in window[b] and other not in window[a]:
                window[a, m, i], window[b, m, j] = other, one
    pairs = [[(int(q), m) for m in range(methods) for q in plan[m]] for plan in design]
    return [[plan[i] for i in rng.permutation(items)] for plan in pairs]


def gather(stage: Stage, size: str | None = None, methods=()) -> pd.DataFrame:
    """Explanations to rate: method, question (id), text, answer, explanation; complete questions.

    Of the profile's last student size and first seed, by the paper's four methods where all are
    there, else by every method that explains. A question counts if every method has a text.
    """
    table = stage.read_table("04_evaluation", "explanations").astype({"id": str, "size": str})
    size = size or stage.profile.students[-1].size
    table = table[(table["size"] == size) & (table["seed"] == stage.profile.seeds[0])]
    table = table[table["explanation"].fillna("").astype(str).str.strip() != ""]
    present = list(dict.fromkeys(table["arm"]))
    methods = list(methods) or (METHODS if set(METHODS) <= set(present) else present)
    missing = [name for name in methods if name not in present]
    if missing or not present:
        raise UserError(f"This run has no explanation by {', '.join(missing) or 'any method'} at "
                        f"size {size}; there are {', '.join(present) or 'none'}.")
    table = table[table["arm"].isin(methods)].drop_duplicates(["arm", "id"])
    table = table[table.groupby("id")["arm"].transform("nunique") == len(methods)]
    known = {q.id: q for q in tasks.load(stage.profile.task, stage.profile.seed)["test"]}
    rows = [{"method": row["arm"], "question": row["id"], "text": known[row["id"]].question,
             "choices": known[row["id"]].choices,
             "answer": _given(row.get("prediction"), known[row["id"]].choices),
             "explanation": str(row["explanation"]).strip()}
            for row in table.to_dict("records") if row["id"] in known]
    return pd.DataFrame(rows, columns=["method", "question", "text", "choices", "answer",
                                       "explanation"])


def _given(prediction, choices) -> str:
    """The student's answer for showing: a choice as it is written there, or that it is none."""
    said = str(prediction or "").rpartition("answer is")[2].strip(" .!:\"'").casefold()
    return next((choice for choice in choices if choice.casefold() == said), UNCLEAR)


def make_survey(table: pd.DataFrame, people: int = PLANS, seed: int = 0, items: int = 0,
                questions: int = QUESTIONS, post: str = "", contact: str = "",
                consent: str = "") -> tuple[str, dict]:
    """The page and its key, from ``gather``'s table.

    The page knows the items by random codes, in random order. items: a participant rates, by
    default 12, or fewer where the methods cannot share them or questions are too few. post: URL
    that receives answers; consent: a text in place of the page's own. UserError where the page is
    over 300 kB.
    """
    rng = np.random.default_rng([seed, 0])
    methods, ids = list(dict.fromkeys(table["method"])), sorted(set(table["question"]))
    ids = [ids[i] for i in rng.permutation(len(ids))[:questions]]
    items = items or max(min(ITEMS, len(ids)) // len(methods), 1) * len(methods)
    plans = assign(people, len(methods), len(ids), seed, items)
    rows = {(row["question"], row["method"]): row for row in table.to_dict("records")}
    order = [(q, m) for q in range(len(ids)) for m in range(len(methods))]
    order = [order[i] for i in rng.permutation(len(order))]
    codes = _codes(len(order), rng)
    place = {pair: i for i, pair in enumerate(order)}
    chosen = [rows[ids[q], methods[m]] for q, m in order]
    shown = [[place[pair] for pair in plan] for plan in plans]
    for plan in shown:  # the attention check, -1, stands somewhere in the middle half
        plan.insert(int(rng.integers(items // 4 + 1, items - items // 4 + 1)), -1)
    firsts = [rows[i, methods[0]] for i in ids]
    page = {"questions": [[row["text"], list(row["choices"])] for row in firsts],
            "items": [[code, q, row["answer"], row["explanation"]]
                      for code, (q, _), row in zip(codes, order, chosen, strict=True)],
            "plans": shown, "constructs": answers.STATEMENTS, "scale": answers.SCALE,
            "check": answers.CHECK, "facts": answers.FACTS,
            "consent": [p.strip() for p in re.split(r"\n\s*\n", consent) if p.strip()],
            "contact": contact, "post": post}
    page = {"survey": store.key_of(page), **page}
    key = {"note": "Private: says which method wrote which item. Keep it from participants.",
           "survey": page["survey"], "methods": methods, "seed": seed,
           "items": {code: {"method": row["method"], "question": row["question"],
                            "length": len(row["explanation"])}
                     for code, row in zip(codes, chosen, strict=True)},
           "plans": [[codes[i] for i in plan if i >= 0] for plan in shown]}
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
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in
              (re.search(rf"<{tag}>(.*?)</{tag}>", html, re.S)[1] for tag in ("script", "style"))]
    policy = (f"default-src 'none'; script-src 'sha256-{hashes[0]}'; "
              f"style-src 'sha256-{hashes[1]}'; connect-src {_origin(page['post'])}; "
              "base-uri 'none'; form-action 'none'")
    # Only ASCII, and neither < nor & : no text can end the element or hide its direction marks.
    data = json.dumps(page, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    html = html.replace("@@POLICY@@", policy, 1).replace("@@DATA@@", data, 1)
    if len(html.encode()) > LIMIT:
        raise UserError(f"The survey page would weigh {len(html.encode()) / 1000:.0f} kB, more "
                        f"than {LIMIT // 1000}: lower --questions.")
    return html


def _origin(post: str) -> str:
    """The origin of the receiving URL as the policy wants it; only https, or this machine."""
    if not post:
        return "'none'"
    parts = urlsplit(post)
    local = parts.hostname in ("localhost", "127.0.0.1")
    if (parts.scheme != "https" and not (parts.scheme == "http" and local)
            or not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", parts.netloc)):
        raise UserError("--post needs a URL such as https://example.org/answers, without user and "
                        "password.")
    return f"{parts.scheme}://{parts.netloc}"


def build(profile: str, size: str | None = None, methods=(), **options) -> None:
    """Write the page and its key for a profile and say where they are."""
    stage = Stage("04_evaluation", profile)
    html, key = make_survey(gather(stage, size, methods), **options)
    key = key | {"profile": profile, "size": size or stage.profile.students[-1].size,
                 "commit": provenance.commit()}
    page = store.write_text(stage.run / "survey" / "index.html", html, keep_if_same=True)
    for path in (paths.RAW / KEYS / f"key-{key['survey']}.json", page.parent / "key.json"):
        store.write_json(path, key, keep_if_same=True)
    print(f"{paths.shown(page)}: survey {key['survey']}, {len(html.encode()) / 1000:.0f} kB, "
          f"{len(key['items'])} explanations by {len(key['methods'])} methods, "
          f"{len(key['plans'])} plans of {len(key['plans'][0])} explanations.\n"
          "Give participant 1 the link index.html?p=1, participant 2 ?p=2, and so on. "
          f"Keep {paths.shown(path)} to yourself.")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 1 after a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m lib.survey",
                                     description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write the survey page of a run")
    make.add_argument("profile")
    make.add_argument("--post", default="", help="URL that receives the answers, too")
    make.add_argument("--participants", type=int, default=PLANS, dest="people")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--items", type=int, default=0, help="explanations a participant: 12, or "
                      "fewer where the run has too few questions")
    make.add_argument("--questions", type=int, default=QUESTIONS, help="size of the pool")
    make.add_argument("--size", help="student size (default: the profile's last)")
    make.add_argument("--methods", nargs="+", default=[], help="default: the paper's four")
    make.add_argument("--contact", default="", help="whom participants can ask")
    make.add_argument("--consent", default="", help="text file with a consent text of your own")
    read = commands.add_parser("ingest", help="turn a folder of answer files into ratings")
    read.add_argument("folder")
    chosen = vars(parser.parse_args(arguments))
    try:
        if chosen.pop("command") == "ingest":
            answers.save(chosen["folder"])
        else:
            if chosen["consent"]:
                chosen["consent"] = _read(chosen["consent"])
            build(**chosen)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _read(path: str) -> str:
    try:
        return open(path, encoding="utf-8").read()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"The consent text {path} cannot be read; give a UTF-8 file.") from None


if __name__ == "__main__":
    sys.exit(main())
