"""The training objectives: what a student reads, and what it has to write."""

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
    "numbers": [f"[{i}] " for i in range(1, len(OBJECTIVES) + 1)],
    "none": [""] * len(OBJECTIVES),
    # Decoder-only students move the first tag to the end (lib.students.data), the second stays.
    "twice": [f"[{objective}] [{objective}] " for objective in OBJECTIVES],
}


GIVEN = {  # objective -> how what its input gives is called
    "counterfactual": "Rationale",
    "justify": "Answer",
    "advocate": "Choice",  # this and the next see no list of choices
    "contrast": "Choice",
}


@dataclass(frozen=True)
class Recipe:
    """Which of the teacher's texts a student learns, and how its inputs are tagged.

    ``factual_from`` counterfactual: the factual target takes the counterfactual prompt's rationale
    for the right choice (where there is one), as the authors' MT+CF does. ``wrong_choice`` of the
    counterfactual objective: the first one (the authors'), or one of those with a text, drawn by
    ``seed`` and question. ``rationales``: own, or a control: three (explain learns all of a
    question's texts), none (advocates write nothing); shuffled texts come from lib.students.grid.
    """

    revised: bool = False
    tags: str = "words"
    factual_from: str = "explanation"
    wrong_choice: str = "first"
    seed: int = 0
    rationales: str = "own"


def pair(
    objective: str, question: Question, texts: dict, recipe: Recipe = Recipe()
) -> tuple[str, str] | list[tuple[str, str]]:
    """Input and target of one question; a list of these where an objective has several targets.

    ``texts``: the teacher's row with explanation, revision and counterfactuals (by choice index).
    """
    made = PAIRS[objective](question, texts, recipe)
    found = [
        (source(objective, question, given, recipe.tags), target) for given, target in several(made)
    ]
    return found if isinstance(made, list) else found[0]


def several(made: tuple | list) -> list[tuple]:
    """What ``pair`` made of a question, always as a list."""
    return made if isinstance(made, list) else [made]


def source(objective: str, question: Question, given: str = "", tags: str = "words") -> str:
    """The student's input: tag, question, lettered choices, and what is ``given`` (see GIVEN)."""
    tag = TAGS[tags][OBJECTIVES.index(objective)]
    text = f"{tag}{question.question}"
    if objective not in ("advocate", "contrast"):
        text += f" Choices: {question.lettered()}"
    return f"{text} {GIVEN[objective]}: {given}" if objective in GIVEN else text


def answer(choice: str) -> str:
    """The answer sentence."""
    return f"So the answer is {choice}."


def predict(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """No rationale; the answer."""
    return "", answer(question.answer_text)


def explain(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str] | list:
    """No rationale; the explanation (in the control "three": all texts of the right choice)."""
    if recipe.rationales == "three":
        known = texts["explanation"], texts["counterfactuals"][question.answer], texts["revision"]
        return [("", text) for text in known if text]
    return "", explanation_of(texts, recipe)


def explanation_of(texts: dict, recipe: Recipe) -> str:
    """The teacher's explanation, revised or not."""
    return texts["revision" if recipe.revised else "explanation"]


def factual(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """No rationale; the explanation, then the answer."""
    explanation = explanation_of(texts, recipe)
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


def answer_first(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """Nothing given; the answer, then the explanation."""
    return "", f"{answer(question.answer_text)} {explanation_of(texts, recipe)}"


def justify(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """The right choice and its explanation; for half of the questions (drawn by their id) a wrong
    choice and the rationale for that, so that a student learns to speak for what it is given."""
    rationales, draw = texts["counterfactuals"], random.Random(f"justify {question.id}")
    usable = [i for i in question.wrong if rationales[i]]
    if usable and draw.random() < 0.5:
        chosen = draw.choice(usable)
        return question.choices[chosen], rationales[chosen]
    return question.answer_text, explanation_of(texts, recipe)


def advocate(question: Question, texts: dict, recipe: Recipe) -> list[tuple[str, str]]:
    """Each choice, the right one first, and the rationale for it, all of one prompt of the
    teacher's, so that style does not tell which is right (without one, the explanation)."""
    rationales = texts["counterfactuals"]
    given = [rationales[question.answer] or texts["explanation"]]
    given += [rationales[i] or "" for i in question.wrong]
    if recipe.rationales == "none":
        given = [""] * len(given)
    order = (question.answer, *question.wrong)
    return [(question.choices[i], text) for i, text in zip(order, given, strict=True)]


def contrast(question: Question, texts: dict, recipe: Recipe) -> tuple[str, str]:
    """The right choice rather than a wrong one (drawn by the question's id); the explanation."""
    rival = random.Random(f"contrast {question.id}").choice(question.wrong)
    return rather(question, question.answer, rival), explanation_of(texts, recipe)


def rather(question: Question, choice: int, rival: int) -> str:
    """What a contrast is given."""
    return f"{question.choices[choice]} rather than {question.choices[rival]}"


PAIRS = {  # objective -> what its input gives, and target
    "predict": predict,
    "explain": explain,
    "factual": factual,
    "counterfactual": counterfactual,
    "answer_first": answer_first,
    "justify": justify,
    "advocate": advocate,
    "contrast": contrast,
}


WRONG = "A cupboard has doors that keep dust away, so a towel stays clean while it dries."


def describe() -> pd.DataFrame:
    """The paper's four objectives on a worked example of lib/prompts: objective, question (with
    choices), rationale, target, and the paper's methods that learn it, with its weights."""
    example = files.read_yaml(paths.PROMPTS / "minicqa.yaml")["examples"][0]
    choices, texts = example["choices"], {"explanation": example["explanation"]}
    texts["counterfactuals"] = [WRONG, *[None] * (len(choices) - 1)]  # our own text, too
    answer = choices.index(example["answer"])
    question = Question("example", example["question"], tuple(choices), answer)
    asked = f"{question.question} Choices: {question.lettered()}"
    rows = []
    table = {name: methods()[name] for name in ("label-only", "CF", "MT", "MT+CF")}
    for objective in OBJECTIVES[:4]:
        weights = {name: of[objective] for name, of in table.items() if objective in of}
        learned = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        rows.append((objective, asked, *PAIRS[objective](question, texts, Recipe()), learned))
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
