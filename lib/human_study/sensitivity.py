"""What the paper's analysis leaves open: dependence within persons, multiplicity, outlier choices.

One person gave up to twelve ratings, five constructs are tested, and the accuracy tests depend on
which runs count as outliers. Each function here answers one of these with a table.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats
from statsmodels.miscmodels.ordinal_model import OrderedModel

from lib.common.methods import order_arms
from lib.common.tables import melt_table, melt_values, stack
from lib.human_study.mixed import (
    MixedFit,
    coefficient_table,
    contrast_table,
    effect_table,
    fit_mixed,
    likelihood_ratio,
)
from lib.human_study.ranks import shuffle
from lib.human_study.regression import drop_quality_outliers, make_design
from lib.human_study.study import CONSTRUCTS, OUTCOMES, kruskal_table, melt_ratings

LENGTH_UNIT = 100.0  # the ordinal model's optimiser wants columns of like size


def permutation_table(
    ratings: pd.DataFrame, permutations: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Kruskal-Wallis' H of each outcome with p from permuting methods within each participant.

    Columns: construct (the five, then Quality), H, p (chi-squared, as if ratings were
    independent), p_within (share of seeded permutations, the given order included).
    """
    table = kruskal_table(melt_ratings(ratings)).set_index("construct").loc[list(OUTCOMES)]
    codes = np.unique(ratings["method"].astype(str), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ranks = ratings[list(OUTCOMES)].rank().to_numpy()[order]

    def spread(batch):  # H rises with the sum of squared rank sums over group sizes, nothing else
        sums = np.add.reduceat(batch, starts, axis=1)
        return (sums**2 / sizes[:, None]).sum(axis=1)

    given = spread(ranks[None])[0]
    blocks = ratings["participant"].to_numpy()[order]
    beyond = sum(
        (spread(ranks[rows]) >= given * (1 - 1e-12)).sum(axis=0)
        for rows in shuffle(blocks, permutations, seed)
    )
    table["p_within"] = (beyond + 1) / (permutations + 1)
    return table.reset_index()[["construct", "H", "p", "p_within"]]


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
        terms.append(
            pd.DataFrame(
                {
                    "construct": construct,
                    "term": design.columns,
                    "estimate": beta,
                    "se": se,
                    "z": beta / se,
                    "p": 2 * stats.norm.sf(np.abs(beta / se)),
                    "odds_ratio": np.exp(beta),
                    "lwr": np.exp(beta - stats.norm.isf(0.025) * se),
                    "upr": np.exp(beta + stats.norm.isf(0.025) * se),
                }
            )
        )
        chi2 = float(beta[:-1] @ np.linalg.solve(cov[:-1, :-1], beta[:-1]))
        tests.append((construct, chi2, k - 1, float(stats.chi2.sf(chi2, k - 1))))
    return (
        pd.concat(terms, ignore_index=True),
        pd.DataFrame(tests, columns=["construct", "chi2", "df", "p"]),
    )


def construct_table(
    ratings: pd.DataFrame, ordinal: pd.DataFrame, permutations: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Which constructs differ between methods, by four tests, each with Holm over the five.

    Columns: construct, then p and p_holm of kruskal (the paper's, without Holm), within
    (permutation within participants), mixed (Satterthwaite's F, random intercept for participants)
    and ordinal (Wald tests from ordinal_table). The last two compare at equal length. All ratings;
    no outliers are dropped.
    """
    table = permutation_table(ratings, permutations, seed).iloc[: len(CONSTRUCTS)]
    found = {
        "kruskal": table["p"],
        "within": table["p_within"],
        "mixed": [_method_p(fit_mixed(ratings, name)) for name in CONSTRUCTS],
        "ordinal": ordinal["p"],
    }
    columns = {"construct": list(CONSTRUCTS)}
    for name, p in found.items():
        columns[f"{name}_p"] = np.asarray(p, float)
        columns[f"{name}_p_holm"] = pg.multicomp(np.asarray(p, float), method="holm")[1]
    return pd.DataFrame(columns)


def _method_p(fit: MixedFit) -> float:
    effects = effect_table(fit).set_index(["statistic", "effect"])
    return float(effects.loc[("F_satt", "method"), "p"])


def mixed_table(ratings: pd.DataFrame, random=("participant",)) -> pd.DataFrame:
    """The mixed model of Quality without the paper's outliers, as one long table.

    Columns: analysis ("mixed_model"), statistic (the random factors joined by "+", the same with
    " contrasts", or "lrt": the likelihood-ratio test of the method, and the variances again),
    group, term, value. In the authors' questionnaire each slot shows one method only, so a random
    slot takes from the method what might as well be the slot's; a random question does not.
    """
    kept, name = drop_quality_outliers(ratings), "+".join(random)
    fit = fit_mixed(kept, random=random)
    coefficients = coefficient_table(fit)
    coefficients["term"] = "coef " + coefficients["term"]
    effects = effect_table(fit)
    tables = [
        melt_table(coefficients, name, ["term"]),
        melt_table(effects, name, ["statistic", "effect"]),
        melt_table(contrast_table(fit, order_arms(kept["method"])), f"{name} contrasts", ["pair"]),
        melt_values(fit.variances, name, "var"),
        melt_values({"n": len(kept), "loglik": fit.loglik, "REML_crit": -2 * fit.loglik}, name),
        melt_values(
            likelihood_ratio(kept, random=random)
            | {f"var_{key}": value for key, value in fit.variances.items()},
            "lrt",
            name,
        ),
    ]
    return stack("mixed_model", tables)


def icc_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Share of each outcome's variance that lies between participants (intercept-only REML).

    Columns: construct (the five, then Quality), var_participant, var_residual, icc.
    """
    rows = []
    for outcome in OUTCOMES:
        found = fit_mixed(ratings, outcome, terms=()).variances
        between, residual = found["participant"], found["residual"]
        rows.append((outcome, between, residual, between / (between + residual)))
    return pd.DataFrame(rows, columns=["construct", "var_participant", "var_residual", "icc"])


def cronbach_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Cronbach's alpha of the five constructs (pingouin) as a long table, analysis "cronbach".

    raw_alpha with its 95% interval, std_alpha (of standardised scores), alpha_if_dropped, and
    item_rest_r (correlation of a construct with the sum of the other four).
    """
    items = ratings[list(CONSTRUCTS)].astype(float)
    low, high = pg.cronbach_alpha(items)[1]
    whole = {
        "raw_alpha": pg.cronbach_alpha(items)[0],
        "lwr": low,
        "upr": high,
        "std_alpha": pg.cronbach_alpha((items - items.mean()) / items.std())[0],
    }
    rest = {name: items.drop(columns=name) for name in CONSTRUCTS}
    dropped = {name: pg.cronbach_alpha(others)[0] for name, others in rest.items()}
    r = {name: items[name].corr(others.sum(axis=1)) for name, others in rest.items()}
    return stack(
        "cronbach",
        [
            melt_values(whole, ""),
            melt_values(dropped, "alpha_if_dropped"),
            melt_values(r, "item_rest_r"),
        ],
    )
