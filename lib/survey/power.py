"""SIMULATED ratings, and how many participants a study of the paper's effects needs.

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

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib.common.errors import UserError
from lib.common.intervals import wilson
from lib.common.methods import PAPER_ARMS
from lib.figures.style import count
from lib.human_study import published, reference, study
from lib.survey.design import cycle
from lib.survey.page import ITEMS, QUESTIONS

# study_honest.icc_table of the raw ratings.
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
LABEL = "SIMULATED"
EACH = ITEMS // len(PAPER_ARMS)  # explanations that a participant rates of each method
COLUMNS = ["outcome", "participants", "effect", "repetitions", "power", "lwr", "upr", "data"]


@cache
def load_shares() -> np.ndarray:
    """Published shares of the scores: [method, construct, score], summing to one over scores."""
    table = published.load_counts().set_index(["method", "construct", "score"])["count"]
    cells = pd.MultiIndex.from_product([PAPER_ARMS, study.CONSTRUCTS, range(1, 6)])
    values = table.loc[cells].to_numpy(float).reshape(len(PAPER_ARMS), -1, 5)
    return values / values.sum(axis=2, keepdims=True)


@cache
def calibrate() -> dict[str, np.ndarray | float]:
    """Parameters of the model: load [construct], between (r), own (r_c) [construct].

    Covariances of cut values come from integrating over the shared part (Gauss-Hermite, 60 nodes).
    """
    shares = load_shares().mean(axis=0)
    cuts = stats.norm.ppf(shares.cumsum(axis=1)[:, :4])
    mean = shares @ np.arange(1, 6)
    variance = shares @ np.arange(1, 6) ** 2 - mean**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def covariance(load):  # of two ratings that share load * (one normal value), else independent
        load = load[:, None, None]
        expected = stats.norm.sf((cuts[:, :, None] - load * nodes) / np.sqrt(1 - load**2)).sum(1)
        centred = expected - expected @ weights[:, None]
        return (centred * weights) @ centred.T

    def with_diagonal(matrix, diagonal):
        return matrix - np.diag(np.diag(matrix)) + np.diag(diagonal)

    def item_rest(load):
        whole = with_diagonal(covariance(load), variance)
        rest = whole.sum(axis=1) - variance
        return rest / np.sqrt(variance * (whole.sum() - variance - 2 * rest))

    known = reference.load_golden()["cronbach"]["item_rest_r"]
    wanted = np.array([known[name] for name in study.CONSTRUCTS])
    load = optimize.least_squares(
        lambda x: item_rest(x) - wanted, np.full(5, 0.8), bounds=(0.01, 0.995)
    ).x
    icc = np.array([ICC[name] for name in study.CONSTRUCTS])
    total = np.array(
        [
            optimize.brentq(
                lambda r, i=i: covariance(np.full(5, r**0.5))[i, i] - icc[i] * variance[i],
                0.01,
                0.99,
            )
            for i in range(5)
        ]
    )
    whole = with_diagonal(covariance(load), variance).sum()
    between = optimize.brentq(
        lambda r: (
            with_diagonal(covariance(load * r**0.5), icc * variance).sum() / whole - ICC["Quality"]
        ),
        0.01,
        0.9,
    )
    own = (total - load**2 * between) / (1 - load**2)
    return {"load": load, "between": between, "own": np.clip(own, 0, 1)}


def _draw(
    people: int, rng: np.random.Generator, effect: float, explanation_share: float, questions: int
) -> dict[str, np.ndarray]:
    """Scores [people, method, each, construct], lengths and questions [people, method, each]."""
    if people < 2 or effect < 0 or not 0 <= explanation_share < 0.5:
        raise UserError(
            "A simulation needs at least two participants, effect >= 0 and "
            "0 <= explanation_share < 0.5."
        )
    found, shares = calibrate(), load_shares()
    pooled = shares.mean(axis=0)
    shares = np.clip(pooled + effect * (shares - pooled), 0, None)
    cuts = stats.norm.ppf(np.clip(shares.cumsum(axis=2)[..., :4] / shares.sum(2)[..., None], 0, 1))
    shape = (people, len(PAPER_ARMS), EACH)
    question = cycle(people, len(PAPER_ARMS), questions, EACH)
    texts = rng.standard_normal((len(PAPER_ARMS), questions))
    texts = texts[np.arange(len(PAPER_ARMS))[None, :, None], question]
    r, x = found["between"], explanation_share
    factor = (
        np.sqrt(r) * rng.standard_normal((people, 1, 1))
        + np.sqrt(x) * texts
        + np.sqrt(1 - r - x) * rng.standard_normal(shape)
    )
    own = np.sqrt(found["own"]) * rng.standard_normal((people, 1, 1, 5)) + np.sqrt(
        1 - found["own"]
    ) * rng.standard_normal((*shape, 5))
    values = found["load"] * factor[..., None] + np.sqrt(1 - found["load"] ** 2) * own
    scores = 1 + (values[..., None] > cuts[None, :, None]).sum(axis=-1)
    mean, sd = (np.array([LENGTHS[m][i] for m in PAPER_ARMS])[None, :, None] for i in (0, 1))
    length = rng.gamma((mean / sd) ** 2, sd**2 / mean, shape)
    return {"scores": scores, "length": np.maximum(np.rint(length), 1), "question": question}


def simulate_ratings(
    participants: int = 117,
    seed: int = 0,
    effect: float = 1.0,
    explanation_share: float = 0.0,
    questions: int = QUESTIONS,
) -> pd.DataFrame:
    """SIMULATED checked ratings (as study.load_ratings gives), twelve a participant.

    effect: 1 is as published, 0 makes the methods equal, means move in proportion between.
    explanation_share: of the common factor's variance that belongs to the single explanation (the
    raw ratings give about 0.05). Every participant's name begins with SIMULATED.
    """
    rng = np.random.default_rng(seed)
    drawn = _draw(participants, rng, effect, explanation_share, questions)
    person, method, _ = np.indices(drawn["length"].shape)
    order = rng.permuted(np.tile(np.arange(1, ITEMS + 1), (participants, 1)), axis=1)
    table = pd.DataFrame(drawn["scores"].reshape(-1, 5), columns=list(study.CONSTRUCTS))
    table["participant"] = [f"{LABEL}-{i + 1:04d}" for i in person.ravel()]
    table["method"] = np.array(PAPER_ARMS)[method.ravel()]
    table["slot"] = [f"S{i:02d}" for i in order.ravel()]
    table["length"] = drawn["length"].ravel()
    table["question"] = [f"{LABEL}-{i:03d}" for i in drawn["question"].ravel()]
    return study.check_ratings(table, "The simulation")


def likelihood_ratios(outcomes: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Likelihood-ratio chi-squared of the method beside length, of each outcome.

    outcomes [people, method, each, outcome], length [people, method, each]. The exact statistic of
    study_mixed.likelihood_ratio with a random participant (a test compares them), in milliseconds
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

    def deviance(design, column):
        pick = np.zeros((x.shape[2], design.shape[1] + 1))
        pick[: methods + 1, :-1], pick[column, -1] = design, 1
        a, b = pick.T @ cross @ pick, pick.T @ between @ pick

        def at(ratio):  # variance of participants over the residual one
            m = a - ratio / (1 + items * ratio) * b
            rss = m[-1, -1] - m[-1, :-1] @ np.linalg.solve(m[:-1, :-1], m[:-1, -1])
            return size * np.log(rss) + people * np.log1p(items * ratio)

        found = optimize.minimize_scalar(
            at, bounds=(0, 50), method="bounded", options={"xatol": 1e-7}
        )
        return min(found.fun, at(0.0))

    columns = range(methods + 1, methods + 1 + kinds)
    return np.array([deviance(collapse, c) - deviance(np.eye(methods + 1), c) for c in columns])


def power_table(
    participants=(20, 40, 60, 80, 120, 160),
    repetitions: int = 200,
    seed: int = 0,
    effects=(1.0,),
    explanation_share: float = 0.0,
    questions: int = QUESTIONS,
) -> pd.DataFrame:
    """Share of SIMULATED studies in which the mixed model finds a method effect (p < 0.05).

    Columns: outcome (the five, Quality), participants, effect, repetitions, power with its 95 %
    Wilson interval, data. Effect 0 gives the test's real error rate. Participants are those kept.
    """
    limit, rows = stats.chi2.isf(0.05, len(PAPER_ARMS) - 1), []
    for effect in effects:
        for people in participants:
            # A stream of its own for each cell: adding a number leaves the others as they were.
            rng = np.random.default_rng([seed, people, round(1000 * effect)])
            found = np.zeros(len(study.OUTCOMES), int)
            for _ in range(repetitions):
                drawn = _draw(people, rng, effect, explanation_share, questions)
                scores = drawn["scores"].astype(float)
                scores = np.concatenate([scores, scores.mean(axis=3, keepdims=True)], axis=3)
                found += likelihood_ratios(scores, drawn["length"]) > limit
            rows += [
                (
                    outcome,
                    people,
                    effect,
                    repetitions,
                    hits / repetitions,
                    *wilson(int(hits), repetitions),
                    LABEL,
                )
                for outcome, hits in zip(study.OUTCOMES, found, strict=True)
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def participants_needed(table: pd.DataFrame, power: float = 0.8) -> pd.DataFrame:
    """Fewest participants, of those simulated, from which on power is reached: outcome, effect,
    participants (missing where it never is)."""
    rows = []
    for keys, part in table.groupby(["outcome", "effect"], sort=False):
        part = part.sort_values("participants")
        # From the largest number downwards, so that one lucky small study does not count.
        steady = part["power"][::-1].ge(power).cummin()[::-1]
        reached = part.loc[steady, "participants"]
        rows.append((*keys, reached.min() if len(reached) else pd.NA))
    return pd.DataFrame(rows, columns=["outcome", "effect", "participants"]).astype(
        {"participants": "Int64"}
    )


def power_figure(table: pd.DataFrame):
    """Power against participants, a line an outcome, with Wilson intervals: (figure, table).

    Lines differ in marker as well as colour, and stand a little beside each other; a power of 0.8
    is dashed.
    """
    figure, axes = plt.subplots(figsize=(5, 3.4))
    people, outcomes = sorted(table["participants"].unique()), table["outcome"].unique()
    gap = min(np.diff(people), default=1)
    for i, (outcome, part) in enumerate(table.groupby("outcome", sort=False)):
        whole, places = (
            outcome == "Quality",
            part["participants"] + 0.3 * gap * ((i + 0.5) / len(outcomes) - 0.5),
        )
        # Where every study found the effect, rounding can put the limit a hair below the share.
        error = [(part["power"] - part["lwr"]).clip(0), (part["upr"] - part["power"]).clip(0)]
        axes.errorbar(
            places,
            part["power"],
            error,
            marker="os^Dvx"[i % 6],
            capsize=2,
            color="black" if whole else f"C{i}",
            linewidth=2 if whole else 1.2,
            label=outcome,
        )
    axes.axhline(0.8, linestyle="--", color="grey", linewidth=1)
    axes.set(
        ylim=(0, 1.02),
        xticks=people,
        xlabel="Participants (12 ratings each)",
        ylabel="Power of the likelihood-ratio test",
        title=f"{LABEL} studies with the "
        f"published effects\n{count(table['repetitions'])} studies a point, "
        "95 % Wilson intervals",
    )
    axes.legend(loc="lower right")
    return figure, table
