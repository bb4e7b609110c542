"""What each training method asks of the student: tasks, weights, inputs and targets."""

from lib.errors import UserError
from lib.tasks import Question

TASKS = ("predict", "explain", "factual", "counterfactual")


def weights(method: str, alpha: float = 0.5, beta: float = 0.5, gamma: float = 0.5) -> dict[str, float]:
    """Weight of each task's mean token loss.

    MT: Hsieh et al. 2023 (Distilling Step-by-Step); CF: Wang et al. 2023 (SCOTT); MT+CF: Hendriks
    et al. 2025. alpha: predict within MT; beta: factual within CF; gamma: MT within MT+CF.
    """
    table = {
        "label-only": {"predict": 1.0},
        "MT": {"predict": alpha, "explain": 1 - alpha},
        "CF": {"factual": beta, "counterfactual": 1 - beta},
        "MT+CF": {"predict": gamma * alpha, "explain": gamma * (1 - alpha),
                  "factual": (1 - gamma) * beta, "counterfactual": (1 - gamma) * (1 - beta)},
    }
    if method not in table:
        raise UserError(f"There is no method '{method}'; choose one of {', '.join(table)}.")
    return table[method]


def split_arm(arm: str) -> tuple[str, str | None]:
    """``MT+CF:Revised`` -> (``MT+CF``, ``Revised``); ``label-only`` -> (``label-only``, None)."""
    method, _, texts = arm.partition(":")
    return method, texts or None


def source(task: str, question: Question, rationale: str = "") -> str:
    """The student's input: tag, question, lettered choices and, for counterfactual, a rationale."""
    text = f"[{task}] {question.question} Choices: {question.lettered()}"
    return f"{text} Rationale: {rationale}" if task == "counterfactual" else text


def answer(choice: str) -> str:
    """The answer sentence."""
    return f"So the answer is {choice}."


def pair(task: str, question: Question, texts: dict, revised: bool,
         factual_from: str = "explanation") -> tuple[str, str]:
    """Input and target of one task for one question.

    ``texts``: the teacher's row with explanation, revision and counterfactuals (by choice index).
    ``factual_from`` = counterfactual takes the factual target from the counterfactual prompt's
    rationale for the right choice, as the authors' MT+CF does; the paper profile sets it.
    """
    if task == "predict":
        return source(task, question), answer(question.answer_text)
    explanation = texts["revision"] if revised else texts["explanation"]
    if task == "explain":
        return source(task, question), explanation
    if task == "factual":
        if factual_from == "counterfactual":
            explanation = texts["counterfactuals"][question.answer]
        return source(task, question), f"{explanation} {answer(question.answer_text)}"
    wrong = question.wrong[0]
    return (source(task, question, texts["counterfactuals"][wrong]),
            answer(question.choices[wrong]))
