"""The paper's published tables against its raw files."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths
from lib.common.methods import PAPER_ARMS
from lib.human_study import published, runs
from lib.human_study.ratings import melt_ratings


def test_counts_and_lengths_are_those_of_the_raw_ratings(ratings):
    keys = ["method", "construct", "score"]
    scores = melt_ratings(ratings).query("construct != 'Quality'")
    ours = scores.groupby(keys, observed=True).size()
    theirs = published.load_counts().set_index(keys)["count"]
    assert len(theirs) == 100 and ours.to_dict() == theirs[theirs > 0].to_dict()
    lengths = ratings.groupby("method", observed=True)["length"].mean().round().astype(int)
    assert lengths.to_dict() == published.LENGTHS


def test_the_excluded_cells_follow_from_the_raw_runs(shared):
    table = published.read_runs(shared / "published" / "experiment.csv")
    cells = runs.summarise_cells(table[~table["method"].isin(PAPER_ARMS)])
    theirs = pd.read_csv(paths.PUBLISHED / "accuracy_cells_excluded.csv")
    theirs["method"] = theirs["method"] + ":" + theirs["training_data"]
    both = cells.astype({"method": str, "size": str}).merge(theirs, on=["method", "size"])
    assert len(table) == 69 and len(both) == 4
    for name in ("n", "mean", "sd", "se"):
        np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=1e-9)


def test_without_raw_files_there_are_no_ratings_and_two_decisions(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RAW", tmp_path)
    assert published.load_ratings() is None and published.load_runs() is None
    sizes = published.decision_table().groupby("specification", sort=False)["n"].first()
    assert sizes.to_dict() == {"all runs": 46, "1.5 IQR (paper)": 39}


@pytest.mark.usefixtures("raw_files")
def test_only_the_comparisons_with_cf_survive_every_decision(monkeypatch, tmp_path):
    four = published.decision_table()
    sizes = four.groupby("specification", sort=False)["n"].first().to_dict()
    assert list(sizes) == ["all runs", "1.5 IQR (paper)", "3 IQR", "without run 0"]
    assert list(sizes.values()) == [46, 39, 42, 38]
    verdict = four.drop_duplicates("conclusion").set_index("conclusion")["verdict"]
    with_cf = {
        f"{size} {method}-CF:Unrevised" for size in ("220M", "770M") for method in PAPER_ARMS[1:]
    }
    assert set(verdict.index[verdict == "always"]) == with_cf | {"method", "size"}
    assert verdict["method:size"] == "depends"
    monkeypatch.setattr(paths, "RAW", tmp_path)
    both = published.decision_table().merge(four, on=["specification", "conclusion"])
    np.testing.assert_allclose(both["p_x"], both["p_y"], rtol=1e-6, atol=1e-9)
