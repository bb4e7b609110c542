"""What the teacher is asked: worked examples, adjectives and matched requests put into turns.

Explanation prompting and critique-revision prompting follow the paper (arXiv 2504.16056); the
worked texts in lib/prompts/*.yaml are ours.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import yaml

from lib.common import files as store
from lib.common import paths
from lib.common.errors import UserError
from lib.questions.splits import Question

FIELDS = ("question", "choices", "answer", "explanation", "draft", "critique", "revision")
KINDS = ("explanation", "counterfactual", "critique", "revision")


@dataclass(frozen=True)
class Prompt:
    """Turns that a whole group of questions shares (``head``) and the question's own (``tail``)."""

    head: tuple[tuple[str, str], ...]  # (user, assistant) pairs of the worked examples
    tail: str  # the last user turn
    opening: str = ""  # the first words of the answer, already given


def read(task: str) -> dict:
    """Worked examples of a task together with the common adjectives and request pairs."""
    path = paths.PROMPTS / f"{task}.yaml"
    if not path.is_file():
        raise UserError(
            f"{paths.shown(path)} is missing; write seven worked examples as in minicqa.yaml."
        )
    texts = {}
    for file in (paths.PROMPTS / "common.yaml", path):
        texts |= yaml.safe_load(file.read_text())
    texts["examples"] = texts.get("examples") or []
    for number, example in enumerate(texts["examples"], 1):
        missing = [field for field in FIELDS if field not in example]
        if missing:
            raise UserError(
                f"{paths.shown(path)}: worked example {number} lacks {missing[0]}; write it "
                "as in minicqa.yaml."
            )
    return texts


def fingerprint(task: str) -> str:
    """SHA-256 over this module and the task's prompt files: the prompts' version."""
    files = [Path(__file__), paths.PROMPTS / "common.yaml", paths.PROMPTS / f"{task}.yaml"]
    return store.sha256_bytes(b"".join(file.read_bytes() for file in files))


def variants(texts: dict, shots: int, count: int, seed: int) -> list[dict]:
    """A small pool of prefixes: order of the worked examples, two adjectives, for critiques a rest.

    Every question draws one variant, so that the prompts stay diverse while the model reads each
    prefix only once.
    """
    if shots > len(texts["examples"]):
        raise UserError(
            f"teacher.shots is {shots}, but the task's file has "
            f"{len(texts['examples'])} worked examples; lower it or write more."
        )
    rng = random.Random(f"variants {seed}")
    pool = []
    for _ in range(count):
        examples = rng.sample(texts["examples"], shots)
        pool.append(
            {
                "examples": examples,
                "adjectives": rng.sample(texts["adjectives"], 2),
                "requests": [rng.randrange(len(texts["requests"])) for _ in examples],
            }
        )
    return pool


def ask(question: str, lettered: str) -> str:
    """The question and its lettered choices, as every prompt shows them."""
    return f"Question: {question}\nChoices: {lettered}"


def _lettered(choices: list[str]) -> str:
    return Question("", "", tuple(choices), 0).lettered()


def explain(question: Question, choice: int, variant: dict) -> Prompt:
    """Ask why ``choice`` is right (the gold answer, or counterfactually another one)."""
    first, second = variant["adjectives"]
    article = "an" if first[0] in "aeiou" else "a"
    role = f"As {article} {first} and {second} speaker, give the reason in one or two sentences."

    def turn(text: str, lettered: str, answer: str) -> str:
        return f"{ask(text, lettered)}\nThe answer is {answer}. {role}"

    head = tuple(
        (turn(e["question"], _lettered(e["choices"]), e["answer"]), e["explanation"])
        for e in variant["examples"]
    )
    return Prompt(head, turn(question.question, question.lettered(), question.choices[choice]))


def critique(
    question: Question, explanation: str, request: int, variant: dict, texts: dict
) -> Prompt:
    """Ask what is wrong with the explanation; six of seven worked critiques come before."""

    def turn(text: str, lettered: str, answer: str, draft: str, number: int) -> str:
        return (
            f"{ask(text, lettered)}\nAnswer: {answer}\nExplanation: {draft}\n"
            f"{texts['requests'][number]['critique']}"
        )

    head = tuple(
        (
            turn(e["question"], _lettered(e["choices"]), e["answer"], e["draft"], number),
            e["critique"],
        )
        for e, number in list(zip(variant["examples"], variant["requests"], strict=True))[:6]
    )
    return Prompt(
        head,
        turn(question.question, question.lettered(), question.answer_text, explanation, request),
    )


def revise(
    question: Question,
    explanation: str,
    criticism: str,
    request: int,
    variant: dict,
    texts: dict,
    answer_given: bool,
) -> Prompt:
    """Ask to rewrite the explanation without the criticised faults.

    With ``answer_given`` the revision begins with the true answer, as in the paper.
    """

    def turn(text: str, lettered: str, answer: str, draft: str, fault: str, number: int) -> str:
        return (
            f"{ask(text, lettered)}\nAnswer: {answer}\nExplanation: {draft}\nCritique: {fault}\n"
            f"{texts['requests'][number]['revision']}"
        )

    def opening(answer: str) -> str:
        return f"The answer is {answer}." if answer_given else ""

    head = tuple(
        (
            turn(
                e["question"],
                _lettered(e["choices"]),
                e["answer"],
                e["draft"],
                e["critique"],
                number,
            ),
            f"{opening(e['answer'])} {e['revision']}".strip(),
        )
        for e, number in zip(variant["examples"], variant["requests"], strict=True)
    )
    return Prompt(
        head,
        turn(
            question.question,
            question.lettered(),
            question.answer_text,
            explanation,
            criticism,
            request,
        ),
        opening(question.answer_text),
    )


def render(prompt: Prompt, tokenizer, chat: bool) -> str:
    """The prompt as one string: through the checkpoint's chat template, or as plain text."""
    if chat:
        turns = [
            {"role": role, "content": text}
            for pair in prompt.head
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        turns.append({"role": "user", "content": prompt.tail})
        return (
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            + prompt.opening
        )
    shots = [f"{user}\nReply: {assistant}" for user, assistant in prompt.head]
    last = f"{prompt.tail}\nReply: {prompt.opening}".rstrip()
    return "\n\n".join([*shots, last])


def clean(text: str) -> str:
    """The first line of the stripped output, as the paper keeps it."""
    return text.strip().split("\n", 1)[0].strip()
