"""95 % intervals: of a share (Wilson), of a mean (t)."""

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lib.common.errors import UserError


def wilson(correct: float, total: float) -> tuple[float, float]:
    """Wilson's interval of a share, two fractions (statsmodels' proportion_confint)."""
    if not 0 <= correct <= total or total < 1:
        raise UserError(f"A share needs 0 <= correct <= total, but got {correct} of {total}.")
    low, high = proportion_confint(correct, total, method="wilson")
    return float(low), float(high)


def mean_interval(mean, sd, n):
    """t interval of a mean (low, high); nan where n is below 2. Takes numbers and columns."""
    n = np.asarray(n, float)
    usable = np.where(n > 1, n, np.nan)
    half = stats.t.ppf(0.975, usable - 1) * np.asarray(sd) / np.sqrt(usable)
    return mean - half, mean + half
