"""The model judge: expected ratings, and agreement with people before it is believed."""

import pandas as pd
import pytest

from lib import judge, models
from lib.errors import UserError
from lib.study import CONSTRUCTS

ROWS = pd.DataFrame({"question": ["Who?", "Why?", "Where?"], "choices": [["me", "you"]] * 3,
                     "answered": pd.array([0, 1, None], "Int64"),
                     "explanation": ["It was me.", "You know.", "Here."]}, index=[3, 5, 6])


def test_expected_ratings_lie_on_the_scale():
    model, tokenizer = models.load(models.fetch("tiny:llama"), "float32", "cpu")
    found = judge.judge(model, tokenizer, ROWS)
    assert list(found.index) == [3, 5] and list(found) == [*CONSTRUCTS, "Quality"]
    assert found.min().min() >= 1 and found.max().max() <= 5
    assert found["Quality"].tolist() == pytest.approx(found[list(CONSTRUCTS)].mean(axis=1).tolist())


def test_the_prompt_shows_what_is_rated():
    text = judge.judge_prompt(ROWS.iloc[0].to_dict(), "It is sound.")
    assert text.startswith("Question: Who?\nChoices: (A) me (B) you\nExplanation: It was me.\n")
    assert "So the answer is me.\nStatement: It is sound.\nFrom 1 (strongly disagree)" in text


def scored(values, **columns):
    return pd.DataFrame({**columns, **{name: values for name in (*CONSTRUCTS, "Quality")}})


def test_agreement_by_hand():
    """Ranks 1 2 3 4 against 1 2 4 3: Spearman's rho is 1 - 6 * 2 / (4 * 15) = 0.8."""
    same = {"method": "MT:Revised", "length": 10}
    judged = scored([1.0, 2.0, 3.0, 4.0], question=list("abcd"), **same)
    rated = scored([1, 2, 3, 5, 4, 2], question=list("abdcda"), **same)  # a: 1.5, b: 2, d: 3.5, c: 5
    found = judge.agreement(judged, rated).set_index("construct")
    assert found.loc["Plausibility", "rho"] == pytest.approx(0.8)
    assert (found["explanations"] == 4).all() and found["low"].max() < 0.8 < found["high"].min()
    with pytest.raises(UserError, match="Only 2 explanations were rated by people and by the judge"):
        judge.agreement(judged[:2], rated)
