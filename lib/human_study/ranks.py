"""Rank tests that allow for persons: all five constructs at once, and each with permutations.

Formulas of the multivariate test: Bathke, Harrar & Madden (2008), "How to compare small
multivariate samples using nonparametric tests"; Burchett, Ellis, Harrar & Bathke (2017),
"Nonparametric inference for multivariate data: the R package npmv". F approximations: Brunner,
Dette & Munk (1997) for the ANOVA-type statistic, McKeon (1974), Muller (1998) and Rao (1951) for
the other three.
"""

import numpy as np
import pandas as pd
from scipy import stats

from lib.human_study.constructs import kruskal_table
from lib.human_study.ratings import CONSTRUCTS, OUTCOMES, melt_ratings

TESTS = ("anova_type", "lawley_hotelling", "bartlett_nanda_pillai", "wilks_lambda")
BATCH = 200  # permutations at once: 200 x 1,114 ratings x 5 constructs are 9 MB


def rank_test_table(ratings: pd.DataFrame, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Test that the five constructs are distributed alike under all methods.

    Columns: test, F, df1, df2, p (F approximation), p_permutation (share of the permutations of
    the methods, the given order included, with at least this F), p_within (the same, permuting
    only among the ratings of one person, which allows for their dependence). Ratings have passed
    ratings.require_ratings.
    """
    ranks, sizes, persons = _by_method(ratings, CONSTRUCTS)
    f, df1, df2 = (values[0] for values in _statistics(ranks[None], sizes))
    table = pd.DataFrame(
        {"test": TESTS, "F": f, "df1": df1, "df2": df2, "p": stats.f.sf(f, df1, df2)}
    )
    for name, blocks in (("p_permutation", np.zeros(len(persons))), ("p_within", persons)):
        beyond = sum(
            (_statistics(ranks[order], sizes)[0] >= f * (1 - 1e-12)).sum(axis=0)
            for order in shuffle(blocks, permutations, seed)
        )
        table[name] = (beyond + 1) / (permutations + 1)
    return table


def permutation_table(
    ratings: pd.DataFrame, permutations: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Kruskal-Wallis' H of each outcome with p from permuting methods within each participant.

    Columns: construct (the five, then Quality), H, p (chi-squared, as if ratings were
    independent), p_within (share of seeded permutations, the given order included).
    """
    ranks, sizes, persons = _by_method(ratings, OUTCOMES)
    starts = np.cumsum(sizes) - sizes

    def spread(batch):  # H rises with the sum of squared rank sums over group sizes, nothing else
        sums = np.add.reduceat(batch, starts, axis=1)
        return (sums**2 / sizes[:, None]).sum(axis=1)

    given = spread(ranks[None])[0]
    beyond = sum(
        (spread(ranks[order]) >= given * (1 - 1e-12)).sum(axis=0)
        for order in shuffle(persons, permutations, seed)
    )
    table = kruskal_table(melt_ratings(ratings))[["construct", "H", "p"]]
    return table.assign(p_within=(beyond + 1) / (permutations + 1))


def _by_method(ratings: pd.DataFrame, outcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks of the outcomes, number of ratings of each method, and persons, method by method."""
    codes = np.unique(ratings["method"].astype(str), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    ranks = ratings[list(outcomes)].rank().to_numpy()
    return ranks[order], np.bincount(codes), ratings["participant"].to_numpy()[order]


def shuffle(blocks: np.ndarray, permutations: int, seed: int):
    """Yield batches of seeded permutations (batch x n) that keep each row within its block."""
    codes = np.unique(blocks, return_inverse=True)[1]
    home = np.argsort(codes, kind="stable")
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, BATCH):
        keys = codes + rng.random((min(BATCH, permutations - start), len(codes)))
        order = np.empty(keys.shape, dtype=int)
        order[:, home] = np.argsort(keys, axis=1)
        yield order


def _statistics(ranks: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F, df1, df2 of the four tests (batch x 4); ranks (batch x n x p) lie group by group."""
    n, p = ranks.shape[1:]
    a = len(sizes)
    groups = np.split(ranks, np.cumsum(sizes)[:-1], axis=1)
    means = np.stack([group.mean(axis=1) for group in groups], axis=1)
    centred = [group - group.mean(axis=1, keepdims=True) for group in groups]
    squares = [c.transpose(0, 2, 1) @ c for c in centred]

    # ANOVA-type: unweighted means against the covariances of the means, unequal sizes allowed for.
    spread = sum(s / (size * (size - 1)) for s, size in zip(squares, sizes, strict=True)) / a
    between = np.var(means, axis=1, ddof=1).sum(axis=1)
    trace = np.trace(spread, axis1=1, axis2=2)
    ratio = trace**2 / np.sum(spread**2, axis=(1, 2))
    anova = (between / trace, (a - 1) * ratio, a**2 / np.sum(1 / (sizes - 1)) * ratio)

    # The other three: eigenvalues of the hypothesis matrix times the inverse error matrix.
    error = sum(squares)
    away = (means - ranks.mean(axis=1, keepdims=True)) * np.sqrt(sizes)[:, None]
    roots = np.linalg.eigvals(np.linalg.solve(error, away.transpose(0, 2, 1) @ away)).real
    h, e = a - 1, n - a

    u = roots.sum(axis=1)
    b = (n - p - 2) * (e - 1) / ((e - p) * (e - p - 3))
    d = 4 + (p * h + 2) / (b - 1)
    hotelling = (u * (e - p - 1) * d / (p * h * (d - 2)), p * h, d)

    s = min(h, p)
    v = (roots / (1 + roots)).sum(axis=1) / s
    # npmv has N in the term and in nu2 where the null moments give N - 1; kept, as R's values are
    # the reference (with 1,114 ratings F differs in the third decimal).
    term = s * (e + s - p) * (n + 2) * (n - 1) / (e * (n - p)) - 2
    nu1, nu2 = p * h / (s * (n - 1)) * term, (e + s - p) / n * term
    pillai = (v / nu1 / ((1 - v) / nu2), nu1, nu2)

    k = p**2 + h**2 - 5
    t = np.sqrt((p**2 * h**2 - 4) / k) if k > 0 else 1.0
    power = np.prod(1 / (1 + roots), axis=1) ** (1 / t)
    df2 = (e - (p - h + 1) / 2) * t - (p * h - 2) / 2
    wilks = ((1 - power) / power * df2 / (p * h), p * h, df2)

    columns = zip(
        *[np.broadcast_arrays(*test) for test in (anova, hotelling, pillai, wilks)], strict=True
    )
    return tuple(np.stack(column, axis=1) for column in columns)
