"""Who sees what on the survey page: plans in which everything is balanced, questions to draw on."""

import numpy as np

from lib.common.errors import UserError

UNEVEN = 0.2  # of a pool: 40 to 60 % of each method's answers are right


def cycle(people: int, methods: int, questions: int, each: int) -> np.ndarray:
    """Question numbers [people, methods, each] of an incomplete block design.

    Every method runs through the questions in a circle, each from its own starting point, so no
    person meets a question twice and the counts of all (question, method) pairs differ by at most
    one. UserError where there are fewer questions than a person rates.
    """
    if questions < methods * each:
        raise UserError(
            f"{methods * each} explanations a participant need as many questions, but "
            f"this run has {questions} with a text from every method: evaluate on more "
            "questions, or lower --items."
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
) -> list:
    """One plan a person: a list of (question, method) numbers in the order of showing.

    With and without an explanation count as two methods, numbered one after the other; then sign
    [questions, methods], 1 where the answer is right, else -1, has to come out even in both halves
    of a plan, as far as trades bring it about.

    From ``cycle`` by trades: two persons swap questions of one method, which leaves all counts as
    they are but mixes which questions meet. Persons trade only within a window in which no pair
    occurs twice, so the first n plans are balanced, too, should only n people come.
    """
    if methods < 2 or items < methods or items % methods:
        raise UserError(
            f"{items} explanations cannot be shared out evenly over {methods} "
            "method(s); change --items or --methods."
        )
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
