"""Mixed models of the ratings: random intercepts for participants (and slots, questions).

statsmodels has only Wald tests of such a fit, and stops short of the optimum where factors are
crossed. So the variances are found by Fisher scoring (a test compares them with statsmodels'), and
the small-sample tests of R's lmerTest and pbkrtest follow from their formulas: Satterthwaite's
degrees of freedom (Kuznetsova, Brockhoff & Christensen 2017), Kenward & Roger's F (1997; Halekoh &
Hojsgaard 2014). V = s0 I + s1 Z1 Z1' + ..., P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import sparse, stats

from lib.common.errors import UserError
from lib.human_study.regression import make_design

ZERO = 1e-6  # a variance below this share of the residual one sits on its boundary, 0


@dataclass
class MixedFit:
    """A fit by REML: estimates, their covariances, and what the small-sample tests need."""

    names: list[str]  # of the fixed effects: Intercept, each method but the first, length
    beta: np.ndarray
    cov: np.ndarray
    variances: dict[str, float]  # of each random factor, and "residual"
    cov_variances: np.ndarray  # of the variances above 0, residual first
    slopes: list[np.ndarray]  # derivative of X' V^-1 X by each of these, negative
    cov_kr: np.ndarray  # Kenward and Roger's covariance of the fixed effects
    weights: np.ndarray  # their W: inverse expected information on the variances
    loglik: float  # restricted


def fit_mixed(
    ratings: pd.DataFrame,
    outcome: str = "Quality",
    random=("participant",),
    terms=("method", "length"),
) -> MixedFit:
    """Fit outcome ~ terms + (1 | each random factor) by REML; length in characters.

    random: columns of the ratings, crossed where there are several. A variance estimated as zero
    is reported as 0 and left out of the tests. UserError for an unusable factor or no convergence.
    """
    y, x, factors = _prepare(ratings, outcome, random, terms)
    found, z, parts = _optimise(y, x, factors, reml=True)
    cov, half = parts["cov"], parts["half"]
    slopes = [a.T @ a for a in half]
    weights = 2 * np.linalg.inv(parts["information"])
    moved = [part @ a for part, a in zip(z, half, strict=True)]
    bias = sum(
        weights[i, j] * (moved[i].T @ parts["inverse"] @ moved[j] - slopes[i] @ cov @ slopes[j])
        for i in range(len(z))
        for j in range(len(z))
    )
    return MixedFit(
        list(x.columns),
        parts["beta"],
        cov,
        found,
        2 * np.linalg.inv(parts["hessian"]),
        slopes,
        cov + 2 * cov @ bias @ cov,
        weights,
        parts["loglik"],
    )


def _prepare(ratings, outcome, random, terms):
    """Outcome, design and the indicator matrix of each random factor."""
    for name in random:
        if name not in ratings.columns or ratings[name].nunique() < 2:
            raise UserError(f"A random intercept needs a column {name} with at least two levels.")
    x = make_design(ratings, ("method",) if "method" in terms else ())
    x = x if "length" in terms else x.drop(columns="length")
    x.insert(0, "Intercept", 1.0)
    z = {
        name: sparse.csr_array(pd.get_dummies(ratings[name].astype(str), dtype=float))
        for name in random
    }
    return ratings[outcome].to_numpy(float), x, z


def _optimise(y, x, factors, reml) -> tuple[dict[str, float], list, dict]:
    """Variances at the optimum, the Z of those above 0 (identity first), and _deviance there.

    Fisher scoring from equal variances; one that belongs at 0 goes there by fifths.
    """
    matrices = {"residual": sparse.eye_array(len(y), format="csr")} | factors
    found = dict.fromkeys(matrices, y.var() / len(matrices))
    for _ in range(100):
        found = {name: v if v > ZERO * found["residual"] else 0.0 for name, v in found.items()}
        used = [name for name, v in found.items() if v > 0]
        z, theta = [matrices[name] for name in used], np.array([found[name] for name in used])
        parts = _deviance(y, x.to_numpy(), z, theta, reml)
        step = np.linalg.solve(parts["information"], parts["score"])
        if np.all(np.abs(step) < 1e-10 * theta):
            return found, z, parts
        moved = np.maximum(theta - step, theta / 5).tolist()
        found = dict.fromkeys(found, 0.0) | dict(zip(used, moved, strict=True))
    raise UserError(
        f"The mixed model with {', '.join(factors)} did not converge; use fewer random factors."
    )


def _deviance(y, x, z, theta, reml) -> dict:
    """Score and Hessian of the (restricted) deviance by the variances, and what they need."""
    # V = s0 I + U U', inverted through the small U' U (Woodbury).
    n, s0 = len(y), theta[0]
    u = sparse.hstack(
        [
            sparse.csr_array((n, 0)),
            *(part * t**0.5 for t, part in zip(theta[1:], z[1:], strict=True)),
        ],
        format="csr",
    ).toarray()
    small = s0 * np.eye(u.shape[1]) + u.T @ u
    inverse = (np.eye(n) - u @ np.linalg.solve(small, u.T)) / s0
    vx = inverse @ x
    precision = x.T @ vx
    cov = np.linalg.inv(precision)
    p = inverse - vx @ (cov @ vx.T)
    py, weight = p @ y, p if reml else inverse
    pushed = [part @ (part.T @ py) for part in z]
    traces = np.array([[np.sum((a.T @ (weight @ b)) ** 2) for b in z] for a in z])
    deviance = (
        (n - u.shape[1]) * np.log(s0) + np.linalg.slogdet(small)[1] + y @ py + n * np.log(2 * np.pi)
    )
    if reml:
        deviance += np.linalg.slogdet(precision)[1] - x.shape[1] * np.log(2 * np.pi)
    return {
        "cov": cov,
        "beta": cov @ (vx.T @ y),
        "loglik": float(-deviance / 2),
        "inverse": inverse,
        "half": [part.T @ vx for part in z],
        "score": np.array(
            [(part.T @ (weight @ part)).trace() - np.sum((part.T @ py) ** 2) for part in z]
        ),
        "hessian": 2 * np.array([[a @ p @ b for b in pushed] for a in pushed]) - traces,
        "information": traces,
    }


def _satterthwaite(fit: MixedFit, row: np.ndarray) -> tuple[float, float, float]:
    """Estimate, standard error and degrees of freedom of one linear combination."""
    spread = row @ fit.cov
    variance = spread @ row
    gradient = np.array([spread @ slope @ spread for slope in fit.slopes])
    return (
        float(row @ fit.beta),
        float(np.sqrt(variance)),
        float(2 * variance**2 / (gradient @ fit.cov_variances @ gradient)),
    )


def _combination_table(fit: MixedFit, rows: dict[str, np.ndarray], key: str) -> pd.DataFrame:
    """Satterthwaite's t test of each combination, with 95% interval."""
    table = pd.DataFrame(
        [(name, *_satterthwaite(fit, row)) for name, row in rows.items()],
        columns=[key, "estimate", "se", "df_satt"],
    )
    table["t"] = table["estimate"] / table["se"]
    table["p_satt"] = 2 * stats.t.sf(table["t"].abs(), table["df_satt"])
    half = stats.t.ppf(0.975, table["df_satt"]) * table["se"]
    return table.assign(lwr=table["estimate"] - half, upr=table["estimate"] + half)


def coefficient_table(fit: MixedFit) -> pd.DataFrame:
    """Fixed effects: term, estimate, se, df_satt, t, p_satt, lwr, upr (scale points)."""
    return _combination_table(
        fit, dict(zip(fit.names, np.eye(len(fit.names)), strict=True)), "term"
    )


def contrast_table(fit: MixedFit, methods: list[str]) -> pd.DataFrame:
    """All pairs of methods at equal length: pair ("B-A", B minus A), as above, and p_holm."""
    unit = dict(zip(fit.names, np.eye(len(fit.names)), strict=True))
    zero = np.zeros(len(fit.names))
    rows = {f"{b}-{a}": unit.get(b, zero) - unit.get(a, zero) for a, b in combinations(methods, 2)}
    table = _combination_table(fit, rows, "pair")
    return table.assign(p_holm=pg.multicomp(table["p_satt"].to_numpy(), method="holm")[1])


def effect_table(fit: MixedFit) -> pd.DataFrame:
    """F tests of method and length: statistic (F_satt, F_kr), effect, F, df1, df2, p."""
    effects = {
        "method": [n for n in fit.names if n not in ("Intercept", "length")],
        "length": [n for n in fit.names if n == "length"],
    }
    rows = []
    for effect, names in effects.items():
        if names:
            wanted = np.eye(len(fit.names))[[fit.names.index(name) for name in names]]
            for statistic, test in (("F_satt", _f_satterthwaite), ("F_kr", _f_kenward_roger)):
                f, df2 = test(fit, wanted)
                rows.append(
                    (statistic, effect, f, len(names), df2, float(stats.f.sf(f, len(names), df2)))
                )
    return pd.DataFrame(rows, columns=["statistic", "effect", "F", "df1", "df2", "p"])


def _f_satterthwaite(fit: MixedFit, wanted: np.ndarray) -> tuple[float, float]:
    """F and denominator df: the t tests along the principal axes of the contrasts, averaged."""
    axes = np.linalg.eigh(wanted @ fit.cov @ wanted.T)[1].T @ wanted
    tests = np.array([_satterthwaite(fit, row) for row in axes])
    f, df = np.mean((tests[:, 0] / tests[:, 1]) ** 2), tests[:, 2]
    if len(df) == 1:
        return float(f), float(df[0])
    expected = np.sum(np.where(df > 2, df / (df - 2), 0))
    return float(f), float(2 * expected / (expected - len(df))) if expected > len(df) else 2.0


def _f_kenward_roger(fit: MixedFit, wanted: np.ndarray) -> tuple[float, float]:
    """F, scaled as Kenward and Roger do, and denominator df."""
    q = len(wanted)
    theta = wanted.T @ np.linalg.solve(wanted @ fit.cov @ wanted.T, wanted) @ fit.cov
    moved = [theta @ slope @ fit.cov for slope in fit.slopes]
    a1 = sum(
        w * np.trace(moved[i]) * np.trace(moved[j]) for (i, j), w in np.ndenumerate(fit.weights)
    )
    a2 = sum(w * np.trace(moved[i] @ moved[j]) for (i, j), w in np.ndenumerate(fit.weights))
    b = (a1 + 6 * a2) / (2 * q)
    g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    c1, c2, c3 = np.array([g, q - g, q + 2 - g]) / (3 * q + 2 * (1 - g))
    mean = 1 / (1 - a2 / q)
    variance = 2 / q * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    df2 = 4 + (q + 2) / (q * variance / (2 * mean**2) - 1)
    estimate = wanted @ fit.beta
    f = estimate @ np.linalg.solve(wanted @ fit.cov_kr @ wanted.T, estimate) / q
    return float(df2 / (mean * (df2 - 2)) * f), float(df2)


def likelihood_ratio(
    ratings: pd.DataFrame, outcome: str = "Quality", random=("participant",)
) -> dict[str, float]:
    """Likelihood-ratio test of the method beside length, both fits by ML: chi2, df, p."""
    logliks, sizes = [], []
    for terms in (("method", "length"), ("length",)):
        y, x, factors = _prepare(ratings, outcome, random, terms)
        logliks.append(_optimise(y, x, factors, reml=False)[2]["loglik"])
        sizes.append(x.shape[1])
    chi2, df = 2 * (logliks[0] - logliks[1]), sizes[0] - sizes[1]
    return {"chi2": chi2, "df": float(df), "p": float(stats.chi2.sf(chi2, df))}
