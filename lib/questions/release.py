"""The authors' released teacher output and result files: ``python -m lib.questions.release [names]``.

Everything comes from the authors' repository at a pinned commit (lib.questions.download) and is built into
data/raw, never committed. ``teacher_table`` gives published texts in place of generated ones.
"""

import functools
import io
import math
import random
import re
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lib.common import files, paths
from lib.common.errors import UserError, command_line
from lib.questions import download, splits
from lib.questions.splits import FINAL, Question

FILES = {name: f"misc/statistical_analysis/{name}.csv" for name in ("study", "experiment")}
FOLDERS = {
    "cqa-questions": "datasets/cqa/",
    "critiques": "llm_outputs/rationales_critiqued/cqa-llama-test/",
} | {
    f"{data}-llama-{split}": f"llm_outputs/consolidated/{data}-llama-{split}/"
    for data in ("cqa", "strategyqa", "esnli")
    for split in ("train", "test")
}
NAMES = (*FILES, *FOLDERS)
AT_HAND = {name: f"{name}.parquet" for name in FOLDERS} | {
    "critiques": "cqa-llama-test-critiques.parquet"
}
TEXTS = {
    "explanation": "few_shot_positive_rationale",
    "revision": "few_shot_revision",
    "counterfactual": "counterfactual_prompt_answer_{}_rationale",
}

RUN_ON = re.compile(r"(?:^|\s)(?:#+\s*)?(?:Question|Q|Answer Choices|Choices)\s*:")
RUN_ON_BELOW = re.compile(
    r"^\W*(?:Question|Q|Premise|Choices|Answer|Critique)\s*:|^The answer is ", re.MULTILINE
)
MARKUP = re.compile(r"```|#|[^a-zA-Z]*$")
REASONS = (
    "leading_blank",
    "run_on_cut",
    "lines_cut",
    "no_final_punctuation",  # kept
    "empty",
    "only_run_on",
    "markup",
    "only_question",
)  # unusable


def fetch(name: str) -> Path:
    """Bring one published table or file to data/raw and return its path.

    study and experiment are CSV files, cqa-questions a folder of JSON files; the others become one
    parquet file with a manifest (rows, hashes of table and inputs) that is written last. A folder
    in HONEY_SOURCE may hold ``<name>.parquet`` itself; then only its row count can be checked.
    """
    if name not in NAMES:
        raise UserError(f"There is no published '{name}'; there are {', '.join(NAMES)}.")
    if name in FILES:
        target = paths.RAW / f"{name}.csv"
        download.fetch([(pin, target) for pin in download.pins(FILES[name])], name)
        return target
    parts = [(pin, paths.RAW / "published" / pin.path) for pin in download.pins(FOLDERS[name])]
    if name == "cqa-questions":
        download.fetch(parts, name)
        return paths.RAW / "published" / FOLDERS[name]
    if is_ready(name):
        return paths.RAW / f"{name}.parquet"
    place = download.source()
    hand = place / AT_HAND[name] if isinstance(place, Path) else None
    if hand and hand.is_file():
        print(f"{name}: taken from {hand}; checked by its number of rows only.", flush=True)
        return _write(name, hand.read_bytes(), {hand.name: files.sha256_file(hand)}, "rows")
    if not parts:
        raise UserError(
            f"No size and SHA-256 are known for {name}, so it is not downloaded; put "
            f"{AT_HAND[name]} into a folder and let HONEY_SOURCE name it."
        )
    download.fetch(parts, name)
    return _write(
        name,
        _convert([path for _, path in parts]),
        {pin.path: pin.sha256 for pin, _ in parts},
        "size and SHA-256 of the inputs",
    )


def _convert(shards: list[Path]) -> bytes:
    """The shards (Arrow streams) concatenated in order, as one parquet file."""
    tables = [pa.ipc.open_stream(shard.read_bytes()).read_all() for shard in shards]
    buffer = io.BytesIO()
    pq.write_table(pa.concat_tables(tables).replace_schema_metadata(None), buffer)
    return buffer.getvalue()


def _write(name: str, data: bytes, inputs: dict[str, str], checked: str) -> Path:
    """Check the rows, write the table, then its manifest: without that the table does not count."""
    expected = download.read_sources()["rows"][name]
    text = "few_shot_critique" if name == "critiques" else TEXTS["revision"]
    try:
        table = pq.read_table(io.BytesIO(data))
        found = f"{table.num_rows:,} rows" + ("" if text in table.column_names else f", no {text}")
    except pa.ArrowInvalid:
        found = "nothing readable"
    if found != f"{expected:,} rows":
        raise UserError(
            f"The published table {name} should have {expected:,} rows, but {found} is "
            f"in {next(iter(inputs))}; get that file again."
        )
    path = files.write_bytes(paths.RAW / f"{name}.parquet", data)
    files.write_json(
        path.with_suffix(".manifest.json"),
        {
            "rows": expected,
            "sha256": files.sha256_bytes(data),
            "checked": checked,
            "inputs": inputs,
        },
    )
    return path


def is_ready(name: str) -> bool:
    """Whether the parquet file is there, is the one that its manifest describes, and is current."""
    path = paths.RAW / f"{name}.parquet"
    beside = path.with_suffix(".manifest.json")
    if not (path.is_file() and beside.is_file()):
        return False
    manifest = files.read_json(beside, "python -m lib.questions.release")
    pinned = {pin.path: pin.sha256 for pin in download.pins(FOLDERS[name])}
    return manifest.get("sha256") == files.sha256_file(path) and (
        manifest.get("checked") == "rows" or manifest.get("inputs") == pinned
    )


def clean(text: str | None, question: str = "") -> tuple[str | None, list[str]]:
    """The usable text in a raw generation, or None, and which of REASONS apply to it.

    Kept is the first line of the stripped text without what runs on into an invented next
    "Question:". None: nothing is left, or only a heading, a code fence or the question. A text cut
    by the token limit is kept.
    """
    lines = [line.strip() for line in (text.strip() if isinstance(text, str) else "").split("\n")]
    if not lines[0]:
        return None, ["empty"]
    reasons = ["leading_blank"] if text[0].isspace() else []
    kept = RUN_ON.split(lines[0], maxsplit=1)[0].strip()
    if kept != lines[0] or RUN_ON_BELOW.search("\n".join(lines[1:])):
        reasons.append("run_on_cut")
    elif len(lines) > 1:
        reasons.append("lines_cut")
    if not kept:
        return None, [*reasons, "only_run_on"]
    if MARKUP.match(kept):
        return None, [*reasons, "markup"]
    if kept.lower() == question.strip().lower() or (kept != lines[0] and kept.endswith("?")):
        return None, [*reasons, "only_question"]
    return kept, reasons if FINAL.search(kept) else [*reasons, "no_final_punctuation"]


def load(task: str, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Published texts of a task's "train" or "test" file, cleaned, and counts of what was cleaned.

    Rows: id, question, choices (list), answer (index), explanation, revision, counterfactuals
    (list, by choice); an unusable text is None. Counts: a row for each kind of text, with texts,
    usable, and REASONS (several may apply to a text).
    """
    data = splits.describe(task).get("published")
    if f"{data}-llama-{split}" not in FOLDERS:
        raise UserError(
            f"The authors published no texts for {task} {split}; there are train and test "
            "of commonsenseqa, strategyqa and esnli."
        )
    rows, counts = [], {kind: Counter() for kind in TEXTS}

    def take(raw: dict, kind: str, question: str, number: int = 0) -> str | None:
        text, reasons = clean(raw[TEXTS[kind].format(number)], question)
        counts[kind].update(["texts", *reasons], usable=text is not None)
        return text

    for i, raw in enumerate(_read(f"{data}-llama-{split}").to_dict("records")):
        row = _question(data, split, i, raw)
        row |= {kind: take(raw, kind, row["question"]) for kind in ("explanation", "revision")}
        row["counterfactuals"] = [
            take(raw, "counterfactual", row["question"], number)
            for number in range(1, len(row["choices"]) + 1)
        ]
        rows.append(row)
    table = pd.DataFrame(
        [
            {"text": kind} | {name: found[name] for name in ("texts", "usable", *REASONS)}
            for kind, found in counts.items()
        ]
    )
    return pd.DataFrame(rows, dtype=object).astype({"answer": int}), table  # object keeps None


def _read(name: str) -> pd.DataFrame:
    if not is_ready(name):
        raise UserError(
            f"{paths.shown(paths.RAW / name)}.parquet is missing or not whole; run "
            f"'python -m lib.questions.release {name}' first."
        )
    return pd.read_parquet(paths.RAW / f"{name}.parquet")


def _question(data: str, split: str, i: int, raw: dict) -> dict:
    """id, question, choices, answer of a raw row."""
    if data == "cqa":
        return {
            "id": raw["id"],
            "question": raw["question"].strip(),
            "choices": [choice.strip() for choice in raw["choices"]],
            "answer": list(raw["choices"]).index(raw["answer"]),
        }
    found = vars(splits.READERS[data](raw, f"{split}-{i:05d}"))
    return found | {"choices": list(found["choices"])}


def questions(name: str) -> list[Question]:
    """The questions of one published table, such as cqa-llama-train, in its order."""
    data, _, split = name.partition("-llama-")
    rows = [_question(data, split, i, raw) for i, raw in enumerate(_read(name).to_dict("records"))]
    return [Question(**row | {"choices": tuple(row["choices"])}) for row in rows]


def why_unusable(row: pd.Series) -> str:
    """Which text of a row of ``load`` cannot be trained on: explanation, revision, ... or "".

    "same choice": the first wrong choice reads like the right one, so it has no counterfactual.
    """
    wrong = 0 if row["answer"] else 1
    tests = {
        "explanation": row["explanation"] is None,
        "revision": row["revision"] is None,
        "counterfactual": row["counterfactuals"][wrong] is None,
        "same choice": row["choices"][wrong] == row["choices"][row["answer"]],
    }
    return next((reason for reason, holds in tests.items() if holds), "")


def critiques() -> dict[str, str]:
    """Usable critiques of CommonsenseQA's test questions by id, the only ones that were released.

    No size and SHA-256 are known for them, so they come only from a folder in HONEY_SOURCE; without
    it there are none.
    """
    place = download.source()
    at_hand = isinstance(place, Path) and (place / AT_HAND["critiques"]).is_file()
    if not (at_hand or is_ready("critiques")):
        return {}
    raw = pd.read_parquet(fetch("critiques"))
    cleaned = zip(raw["id"], map(clean, raw["few_shot_critique"]), strict=True)
    return {id: text for id, (text, _) in cleaned if text is not None}


@functools.cache
def teacher_table(task: str, seed: int = 0) -> pd.DataFrame:
    """Published texts by split: id, split, explanation, revision, counterfactuals, critique.

    dev is 10 % of the train file, drawn with ``seed`` whatever the order of rows. Train and dev
    lack the questions with an unusable text; a printed line and ``attrs["dropped"]`` count them by
    reason. Only CommonsenseQA's test questions can have a critique (see ``critiques``).
    """
    train, test = load(task, "train")[0], load(task, "test")[0]
    ids = sorted(train["id"])
    dev = set(random.Random(f"published dev {seed}").sample(ids, math.ceil(len(ids) / 10)))
    train["split"] = ["dev" if i in dev else "train" for i in train["id"]]
    why = train.apply(why_unusable, axis=1)
    table = pd.concat([train[why == ""], test.assign(split="test")], ignore_index=True)
    found = critiques() if task == "commonsenseqa" else {}
    table["critique"] = pd.Series([found.get(id) for id in table["id"]], dtype=object)
    dropped = (train["split"] + " " + why)[why != ""].value_counts().to_dict()
    print(
        f"{task}: texts of {len(table):,} questions; dropped: "
        + (", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "none"),
        flush=True,
    )
    table.attrs["dropped"] = dropped
    return table[["id", "split", "explanation", "revision", "counterfactuals", "critique"]]


@command_line
def main(names: list[str]) -> None:
    """Fetch the named tables (all of study and experiment if none is named)."""
    for name in names or list(FILES):
        print(f"{name}: {paths.shown(fetch(name))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
