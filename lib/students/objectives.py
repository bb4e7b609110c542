"""What each training method asks of the student: tasks, weights, inputs and targets."""

import random

from lib.common.methods import OBJECTIVES
from lib.questions.splits import Question

TAGS = {
    "words": [f"[{task}] " for task in OBJECTIVES],
    "numbers": [f"[{i}] " for i in range(1, 5)],
    "none": [""] * 4,
    # Decoder-only students move the first tag to the end (lib.students.model): the second stays in front.
    "twice": [f"[{task}] [{task}] " for task in OBJECTIVES],
}


def source(task: str, question: Question, rationale: str = "", tags: str = "words") -> str:
    """The student's input: tag, question, lettered choices and, for counterfactual, a rationale."""
    text = f"{TAGS[tags][OBJECTIVES.index(task)]}{question.question} Choices: {question.lettered()}"
    return f"{text} Rationale: {rationale}" if task == "counterfactual" else text


def answer(choice: str) -> str:
    """The answer sentence."""
    return f"So the answer is {choice}."


def pair(
    task: str,
    question: Question,
    texts: dict,
    revised: bool,
    *,
    tags: str = "words",
    factual_from: str = "explanation",
    wrong_choice: str = "first",
    seed: int = 0,
) -> tuple[str, str]:
    """Input and target of one task for one question.

    ``texts``: the teacher's row with explanation, revision and counterfactuals (by choice index).
    ``factual_from`` counterfactual takes the factual target from the counterfactual prompt's
    rationale for the right choice (where it is usable), as the authors' MT+CF does. ``wrong_choice``
    of the counterfactual task: the first one (the authors'), or one of those with a text, drawn by
    ``seed`` and question. Where no wrong choice has a text, the first one is taken with an empty rationale.
    """
    if task == "predict":
        return source(task, question, tags=tags), answer(question.answer_text)
    explanation = texts["revision"] if revised else texts["explanation"]
    if task == "explain":
        return source(task, question, tags=tags), explanation
    if task == "factual":
        if factual_from == "counterfactual":
            explanation = texts["counterfactuals"][question.answer] or explanation
        return source(task, question, tags=tags), f"{explanation} {answer(question.answer_text)}"
    wrong = question.wrong[0]
    if wrong_choice == "random":
        usable = [i for i in question.wrong if texts["counterfactuals"][i]]
        wrong = random.Random(f"wrong choice {seed} {question.id}").choice(usable or [wrong])
    return (
        source(task, question, texts["counterfactuals"][wrong] or "", tags),
        answer(question.choices[wrong]),
    )
