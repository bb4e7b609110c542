"""The five constructs: tests of each, and how they go together.

Scores are a table with one row a score: method, construct, score (ratings.expand_counts or
melt_ratings). The published counts are enough for every test of a single construct. All tests
take ratings as independent, as the paper does; ranks, mixed and sensitivity do not.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import pingouin as pg
import scikit_posthocs as sp
from scipy import stats

from lib.common.intervals import mean_interval
from lib.common.methods import order_arms
from lib.common.tables import melt_values, stack
from lib.human_study.ratings import CONSTRUCTS


def summarise_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Per method and construct: n, mean, sd, se, 95 % t interval (low, high), median."""
    groups = scores.groupby(["method", "construct"], observed=True)["score"]
    table = groups.agg(n="size", mean="mean", sd="std", median="median").reset_index()
    table.insert(5, "se", table["sd"] / np.sqrt(table["n"]))
    table["low"], table["high"] = mean_interval(table["mean"], table["sd"], table["n"])
    return table


def length_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Mean Quality of each method's shortest to longest explanations, four parts of equal number.

    Columns: method, part (1..4), n, characters (mean), mean, sd, low, high (95 % t interval).
    """
    ranks = ratings.groupby("method", observed=True)["length"].rank("first", pct=True)
    part = np.ceil(4 * ranks - 1e-9).astype(int).rename("part")
    groups = ratings.groupby(["method", part], observed=True)
    table = groups["Quality"].agg(n="size", mean="mean", sd="std")
    table.insert(1, "characters", groups["length"].mean())
    table["low"], table["high"] = mean_interval(table["mean"], table["sd"], table["n"])
    return table.reset_index()


def _split(scores: pd.DataFrame):
    """Each construct with its scores by method, in the methods' order."""
    for construct, part in scores.groupby("construct", observed=True):
        methods = order_arms(part["method"])
        yield construct, {name: part.loc[part["method"] == name, "score"] for name in methods}


def kruskal_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Kruskal-Wallis test of each construct (scipy): construct, H, df, p, eta2_H, epsilon2.

    Effect sizes: (H - k + 1) / (n - k) and H / (n - 1) (Tomczak & Tomczak 2014).
    """
    rows = []
    for construct, groups in _split(scores):
        h, p = stats.kruskal(*groups.values())
        n, df = sum(map(len, groups.values())), len(groups) - 1
        rows.append((construct, h, df, p, (h - df) / (n - df - 1), h / (n - 1)))
    return pd.DataFrame(rows, columns=["construct", "H", "df", "p", "eta2_H", "epsilon2"])


def dunn_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Dunn's test of each construct (scikit-posthocs), with Bonferroni and Holm over the pairs.

    Columns: construct, pair ("A - B"), n1, n2, mean_rank_diff (B minus A), z (its sign), p,
    p_bonferroni, p_holm.
    """
    tables = []
    for construct, groups in _split(scores):
        p = sp.posthoc_dunn(list(groups.values())).to_numpy()
        ranks = pd.concat(groups).rank().groupby(level=0, sort=False).mean()
        rows = []
        for (i, a), (j, b) in combinations(enumerate(groups), 2):
            gap = ranks[b] - ranks[a]
            z = np.sign(gap) * stats.norm.isf(p[i, j] / 2)
            rows.append((construct, f"{a} - {b}", len(groups[a]), len(groups[b]), gap, z, p[i, j]))
        names = ["construct", "pair", "n1", "n2", "mean_rank_diff", "z", "p"]
        table = pd.DataFrame(rows, columns=names)
        for name, method in (("p_bonferroni", "bonf"), ("p_holm", "holm")):
            table[name] = pg.multicomp(table["p"].to_numpy(), method=method)[1]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def vda_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Vargha-Delaney's A of each construct: P(first > second) + P(equal) / 2, with 95 % interval.

    Columns: construct, pair ("A - B"), A, lwr, upr, cliff_delta, U, mwu_p (Mann-Whitney, scipy).
    The standard error is that of the placements of each score in the other group (DeLong, DeLong
    & Clarke-Pearson 1988), the quantile a normal one.
    """
    rows = []
    for construct, groups in _split(scores):
        for a, b in combinations(groups, 2):
            x, y = groups[a].to_numpy(), groups[b].to_numpy()
            above = (x[:, None] > y) + (x[:, None] == y) / 2
            placements = above.mean(axis=1), above.mean(axis=0)
            half = stats.norm.isf(0.025) * sum(v.var(ddof=1) / len(v) for v in placements) ** 0.5
            test, share = stats.mannwhitneyu(x, y), above.mean()
            limits = (share, share - half, share + half, 2 * share - 1)
            rows.append((construct, f"{a} - {b}", *limits, test.statistic, test.pvalue))
    names = ["construct", "pair", "A", "lwr", "upr", "cliff_delta", "U", "mwu_p"]
    return pd.DataFrame(rows, columns=names)


def shapiro_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Shapiro-Wilk of each method and construct (scipy): method, construct, W, p."""
    groups = scores.groupby(["method", "construct"], observed=True)["score"]
    rows = [(*keys, *stats.shapiro(part)) for keys, part in groups]
    return pd.DataFrame(rows, columns=["method", "construct", "W", "p"])


def levene_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Levene's test with medians (scipy): construct, df1, df2, F, p."""
    rows = []
    for construct, groups in _split(scores):
        n, k = sum(map(len, groups.values())), len(groups)
        rows.append((construct, k - 1, n - k, *stats.levene(*groups.values(), center="median")))
    return pd.DataFrame(rows, columns=["construct", "df1", "df2", "F", "p"])


def correlation_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlations of the constructs (pingouin): pair, n, r, p (unadjusted)."""
    table = pg.pairwise_corr(ratings, columns=list(CONSTRUCTS))
    table["pair"] = table["X"] + " - " + table["Y"]
    return table.rename(columns={"p_unc": "p"})[["pair", "n", "r", "p"]]


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


def box_m_test(ratings: pd.DataFrame) -> dict[str, float]:
    """Box's M of the five constructs' covariances over the methods (pingouin): chi2, df, p."""
    test = pg.box_m(ratings, dvs=list(CONSTRUCTS), group="method").iloc[0]
    return dict(zip(("chi2", "df", "p"), test[["Chi2", "df", "pval"]].astype(float), strict=True))


def alpha_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """Cronbach's alpha of the five constructs (pingouin) as a long table, analysis "cronbach".

    raw_alpha with its 95% interval, std_alpha (of standardised scores), alpha_if_dropped, and
    item_rest_r (correlation of a construct with the sum of the other four).
    """
    items = ratings[list(CONSTRUCTS)].astype(float)
    alpha, (low, high) = pg.cronbach_alpha(items)
    standard = pg.cronbach_alpha((items - items.mean()) / items.std())[0]
    whole = {"raw_alpha": alpha, "lwr": low, "upr": high, "std_alpha": standard}
    rest = {name: items.drop(columns=name) for name in CONSTRUCTS}
    dropped = {name: pg.cronbach_alpha(others)[0] for name, others in rest.items()}
    r = {name: items[name].corr(others.sum(axis=1)) for name, others in rest.items()}
    parts = {"": whole, "alpha_if_dropped": dropped, "item_rest_r": r}
    return stack("cronbach", [melt_values(values, name) for name, values in parts.items()])
