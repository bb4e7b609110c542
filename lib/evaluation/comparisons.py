"""Students compared on the same questions: exact McNemar tests and bootstrap intervals.

Intervals are 95 % percentile intervals. Questions are resampled, and seeds where there are two or
more, each on its own with all its answers kept together: the pigeonhole bootstrap (Owen 2007,
Annals of Applied Statistics 1:386), the right one for a table of questions x seeds, as each cell
shares its question with its row and its training run with its column. With very few seeds it
is too narrow for another training run: of k seeds it sees (k - 1)/k of their variance. Where all
answers are right, or all wrong, it has no width at all; Wilson's interval (lib.evaluation.accuracy) has.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.common.tables import melt_table

TESTS = [
    "size",
    "a",
    "b",
    "seed",
    "n",
    "both_right",
    "only_a",
    "only_b",
    "difference",
    "p",
    "p_holm",
]
PAIRS = ["size", "a", "b", "n", "seeds", "over", "difference", "low", "high"]
RESAMPLES = 10_000
BLOCK = 2_000_000  # drawn questions at a time: about 60 MB


def pairwise(predictions: pd.DataFrame) -> pd.DataFrame:
    """McNemar's exact test of each pair of arms at each size, seed by seed, on the same questions.

    It is about two trained students, not about their methods: another seed may turn it round.
    Columns: size, a, b, seed, n, both_right, only_a, only_b (questions), difference (b minus a,
    percentage points), p, p_holm (Holm's adjustment within size and seed). A pair without a
    common seed has no row; of one arm alone the table is empty. predictions: id, arm, size, seed,
    correct. Libraries: statsmodels' mcnemar and multipletests. UserError where two students of a
    size were not asked the same questions.
    """
    rows = []
    for size, values in _by_size(predictions, "correct"):
        right = values.astype(bool)
        for a, b in combinations(order_arms(right.columns.unique("arm")), 2):
            for seed in right[a].columns.intersection(right[b].columns):
                one, other = right[a, seed], right[b, seed]
                counts = [
                    [(one & other).sum(), (one & ~other).sum()],
                    [(~one & other).sum(), (~one & ~other).sum()],
                ]
                rows.append(
                    {
                        "size": size,
                        "a": a,
                        "b": b,
                        "seed": seed,
                        "n": len(right),
                        "both_right": counts[0][0],
                        "only_a": counts[0][1],
                        "only_b": counts[1][0],
                        "difference": 100 * (counts[1][0] - counts[0][1]) / len(right),
                        "p": float(mcnemar(counts, exact=True).pvalue),
                    }
                )
    table = pd.DataFrame(rows, columns=TESTS)
    for _, part in table.groupby(["size", "seed"]):
        table.loc[part.index, "p_holm"] = multipletests(part["p"], method="holm")[1]
    return table.sort_values(["size", "seed"], kind="stable", ignore_index=True)


def differences(
    predictions: pd.DataFrame, column: str = "correct", resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Difference in accuracy of each pair of arms at each size, over their common seeds, paired.

    Columns: size, a, b, n (questions), seeds, over ("questions" or "seeds x questions": what was
    resampled), difference (b minus a), low, high (percentage points). A question and a seed are
    drawn for both arms at once, so what both share cancels out. ``column``: what is compared, each
    value from 0 to 1. UserError as in ``pairwise``.
    """
    rows = []
    for size, right in _by_size(predictions, column):
        means = _resampled_means(right, resamples)
        for a, b in combinations(order_arms(right.columns.unique("arm")), 2):
            seeds = right[a].columns.intersection(right[b].columns)
            if len(seeds):
                drawn = _over_seeds(means[b][seeds] - means[a][seeds])
                exact = (right[b][seeds].to_numpy() - right[a][seeds].to_numpy()).mean()
                rows.append(
                    {
                        "size": size,
                        "a": a,
                        "b": b,
                        **_summary(right, seeds),
                        "difference": 100 * exact,
                        **_interval(100 * drawn),
                    }
                )
    return pd.DataFrame(rows, columns=PAIRS)


def bootstrap_accuracy(
    predictions: pd.DataFrame, column: str = "correct", resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Mean accuracy of each arm at each size over its seeds, with a bootstrap interval.

    Columns: size, arm, n (questions), seeds, over (what was resampled), accuracy, low, high
    (fractions). ``column`` as in ``differences``; UserError as in ``pairwise``.
    """
    rows = []
    for size, right in _by_size(predictions, column):
        means = _resampled_means(right, resamples)
        rows += [
            {
                "size": size,
                "arm": arm,
                **_summary(right, right[arm].columns),
                "accuracy": right[arm].to_numpy().mean(),
                **_interval(_over_seeds(means[arm])),
            }
            for arm in order_arms(right.columns.unique("arm"))
        ]
    return pd.DataFrame(rows)


def comparison_statistics(
    tests: pd.DataFrame, pairs: pd.DataFrame, accuracies: pd.DataFrame
) -> pd.DataFrame:
    """The three tables above as rows analysis, statistic, group ("770M B - A"), term, value."""
    keys = {
        "mcnemar": (tests, ["size", "b", "a", "seed"]),
        "paired_bootstrap": (pairs, ["size", "b", "a"]),
        "bootstrap": (accuracies, ["size", "arm"]),
    }
    parts = []
    for statistic, (table, names) in keys.items():
        if len(table):
            plain = table.drop(columns="over", errors="ignore").astype(dict.fromkeys(names, str))
            if "a" in names:
                plain["a"] = "- " + plain["a"]
            if "seed" in names:
                plain["seed"] = "seed " + plain["seed"]
            parts.append(melt_table(plain, statistic, names))
    return pd.concat(parts, ignore_index=True).assign(analysis="students")


def _by_size(predictions: pd.DataFrame, column: str):
    """Of each size the column's value for each question (row, by id) and each (arm, seed)."""
    twice = predictions.duplicated(["size", "arm", "seed", "id"])
    if twice.any():
        row = predictions[twice].iloc[0]
        raise UserError(
            f"{row['arm']} ({row['size']}, seed {row['seed']}) answers the question "
            f"{row['id']} twice; keep one of its two rows."
        )
    for size, part in predictions.groupby("size"):
        right = part.pivot(index="id", columns=["arm", "seed"], values=column).sort_index()
        lacking = right.isna()
        if lacking.any(axis=None):
            example = lacking.any(axis=1).idxmax()
            lacks = lacking.loc[example]
            (arm, seed), (other, its) = right.columns[lacks][0], right.columns[~lacks][0]
            raise UserError(
                f"{arm} (seed {seed}) and {other} (seed {its}) of size {size} were not "
                f"asked the same questions: {arm} lacks {example}; evaluate both on "
                "one test split."
            )
        yield size, right.astype(float).sort_index(axis=1)


def _resampled_means(right: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Accuracy of each student (column) on each draw of the questions (row), with replacement.

    All students get the same draws, which is what makes their differences paired.
    """
    rng, n = np.random.default_rng(0), len(right)
    values, blocks, left = right.to_numpy(float), [], resamples
    while left:
        rows = min(left, max(1, BLOCK // n))
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        blocks.append(times @ values / n)
        left -= rows
    return pd.DataFrame(np.concatenate(blocks), columns=right.columns)


def _over_seeds(means: pd.DataFrame) -> np.ndarray:
    """Mean over as many seeds (columns) as there are, drawn anew with replacement in each row."""
    count = means.shape[1]
    rng = np.random.default_rng([0, count])  # not the stream of the questions
    drawn = rng.integers(count, size=means.shape)
    return np.take_along_axis(means.to_numpy(), drawn, axis=1).mean(axis=1)


def _summary(right: pd.DataFrame, seeds: pd.Index) -> dict:
    return {
        "n": len(right),
        "seeds": len(seeds),
        "over": "seeds x questions" if len(seeds) > 1 else "questions",
    }


def _interval(drawn: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}
