"""The training methods: what each asks of a student, their weights, arms, and their one order."""

from lib.common.errors import UserError

OBJECTIVES = (
    *("predict", "explain", "factual", "counterfactual"),  # the paper's
    *("answer_first", "justify"),  # one target; an explanation for a given answer
    *("advocate", "contrast", "judge", "rival"),  # listwise; rival: a wrong choice's verdict
)
# The four arms that the paper compares.
PAPER_ARMS = ("CF:Unrevised", "MT:Unrevised", "MT+CF:Unrevised", "MT+CF:Revised")


def methods(
    alpha: float = 0.5, beta: float = 0.5, gamma: float = 0.5, cf_loss: str = "weighted"
) -> dict[str, dict[str, float]]:
    """Every method as a table: objective -> weight of its mean token loss. A new one is a line.

    MT: Hsieh et al. 2023 (Distilling Step-by-Step); CF: Wang et al. 2023 (SCOTT); MT+CF: Hendriks
    et al. 2025. alpha: predict within MT; beta: factual within CF; gamma: MT within MT+CF.
    ``cf_loss`` sum adds CF's two losses unweighted, as the authors' T5 code does. The others were
    added here. rationale-first: explain, then answer. answer-first: both in one text, as WT5
    (Narang et al. 2020); its answer is a small part of its loss. MT-own: explanations read an
    answer, half of them a wrong one (alpha: predict within it). listwise: rationales for all
    choices and a judge, as NILE (Kumar and Talukdar 2020); revised texts reach its contrast only.
    """
    mt = {"predict": alpha, "explain": 1 - alpha}
    cf = {"factual": beta, "counterfactual": 1 - beta}
    if cf_loss == "sum":
        cf = {"factual": 1.0, "counterfactual": 1.0}
    both = {name: gamma * weight for name, weight in mt.items()}
    both |= {name: (1 - gamma) * weight for name, weight in cf.items()}
    return {
        "label-only": {"predict": 1.0},
        "CF": cf,
        "MT": mt,
        "MT+CF": both,
        "rationale-first": {"factual": 1.0},
        "answer-first": {"answer_first": 1.0},
        "MT-own": {"predict": alpha, "justify": 1 - alpha},
        "listwise": {"advocate": 0.25, "contrast": 0.25, "judge": 0.5},
    }


def weights(method: str, **how: float | str) -> dict[str, float]:
    """The objectives of one method with their weights (see ``methods``); none of weight 0."""
    table = methods(**how)
    if method not in table:
        raise UserError(f"There is no method '{method}'; choose one of {', '.join(table)}.")
    return {name: weight for name, weight in table[method].items() if weight}


def arms() -> list[str]:
    """Every arm in order: methods that learn from explanations once for each kind of text."""
    explained = [method for method, asked in methods().items() if set(asked) - {"predict"}]
    others = [method for method in methods() if method not in explained]
    return others + [
        f"{method}:{texts}" for texts in ("Unrevised", "Revised") for method in explained
    ]


def order_arms(names) -> list[str]:
    """The arms that occur, once each, in the order of ``arms``; a variant stands with its arm, and
    arms that are not known come last, as they come."""
    known = arms()

    def place(name: str) -> int:
        arm = name.partition(",")[0]
        return known.index(arm) if arm in known else len(known)

    return sorted(dict.fromkeys(map(str, names)), key=place)


def split_arm(arm: str) -> tuple[str, str | None]:
    """``MT+CF:Revised`` -> (``MT+CF``, ``Revised``); ``label-only`` -> (``label-only``, None).

    A variant's name after a comma (``MT:Revised, share 0.1``) is left out.
    """
    method, _, texts = arm.partition(",")[0].partition(":")
    return method, texts or None


def answer_objective(method: str) -> str:
    """Which input a method's students answer: predict where it is trained, else what holds the
    answer (of listwise: advocate, whose texts the judge reads)."""
    known = ("predict", "answer_first", "factual", "advocate")
    return next(name for name in known if name in methods()[method])


def explanation_objective(method: str) -> str | None:
    """Which input gives a method's explanation: explain where it is trained, else the one below
    that is, or none (label-only)."""
    known = ("explain", "justify", "contrast", "answer_first", "factual")
    return next((name for name in known if name in methods()[method]), None)
