"""The teacher's texts: what is asked and how it is batched, what starts a new run, what is lost."""

import errno
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from lib.common import files, paths, profile
from lib.common.errors import UserError
from lib.teacher import prompt, texts
from lib.teacher.shards import Shards

REFERENCE = {
    "explanation": "19b17712",
    "counterfactual": "d1db6f9d",
    "critique": "64785751",
    "revision": "2eb76058",
}


class Parrot:
    """Stands for a teacher: answers with a line of each prompt, and fails at the n-th call."""

    def __init__(self, fail_at=None):
        self.asked, self.fail_at = [], fail_at

    def texts(self, prompts, limit):
        if len(self.asked) == self.fail_at:
            raise UserError("The teacher is gone.")
        self.asked.append(prompts)
        return [f"{limit}: {p.tail.splitlines()[1]}" for p in prompts]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Function: a Corpus of the smoke profile with changed teacher settings and a Parrot."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "TEXTS", tmp_path / "texts")

    def make(seed=0, task=None, **teacher):
        smoke = profile.load("smoke")
        made = texts.Corpus(
            smoke.model_copy(
                update={
                    "seed": seed,
                    "teacher": smoke.teacher.model_copy(update=teacher),
                    "task": smoke.task.model_copy(update=task or {}),
                }
            )
        )
        made.teacher = Parrot()
        return made

    return make


def given(made):
    return {q.id: {"explanation": "So.", "critique": "Vague."} for _, q in made.questions}


def test_every_question_draws_one_prefix_of_a_small_pool_evenly(make):
    made = make(prefixes=4, shots=7, task={"train": 36, "dev": 4})
    assert pd.Series(made.prefix_of).value_counts().to_dict() == dict.fromkeys(range(4), 10)
    assert make(prefixes=4, shots=7, task={"train": 36, "dev": 4}).prefix_of == made.prefix_of
    assert make(1, {"train": 36, "dev": 4}, prefixes=4).prefix_of != made.prefix_of
    heads = {made.prompt_of("explanation", q, q.answer, {}).head for _, q in made.questions}
    assert len(heads) == 4 and all(len(head) == 7 for head in heads)


@pytest.mark.parametrize("kind", prompt.KINDS)
def test_a_batch_shares_its_worked_examples_and_batches_are_ordered_by_length(make, kind):
    made = make(prefixes=3, batch_size=4, counterfactuals="all", task={"train": 30, "dev": 5})
    questions = {q.id: q for _, q in made.questions}
    batches = made.batches(kind)
    items = [item for batch in batches for item in batch]
    assert len(items) == len(set(items)) == 35 * (5 if kind == "counterfactual" else 1)
    assert max(map(len, batches)) <= 4
    for batch in batches:
        prompts = [
            made.prompt_of(kind, questions[id], choice, given(made)[id]) for id, choice in batch
        ]
        assert len({p.head for p in prompts}) == 1
    for number in range(3):
        sizes = [
            len(questions[id].question) + len(questions[id].lettered())
            for id, _ in items
            if made.prefix_of[id] == number
        ]
        assert sizes == sorted(sizes)


def test_adjectives_come_from_the_list_two_by_two(make):
    made = make(prefixes=8)
    for prefix in made.prefixes:
        first, second = prefix.adjectives
        assert first != second and {first, second} <= set(made.texts["adjectives"])
    assert len({tuple(p.adjectives) for p in made.prefixes}) > 4, "the speaker stays the same"
    asked = made.prompt_of("explanation", made.questions[0][1], 0, {})
    first, second = made.prefixes[made.prefix_of[made.questions[0][1].id]].adjectives
    assert all(
        f"{first} and {second} speaker" in turn
        for turn in (asked.tail, *(user for user, _ in asked.head))
    )


def test_critique_and_revision_of_a_question_take_the_same_request_pair(make):
    made = make(task={"train": 100, "dev": 10})
    drawn = set()
    for _, q in made.questions:
        pair = made.texts["requests"][made.request(q)]
        assert made.prompt_of("critique", q, q.answer, given(made)[q.id]).tail.endswith(
            f"\n{pair['critique']}"
        )
        assert made.prompt_of("revision", q, q.answer, given(made)[q.id]).tail.endswith(
            f"\n{pair['revision']}"
        )
        drawn.add(made.request(q))
    assert drawn == set(range(8)), "a pair is never drawn"


@pytest.mark.parametrize("answer_given", [True, False])
def test_true_answer_in_the_revision_or_not(make, answer_given):
    made = make(answer_in_revision=answer_given)
    question = made.questions[0][1]
    asked = made.prompt_of("revision", question, question.answer, given(made)[question.id])
    assert asked.opening == (f"The answer is {question.answer_text}." if answer_given else "")
    assert all(text.startswith("The answer is ") == answer_given for _, text in asked.head)


def test_zero_shot_is_a_setting(make):
    made = make(shots=0)
    for kind in prompt.KINDS:
        question = made.questions[0][1]
        asked = made.prompt_of(kind, question, 0, given(made)[question.id])
        assert asked.head == () and question.question in asked.tail
    assert len(made.write("explanation")) == 25


@pytest.mark.parametrize(
    "change",
    [
        {"model": "tiny:t5"},
        {"precision": "bfloat16"},
        {"shots": 1},
        {"prefixes": 3},
        {"chat": True},
        {"batch_size": 4},
        {"engine": "server"},
        {"max_new_tokens": profile.TokenLimits(explanation=9)},
        {"seed": 1},
        {"task": {"train": 19}},
    ],
)
def test_any_other_setting_starts_a_new_folder(make, change):
    def folder(made):
        return Shards(paths.TEXTS, "explanation", made.plan_key("explanation")).folder

    assert folder(make()) == folder(make()) != folder(make(**change))


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"answer_in_revision": False}, {"revision"}),
        ({"counterfactuals": "all"}, {"counterfactual"}),
        (
            {
                "max_new_tokens": profile.TokenLimits(
                    **dict.fromkeys(prompt.KINDS, 8) | {"critique": 9}
                )
            },
            {"critique"},
        ),
        ({"shots": 1}, set(prompt.KINDS)),
    ],
)
def test_a_setting_of_one_kind_rewrites_that_kind(make, change, kinds):
    before, after = make(), make(**change)
    assert {
        kind
        for kind in prompt.KINDS
        if before.plan_key(kind, given(before)) != after.plan_key(kind, given(after))
    } == kinds


def test_earlier_texts_are_in_the_key_of_those_that_go_on_from_them(make):
    made = make()
    before = given(made)
    other = {id: row | {"critique": "Long."} for id, row in before.items()}
    assert made.plan_key("critique", before) == made.plan_key("critique", other)
    assert made.plan_key("revision", before) != made.plan_key("revision", other)
    other = {id: row | {"explanation": "Since."} for id, row in before.items()}
    assert made.plan_key("critique", before) != made.plan_key("critique", other)
    assert made.plan_key("explanation", before) == made.plan_key("explanation")


def test_no_mixture_of_settings_stays_on_disk(make, monkeypatch):
    """Stage 02 on explanations of other settings, then both again: as if it had never happened."""

    class Echo:
        def texts(self, prompts, limit):
            return [files.key_of([p.head, p.tail, p.opening]) for p in prompts]

    monkeypatch.setattr(texts.Corpus, "teacher", Echo())
    old, new = make().settings, make(shots=1).settings
    whole = texts.write_revisions(new, texts.write_explanations(new))
    monkeypatch.setattr(paths, "TEXTS", paths.TEXTS.parent / "again")
    mixed = texts.write_revisions(new, texts.write_explanations(old))
    again = texts.write_revisions(new, texts.write_explanations(new))
    assert again.equals(whole) and not mixed["critique"].eq(whole["critique"]).any()


def test_a_comment_changes_no_key_and_a_worked_example_does(make, monkeypatch, tmp_path):
    def keys():
        made = make()
        return [made.plan_key(kind, given(made)) for kind in prompt.KINDS]

    first = keys()
    copy = tmp_path / "commented.py"
    copy.write_text(
        Path(prompt.__file__).read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8"
    )
    spec = importlib.util.spec_from_file_location("lib.teacher.commented", copy)
    commented = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, commented)  # its dataclasses look themselves up
    spec.loader.exec_module(commented)
    monkeypatch.setattr(texts, "prompt", commented)
    monkeypatch.setattr(paths, "PROMPTS", shutil.copytree(paths.PROMPTS, tmp_path / "prompts"))
    path = paths.PROMPTS / "minicqa.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert keys() == first
    shown = make().prefixes[0].examples[0]["explanation"]
    assert path.read_text(encoding="utf-8").count(shown) == 1
    path.write_text(path.read_text(encoding="utf-8").replace(shown, "So it is."), encoding="utf-8")
    changed = [before != after for before, after in zip(first, keys(), strict=True)]
    assert changed == [True, True, False, False]  # a worked critique shows the draft instead


def test_prompts_of_smoke_are_those_of_the_reference(make):
    """The first digits of the SHA-256 over all prompts: texts, weights and numbers follow."""
    made = make()
    keys = {kind: made.plan_key(kind, given(made))["prompts"][:8] for kind in prompt.KINDS}
    assert keys == REFERENCE


def test_another_revision_of_the_teacher_starts_a_new_folder(make):
    first, second = (make(model=f"hub:a/b@{n}").plan_key("explanation") for n in (1111, 2222))
    assert first["revision"] == "1111" and first != second


def test_manifest_tells_counts_hash_model_prompts_and_decoding(make):
    made = make()
    written = made.write("explanation")
    (path,) = paths.TEXTS.glob("explanation-*/manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["records"] == len(written) == 25 and manifest["shards"] == 4
    settings = manifest["settings"]
    assert len(settings["prompts"]) == 64 and settings["sha256"]
    assert settings["model"] == "tiny:llama" and settings["max_new_tokens"] == 8
    assert len(manifest["sha256"]) == 64
    assert len(list(path.parent.glob("shard-*.jsonl"))) == 4


def test_a_teacher_that_dies_in_mid_run_loses_nothing(make):
    expected = make().write("explanation")
    made = make(shots=1)
    made.teacher = Parrot(fail_at=2)
    with pytest.raises(UserError, match="The teacher is gone"):
        made.write("explanation")
    again = make(shots=1)
    assert again.write("explanation") == expected and len(again.teacher.asked) == 2


def test_a_full_disk_in_mid_run_is_a_sentence_and_the_rest_is_written_later(make, monkeypatch):
    made, real, left = make(), files.os.fsync, [3]

    def full(handle):  # settings.json and two shards fit
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        UserError,
        match=r"Cannot write .*shard-00002.*: No space left on device; free "
        "space .* run the same command again",
    ):
        made.write("explanation")
    (folder,) = paths.TEXTS.glob("explanation-*")
    names = sorted(path.name[:11] for path in folder.iterdir())
    assert names == ["settings.js", "shard-00000", "shard-00001"], "something half-written is left"
    monkeypatch.setattr(files.os, "fsync", real)
    again = make()
    assert len(again.write("explanation")) == 25 and len(again.teacher.asked) == 2


def test_a_folder_that_cannot_be_written_is_a_sentence(make, tmp_path):
    (tmp_path / "texts").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(UserError, match="Cannot write .*settings.json: .*make the folder writable"):
        make().write("explanation")


def test_written_texts_take_the_place_of_the_teachers(make):
    made = make(source="written")
    explained = texts.write_explanations(made.settings)
    table = texts.write_revisions(made.settings, explained)
    assert list(table["id"]) == [q.id for _, q in made.questions]
    assert table[explained.columns].equals(explained)
    for row, (_, q) in zip(table.to_dict("records"), made.questions, strict=True):
        texts_of = texts.read_written("minicqa")[q.id]
        assert row["explanation"] == texts_of["explanation"]
        assert row["counterfactuals"][q.answer] is None
        assert all(q.choices[i] in texts_of["counterfactuals"] for i in q.wrong)


@pytest.mark.parametrize("kind", prompt.KINDS)
def test_a_question_without_a_written_text_is_named(make, monkeypatch, kind):
    made = make(source="written")
    known, (_, question) = texts.read_written("minicqa"), made.questions[3]
    row = known[question.id] | {kind: ""}
    if kind == "counterfactual":
        row["counterfactuals"] = {}
    monkeypatch.setattr(texts, "read_written", lambda *_: known | {question.id: row})
    with pytest.raises(
        UserError, match=rf"'{question.id}' \(.*\) has no written {kind}.*texts.jsonl or lower"
    ):
        texts.write_explanations(made.settings)
    monkeypatch.setattr(texts, "read_written", lambda *_: {})
    with pytest.raises(UserError, match=f"'{made.questions[0][1].id}' .* no written explanation"):
        texts.write_explanations(made.settings)


def test_the_teacher_writes_live_for_the_first_questions_only(make, monkeypatch):
    monkeypatch.setattr(texts.Corpus, "teacher", Parrot())
    settings = make(source="written", live=3).settings
    live, revised = texts.write_live(settings), texts.write_live(settings, revised=True)
    assert list(live["id"]) == list(texts.write_explanations(settings)["id"][:3])
    assert live["explanation"].str.startswith("8: Choices").all()
    assert revised[live.columns].equals(live) and revised["revision"].notna().all()
    assert texts.write_live(make(source="written").settings).empty
    assert texts.write_live(make(live=3).settings).empty, "where it writes all, nothing is extra"
