"""The survey page gives nothing away, text stays text, and the commands say what is wrong."""

import json
import re

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.common.stage import Stage
from lib.questions import splits
from lib.survey import answers, page
from lib.survey.design import draw_up
from lib.survey.texts import kinds

HOSTILE = "</script><script>alert(1)</script><!-- \" ' & \u202e\u2028 @@DATA@@ ]]>"


@pytest.fixture
def make_page(make_table):
    """Function that gives a page and its key, of the table that is given or of 12 questions."""

    def make(table=None, kind="ratings", people=3, **texts):
        table = make_table(12) if table is None else table
        return page.page_and_key(draw_up(table, kind, people, seed=3), **texts)

    return make


def page_data(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])


@pytest.mark.parametrize("kind", ["ratings", "errors"])
def test_page_and_key_agree_and_the_page_names_no_method(make_table, make_page, kind):
    table = make_table()
    html, key = make_page(table, kind, 30)
    data = page_data(html)
    assert data["survey"] == key["survey"] and len(data["plans"]) == len(key["plans"]) == 30
    texts = {(row.question, row.method): row.explanation for row in table.itertuples()}
    for code, q, answer, explanation in data["items"]:  # and nothing else
        item = key["items"][code]
        text = texts[item["question"], item["method"]] if item["shown"] else ""
        assert explanation == text and answer == "one" and item["length"] == len(text)
        assert data["questions"][q][0] == f"What is {item['question'][1:]}?"
    for plan, codes in zip(data["plans"], key["plans"], strict=True):
        assert [data["items"][i][0] for i in plan if i >= 0] == codes
    without_hashes = re.sub(r"sha256-[^']*", "", html)
    assert not re.search(r"\bMT\b|\bCF\b|revised|counterfactual", without_hashes, re.IGNORECASE)
    assert [name for name, *_ in data["asks"]] == list(kinds()[kind].passing)
    assert key["kind"] == kind and not {"passing", "right", "gold", "methods"} & set(data)


@pytest.mark.parametrize("kind", ["ratings", "errors"])
def test_whatever_was_written_stays_inside_the_data_element(make_table, make_page, kind):
    table = make_table(12)
    table.loc[table["question"] == "q5", ["explanation", "answer", "text"]] = HOSTILE
    html, _ = make_page(table, kind, contact=HOSTILE, consent=HOSTILE + "\n\nTwo")
    assert html.count("<script") == html.count("</script>") == 2
    raw = re.search(r'id="data">(.*?)</script>', html, re.S)[1]
    assert raw.isascii() and not set(raw) & set("<>&")
    data = page_data(html)
    assert HOSTILE in [item[3] for item in data["items"]]
    assert data["contact"] == HOSTILE and data["consent"] == [HOSTILE, "Two"]


def test_page_is_light_and_a_heavy_one_is_refused(make_table, make_page):
    for kind in kinds():
        html, _ = make_page(make_table(90, length=270), kind, 120)
        assert len(html.encode()) < 300_000
    with pytest.raises(UserError, match="lower --questions"):
        make_page(make_table(90, length=1500))


def test_page_loads_nothing_and_sends_only_where_it_was_told(make_page):
    html, _ = make_page()
    assert "connect-src 'none'" in html and "default-src 'none'" in html
    assert not re.search(r"""(src|href)\s*=\s*["']|@import|url\(|https?://""", html)
    html, _ = make_page(post="https://example.org:8443/a?b=1")
    assert "connect-src https://example.org:8443;" in html
    for post in ("http://example.org/a", "example.org", "https://me:secret@example.org/",
                 "https://a.org'; script-src *"):  # fmt: skip
        with pytest.raises(UserError, match="--post needs a URL"):
            page.origin(post)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the profile cpu with explanations by all arms; returns the table's path."""
    monkeypatch.setattr(paths, "BUILT", tmp_path)
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "RAW", tmp_path / "data" / "raw")
    settings = profile.load("cpu")
    rows = [
        {
            "arm": arm,
            "size": settings.students[-1].size,
            "seed": 0,
            "id": q.id,
            "prediction": f"So the answer is {q.choices[i % 5].upper()}.",
            "explanation": None if arm == "label-only" else f"{arm[-4:]} text {i}",
        }
        for arm in ("label-only", *PAPER_ARMS, "MT:Revised")
        for i, q in enumerate(splits.load(settings.task, settings.seed)["test"])
    ]
    path = paths.RUNS / "cpu" / "04_evaluation" / "explanations.csv"
    return files.write_csv(path, pd.DataFrame(rows))


def test_build_writes_page_and_key_and_keeps_every_key(run, capsys):
    command = ["build", "cpu", "--participants", "10"]
    page.main([*command, "--questions", "30"])
    folder = paths.RUNS / "cpu" / "survey"
    html, key = (
        (folder / "index.html").read_text(encoding="utf-8"),
        json.loads((folder / "key.json").read_text(encoding="utf-8")),
    )
    assert key["profile"] == "cpu" and key["methods"] == list(PAPER_ARMS)
    assert "120 items by 4 methods, 3% with a right answer, 10 plans of 12 items" in (
        capsys.readouterr().out
    )
    page.main([*command, "--kind", "errors"])
    assert "10 plans of 16 items" in capsys.readouterr().out
    assert (folder / "index.html").read_text(encoding="utf-8") == html
    page.main([*command, "--questions", "30", "--seed", "1"])
    keys = answers.built_keys()
    assert len(keys) == 3 and keys[key["survey"]] == key


def test_only_questions_that_every_method_explains_are_used(run):
    table = pd.read_csv(run)
    table.loc[(table["arm"] == PAPER_ARMS[0]) & (table.index % 2 == 0), "explanation"] = "  "
    files.write_csv(run, table)
    stage = Stage("04_evaluation", "cpu")
    table = page.gather(stage)
    assert set(table["method"]) == set(PAPER_ARMS) and table["question"].nunique() == 80
    assert len(table) == 320 and (table["explanation"] != "").all()
    assert set(page.gather(stage, methods=["MT:Revised"])["method"]) == {"MT:Revised"}


def test_students_of_other_profiles_are_judged_beside(run):
    table = pd.read_csv(run).query("arm == 'MT:Revised'").assign(arm="answer-first:Revised, own")
    files.write_csv(paths.RUNS / "selftaught" / "04_evaluation" / "explanations.csv", table)
    methods = ["MT:Unrevised", "answer-first:Revised, own"]
    beside = [Stage("04_evaluation", "selftaught")]
    found = page.gather(Stage("04_evaluation", "cpu"), methods=methods, beside=beside)
    assert set(found["method"]) == set(methods) and len(found) == 320


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("So the answer is {}.", 0),
        ("A reason. So the answer is (B)", 1),
        ("{}", None),
        (None, None),
    ],
)
def test_the_students_answer_is_shown_as_the_choice_is_written(run, said, shown):
    """By the one rule of all results (lib.evaluation.extraction); no answer, no error to find."""
    table = pd.read_csv(run)
    settings = profile.load("cpu")
    first = splits.load(settings.task, settings.seed)["test"][0]
    said = said and said.format(first.choices[0].upper())
    table.loc[table["id"] == first.id, "prediction"] = said
    files.write_csv(run, table)
    stage = Stage("04_evaluation", "cpu")
    row = page.gather(stage).set_index("question").loc[first.id].iloc[0]
    assert row["answer"] == (page.UNCLEAR if shown is None else first.choices[shown])
    assert row["right"] == (shown == first.answer)
    judged = set(page.gather(stage, kind="errors")["question"])
    assert (first.id in judged) == (shown is not None) and len(judged) >= 159


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "absent"], "no such folder or file"),
        (["build", "nothing"], "no profile"),
        (["build", "smoke"], "04_evaluation"),
        (["build", "smoke", "--check", "--post", "http://example.org"], "--post needs a URL"),
        (["build", "smoke", "--check", "--methods", "MT:Unrevisd"], "mean 'MT:Unrevised'?"),
        (["build", "smoke", "--check", "--methods", "label-only"], "explanation by label-only"),
        (["build", "smoke", "--check", "--size", "9B"], "there are tiny-t5, tiny-llama."),
        (["build", "smoke", "--check", "--participants", "0"], "at least one of --participants"),
        (["build", "smoke", "--check", "--seed", "-1"], "a --seed of 0 or more"),
        (["build", "smoke", "--check", "--consent", "absent.txt"], "no consent text absent.txt"),
    ],
)
def test_mistakes_give_one_sentence_before_anything_is_written(
    monkeypatch, tmp_path, arguments, message
):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        page.main(arguments)
    assert message in stopped.value.code and "\n" not in stopped.value.code
    assert not list(tmp_path.iterdir())


def test_options_can_be_checked_before_there_is_a_run(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    page.main(["build", "smoke", "--check"])
    assert not list(tmp_path.iterdir())
