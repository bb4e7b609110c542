"""Students compared on the same questions: exact McNemar tests and bootstrap intervals.

Intervals are 95 % percentile intervals. Questions are resampled, and seeds where there are two or
more, each on its own with all its answers kept together: the pigeonhole bootstrap (Owen 2007,
Annals of Applied Statistics 1:386), as each answer shares its question with other students and its
training run with other questions. With very few seeds it is too narrow for another training run: of
k seeds it sees (k - 1)/k of their variance. Where all answers are right, or all wrong, it has no
width at all; Wilson's interval (lib.evaluation.accuracy) has.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lib.common.errors import UserError
from lib.common.intervals import bootstrap, counts, percentile_interval
from lib.common.methods import order_arms

TESTS = ["size", "a", "b", "seed", "n", "both_right", "only_a", "only_b", "difference", "p"]
PAIRS = ["size", "a", "b", "n", "seeds", "over", "difference", "low", "high"]
RESAMPLES = 10_000


def pairwise(predictions: pd.DataFrame) -> pd.DataFrame:
    """McNemar's exact test of each pair of arms at each size, seed by seed, on the same questions.

    It is about two trained students, not about their methods: another seed may turn it round.
    Columns: TESTS (counts of questions; difference: b minus a in percentage points) and p_holm
    (Holm's adjustment within size and seed). A pair without a common seed has no row. predictions:
    id, arm, size, seed, correct. UserError where students of a size were asked different questions.
    """
    rows = []
    for size, right in _by_size(predictions, "correct"):
        for a, b in _pairs(right):
            for seed in right[a].columns.intersection(right[b].columns):
                one, other = right[a, seed] == 1, right[b, seed] == 1
                cells = (one & other, one & ~other, ~one & other, ~one & ~other)
                both, only_a, only_b, neither = (int(cell.sum()) for cell in cells)
                p = float(mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue)
                difference = 100 * (only_b - only_a) / len(right)
                rows.append((size, a, b, seed, len(right), both, only_a, only_b, difference, p))
    table = pd.DataFrame(rows, columns=TESTS).assign(p_holm=np.nan)
    for _, part in table.groupby(["size", "seed"]):
        table.loc[part.index, "p_holm"] = multipletests(part["p"], method="holm")[1]
    return table.sort_values(["size", "seed"], kind="stable", ignore_index=True)


def differences(predictions: pd.DataFrame, column: str = "correct") -> pd.DataFrame:
    """Difference in accuracy of each pair of arms at each size, over their common seeds, paired.

    Columns: size, a, b, n (questions), seeds, over ("questions" or "seeds x questions": what was
    resampled), difference (b minus a), low, high (percentage points). A question and a seed are
    drawn for both arms at once, so what both share cancels out. ``column``: what is compared, each
    value from 0 to 1; where it is not defined (nan), that answer is left out of its arm's mean.
    UserError as in ``pairwise``.
    """
    rows = []
    for size, values in _by_size(predictions, column):
        means = _resampled_means(values)
        for a, b in _pairs(values):
            seeds = values[a].columns.intersection(values[b].columns)
            if len(seeds):
                difference = 100 * _gap(values[a][seeds], values[b][seeds])
                limits = percentile_interval(100 * _over_seeds(means[b][seeds] - means[a][seeds]))
                rows.append((size, a, b, *_sample(values, seeds), difference, *limits))
    return pd.DataFrame(rows, columns=PAIRS)


def bootstrap_accuracy(predictions: pd.DataFrame, column: str = "correct") -> pd.DataFrame:
    """Mean accuracy of each arm at each size over its seeds, with a bootstrap interval.

    Columns: size, arm, n (questions), seeds, over (what was resampled), accuracy, low, high
    (fractions). ``column`` as in ``differences``; UserError as in ``pairwise``.
    """
    rows = []
    for size, values in _by_size(predictions, column):
        means = _resampled_means(values)
        for arm in order_arms(values.columns.unique("arm")):
            limits = percentile_interval(_over_seeds(means[arm]))
            sample = _sample(values, values[arm].columns)
            rows.append((size, arm, *sample, _mean(values[arm]), *limits))
    columns = ["size", "arm", "n", "seeds", "over", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def takeaway(accuracies: pd.DataFrame, pairs: pd.DataFrame, chance: float) -> str:
    """The tables of ``bootstrap_accuracy`` and ``differences`` in a sentence or two."""
    best = accuracies.loc[accuracies["accuracy"].idxmax()]
    share, low, high = (100 * best[name] for name in ("accuracy", "low", "high"))
    above, clear = accuracies["low"] > chance, (pairs["low"] > 0) | (pairs["high"] < 0)
    text = (
        f"{best['arm']} ({best['size']}) is right most often, {share:.0f} % [{low:.0f}, "
        f"{high:.0f}]; significantly above chance ({100 * chance:.0f} %): {above.sum()} of "
        f"{len(above)} arms."
    )
    if len(pairs):
        text += f" Significant differences between arms: {clear.sum()} of {len(pairs)}."
    return text


def _by_size(predictions: pd.DataFrame, column: str):
    """Of each size the column's value for each question (row, by id) and each (arm, seed)."""
    for size, part in predictions.groupby("size"):
        values = part.pivot(index="id", columns=["arm", "seed"], values=column).sort_index()
        asked = part.assign(asked=1).pivot(index="id", columns=["arm", "seed"], values="asked")
        lacking = asked.isna()
        if lacking.any(axis=None):
            question = lacking.any(axis=1).idxmax()
            arm, seed = lacking.columns[lacking.loc[question]][0]
            raise UserError(
                f"The students of size {size} were not asked the same questions: {arm} (seed "
                f"{seed}) lacks {question}; evaluate all on one test split."
            )
        yield size, values.astype(float).sort_index(axis=1)


def _pairs(values: pd.DataFrame):
    return combinations(order_arms(values.columns.unique("arm")), 2)


def _resampled_means(values: pd.DataFrame) -> pd.DataFrame:
    """Mean of each student (column) on each draw of the questions (rows), with replacement.

    All students get the same draws, which is what makes their differences paired. A value that is
    nan is left out.
    """
    known, answers = values.notna().to_numpy(float), values.fillna(0).to_numpy()

    def means(drawn):
        times = counts(drawn)
        with np.errstate(invalid="ignore"):  # a draw may have none
            return times @ answers / (times @ known)

    found = bootstrap(means, len(values), RESAMPLES)
    return pd.DataFrame(found, columns=values.columns)


def _mean(values: pd.DataFrame) -> float:
    """The mean of all values that are defined."""
    known = values.to_numpy()[values.notna().to_numpy()]
    return known.mean() if len(known) else np.nan


def _gap(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean of the other's values minus that of one's, as exact as it can be."""
    gaps = other - one
    return _mean(other) - _mean(one) if gaps.isna().any(axis=None) else _mean(gaps)


def _over_seeds(means: pd.DataFrame) -> np.ndarray:
    """Mean over as many seeds (columns) as there are, drawn anew with replacement in each row."""
    count = means.shape[1]
    rng = np.random.default_rng([0, count])  # not the stream of the questions
    drawn = rng.integers(count, size=means.shape)
    return np.take_along_axis(means.to_numpy(), drawn, axis=1).mean(axis=1)


def _sample(values: pd.DataFrame, seeds: pd.Index) -> tuple[int, int, str]:
    """Questions, seeds, and what is resampled."""
    return len(values), len(seeds), "seeds x questions" if len(seeds) > 1 else "questions"
