"""Who sees what on the survey page: questions to draw on, balanced plans, items under codes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.common.errors import UserError
from lib.survey.texts import kinds

QUESTIONS, PLANS = 90, 120  # in the pool, drawn up
UNEVEN = 0.2  # of a pool: 40 to 60 % of each method's answers are right
LETTERS = np.array(list("23456789abcdefghjkmnpqrstuvwxyz"))  # of item codes; no 0 and o, 1 and l
CHECK = "check"  # stands for the attention check in a plan


@dataclass(frozen=True)
class Survey:
    """A survey before it is written. Questions are rows of ``page.gather``'s table; items, by code,
    are such rows with position (of the question) and shown (whether the explanation is, else it is
    empty); plans are codes in the order of showing, CHECK among them."""

    kind: str
    seed: int
    methods: list[str]
    questions: list[dict]
    items: dict[str, dict]
    plans: list[list[str]]


def draw_up(
    table: pd.DataFrame,
    kind: str = "ratings",
    people: int = PLANS,
    seed: int = 0,
    questions: int = QUESTIONS,
) -> Survey:
    """A survey from ``page.gather``'s table: so many plans, so many questions.

    A plan has the kind's number of items, or fewer where the methods cannot share them or questions
    are too few. Of the kind errors each explanation is two items, one of them without its text.
    """
    rng, methods = np.random.default_rng([seed, 0]), list(dict.fromkeys(table["method"]))
    views = [(name, shown) for name in methods for shown in kinds()[kind].shown]
    if len(views) < 2:
        raise UserError(
            "A survey compares methods, but fewer than two have a text for the same questions."
        )
    most = min(kinds()[kind].items, table["question"].nunique(), questions)
    items = max(most // len(views), 1) * len(views)
    right = table.pivot(index="question", columns="method", values="right")
    right = right[[name for name, _ in views]].astype(bool)
    right = right.iloc[rng.permutation(len(right))]
    if kind == "errors" and len(right) >= items:
        right = right.iloc[rng.permutation(choose_questions(right.to_numpy(), items, questions))]
    right = right.iloc[:questions]
    sign = np.where(right, 1, -1) if kind == "errors" else None
    pairs = assign(people, len(views), len(right), seed, items, sign)
    rows = {(row["question"], row["method"]): row for row in table.to_dict("records")}
    cards = [
        [rows[question, name] | {"position": q, "shown": shown} for name, shown in views]
        for q, question in enumerate(right.index)
    ]
    for card in (card for row in cards for card in row if not card["shown"]):
        card["explanation"] = ""
    dealt, plans = deal(cards, pairs, rng)
    return Survey(kind, seed, methods, [row[0] for row in cards], dealt, plans)


def choose_questions(right: np.ndarray, least: int, most: int) -> list[int]:
    """Questions of which about half have a right answer, from every method.

    right: whether the answer is right [questions, methods]. Takes the question that brings right
    and wrong answers nearest to each other, again and again, and ends where the pool is largest
    with every method within ``UNEVEN``; if there is no such pool, where it is most even. UserError
    where the answers are all right or all wrong, so that there is nothing to tell apart.
    """
    if right.all() or not right.any():
        raise UserError(
            f"The students' answers are all {'right' if right.all() else 'wrong'}, so "
            "there is nothing to find: choose another --size or profile."
        )
    sign, taken, uneven = np.where(right, 1.0, -1.0), [], []
    lean = np.zeros(right.shape[1])
    for _ in range(min(most, len(right))):
        cost = ((lean + sign) ** 2).sum(axis=1)
        cost[taken] = np.inf
        taken.append(int(cost.argmin()))
        lean += sign[taken[-1]]
        uneven.append(np.abs(lean).max() / len(taken))
    sizes = range(min(least, len(taken)), len(taken) + 1)
    even = [size for size in sizes if uneven[size - 1] <= UNEVEN]
    return taken[: max(even) if even else min(sizes, key=lambda size: uneven[size - 1])]


def cycle(people: int, methods: int, questions: int, each: int) -> np.ndarray:
    """Question numbers [people, methods, each] of an incomplete block design.

    Every method runs through the questions in a circle, each from its own starting point, so no
    person meets a question twice and the counts of all (question, method) pairs differ by at most
    one. UserError where there are fewer questions than a person rates.
    """
    if questions < methods * each:
        raise UserError(
            f"{methods * each} explanations a participant need as many questions, but "
            f"this run has {questions} with a text from every method: evaluate on more."
        )
    start = np.arange(methods) * (questions // methods)
    step = np.arange(people * each).reshape(people, 1, each)
    return (start[None, :, None] + step) % questions


def assign(
    people: int,
    methods: int,
    questions: int,
    seed: int,
    items: int = 12,
    sign: np.ndarray | None = None,
) -> list[list[tuple[int, int]]]:
    """One plan a person: (question, method) numbers in the order of showing.

    From ``cycle`` by trades: two persons swap questions of one method, which leaves all counts as
    they are but mixes which questions meet. Persons trade only within a window in which no pair
    occurs twice, so the first n plans are balanced, too, should only n people come.

    sign [questions, methods]: 1 where the answer is right, -1 where it is wrong. Then the methods
    with and without explanation alternate, and trades bring right and wrong answers of a plan
    towards even numbers, with and without explanation.
    """
    rng, each = np.random.default_rng([seed, 1]), items // methods
    design = cycle(people, methods, questions, each)
    sign = np.zeros((questions, methods), int) if sign is None else sign
    for start in range(0, people, questions // each):
        window = design[start : start + questions // each]
        lean = sign[window, np.arange(methods)[:, None]].sum(axis=2)  # [persons, methods]
        for _ in range(20 * window.shape[0] * items if len(window) > 1 else 0):
            a, b = rng.choice(len(window), 2, replace=False)
            m, i, j = rng.integers(methods), rng.integers(each), rng.integers(each)
            one, other = window[a, m, i], window[b, m, j]
            shift, half = sign[other, m] - sign[one, m], slice(m % 2, None, 2)
            uneven = shift * (lean[a, half].sum() - lean[b, half].sum() + shift) > 0
            if one not in window[b] and other not in window[a] and not uneven:
                window[a, m, i], window[b, m, j] = other, one
                lean[[a, b], m] += shift, -shift
    pairs = [[(int(q), m) for m in range(methods) for q in plan[m]] for plan in design]
    return [[plan[i] for i in rng.permutation(items)] for plan in pairs]


def deal(cards: list[list[dict]], pairs: list[list[tuple]], rng: np.random.Generator) -> tuple:
    """Items by code, in random order, and the plans in codes, each with its attention check.

    cards [question][method]: what is known of an item; pairs: from ``assign``.
    """
    order = [(q, m) for q, row in enumerate(cards) for m in range(len(row))]
    order = [order[i] for i in rng.permutation(len(order))]
    codes: dict[str, None] = {}
    while len(codes) < len(order):
        codes["".join(rng.choice(LETTERS, 5))] = None
    code_of = dict(zip(order, codes, strict=True))
    plans = [[code_of[pair] for pair in plan] for plan in pairs]
    for plan in plans:  # the attention check stands somewhere in the middle half
        quarter = len(plan) // 4
        plan.insert(int(rng.integers(quarter + 1, len(plan) - quarter + 1)), CHECK)
    return {code: cards[q][m] for (q, m), code in code_of.items()}, plans
