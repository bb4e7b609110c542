"""The ratings: loading, and the tests of single constructs against R's values."""

import pandas as pd
import pytest

from lib.common.errors import UserError
from lib.human_study import reference, study

R = reference.load_golden()


def make_raw(**changes):
    rows = {
        "participant": ["1", "1", "2"],
        "method": ["MT:Unrevised", "CF:Unrevised", "Other"],
        "length": ["100", "80.5", "120"],
        "slot": ["a", "b", "a"],
        **{name: ["1", "5", "3"] for name in study.CONSTRUCTS},
    }
    return pd.DataFrame(rows | changes)


@pytest.fixture(scope="module")
def scores():
    return study.expand_counts(reference.load_rating_counts())


def test_counts_give_every_value_of_r_on_single_constructs(scores):
    ours = reference.name_values(study.analyse_scores(scores), "explainability")
    table = reference.compare_with_r(R, ours, "explainability")
    kinds = table["statistic"].str.split().str[1]
    table = table[
        kinds.isin(["descriptives", "kruskal", "dunn", "vda"])
        & ~table["statistic"].str.contains("Quality")
    ]
    assert len(table) == 100 + 25 + 42 + 24
    assert table["agrees"].all(), table[~table["agrees"]]


def test_raw_ratings_give_the_published_counts(shared):
    ratings = study.load_ratings(shared / "published" / "study.csv")
    keys = ["method", "construct", "score"]
    ours = (
        study.melt_ratings(ratings)
        .query("construct != 'Quality'")
        .groupby(keys, observed=True)
        .size()
    )
    theirs = reference.load_rating_counts().set_index(keys)["count"]
    assert len(theirs) == 100 and ours.to_dict() == theirs[theirs > 0].to_dict()


def test_significant_constructs_are_the_papers(scores):
    table = study.kruskal_table(scores).set_index("construct")
    assert set(table.index[table["p"] < 0.05]) == {"Completeness", "Contrastiveness"}


def test_vargha_delaney_by_counting():
    scores = study.expand_counts(
        pd.DataFrame(
            {
                "method": ["x", "x", "y", "y"],
                "construct": "Plausibility",
                "score": [2, 3, 1, 3],
                "count": [1, 1, 1, 1],
            }
        )
    )
    # x = {2, 3}, y = {1, 3}: two pairs greater, one equal, one less.
    row = study.vda_table(scores).iloc[0]
    assert (row["pair"], row["A"], row["cliff_delta"], row["U"]) == ("x - y", 0.625, 0.25, 2.5)


def test_methods_and_quality_of_loaded_ratings(tmp_path):
    path = tmp_path / "ratings.csv"
    make_raw(email="a@b.c", Plausibility=["2", "5", "3"]).to_csv(path, index=False)
    ratings = study.load_ratings(path)
    assert list(ratings["method"].cat.categories) == ["CF:Unrevised", "MT:Unrevised", "Other"]
    assert list(ratings["Quality"]) == [6 / 5, 5, 3]
    assert "email" not in ratings.columns  # what is not needed is not kept


def test_the_authors_names_become_ours(tmp_path):
    path = tmp_path / "study.csv"
    theirs = {new: old for old, new in study.COLUMNS.items()}
    raw = make_raw(method=["MT:PosRationales", "MT+CF:RevRationales", "CF:PosRationales"])
    raw.rename(columns=theirs).to_csv(path, index=False)
    ratings = study.load_ratings(path)
    assert list(ratings["method"]) == ["MT:Unrevised", "MT+CF:Revised", "CF:Unrevised"]
    assert {"participant", "slot", "length"} <= set(ratings.columns)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"Completeness": ["1", "6", "3"]},
            "row 2: Completeness must be a whole number from 1 to 5",
        ),
        ({"Completeness": ["1", "2.5", "3"]}, "row 2: Completeness"),
        ({"Completeness": ["", "2", "3"]}, "row 1: Completeness"),
        ({"length": ["1", "2", "0"]}, "row 3: length must be a number of characters above 0"),
        ({"method": ["", "a", "b"]}, "row 1: method must be a text"),
        ({"slot": ["a", "a", "a"]}, "one slot of one participant twice"),
    ],
)
def test_a_bad_rating_gets_one_sentence(changes, sentence, tmp_path):
    path = tmp_path / "bad.csv"
    make_raw(**changes).to_csv(path, index=False)
    with pytest.raises(UserError, match=sentence) as caught:
        study.load_ratings(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__  # no second message that repeats the rows


def test_a_fault_does_not_repeat_what_may_be_personal():
    raw = make_raw(gender=["private", None, "private"], slot=["a", "a", "b"])
    with pytest.raises(UserError) as caught:
        study.check_ratings(raw)
    assert "private" not in str(caught.value)


def test_bad_tables_get_one_sentence(tmp_path):
    with pytest.raises(UserError, match="lacks the column.*slot"):
        study.check_ratings(make_raw().drop(columns="slot"))
    with pytest.raises(UserError, match="no rating"):
        study.check_ratings(make_raw().iloc[:0])
    with pytest.raises(UserError, match="absent.csv cannot be read"):
        study.load_ratings(tmp_path / "absent.csv")
