"""The examples of notebooks/EXTENDING.md (a new task, method, student), each run."""

import io
import json
import re
import shutil

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import yaml  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from lib.common import methods, paths, profile
from lib.common.errors import UserError
from lib.evaluation import answers as evaluate
from lib.evaluation.extraction import extract  # noqa: E402
from lib.figures import style
from lib.models import checkpoints
from lib.questions import question, splits
from lib.runner import plan
from lib.students import grid, jobs, objectives
from lib.teacher import prompt

PAGE = (paths.NOTEBOOKS / "EXTENDING.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """The code of EXTENDING.md whose first line is a comment that begins with ``name``."""
    (found,) = re.findall(rf"^```\w+\n(# {re.escape(name)}\b.*?)^```$", PAGE, re.M | re.S)
    return found


def write_profile(folder, name: str, **changed) -> profile.Profile:
    """EXTENDING.md's profile, in few steps on the CPU in float32 and with what a test changes."""
    path = folder / f"{name}.yaml"
    path.write_text(example(f"notebooks/profiles/{name}.yaml"), encoding="utf-8")
    parsed = profile.parse(path)
    short = {"steps": 2, "evaluate_every": 2, "precision": "float32", "warmup_steps": 0}
    few = {
        "task": {"name": "minicqa", "train": 8, "dev": 2, "test": 3},
        "training": parsed.training.model_dump() | short,
        "evaluation": {"batch_size": 3, "answer_tokens": 4, "explanation_tokens": 4},
    }
    return profile.Profile(**parsed.model_dump() | few | changed)


def teacher_texts(settings: profile.Profile) -> pd.DataFrame:
    """A teacher's table as notebook 02 writes it, with plain texts."""
    questions = splits.load(settings.task, settings.seed)
    return pd.DataFrame(
        [
            {
                "id": q.id,
                "split": split,
                "explanation": f"It fits {q.id}.",
                "revision": f"It fits {q.id}, and {q.choices[q.wrong[0]]} does not.",
                "counterfactuals": [f"{choice} would do." for choice in q.choices],
            }
            for split in ("train", "dev")
            for q in questions[split]
        ]
    )


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Runs go to a folder of the test."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")


@pytest.mark.parametrize(
    "files",
    [
        ["lib/prompts/claims.yaml", "lib/questions/question.py", "notebooks/profiles/claims.yaml"],
        ["lib/common/methods.py", "notebooks/profiles/answer_twice.yaml"],
        ["notebooks/profiles/qwen.yaml"],
    ],
)
def test_an_example_is_short(files):
    assert sum(len(example(name).splitlines()) for name in files) < 30


def test_a_new_task_is_one_file_and_a_reader(monkeypatch, tmp_path):
    prompts, data = tmp_path / "prompts", tmp_path / "data" / "raw" / "claims"
    shutil.copytree(paths.PROMPTS, prompts)
    data.mkdir(parents=True)
    told = yaml.safe_load(example("lib/prompts/claims.yaml"))
    told["examples"] *= 7
    (prompts / "claims.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    for split, count in (("train", 100), ("test", 60)):
        rows = [{"claim": f"{i} is even", "true": i % 2 == 0} for i in range(count)]
        (data / f"{split}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    monkeypatch.setattr(paths, "PROMPTS", prompts)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(question, "PARSERS", dict(question.PARSERS))
    exec(example("lib/questions/question.py"), vars(question).copy())
    splits._load.cache_clear()

    wrong = json.dumps({"claim": "fish fly", "true": "false"}) + "\n"
    (data / "dev.jsonl").write_text(wrong, encoding="utf-8")
    with pytest.raises(UserError, match="dev.jsonl line 1: true: Input should be a valid boolean"):
        splits.load(profile.TaskSettings(name="claims"))
    (data / "dev.jsonl").unlink()

    path = tmp_path / "claims.yaml"
    path.write_text(example("notebooks/profiles/claims.yaml"), encoding="utf-8")
    settings = profile.parse(path)
    found = splits.load(settings.task, settings.seed)
    sizes = {split: len(part) for split, part in found.items()}
    assert sizes == {"train": 90, "dev": 10, "test": 50}
    assert set(plan.text_counts(settings).values()) == {100}
    first = found["test"][1]
    assert first == question.Question("test-00001", "Is it true that 1 is even?", ("yes", "no"), 1)
    assert extract(objectives.answer("No"), first.choices) == 1

    texts = prompt.read("claims")
    prefix = prompt.prefixes(texts, settings.teacher.shots, 1, 0)[0]
    case = prompt.case(first, first.answer, "So.", "Vague.")
    asked = prompt.render(prompt.explain(case, prefix), None, chat=False)
    assert asked.count("Choices: (A) yes (B) no\nThe answer is no. As a") == 8
    assert asked.count("Reply: Wool makes no heat of its own;") == 7
    assert "Question: Is it true that 1 is even?" in asked and asked.endswith("\nReply:")
    revised = prompt.revise(case, texts["requests"][0], prefix, True)
    assert revised.head[0][1].startswith("The answer is no. The heat comes from the body,")
    assert revised.opening == "The answer is no."


def test_a_new_method_trains_answers_and_has_a_look(monkeypatch, tmp_path):
    line = example("lib/common/methods.py")
    four = methods.methods
    fifth = yaml.safe_load("{" + line.split("\n", 1)[1].split("  #")[0] + "}")
    assert fifth == {"answer-twice": {"predict": 0.5, "answer_first": 0.5}}
    monkeypatch.setattr(methods, "methods", lambda **how: four(**how) | fifth)
    monkeypatch.setattr(style, "ARMS", tuple(methods.arms()))

    settings = write_profile(
        tmp_path, "answer_twice", students=[{"size": "tiny", "model": "tiny:llama"}]
    )
    assert settings.arms == ["label-only", "MT:Unrevised", "answer-twice:Unrevised"]
    texts = teacher_texts(settings)
    pairs = grid.training_pairs(settings, grid.students(settings)[2], texts)
    assert list(pairs["train"]) == ["predict", "answer_first"]
    source, target = pairs["train"]["answer_first"][0]
    assert source.startswith("[answer_first] ")
    assert re.fullmatch(r"So the answer is .+\. It fits \S+\.", target)
    one = settings.model_copy(update={"arms": ["answer-twice:Unrevised"]})
    table = jobs.train_all(one, texts)
    assert list(table["steps"]) == [2]
    history = grid.histories(one, table)
    assert set(history["task"]) == {"predict", "answer_first", "loss"}
    answers = evaluate.all_predictions(one, table)
    assert list(answers["arm"]) == ["answer-twice:Unrevised"] * 3
    assert answers["explanation"].notna().all()

    *others, look = [style.point(arm) for arm in settings.arms]
    assert (look["color"], look["marker"]) == style.NEW and look["markerfacecolor"] == "white"
    assert all(look[key] != other[key] for other in others for key in ("color", "marker"))
    figure, ax = plt.subplots()
    ax.plot([0], [50], linestyle="none", **look)
    style.name_ends({ax: dict.fromkeys(settings.arms, (0, 50))})
    assert {text.get_text() for text in ax.texts} == {*map(style.short, settings.arms)}
    figure.savefig(io.BytesIO())
    plt.close(figure)


def test_a_new_student_is_one_line(tmp_path):
    settings = write_profile(tmp_path, "qwen")
    assert [(s.size, s.lora_rank, s.base) for s in settings.students] == [
        ("0.6B", 16, "full"),
        ("0.6B-4bit", 16, "4bit"),
        ("mine", 16, "full"),
    ]
    assert settings.arms == profile.load("cpu").arms
    assert checkpoints.identity(settings.students[0].model) == {
        "model": "Qwen/Qwen3-0.6B",
        "revision": "c1899de289a04d12100db370d81485cdf75e47ca",
    }

    folder = tmp_path / "models" / "mine"
    model, tokenizer = checkpoints.load(checkpoints.fetch("tiny:llama"), "float32", "cpu")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    mine = settings.students[2]
    assert mine.model == "local:/models/mine"
    mine = mine.model_copy(update={"model": f"local:{tmp_path}/models/mine"})
    one = settings.model_copy(update={"students": [mine], "arms": ["MT:Unrevised"]})
    table = jobs.train_all(one, teacher_texts(one))
    assert list(table["steps"]) == [2]
    trained = grid.students_folder(one) / table["folder"][0]
    assert json.loads((trained / "adapter_config.json").read_text(encoding="utf-8"))["r"] == 16
    assert table["trained_parameters"][0] == sum(
        weight.numel() for weight in load_file(trained / "adapter_model.safetensors").values()
    )
    assert "`local:" in (trained / "README.md").read_text(encoding="utf-8")
