"""The accuracy statistics against R's values, and on tables that cannot be analysed."""

import numpy as np
import pandas as pd
import pytest

from lib.common import paths
from lib.common.errors import UserError
from lib.common.intervals import wilson
from lib.common.methods import PAPER_ARMS
from lib.human_study import reference
from lib.human_study import runs as stats

R = reference.load_golden()
OF_CELLS = ["n", "mean", "sd", "se"]


def make_runs(seeds=4, sizes=("220M", "770M"), methods=PAPER_ARMS):
    rng = np.random.default_rng(0)
    rows = [
        (m, s, r, 60 + 3 * i + rng.normal())
        for i, m in enumerate(methods)
        for s in sizes
        for r in range(seeds)
    ]
    return pd.DataFrame(rows, columns=stats.RUN_COLUMNS)


@pytest.fixture
def published_runs(shared):
    runs = stats.load_published_runs(shared / "published" / "experiment.csv")
    return runs[runs["method"].isin(PAPER_ARMS)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_cells_anova_and_tukey_follow_from_the_sufficient_statistics(when):
    cells = reference.load_published_cells(when=when)
    ours = reference.name_values(stats.analyse_cells(cells, when), "performance")
    table = reference.compare_with_r(R, ours, f"performance {when}")
    kinds = table["statistic"].str.split().str[2]
    terms = table["statistic"].str.split().str[-1]
    of_cells = kinds.eq("cells") & terms.isin(OF_CELLS)
    table = table[of_cells | kinds.isin(["anova_type2", "oneway", "tukey"])]
    assert len(table) == {"before": 32 + 20, "after": 32 + 20 + 48 + 8}[when]
    assert table["agrees"].all(), table[~table["agrees"]]


def test_the_interaction_appears_only_after_outlier_removal():
    found = {}
    for when in ("before", "after"):
        cells = reference.load_published_cells(when=when)
        table = stats.anova_table(stats.expand_cells(cells)).set_index("effect")
        found[when] = table.loc["method:size", "F"]
    assert found["before"] == pytest.approx(0.329880121199683, rel=1e-6)
    assert found["after"] == pytest.approx(18.5561408161327, rel=1e-6)


def test_every_value_of_r_follows_from_the_raw_runs(published_runs):
    ours = reference.name_values(stats.analyse_runs(published_runs), "performance")
    table = reference.compare_with_r(R, ours, "performance")
    assert len(table) == 229
    assert table["agrees"].all(), table[~table["agrees"]]


def test_outliers_are_those_of_r(published_runs):
    flagged = stats.flag_outliers(published_runs)
    found = flagged[flagged["outlier"]]
    expected = pd.DataFrame(R["performance"]["outliers"])
    assert list(found.index + 1) == list(expected["csv_row"])
    assert list(found["method"].astype(str)) == list(expected["model"])
    assert list(found["run"]) == list(expected["run"])
    assert list(found["extreme"]) == list(expected["extreme"])
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-9)


def test_the_excluded_cells_follow_from_the_raw_runs(shared):
    runs = stats.load_published_runs(shared / "published" / "experiment.csv")
    cells = stats.summarise_cells(runs[~runs["method"].isin(PAPER_ARMS)])
    theirs = pd.read_csv(paths.PUBLISHED / "accuracy_cells_excluded.csv")
    theirs["method"] = theirs["method"] + ":" + theirs["training_data"]
    both = cells.astype({"method": str, "size": str}).merge(theirs, on=["method", "size"])
    assert len(runs) == 69 and len(both) == 4
    for name in OF_CELLS:
        np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=1e-9)


def test_expanded_cells_have_the_given_moments():
    cells = reference.load_published_cells(when="after")
    found = stats.summarise_cells(stats.expand_cells(cells))
    np.testing.assert_allclose(found[["n", "mean", "sd"]], cells[["n", "mean", "sd"]], rtol=1e-12)


def test_wilson_interval():
    # Newcombe (1998), table I: 81 of 263.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 10)[0] == 0
    with pytest.raises(UserError, match="5 of 4"):
        wilson(5, 4)


def test_t_interval_of_a_cell():
    runs = pd.DataFrame({"method": "a", "size": "s", "run": range(4), "accuracy": [1, 2, 3, 4.0]})
    cell = stats.summarise_cells(runs).iloc[0]
    half = 3.182446305284263 * np.sqrt(5 / 3) / 2
    assert (cell["low"], cell["high"]) == pytest.approx((2.5 - half, 2.5 + half))


def test_outlier_rule_is_strict_and_leaves_small_cells_alone():
    # Quartiles 1 and 2 (type 7): fences at -0.5 and 3.5; a value on the fence stays.
    values = {"on": [1, 1, 1.5, 2, 3.5], "beyond": [1, 1, 1.5, 2, 3.6], "far": [1, 1, 1.5, 2, 5.1]}
    rows = [(m, "s", i, v) for m, cell in values.items() for i, v in enumerate(cell)]
    flagged = stats.flag_outliers(pd.DataFrame(rows, columns=stats.RUN_COLUMNS)).groupby("method")
    assert flagged["outlier"].sum().to_dict() == {"on": 0, "beyond": 1, "far": 1}
    assert flagged["extreme"].sum().to_dict() == {"on": 0, "beyond": 0, "far": 1}
    assert not stats.flag_outliers(make_runs(seeds=3))["outlier"].any()


def test_one_size_gives_a_one_way_anova():
    runs = make_runs(sizes=("135M",))
    assert list(stats.anova_table(runs)["effect"]) == ["method", "residual"]
    table = stats.analyse_runs(runs)
    assert "note" not in set(table["statistic"])
    one = table[(table["analysis"] == "before") & (table["statistic"] == "oneway")]
    assert one.set_index("term")["value"]["df2"] == 12


def test_one_seed_gives_cells_and_notes_in_sentences():
    table = stats.analyse_runs(make_runs(seeds=1))
    notes = table[(table["statistic"] == "note") & (table["analysis"] == "before")]
    assert list(notes["group"]) == ["anova_type2", "oneway", "tukey", "levene_median"]
    assert notes["term"].str.contains("two seeds|three seeds").all()
    cells = table[(table["statistic"] == "cells") & (table["analysis"] == "before")]
    assert set(cells["term"]) == {"n", "mean", "min", "median", "max"}


def test_levene_needs_three_runs_in_a_cell():
    with pytest.raises(UserError, match="three seeds"):
        stats.levene_test(make_runs(seeds=2))


def test_order_of_methods_follows_the_paper_then_the_table():
    runs = make_runs(methods=("Standard", "MT+CF:Revised", "CF:Unrevised"), sizes=("135M",))
    pairs = list(stats.tukey_table(runs)["pair"])
    assert pairs == [
        "MT+CF:Revised-CF:Unrevised",
        "Standard-CF:Unrevised",
        "Standard-MT+CF:Revised",
    ]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda d: d.iloc[:0], "empty"),
        (lambda d: d.assign(accuracy=101.0), "percentage from 0 to 100"),
        (lambda d: d.assign(accuracy="high"), "percentage from 0 to 100"),
        (lambda d: pd.concat([d, d]), "twice"),
    ],
)
def test_a_bad_table_of_runs_gets_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        stats.analyse_runs(change(make_runs()))


def test_an_empty_cell_and_a_single_method_get_one_sentence():
    runs = make_runs()
    with pytest.raises(UserError, match="CF:Unrevised has no 770M run"):
        stats.anova_table(runs[~((runs["method"] == "CF:Unrevised") & (runs["size"] == "770M"))])
    with pytest.raises(UserError, match="at least two methods"):
        stats.anova_table(runs[runs["method"] == "CF:Unrevised"])


@pytest.mark.parametrize("there", [True, False])
def test_bad_files_get_one_sentence(tmp_path, monkeypatch, there):
    monkeypatch.setattr(reference, "PUBLISHED", tmp_path)
    for name, load in (
        ("accuracy_cells.csv", reference.load_published_cells),
        ("rating_counts.csv", reference.load_rating_counts),
        ("r_statistics.json", reference.load_golden),
        ("runs.csv", lambda: stats.load_published_runs(tmp_path / "runs.csv")),
    ):
        if there:
            (tmp_path / name).write_text("a,b\n1,2\n")
        with pytest.raises(UserError, match=name):
            load()


def test_a_run_of_an_unknown_kind_is_named_by_its_line(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text(
        "run,test accuracy,target_rationale,model_size,training_mode\n"
        "0,0.5,few-shot-revision,220M,unheard-of\n"
    )
    with pytest.raises(UserError, match="line 2"):
        stats.load_published_runs(bad)


def test_comparison_shows_what_is_missing_or_off():
    r = {"tolerance": R["tolerance"], "a": {"x": 1.0, "y": 2.0, "z": 3.0, "word": "no number"}}
    table = reference.compare_with_r(r, {"a x": 1.0 + 1e-7, "a y": 2.1}).set_index("statistic")
    assert table["agrees"].to_dict() == {"a x": True, "a y": False, "a z": False}
    assert table.loc["a y", "difference"] == pytest.approx(0.1)
    assert np.isnan(table.loc["a z", "ours"])


def test_no_spread_is_a_note_and_not_a_crash():
    runs = pd.DataFrame(
        [
            (m, s, r, 0.0)
            for m in ("MT:Unrevised", "CF:Unrevised")
            for s in ("a", "b")
            for r in (0, 1)
        ],
        columns=stats.RUN_COLUMNS,
    )
    notes = stats.analyse_runs(runs)
    notes = notes[notes["statistic"] == "note"]
    assert notes["term"].str.contains("no spread to test").sum() >= 3
