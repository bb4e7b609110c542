"""Tables about texts: measures, summary, provenance; the published texts through all of them."""

import pandas as pd

from lib.common import paths, profile
from lib.questions import release, splits
from lib.teacher import tables, texts


def test_measures_of_texts():
    table = pd.DataFrame(
        [
            {
                "id": "q",
                "choices": ["fox", "hen", "cow"],
                "answer": 0,
                "explanation": "",
                "critique": None,
                "revision": "A hen, and a cow, and a hen, and a cow, and a hen, and a cow.",
                "counterfactuals": ["A fox.", None, ""],
            }
        ]
    )
    long = tables.long_table(table)
    assert long["kind"].tolist() == ["explanation", "revision", "counterfactual", "counterfactual"]
    assert long["empty"].tolist() == [True, False, False, True]
    assert long["degenerate"].tolist() == [False, True, False, False]
    assert long["mentions_other_choices"].tolist() == [0, 1, 0, 0]
    summary = tables.summary(long).set_index("kind")
    assert summary.loc["counterfactual"].tolist() == [2, 3, 0.5, 0, 0]


def test_provenance_names_prompts_and_teacher():
    smoke = profile.load("smoke")
    asked = texts.Corpus(smoke).plan_key("explanation")
    origin = tables.origin(smoke)
    assert origin["prompts_sha256"] == asked["prompts"] and origin["model"] == "tiny:llama"


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
