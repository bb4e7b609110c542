"""The paper's analysis of the raw ratings beyond single constructs: checks and regressions.

``analyse_ratings`` gives everything that the paper's analysis has, as one long table. Ratings are
treated as independent here, as the paper does; study_honest has what follows if they are not.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lib.common.errors import UserError
from lib.common.tables import melt_table, melt_values
from lib.human_study.ranks import rank_test_table
from lib.human_study.study import CONSTRUCTS, CONTROLS, analyse_scores, melt_ratings

# Levels that the others are compared with, as in the paper; else the first in the alphabet.
REFERENCES = {"gender": "male", "country": "United Kingdom"}
MIN_RATINGS = 8  # of each method: the covariance of five constructs needs more than five


def require_ratings(ratings: pd.DataFrame) -> None:
    """Raise UserError where ratings are too few for these analyses and those of study_honest."""
    counts = ratings["method"].value_counts()
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < MIN_RATINGS:
        raise UserError(
            f"This analysis needs at least two methods with {MIN_RATINGS} ratings "
            f"each, but there are {counts.to_dict()}: collect more ratings."
        )
    constant = [c for c in CONSTRUCTS if ratings[c].nunique() < 2]
    if constant:
        raise UserError(f"Every rating of {', '.join(constant)} is the same: nothing to analyse.")


def fence_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Quartiles (type 7) and 1.5-IQR fences of Quality: method, q1, q3, lower, upper."""
    # In sums of five whole numbers the fences are exact; a rating on a fence must not fall out.
    sums = (ratings["Quality"] * len(CONSTRUCTS)).round().groupby(ratings["method"], observed=True)
    q1, q3 = sums.quantile(0.25), sums.quantile(0.75)
    table = pd.DataFrame(
        {"q1": q1, "q3": q3, "lower": q1 - 1.5 * (q3 - q1), "upper": q3 + 1.5 * (q3 - q1)}
    ) / len(CONSTRUCTS)
    return table.reset_index()


def drop_quality_outliers(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings without the paper's outliers: Quality strictly beyond its method's fences."""
    fences = fence_table(ratings).set_index("method").loc[ratings["method"], ["lower", "upper"]]
    low, high = (fences.to_numpy() * len(CONSTRUCTS)).round(6).T
    return ratings[(ratings["Quality"] * len(CONSTRUCTS)).round().between(low, high)]


def shapiro_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Shapiro-Wilk of each method and construct (pingouin): method, construct, W, p."""
    rows = []
    for keys, part in scores.groupby(["method", "construct"], observed=True)["score"]:
        test = pg.normality(part.to_numpy()).iloc[0]
        rows.append((*keys, float(test["W"]), float(test["pval"])))
    return pd.DataFrame(rows, columns=["method", "construct", "W", "p"])


def multivariate_shapiro(ratings: pd.DataFrame) -> dict[str, float]:
    """Multivariate Shapiro-Wilk test of the five constructs as R's mshapiro_test: W, p.

    The Shapiro-Wilk test (scipy) of the data projected on the direction of the observation that
    is farthest from the mean in Mahalanobis' distance (Malkovich & Afifi 1973). Pingouin's own
    multivariate test is Henze-Zirkler's, another statistic.
    """
    values = ratings[list(CONSTRUCTS)].to_numpy(float)
    centred = values - values.mean(axis=0)
    directions = np.linalg.solve(centred.T @ centred, centred.T)
    farthest = np.argmax(np.sum(centred.T * directions, axis=0))
    test = stats.shapiro(values @ directions[:, farthest])
    return {"W": float(test.statistic), "p": float(test.pvalue)}


def correlation_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlations of the constructs (pingouin): pair, n, r, p (unadjusted)."""
    table = pg.pairwise_corr(ratings, columns=list(CONSTRUCTS))
    table["pair"] = table["X"] + " - " + table["Y"]
    return table.rename(columns={"p_unc": "p"})[["pair", "n", "r", "p"]]


def box_m_test(ratings: pd.DataFrame) -> dict[str, float]:
    """Box's M of the five constructs' covariances over the methods (pingouin): chi2, df, p."""
    test = pg.box_m(ratings, dvs=list(CONSTRUCTS), group="method").iloc[0]
    return {"chi2": float(test["Chi2"]), "df": float(test["df"]), "p": float(test["pval"])}


def levene_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Levene's test with medians (pingouin): construct, df1, df2, F, p."""
    rows = []
    for construct, part in scores.groupby("construct", observed=True):
        test = pg.homoscedasticity(part, dv="score", group="method", center="median").iloc[0]
        groups = part["method"].nunique()
        rows.append((construct, groups - 1, len(part) - groups, test["W"], test["pval"]))
    return pd.DataFrame(rows, columns=["construct", "df1", "df2", "F", "p"])


def make_design(ratings: pd.DataFrame, factors=("method",)) -> pd.DataFrame:
    """Columns of a regression: dummies of the factors (first level as the reference), length.

    Dummies are named by their level for the method and "factor level" for the controls.
    """
    parts = []
    for factor in factors:
        levels = (
            list(ratings[factor].cat.categories)
            if factor == "method"
            else sorted(
                ratings[factor].unique(), key=lambda level: (level != REFERENCES.get(factor), level)
            )
        )
        levels = [level for level in levels if (ratings[factor] == level).any()]
        parts += [
            (ratings[factor] == level).rename(level if factor == "method" else f"{factor} {level}")
            for level in levels[1:]
        ]
    return pd.concat([*parts, ratings["length"]], axis=1).astype(float)


def regress_quality(ratings: pd.DataFrame, controls=()) -> tuple[pd.DataFrame, dict[str, float]]:
    """Least squares Quality ~ method + length (characters) + controls (pingouin).

    Returns the coefficients (term, estimate, se, t, p, lwr, upr; 95% intervals) and the fit (nobs,
    sigma, df_residual, r2, adj_r2, F, F_df1, F_df2, F_p). Coefficients of the controls' single
    levels are left out: some levels hold very few people. control_table tests each as a whole.
    """
    design = make_design(ratings, ("method", *controls))
    fit = pg.linear_regression(design, ratings["Quality"], add_intercept=True, as_dataframe=False)
    table = pd.DataFrame(
        {
            "term": fit["names"],
            "estimate": fit["coef"],
            "se": fit["se"],
            "t": fit["T"],
            "p": fit["pval"],
            "lwr": fit["CI2.5"],
            "upr": fit["CI97.5"],
        }
    )
    personal = table["term"].str.startswith(tuple(f"{name} " for name in CONTROLS))
    df1, df2, r2 = fit["df_model"], fit["df_resid"], fit["r2"]
    f = r2 / (1 - r2) * df2 / df1
    quality = {
        "nobs": len(ratings),
        "sigma": float(np.sqrt(np.sum(fit["residuals"] ** 2) / df2)),
        "df_residual": df2,
        "r2": r2,
        "adj_r2": fit["adj_r2"],
        "F": f,
        "F_df1": df1,
        "F_df2": df2,
        "F_p": float(stats.f.sf(f, df1, df2)),
    }
    return table[~personal].reset_index(drop=True), quality


def usable_controls(ratings: pd.DataFrame) -> list[str]:
    """The controls that are there and that method, length and the controls before do not fix."""
    used = []
    for name in CONTROLS:
        if name in ratings.columns:
            design = make_design(ratings, ("method", *used, name)).assign(intercept=1.0)
            if np.linalg.matrix_rank(design) == design.shape[1]:
                used.append(name)
    return used


def control_table(ratings: pd.DataFrame, controls: list[str]) -> pd.DataFrame:
    """F test of each factor in the regression with these controls (statsmodels, type II).

    Columns: factor (method, the controls, length), F, df1, df2, p.
    """
    fit = ols(" + ".join(["Quality ~ method", *controls, "length"]), ratings).fit()
    table = anova_lm(fit, typ=2).drop(index="Residual").rename_axis("factor").reset_index()
    table = table.rename(columns={"df": "df1", "PR(>F)": "p"}).assign(df2=fit.df_resid)
    return table[["factor", "F", "df1", "df2", "p"]]


def analyse_ratings(ratings: pd.DataFrame, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The paper's whole analysis of the ratings as one long table: statistic, group, term, value.

    Statistics: those of study.analyse_scores; counts (n, participants, n_after), quality_fences,
    shapiro, mshapiro, correlation, box_m, levene_median, lm_length and lm_controls (without the
    outliers), controls, npmv. UserError where the ratings are too few.
    """
    require_ratings(ratings)
    scores, kept = melt_ratings(ratings), drop_quality_outliers(ratings)
    tables = [
        analyse_scores(scores),
        melt_table(fence_table(ratings), "quality_fences", ["method"]),
        melt_table(shapiro_scores(scores), "shapiro", ["method", "construct"]),
        melt_table(correlation_table(ratings), "correlation", ["pair"]),
        melt_table(levene_scores(scores), "levene_median", ["construct"]),
        melt_table(rank_test_table(ratings, permutations, seed), "npmv", ["test"]),
    ]
    controls = usable_controls(kept)
    for name, used in (("lm_length", []), ("lm_controls", controls)):
        coefficients, fit = regress_quality(kept, used)
        coefficients["term"] = "coef " + coefficients["term"]
        tables += [melt_table(coefficients, name, ["term"]), melt_values(fit, name)]
    if controls:
        tables.append(melt_table(control_table(kept, controls), "controls", ["factor"]))
    after = kept["method"].value_counts(sort=False)
    counts = {
        "n": len(ratings),
        "participants": ratings["participant"].nunique(),
        "n_after": len(kept),
    } | {f"n_after_per_model {m}": n for m, n in after.items()}
    tables += [
        melt_values(multivariate_shapiro(ratings), "mshapiro"),
        melt_values(box_m_test(ratings), "box_m"),
        melt_values(counts, ""),
    ]
    return pd.concat(tables, ignore_index=True)
