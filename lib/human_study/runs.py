"""Statistics of training runs: cells, outliers, ANOVA, Tukey's test, and what hangs on outliers.

Runs are a table with one row a training run: method, size, run (the seed), accuracy (percent).
The same functions serve the authors' runs, our own runs and, where only n, mean and SD of each
cell are known, a stand-in with exactly these moments (``expand_cells``).
"""

from itertools import combinations

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats

from lib.common.errors import UserError
from lib.common.intervals import mean_interval
from lib.common.methods import order_arms
from lib.common.tables import melt_table, melt_values, stack

COLUMNS = ["method", "size", "run", "accuracy"]
CELL = ["size", "method"]


def check_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs (COLUMNS) with ordered methods and sizes; UserError if they are no use."""
    if runs.empty:
        raise UserError("The table of runs is empty: train at least one student first.")
    accuracy = pd.to_numeric(runs["accuracy"], errors="coerce")
    for row in runs[~accuracy.between(0, 100)].itertuples():
        raise UserError(
            f"Accuracy must be a percentage from 0 to 100, but run {row.run} of "
            f"{row.method} ({row.size}) has {row.accuracy}."
        )
    # The authors' file has one seed twice, so the accuracy has to be the same, too.
    for row in runs[runs.duplicated(COLUMNS)].itertuples():
        raise UserError(
            f"Run {row.run} of {row.method} ({row.size}) is in the table twice; keep one of them."
        )
    sizes = sorted(map(str, runs["size"].unique()))
    return runs.assign(
        accuracy=accuracy,
        method=pd.Categorical(runs["method"].astype(str), order_arms(runs["method"])),
        size=pd.Categorical(runs["size"].astype(str), sizes),
    )


def expand_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Make stand-in runs that have exactly the given n, mean and sd of each cell.

    cells: columns method, size, n, mean, sd (percent). ANOVA and Tukey use only these moments, so
    they come out as from the real runs; outliers, Levene, Shapiro, medians do not.
    """
    parts = []
    for cell in cells.itertuples():
        spread = np.arange(cell.n) - (cell.n - 1) / 2
        scale = cell.sd / spread.std(ddof=1) if cell.n > 1 else 0.0
        part = {"method": cell.method, "size": cell.size, "run": range(cell.n)}
        parts.append(pd.DataFrame(part | {"accuracy": cell.mean + scale * spread}))
    return check_runs(pd.concat(parts, ignore_index=True))


def summarise_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Per size and method: n, mean, sd, se, 95 % t interval (low, high), min, median, max (%)."""
    accuracy = runs.groupby(CELL, observed=True)["accuracy"]
    cells = accuracy.agg(n="size", mean="mean", sd="std", min="min", median="median", max="max")
    cells["se"] = cells["sd"] / np.sqrt(cells["n"])
    cells["low"], cells["high"] = mean_interval(cells["mean"], cells["sd"], cells["n"])
    order = ["n", "mean", "sd", "se", "low", "high", "min", "median", "max"]
    return cells[order].reset_index()


def flag_outliers(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the columns outlier (beyond 1.5 IQR of its cell) and extreme (beyond 3 IQR).

    The authors' rule: within method x size, strict inequality, quartiles of type 7 as in R and
    numpy (rstatix' identify_outliers). Cells of three runs or fewer can have none.
    """
    cell = runs.groupby(CELL, observed=True)["accuracy"]
    q1, q3 = (cell.transform("quantile", q) for q in (0.25, 0.75))
    beyond = np.maximum(q1 - runs["accuracy"], runs["accuracy"] - q3)
    # A rounding error's worth beyond the fence is on the fence.
    return runs.assign(
        outlier=beyond > 1.5 * (q3 - q1) + 1e-9, extreme=beyond > 3 * (q3 - q1) + 1e-9
    )


def count_outliers(runs: pd.DataFrame) -> pd.DataFrame:
    """Outliers of each cell: size, method, n_outlier, n_extreme."""
    counts = flag_outliers(runs).groupby(CELL, observed=True)[["outlier", "extreme"]].sum()
    return counts.add_prefix("n_").reset_index()


def anova_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Type II ANOVA accuracy ~ method * size (pingouin); one-way where there is only one size.

    Columns: effect, SS, df, F, p, ges. Both factors are manipulated, so the generalised eta
    squared equals the partial one. UserError where a cell is empty or no cell has two runs.
    """
    plain = runs.astype({"method": str, "size": str})
    counts = pd.crosstab(plain["method"], plain["size"])
    if len(counts) < 2:
        raise UserError("An ANOVA of methods needs at least two methods; train a second one.")
    if (counts == 0).any(axis=None):
        method, size = counts.stack()[lambda n: n == 0].index[0]
        raise UserError(f"The ANOVA needs every method at every size: {method} has no {size} run.")
    if len(runs) <= counts.size:
        raise UserError("The ANOVA needs at least two seeds a cell: train with a second seed.")
    _need_spread(runs)
    between = ["method", "size"] if counts.shape[1] > 1 else ["method"]
    table = pg.anova(plain, dv="accuracy", between=between, ss_type=2, detailed=True)
    table["effect"] = table["Source"].replace(
        {"method * size": "method:size", "Within": "residual", "Residual": "residual"}
    )
    table = table.rename(columns={"DF": "df", "p_unc": "p", "np2": "ges"})
    return table[["effect", "SS", "df", "F", "p", "ges"]]


def _need_spread(runs: pd.DataFrame) -> None:
    """UserError if all runs of every cell are equal: no F can be computed then."""
    if runs.groupby(CELL, observed=True)["accuracy"].nunique().max() < 2:
        raise UserError("All runs of each cell have the same accuracy: there is no spread to test.")


def oneway_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One-way ANOVA of the methods within each size: size, F, df1, df2, p."""
    rows = []
    for size, part in runs.groupby("size", observed=True):
        method, residual = anova_table(part).itertuples(index=False)
        rows.append((size, method.F, method.df, residual.df, method.p))
    return pd.DataFrame(rows, columns=["size", "F", "df1", "df2", "p"])


def tukey_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Tukey's HSD (Tukey-Kramer) of the methods within each size (scipy), 95 % intervals.

    Columns: size, pair ("B-A"), estimate (mean of B minus mean of A, percentage points), lwr, upr,
    p_adj. UserError where a size has fewer than two methods or no second seed.
    """
    rows = []
    for size, part in runs.groupby("size", observed=True):
        groups = {name: cell["accuracy"] for name, cell in part.groupby("method", observed=True)}
        if len(groups) < 2 or len(part) <= len(groups):
            raise UserError(f"Tukey's test at {size} needs two methods with at least two seeds.")
        _need_spread(part)
        test = stats.tukey_hsd(*groups.values())
        low, high = test.confidence_interval(0.95)
        for (a, first), (b, second) in combinations(enumerate(groups), 2):
            values = (table[b, a] for table in (test.statistic, low, high, test.pvalue))
            rows.append((size, f"{second}-{first}", *values))
    return pd.DataFrame(rows, columns=["size", "pair", "estimate", "lwr", "upr", "p_adj"])


def levene_test(runs: pd.DataFrame) -> dict[str, float]:
    """Levene's test with medians over all cells (scipy): df1, df2, F, p."""
    cells = [cell for _, cell in runs.groupby(CELL, observed=True)["accuracy"]]
    # With two runs a cell both are equally far from the median: nothing is left to test with.
    if len(cells) < 2 or max(map(len, cells)) < 3:
        raise UserError("Levene's test needs two cells, one of them with at least three seeds.")
    f, p = stats.levene(*cells, center="median")
    return {"df1": len(cells) - 1, "df2": len(runs) - len(cells), "F": f, "p": p}


def shapiro_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Shapiro-Wilk of each cell (pingouin): size, method, W, p; NaN where it has under 4 runs."""
    rows = []
    for key, cell in runs.groupby(CELL, observed=True)["accuracy"]:
        usable = len(cell) > 3 and cell.nunique() > 1
        test = pg.normality(cell).iloc[0] if usable else {"W": np.nan, "pval": np.nan}
        rows.append((*key, test["W"], test["pval"]))
    return pd.DataFrame(rows, columns=["size", "method", "W", "p"])


OF_MOMENTS = {  # statistic -> how it is computed, and the columns that name its rows
    "cells": (summarise_cells, CELL),
    "anova_type2": (anova_table, ["effect"]),
    "oneway": (oneway_table, ["size"]),
    "tukey": (tukey_table, ["size", "pair"]),
}
OF_RUNS = {
    "levene_median": (levene_test, None),
    "shapiro": (shapiro_table, CELL),
    "outliers": (count_outliers, CELL),
}


def analyse_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The whole accuracy analysis, before and after the authors' outlier removal.

    A long table: analysis (before, after), statistic (runs, cells, anova_type2, oneway, tukey,
    levene_median, shapiro, outliers, note), group ("770M MT:Unrevised", an effect, "770M B-A"),
    term (mean, F, p, ...), value (full precision). What cannot be computed, for instance with one
    seed, leaves a row "note": group = the part left out, term = why, in one sentence, no value.
    """
    runs = flag_outliers(check_runs(runs))
    before = _analyse("before", runs, OF_MOMENTS | OF_RUNS)
    after = _analyse("after", runs[~runs["outlier"]], OF_MOMENTS | OF_RUNS)
    after = after[after["statistic"] != "outliers"]
    return pd.concat([before, after], ignore_index=True)


def analyse_cells(cells: pd.DataFrame, analysis: str) -> pd.DataFrame:
    """What follows from n, mean and sd alone, as in analyse_runs: cells, ANOVA, one-way, Tukey."""
    table = _analyse(analysis, expand_cells(cells), OF_MOMENTS)
    return table[~table["term"].isin(["min", "median", "max"])].reset_index(drop=True)


def _analyse(analysis: str, runs: pd.DataFrame, statistics: dict) -> pd.DataFrame:
    """One analysis as a long table; each statistic may turn into a note instead."""
    tables = [melt_values({"n": len(runs)}, "runs")]
    for name, (compute, keys) in statistics.items():
        try:
            values = compute(runs)
        except UserError as error:
            note = {"statistic": "note", "group": name, "term": [str(error)], "value": np.nan}
            tables.append(pd.DataFrame(note))
        else:
            tables.append(melt_table(values, name, keys) if keys else melt_values(values, name))
    return stack(analysis, tables)


def multiverse_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Every conclusion on accuracy under four decisions about outliers; see conclusion_table."""
    runs = flag_outliers(runs)
    return conclusion_table(
        {
            "all runs": runs,
            "1.5 IQR (paper)": runs[~runs["outlier"]],
            "3 IQR": runs[~runs["extreme"]],
            "without run 0": runs[runs["run"] != 0],
        }
    )


def conclusion_table(specifications: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every conclusion on accuracy from each choice of runs.

    Columns: specification, n (runs), conclusion (an effect of the ANOVA, or "size B-A" of Tukey's
    test), value (F, or difference in percentage points), low, high (of a difference), p, holds (p <
    0.05), and verdict: "always" (significant with one sign everywhere), "never", or "depends".
    """
    tables = []
    for name, runs in specifications.items():
        anova, tukey = anova_table(runs), tukey_table(runs)
        effects = anova[anova["effect"] != "residual"]
        effects = effects.rename(columns={"effect": "conclusion", "F": "value"})
        names = {"estimate": "value", "lwr": "low", "upr": "high", "p_adj": "p"}
        pairs = tukey.rename(columns=names)
        pairs["conclusion"] = pairs["size"].astype(str) + " " + pairs["pair"]
        tables.append(pd.concat([effects, pairs]).assign(specification=name, n=len(runs)))
    table = pd.concat(tables, ignore_index=True)
    table = table[["specification", "n", "conclusion", "value", "low", "high", "p"]]
    table["holds"] = table["p"] < 0.05
    of_conclusion = table.groupby("conclusion")
    everywhere = of_conclusion["holds"].transform("all")
    same_sign = np.sign(table["value"]).groupby(table["conclusion"]).transform("nunique") == 1
    somewhere = of_conclusion["holds"].transform("any")
    verdict = np.where(everywhere & same_sign, "always", np.where(somewhere, "depends", "never"))
    return table.assign(verdict=verdict)
