"""The power figure shows every outcome, and says that its studies are SIMULATED."""

import pandas as pd
import pytest

from lib.figures.power import power_figure


@pytest.mark.usefixtures("style")
def test_figure_shows_every_outcome_and_says_simulated():
    outcomes, people = ["Completeness", "Quality"], [20, 120]
    table = pd.DataFrame([(o, n) for o in outcomes for n in people],
                         columns=["outcome", "participants"])  # fmt: skip
    table = table.assign(repetitions=5, power=[0.2, 1, 0.4, 1], lwr=0.1, data="SIMULATED")
    table["upr"] = 1 - 1e-16  # rounding can put it below the share
    figure, shown = power_figure(table)
    (axes,) = figure.axes
    assert shown is table and axes.get_ylim()[0] == 0
    assert axes.get_title().startswith("SIMULATED studies")
    assert "5 studies a point, 95 % Wilson intervals" in axes.get_title()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == outcomes
