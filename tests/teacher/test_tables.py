"""Tables about texts: measures, summary, provenance; the published texts through all of them."""

import pandas as pd
import pytest

from lib.common import paths, profile
from lib.common.errors import UserError
from lib.questions import release, splits
from lib.teacher import tables, texts


def long_table(texts, revisions=None, counterfactuals=()):
    """The long table of questions with these explanations and revisions."""
    return tables.long_table(
        pd.DataFrame(
            [
                {
                    "id": f"q{number}",
                    "question": f"Who lives in shed {number}?",
                    "choices": ["fox", "hen", "cow"],
                    "answer": 0,
                    "explanation": text,
                    "critique": None,
                    "revision": revision,
                    "counterfactuals": counterfactuals,
                }
                for number, (text, revision) in enumerate(
                    zip(texts, revisions or texts, strict=True)
                )
            ]
        )
    )


def test_measures_of_texts():
    long = long_table(
        [""],
        ["A hen, and a cow, and a hen, and a cow, and a hen, and a cow."],
        ["A fox.", None, ""],
    )
    assert long["kind"].tolist() == ["explanation", "revision", "counterfactual", "counterfactual"]
    assert long["empty"].tolist() == [True, False, False, True]
    assert long["degenerate"].tolist() == [False, True, False, False]
    assert long["mentions_other_choices"].tolist() == [0, 1, 0, 0]
    summary = tables.summary(long).set_index("kind")
    assert summary.loc["counterfactual"].tolist() == [2, 3, 0.5, 0, 0.5, 0, 0, 0]


GOOD = [f"Foxes of farm {number} sleep here." for number in range(4)]


@pytest.mark.parametrize(
    ("fault", "texts"),
    [
        ("empty", ["", "", "", *GOOD[:1]]),
        ("only_tags", ["<think>", "<|im_start|>", "[MASK] </s>", *GOOD[:1]]),
        ("only_tags", ["...", "```", "# Reason", *GOOD[:1]]),
        ("only_prompt", ["Who lives in shed 0?", "The answer is fox.", "fox", *GOOD[:1]]),
        ("only_prompt", ["Question: Who", "Q: Why?", "Choices: (A) fox", *GOOD[:1]]),
        ("identical", ["I cannot help.", "I cannot help.", "I cannot help.", *GOOD[:1]]),
    ],
)
def test_unusable_texts_are_counted_and_too_many_stop_the_run(fault, texts):
    long = long_table(GOOD, texts)
    summary = tables.summary(long).set_index("kind")
    shares = summary.loc["revision", tables.FAULTS]
    assert shares[fault] == 0.75 and shares.sum() == 0.75
    assert not summary.loc["explanation", tables.FAULTS].any()
    smoke = profile.load("smoke")
    tables.refuse_unusable(long, smoke)
    teacher = smoke.teacher.model_copy(update={"most_unusable": 0.5})
    strict = smoke.model_copy(update={"teacher": teacher})
    with pytest.raises(
        UserError, match=rf"3 of 4 .* revision .*3 {fault}.*0\.5 .*most_unusable\.$"
    ):
        tables.refuse_unusable(long, strict)
    tables.refuse_unusable(long_table(GOOD[:2] + texts[:2]), strict)
    assert strict.model_dump() == smoke.model_dump(), "no key may hold it"


def test_other_scripts_are_words_and_unchanged_revisions_do_not_stop():
    long = long_table(["狐狸住在棚里。", "Лиса живёт в сарае."])
    assert not long[tables.FAULTS].any(axis=None)
    tables.refuse_unusable(long, profile.load("cpu"))


def test_provenance_names_prompts_and_teacher():
    smoke = profile.load("smoke")
    asked = texts.Corpus(smoke).plan_key("explanation")
    origin = tables.origin(smoke)
    assert origin["prompts_sha256"] == asked["prompts"] and origin["model"] == "tiny:llama"


def test_written_texts_beside_those_that_the_teacher_writes_live():
    cpu = profile.load("cpu")
    written = texts.write_revisions(cpu, texts.write_explanations(cpu))
    live = written.head(3).assign(
        explanation="It is so.",
        counterfactuals=[[f"{c}, or not." for c in row] for row in written["choices"].head(3)],
    )
    shown = tables.beside(cpu, written, live, "explanation").data
    first, answer = written.iloc[0], written["choices"][0][written["answer"][0]]
    assert shown.iloc[0].tolist() == [
        *("explanation", f"{first.question} → {answer}", first.explanation, "It is so.")
    ]
    assert len(shown) == 3 and shown.columns[-1] == "live: embedded:smollm2-135m-instruct"
    found = tables.compared(written, live)
    assert found.loc[("explanation", "live"), "identical"] == 1
    assert found.loc[("explanation", "written"), "identical"] == 0
    assert found.loc[("counterfactual", "live"), "texts"] == 12
    assert found["texts"].groupby("kind").nunique().eq(1).all()
    none = tables.beside(cpu, written, live.head(0), "explanation")
    assert "Nothing is written live" in none.data
    assert tables.origin(cpu)["texts"].startswith("data/minicqa/texts.jsonl, SHA-256 ")


def test_published_texts_of_the_first_questions(shared, monkeypatch, tmp_path):
    """Profile published: 200 questions; a revision names more of the other choices."""
    monkeypatch.setenv("HONEY_SOURCE", str(shared / "published"))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    splits._load.cache_clear()
    release.teacher_table.cache_clear()
    settings = profile.load("published")
    explanations = texts.write_explanations(settings)
    table = texts.write_revisions(settings, explanations)
    assert table["split"].value_counts().to_dict() == {"train": 180, "dev": 20}
    assert explanations.columns[-1] == "counterfactuals"
    long = tables.long_table(table)
    summary = tables.summary(long).set_index("kind")
    assert summary["texts"].drop("counterfactual").eq(200).all()
    named = summary["mentions_other_choices"]
    assert named["revision"] > 0.3 > 0.1 > named["explanation"]
    assert len(tables.pairs(settings, long)) == 200
    assert tables.cleaning(settings)["texts"].tolist() == [9741, 9741, 48705]
    train, counts = release.load("commonsenseqa", "train")
    part = pd.concat([train[train["revision"].isna()], train.head(40)])
    monkeypatch.setattr(release, "load", lambda *_: (part, counts))
    whole = settings.model_copy(update={"task": settings.task.model_copy(update={"train": None})})
    assert len(tables.pairs(whole, long)) == 40, "the whole file, also what is not trained on"
    published = "published: DanielHendriks/llm-distillation at c31"
    assert tables.origin(settings)["texts"].startswith(published)
