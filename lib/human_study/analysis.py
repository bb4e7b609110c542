"""All that is computed of ratings, as one long table: analysis, statistic, group, term, value."""

import pandas as pd

from lib.common.tables import melt_table, melt_values, stack
from lib.human_study import constructs, mixed, regression, sensitivity
from lib.human_study.ranks import rank_test_table
from lib.human_study.ratings import (
    drop_outliers,
    fence_table,
    melt_ratings,
    require_ratings,
)


def analyse_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """What follows from scores, analysis "explainability": descriptives, kruskal, dunn, vda."""
    tables = [
        melt_table(constructs.summarise_scores(scores), "descriptives", ["method", "construct"]),
        melt_table(constructs.kruskal_table(scores), "kruskal", ["construct"]),
        melt_table(constructs.dunn_table(scores), "dunn", ["construct", "pair"]),
        melt_table(constructs.vda_table(scores), "vda", ["construct", "pair"]),
    ]
    return stack("explainability", tables)


def analyse_ratings(ratings: pd.DataFrame, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """What follows from raw ratings, about ten seconds for the paper's. Analyses:

    explainability (the paper's tests: of single scores, and as _paper_tests), mixed_model
    (mixed.analyse_quality), cronbach, icc, contrasts (mixed.gap_table), odds (the ordinal model's
    terms), constructs (four tests each). UserError where the ratings are too few.
    """
    require_ratings(ratings)
    odds, ordinal = sensitivity.ordinal_table(ratings)
    four = sensitivity.construct_table(ratings, ordinal, seed=seed)
    tables = [
        analyse_scores(melt_ratings(ratings)),
        _paper_tests(ratings, permutations, seed),
        mixed.analyse_quality(ratings),
        constructs.alpha_table(ratings),
        melt_table(mixed.icc_table(ratings), "icc", ["construct"], "icc"),
        melt_table(four, "constructs", ["construct"], "constructs"),
        melt_table(odds, "odds", ["construct", "term"], "odds"),
        melt_table(mixed.gap_table(ratings), "contrasts", ["lengths", "pair"], "contrasts"),
    ]
    return pd.concat(tables, ignore_index=True)


def _paper_tests(ratings: pd.DataFrame, permutations: int, seed: int) -> pd.DataFrame:
    """The paper's analysis beyond single scores; the regressions are without its outliers.

    Statistics: n, participants, n_after; quality_fences, shapiro, mshapiro, correlation, box_m,
    levene_median, npmv, lm_length, lm_controls, controls.
    """
    scores, kept = melt_ratings(ratings), drop_outliers(ratings)
    counts = {"n": len(ratings), "n_after": len(kept)}
    counts["participants"] = ratings["participant"].nunique()
    for method, n in kept["method"].value_counts(sort=False).items():
        counts[f"n_after_per_model {method}"] = n
    tables = [
        melt_values(counts, ""),
        melt_table(fence_table(ratings), "quality_fences", ["method"]),
        melt_table(constructs.shapiro_table(scores), "shapiro", ["method", "construct"]),
        melt_values(constructs.multivariate_shapiro(ratings), "mshapiro"),
        melt_table(constructs.correlation_table(ratings), "correlation", ["pair"]),
        melt_table(constructs.levene_table(scores), "levene_median", ["construct"]),
        melt_values(constructs.box_m_test(ratings), "box_m"),
        melt_table(rank_test_table(ratings, permutations, seed), "npmv", ["test"]),
    ]
    controls = regression.usable_controls(kept)
    for name, used in (("lm_length", []), ("lm_controls", controls)):
        terms, fit = regression.regress_quality(kept, used)
        terms["term"] = "coef " + terms["term"]
        tables += [melt_table(terms, name, ["term"]), melt_values(fit, name)]
    if controls:
        table = regression.control_table(kept, controls)
        tables.append(melt_table(table, "controls", ["factor"]))
    return stack("explainability", tables)
