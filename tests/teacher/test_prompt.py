"""Assembled prompts: golden text, seven examples, matched pairs, chat and plain."""

import pytest

from lib.common import profile
from lib.questions.splits import Question
from lib.teacher import prompt

QUESTION = Question("q", "Where do fish live?", ("tree", "water", "desk", "cloud", "oven"), 1)


@pytest.fixture
def texts():
    return {
        "adjectives": ["clear", "informative"],
        "requests": [
            {"critique": f"Name faults {i}.", "revision": f"Mend faults {i}."} for i in range(2)
        ],
        "examples": [
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
        ],
    }


def test_explanation_prompt_word_for_word(texts):
    variant = {
        "examples": texts["examples"][:1],
        "adjectives": ["informative", "clear"],
        "requests": [0],
    }
    made = prompt.render(prompt.explain(QUESTION, 1, variant), None, chat=False)
    role = "As an informative and clear speaker, give the reason in one or two sentences."
    assert made == (
        "Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\n"
        f"The answer is b. {role}\nReply: Because 0.\n\n"
        "Question: Where do fish live?\nChoices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        f"The answer is water. {role}\nReply:"
    )


def test_counterfactual_prompt_takes_the_wrong_choice_as_the_answer(texts):
    variant = prompt.variants(texts, 7, 1, 0)[0]
    made = prompt.explain(QUESTION, 0, variant)
    assert "The answer is tree." in made.tail and len(made.head) == 7


def test_critique_and_revision_use_the_matched_pair(texts):
    variant = prompt.variants(texts, 7, 1, 0)[0]
    criticism = prompt.critique(QUESTION, "They swim.", 1, variant, texts)
    revision = prompt.revise(QUESTION, "They swim.", "Vague.", 1, variant, texts, True)
    assert len(criticism.head) == 6 and len(revision.head) == 7
    assert criticism.tail.endswith("Explanation: They swim.\nName faults 1.")
    assert revision.tail.endswith("Critique: Vague.\nMend faults 1.")
    assert revision.opening == "The answer is water."
    assert prompt.render(revision, None, chat=False).endswith("\nReply: The answer is water.")
    assert prompt.revise(QUESTION, "x", "y", 1, variant, texts, False).opening == ""


def test_critique_prompt_word_for_word(texts):
    variant = {
        "examples": texts["examples"][:1],
        "adjectives": ["clear", "informative"],
        "requests": [1],
    }
    made = prompt.render(
        prompt.critique(QUESTION, "They swim.", 0, variant, texts), None, chat=False
    )
    assert made == (
        "Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\nAnswer: b\nExplanation: Draft 0.\n"
        "Name faults 1.\nReply: Bad 0.\n\n"
        "Question: Where do fish live?\nChoices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        "Answer: water\nExplanation: They swim.\nName faults 0.\nReply:"
    )


def test_zero_shot(texts):
    variant = prompt.variants(texts, 0, 1, 0)[0]
    assert prompt.render(prompt.explain(QUESTION, 1, variant), None, chat=False).startswith(
        "Question: Where do fish live?"
    )


def test_variants_are_seeded_and_differ(texts):
    assert prompt.variants(texts, 7, 8, 0) == prompt.variants(texts, 7, 8, 0)
    assert prompt.variants(texts, 7, 8, 0) != prompt.variants(texts, 7, 8, 1)
    pool = prompt.variants(texts, 7, 8, 0)
    assert len({str(v) for v in pool}) == 8


@pytest.mark.parametrize("task", profile.task_names())
def test_prompt_files(task):
    texts = prompt.read(task)
    assert len(texts["adjectives"]) >= 18 and len(texts["requests"]) >= 8
    assert len(texts["examples"]) == 7
    for example in texts["examples"]:
        assert example["answer"] in example["choices"]
        for key in ("explanation", "draft", "critique", "revision"):
            assert example[key].strip() and "\n" not in example[key]


def test_clean_keeps_the_first_line():
    assert prompt.clean("\n  A fish. \nQuestion: next") == "A fish."
    assert prompt.clean(" \n ") == ""


class ChatTokenizer:
    """Stands for a tokenizer with a chat template."""

    def apply_chat_template(self, turns, tokenize, add_generation_prompt):
        assert not tokenize and add_generation_prompt
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + "<assistant>"


def test_chat_template_word_for_word(texts):
    variant = {
        "examples": texts["examples"][:1],
        "adjectives": ["clear", "informative"],
        "requests": [1],
    }
    made = prompt.render(
        prompt.revise(QUESTION, "They swim.", "Vague.", 0, variant, texts, True),
        ChatTokenizer(),
        chat=True,
    )
    assert made == (
        "<user>Question: Why 0?\nChoices: (A) a (B) b (C) c (D) d (E) e\nAnswer: b\n"
        "Explanation: Draft 0.\nCritique: Bad 0.\nMend faults 1."
        "<assistant>The answer is b. Better 0."
        "<user>Question: Where do fish live?\nChoices: (A) tree (B) water (C) desk (D) cloud (E) oven\n"
        "Answer: water\nExplanation: They swim.\nCritique: Vague.\nMend faults 0."
        "<assistant>The answer is water."
    )
