"""The accuracy statistics against R's values, and on tables that cannot be analysed."""

import numpy as np
import pandas as pd
import pytest

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.human_study import published, reference
from lib.human_study import runs as stats


def make_runs(seeds=4, sizes=("220M", "770M"), methods=PAPER_ARMS):
    rng = np.random.default_rng(0)
    rows = [
        (m, s, r, 60 + 3 * i + rng.normal())
        for i, m in enumerate(methods)
        for s in sizes
        for r in range(seeds)
    ]
    return stats.check_runs(pd.DataFrame(rows, columns=stats.COLUMNS))


def test_the_interaction_appears_only_after_outlier_removal():
    found = {}
    for when in ("before", "after"):
        cells = published.load_cells(when)
        table = stats.anova_table(stats.expand_cells(cells)).set_index("effect")
        found[when] = table.loc["method:size", "F"]
    assert found["before"] == pytest.approx(0.329880121199683, rel=1e-6)
    assert found["after"] == pytest.approx(18.5561408161327, rel=1e-6)


@pytest.mark.usefixtures("raw_files")
def test_outliers_are_those_of_r():
    flagged = stats.flag_outliers(published.load_runs())
    found = flagged[flagged["outlier"]]
    expected = pd.DataFrame(reference.load_reference()["performance"]["outliers"])
    assert list(found.index + 1) == list(expected["csv_row"])
    assert list(found["method"].astype(str)) == list(expected["model"])
    assert list(found["run"]) == list(expected["run"])
    assert list(found["extreme"]) == list(expected["extreme"])
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-9)


def test_expanded_cells_have_the_given_moments():
    cells = published.load_cells("after")
    found = stats.summarise_cells(stats.expand_cells(cells))
    np.testing.assert_allclose(found[["n", "mean", "sd"]], cells[["n", "mean", "sd"]], rtol=1e-12)


def test_t_interval_of_a_cell():
    runs = pd.DataFrame({"method": "a", "size": "s", "run": range(4), "accuracy": [1, 2, 3, 4.0]})
    cell = stats.summarise_cells(stats.check_runs(runs)).iloc[0]
    half = 3.182446305284263 * np.sqrt(5 / 3) / 2
    assert (cell["low"], cell["high"]) == pytest.approx((2.5 - half, 2.5 + half))


def test_outlier_rule_is_strict_and_leaves_small_cells_alone():
    # Quartiles 1 and 2 (type 7): fences at -0.5 and 3.5; a value on the fence stays.
    values = {"on": [1, 1, 1.5, 2, 3.5], "beyond": [1, 1, 1.5, 2, 3.6], "far": [1, 1, 1.5, 2, 5.1]}
    rows = [(m, "s", i, v) for m, cell in values.items() for i, v in enumerate(cell)]
    flagged = stats.flag_outliers(pd.DataFrame(rows, columns=stats.COLUMNS)).groupby("method")
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


def test_methods_stand_in_one_order_and_unknown_ones_last():
    runs = make_runs(methods=("Standard", "MT+CF:Revised", "CF:Unrevised"), sizes=("135M",))
    assert list(stats.tukey_table(runs)["pair"]) == [
        "MT+CF:Revised-CF:Unrevised",
        "Standard-CF:Unrevised",
        "Standard-MT+CF:Revised",
    ]


def test_verdicts_depend_on_p_and_sign():
    first, second, third = PAPER_ARMS[:3]
    accuracies = {first: [60, 61, 62], second: [70, 71, 72], third: [60, 61, 62.5]}
    rows = [(m, "s", i, v) for m, cell in accuracies.items() for i, v in enumerate(cell)]
    table = pd.DataFrame(rows, columns=stats.COLUMNS)
    swapped = table.replace({"method": {first: second, second: first}})
    given, swapped = stats.check_runs(table), stats.check_runs(swapped)
    pairs = [f"s {second}-{first}", f"s {third}-{first}", f"s {third}-{second}"]
    for other, wanted in (
        (given, ["always", "never", "always"]),
        (swapped, ["depends", "depends", "depends"]),
    ):
        verdicts = stats.conclusion_table({"given": given, "other": other})
        verdicts = verdicts.drop_duplicates("conclusion").set_index("conclusion")["verdict"]
        assert verdicts["method"] == "always" and verdicts[pairs].tolist() == wanted


def test_no_spread_is_a_note_and_not_a_crash():
    runs = pd.DataFrame(
        [
            (m, s, r, 0.0)
            for m in ("MT:Unrevised", "CF:Unrevised")
            for s in ("a", "b")
            for r in (0, 1)
        ],
        columns=stats.COLUMNS,
    )
    notes = stats.analyse_runs(runs)
    notes = notes[notes["statistic"] == "note"]
    assert notes["term"].str.contains("no spread to test").sum() >= 3
