"""The plan counts what a profile asks for without loading anything."""

from lib import plan, profile


def test_paper_plan():
    settings = profile.load("paper")
    assert plan.question_counts(settings) == {"train": 8766, "dev": 975, "test": 1221}
    assert plan.text_counts(settings) == {"explanation": 9741, "counterfactual": 48705,
                                          "critique": 9741, "revision": 9741}
    text = "\n".join(plan.describe(settings))
    assert "72 trainings (6 arms x 2 sizes x 6 seeds) of 5,000 steps x 64 questions" in text
    assert text.count("model ") == 3 and "tau/commonsense_qa at 94630fe3" in text


def test_sizes_are_those_of_the_source(tmp_path):
    """Published tables have pinned sizes, files of one's own are counted, the hub's are stated."""
    def sizes(**task):
        settings = profile.load("smollm2")
        return plan.question_counts(settings.model_copy(update={"task": profile.TaskSettings(**task)}))

    assert sizes(name="esnli", source="published") == {"train": 9884, "dev": 1099, "test": 9824}
    assert sizes(name="esnli", test=50)["test"] == 50 and sizes(name="esnli")["train"] == 494430
    row = '{"qid": "a", "question": "Is it?", "answer": true}\n'
    (tmp_path / "train.jsonl").write_text(20 * row)
    (tmp_path / "test.jsonl").write_text(3 * row)
    assert sizes(name="strategyqa", source=f"folder:{tmp_path}") == {"train": 18, "dev": 2, "test": 3}


def test_the_default_downloads_nothing():
    settings = profile.load("cpu")
    assert plan.downloads(settings) == []
    assert plan.text_counts(settings)["counterfactual"] == 128
    assert "Answers    900 test answers, 240 explanations" in plan.describe(settings)
    assert set(plan.text_counts(profile.load("smollm2")).values()) == {0}


def test_other_tasks_and_the_reader_are_downloaded_too():
    settings = profile.load("cpu")
    evaluation = settings.evaluation.model_copy(update={
        "also": [profile.TaskSettings(name="strategyqa")], "reader": "hub:owner/name@1"})
    assert plan.downloads(settings.model_copy(update={"evaluation": evaluation})) == [
        "questions ChilleD/StrategyQA at 705562638fe1d8ca6bb98c66fc8f94d45fda8c83",
        "model owner/name@1"]
