"""Answer files: each rule on a file that breaks it, and a whole study through the analysis."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.common import files, paths
from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study.ratings import CONSTRUCTS, CONTROLS, load_ratings
from lib.survey import answers, page
from lib.survey.design import draw_up
from lib.survey.texts import facts, kinds


@pytest.fixture(scope="module")
def keys(make_table):
    """The key of a survey with 60 plans, by kind."""
    return {kind: page.page_and_key(draw_up(make_table(), kind, people=60))[1] for kind in kinds()}


@pytest.fixture
def make_key(tmp_path, monkeypatch, keys):
    """Function that puts a survey's key where a build leaves it."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")

    def make(kind):
        key = keys[kind]
        files.write_json(tmp_path / "raw" / "surveys" / f"key-{key['survey']}.json", key)
        return key

    return make


@pytest.fixture
def key(make_key):
    return make_key("ratings")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "answers").mkdir()
    return tmp_path / "answers"


def make_file(key, plan=1, **changes):
    """An answer file's content that breaks no rule."""
    rng = np.random.default_rng(plan)
    level = rng.normal(3.5, 0.7)
    items = key["plans"][plan - 1]
    return {
        "format": 1,
        "survey": key["survey"],
        "participant": f"{plan:016x}",
        "plan": plan,
        "consent": True,
        "check": kinds()[key["kind"]].passing,
        "facts": {"age": "25-34", "gender": ("male", "female")[plan % 2]},
        "answers": [
            {
                "item": item,
                "seconds": 20.5,
                "scores": {
                    name: int(np.clip(np.rint(rng.normal(level, 1)), 1, len(words)))
                    for name, _, words in kinds()[key["kind"]].asks
                },
            }
            for item in items
        ],
    } | changes


def put(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def ingest(folder):
    tables, report = answers.ingest(folder)
    return tables["ratings"], report.set_index("file")


def test_a_good_file_becomes_checked_ratings(key, folder):
    put(folder, "a", make_file(key, 1))
    put(folder, "b", make_file(key, 2))
    ratings, report = ingest(folder)
    assert report["kept"].all() and list(report["used"]) == [12, 12]
    assert set(report["kind"]) == {"ratings"}
    assert len(ratings) == 24 and set(ratings["method"]) == set(PAPER_ARMS)
    assert list(ratings["method"].cat.categories) == list(PAPER_ARMS)
    row, item = ratings.iloc[0], key["items"][key["plans"][0][0]]
    assert (row["method"], row["question"]) == (item["method"], item["question"])
    assert row["slot"] == "S01"
    assert row["length"] == item["length"]
    first = make_file(key, 1)["answers"][0]["scores"]
    assert [row[name] for name in CONSTRUCTS] == [first[name] for name in CONSTRUCTS]
    assert row["Quality"] == sum(first.values()) / 5
    # A fact that all share tells nothing apart; it would break the regression with controls.
    assert "gender" in ratings and "age" not in ratings and "education" not in ratings
    pd.testing.assert_frame_equal(answers.load(folder)[0]["ratings"], ratings)


def test_untold_facts_are_named_so(key, folder):
    put(folder, "a", make_file(key, 1, facts={}))
    put(folder, "b", make_file(key, 2))
    assert set(ingest(folder)[0]["gender"]) == {"not stated", "male"}


def wrong(key, **changes):
    """A file with its first rating changed."""
    found = make_file(key, 3)
    found["answers"][0] |= changes
    return found


SCORES = dict.fromkeys(CONSTRUCTS, 4)
BAD = {
    "unreadable": [
        lambda k: "not JSON",
        lambda k: "[" * 100_000,
        lambda k: json.dumps(make_file(k, 3))[:-40],
        lambda k: "x" * 1_000_001,
    ],
    "impossible value": [
        lambda k: make_file(k, 3) | {"plan": 61},
        lambda k: make_file(k, 3) | {"plan": 4},
        lambda k: make_file(k, 3, consent=False),
        lambda k: make_file(k, 3, name="Ann"),
        lambda k: make_file(k, 3, participant="Ann"),
        lambda k: make_file(k, 3, facts={"age": "31"}),
        lambda k: make_file(k, 3, answers=make_file(k, 3)["answers"][:11]),
        lambda k: wrong(k, scores=SCORES | {"Plausibility": 0}),
        lambda k: wrong(k, scores=SCORES | {"Plausibility": "4"}),
        lambda k: wrong(k, scores=SCORES | {"Plausibility": True}),
        lambda k: wrong(k, scores={}),
        lambda k: wrong(k, scores={"judged": 1, "sure": 2}),
        lambda k: wrong(k, scores=SCORES | {"more": 1}),
        lambda k: make_file(k, 3, check={}),
        lambda k: wrong(k, item="zzzzz"),
        lambda k: wrong(k, seconds=-1),
        lambda k: wrong(k, seconds=float("nan")),
    ],
    "no key": [lambda k: make_file(k, 3, survey="00000000")],
    "attention check failed": [
        lambda k: make_file(k, 3, check=dict.fromkeys(CONSTRUCTS, 4)),
        lambda k: make_file(k, 3, check=dict.fromkeys(CONSTRUCTS, 2) | {"Satisfaction": 3}),
    ],
    "straight-lining": [
        lambda k: make_file(
            k,
            3,
            answers=[{"item": item, "scores": SCORES, "seconds": 20} for item in k["plans"][2]],
        )
    ],
    "too fast": [
        lambda k: make_file(
            k,
            3,
            answers=[
                answer | {"seconds": 4.9 if i < 7 else 60}
                for i, answer in enumerate(make_file(k, 3)["answers"])
            ],
        )
    ],
}


@pytest.mark.parametrize(("reason", "make"), [(r, m) for r, ms in BAD.items() for m in ms])
def test_each_rule_leaves_out_what_breaks_it_and_only_that(key, folder, reason, make):
    put(folder, "good", make_file(key, 1))
    put(folder, "bad", make(key))
    ratings, report = ingest(folder)
    assert report.loc["bad.json", "reason"].startswith(reason)
    assert not report.loc["bad.json", "kept"] and report.loc["good.json", "kept"]
    assert set(ratings["participant"]) == {f"{1:016x}"} and len(ratings) == 12


def test_a_reason_always_says_where(key, folder):
    put(folder, "good", make_file(key, 1))
    put(folder, "list", [])
    put(folder, "score", wrong(key, scores=SCORES | {"Plausibility": 6}))
    report = ingest(folder)[1]
    reasons = report["reason"]
    assert report["kept"].tolist() == [True, False, False]
    assert reasons["list.json"] == "impossible value: the whole file"
    assert reasons["score.json"] == "impossible value: answers.0.scores.Plausibility"


def test_reasons_do_not_repeat_what_a_participant_wrote(key, folder):
    put(folder, "good", make_file(key, 1))
    put(folder, "bad", make_file(key, 3, facts={"age": "my secret"}))
    assert "secret" not in ingest(folder)[1].to_csv()


def test_a_fast_page_costs_its_rating_only(key, folder):
    content = make_file(key, 1)
    content["answers"][4]["seconds"] = 1.0
    put(folder, "a", content)
    ratings, report = ingest(folder)
    assert report.loc["a.json", ["used", "fast"]].tolist() == [11, 1]
    assert "S05" not in set(ratings["slot"]) and len(ratings) == 11


def test_duplicates_are_settled_by_their_content(key, folder):
    put(folder, "a", make_file(key, 1))
    put(folder, "a (1)", make_file(key, 1))
    put(folder, "b", make_file(key, 2))
    changed = make_file(key, 2)
    scores = changed["answers"][0]["scores"]
    scores["Plausibility"] = 3 if scores["Plausibility"] != 3 else 4
    put(folder, "b2", changed)
    put(folder, "c", make_file(key, 4, participant="a" * 16))
    put(folder, "d", make_file(key, 4))
    ratings, report = ingest(folder)
    assert report["kept"].to_dict() == {
        "a (1).json": True,
        "a.json": False,
        "b.json": False,
        "b2.json": False,
        "c.json": True,
        "d.json": True,
    }
    assert report.loc["a.json", "reason"] == "duplicate: same as a (1).json"
    assert "differs" in report.loc["b2.json", "reason"]
    assert len(ratings) == 36


def test_a_bad_copy_does_not_take_the_good_one_with_it(key, folder):
    put(folder, "a", make_file(key, 1))
    put(folder, "a-broken", make_file(key, 1) | {"plan": 2})
    assert ingest(folder)[1]["kept"].to_dict() == {"a-broken.json": False, "a.json": True}


def test_a_key_beside_the_answers_is_found(key, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RAW", tmp_path / "elsewhere")
    put(folder, "a", make_file(key, 1))
    with pytest.raises(UserError, match="no key"):
        answers.ingest(folder)
    put(folder, "key", key)
    assert len(answers.ingest(folder)[1]) == 1


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_nothing_usable_is_one_sentence(key, folder, content):
    if content:
        put(folder, "a", content)
    with pytest.raises(UserError, match=r"no answer file|can be used: unreadable \(1\)"):
        answers.ingest(folder)


def test_all_that_lies_in_the_folder_is_read_or_said(key, folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RAW", tmp_path / "elsewhere")
    put(folder, "a", make_file(key, 1))
    put(folder, "keyboard", make_file(key, 2))
    put(folder, "b", make_file(key, 3))
    (folder / "b.json").rename(folder / "b (1).JSON")
    put(folder, "c", "\N{ZERO WIDTH NO-BREAK SPACE}" + json.dumps(make_file(key, 4)))
    put(folder, "the key", key)
    put(folder, ".d", make_file(key, 5))
    (folder / "Ann").mkdir()
    (folder / "e.json.txt").touch()
    report = ingest(folder)[1]
    read = [".d.json", "a.json", "b (1).JSON", "c.json", "keyboard.json"]
    assert sorted(report.index[report["kept"]]) == read
    assert report.loc["Ann", "reason"] == "not read: a folder"
    assert report.loc["e.json.txt", "reason"] == "not read: not a .json file"
    answers.save(folder)
    assert "  Ann: not read: a folder\n" in capsys.readouterr().out and len(report) == 7


def test_save_writes_what_the_analysis_reads_back(key, folder, capsys):
    put(folder, "a", make_file(key, 1))
    put(folder, "b", make_file(key, 2))
    put(folder, "c", "nonsense")
    answers.save(folder)
    out = capsys.readouterr().out
    assert "Files: 3; participants kept: 2; files left out: 1; pages used: 24; " in out
    assert "c.json: unreadable" in out
    pd.testing.assert_frame_equal(
        load_ratings(paths.RAW / "own_study" / "ratings.csv"),
        answers.ingest(folder)[0]["ratings"],
    )
    assert not (paths.RAW / "own_study" / "judgements.csv").exists()
    assert len(pd.read_csv(paths.RAW / "own_study" / "report.csv")) == 3


def test_a_table_of_ratings_is_only_checked(key, folder, capsys):
    put(folder, "a", make_file(key, 1))
    answers.save(folder)
    table = paths.RAW / "own_study" / "ratings.csv"
    before = table.read_bytes()
    answers.save(table)
    assert "ratings.csv: 12 ratings." in capsys.readouterr().out and table.read_bytes() == before
    with pytest.raises(UserError, match="lacks the column"):
        answers.save(paths.RAW / "own_study" / "report.csv")


def test_a_broken_key_is_not_taken_for_a_key(key, folder):
    put(folder, "a", make_file(key, 1))
    put(folder, "key-mine", {"survey": key["survey"]})
    put(folder, "key-list", [])
    assert len(ingest(folder)[0]) == 12


def test_answers_to_both_kinds_are_told_apart_by_their_keys(make_key, folder):
    ratings, errors = make_key("ratings"), make_key("errors")
    put(folder, "a", make_file(ratings, 1))
    put(folder, "b", make_file(errors, 2))
    put(folder, "c", make_file(errors, 3))
    tables, report = answers.ingest(folder)
    assert list(report["kind"]) == ["ratings", "errors", "errors"]
    assert list(report["used"]) == [12, 16, 16] and len(tables["ratings"]) == 12
    judged = tables["errors"]
    first, row = make_file(errors, 2)["answers"][0], judged.iloc[0]
    item = errors["items"][first["item"]]
    assert row[list(item)].to_dict() == item and row["slot"] == "S01"
    assert row[["judged", "sure"]].to_dict() == first["scores"]
    assert row["correct"] == ((first["scores"]["judged"] == 1) == item["right"])
    assert judged.groupby(["participant", "method", "shown"]).size().eq(2).all()
    assert set(judged["gender"]) == {"male", "female"} and "age" not in judged
    answers.save(folder)
    saved = {path.stem: pd.read_csv(path) for path in (paths.RAW / "own_study").glob("*.csv")}
    assert {name: len(table) for name, table in saved.items()} == {
        "ratings": 12,
        "judgements": 32,
        "error_finding": 20,
        "report": 3,
    }


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (
            "impossible value: scores",
            lambda file: file["answers"][0].update(scores={"judged": 3, "sure": 3}),
        ),
        ("impossible value: scores", lambda file: file["answers"][0].update(scores=SCORES)),
        ("impossible value: check", lambda file: file.update(check={"judged": 2, "sure": 9})),
        ("attention check failed", lambda file: file.update(check={"judged": 1, "sure": 2})),
        (
            "straight-lining: 100% of the pages have the same two answers",
            lambda file: [
                answer.update(scores={"judged": 1, "sure": 5}) for answer in file["answers"]
            ],
        ),
        (
            "too fast: 9 of 16 pages",
            lambda file: [answer.update(seconds=1) for answer in file["answers"][:9]],
        ),
    ],
)
def test_the_rules_hold_for_judgements_too(make_key, folder, reason, changes):
    key = make_key("errors")
    put(folder, "good", make_file(key, 1))
    bad = make_file(key, 2)
    changes(bad)
    put(folder, "bad", bad)
    tables, report = answers.ingest(folder)
    assert report.set_index("file").loc["bad.json", "reason"].startswith(reason)
    assert len(tables["errors"]) == 16 and list(tables) == ["errors"]


def test_always_yes_but_more_or_less_sure_is_no_straight_line(make_key, folder):
    file = make_file(make_key("errors"), 1)
    for place, answer in enumerate(file["answers"]):
        answer["scores"] = {"judged": 1, "sure": 3 + place % 2}
    put(folder, "a", file)
    assert answers.ingest(folder)[1]["kept"].all()


def test_answers_inside_the_repository_are_pointed_out(key, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for place, told in (("answers", True), ("data/raw/answers", False)):
        (tmp_path / place).mkdir(parents=True)
        put(tmp_path / place, "a", make_file(key, 1))
        answers.save(tmp_path / place)
        assert ("belong under data/raw" in capsys.readouterr().out) == told


def test_texts_ask_for_what_the_analysis_knows():
    ratings, errors = kinds().values()
    assert [name for name, *_ in ratings.asks] == list(ratings.passing) == list(CONSTRUCTS)
    assert {len(scale) for *_, scale in ratings.asks} == {5}
    assert [name for name, *_ in errors.asks] == list(errors.passing) == ["judged", "sure"]
    assert set(facts()) <= set(CONTROLS)
    assert len(answers.rules_table()) == 9


def test_answers_count_from_the_repository_as_notebooks_run_in_their_folder(monkeypatch, tmp_path):
    root, home = tmp_path / "root", tmp_path / "home"
    for folder in (root / "notebooks", root / "data/raw/answers", home / "data/raw/mine"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "BUILT", home)
    monkeypatch.chdir(root / "notebooks")
    assert answers.locate("data/raw/answers") == root / "data/raw/answers"
    assert answers.locate("data/raw/mine") == home / "data/raw/mine"
    assert answers.locate("../data/raw/answers").samefile(root / "data/raw/answers")
    with pytest.raises(UserError, match="^data/raw/x: no such folder or file; name the folder"):
        answers.load("data/raw/x")


def test_without_answers_there_are_no_tables():
    tables, report = answers.load("")
    assert tables == {} and report.empty
