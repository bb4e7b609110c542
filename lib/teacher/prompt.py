"""What the teacher is asked: worked examples, adjectives and matched requests put into turns.

Explanation prompting and critique-revision prompting follow the paper (arXiv 2504.16056); the
worked texts in lib/prompts/*.yaml are ours.
"""

import random
import re
from dataclasses import dataclass

from pydantic import ValidationError

from lib.common import files, paths
from lib.common.errors import UserError
from lib.questions.question import Question, Row, Text, index_of, lettered, words

KINDS = ("explanation", "counterfactual", "critique", "revision")
INSTRUCTION = "give the reason in one or two sentences"

# What a chat template may call its switch for thinking before the answer, and the tags around it.
SWITCHES = ("enable_thinking", "thinking", "reasoning")
TAG = r"(?i:[<\[◁]\|?{}(?:\w+:)?(?:think|thinking|thoughts?|reasoning|scratchpad)\|?[>\]▷])"
OPENING, CLOSING = TAG.format("(?:start_|begin_of_)?"), TAG.format("(?:/|end_|end_of_)")
# But tabs and line breaks; halves of characters that a server cut are surrogates.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


class Example(Row):
    """A worked example of a dataset's file."""

    question: Text
    choices: list[Text]
    answer: Text
    explanation: Text
    draft: Text
    critique: Text
    revision: Text


@dataclass(frozen=True)
class Prompt:
    """Turns that a whole group of questions shares (``head``) and the question's own (``tail``)."""

    head: tuple[tuple[str, str], ...]  # (user, assistant) pairs of the worked examples
    tail: str  # the last user turn
    opening: str = ""  # the first words of the answer, already given


@dataclass(frozen=True)
class Prefix:
    """What a group of questions shares: worked examples in an order, two adjectives, requests."""

    examples: list[dict]  # of Example
    adjectives: list[str]
    requests: list[dict]  # the pair (critique, revision) that each example answers


def read(dataset: str) -> dict:
    """A dataset's worked examples together with the common adjectives and request pairs."""
    path = paths.PROMPTS / f"{dataset}.yaml"
    if not path.is_file():
        raise UserError(
            f"{paths.shown(path)} is missing; write seven worked examples as in minicqa.yaml."
        )
    texts = files.read_yaml(paths.PROMPTS / "common.yaml") | files.read_yaml(path)
    texts["examples"] = texts.get("examples") or []
    for number, example in enumerate(texts["examples"], 1):
        try:
            Example.model_validate(example)
            index_of(example["answer"], example["choices"])
        except ValueError as error:
            reason = words(error) if isinstance(error, ValidationError) else str(error)
            raise UserError(
                f"{paths.shown(path)}: worked example {number}: {reason}; write it as in "
                "minicqa.yaml, texts in quotes."
            ) from None
    return texts


def prefixes(texts: dict, shots: int, count: int, seed: int) -> list[Prefix]:
    """A small pool of prefixes, of which every question draws one.

    So the prompts stay diverse while the model reads each prefix only once.
    """
    if shots > len(texts["examples"]):
        raise UserError(
            f"teacher.shots is {shots}, but the dataset's file has "
            f"{len(texts['examples'])} worked examples; lower it or write more."
        )
    rng = random.Random(f"variants {seed}")
    return [
        Prefix(
            examples=rng.sample(texts["examples"], shots),
            adjectives=rng.sample(texts["adjectives"], 2),
            requests=[rng.choice(texts["requests"]) for _ in range(shots)],
        )
        for _ in range(count)
    ]


def case(question: Question, choice: int, explanation: str = "", critique: str = "") -> dict:
    """What is known of a question (with earlier texts), by the names that worked examples use."""
    return {
        "question": question.question,
        "choices": question.choices,
        "answer": question.choices[choice],
        "draft": explanation,
        "critique": critique,
    }


def explain(case: dict, prefix: Prefix) -> Prompt:
    """Ask why the case's answer is right (the gold one, or counterfactually another choice)."""
    first, second = prefix.adjectives
    article = "an" if first[0] in "aeiou" else "a"
    role = f"As {article} {first} and {second} speaker, {INSTRUCTION}."

    def turn(case: dict) -> str:
        return _turn(case, f"The answer is {case['answer']}. {role}")

    head = tuple((turn(example), example["explanation"]) for example in prefix.examples)
    return Prompt(head, turn(case))


def critique(case: dict, request: dict, prefix: Prefix) -> Prompt:
    """Ask what is wrong with the draft; six of seven worked critiques come before."""

    def turn(case: dict, request: dict) -> str:
        draft = f"Explanation: {case['draft']}"
        return _turn(case, f"Answer: {case['answer']}", draft, request["critique"])

    worked = list(zip(prefix.examples, prefix.requests, strict=True))[:6]
    head = tuple((turn(example, asked), example["critique"]) for example, asked in worked)
    return Prompt(head, turn(case, request))


def revise(case: dict, request: dict, prefix: Prefix, answer_given: bool) -> Prompt:
    """Ask to rewrite the draft without the criticised faults.

    With ``answer_given`` the revision begins with the true answer, as in the paper.
    """

    def turn(case: dict, request: dict) -> str:
        texts = f"Explanation: {case['draft']}", f"Critique: {case['critique']}"
        return _turn(case, f"Answer: {case['answer']}", *texts, request["revision"])

    def opening(case: dict) -> str:
        return f"The answer is {case['answer']}." if answer_given else ""

    head = tuple(
        (turn(example, asked), f"{opening(example)} {example['revision']}".strip())
        for example, asked in zip(prefix.examples, prefix.requests, strict=True)
    )
    return Prompt(head, turn(case, request), opening(case))


def _turn(case: dict, *lines: str) -> str:
    choices = lettered(case["choices"])
    return "\n".join([f"Question: {case['question']}", f"Choices: {choices}", *lines])


def uses_chat(wanted: bool | None, tokenizer) -> bool:
    """The profile's choice, else whether the checkpoint has a chat template."""
    return bool(tokenizer.chat_template) if wanted is None else wanted


def render(prompt: Prompt, tokenizer, chat: bool) -> str:
    """The prompt as one string: through the checkpoint's chat template, or as plain text.

    A model that thinks before it answers is told not to: by the template's switch, or by closing
    the thinking that the template opens.
    """
    if chat:
        turns = [
            {"role": role, "content": text}
            for pair in prompt.head
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        turns.append({"role": "user", "content": prompt.tail})
        off = {name: False for name in SWITCHES if name in str(tokenizer.chat_template)}
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, **off
        )
        if opened := re.search(rf"({OPENING})\s*\Z", text):
            text += f"\n{opened[1][0]}/{opened[1][1:]}\n\n"
        return text + prompt.opening
    shots = [f"{user}\nReply: {assistant}" for user, assistant in prompt.head]
    last = f"{prompt.tail}\nReply: {prompt.opening}".rstrip()
    return "\n\n".join([*shots, last])


def clean(text: str) -> str:
    """The first line of the stripped output, as the paper keeps it, after what was only thought.

    Thinking that does not end leaves nothing. Control characters go, and a last character that the
    token limit halved.
    """
    text = re.sub(rf"(?s){OPENING}.*?(?:{CLOSING}|\Z)", "", text)
    text = re.sub(rf"(?s)\A.*{CLOSING}", "", text)  # the prompt had opened it
    lines = CONTROL.sub("", text).strip().splitlines() or [""]
    return lines[0].rstrip("\ufffd").strip()


def repeats(text: str, case: dict) -> bool:
    """Whether every sentence of a text stands in what was asked: question, choices, answer."""
    asked = _words(_turn(case, f"The answer is {case['answer']}."))
    sentences = [_words(part) for part in re.findall(r"[^.?!]*\w[^.?!]*", text)]
    return bool(sentences) and all(
        sentence in asked or _words(INSTRUCTION) in sentence for sentence in sentences
    )


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", f" {text.casefold()} ")
