"""Explanations to judge, as a run gives them."""

import pandas as pd
import pytest

from lib.common.methods import PAPER_ARMS


@pytest.fixture(scope="session")
def make_table():
    """Function that gives what page.gather gives; of each method one answer in two is right."""

    def make(questions=20, methods=PAPER_ARMS, length=200):
        rows = [
            (m, f"q{q}", f"What is {q}?", ("one", "two"), "one", (q + i) % 2 == 0, f"Number {q}: ")
            for q in range(questions)
            for i, m in enumerate(methods)
        ]
        names = ["method", "question", "text", "choices", "answer", "right", "explanation"]
        table = pd.DataFrame(rows, columns=names)
        return table.assign(explanation=table["explanation"] + "because " * (length // 8))

    return make
