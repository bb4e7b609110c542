"""Assembled prompts: reference texts, seven examples, matched pairs, chat and plain."""

import re

import pytest
from jinja2 import Template

from lib.common import profile
from lib.common.errors import UserError
from lib.questions.question import Question
from lib.teacher import prompt

QUESTION = Question("q", "Where do fish live?", ("tree", "water", "desk", "cloud", "oven"), 1)
REQUESTS = [{"critique": f"Name faults {i}.", "revision": f"Mend faults {i}."} for i in range(2)]
EXAMPLES = [
    {
        "question": f"Why {i}?",
        "choices": ["a", "b", "c", "d", "e"],
        "answer": "b",
        "explanation": f"Because {i}.",
        "draft": f"Draft {i}.",
        "critique": f"Bad {i}.",
        "revision": f"Better {i}.",
    }
    for i in range(7)
]
TEXTS = {"adjectives": ["clear", "informative"], "requests": REQUESTS, "examples": EXAMPLES}
CASE = prompt.case(QUESTION, 1, "They swim.", "Vague.")
ONE = prompt.Prefix(EXAMPLES[:1], ["informative", "clear"], [REQUESTS[1]])


def plain(made: prompt.Prompt) -> str:
    return prompt.render(made, None, chat=False)


def test_explanation_prompt_word_for_word():
    role = "As an informative and clear speaker, give the reason in one or two sentences."
    assert plain(prompt.explain(CASE, ONE)) == (
        "Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\n"
        f"The answer is b. {role}\nReply: Because 0.\n\n"
        "Question: Where do fish live?\nChoices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        f"The answer is water. {role}\nReply:"
    )


def test_counterfactual_prompt_takes_the_wrong_choice_as_the_answer():
    (prefix,) = prompt.prefixes(TEXTS, 7, 1, 0)
    made = prompt.explain(prompt.case(QUESTION, 0), prefix)
    assert "The answer is tree." in made.tail and len(made.head) == 7


def test_critique_prompt_word_for_word():
    assert plain(prompt.critique(CASE, REQUESTS[0], ONE)) == (
        "Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\nAnswer: b\n"
        "Explanation: Draft 0.\nName faults 1.\nReply: Bad 0.\n\n"
        "Question: Where do fish live?\nChoices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        "Answer: water\nExplanation: They swim.\nName faults 0.\nReply:"
    )


class ChatTokenizer:
    """Stands for a tokenizer with a chat template."""

    chat_template = "..."

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):
        assert not tokenize and add_generation_prompt
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + "<assistant>"


def test_revision_prompt_through_a_chat_template_word_for_word():
    made = prompt.render(prompt.revise(CASE, REQUESTS[0], ONE, True), ChatTokenizer(), chat=True)
    assert made == (
        "<user>Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\nAnswer: b\n"
        "Explanation: Draft 0.\nCritique: Bad 0.\nMend faults 1."
        "<assistant>The answer is b. Better 0."
        "<user>Question: Where do fish live?\n"
        "Choices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        "Answer: water\nExplanation: They swim.\nCritique: Vague.\nMend faults 0."
        "<assistant>The answer is water."
    )


def test_critique_and_revision_use_the_matched_pair_and_six_or_seven_examples():
    (prefix,) = prompt.prefixes(TEXTS, 7, 1, 0)
    criticism = prompt.critique(CASE, REQUESTS[1], prefix)
    revision = prompt.revise(CASE, REQUESTS[1], prefix, True)
    assert len(criticism.head) == 6 and len(revision.head) == 7
    assert criticism.tail.endswith("Explanation: They swim.\nName faults 1.")
    assert revision.tail.endswith("Critique: Vague.\nMend faults 1.")
    assert plain(revision).endswith("\nReply: The answer is water.")
    assert prompt.revise(CASE, REQUESTS[1], prefix, False).opening == ""


def test_zero_shot():
    (prefix,) = prompt.prefixes(TEXTS, 0, 1, 0)
    assert plain(prompt.explain(CASE, prefix)).startswith("Question: Where do fish live?")


def test_prefixes_are_seeded_and_differ():
    pool = prompt.prefixes(TEXTS, 7, 8, 0)
    assert pool == prompt.prefixes(TEXTS, 7, 8, 0) != prompt.prefixes(TEXTS, 7, 8, 1)
    assert len({str(prefix) for prefix in pool}) == 8


@pytest.mark.parametrize("dataset", profile.task_names())
def test_prompt_files(dataset):
    texts = prompt.read(dataset)
    assert len(texts["adjectives"]) >= 18 and len(texts["requests"]) >= 8
    assert len(texts["examples"]) == 7
    for example in texts["examples"]:
        assert example["answer"] in example["choices"]
        for key in ("explanation", "draft", "critique", "revision"):
            assert example[key].strip() and "\n" not in example[key]


QWEN3 = """{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}"""


@pytest.mark.parametrize(
    "template",
    [QWEN3, "<assistant><think>\n", "{% if thinking is not false %}<think>{% endif %}<assistant>"],
)
def test_a_model_that_thinks_is_told_not_to(template):
    class Tokenizer:
        chat_template = template

        def apply_chat_template(self, turns, tokenize, add_generation_prompt, **switches):
            return Template(template).render(messages=turns, **switches)

    (prefix,) = prompt.prefixes(TEXTS, 1, 1, 0)
    made = prompt.render(prompt.revise(CASE, REQUESTS[0], prefix, True), Tokenizer(), chat=True)
    assert made.endswith("The answer is water.")
    assert made.count("<think>") == made.count("</think>")
    assert re.search(r"<assistant>\s*(<think>\s*</think>\s*)?The answer is water.$", made)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("\n  A fish. \nQuestion: next", "A fish."),
        (" \n ", ""),
        ("<think>\nWell,\nfish swim.\n</think>\n\nA fish.\nNext", "A fish."),
        ("<think>\nWell,\nfish", ""),
        ("Well, fish\nswim.\n</think>\n\nA fish.", "A fish."),
        ("A <b>fish</b>. <think>Hm.</think>", "A <b>fish</b>."),
        ("<THINKING>Hm.</THINKING><think></think>A fish.", "A fish."),
        ("[THINK]Hm.[/THINK]A fish.", "A fish."),
        ("<|START_THINKING|>Hm.<|END_THINKING|>A fish.", "A fish."),
        ("<|begin_of_thought|>Hm.<|end_of_thought|>\n\nA fish.", "A fish."),
        ("◁think▷Hm.◁/think▷A fish.", "A fish."),
        ("<seed:think>Hm.</seed:think>A fish.", "A fish."),
        ("I think [they] swim.", "I think [they] swim."),
        ("A fish 🐟\ufffd", "A fish 🐟"),
        ("A fish \ud83d", "A fish"),
        ("\x00\n\x1bA fish.\r\nNext", "A fish."),
        ("A fish.\u2028Next", "A fish."),
    ],
)
def test_clean_keeps_the_first_line_after_any_thinking(written, kept):
    assert prompt.clean(written) == kept


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("where do fish live?", True),
        ("The answer is water. (B) water", True),
        ("The answer is water. As a clear speaker, give the reason in one or two sentences.", True),
        ("The answer is water. Fish breathe in it.", False),
        ("Fish live in water.", False),
    ],
)
def test_a_text_of_the_prompt_alone_is_noticed(text, only):
    assert prompt.repeats(text, CASE) == only


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"answer": False}, "answer: Input should be a valid string (found False)"),  # answer: no
        ({"choices": [True, False]}, "choices.0: Input should be a valid string (found True)"),
        ({"choices": ["a"]}, "the answer 'b' is none of a"),
        ({"draft": " "}, "draft: String should have at least 1 character (found ' ')"),
        ({"critique": None}, "critique: Input should be a valid string (found None)"),
    ],
)
def test_a_worked_example_that_is_none(monkeypatch, change, problem):
    texts = dict.fromkeys(prompt.Example.model_fields, "b") | {"choices": ["a", "b"]}
    monkeypatch.setattr(
        prompt.files, "read_yaml", lambda path: {"examples": [texts, texts | change]}
    )
    with pytest.raises(UserError) as told:
        prompt.read("minicqa")
    assert str(told.value).startswith(f"lib/prompts/minicqa.yaml: worked example 2: {problem};")
