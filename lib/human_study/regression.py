"""The paper's regressions of Quality on method, length and what is known of the participants.

Ratings are treated as independent here, as the paper does; module mixed has what follows if they
are not.
"""

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lib.common.methods import order_arms
from lib.human_study.ratings import CONTROLS

# Levels that the others are compared with, as in the paper; else the first in the alphabet.
REFERENCES = {"gender": "male", "country": "United Kingdom"}


def make_design(ratings: pd.DataFrame, factors=("method",)) -> pd.DataFrame:
    """Columns of a regression: dummies of the factors (first level as the reference), length.

    Dummies are named by their level for the method and "factor level" for the controls.
    """
    columns = []
    for factor in factors:
        levels = ratings[factor].unique()
        if factor == "method":
            levels = order_arms(levels)
        else:
            levels = sorted(levels, key=lambda name: (name != REFERENCES.get(factor), name))
        for level in levels[1:]:
            name = level if factor == "method" else f"{factor} {level}"
            columns.append((ratings[factor] == level).rename(name))
    return pd.concat([*columns, ratings["length"]], axis=1).astype(float)


def regress_quality(ratings: pd.DataFrame, controls=()) -> tuple[pd.DataFrame, dict[str, float]]:
    """Least squares Quality ~ method + length (characters) + controls (pingouin).

    Returns the coefficients (term, estimate, se, t, p, lwr, upr; 95% intervals) and the fit (nobs,
    sigma, df_residual, r2, adj_r2, F, F_df1, F_df2, F_p). Coefficients of the controls' single
    levels are left out: some levels hold very few people. control_table tests each as a whole.
    """
    design = make_design(ratings, ("method", *controls))
    fit = pg.linear_regression(design, ratings["Quality"], add_intercept=True, as_dataframe=False)
    names = {"names": "term", "coef": "estimate", "se": "se", "T": "t", "pval": "p"}
    names |= {"CI2.5": "lwr", "CI97.5": "upr"}
    table = pd.DataFrame({new: fit[old] for old, new in names.items()})
    personal = table["term"].str.startswith(tuple(f"{name} " for name in CONTROLS))
    df1, df2, r2 = fit["df_model"], fit["df_resid"], fit["r2"]
    f = r2 / (1 - r2) * df2 / df1
    quality = {"nobs": len(ratings), "sigma": np.sqrt(np.sum(fit["residuals"] ** 2) / df2)}
    quality |= {"df_residual": df2, "r2": r2, "adj_r2": fit["adj_r2"]}
    quality |= {"F": f, "F_df1": df1, "F_df2": df2, "F_p": stats.f.sf(f, df1, df2)}
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
