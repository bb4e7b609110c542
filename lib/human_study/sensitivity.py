"""Which constructs differ between methods, whatever the test: four tests, Holm over the five.

Kruskal-Wallis as in the paper, permutation within persons, mixed model, ordinal model. One person
gave up to twelve ratings, so the last three allow for dependence within persons.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats
from statsmodels.miscmodels.ordinal_model import OrderedModel

from lib.human_study.mixed import effect_table, fit_mixed
from lib.human_study.ranks import permutation_table
from lib.human_study.ratings import CONSTRUCTS
from lib.human_study.regression import make_design

LENGTH_UNIT = 100.0  # the ordinal model's optimiser wants columns of like size


def ordinal_table(ratings: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cumulative logit model of each construct ~ method + length, errors clustered by participant.

    statsmodels' OrderedModel. Returns the terms (construct, term, estimate in log odds, se, z, p,
    odds_ratio, lwr, upr; length per 100 characters) and Wald's test of the method (construct,
    chi2, df, p). All are NaN for a construct whose ratings are too few for the fit to converge.
    """
    design = make_design(ratings)
    design["length"] /= LENGTH_UNIT
    groups = np.unique(ratings["participant"].astype(str), return_inverse=True)[1]
    terms, tests = [], []
    for construct in CONSTRUCTS:
        scores = np.unique(ratings[construct], return_inverse=True)[1]
        fit = OrderedModel(scores, design, distr="logit").fit(
            method="bfgs", disp=False, cov_type="cluster", cov_kwds={"groups": groups}
        )
        k = design.shape[1]
        beta, cov = np.asarray(fit.params)[:k], np.asarray(fit.cov_params())[:k, :k]
        if not (fit.mle_retvals["converged"] and np.isfinite(cov).all()):
            beta, cov = np.full_like(beta, np.nan), np.full_like(cov, np.nan)
        se = np.sqrt(np.diag(cov))
        half = stats.norm.isf(0.025) * se
        table = pd.DataFrame({"construct": construct, "term": design.columns, "estimate": beta})
        table["se"], table["z"], table["p"] = se, beta / se, 2 * stats.norm.sf(np.abs(beta / se))
        table["odds_ratio"] = np.exp(beta)
        terms.append(table.assign(lwr=np.exp(beta - half), upr=np.exp(beta + half)))
        chi2 = float(beta[:-1] @ np.linalg.solve(cov[:-1, :-1], beta[:-1]))
        tests.append((construct, chi2, k - 1, float(stats.chi2.sf(chi2, k - 1))))
    tests = pd.DataFrame(tests, columns=["construct", "chi2", "df", "p"])
    return pd.concat(terms, ignore_index=True), tests


def construct_table(
    ratings: pd.DataFrame, ordinal: pd.DataFrame, permutations: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Which constructs differ between methods, by four tests, each with Holm over the five.

    Columns: construct, then p and p_holm of kruskal (the paper's, without Holm), within
    (permutation within participants), mixed (Satterthwaite's F, random intercept for participants)
    and ordinal (Wald tests from ordinal_table). The last two compare at equal length. All ratings;
    no outliers are dropped.
    """
    ranks = permutation_table(ratings, permutations, seed).iloc[: len(CONSTRUCTS)]
    tests = {"kruskal": ranks["p"], "within": ranks["p_within"]}
    effects = [effect_table(fit_mixed(ratings, name)) for name in CONSTRUCTS]
    tests["mixed"] = [table["p"].iloc[0] for table in effects]
    tests["ordinal"] = ordinal["p"]
    table = pd.DataFrame({"construct": CONSTRUCTS})
    for name, p in tests.items():
        table[f"{name}_p"] = np.asarray(p, float)
        table[f"{name}_p_holm"] = pg.multicomp(np.asarray(p, float), method="holm")[1]
    return table
