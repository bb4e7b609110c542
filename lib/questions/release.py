"""The authors' released teacher texts, ratings and training runs.

``python -m lib.questions.release [NAMES]`` fetches them (study and experiment if none is named).
All come from the authors' repository at a pinned commit: data/published/sources.json names each
file's path and SHA-256. They are kept in data/raw, never committed. The environment variable
HONEY_SOURCE names another place with the same paths: an http(s) address, or a folder, which may
also hold a finished ``<name>.parquet``. Texts are cleaned once and kept in data/raw/cleaned.
"""

import functools
import io
import json
import logging
import math
import os
import random
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lib.common import files, paths
from lib.common.errors import UserError, command_line
from lib.common.progress import Progress
from lib.questions import question
from lib.questions.question import FINAL, describe, parse

FILES = {name: f"misc/statistical_analysis/{name}.csv" for name in ("study", "experiment")}
TABLES = {  # each from the shards in a folder
    f"{data}-llama-{split}": f"llm_outputs/consolidated/{data}-llama-{split}/"
    for data in ("cqa", "strategyqa", "esnli")
    for split in ("train", "test")
}
NAMES = (*FILES, *TABLES)
TRIES = 4  # of each download
TIMEOUT = 30.0  # seconds without a single byte
TEXTS = {  # kind of text -> its column, by the number of the choice
    "explanation": "few_shot_positive_rationale",
    "revision": "few_shot_revision",
    "counterfactual": "counterfactual_prompt_answer_{}_rationale",
}

RUN_ON = re.compile(r"(?:^|\s)(?:#+\s*)?(?:Question|Q|Answer Choices|Choices)\s*:")
RUN_ON_BELOW = re.compile(
    r"^\W*(?:Question|Q|Premise|Choices|Answer|Critique)\s*:|^The answer is ", re.MULTILINE
)
MARKUP = re.compile(r"```|#|[\W\d_]*$")
TAG = re.compile(r"<[^<>]+>|\[/?[A-Z_]+\]")
REASONS = (
    *("leading_blank", "run_on_cut", "lines_cut", "no_final_punctuation"),  # the text is kept
    *("empty", "only_run_on", "markup", "only_question"),  # it is unusable
)


def read_sources() -> dict:
    """data/published/sources.json: repository, commit, files (pins) and rows of each table."""
    return json.loads((paths.PUBLISHED / "sources.json").read_text(encoding="utf-8"))


def pins(start: str) -> dict[str, str]:
    """SHA-256 of the pinned files whose path in the repository begins so, by that path."""
    pinned = read_sources()["files"]
    return {file["path"]: file["sha256"] for file in pinned if file["path"].startswith(start)}


def source() -> str | Path:
    """Where files come from: HONEY_SOURCE (address or folder), else the repository's raw files."""
    named = os.environ.get("HONEY_SOURCE", "").strip()
    if named.startswith(("https://", "http://")):
        return named.rstrip("/")
    if not named:
        pinned = read_sources()
        return f"https://raw.githubusercontent.com/{pinned['repository']}/{pinned['commit']}"
    folder = paths.ROOT / Path(named).expanduser()  # notebooks run in a folder of their own
    if not folder.is_dir():
        raise UserError(
            f"HONEY_SOURCE is '{named}', which is neither an http(s) address nor a folder that "
            "exists; correct it, or unset it to download."
        )
    return folder


def fetch(name: str) -> list[Path]:
    """Bring one published table or file to data/raw: its CSV file, its shards or its parquet file.

    What is there and right is not fetched again. Of a ``<name>.parquet`` in the folder of
    HONEY_SOURCE only the number of rows can be checked.
    """
    if name in FILES:
        return download(name, {f"{name}.csv": FILES[name]})
    if name not in TABLES:
        raise UserError(f"There is no published '{name}'; there are {', '.join(NAMES)}.")
    kept = paths.RAW / f"{name}.parquet"
    if kept.is_file():
        return [kept]
    place = source()
    if isinstance(place, Path) and (place / kept.name).is_file():
        return [_take(name, place / kept.name, kept)]
    shards = enumerate(pins(TABLES[name]))
    return download(name, {f"{name}/shard-{i}.arrow": path for i, path in shards})


def _take(name: str, finished: Path, kept: Path) -> Path:
    """Copy a finished table that has the right number of rows."""
    expected = read_sources()["rows"][name]
    try:
        rows = pq.read_metadata(finished).num_rows
    except pa.ArrowInvalid:
        rows = 0
    if rows != expected:
        raise UserError(
            f"{finished} should have the {expected:,} rows of the published table, but {rows:,} "
            "can be read; get that file again."
        )
    print(f"{name}: taken from {finished}; checked by its number of rows only.", flush=True)
    return files.write_bytes(kept, finished.read_bytes())


def download(label: str, wanted: dict[str, str]) -> list[Path]:
    """Bring pinned files (target in data/raw -> path in the repository) and return their paths.

    Each arrives whole and with the right SHA-256, or it is absent; then UserError in one sentence.
    """
    import pooch  # brings tqdm, which speaks up in notebooks

    place, pinned = source(), pins("")
    logging.getLogger("pooch").setLevel(logging.WARNING)
    shelf = pooch.create(
        paths.RAW,
        base_url="",
        urls={target: f"{place}/{path}" for target, path in wanted.items()},
        registry={target: pinned[path] for target, path in wanted.items()},
        retry_if_failed=0 if isinstance(place, Path) else TRIES - 1,
    )

    def receive(url: str, temporary: str, _) -> None:
        os.remove(temporary)  # what is written anew gets the usual mode
        if isinstance(place, Path):  # a CSV file may also lie in the folder itself
            shutil.copyfile(url if Path(url).is_file() else place / Path(url).name, temporary)
        else:
            pooch.HTTPDownloader(timeout=TIMEOUT)(url, temporary, shelf)

    progress = Progress(label, len(wanted), "files", every=10.0)
    for target, path in wanted.items():
        try:
            shelf.fetch(target, downloader=receive)
        except FileNotFoundError:
            raise _absent(path, place, "it is not there") from None
        except ValueError:  # so pooch says that the hash is wrong
            raise _absent(path, place, "its SHA-256 is not the pinned one") from None
        except OSError as error:
            if not hasattr(error, "response"):  # the disk's and not the network's
                with files.writing(paths.RAW / target):
                    raise
            answer = error.response
            reason = type(error).__name__ if answer is None else f"status {answer.status_code}"
            raise _absent(path, place, reason) from None
        progress.step()
    return [paths.RAW / target for target in wanted]


def _absent(path: str, place: str | Path, reason: str) -> UserError:
    return UserError(
        f"{path} cannot be had from {place} ({reason}); check the network and HONEY_SOURCE, which "
        "may name an address or a folder that has the file, and run the same command again."
    )


def read(name: str) -> pd.DataFrame:
    """The rows of a published table; what is not in data/raw is fetched."""
    parts = fetch(name)
    if parts[0].suffix == ".parquet":
        return pd.read_parquet(parts[0])
    shards = [pa.ipc.open_stream(part.read_bytes()).read_all() for part in parts]
    return pa.concat_tables(shards).to_pandas()


def clean(text: str | None, question: str = "") -> tuple[str | None, list[str]]:
    """The usable text in a raw generation, or None, and which of REASONS apply to it.

    Kept is the first line of the stripped text without what runs on into an invented next
    "Question:". None: nothing is left, or only a heading, a code fence, tags or the question. A
    text cut by the token limit is kept.
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
    if MARKUP.match(TAG.sub("", kept)):
        return None, [*reasons, "markup"]
    if kept.lower() == question.strip().lower() or (kept != lines[0] and kept.endswith("?")):
        return None, [*reasons, "only_question"]
    return kept, reasons if FINAL.search(kept) else [*reasons, "no_final_punctuation"]


def load(dataset: str, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Published texts of a dataset's "train" or "test" file, cleaned, and counts of the cleaning.

    Rows: id, question, choices (list), answer (index), explanation, revision, counterfactuals
    (list, by choice); an unusable text is None. Counts: a row for each kind of text, with texts,
    usable, and REASONS (several may apply to a text). What is not in data/raw is fetched.
    """
    data = describe(dataset).get("published")
    name = f"{data}-llama-{split}"
    if name not in TABLES:
        raise UserError(
            f"The authors published no texts for {dataset} {split}; there are train and test of "
            "commonsenseqa, strategyqa and esnli."
        )
    code = [Path(__file__), Path(question.__file__)]  # what cleans; a change of it cleans anew
    key = files.key_of([files.sha256_file(path) for path in (*code, *fetch(name))])
    kept = paths.RAW / "cleaned" / f"{name}-{key}.parquet"
    try:
        table = pq.read_table(kept, page_checksum_verification=True)
    except (OSError, pa.ArrowException):  # not there, or damaged
        table = _clean_table(data, split)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, write_page_checksum=True)
        files.write_bytes(kept, buffer.getvalue())
    texts = pd.DataFrame(table.to_pylist(), dtype=object).astype({"answer": int})  # None stays
    return texts, pd.DataFrame(json.loads(table.schema.metadata[b"counts"]))


def _clean_table(data: str, split: str) -> pa.Table:
    """The rows of ``load``; their schema's metadata holds the counts."""
    counts = {kind: Counter() for kind in TEXTS}

    def take(raw: dict, kind: str, question: str, number: int = 0) -> str | None:
        text, reasons = clean(raw[TEXTS[kind].format(number)], question)
        counts[kind].update(["texts", *reasons], usable=text is not None)
        return text

    rows = []
    for i, raw in enumerate(read(f"{data}-llama-{split}").to_dict("records")):
        asked = parse(data, raw, f"{split}-{i:05d}", f"{data}-llama-{split} row {i + 1}")
        row = vars(asked) | {"choices": list(asked.choices)}
        row |= {kind: take(raw, kind, asked.question) for kind in ("explanation", "revision")}
        row["counterfactuals"] = [
            take(raw, "counterfactual", asked.question, number)
            for number in range(1, len(asked.choices) + 1)
        ]
        rows.append(row)
    counted = [
        {"text": kind} | {name: of_kind[name] for name in ("texts", "usable", *REASONS)}
        for kind, of_kind in counts.items()
    ]
    return pa.Table.from_pylist(rows).replace_schema_metadata({"counts": json.dumps(counted)})


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


@functools.cache
def teacher_table(dataset: str, seed: int = 0) -> pd.DataFrame:
    """Questions and texts as in ``load``, with their split: train, dev or test.

    dev is 10 % of the train file, drawn with ``seed`` whatever the order of rows. Train and dev
    lack the questions with an unusable text; a printed line and ``attrs["dropped"]`` count them by
    reason.
    """
    train, test = load(dataset, "train")[0], load(dataset, "test")[0]
    ids = sorted(train["id"])
    dev = set(random.Random(f"published dev {seed}").sample(ids, math.ceil(len(ids) / 10)))
    train["split"] = ["dev" if i in dev else "train" for i in train["id"]]
    why = train.apply(why_unusable, axis=1)
    table = pd.concat([train[why == ""], test.assign(split="test")], ignore_index=True)
    dropped = (train["split"] + " " + why)[why != ""].value_counts().to_dict()
    counts = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "none"
    print(f"{dataset}: texts of {len(table):,} questions; dropped: {counts}", flush=True)
    table.attrs["dropped"] = dropped
    return table


@command_line
def main(names: list[str]) -> None:
    """Fetch the named tables (study and experiment if none is named)."""
    for name in names or list(FILES):
        print(f"{name}: {', '.join(map(paths.shown, fetch(name)))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
