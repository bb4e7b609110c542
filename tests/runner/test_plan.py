"""The plan counts what a profile asks for without loading anything."""

import json

from lib.common import profile
from lib.runner import plan


def test_paper_plan():
    settings = profile.load("paper")
    assert plan.question_counts(settings) == {"train": 8766, "dev": 975, "test": 1221}
    assert plan.text_counts(settings) == {
        "explanation": 9741,
        "counterfactual": 48705,
        "critique": 9741,
        "revision": 9741,
    }
    text = "\n".join(plan.describe(settings))
    assert "72 trainings (6 arms x 2 sizes x 6 seeds) of 5,000 steps x 64 questions" in text
    assert text.count("model ") == 3 and "tau/commonsense_qa at 94630fe3" in text


def test_sizes_are_those_of_the_source(tmp_path):
    """Published tables have pinned sizes, files of one's own are counted, the hub's are stated."""

    def sizes(**task):
        settings = profile.load("smollm2_gpu")
        return plan.question_counts(
            settings.model_copy(update={"task": profile.TaskSettings(**task)})
        )

    assert sizes(name="esnli", source="published") == {"train": 9884, "dev": 1099, "test": 9824}
    assert sizes(name="esnli", test=50)["test"] == 50 and sizes(name="esnli")["train"] == 494430
    row = '{"qid": "%s", "question": "Is it?", "answer": true}\n'
    (tmp_path / "train.jsonl").write_text("".join(row % i for i in range(20)), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text("".join(row % f"t{i}" for i in range(3)), encoding="utf-8")
    assert sizes(name="strategyqa", source=f"folder:{tmp_path}") == {
        "train": 18,
        "dev": 2,
        "test": 3,
    }


def test_the_default_downloads_nothing():
    settings = profile.load("cpu")
    assert plan.downloads(settings) == []
    assert plan.text_counts(settings)["counterfactual"] == 12
    teacher = "Teacher    written texts of all questions; live beside them, embedded:smollm2"
    assert plan.describe(settings)[2].startswith(teacher)
    assert plan.text_counts(profile.load("selftaught"))["counterfactual"] == 128
    assert "Answers    800 test answers, 160 explanations" in plan.describe(settings)
    assert set(plan.text_counts(profile.load("smollm2_gpu")).values()) == {0}


def test_other_tasks_and_the_reader_are_downloaded_too():
    settings = profile.load("cpu")
    evaluation = settings.evaluation.model_copy(
        update={"also": [profile.TaskSettings(name="strategyqa")], "reader": "hub:owner/name@1"}
    )
    assert plan.downloads(settings.model_copy(update={"evaluation": evaluation})) == [
        "questions ChilleD/StrategyQA at 705562638fe1d8ca6bb98c66fc8f94d45fda8c83",
        "model owner/name@1",
    ]


def test_counterfactuals_are_counted_by_each_questions_choices(tmp_path):
    """The worked examples have five choices, these questions two, three or four."""
    for split, count in (("train", 20), ("test", 1)):
        (tmp_path / f"{split}.jsonl").write_text(
            "".join(
                json.dumps(
                    {
                        "id": f"{split}-{i}",
                        "question": "Why?",
                        "answerKey": "A",
                        "choices": {
                            "label": list("ABCD")[: 2 + i % 3],
                            "text": list("wxyz")[: 2 + i % 3],
                        },
                    }
                )
                + "\n"
                for i in range(count)
            ),
            encoding="utf-8",
        )
    settings = profile.load("paper").model_copy(
        update={"task": profile.TaskSettings(name="commonsenseqa", source=f"folder:{tmp_path}")}
    )
    counts = plan.text_counts(settings)
    assert counts["explanation"] == 20 and counts["counterfactual"] == 7 * 2 + 7 * 3 + 6 * 4


def test_variants_that_differ_in_steps_show_the_range():
    settings = profile.load("learning_curve").model_copy(
        update={"variants": {"few": {"steps": 7}, "many": {"steps": 1200, "batch_size": 8}}}
    )
    assert (
        "4 trainings (2 arms x 2 variants x 1 size x 1 seed) of 7 to 1,200 steps x 4 to 8 questions"
        in "\n".join(plan.describe(settings))
    )
