"""Mixed models of the ratings: random intercepts for participants (and slots, questions).

statsmodels has only Wald tests of such a fit, and stops short of the optimum where factors are
crossed. So the variances are found by Fisher scoring (a test compares them with statsmodels'), and
the small-sample tests of R's lmerTest and pbkrtest follow from their formulas: Satterthwaite's
degrees of freedom (Kuznetsova, Brockhoff & Christensen 2017), Kenward & Roger's F (1997; Halekoh &
Hojsgaard 2014). V = s0 I + s1 Z1 Z1' + ..., P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1.
"""

from dataclasses import dataclass
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import order_arms
from lib.common.tables import melt_table, melt_values, stack
from lib.human_study.ratings import OUTCOMES, drop_outliers
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
    variances, optimum = _optimise(y, x, factors, reml=True)
    cov, vx, lifted, solve = optimum.cov, optimum.vx, optimum.lifted, optimum.solve
    slopes = [vx.T @ part for part in lifted]
    weights = 2 * np.linalg.inv(optimum.information)
    bias = sum(
        weight * (lifted[i].T @ solve(lifted[j]) - slopes[i] @ cov @ slopes[j])
        for (i, j), weight in np.ndenumerate(weights)
    )
    return MixedFit(
        names=list(x.columns),
        beta=optimum.beta,
        cov=cov,
        variances=variances,
        cov_variances=2 * np.linalg.inv(optimum.hessian),
        slopes=slopes,
        cov_kr=cov + 2 * cov @ bias @ cov,
        weights=weights,
        loglik=optimum.loglik,
    )


def _prepare(ratings, outcome, random, terms):
    """Outcome, design and the indicator matrix of each random factor."""
    for name in random:
        if name not in ratings.columns or ratings[name].nunique() < 2:
            raise UserError(f"A random intercept needs a column {name} with at least two levels.")
    x = make_design(ratings, ("method",) if "method" in terms else ())
    x = x if "length" in terms else x.drop(columns="length")
    x.insert(0, "Intercept", 1.0)
    z = {name: pd.get_dummies(ratings[name].astype(str)).to_numpy(float) for name in random}
    return ratings[outcome].to_numpy(float), x, z


def _optimise(y, x, factors, reml) -> tuple[dict[str, float], SimpleNamespace]:
    """Variances at the optimum, residual first, and _derivatives there.

    Fisher scoring from equal variances; one that belongs at 0 goes there by fifths.
    """
    names = ["residual", *factors]
    variances = dict.fromkeys(names, y.var() / len(names))
    for _ in range(100):
        least = ZERO * variances["residual"]
        variances = {name: v if v > least else 0.0 for name, v in variances.items()}
        used = [name for name in names if variances[name] > 0]
        theta = np.array([variances[name] for name in used])
        optimum = _derivatives(y, x.to_numpy(), [factors[name] for name in used[1:]], theta, reml)
        step = np.linalg.solve(optimum.information, optimum.score)
        if np.all(np.abs(step) < 1e-10 * theta):
            return variances, optimum
        moved = np.maximum(theta - step, theta / 5).tolist()
        variances = dict.fromkeys(names, 0.0) | dict(zip(used, moved, strict=True))
    raise UserError(
        f"The mixed model with {', '.join(factors)} did not converge; use fewer random factors."
    )


def _derivatives(y, x, z, theta, reml) -> SimpleNamespace:
    """Score, Hessian and information of the (restricted) deviance by the variances theta.

    z: indicator matrices of the random factors, theta[1:] their variances. No n x n matrix is
    formed: V = s0 I + U U' is inverted through the small U' U (Woodbury), and the traces that
    belong to the residual follow from P V P = P and tr(P V) = n - (columns of x).
    """
    n, s0 = len(y), theta[0]
    u = np.hstack(
        [np.empty((n, 0)), *(part * t**0.5 for part, t in zip(z, theta[1:], strict=True))]
    )
    small = s0 * np.eye(u.shape[1]) + u.T @ u
    inverse = np.linalg.inv(small)

    def solve(b):  # V^-1 b
        return (b - u @ (inverse @ (u.T @ b))) / s0

    vx = solve(x)
    precision = x.T @ vx
    cov = np.linalg.inv(precision)

    def project(b):  # P b
        return solve(b) - vx @ (cov @ (vx.T @ b))

    def lift(b):  # Z Z' b of the residual (Z = I) and of each factor
        return [b, *(part @ (part.T @ b) for part in z)]

    weigh = project if reml else solve
    weighed = [weigh(part) for part in z]
    own = np.array([np.sum(a * b) for a, b in zip(z, weighed, strict=True)])
    whole = (n - x.shape[1] * reml - theta[1:] @ own) / s0
    traces = np.empty((len(theta), len(theta)))
    traces[1:, 1:] = [[np.sum((a.T @ b) ** 2) for b in weighed] for a in z]
    traces[0, 1:] = traces[1:, 0] = [np.sum(b**2) for b in weighed]
    traces[0, 0] = (whole - theta[1:] @ traces[0, 1:]) / s0
    py = project(y)
    pushed = lift(py)
    deviance = (n - u.shape[1]) * np.log(s0) + np.linalg.slogdet(small)[1] + y @ py
    deviance += (n - x.shape[1] * reml) * np.log(2 * np.pi)
    if reml:
        deviance += np.linalg.slogdet(precision)[1]
    return SimpleNamespace(
        solve=solve,
        vx=vx,
        cov=cov,
        beta=cov @ (vx.T @ y),
        lifted=lift(vx),
        loglik=float(-deviance / 2),
        score=np.array([whole, *own]) - [py @ part for part in pushed],
        hessian=2 * np.array([[a @ project(b) for b in pushed] for a in pushed]) - traces,
        information=traces,
    )


def _satterthwaite(fit: MixedFit, row: np.ndarray) -> tuple[float, float, float]:
    """Estimate, standard error and degrees of freedom of one linear combination."""
    spread = row @ fit.cov
    variance = spread @ row
    gradient = np.array([spread @ slope @ spread for slope in fit.slopes])
    df = 2 * variance**2 / (gradient @ fit.cov_variances @ gradient)
    return row @ fit.beta, np.sqrt(variance), df


def _combination_table(fit: MixedFit, rows: dict[str, np.ndarray], key: str) -> pd.DataFrame:
    """Satterthwaite's t test of each combination, with 95% interval."""
    rows = [(name, *_satterthwaite(fit, row)) for name, row in rows.items()]
    table = pd.DataFrame(rows, columns=[key, "estimate", "se", "df_satt"])
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
    unit = dict.fromkeys(methods, np.zeros(len(fit.names)))
    unit |= dict(zip(fit.names, np.eye(len(fit.names)), strict=True))
    rows = {f"{b}-{a}": unit[b] - unit[a] for a, b in combinations(methods, 2)}
    table = _combination_table(fit, rows, "pair")
    return table.assign(p_holm=pg.multicomp(table["p_satt"].to_numpy(), method="holm")[1])


def effect_table(fit: MixedFit) -> pd.DataFrame:
    """F tests of method and length: statistic (F_satt, F_kr), effect, F, df1, df2, p."""
    length = [name for name in fit.names if name == "length"]
    methods = [name for name in fit.names if name not in ("Intercept", "length")]
    rows = []
    for effect, names in (("method", methods), ("length", length)):
        wanted = np.eye(len(fit.names))[[fit.names.index(name) for name in names]]
        for statistic, test in (("F_satt", _f_satterthwaite), ("F_kr", _f_kenward_roger)):
            if names:
                f, df2 = test(fit, wanted)
                p = stats.f.sf(f, len(names), df2)
                rows.append((statistic, effect, f, len(names), df2, p))
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
    pairs = list(np.ndenumerate(fit.weights))
    a1 = sum(w * np.trace(moved[i]) * np.trace(moved[j]) for (i, j), w in pairs)
    a2 = sum(w * np.trace(moved[i] @ moved[j]) for (i, j), w in pairs)
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
        logliks.append(_optimise(y, x, factors, reml=False)[1].loglik)
        sizes.append(x.shape[1])
    chi2, df = 2 * (logliks[0] - logliks[1]), sizes[0] - sizes[1]
    return {"chi2": chi2, "df": df, "p": stats.chi2.sf(chi2, df)}


def random_choices(ratings: pd.DataFrame) -> list[tuple[str, ...]]:
    """Choices of random intercepts: participants alone, and with slots or questions if known."""
    known = [name for name in ("slot", "question") if name in ratings]
    others = [name for name in known if ratings[name].nunique() > 1]
    return [("participant",), *(("participant", name) for name in others)]


def lrt_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Likelihood-ratio tests of the method on Quality at equal length, without the outliers.

    Columns: random (the random intercepts), chi2, df, p, and the variances. In the authors'
    questionnaire each slot shows one method only, so a random slot takes from the method what
    might as well be the slot's; a random question does not.
    """
    kept, rows = drop_outliers(ratings), []
    for random in random_choices(kept):
        variances = pd.Series(fit_mixed(kept, random=random).variances).add_prefix("var_")
        test = likelihood_ratio(kept, random=random)
        rows.append({"random": "+".join(random)} | test | variances.to_dict())
    return pd.DataFrame(rows)


def gap_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Differences of Quality between methods, persons as random intercepts, without the outliers.

    Columns: lengths ("as they are", or "equal": length is in the model), pair ("B-A"), estimate (B
    minus A, scale points), lwr, upr (95 %), p_satt, p_holm.
    """
    kept, tables = drop_outliers(ratings), []
    for lengths, terms in (("as they are", ("method",)), ("equal", ("method", "length"))):
        table = contrast_table(fit_mixed(kept, terms=terms), order_arms(kept["method"]))
        tables.append(table.assign(lengths=lengths))
    columns = ["lengths", "pair", "estimate", "lwr", "upr", "p_satt", "p_holm"]
    return pd.concat(tables, ignore_index=True)[columns]


def icc_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Share of each outcome's variance that lies between participants (intercept-only REML).

    Columns: construct (the five, then Quality), var_participant, var_residual, icc.
    """
    rows = []
    for outcome in OUTCOMES:
        variances = fit_mixed(ratings, outcome, terms=()).variances
        between, residual = variances["participant"], variances["residual"]
        rows.append((outcome, between, residual, between / (between + residual)))
    return pd.DataFrame(rows, columns=["construct", "var_participant", "var_residual", "icc"])


def analyse_quality(ratings: pd.DataFrame) -> pd.DataFrame:
    """The mixed models of Quality without the paper's outliers as a long table, "mixed_model".

    statistic: the random factors joined by "+" (coefficients, F tests, variances, fit), the same
    with " contrasts" (pairs of methods at equal length), or "lrt" (lrt_table).
    """
    kept = drop_outliers(ratings)
    tables = [melt_table(lrt_table(ratings), "lrt", ["random"])]
    for random in random_choices(kept):
        fit, name = fit_mixed(kept, random=random), "+".join(random)
        terms = coefficient_table(fit)
        terms["term"] = "coef " + terms["term"]
        gaps = contrast_table(fit, order_arms(kept["method"]))
        whole = {"n": len(kept), "loglik": fit.loglik, "REML_crit": -2 * fit.loglik}
        tables += [
            melt_table(terms, name, ["term"]),
            melt_table(effect_table(fit), name, ["statistic", "effect"]),
            melt_table(gaps, f"{name} contrasts", ["pair"]),
            melt_values(fit.variances, name, "var"),
            melt_values(whole, name),
        ]
    return stack("mixed_model", tables)
