"""How many participants a study of the paper's effects needs, by SIMULATED ratings.

The model, fitted to published aggregates only: a rating of construct c is a standard normal value,
cut into 1..5 at thresholds that give each method its published shares of scores. The value is

    load_c F + sqrt(1 - load_c^2) E_c,    F = sqrt(r) u + sqrt(x) w + sqrt(1 - r - x) v,
                                          E_c = sqrt(r_c) u_c + sqrt(1 - r_c) e_c,

with u, u_c drawn once a participant, w once an explanation, v, e_c once a rating. The loads give
the published correlations of each construct with the sum of the others (and with them Cronbach's
alpha), r_c the constructs' shares of variance between participants (ICC), r that of Quality.
Lengths depend on the method alone.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib.common.intervals import wilson
from lib.common.methods import PAPER_ARMS
from lib.human_study import published, reference
from lib.human_study.ratings import CONSTRUCTS, OUTCOMES
from lib.survey.design import QUESTIONS, cycle

# mixed.icc_table of the raw ratings.
ICC = {
    "Plausibility": 0.277,
    "Understandability": 0.283,
    "Completeness": 0.322,
    "Satisfaction": 0.337,
    "Contrastiveness": 0.539,
    "Quality": 0.387,
}
# Mean and SD of the explanations' lengths in characters, of the raw ratings.
LENGTHS = {
    "CF:Unrevised": (246.4, 61.1),
    "MT:Unrevised": (214.5, 56.4),
    "MT+CF:Unrevised": (227.3, 55.6),
    "MT+CF:Revised": (409.3, 189.8),
}
METHODS, EACH = len(PAPER_ARMS), 3  # explanations that a participant rates of each method
COLUMNS = ["outcome", "participants", "effect", "repetitions", "power", "lwr", "upr", "data"]


@cache
def load_shares() -> np.ndarray:
    """Published shares of the scores: [method, construct, score], summing to one over scores."""
    table = published.load_counts().set_index(["method", "construct", "score"])["count"]
    cells = pd.MultiIndex.from_product([PAPER_ARMS, CONSTRUCTS, range(1, 6)])
    values = table.loc[cells].to_numpy(float).reshape(METHODS, -1, 5)
    return values / values.sum(axis=2, keepdims=True)


def _covariance(load: np.ndarray) -> np.ndarray:
    """Covariance [construct, construct] of two ratings that share load * (one normal value) and
    else nothing, by integrating over what they share (Gauss-Hermite, 60 nodes)."""
    cuts = stats.norm.ppf(load_shares().mean(axis=0).cumsum(axis=1)[:, :4])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    load = load[:, None, None]
    expected = stats.norm.sf((cuts[:, :, None] - load * nodes) / np.sqrt(1 - load**2)).sum(axis=1)
    centred = expected - expected @ weights[:, None]
    return (centred * weights) @ centred.T


def _with_diagonal(matrix: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    return matrix - np.diag(np.diag(matrix)) + np.diag(diagonal)


@cache
def calibrate() -> dict[str, np.ndarray | float]:
    """Parameters of the model: load [construct], between (r), own (r_c) [construct]."""
    shares, scores = load_shares().mean(axis=0), np.arange(1, 6)
    variance = shares @ scores**2 - (shares @ scores) ** 2

    def item_rest(load):
        whole = _with_diagonal(_covariance(load), variance)
        rest = whole.sum(axis=1) - variance
        return rest / np.sqrt(variance * (whole.sum() - variance - 2 * rest))

    known = reference.load_reference()["cronbach"]["item_rest_r"]
    wanted = np.array([known[name] for name in CONSTRUCTS])
    load = optimize.least_squares(
        lambda load: item_rest(load) - wanted, np.full(5, 0.8), bounds=(0.01, 0.995)
    ).x
    icc = np.array([ICC[name] for name in CONSTRUCTS])

    def gap(r, c):  # in the covariance of a participant's ratings of construct c
        return _covariance(np.full(5, r**0.5))[c, c] - icc[c] * variance[c]

    total = np.array([optimize.brentq(gap, 0.01, 0.99, args=(c,)) for c in range(5)])
    whole = _with_diagonal(_covariance(load), variance).sum()

    def quality_gap(r):
        alike = _with_diagonal(_covariance(load * r**0.5), icc * variance)
        return alike.sum() / whole - ICC["Quality"]

    between = optimize.brentq(quality_gap, 0.01, 0.9)
    own = (total - load**2 * between) / (1 - load**2)
    return {"load": load, "between": between, "own": np.clip(own, 0, 1)}


def simulate(
    people: int,
    rng: np.random.Generator,
    effect: float = 1.0,
    explanation_share: float = 0.0,
    questions: int = QUESTIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """SIMULATED scores [people, method, each, construct] and lengths [people, method, each].

    effect: 1 is as published, 0 makes the methods equal, means move in proportion between.
    explanation_share: of the common factor's variance that belongs to the single explanation (the
    raw ratings give about 0.05); questions: so many explanations has a method.
    """
    model, shares = calibrate(), load_shares()
    pooled = shares.mean(axis=0)
    shares = np.clip(pooled + effect * (shares - pooled), 0, None)
    cuts = stats.norm.ppf(np.clip(shares.cumsum(axis=2)[..., :4] / shares.sum(2)[..., None], 0, 1))
    shape = (people, METHODS, EACH)
    texts = rng.standard_normal((METHODS, questions))
    question = cycle(people, METHODS, questions, EACH)
    texts = texts[np.arange(METHODS)[None, :, None], question]
    r, x = model["between"], explanation_share
    factor = (
        np.sqrt(r) * rng.standard_normal((people, 1, 1))
        + np.sqrt(x) * texts
        + np.sqrt(1 - r - x) * rng.standard_normal(shape)
    )
    own = np.sqrt(model["own"]) * rng.standard_normal((people, 1, 1, 5))
    own = own + np.sqrt(1 - model["own"]) * rng.standard_normal((*shape, 5))
    values = model["load"] * factor[..., None] + np.sqrt(1 - model["load"] ** 2) * own
    scores = 1 + (values[..., None] > cuts[None, :, None]).sum(axis=-1)
    mean, sd = np.array([LENGTHS[name] for name in PAPER_ARMS]).T[:, None, :, None]
    length = rng.gamma((mean / sd) ** 2, sd**2 / mean, shape)
    return scores.astype(float), np.maximum(np.rint(length), 1)


def likelihood_ratios(outcomes: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Likelihood-ratio chi-squared of the method beside length, of each outcome.

    outcomes [people, method, each, outcome], length [people, method, each]. The exact statistic of
    mixed.likelihood_ratio with a random participant (a test compares them), in milliseconds
    instead of seconds: with as many ratings from each, the deviance needs only the cross-products
    of the columns and of their sums over a participant.
    """
    people, methods, each, kinds = outcomes.shape
    size, items = people * methods * each, methods * each
    dummies = np.broadcast_to(np.eye(methods)[None, :, None], (people, methods, each, methods))
    x = np.concatenate([dummies, length[..., None] / 100, outcomes], axis=3)
    x = x.reshape(people, items, -1)
    cross = np.einsum("pia,pib->ab", x, x)
    sums = x.sum(axis=1)
    between = sums.T @ sums
    # Without the method its dummies collapse into their sum, the intercept.
    collapse = np.zeros((methods + 1, 2))
    collapse[:methods, 0] = collapse[methods, 1] = 1
    last = slice(methods + 1, None)

    def deviance(design):
        """Least deviance of each outcome, over the share of variance between participants."""
        a, b = (design.T @ m[: methods + 1] for m in (cross, between))
        root = np.linalg.inv(np.linalg.cholesky(a[:, : methods + 1] @ design))
        d, turn = np.linalg.eigh(root @ b[:, : methods + 1] @ design @ root.T)
        u, v = (turn.T @ root @ m[:, last] for m in (a, b))  # rotated, so that both are diagonal
        rss, rss_between = (m[last, last].diagonal() for m in (cross, between))

        def at(share):  # [points, outcome]
            ratio = share / (1 - share)  # variance of participants over the residual one
            k = (ratio / (1 + items * ratio))[:, None]
            fitted = ((u - k * v) ** 2 / (1 - k * d[:, None])).sum(axis=1)
            residual = rss - k[:, 0] * rss_between - fitted
            return size * np.log(residual) + people * np.log1p(items * ratio)

        low, high, points = np.zeros(kinds), np.full(kinds, 50 / 51), 33
        for _ in range(4):  # a finer grid around the best of the last, each time
            grid = np.linspace(low, high, points)
            values, step = at(grid), (high - low) / (points - 1)
            best = np.take_along_axis(grid, values.argmin(axis=0)[None], axis=0)[0]
            low, high = np.maximum(best - step, 0), np.minimum(best + step, 50 / 51)
        return values.min(axis=0)

    return deviance(collapse) - deviance(np.eye(methods + 1))


def power_table(
    participants=(20, 40, 60, 80, 120, 160),
    repetitions: int = 200,
    seed: int = 0,
    effects=(1.0,),
    **model: float,
) -> pd.DataFrame:
    """Share of SIMULATED studies in which the mixed model finds a method effect (p < 0.05).

    Columns: outcome (the five, Quality), participants, effect, repetitions, power with its 95 %
    Wilson interval, data. Effect 0 gives the test's real error rate. Participants are those kept.
    model: explanation_share and questions, see ``simulate``.
    """
    limit, rows = stats.chi2.isf(0.05, METHODS - 1), []
    for effect in effects:
        for people in participants:
            # A stream of its own for each cell: adding a number leaves the others as they were.
            rng = np.random.default_rng([seed, people, round(1000 * effect)])
            hits = np.zeros(len(OUTCOMES), int)
            for _ in range(repetitions):
                scores, length = simulate(people, rng, effect, **model)
                scores = np.concatenate([scores, scores.mean(axis=3, keepdims=True)], axis=3)
                hits += likelihood_ratios(scores, length) > limit
            for outcome, n in zip(OUTCOMES, hits.tolist(), strict=True):
                share = (n / repetitions, *wilson(n, repetitions))
                rows.append((outcome, people, effect, repetitions, *share, "SIMULATED"))
    return pd.DataFrame(rows, columns=COLUMNS)


def participants_needed(table: pd.DataFrame, power: float = 0.8) -> pd.DataFrame:
    """Fewest participants, of those simulated, from which on power is reached: outcome, effect,
    participants (missing where it never is)."""
    rows = []
    for keys, part in table.groupby(["outcome", "effect"], sort=False):
        part = part.sort_values("participants")
        # From the largest number downwards, so that one lucky small study does not count.
        steady = part["power"][::-1].ge(power).cummin()[::-1]
        rows.append((*keys, part.loc[steady, "participants"].min()))
    table = pd.DataFrame(rows, columns=["outcome", "effect", "participants"])
    return table.astype({"participants": "Int64"})


def takeaway(needed: pd.DataFrame) -> str:
    """``participants_needed`` of the paper's effects and a power of 80 % in one sentence."""
    reached = needed.dropna().sort_values("participants", kind="stable")
    parts = [f"{row.participants} for {row.outcome}" for row in reached.itertuples()]
    missed = needed.loc[needed["participants"].isna(), "outcome"]
    if len(missed):
        parts.append(f"more than were simulated for {', '.join(missed)}")
    return "Participants for a power of 80 % on the paper's effects: " + f"{', '.join(parts)}."
