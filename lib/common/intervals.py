"""95 % intervals: of a share (Wilson), of a mean (t), of anything (percentile bootstrap)."""

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

BLOCK = 2_000_000  # drawn indices at a time: about 60 MB


def wilson(correct, total):
    """Wilson's interval of a share (low, high), fractions. Takes numbers and columns."""
    return proportion_confint(correct, total, method="wilson")


def mean_interval(mean, sd, n):
    """t interval of a mean (low, high); nan where n is below 2. Takes numbers and columns."""
    n = np.asarray(n, float)
    usable = np.where(n > 1, n, np.nan)
    half = stats.t.ppf(0.975, usable - 1) * np.asarray(sd) / np.sqrt(usable)
    return mean - half, mean + half


def ratio_interval(sums, counts) -> tuple[float, float]:
    """scipy's percentile bootstrap of sum(sums) / sum(counts), drawing both together 2,000 times;
    nan below two."""
    if len(sums) < 2:
        return np.nan, np.nan
    found = stats.bootstrap(
        (np.asarray(sums), np.asarray(counts)),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        n_resamples=2000,
        batch=200,
        vectorized=True,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return tuple(map(float, found.confidence_interval))


def bootstrap(statistic, n: int, resamples: int) -> np.ndarray:
    """Any statistic of ``resamples`` bootstrap samples, each n of n things drawn with replacement.

    ``statistic`` takes what was drawn, indices [samples, n], and gives a value or a row for each
    sample. The draws are the same in every call, so statistics of the same things are paired.
    """
    rng, most = np.random.default_rng(0), max(1, BLOCK // n)
    sizes = [min(most, resamples - start) for start in range(0, resamples, most)]
    return np.concatenate([statistic(rng.integers(n, size=(size, n))) for size in sizes])


def counts(drawn: np.ndarray) -> np.ndarray:
    """How often each of n things was drawn [samples, n], from ``bootstrap``'s indices."""
    samples, n = drawn.shape
    shifted = drawn + n * np.arange(samples)[:, None]
    return np.bincount(shifted.ravel(), minlength=samples * n).reshape(samples, n)


def percentile_interval(drawn) -> tuple[float, float]:
    """The middle 95 % (low, high) of a bootstrap statistic's values; nan is left out."""
    drawn = np.asarray(drawn)[~np.isnan(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return float(low), float(high)


def show_p(p: float) -> str:
    """A p value for a figure or a sentence: "= 0.0081" or "< 0.0001"."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"
