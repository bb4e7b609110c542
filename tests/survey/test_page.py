"""The survey: a balanced design, a page that gives nothing away, and text that stays text."""

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.questions import splits
from lib.survey import answers, design, page
from lib.survey.texts import TASKS

HOSTILE = "</script><script>alert(1)</script><!-- \" ' & \u202e\u2028 @@DATA@@ ]]>"


def make_table(questions=20, methods=PAPER_ARMS, length=200, every=2):
    """Explanations as survey.gather gives them; of each method one answer in so many is right."""
    return pd.DataFrame(
        [
            {
                "method": m,
                "question": f"q{q}",
                "text": f"What is {q}?",
                "choices": ("one", "two"),
                "answer": "one",
                "right": (q + list(methods).index(m)) % every == 0,
                "explanation": f"Number {q}: " + "because " * (length // 8),
            }
            for q in range(questions)
            for m in methods
        ]
    )


def page_data(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])


def count_cells(plans):
    return Counter(pair for plan in plans for pair in plan)


@pytest.mark.parametrize(
    ("people", "methods", "questions", "items"),
    [
        (117, 4, 90, 12),
        (40, 4, 12, 12),
        (31, 3, 37, 12),
        (7, 2, 8, 8),
        (120, 4, 375, 12),
        (1, 6, 13, 12),
    ],
)
def test_design_is_balanced_and_nobody_meets_a_question_twice(people, methods, questions, items):
    plans = design.assign(people, methods, questions, seed=5, items=items)
    assert len(plans) == people
    for plan in plans:
        assert len({question for question, _ in plan}) == items
        assert set(Counter(m for _, m in plan).values()) == {items // methods}
    cells = count_cells(plans)
    counts = [cells[q, m] for q in range(questions) for m in range(methods)]
    assert sum(counts) == people * items
    assert max(counts) - min(counts) <= 1


def test_every_beginning_of_the_design_is_nearly_balanced():
    plans = design.assign(100, 4, 25, seed=1)
    for people in range(1, 101):
        cells = count_cells(plans[:people])
        counts = [cells[q, m] for q in range(25) for m in range(4)]
        assert max(counts) - min(counts) <= 2


def test_design_follows_its_seed_and_mixes_company_and_order():
    assert design.assign(30, 4, 30, 1) == design.assign(30, 4, 30, 1)
    assert design.assign(30, 4, 30, 1) != design.assign(30, 4, 30, 2)
    plans = design.assign(60, 4, 60, 1)
    together = {frozenset((a, b)) for plan in plans for a, _ in plan for b, _ in plan if a < b}
    untouched = design.cycle(60, 4, 60, 3).reshape(60, 12)
    before = {frozenset((a, b)) for plan in untouched for a in plan for b in plan if a < b}
    assert len(together) > 3 * len(before)
    assert {plan[0][1] for plan in plans} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("methods", "questions", "items", "message"),
    [
        (4, 11, 12, "need as many questions"),
        (5, 90, 12, "shared out evenly"),
        (1, 90, 12, "shared out evenly"),
    ],
)
def test_impossible_designs_are_refused_in_words(methods, questions, items, message):
    with pytest.raises(UserError, match=message):
        design.assign(10, methods, questions, 0, items)


@pytest.mark.parametrize("task", list(TASKS))
def test_page_and_key_agree_and_the_page_names_no_method(task):
    table = make_table()
    html, key = page.make_survey(table, people=30, seed=3, task=task)
    data, items = page_data(html), TASKS[task]["items"]
    assert data["survey"] == key["survey"] and len(data["plans"]) == len(key["plans"]) == 30
    texts = {(row.question, row.method): row.explanation for row in table.itertuples()}
    for code, q, answer, explanation in data["items"]:
        item = key["items"][code]
        text = texts[item["question"], item["method"]] if item["shown"] else ""
        assert explanation == text and answer == "one"
        assert data["questions"][q][0] == f"What is {item['question'][1:]}?"
        assert item["length"] == len(explanation)
    for plan, codes in zip(data["plans"], key["plans"], strict=True):
        assert plan.count(-1) == 1 and items // 4 < plan.index(-1) <= items - items // 4
        assert [data["items"][i][0] for i in plan if i >= 0] == codes
    without_hashes = re.sub(r"sha256-[^']*", "", html)
    assert not re.search(r"\bMT\b|\bCF\b|revised|counterfactual", without_hashes, re.IGNORECASE)
    assert {name for name, *_ in data["asks"]} == set(TASKS[task]["wanted"])
    # Of an item the page holds a code, the question, the answer and, where it is shown, the text.
    assert {len(item) for item in data["items"]} == {4}
    assert key["task"] == task and not {"wanted", "right", "gold", "methods"} & set(data)


def test_half_of_each_participants_answers_have_an_explanation_and_half_are_right():
    table = make_table(60)
    html, key = page.make_survey(table, people=60, seed=2, task="errors")
    items = key["items"]
    for plan in key["plans"]:
        shown = [items[code] for code in plan]
        assert len({item["question"] for item in shown}) == len(shown) == 16
        kinds = Counter((item["method"], item["shown"]) for item in shown)
        assert set(kinds.values()) == {2} and len(kinds) == 8
        assert [
            sum(item["right"] for item in shown if item["shown"] == view) for view in (True, False)
        ] == [4, 4]
    seen = Counter(code for plan in key["plans"] for code in plan)
    counts = [seen[code] for code in items]
    assert max(counts) - min(counts) <= 1  # an item as often with as without its explanation
    assert page.make_survey(table, people=60, seed=2, task="errors") == (html, key)
    assert page.make_survey(table, people=60, seed=3, task="errors")[0] != html


def test_places_do_not_tell_whether_an_answer_is_right():
    html, key = page.make_survey(make_table(60), people=60, seed=3, task="errors")
    items = page_data(html)["items"]
    right = [key["items"][code]["right"] for code, *_ in items]
    assert np.mean(right) == 0.5 and abs(np.corrcoef(right, range(480))[0, 1]) < 0.1
    by_question = {
        q: key["items"][code]["right"]
        for code, q, *_ in items
        if key["items"][code]["method"] == PAPER_ARMS[0]
    }
    alike = [by_question[q] == by_question[q + 1] for q in range(59)]
    assert 0.25 < np.mean(alike) < 0.75


@pytest.mark.parametrize(
    ("right", "least", "chosen", "share"),
    [(9, 4, 20, 0.45), (10, 4, 20, 0.5), (6, 4, 15, 0.4), (1, 4, 4, 0.25), (19, 2, 2, 0.5)],
)
def test_questions_are_chosen_so_that_about_half_of_the_answers_are_right(
    right, least, chosen, share
):
    table = np.arange(20)[:, None] < [[right, right]]
    found = design.choose_questions(table, least, 20)
    assert len(set(found)) == len(found) == chosen and table[found].mean() == share
    assert len(design.choose_questions(table, least, 10)) <= 10


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_alike_are_no_task(right):
    with pytest.raises(UserError, match="all right" if right else "all wrong"):
        page.make_survey(make_table().assign(right=right), people=4, task="errors")
    with pytest.raises(UserError, match="8 explanations a participant need as many questions"):
        page.make_survey(make_table(5), people=4, task="errors")


@pytest.mark.parametrize(
    ("questions", "methods", "items"), [(20, 4, 12), (10, 3, 9), (90, 5, 10), (4, 4, 4)]
)
def test_participants_rate_twelve_or_as_many_as_can_be_shared_out(questions, methods, items):
    table = make_table(questions, [f"M{i}" for i in range(methods)])
    _, key = page.make_survey(table, people=6)
    assert {len(plan) for plan in key["plans"]} == {items}
    with pytest.raises(UserError, match="4 explanations a participant need as many questions"):
        page.make_survey(make_table(3), people=6)


def test_places_of_the_items_do_not_tell_the_method():
    html, key = page.make_survey(make_table(60), people=30, seed=3)
    order = [
        PAPER_ARMS.index(key["items"][code]["method"]) for code, *_ in page_data(html)["items"]
    ]
    assert abs(np.corrcoef(order, range(240))[0, 1]) < 0.15
    assert len({tuple(order[i : i + 4]) for i in range(0, 240, 4)}) > 30


@pytest.mark.parametrize("task", list(TASKS))
def test_whatever_was_written_stays_inside_the_data_element(task):
    table = make_table(12)
    table.loc[table["question"] == "q5", ["explanation", "answer", "text"]] = HOSTILE
    html, key = page.make_survey(
        table, people=3, contact=HOSTILE, consent=HOSTILE + "\n\nTwo", task=task
    )
    assert html.count("<script") == html.count("</script>") == 2
    assert html.isascii() is False and page_data(html)["contact"] == HOSTILE  # our own quotes
    raw = re.search(r'id="data">(.*?)</script>', html, re.S)[1]
    assert raw.isascii() and not set(raw) & set("<>&")
    assert HOSTILE in [item[3] for item in page_data(html)["items"]]
    assert page_data(html)["consent"] == [HOSTILE, "Two"]


def test_page_is_light_and_a_heavy_one_is_refused():
    for task in TASKS:
        html, _ = page.make_survey(make_table(90, length=270), people=120, task=task)
        assert len(html.encode()) < 300_000
    with pytest.raises(UserError, match="lower --questions"):
        page.make_survey(make_table(90, length=1500))


def test_page_loads_nothing_and_sends_only_where_it_was_told():
    html, _ = page.make_survey(make_table(12), people=2)
    assert "connect-src 'none'" in html and "default-src 'none'" in html
    assert not re.search(r"""(src|href)\s*=\s*["']|@import|url\(|https?://""", html)
    html, _ = page.make_survey(make_table(12), people=2, post="https://example.org:8443/a?b=1")
    assert "connect-src https://example.org:8443;" in html


@pytest.mark.parametrize(
    "post",
    [
        "http://example.org/a",
        "ftp://example.org",
        "example.org",
        "https://me:secret@example.org/",
        "https://a.org'; script-src *",
    ],
)
def test_unsafe_receivers_are_refused(post):
    with pytest.raises(UserError, match="--post needs a URL"):
        page.make_survey(make_table(12), people=2, post=post)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the profile cpu with explanations by all arms; returns the table's path."""
    monkeypatch.setattr(paths, "BUILT", tmp_path)
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "RAW", tmp_path / "data" / "raw")
    settings = profile.load("cpu")
    questions = splits.load(settings.task, settings.seed)["test"]
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
        for i, q in enumerate(questions)
    ]
    path = paths.RUNS / "cpu" / "04_evaluation" / "explanations.csv"
    files.write_csv(path, pd.DataFrame(rows))
    return path


def test_build_writes_page_and_key_twice_alike(run, capsys):
    assert page.main(["build", "cpu", "--participants", "10", "--questions", "30"]) is None
    folder = paths.RUNS / "cpu" / "survey"
    html, key = (folder / "index.html").read_text(), json.loads((folder / "key.json").read_text())
    assert (
        key["profile"] == "cpu" and key["methods"] == list(PAPER_ARMS) and len(key["items"]) == 120
    )
    assert key["survey"] in answers.find_keys(paths.BUILT)
    assert (paths.RAW / "surveys" / f"key-{key['survey']}.json").is_file()
    assert "120 items by 4 methods, 3% with a right answer, 10 plans of 12 items" in (
        capsys.readouterr().out
    )
    page.main(["build", "cpu", "--participants", "10", "--questions", "30"])
    assert (folder / "index.html").read_text() == html
    # A new survey does not lose the key of the old one.
    page.main(["build", "cpu", "--participants", "10", "--questions", "30", "--seed", "1"])
    assert len(answers.find_keys(paths.BUILT)) == 2
    # Nor does the other task's page replace this one.
    html = (folder / "index.html").read_text()
    assert page.main(["build", "cpu", "--task", "errors", "--participants", "10"]) is None
    assert "10 plans of 16 items" in capsys.readouterr().out
    assert (folder / "index.html").read_text() == html
    key = json.loads((paths.RUNS / "cpu" / "survey-errors" / "key.json").read_text())
    assert key["task"] == "errors" and answers.find_keys(paths.BUILT)[key["survey"]] == key


def test_only_questions_that_every_method_explains_are_used(run):
    table = pd.read_csv(run)
    table.loc[(table["arm"] == PAPER_ARMS[0]) & (table.index % 2 == 0), "explanation"] = "  "
    files.write_csv(run, table)
    found = page.gather(page.Stage("04_evaluation", "cpu"))
    assert set(found["method"]) == set(PAPER_ARMS) and found["question"].nunique() == 90
    assert len(found) == 360 and (found["explanation"] != "").all()
    first = found.iloc[0]
    assert first["answer"] in first["choices"]  # as the choice is written, not in capitals
    assert set(
        page.gather(page.Stage("04_evaluation", "cpu"), methods=["MT:Revised"])["method"]
    ) == {"MT:Revised"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("So the answer is {}.", 0),
        ("A reason. So the answer is (B)", 1),
        ("{}", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_the_students_answer_is_shown_as_the_choice_is_written(run, said, shown):
    """By the one rule of all results (lib.evaluation.extraction); no answer, no error to find."""
    table = pd.read_csv(run)
    settings = profile.load("cpu")
    first = splits.load(settings.task, settings.seed)["test"][0]
    table.loc[table["id"] == first.id, "prediction"] = (
        said.format(first.choices[0].upper()) if isinstance(said, str) else said
    )
    files.write_csv(run, table)
    stage = page.Stage("04_evaluation", "cpu")
    row = page.gather(stage).set_index("question").loc[first.id].iloc[0]
    assert row["answer"] == (page.UNCLEAR if shown is None else first.choices[shown])
    assert row["right"] == (shown == first.answer)
    judged = set(page.gather(stage, task="errors")["question"])
    assert (first.id in judged) == (shown is not None) and len(judged) >= 179


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["build", "cpu", "--methods", "CF:Unrevised", "XY:Revised"],
            "no explanation by XY:Revised",
        ),
        (["build", "cpu", "--size", "9B"], "no explanation by"),
        (["build", "cpu", "--participants", "0"], "at least one of --participants"),
        (["build", "cpu", "--seed", "-1"], "a --seed of 0 or more"),
        (["build", "smoke"], "04_evaluation"),
        (["build", "nothing"], "no profile"),
        (["build", "cpu", "--consent", "absent.txt"], "cannot be read"),
        (["ingest", "absent"], "no such folder or file"),
    ],
)
def test_mistakes_give_one_sentence(run, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        page.main(arguments)
    assert message in stopped.value.code and "\n" not in stopped.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], None),
        (["--post", "http://example.org"], "--post needs a URL"),
        (["--methods", "MT:Unrevisd"], "did you mean 'MT:Unrevised'?"),
        (["--methods", "label-only"], "no explanation by label-only"),
        (["--size", "9B"], "no explanation by 9B; there are tiny-t5, tiny-llama."),
    ],
)
def test_options_are_checked_before_there_is_a_run(monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr(page.paths, "RUNS", tmp_path)
    if message is None:
        assert page.main(["build", "smoke", *arguments, "--check"]) is None
    else:
        with pytest.raises(SystemExit, match=re.escape(message)):
            page.main(["build", "smoke", *arguments, "--check"])
    assert not list(tmp_path.iterdir())
