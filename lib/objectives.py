"""What each training method asks of the student: tasks, weights, inputs and targets."""

import random

from lib.errors import UserError
from lib.tasks import Question

TASKS = ("predict", "explain", "factual", "counterfactual")
TAGS = {"words": [f"[{task}] " for task in TASKS], "numbers": [f"[{i}] " for i in range(1, 5)],
        "none": [""] * 4,
        # Decoder-only students move the first tag to the end (lib.student): the second stays in front.
        "twice": [f"[{task}] [{task}] " for task in TASKS]}


def methods(alpha: float = 0.5, beta: float = 0.5, gamma: float = 0.5,
            cf_loss: str = "weighted") -> dict[str, dict[str, float]]:
    """Every method as a table: task -> weight of its mean token loss. A new method is a new line.

    MT: Hsieh et al. 2023 (Distilling Step-by-Step); CF: Wang et al. 2023 (SCOTT); MT+CF: Hendriks
    et al. 2025. alpha: predict within MT; beta: factual within CF; gamma: MT within MT+CF.
    ``cf_loss`` sum adds CF's two losses unweighted, as the authors' T5 code does.
    """
    mt = {"predict": alpha, "explain": 1 - alpha}
    cf = {"factual": beta, "counterfactual": 1 - beta}
    if cf_loss == "sum":
        cf = {"factual": 1.0, "counterfactual": 1.0}
    return {
        "label-only": {"predict": 1.0},
        "CF": cf,
        "MT": mt,
        "MT+CF": {task: gamma * w for task, w in mt.items()}
        | {task: (1 - gamma) * w for task, w in cf.items()},
    }


def weights(method: str, **how: float | str) -> dict[str, float]:
    """The tasks of one method with their weights (see ``methods``), without those of weight 0."""
    table = methods(**how)
    if method not in table:
        raise UserError(f"There is no method '{method}'; choose one of {', '.join(table)}.")
    return {task: weight for task, weight in table[method].items() if weight}


def arms() -> list[str]:
    """Every arm: methods that learn from explanations once for each kind of text."""
    explained = [method for method, tasks in methods().items() if set(tasks) - {"predict"}]
    others = [method for method in methods() if method not in explained]
    return others + [f"{method}:{texts}" for texts in ("Unrevised", "Revised") for method in explained]


def split_arm(arm: str) -> tuple[str, str | None]:
    """``MT+CF:Revised`` -> (``MT+CF``, ``Revised``); ``label-only`` -> (``label-only``, None).

    A variant's name after a comma (``MT:Revised, share 0.1``) is left out.
    """
    method, _, texts = arm.partition(",")[0].partition(":")
    return method, texts or None


def answer_task(method: str) -> str:
    """Which input a method's students answer: predict where it is trained, else factual."""
    return "predict" if "predict" in methods()[method] else "factual"


def explanation_task(method: str) -> str | None:
    """Which input gives a method's explanation: explain, else factual, else none (label-only)."""
    return next((task for task in ("explain", "factual") if task in methods()[method]), None)


def source(task: str, question: Question, rationale: str = "", tags: str = "words") -> str:
    """The student's input: tag, question, lettered choices and, for counterfactual, a rationale."""
    text = f"{TAGS[tags][TASKS.index(task)]}{question.question} Choices: {question.lettered()}"
    return f"{text} Rationale: {rationale}" if task == "counterfactual" else text


def answer(choice: str) -> str:
    """The answer sentence."""
    return f"So the answer is {choice}."


def pair(task: str, question: Question, texts: dict, revised: bool, *, tags: str = "words",
         factual_from: str = "explanation", wrong_choice: str = "first", seed: int = 0) -> tuple[str, str]:
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
        wrong = random.Random(f"wrong choice {seed} {question.id}").choice(
            usable or [wrong])
    return (source(task, question, texts["counterfactuals"][wrong] or "", tags),
            answer(question.choices[wrong]))
