"""Judgements of answers, with and without explanation: the table by hand."""

import numpy as np
import pandas as pd
import pytest

from lib.survey.error_finding import error_table, mark_correct

YES, NO = 1, 2


def judgements(rows, method="CF:Unrevised"):
    table = pd.DataFrame(rows, columns=["participant", "shown", "right", "judged", "sure"])
    return mark_correct(table.assign(method=method))


# Ann does better with explanations, Ben too; only Ann finds a wrong answer, with its explanation.
TWO = judgements(
    [
        ("ann", True, False, NO, 5),
        ("ann", True, True, YES, 4),
        ("ann", False, False, YES, 3),
        ("ann", False, True, YES, 2),
        ("ben", True, False, YES, 1),
        ("ben", True, True, YES, 3),
        ("ben", False, False, YES, 3),
        ("ben", False, True, NO, 5),
    ]
)


def test_a_judgement_is_correct_where_it_agrees_with_the_key():
    assert TWO["correct"].tolist() == [True, True, False, True, False, True, False, False]


def test_table_by_hand():
    table = error_table(TWO).set_index("measure")
    assert (table["participants"] == 2).all()
    expected = {  # with, without, difference, low, high
        "correct": (3 / 4, 1 / 4, 0.5, 0.5, 0.5),  # Ann 2/2 - 1/2, Ben 1/2 - 0/2: always 0.5
        "wrong_found": (1 / 2, 0, 0.5, 0, 1),  # Ann 1, Ben 0: draws of 0, 0.5 and 1
        "right_accepted": (1, 1 / 2, 0.5, 0, 1),
        "sure": (13 / 4, 13 / 4, 0, -2, 2),
    }  # Ann 4.5 - 2.5, Ben 2 - 4
    assert list(table.index) == list(expected)
    for measure, values in expected.items():
        found = table.loc[measure, ["with_explanation", "without", "difference", "low", "high"]]
        assert found.tolist() == pytest.approx(values), measure
    assert table["n_with"].tolist() == table["n_without"].tolist() == [4, 2, 2, 4]


def test_methods_stand_apart_and_together_in_the_papers_order():
    other = TWO.assign(method="MT:Unrevised", correct=True)
    table = error_table(pd.concat([other, TWO, TWO.assign(method="own")]))
    assert list(table["method"].unique()) == ["CF:Unrevised", "MT:Unrevised", "own", "all"]
    correct = table[table["measure"] == "correct"].set_index("method")
    assert correct["with_explanation"].tolist() == pytest.approx([0.75, 1, 0.75, 10 / 12])
    assert correct["participants"].tolist() == [2, 2, 2, 2]
    assert correct.loc["MT:Unrevised", ["difference", "low", "high"]].tolist() == [0, 0, 0]


def test_what_cannot_be_said_is_nan():
    one = error_table(TWO[TWO["participant"] == "ann"]).set_index("measure")
    assert one.loc["correct", "difference"] == 0.5 and np.isnan(one.loc["correct", "low"])
    right = error_table(TWO[TWO["right"]]).set_index("measure")
    assert right.loc["wrong_found", "participants"] == 0
    assert np.isnan(right.loc["wrong_found", "difference"])
    shown = error_table(TWO[TWO["shown"]]).set_index("measure")
    assert shown.loc["correct", "with_explanation"] == 0.75
    assert shown.loc["correct", ["without", "difference", "low", "high"]].isna().all()
    # Ben saw nothing without: draws of Ben alone say nothing and are left out.
    part = error_table(TWO[(TWO["participant"] == "ann") | TWO["shown"]]).set_index("measure")
    assert part.loc["correct", "difference"] == pytest.approx(0.75 - 0.5)
    assert part.loc["correct", ["low", "high"]].tolist() == pytest.approx([0.25, 0.5])


def test_many_people_narrow_the_interval():
    many = pd.concat([TWO.assign(participant=TWO["participant"] + str(i)) for i in range(50)])
    few, wide = error_table(many), error_table(TWO)
    assert few.equals(error_table(many))
    assert ((few["high"] - few["low"]) <= (wide["high"] - wide["low"]) + 1e-12).all()
    assert 0.3 < few.set_index("measure").loc["wrong_found", "low"] < 0.5
