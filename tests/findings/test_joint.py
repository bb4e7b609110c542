"""Whether an arm is as accurate as MT and explains its own answers: by hand."""

import numpy as np
import pandas as pd
import pytest

from lib.findings import joint, replication

QUESTIONS = 400
RIGHT = {  # arm -> share right, agreement
    "label-only": (0.5, np.nan),
    "MT:Unrevised": (0.5, 0.5),
    "answer-first:Unrevised": (0.5, 0.95),
    "MT-own:Revised": (0.25, 0.9),
    "MT+CF:Revised": (0.75, 0.25),
    "CF:Unrevised": (0.25, 0.5),
}


def run(arms=tuple(RIGHT)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers and explanations of two seeds; every tenth explanation names no choice."""
    keys = {"arm": arms, "seed": [0, 1], "i": range(QUESTIONS)}
    asked = pd.MultiIndex.from_product(keys.values(), names=keys).to_frame(index=False)
    asked = asked.assign(size="135M", id="q" + asked["i"].astype(str))
    share, agreement = (asked["arm"].map({a: RIGHT[a][k] for a in arms}) for k in (0, 1))
    answers = asked.assign(correct=asked["i"] % 4 < 4 * share)
    place = asked["i"] // 10 % 20 / 20
    agrees = (place < agreement).astype(float).where(asked["i"] % 10 > 0)
    told = asked.assign(agrees=agrees, argues_against=0.25, mentions_other_choices=0.5)
    return answers, told[agreement.notna()]


def test_the_goal_asks_for_both():
    table = joint.joint(*run()).set_index("arm")
    assert "label-only" not in table.index, "explains nothing"
    assert table["verdict"].to_dict() == {
        "MT:Unrevised": "–",
        "answer-first:Unrevised": "as accurate, agrees",
        "MT-own:Revised": "less accurate, agrees",
        "MT+CF:Revised": "as accurate, agrees too seldom",
        "CF:Unrevised": "less accurate, agrees too seldom",
    }
    row = table.loc["MT-own:Revised"]
    assert row[["difference", "agreement", "against", "contrast"]].tolist() == [-25, 90, 25, 50]
    assert row["low"] < -25 < row["high"] < -1 and row["agreement_low"] < 90
    assert table.loc["CF:Unrevised", "difference"] == -25, "whichever of the pair comes first"
    shown = replication.markdown(table.reset_index(), joint.JOINT).splitlines()
    assert shown[3].startswith("| MT:Unrevised | – | 50.0 [")
    assert "| answer-first:Unrevised | +0.0 [+0.0, +0.0] | 95.0 [" in "\n".join(shown)


def test_without_the_reference_or_the_measure_there_is_no_verdict():
    answers, told = run(("CF:Unrevised", "MT+CF:Revised"))
    assert joint.joint(answers, told)["verdict"].tolist() == ["–", "–"]
    assert joint.joint(answers, told.drop(columns="agrees")).empty
    assert joint.joint(answers, told.head(0)).empty


def test_points_are_accuracy_and_agreement():
    points = joint.agreement_points(*run()).set_index("arm")
    assert points.loc["MT:Unrevised", ["accuracy", "quality"]].tolist() == [50, 50]
    assert np.isnan(points.loc["label-only", "quality"]) and not points.loc["label-only", "pareto"]
    assert points.index[points["pareto"]].tolist() == ["answer-first:Unrevised", "MT+CF:Revised"]
    assert (points["accuracy_low"] < points["accuracy"]).all()
    answers, told = run(("label-only",))
    assert joint.agreement_points(answers, told)["quality"].isna().all()


@pytest.mark.parametrize(
    ("arm", "new"), [("CF:Unrevised", 0), ("answer-first:Revised", 1), ("MT:Revised, share 0.1", 0)]
)
def test_which_arms_are_not_the_papers(arm, new):
    assert joint.has_new(["label-only", arm]) == bool(new) and not joint.has_new([])
