"""Every value of R's beside ours: from the raw files, and from the published tables alone."""

import pytest

from lib.common import paths
from lib.human_study import analysis, published, reference

AREAS = {"explainability": 323, "mixed_model": 49, "cronbach": 12, "performance": 229}


@pytest.mark.parametrize("area", AREAS)
def test_every_value_of_r_follows_from_the_raw_files(area, comparison):
    table = comparison[comparison["statistic"].str.startswith(area)]
    assert len(table) == AREAS[area] and len(comparison) == sum(AREAS.values()) == 613
    assert table["agrees"].all(), table[~table["agrees"]]


def test_the_published_tables_alone_give_352(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RAW", tmp_path)
    scores = analysis.analyse_scores(published.load_scores())
    table = reference.compare_with_paper(scores)
    table["kind"] = table["statistic"].str.split().str[1]
    assert table["ours"].notna().sum() == table["agrees"].sum() == 352
    single = ~table["statistic"].str.contains("Quality")
    kinds = {"descriptives": 100, "kruskal": 25, "dunn": 42, "vda": 24}
    agreed = table[single & table["agrees"]].groupby("kind").size()
    assert agreed[list(kinds)].to_dict() == kinds
    summary = reference.summarise_comparison(table).set_index(["area", "kind"])
    assert summary.loc[("performance", "tukey"), "computed"] == 48
    assert summary.loc[("cronbach", "raw_alpha"), ["R", "computed"]].tolist() == [1, 0]


def test_a_value_that_differs_or_is_missing_does_not_agree():
    theirs = reference.compare_with_r({}).set_index("statistic")["R"]
    name = theirs.index[0]
    for ours, agrees in (({name: theirs[name]}, True), ({name: theirs[name] * 1.01}, False)):
        table = reference.compare_with_r(ours).set_index("statistic")
        assert table.loc[name, "agrees"] == agrees
        assert table["agrees"].sum() == agrees  # all others are missing
