"""The findings table: what is claimed, its number, whether it holds."""

import pandas as pd
import pytest

from lib.common import paths
from lib.common.methods import PAPER_ARMS
from lib.human_study import findings, published
from lib.human_study.ratings import melt_ratings


def test_findings_of_the_published_counts():
    table = findings.findings_of_scores(published.load_scores()).set_index("finding")
    assert len(table) == 9
    row = table.loc["Methods differ in Contrastiveness"]
    assert (row["number"], row["holds"]) == ("H = 18.4, p = 0.00036, epsilon² = 0.017", "yes")
    row = table.loc["MT+CF:Revised is rated above MT:Unrevised in Completeness"]
    assert (row["number"], row["holds"]) == ("A = 0.53 [0.49, 0.58], Holm p = 0.48", "open")


def test_findings_of_the_raw_ratings(ratings):
    table = findings.findings_of_ratings(ratings).set_index("finding")
    lead = table.loc["MT+CF:Revised is rated above MT:Unrevised in Quality at equal length"]
    assert lead["number"] == "+0.11 [-0.01, +0.22] points, Holm p = 0.13"
    assert table["holds"].tolist() == ["yes", "open", "open", "open"]


def test_the_interaction_is_open_as_it_depends_on_outliers(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RAW", tmp_path)
    (row,) = findings.findings_of_runs(published.decision_table()).itertuples()
    assert row.number == "all runs: p = 0.80; 1.5 IQR (paper): p < 0.0001"
    assert row.holds == "open"


@pytest.mark.parametrize("effect, holds", [(1.5, "yes"), (-1.5, "no")])
def test_a_lead_holds_or_is_reversed(effect, holds, make_ratings):
    ratings = make_ratings(effect=effect)
    for table in (
        findings.findings_of_scores(melt_ratings(ratings)),
        findings.findings_of_ratings(ratings),
    ):
        leads = table[table["finding"].str.contains("is rated above")]
        assert len(leads) and set(leads["holds"]) == {holds}


def test_methods_that_were_not_rated_are_left_out(make_ratings):
    ratings = make_ratings(effect=1.5)
    part = ratings[ratings["method"] != PAPER_ARMS[1]]
    table = findings.findings_of_ratings(part)
    assert not table["finding"].str.contains("MT:Unrevised").any()


def test_takeaway_counts_what_holds():
    table = pd.DataFrame(
        [("A is above B", "", "yes"), ("C is above D", "", "open")], columns=findings.COLUMNS
    )
    assert findings.takeaway(table) == ("1 of 2 findings hold: A is above B. Open: 1; reversed: 0.")
