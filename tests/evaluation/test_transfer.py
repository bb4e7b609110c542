"""Students on datasets that they did not learn: the tables."""

import pandas as pd
import pytest

from lib.common import files, profile
from lib.common.intervals import wilson
from lib.evaluation import transfer


def predictions(likeliest, answered, gold, arm="MT:Unrevised", seed=0):
    return pd.DataFrame(
        {
            "arm": arm,
            "size": "tiny",
            "seed": seed,
            "gold": gold,
            "likeliest": likeliest,
            "answered": pd.array(answered, dtype="Int64"),
            "choices": [["yes", "no"]] * len(gold),
        }
    ).assign(correct=lambda t: (t["answered"] == t["gold"]).fillna(False).astype(bool))


def test_score_counts_written_and_likeliest_answers():
    made = predictions([0, 1, 1, 1], [None, 1, 0, None], [0, 1, 1, 0])
    (row,) = transfer.score(made).to_dict("records")
    assert (row["n"], row["correct"], row["unanswered"], row["accuracy"]) == (4, 1, 2, 0.25)
    assert (row["likelihood"], row["chance"]) == (0.75, 0.5)
    assert (row["low"], row["high"]) == pytest.approx(wilson(1, 4))


def test_score_keeps_students_apart():
    table = transfer.score(
        pd.concat(
            [
                predictions([0, 0], [0, 0], [0, 1], "MT:Revised"),
                predictions([1, 1], [1, 1], [1, 1], "CF:Revised", seed=3),
            ]
        )
    )
    assert table[["arm", "seed", "likelihood"]].values.tolist() == [
        ["MT:Revised", 0, 0.5],
        ["CF:Revised", 3, 1.0],
    ]


def results(profile_name, learned, shares, arms=("label-only",), seeds=(0,), size="135M"):
    """Rows as of ``collect``; shares: dataset -> (n, likelihood, chance)."""
    rows = [
        {
            "profile": profile_name,
            "trained_on": learned,
            "arm": arm,
            "size": size,
            "seed": seed,
            "task": task,
            "n": n,
            "correct": 0,
            "unanswered": n,
            "accuracy": 0.0,
            "low": 0.0,
            "high": 0.1,
            "likelihood": share + seed / 10,
            "chance": chance,
        }
        for arm in arms
        for seed in seeds
        for task, (n, share, chance) in shares.items()
    ]
    return pd.DataFrame(rows)


MINI, YESNO = {"minicqa": (180, 0.5, 0.2)}, {"minicqa_yesno": (90, 0.48, 0.5)}


def write(runs, table):
    for name, part in table.groupby("profile"):
        files.write_csv(runs / name / "04_evaluation" / "transfer.csv", part[transfer.COLUMNS])


def test_collect_reads_all_runs(tmp_path):
    assert list(transfer.collect(tmp_path)) == ["profile", *transfer.COLUMNS]
    table = pd.concat([results("a", "minicqa", MINI), results("b", "esnli", YESNO, size="7")])
    write(tmp_path, table)
    (tmp_path / "c" / "04_evaluation").mkdir(parents=True)
    found = transfer.collect(tmp_path)
    pd.testing.assert_frame_equal(
        found[list(table)], table.reset_index(drop=True), check_dtype=False
    )


def test_matrix_grows_with_known_students_of_the_same_size_and_another_dataset(tmp_path):
    others = ("label-only", "MT:Revised, share 0.1", "another-method:Unrevised")
    runs = [
        results("smoke", "minicqa", MINI | YESNO),
        results("again", "minicqa", MINI),
        results("yesno", "minicqa_yesno", MINI | YESNO, others),
        results("large", "esnli", MINI, size="770M"),
    ]
    write(tmp_path, pd.concat(runs))
    found = transfer.matrix(profile.load("smoke"), transfer.collect(tmp_path))
    assert found[["profile", "arm", "task"]].values.tolist() == [
        [name, "label-only", asked] for name in ("smoke", "yesno") for asked in (*MINI, *YESNO)
    ]
    assert len(transfer.cells(found)) == 4


def test_cells_are_means_over_seeds_with_intervals_over_questions():
    arms = ("MT:Unrevised", "label-only")
    table = transfer.cells(results("a", "minicqa", MINI | YESNO, arms, (0, 1)))
    assert table[["arm", "task"]].values.tolist() == [
        [arm, task] for arm in reversed(arms) for task in ("minicqa", "minicqa_yesno")
    ]
    row = table.iloc[0]
    assert (row["seeds"], row["n"], row["own"]) == (2, 180, True)
    assert (row["accuracy"], row["above"]) == pytest.approx((55, 35))
    assert (row["low"] / 100, row["high"] / 100) == pytest.approx(wilson(99, 180))
