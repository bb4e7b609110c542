"""The authors' files from a loopback server: download, conversion, cleaning. Texts are made up."""

import http.server
import json
import re
import shutil
import socket
import stat
import struct
import threading
from types import SimpleNamespace

import datasets
import pandas as pd
import pooch.core
import pyarrow as pa
import pytest

from lib.common import files, paths
from lib.common.errors import UserError
from lib.questions import release

STUDY = release.FILES["study"]
TEXT = {
    "few_shot_positive_rationale": "Foxes hunt at night.",
    "few_shot_revision": " Foxes hunt at night, hens sleep then. \n\nQuestion: Why?\nAnswer: a",
    "few_shot_negative_rationale": "No idea.",
}


def make_rows(start, count):
    rows = []
    for i in range(start, start + count):
        letters = {
            f"counterfactual_prompt_answer_{k}_rationale": f"Reason {k} of row {i}."
            for k in range(1, 6)
        }
        rows.append(
            {
                "id": f"q{i}",
                "question": f"Who hunts in row {i}?",
                "answer": "fox",
                "choices": ["hen", "fox", "cow", "ant", "bee"],
                **letters,
                **TEXT,
            }
        )
    return rows


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Folder laid out as the authors' repository, pinned in a sources.json of its own."""
    root = tmp_path / "site"
    folder = release.TABLES["cqa-llama-train"]
    for shard, count in enumerate((3, 2)):  # as the datasets library saves them
        data = datasets.Dataset.from_list(make_rows(10 * shard, count))
        data.save_to_disk(root / f"{folder}shard_{shard}")
    arrow = root / f"{release.TABLES['strategyqa-llama-test']}shard_0/data-00000-of-00001.arrow"
    arrow.parent.mkdir(parents=True)
    table = pa.table(
        {
            "qid": ["a", "b"],
            "question": [" Is it?", "Can it?"],
            "answer": [True, False],
            **{c.format(k): ["\nYes.", "\nNo."] for k in (1, 2) for c in release.TEXTS.values()},
        }
    )
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    files.write_text(root / STUDY, "a,b\n" + "1,2\n" * 5000)
    pinned = [
        {
            "path": str(path.relative_to(root)),
            "bytes": path.stat().st_size,
            "sha256": files.sha256_file(path),
        }
        for path in sorted(root.rglob("*"))
        if path.suffix in (".arrow", ".csv")
    ]
    files.write_json(
        tmp_path / "pins" / "sources.json",
        {
            "repository": "someone/something",
            "commit": "0" * 40,
            "files": pinned,
            "rows": {"cqa-llama-train": 5, "strategyqa-llama-test": 2},
        },
    )
    monkeypatch.setattr(paths, "PUBLISHED", tmp_path / "pins")
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return root


@pytest.fixture
def server(site, monkeypatch):
    """Serve the site; ``faults`` are used up one a request, ``log`` lists what was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            box.log.append(self.path)
            fault = box.faults.pop(0) if box.faults else ""
            path = site / self.path.lstrip("/")
            if fault == "drop":  # a reset in place of an answer
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.connection.close()
                return
            if fault.isdigit() or not path.is_file():
                self.send_error(int(fault or 404))
                return
            data = path.read_bytes()
            if fault == "page":
                data = b"<html>please log in</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "truncate" else data)

        def log_message(self, *args):
            pass

    box = SimpleNamespace(faults=[], log=[])
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.handle_error = lambda *args: None
    thread = threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HONEY_SOURCE", f"http://127.0.0.1:{service.server_port}/")
    yield box
    service.shutdown()
    service.server_close()
    thread.join()


def leftovers():
    return sorted(path.name for path in paths.RAW.rglob("*") if path.is_file())


def test_pins_of_the_real_files():
    assert release.read_sources()["commit"] == "c31e830512e352e6fa3e3f2f0ce728913d783a2b"
    assert all(len(sha256) == 64 for sha256 in release.pins("").values())
    assert [len(release.pins(path)) for path in release.FILES.values()] == [1, 1]
    assert [len(release.pins(folder)) for folder in release.TABLES.values()] == [10] * 6
    assert set(release.read_sources()["rows"]) == set(release.TABLES)


def test_pins_are_those_of_the_raw_data(shared):
    theirs = json.loads((shared / "published" / "SOURCES.json").read_text(encoding="utf-8"))
    ours = release.read_sources()
    assert [ours[key] for key in ("repository", "commit")] == [
        theirs["repository"],
        theirs["commit"],
    ]
    assert all(pin in theirs["files"] for pin in ours["files"])


def test_default_source_is_the_pinned_commit(monkeypatch):
    monkeypatch.delenv("HONEY_SOURCE", raising=False)
    assert release.source() == (
        "https://raw.githubusercontent.com/DanielHendriks/llm-distillation/"
        "c31e830512e352e6fa3e3f2f0ce728913d783a2b"
    )


@pytest.mark.parametrize("place", ["/no/such/folder", "ftp://127.0.0.1/x"])
def test_source_that_is_no_source(monkeypatch, place):
    monkeypatch.setenv("HONEY_SOURCE", place)
    with pytest.raises(UserError, match="neither an http"):
        release.source()


def test_a_table_is_fetched_once(server, capsys):
    paths_of_shards = release.fetch("cqa-llama-train")
    assert "cqa-llama-train 2/2 files" in capsys.readouterr().out
    assert [path.name for path in paths_of_shards] == ["shard-0.arrow", "shard-1.arrow"]
    assert list(release.read("cqa-llama-train")["id"]) == ["q0", "q1", "q2", "q10", "q11"]
    assert len(server.log) == 2
    paths_of_shards[1].write_bytes(b"damaged")
    assert len(release.read("cqa-llama-train")) == 5 and len(server.log) == 3


def test_a_csv_file_keeps_its_bytes_and_all_may_read_it(server, site):
    (path,) = release.fetch("study")
    assert path == paths.RAW / "study.csv" and leftovers() == ["study.csv"]
    assert path.read_bytes() == (site / STUDY).read_bytes()
    usual = paths.RAW / "usual"
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("fault", ["drop", "503", "truncate", "page"])
def test_passing_faults_are_tried_again(server, fault):
    server.faults = [fault, fault]
    release.fetch("study")
    assert len(server.log) == 3 and leftovers() == ["study.csv"]


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("drop", "ConnectionError"),
        ("404", "status 404"),
        ("truncate", "[A-Z][A-Za-z]+Error"),
        ("page", "its SHA-256 is not the pinned one"),
    ],
)
def test_lasting_faults_are_one_sentence_and_leave_nothing(server, fault, reason):
    server.faults = [fault] * 9
    with pytest.raises(UserError, match=f"^{STUDY} cannot be had from http.* .{reason}.; check"):
        release.fetch("study")
    assert len(server.log) == 4 and leftovers() == []


def test_silence_is_a_time_out(site, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        monkeypatch.setattr(release, "TIMEOUT", 0.05)
        monkeypatch.setenv("HONEY_SOURCE", f"http://127.0.0.1:{quiet.getsockname()[1]}")
        with pytest.raises(UserError, match="ReadTimeout"):
            release.fetch("study")


def test_wrong_file_under_the_final_name_is_replaced(server, site):
    files.write_text(paths.RAW / "study.csv", "a,b\n")
    assert release.fetch("study")[0].read_bytes() == (site / STUDY).read_bytes()


def test_full_disk_is_one_sentence(site, monkeypatch):
    def copy(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("HONEY_SOURCE", str(site))
    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(UserError, match="Cannot write .*No space left on device; free space"):
        release.fetch("study")
    assert leftovers() == []


def test_folder_as_source(site, monkeypatch, tmp_path):
    monkeypatch.setenv("HONEY_SOURCE", str(site))
    assert len(release.read("cqa-llama-train")) == 5
    flat = tmp_path / "flat"
    files.write_bytes(flat / "study.csv", (site / STUDY).read_bytes())
    monkeypatch.setenv("HONEY_SOURCE", str(flat))
    assert release.fetch("study")[0].is_file()
    with pytest.raises(UserError, match="strategyqa-llama-test/.* from .*flat .it is not there"):
        release.fetch("strategyqa-llama-test")
    (paths.RAW / "study.csv").unlink()
    files.write_text(flat / "study.csv", "a,b\n")
    with pytest.raises(UserError, match="its SHA-256 is not the pinned one"):
        release.fetch("study")
    assert "study.csv" not in leftovers()


def test_parquet_at_hand_is_checked_by_rows(site, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "hand"
    folder.mkdir()
    table, finished = pd.DataFrame(make_rows(0, 5)), folder / "cqa-llama-train.parquet"
    monkeypatch.setenv("HONEY_SOURCE", str(folder))
    finished.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="should have the 5 rows .* but 0 can be read"):
        release.fetch("cqa-llama-train")
    table.head(4).to_parquet(finished)
    with pytest.raises(UserError, match="should have the 5 rows .* but 4 can be read"):
        release.fetch("cqa-llama-train")
    assert leftovers() == []
    table.to_parquet(finished)
    assert release.read("cqa-llama-train").to_dict("records")[4]["id"] == "q4"
    assert "checked by its number of rows only" in capsys.readouterr().out
    monkeypatch.delenv("HONEY_SOURCE")
    assert release.fetch("cqa-llama-train") == [paths.RAW / finished.name]


def test_unknown_names_are_sentences(site):
    for call in (
        lambda: release.fetch("cqa"),
        lambda: release.load("cqa", "train"),
        lambda: release.load("esnli", "dev"),
    ):
        with pytest.raises(UserError):
            call()
    with pytest.raises(SystemExit, match="There is no published 'nothing'"):
        release.main(["nothing"])


@pytest.mark.parametrize(
    "raw, text, reasons",
    [
        ("Foxes hunt.", "Foxes hunt.", []),
        ("\n Foxes hunt.", "Foxes hunt.", ["leading_blank"]),
        ("Foxes hunt. ", "Foxes hunt.", []),
        ("Foxes hunt.\r\nAnd more.", "Foxes hunt.", ["lines_cut"]),
        ('He says "foxes hunt."', 'He says "foxes hunt."', []),
        ("Foxes hunt at", "Foxes hunt at", ["no_final_punctuation"]),
        ("Foxes hunt.\n\nQuestion: Who?\nAnswer: x", "Foxes hunt.", ["run_on_cut"]),
        ("Foxes hunt.\n\nPremise: A hen.", "Foxes hunt.", ["run_on_cut"]),
        ("Foxes hunt.\n\nDo hens?\nThe answer is no.", "Foxes hunt.", ["run_on_cut"]),
        ("\nFoxes hunt. Question: Who hunts?", "Foxes hunt.", ["leading_blank", "run_on_cut"]),
        ("Foxes hunt. Q: Who hunts?", "Foxes hunt.", ["run_on_cut"]),
        ("Foxes hunt. Choices: (a) hen", "Foxes hunt.", ["run_on_cut"]),
        ("It answers the question: foxes hunt.", "It answers the question: foxes hunt.", []),
        ("Of the other choices: hens sleep.", "Of the other choices: hens sleep.", []),
        ("The FAQ: foxes hunt.", "The FAQ: foxes hunt.", []),
        ("", None, ["empty"]),
        (" \n\n", None, ["empty"]),
        (None, None, ["empty"]),
        (float("nan"), None, ["empty"]),
        ("Question: Who hunts by day?", None, ["run_on_cut", "only_run_on"]),
        ("## Question: Who hunts by day?", None, ["run_on_cut", "only_run_on"]),
        ("Question:", None, ["run_on_cut", "only_run_on"]),
        ("```python\nprint(1)", None, ["lines_cut", "markup"]),
        ("## Summary", None, ["markup"]),
        ("42.", None, ["markup"]),
        ("who hunts at night?", None, ["only_question"]),
        ("Who swims? Choices: (a) hen", None, ["run_on_cut", "only_question"]),
        ("Why not?", "Why not?", []),
    ],
)
def test_cleaning(raw, text, reasons):
    assert release.clean(raw, "Who hunts at night?") == (text, reasons)


def test_load_gives_questions_texts_and_counts(server):
    table, counts = release.load("commonsenseqa", "train")
    row = table.iloc[0]
    assert row["choices"] == ["hen", "fox", "cow", "ant", "bee"] and row["answer"] == 1
    assert row["revision"] == "Foxes hunt at night, hens sleep then."
    assert row["counterfactuals"] == [f"Reason {k} of row 0." for k in range(1, 6)]
    counts = counts.set_index("text")
    assert counts.loc["counterfactual", ["texts", "usable"]].tolist() == [25, 25]
    assert counts.loc["revision", ["leading_blank", "run_on_cut", "empty"]].tolist() == [5, 5, 0]
    table = release.load("strategyqa", "test")[0]
    assert table["id"].tolist() == ["a", "b"] and table["answer"].tolist() == [0, 1]
    assert table["question"][0] == "Is it?" and table["choices"][0] == ["yes", "no"]


def test_texts_are_cleaned_once(server, monkeypatch):
    first = release.load("commonsenseqa", "train")
    (kept,) = (paths.RAW / "cleaned").glob("cqa-llama-train-*.parquet")
    whole, clean_table = kept.read_bytes(), release._clean_table
    cleaned = []
    monkeypatch.setattr(
        release, "_clean_table", lambda *which: cleaned.append(which) or clean_table(*which)
    )
    for again, times in ((whole, 0), (whole[:-9], 1), (b"", 2), (whole.replace(b"row", b"cow"), 3)):
        kept.write_bytes(again)  # as it is; half-written; empty; damaged
        for a, b in zip(first, release.load("commonsenseqa", "train"), strict=True):
            pd.testing.assert_frame_equal(a, b)
        assert len(cleaned) == times and kept.read_bytes() == whole
    monkeypatch.setattr(release.question, "__file__", __file__)  # other code
    release.load("commonsenseqa", "train")
    assert len(cleaned) == 4 and len(list(kept.parent.glob("cqa-llama-train-*"))) == 2


def test_a_text_that_cannot_be_used_stays_none(server):
    release.load("strategyqa", "test")
    (kept,) = (paths.RAW / "cleaned").glob("strategyqa-llama-test-*.parquet")
    rows = release.pq.read_table(kept)
    lacking = rows.set_column(4, "explanation", pa.array([None, "No."]))
    release.pq.write_table(lacking, kept)
    table = release.load("strategyqa", "test")[0]
    assert table["explanation"].tolist() == [None, "No."]


def test_why_unusable():
    row = {
        "answer": 0,
        "choices": ["a", "b", "c"],
        "explanation": "x",
        "revision": "y",
        "counterfactuals": [None, "z", None],
    }
    for change, why in (
        ({}, ""),
        ({"explanation": None}, "explanation"),
        ({"revision": None}, "revision"),
        ({"answer": 1}, "counterfactual"),
        ({"choices": ["a", "a", "c"]}, "same choice"),
    ):
        assert release.why_unusable(pd.Series(row | change)) == why


ROWS = {"commonsenseqa": (9741, 1221), "strategyqa": (1603, 687), "esnli": (10983, 9824)}
# explanation, revision, counterfactual; train then test
USABLE = {
    "commonsenseqa": ([9741, 9736, 48040], [1221, 1219, 6012]),
    "strategyqa": ([1603, 1603, 3206], [687, 687, 1374]),
    "esnli": ([10983, 10983, 32949], [9824, 9824, 29472]),
}
RUN_ON = {
    "commonsenseqa": ([0, 2, 642], [0, 2, 90]),
    "strategyqa": ([183, 661, 356], [39, 257, 157]),
    "esnli": ([510, 4169, 443], [38, 3286, 432]),
}
UNUSABLE = {
    "train": {
        "empty": [0, 5, 7],
        "only_run_on": [0, 0, 641],
        "markup": [0, 0, 5],
        "only_question": [0, 0, 12],
        "no_final_punctuation": [991, 64, 7498],
    },
    "test": {
        "empty": [0, 2, 0],
        "only_run_on": [0, 0, 90],
        "markup": [0, 0, 2],
        "only_question": [0, 0, 1],
        "no_final_punctuation": [109, 6, 979],
    },
}


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """The real tables in a folder of their own, from the parquet files at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEY_SOURCE", str(shared / "published"))
        patch.setattr(paths, "RAW", tmp_path_factory.mktemp("raw"))
        for name in release.NAMES:
            release.fetch(name)
        yield {
            (task, split): release.load(task, split) for task in ROWS for split in ("train", "test")
        }


@pytest.mark.parametrize("task", ROWS)
@pytest.mark.parametrize("number, split", list(enumerate(("train", "test"))))
def test_real_tables(real, task, number, split):
    table, counts = real[task, split]
    assert len(table) == ROWS[task][number] and table["id"].is_unique
    assert counts["usable"].tolist() == USABLE[task][number]
    assert counts["run_on_cut"].tolist() == RUN_ON[task][number]
    if task == "commonsenseqa":
        assert counts[list(UNUSABLE[split])].to_dict("list") == UNUSABLE[split]
    texts = [
        text
        for row in table.to_dict("records")
        for text in (row["explanation"], row["revision"], *row["counterfactuals"])
        if text is not None
    ]
    assert len(texts) == counts["usable"].sum()
    assert not [
        text
        for text in texts
        if not text
        or text != text.strip()
        or "\n" in text
        or re.search(r"\b(Question|Choices):", text)
    ]
    assert all(
        len(row["counterfactuals"]) == len(row["choices"]) > row["answer"]
        for row in table.to_dict("records")
    )


def test_real_esnli_questions_have_the_form_of_the_prompts(real):
    form = re.compile(
        r"Premise: \S.*[.!?]\W* Hypothesis: \S.*[.!?]\W* "
        r"What is the relation between premise and hypothesis\?"
    )
    table = real["esnli", "train"][0]
    assert len(table) == 10983 and table["question"].map(form.fullmatch).all()
    assert table["choices"].map(tuple).unique().tolist() == [
        ("entailment", "neutral", "contradiction")
    ]
    assert table["answer"].value_counts(sort=False).sort_index().tolist() == [3635, 3683, 3665]


def test_real_teacher_table(real, capsys, monkeypatch):
    monkeypatch.setattr(release, "load", lambda *which: [t.copy() for t in real[which]])
    table = release.teacher_table("commonsenseqa", seed=1)
    dropped = table.attrs["dropped"]
    assert sum(n for why, n in dropped.items() if "revision" in why) == 5
    assert sum(n for why, n in dropped.items() if "counterfactual" in why) == 152
    assert sum(n for why, n in dropped.items() if "same choice" in why) == 1
    sizes = table["split"].value_counts()
    assert sizes["test"] == 1221 and sizes["train"] + sizes["dev"] == 9741 - 158
    assert sizes["dev"] + sum(n for why, n in dropped.items() if why.startswith("dev")) == 975
    assert "texts of 10,804 questions; dropped:" in capsys.readouterr().out
    test = table["split"] == "test"
    assert table.loc[~test, ["explanation", "revision"]].notna().all(axis=None)
    again = release.teacher_table.__wrapped__("commonsenseqa", seed=1)
    assert (again[["id", "split"]] == table[["id", "split"]]).all(axis=None)
    other = release.teacher_table("commonsenseqa", seed=2)
    assert set(other["id"][other["split"] == "dev"]) != set(table["id"][table["split"] == "dev"])


def test_real_files_at_hand_need_no_shards(real):
    assert release.fetch("esnli-llama-test") == [paths.RAW / "esnli-llama-test.parquet"]
    assert files.sha256_file(paths.RAW / "study.csv") == release.pins(STUDY)[STUDY]
