"""The four training objectives: what a student reads, and what it has to write."""

import random
from dataclasses import dataclass

import pandas as pd

from lib.common import files, paths
from lib.common.errors import UserError
from lib.common.methods import OBJECTIVES, methods
from lib.models import checkpoints
from lib.questions.question import Question

TAGS = {
    "words": [f"[{objective}] " for objective in OBJECTIVES],
    "numbers": [f"[{i}] " for i in range(1, 5)],
    "none": [""] * 4,
    # Decoder-only students move the first tag to the end (lib.students.data), the second stays.
    "twice": [f"[{objective}] [{objective}] " for objective in OBJECTIVES],
}


@dataclass(frozen=True)
class Recipe:
    """Which of the teacher's texts a student learns, and how its inputs are tagged.

    ``factual_from`` counterfactual: the factual target takes the counterfactual prompt's rationale
    for the right choice (where there is one), as the authors' MT+CF does. ``wrong_choice`` of the
    counterfactual objective: the first one (the authors'), or one of those with a text, drawn by
    ``seed`` and question.
    """

    revised: bool = False
    tags: str = "words"
    factual_from: str = "explanation"
    wrong_choice: str = "first"
    seed: int = 0


def pair(
    objective: str, question: Question, texts: dict, recipe: Recipe = Recipe()
) -> tuple[str, str]:
    """Input and target of one question.

    ``texts``: the teacher's row with explanation, revision and counterfactuals (by choice index).
    """
    rationale, target = PAIRS[objective](question, texts, recipe)
    return source(objective, question, rationale, recipe.tags), target


def source(objective: str, question: Question, rationale: str = "", tags: str = "words") -> str:
    """The student's input: tag, question, lettered choices and, for counterfactual, a rationale."""
    tag = TAGS[tags][OBJECTIVES.index(objective)]
    text = f"{tag}{question.question} Choices: {question.lettered()}"
    return f"{text} Rationale: {rationale}" if objective == "counterfactual" else text


def answer(choice: str) -> str:
    """The answer sentence."""
    return f"So the answer is {choice}."


def predict(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """No rationale; the answer."""
    return "", answer(question.answer_text)


def explain(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """No rationale; the explanation."""
    return "", texts["revision" if recipe.revised else "explanation"]


def factual(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """No rationale; the explanation, then the answer."""
    _, explanation = explain(question, texts, recipe)
    if recipe.factual_from == "counterfactual":
        explanation = texts["counterfactuals"][question.answer] or explanation
    return "", f"{explanation} {answer(question.answer_text)}"


def counterfactual(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """The rationale for a wrong choice (empty if no wrong choice has one); that choice."""
    rationales, wrong = texts["counterfactuals"], question.wrong[0]
    if recipe.wrong_choice == "random":
        usable = [i for i in question.wrong if rationales[i]]
        wrong = random.Random(f"wrong choice {recipe.seed} {question.id}").choice(usable or [wrong])
    return rationales[wrong] or "", answer(question.choices[wrong])


PAIRS = {  # objective -> rationale in the input, and target
    "predict": predict,
    "explain": explain,
    "factual": factual,
    "counterfactual": counterfactual,
}


WRONG = "A cupboard has doors that keep dust away, so a towel stays clean while it dries."


def describe() -> pd.DataFrame:
    """The four objectives on a worked example of lib/prompts: objective, question (with choices),
    rationale, target, and the methods that learn it, with its weights."""
    example = files.read_yaml(paths.PROMPTS / "minicqa.yaml")["examples"][0]
    choices, texts = example["choices"], {"explanation": example["explanation"]}
    texts["counterfactuals"] = [WRONG, *[None] * (len(choices) - 1)]  # our own text, too
    answer = choices.index(example["answer"])
    question = Question("example", example["question"], tuple(choices), answer)
    asked = f"{question.question} Choices: {question.lettered()}"
    rows = []
    for objective, make in PAIRS.items():
        weights = {name: of[objective] for name, of in methods().items() if objective in of}
        learned = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        rows.append((objective, asked, *make(question, texts, Recipe()), learned))
    return pd.DataFrame(rows, columns=["objective", "question", "rationale", "target", "methods"])


def check_choices(tokenizer, questions: list[Question], model: str) -> None:
    """UserError if a model would write two choices of a question as one text, since neither its
    answers nor their likelihoods would tell them apart."""
    changed = changed_words(tokenizer, [choice for q in questions for choice in q.choices])
    if not changed:
        return
    for question in questions:
        first: dict[str, str] = {}
        for choice in question.choices:
            words = [changed.get(word, word) for word in choice.split()]
            written = " ".join(word for word in words if word)
            other = first.setdefault(written, choice)
            if other.split() != choice.split():
                raise UserError(
                    f"Question {question.id}: the tokenizer of {model} writes '{other}' and "
                    f"'{choice}' as one text, '{written}'; choose another student or take "
                    "the question out."
                )


def lost(tokenizer, texts: list[str]) -> tuple[int, str]:
    """How many texts the tokenizer changes, and characters that it lacks."""
    changed = changed_words(tokenizer, texts)
    count = sum(not changed.keys().isdisjoint(text.split()) for text in texts) if changed else 0
    lacking = sorted({c for word, other in changed.items() for c in {*word} - {*other}})
    return count, " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in lacking)


def changed_words(tokenizer, texts: list[str]) -> dict[str, str]:
    """Words of the texts that a model with this tokenizer writes otherwise, and how.

    Word by word, since there are far fewer of them; a tokenizer splits at blanks first.
    """
    words = list({word: None for text in texts for word in text.split()})
    said = zip(words, checkpoints.written(tokenizer, words), strict=True)
    return {word: other for word, other in said if word != other}
