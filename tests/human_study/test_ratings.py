"""The ratings: loading, checks, outliers."""

import numpy as np
import pandas as pd
import pytest

from lib.common.errors import UserError
from lib.human_study.ratings import (
    COLUMNS,
    CONSTRUCTS,
    check_ratings,
    drop_outliers,
    load_ratings,
    require_ratings,
)


def make_raw(**changes):
    rows = {
        "participant": ["1", "1", "2"],
        "method": ["MT:Unrevised", "CF:Unrevised", "Other"],
        "length": ["100", "80.5", "120"],
        "slot": ["a", "b", "a"],
        **{name: ["1", "5", "3"] for name in CONSTRUCTS},
    }
    return pd.DataFrame(rows | changes)


def test_quality_outliers_are_seventeen(ratings):
    assert len(ratings) == 1114
    assert len(drop_outliers(ratings)) == 1114 - 17


def test_a_rating_on_the_fence_is_no_outlier(make_ratings):
    ratings = make_ratings(people=2)[:5].assign(method="x")
    # Sums 15, 15, 16, 17 and one more: quartiles 15 and 17, fences at sums 12 and 20.
    for last, outlier in ((20, False), (21, True)):
        quality = np.array([15, 15, 16, 17, last]) / 5
        kept = drop_outliers(ratings.assign(Quality=quality))
        assert list(kept.index) == list(ratings.index[: 4 if outlier else 5])


def test_methods_and_quality_of_loaded_ratings(tmp_path):
    path = tmp_path / "ratings.csv"
    make_raw(email="a@b.c", Plausibility=["2", "5", "3"]).to_csv(path, index=False)
    ratings = load_ratings(path)
    assert list(ratings["method"].cat.categories) == ["CF:Unrevised", "MT:Unrevised", "Other"]
    assert list(ratings["Quality"]) == [6 / 5, 5, 3]
    assert "email" not in ratings.columns  # what is not needed is not kept


def test_the_authors_names_become_ours(tmp_path):
    path = tmp_path / "study.csv"
    theirs = {new: old for old, new in COLUMNS.items()}
    raw = make_raw(method=["MT:PosRationales", "MT+CF:RevRationales", "CF:PosRationales"])
    raw.rename(columns=theirs).to_csv(path, index=False)
    ratings = load_ratings(path)
    assert list(ratings["method"]) == ["MT:Unrevised", "MT+CF:Revised", "CF:Unrevised"]
    assert {"participant", "slot", "length"} <= set(ratings.columns)


def save(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


EXPORTS = {
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "a mark of UTF-8": lambda text: "\N{ZERO WIDTH NO-BREAK SPACE}" + text,
    "Windows' ends of lines": lambda text: text.replace("\n", "\r\n"),
    "blanks around names and values": lambda text: text.replace(",", " , "),
}


@pytest.mark.parametrize("changed", EXPORTS.values(), ids=EXPORTS)
def test_what_spreadsheets_write_is_read(changed, tmp_path):
    text = make_raw().to_csv(index=False)
    plain, other = save(tmp_path / "a.csv", text), save(tmp_path / "b.csv", changed(text))
    pd.testing.assert_frame_equal(load_ratings(plain), load_ratings(other))


def headings(*rows):
    """Ratings with rows of headings below their names, as services for surveys export them."""
    return pd.concat(
        [
            *(
                pd.DataFrame([make_raw().columns.map(row.format)]).set_axis(
                    make_raw().columns, axis=1
                )
                for row in rows
            ),
            make_raw(),
        ]
    )


@pytest.mark.parametrize("rows", [["Rate: {}"], ["Rate, please: {}", '{{"ImportId":"{}"}}']])
def test_headings_below_the_names_are_dropped_with_a_line(rows, tmp_path, capsys):
    path = tmp_path / "export.csv"
    headings(*rows).to_csv(path, index=False)
    ratings = load_ratings(path)
    assert f"{len(rows)} row(s) of headings below" in capsys.readouterr().out
    make_raw().to_csv(path, index=False)
    pd.testing.assert_frame_equal(ratings, load_ratings(path))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text, sentence",
    [
        (lambda text: text.replace("100", "", 1), "row 1: length must be a number"),
        (lambda text: text.replace("1,1,1,1,1\n", "a,b,c,d,e\n"), "row 1: Plausibility must be"),
        (lambda text: text.replace("slot", "method ", 1), "two columns method; remove one"),
        (lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1), "Expected 9 fields"),
        (lambda text: text.replace(",3\n", "\n"), "row 3: Contrastiveness must be"),
    ],
)
def test_an_export_that_cannot_be_read_is_one_sentence(text, sentence, tmp_path):
    path = save(tmp_path / "bad.csv", text(make_raw().to_csv(index=False)))
    with pytest.raises(UserError, match=sentence) as caught:
        load_ratings(path)
    assert "\n" not in str(caught.value)


def test_another_encoding_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="not UTF-8"):
        load_ratings(save(tmp_path / "a.csv", make_raw().to_csv(index=False), "utf-16"))


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
        load_ratings(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__  # no second message that repeats the rows


def test_a_fault_does_not_repeat_what_may_be_personal():
    raw = make_raw(gender=["private", None, "private"], slot=["a", "a", "b"])
    with pytest.raises(UserError) as caught:
        check_ratings(raw)
    assert "private" not in str(caught.value)


def test_bad_tables_get_one_sentence(tmp_path):
    with pytest.raises(UserError, match="lacks the column.*slot"):
        check_ratings(make_raw().drop(columns="slot"))
    with pytest.raises(UserError, match="no rating"):
        check_ratings(make_raw().iloc[:0])
    with pytest.raises(UserError, match="absent.csv cannot be read"):
        load_ratings(tmp_path / "absent.csv")


def test_too_few_or_constant_ratings_get_one_sentence(make_ratings):
    ratings = make_ratings()
    with pytest.raises(UserError, match="8 ratings each"):
        require_ratings(ratings.iloc[:20])
    with pytest.raises(UserError, match="Every rating of Completeness is the same"):
        require_ratings(ratings.assign(Completeness=3.0))
