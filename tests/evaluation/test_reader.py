"""Tables of what explanations are worth, and accuracy under variants."""

import numpy as np
import pandas as pd
import pytest

from lib.common import profile
from lib.evaluation import ablation, measures, reader
from lib.figures import answers


def read_table(n=40, seed=0):
    """Made-up readings of two arms: the first arm's explanations always lead to its answer."""
    rng = np.random.default_rng(seed)
    parts = []
    for arm in ("MT:Unrevised", "MT:Revised"):
        answered = rng.integers(0, 5, n)
        both = answered if arm == "MT:Unrevised" else rng.integers(0, 5, n)
        parts.append(
            pd.DataFrame(
                {
                    "id": [f"q{i}" for i in range(n)],
                    "arm": arm,
                    "size": "135M",
                    "seed": 0,
                    "answered": answered,
                    "read_both": both,
                    "read_question": rng.integers(0, 5, n),
                    "read_explanation": rng.integers(0, 5, n),
                    "correct": rng.random(n) < 0.5,
                    "p_question": rng.random(n),
                    "p_both": rng.random(n),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_reader_table_has_the_measures_with_intervals():
    table = reader.reader_table(read_table(), resamples=50)
    assert set(table["measure"]) == set(reader.READ) - {"followed", "anyway", "gain"}
    first = table[(table["arm"] == "MT:Unrevised") & (table["measure"] == "consistency")].iloc[0]
    assert (first["mean"], first["low"], first["high"], first["n"]) == (1, 1, 1, 40)
    other = table[table["arm"] == "MT:Revised"]
    assert (other["low"] <= other["mean"]).all() and (other["mean"] <= other["high"]).all()
    assert table.equals(reader.reader_table(read_table(), resamples=50)), "seeded"
    assert reader.reader_table(read_table().head(0)).empty


def test_faithfulness_by_hand():
    followed = pd.DataFrame(
        {
            "arm": "CF:Unrevised",
            "size": "135M",
            "id": ["a", "a", "b", "b"],
            "followed": [True, True, False, True],
            "anyway": [False, False, False, True],
        }
    )
    table = reader.faithfulness_table(followed).set_index("measure")
    assert table["mean"].to_dict() == {"followed": 0.75, "anyway": 0.25, "gain": 0.5}
    # Drawn by question: a, b or both, so 1, 0.5 and 0.75, not what four independent rows would give.
    assert table.loc["followed", ["n", "low", "high"]].tolist() == [4, 0.5, 1]


def test_measure_figure_draws_what_the_table_says():
    means = reader.reader_table(read_table(), resamples=20)
    figure, table = answers.measure_figure(means, reader.LABELS)
    assert list(dict.fromkeys(table["measure"])) == list(means["measure"].unique())
    drawn = [ax for ax in figure.axes if ax.get_title()]
    assert len(drawn) == table["measure"].nunique()
    assert "student's answer" in drawn[0].get_title().replace("\n", " ")
    of = dict(zip(table["measure"].unique(), drawn, strict=True))
    dotted = {
        name: [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        for name, ax in of.items()
    }
    assert dotted == {
        "consistency": [],
        "las": [0],
        "leak_rate": [],
        "errors_found_without": [0.5],
        "errors_found_with": [0.5],
    }
    for name, ax in of.items():
        start, end = ax.get_xlim()
        assert ax.get_xlabel().startswith("n = 40") and end <= 1
        assert ("axis from" in ax.get_xlabel()) == (start != 0) and (start >= 0 or name == "las")
    points = sorted(line.get_xdata()[0] for line in drawn[0].lines if line.get_marker() in "so")
    wanted = sorted(table.loc[table["measure"] == "consistency", "mean"])
    assert points == pytest.approx(wanted)


def test_without_a_reader_nobody_reads(capsys):
    settings = profile.load("smollm2").model_copy(
        update={"evaluation": profile.EvaluationSettings()}
    )
    assert reader.reader_name(settings) is None
    assert reader.readings(settings, read_table()).empty
    assert "names no reader" in capsys.readouterr().out
    assert reader.reader_name(profile.load("cpu")) == "embedded:smollm2-135m-instruct"


def students(variants):
    return pd.DataFrame(
        [
            {
                "arm": f"MT+CF:Unrevised, {name}",
                "size": "135M",
                "seed": 0,
                "n": 10,
                "accuracy": 0.4,
                "low": 0.2,
                "high": 0.7,
            }
            for name in variants
        ]
    )


def test_gamma_stands_beside_the_authors_values():
    settings = profile.load("ablation_gamma")
    table = ablation.variant_table(settings, students(settings.variants))
    assert ablation.varied(settings) == "gamma" and len(table) == 10
    ours, theirs = (
        part.set_index("value")["accuracy"]
        for _, part in table.groupby(table["source"] != "this run")
    )
    assert list(ours.index) == list(theirs.index) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert theirs[0.7] == 0.77641
    figure, drawn = ablation.variant_figure(settings, table, 0.2)
    assert drawn is table and figure.axes[0].get_xlabel() == "gamma: weight of MT within MT+CF"
    assert list(figure.axes[0].lines[-2].get_ydata()) == pytest.approx(100 * theirs.to_numpy())


def test_a_variant_that_changes_nothing_has_the_profiles_own_value():
    settings = profile.load("cpu")
    own = settings.training.gamma
    settings = settings.model_copy(
        update={"variants": {"as it is": {}, "more": {"gamma": own + 0.1}}}
    )
    assert ablation.varied(settings) == "gamma"
    table = ablation.variant_table(settings, students(settings.variants))
    assert table["value"].tolist()[:2] == [own, own + 0.1]


def test_variants_of_several_settings_stand_side_by_side():
    settings = profile.load("ablation_gamma").model_copy(
        update={"variants": {"words": {"tags": "words"}, "none": {"tags": "none"}}}
    )
    assert ablation.varied(settings) is None
    table = ablation.variant_table(settings, students(settings.variants))
    assert list(table["variant"]) == ["words", "none"]
    figure, _ = ablation.variant_figure(settings, table, 0.2)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["words", "none"]


def test_every_measure_has_a_label():
    assert list(reader.LABELS)[: len(measures.MEASURES)] == list(measures.MEASURES)


def test_readings_belong_to_their_rows(monkeypatch, tmp_path):
    """Rows without an answer are left out, and kept readings come back beside the right rows."""
    from lib.common import paths

    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    predictions = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "arm": "MT:Unrevised",
            "size": "x",
            "seed": 0,
            "gold": 0,
            "correct": True,
            "question": ["Who?", "Where?", "Why?"],
            "choices": [["me", "you"], ["here", "there"], ["x", "y"]],
            "answered": pd.array([1, None, 0], "Int64"),
            "explanation": ["You.", "There.", "Because x."],
        }
    )
    settings = profile.load("smoke")
    first = reader.readings(settings, predictions)
    assert list(first["id"]) == ["a", "c"]
    assert reader.readings(settings, predictions).equals(first), "read from disk"
    assert reader.reader_table(first, resamples=5)["mean"].notna().any()
