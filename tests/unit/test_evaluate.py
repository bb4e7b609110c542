"""Texts of students (all else of lib.evaluate is tested where students are trained)."""

from lib import evaluate


def test_explanation_without_its_answer():
    assert evaluate.without_answer("It barks. So the answer is a dog.") == "It barks."
    assert evaluate.without_answer("It barks.") == "It barks."
