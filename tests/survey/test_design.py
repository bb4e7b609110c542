"""Who sees what: everything is balanced, and nothing tells the method or the right answer."""

from collections import Counter

import numpy as np
import pytest

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.survey import design
from lib.survey.design import CHECK, draw_up


def spread_of_counts(plans, questions, methods):
    """Most minus fewest occurrences of a (question, method) pair."""
    cells = Counter(pair for plan in plans for pair in plan)
    counts = [cells[q, m] for q in range(questions) for m in range(methods)]
    return max(counts) - min(counts)


@pytest.mark.parametrize(
    ("people", "methods", "questions", "items"),
    [(117, 4, 90, 12), (40, 4, 12, 12), (31, 3, 37, 12), (7, 2, 8, 8), (1, 6, 13, 12)],
)
def test_plans_are_balanced_and_nobody_meets_a_question_twice(people, methods, questions, items):
    plans = design.assign(people, methods, questions, seed=5, items=items)
    assert len(plans) == people
    for plan in plans:
        assert len({question for question, _ in plan}) == items
        assert set(Counter(m for _, m in plan).values()) == {items // methods}
    assert spread_of_counts(plans, questions, methods) <= 1


def test_every_beginning_of_the_plans_is_nearly_balanced():
    plans = design.assign(100, 4, 25, seed=1)
    assert max(spread_of_counts(plans[:people], 25, 4) for people in range(1, 101)) <= 2


def test_plans_follow_their_seed_and_mix_company_and_order():
    plans = design.assign(60, 4, 60, 1)
    assert plans == design.assign(60, 4, 60, 1) != design.assign(60, 4, 60, 2)
    together = {frozenset((a, b)) for plan in plans for a, _ in plan for b, _ in plan if a < b}
    untouched = design.cycle(60, 4, 60, 3).reshape(60, 12)
    before = {frozenset((a, b)) for plan in untouched for a in plan for b in plan if a < b}
    assert len(together) > 3 * len(before)
    assert {plan[0][1] for plan in plans} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("right", "least", "chosen", "share"),
    [(9, 4, 20, 0.45), (10, 4, 20, 0.5), (6, 4, 15, 0.4), (1, 4, 4, 0.25), (19, 2, 2, 0.5)],
)
def test_questions_are_chosen_so_that_about_half_of_the_answers_are_right(
    right, least, chosen, share
):
    table = np.arange(20)[:, None] < [[right, right]]
    taken = design.choose_questions(table, least, 20)
    assert len(set(taken)) == len(taken) == chosen and table[taken].mean() == share
    assert len(design.choose_questions(table, least, 10)) <= 10


def test_half_of_each_participants_answers_have_an_explanation_and_half_are_right(make_table):
    survey = draw_up(make_table(60), "errors", people=60, seed=2)
    for plan in survey.plans:
        shown = [survey.items[code] for code in plan if code != CHECK]
        assert len({item["question"] for item in shown}) == len(shown) == 16
        views = Counter((item["method"], item["shown"]) for item in shown)
        assert set(views.values()) == {2} and len(views) == 8
        right = Counter(item["shown"] for item in shown if item["right"])
        assert right == {True: 4, False: 4}
    seen = Counter(code for plan in survey.plans for code in plan if code != CHECK)
    assert max(seen.values()) - min(seen.values()) <= 1
    assert draw_up(make_table(60), "errors", people=60, seed=2) == survey
    assert draw_up(make_table(60), "errors", people=60, seed=3) != survey


def test_positions_tell_neither_the_method_nor_whether_an_answer_is_right(make_table):
    survey = draw_up(make_table(60), "errors", people=60, seed=3)
    right = [item["right"] for item in survey.items.values()]
    methods = [PAPER_ARMS.index(item["method"]) for item in survey.items.values()]
    assert np.mean(right) == 0.5 and abs(np.corrcoef(right, range(480))[0, 1]) < 0.1
    assert abs(np.corrcoef(methods, range(480))[0, 1]) < 0.15
    assert len({tuple(methods[i : i + 4]) for i in range(0, 480, 4)}) > 60
    first = [item for item in survey.items.values() if item["method"] == PAPER_ARMS[0]]
    by_question = {item["position"]: item["right"] for item in first}
    alike = [by_question[q] == by_question[q + 1] for q in range(59)]
    assert 0.25 < np.mean(alike) < 0.75


@pytest.mark.parametrize(
    ("questions", "methods", "items"), [(20, 4, 12), (10, 3, 9), (90, 5, 10), (4, 4, 4)]
)
def test_participants_rate_twelve_or_as_many_as_can_be_shared_out(
    make_table, questions, methods, items
):
    survey = draw_up(make_table(questions, [f"M{i}" for i in range(methods)]), people=6)
    assert {len(plan) - 1 for plan in survey.plans} == {items}
    for plan in survey.plans:
        assert items // 4 < plan.index(CHECK) <= items - items // 4 and plan.count(CHECK) == 1


def test_impossible_surveys_are_refused_in_words(make_table):
    with pytest.raises(UserError, match="4 explanations a participant need as many questions"):
        draw_up(make_table(3))
    with pytest.raises(UserError, match="8 explanations a participant need as many questions"):
        draw_up(make_table(5), "errors")
    for table in (make_table(methods=["MT:Revised"]), make_table(0)):
        with pytest.raises(UserError, match="compares methods"):
            draw_up(table)
    for right in (True, False):
        with pytest.raises(UserError, match="all right" if right else "all wrong"):
            draw_up(make_table().assign(right=right), "errors")
