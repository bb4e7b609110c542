"""Students on tasks that they did not learn: the yes/no task, the tables and the heat map."""

from collections import Counter
from itertools import combinations

import matplotlib

matplotlib.use("Agg")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from lib.common import files, paths, profile
from lib.common.errors import UserError  # noqa: E402
from lib.common.intervals import wilson
from lib.common.profile import TaskSettings  # noqa: E402
from lib.evaluation import answers as evaluate
from lib.evaluation import transfer
from lib.figures import style
from lib.questions import splits as tasks  # noqa: E402
from lib.students import grid
from lib.teacher import prompt  # noqa: E402
from lib.teacher import texts as corpus

# The task


@pytest.fixture(scope="module")
def both():
    return [tasks.load(TaskSettings(name=name)) for name in ("minicqa", "minicqa_yesno")]


def test_each_question_is_asked_about_one_of_its_choices(both):
    for split in tasks.SPLITS:
        plain, asked = (splits[split] for splits in both)
        assert len(plain) == len(asked)
        for old, new in zip(plain, asked, strict=True):
            assert new.id == f"{old.id}-yesno" and new.choices == ("yes", "no")
            text, candidate = new.question.removesuffix('"?').split(' Is the answer "')
            assert text == old.question
            assert (candidate == old.answer_text) == (new.answer_text == "yes")
            assert candidate in old.choices


@pytest.mark.parametrize("split", tasks.SPLITS)
def test_yes_is_right_for_half_of_any_first_questions(both, split):
    answers = [q.answer for q in both[1][split]]
    for count in range(1, len(answers) + 1):
        found = Counter(answers[:count])
        assert abs(found[0] - found[1]) <= 1


def test_wrong_candidates_stand_at_every_place_and_are_drawn_by_the_id_alone(both):
    row = {
        "id": "x",
        "question": "Why?",
        "answerKey": "B",
        "choices": {"label": list("ABCDE"), "text": ["a", "b", "c", "d", "e"]},
    }
    seen = {tasks.read_yesno(row, f"test-{number:05d}") for number in range(1, 20, 2)}
    assert len(seen) == 1 and seen.pop().question != 'Why? Is the answer "b"?'
    assert tasks.read_yesno(row, "test-00002") == tasks.Question(
        "x-yesno", 'Why? Is the answer "b"?', ("yes", "no"), 0
    )
    first = both[1]["test"][1]
    assert (first.id, first.question) == (
        "g71-2-yesno",
        (
            "What can a tourist capture in an instant by pressing a camera's button? "
            'Is the answer "painting"?'
        ),
    )
    places = Counter(
        old.choices.index(new.question.split('"')[-2])
        for old, new in zip(both[0]["train"], both[1]["train"], strict=True)
        if new.answer
    )
    assert min(places[i] for i in range(5)) > 12  # 130 / 5 = 26 expected


def test_no_question_of_one_split_is_in_another_or_a_worked_example(both):
    stems = {
        split: {
            text.question.partition(" Is the answer")[0].lower()
            for splits in both
            for text in splits[split]
        }
        for split in tasks.SPLITS
    }
    assert not any(a & b for a, b in combinations(stems.values(), 2))
    known = set().union(*stems.values()) | {
        example["question"].lower() for example in prompt.read("minicqa")["examples"]
    }
    examples = prompt.read("minicqa_yesno")["examples"]
    assert not {e["question"].partition(" Is the answer")[0].lower() for e in examples} & known
    assert all(e["question"].count('Is the answer "') == 1 for e in examples)
    assert sorted(Counter(e["answer"] for e in examples).values()) == [3, 4]


# Tables


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
    """Rows as of ``collect``; shares: task -> (n, likelihood, chance)."""
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


def test_matrix_grows_with_students_of_the_same_size_and_another_task(tmp_path):
    smoke = profile.load("smoke")
    write(
        tmp_path,
        pd.concat(
            [
                results("smoke", "minicqa", MINI | YESNO),
                results("again", "minicqa", MINI),
                results(
                    "yesno", "minicqa_yesno", MINI | YESNO, ("label-only", "MT:Revised, share 0.1")
                ),
                results("large", "esnli", MINI, size="770M"),
            ]
        ),
    )
    found = transfer.matrix(smoke, transfer.collect(tmp_path))
    assert found[["profile", "arm", "task"]].values.tolist() == [
        [name, "label-only", task] for name in ("smoke", "yesno") for task in (*MINI, *YESNO)
    ]


def test_matrix_leaves_out_methods_of_other_runs_that_are_gone(tmp_path):
    smoke = profile.load("smoke")
    write(
        tmp_path,
        pd.concat(
            [
                results("smoke", "minicqa", MINI | YESNO),
                results(
                    "yesno",
                    "minicqa_yesno",
                    MINI | YESNO,
                    ("label-only", "rationale-first:Unrevised"),
                ),
            ]
        ),
    )
    found = transfer.matrix(smoke, transfer.collect(tmp_path))
    assert found[["profile", "arm"]].drop_duplicates().values.tolist() == [
        ["smoke", "label-only"],
        ["yesno", "label-only"],
    ]
    assert len(transfer.cells(found)) == 4


def test_statistics_are_long(tmp_path):
    long = transfer.statistics(results("a", "minicqa", MINI | YESNO))
    assert list(long) == ["analysis", "statistic", "group", "term", "value"] and len(long) == 16
    row = long.query("statistic == 'minicqa_yesno' and term == 'likelihood'").iloc[0]
    assert (row["group"], row["value"]) == ("label-only 135M seed 0", 0.48)


# The heat map


pytestmark = pytest.mark.usefixtures("style")  # of all tests here


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


def test_the_map_shows_numbers_frames_and_chance():
    figure, table = transfer.heat_map(results("a", "minicqa", YESNO | MINI))
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "minicqa\nn = 180\nchance 20 %",
        "minicqa_yesno\nn = 90\nchance 50 %",
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["label-only (minicqa)"]
    np.testing.assert_allclose(ax.collections[0].get_array().ravel(), [30, -2])
    assert ax.collections[0].get_clim() == (-30, 30)  # white is chance
    low, high = (f"{100 * bound:.0f}" for bound in wilson(90, 180))
    texts = {text.get_text(): text.get_fontweight() for text in ax.texts}
    assert texts["50 (+30)"] == "bold" and texts["48 (\N{MINUS SIGN}2)"] == "normal"
    assert f"{low} to {high}" in texts
    (frame,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (0, 0) and table["own"].tolist() == [False, True]


def test_the_map_of_several_runs_is_readable():
    several = pd.concat(
        [
            results("cpu", "minicqa", MINI | YESNO, style.ARMS),
            results(
                "smollm2",
                "commonsenseqa",
                MINI
                | {
                    "commonsenseqa": (1221, 0.6, 0.2),
                    "strategyqa": (687, 0.5, 0.5),
                    "esnli": (1000, 0.36, 1 / 3),
                },
                ("label-only", "MT+CF:Unrevised"),
            ),
        ]
    )
    for data in (several, results("cpu", "minicqa", MINI | YESNO, style.ARMS[:5])):
        figure, table = transfer.heat_map(data)
        figure.canvas.draw()
        assert figure.get_figwidth() <= style.DOUBLE
        drawn = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert min(text.get_fontsize() for text in drawn) >= 7
        ax = figure.axes[0]
        shown = [text.get_window_extent() for text in [*ax.texts, *ax.get_xticklabels()]]
        assert not any(a.overlaps(b) for a, b in combinations(shown, 2))
        assert len(ax.texts) == 2 * len(table)
        for box in [each.get_tightbbox() for each in figure.axes]:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1


# A run


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Two tiny students of the smoke profile, in a home of their own."""
    monkeypatch.setenv("HONEY_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "RUNS", tmp_path / "data" / "runs")
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")
    monkeypatch.setattr(paths, "MODELS", tmp_path / "data" / "models")
    smoke = profile.load("smoke")
    return smoke.model_copy(
        update={
            "students": smoke.students[:1],
            "seeds": [0],
            "arms": ["label-only", "CF:Unrevised"],
        }
    )


def test_students_answer_the_other_task(settings, monkeypatch):
    trained = grid.train_all(
        settings, corpus.write_revisions(settings, corpus.write_explanations(settings))
    )
    table = transfer.answers(settings, trained)
    assert list(table) == transfer.COLUMNS
    assert table[["trained_on", "arm", "task", "n", "chance"]].values.tolist() == [
        ["minicqa", arm, task, 10, chance]
        for arm in ("label-only", "CF:Unrevised")
        for task, chance in (("minicqa", pytest.approx(0.2)), ("minicqa_yesno", 0.5))
    ]
    student, folder = grid.finished(settings, trained)[0]
    found = evaluate.predictions(settings, student, folder, settings.evaluation.also[0])
    assert found["id"].str.endswith("-yesno").all() and set(found["likeliest"]) <= {0, 1}
    assert table["likelihood"][1] == (found["likeliest"] == found["gold"]).mean()
    monkeypatch.setattr(evaluate, "load_student", None)  # answers are kept
    pd.testing.assert_frame_equal(transfer.answers(settings, trained), table)
