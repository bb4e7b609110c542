"""Accuracy statistics: cells, outliers, ANOVA, Tukey, Levene, Shapiro, Wilson.

Runs are a table with one row a training run: method, size, run (the seed), accuracy (percent).
The same functions serve the authors' runs, our own runs and, where only n, mean and SD of each
cell are known, a stand-in with exactly these moments (``expand_cells``).
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats

from lib.common.errors import UserError
from lib.common.methods import PAPER_ARMS
from lib.common.tables import melt_table, melt_values, stack

RUN_COLUMNS = ("method", "size", "run", "accuracy")
MODES = {"counterfactual-prefix": "CF", "task-prefix": "MT", "both": "MT+CF"}
TRAINING_DATA = {"few-shot-positive-rationale": "Unrevised", "few-shot-revision": "Revised"}


def load_published_runs(path: str | Path) -> pd.DataFrame:
    """Read the authors' experiment.csv: 69 runs of 12 cells, accuracy in percent.

    The paper compares four of the six methods: keep those with ``runs.method.isin(PAPER_ARMS)``.
    Raises UserError where the file is missing or is not that table.
    """
    names = ["run", "test accuracy", "target_rationale", "model_size", "training_mode"]
    try:
        raw = pd.read_csv(path)[names]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not the authors' table of runs: {error}.") from error
    method = raw["training_mode"].map(MODES) + ":" + raw["target_rationale"].map(TRAINING_DATA)
    if method.isna().any():
        raise UserError(
            f"{path} line {int(method.isna().idxmax()) + 2} has an unknown training "
            f"mode or rationale; known are {', '.join([*MODES, *TRAINING_DATA])}."
        )
    return check_runs(
        pd.DataFrame(
            {
                "method": method,
                "size": raw["model_size"],
                "run": raw["run"],
                "accuracy": 100 * raw["test accuracy"],
            }
        )
    )


def check_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs (RUN_COLUMNS) with ordered methods and sizes; UserError if they are no use."""
    if runs.empty:
        raise UserError("The table of runs is empty: train at least one student first.")
    accuracy = pd.to_numeric(runs["accuracy"], errors="coerce")
    bad = ~accuracy.between(0, 100)
    for row in runs[bad].itertuples():
        raise UserError(
            f"Accuracy must be a percentage from 0 to 100, but run {row.run} of "
            f"{row.method} ({row.size}) has {row.accuracy}."
        )
    # The authors' file has one seed twice, so the accuracy has to be the same, too.
    for row in runs[runs.duplicated(list(RUN_COLUMNS))].itertuples():
        raise UserError(
            f"Run {row.run} of {row.method} ({row.size}) is in the table twice; keep "
            "one of the two."
        )
    return runs.assign(
        accuracy=accuracy,
        method=_ordered(runs["method"], PAPER_ARMS),
        size=_ordered(runs["size"], sorted(runs["size"].unique(), key=str)),
    )


def _ordered(column: pd.Series, known) -> pd.Categorical:
    """Levels in use: a categorical's own order, else the known ones first, then as they come."""
    present = list(column.unique())
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = column.cat.categories
    levels = [name for name in known if name in present] + [n for n in present if n not in known]
    return pd.Categorical(column.astype(object), levels)


def summarise_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Per size and method: n, mean, sd, se, 95 % t interval (low, high), min, median, max (%)."""
    runs = check_runs(runs)
    accuracy = runs.groupby(["size", "method"], observed=True)["accuracy"]
    cells = accuracy.agg(n="size", mean="mean", sd="std", min="min", median="median", max="max")
    cells["se"] = cells["sd"] / np.sqrt(cells["n"])
    half = stats.t.ppf(0.975, (cells["n"] - 1).where(cells["n"] > 1)) * cells["se"]
    cells["low"], cells["high"] = cells["mean"] - half, cells["mean"] + half
    order = ["n", "mean", "sd", "se", "low", "high", "min", "median", "max"]
    return cells[order].reset_index()


def expand_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Make stand-in runs that have exactly the given n, mean and sd of each cell.

    cells: columns method, size, n, mean, sd (percent). ANOVA and Tukey use only these moments, so
    they come out as from the real runs; outliers, Levene, Shapiro, medians do not.
    """
    parts = []
    for cell in cells.itertuples():
        n = int(cell.n)
        spread = np.arange(n) - (n - 1) / 2
        scale = cell.sd / spread.std(ddof=1) if n > 1 else 0.0
        parts.append(
            pd.DataFrame(
                {
                    "method": cell.method,
                    "size": cell.size,
                    "run": range(n),
                    "accuracy": cell.mean + scale * spread,
                }
            )
        )
    return check_runs(pd.concat(parts, ignore_index=True))


def flag_outliers(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the columns outlier (beyond 1.5 IQR of its cell) and extreme (beyond 3 IQR).

    The authors' rule: within method x size, strict inequality, quartiles of type 7 as in R and
    numpy (rstatix' identify_outliers). Cells of three runs or fewer can have none.
    """
    runs = check_runs(runs)
    cell = runs.groupby(["method", "size"], observed=True)["accuracy"]
    q1, q3 = (cell.transform("quantile", q) for q in (0.25, 0.75))
    beyond = np.maximum(q1 - runs["accuracy"], runs["accuracy"] - q3)
    # A rounding error's worth beyond the fence is on the fence.
    return runs.assign(
        outlier=beyond > 1.5 * (q3 - q1) + 1e-9, extreme=beyond > 3 * (q3 - q1) + 1e-9
    )


def _need_spread(runs: pd.DataFrame) -> None:
    """UserError if all runs of every cell are equal: no F can be computed then."""
    if runs.groupby(["method", "size"], observed=True)["accuracy"].nunique().max() < 2:
        raise UserError("All runs of each cell have the same accuracy: there is no spread to test.")


def anova_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Type II ANOVA accuracy ~ method * size (pingouin); one-way where there is only one size.

    Columns: effect, SS, df, F, p, ges. Both factors are manipulated, so the generalised eta
    squared equals the partial one. UserError where a cell is empty or no cell has two runs.
    """
    runs = check_runs(runs)
    counts = pd.crosstab(runs["method"], runs["size"])
    if len(counts) < 2:
        raise UserError("An ANOVA of methods needs at least two methods; train a second one.")
    if (counts == 0).any(axis=None):
        method, size = counts.stack()[lambda n: n == 0].index[0]
        raise UserError(f"The ANOVA needs every method at every size: {method} has no {size} run.")
    if len(runs) <= counts.size:
        raise UserError("The ANOVA needs at least two seeds a cell: train with a second seed.")
    _need_spread(runs)
    between = ["method", "size"] if counts.shape[1] > 1 else ["method"]
    plain = runs.astype({"method": str, "size": str})
    table = pg.anova(plain, dv="accuracy", between=between, ss_type=2, detailed=True)
    table["effect"] = table["Source"].replace(
        {"method * size": "method:size", "Within": "residual", "Residual": "residual"}
    )
    table = table.rename(columns={"DF": "df", "p_unc": "p", "np2": "ges"})
    return table[["effect", "SS", "df", "F", "p", "ges"]]


def tukey_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Tukey's HSD (Tukey-Kramer) of the methods within each size (scipy), 95 % intervals.

    Columns: size, pair ("B-A"), estimate (mean of B minus mean of A, percentage points), lwr, upr,
    p_adj. UserError where a size has fewer than two methods or no second seed.
    """
    runs, rows = check_runs(runs), []
    for size, part in runs.groupby("size", observed=True):
        groups = {
            name: cell["accuracy"].to_numpy()
            for name, cell in part.groupby("method", observed=True)
        }
        if len(groups) < 2 or len(part) <= len(groups):
            raise UserError(f"Tukey's test at {size} needs two methods with at least two seeds.")
        _need_spread(part)
        test = stats.tukey_hsd(*groups.values())
        interval = test.confidence_interval(0.95)
        rows += [
            (
                size,
                f"{second}-{first}",
                test.statistic[b, a],
                interval.low[b, a],
                interval.high[b, a],
                test.pvalue[b, a],
            )
            for (a, first), (b, second) in combinations(enumerate(groups), 2)
        ]
    return pd.DataFrame(rows, columns=["size", "pair", "estimate", "lwr", "upr", "p_adj"])


def levene_test(runs: pd.DataFrame) -> dict[str, float]:
    """Levene's test with medians over all cells (pingouin): df1, df2, F, p."""
    runs = check_runs(runs).assign(cell=lambda d: d["size"].astype(str) + d["method"].astype(str))
    cells = runs["cell"].nunique()
    # With two runs a cell both are equally far from the median: nothing is left to test with.
    if cells < 2 or runs["cell"].value_counts().max() < 3:
        raise UserError("Levene's test needs two cells, one of them with at least three seeds.")
    row = pg.homoscedasticity(runs, dv="accuracy", group="cell", center="median").iloc[0]
    return {
        "df1": cells - 1,
        "df2": len(runs) - cells,
        "F": float(row["W"]),
        "p": float(row["pval"]),
    }


def shapiro_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Shapiro-Wilk of each cell (pingouin): size, method, W, p; NaN where it has under 4 runs."""
    rows = []
    for (size, method), cell in check_runs(runs).groupby(["size", "method"], observed=True):
        usable = len(cell) > 3 and cell["accuracy"].nunique() > 1
        row = pg.normality(cell["accuracy"]).iloc[0] if usable else {"W": np.nan, "pval": np.nan}
        rows.append((size, method, float(row["W"]), float(row["pval"])))
    return pd.DataFrame(rows, columns=["size", "method", "W", "p"])


def analyse_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The whole accuracy analysis, before and after the authors' outlier removal.

    A long table: analysis (before, after), statistic (runs, cells, anova_type2, oneway, tukey,
    levene_median, shapiro, outliers, note), group ("770M MT:Unrevised", an effect, "770M B-A"),
    term (mean, F, p, ...), value (full precision). What cannot be computed, for instance with one
    seed, leaves a row "note": group = the part left out, term = why, in one sentence, no value.
    """
    flagged = flag_outliers(runs)
    after = _analyse("after", flagged[~flagged["outlier"]])
    after = after[after["statistic"] != "outliers"]
    return pd.concat([_analyse("before", flagged), after], ignore_index=True)


def analyse_cells(cells: pd.DataFrame, analysis: str) -> pd.DataFrame:
    """What follows from n, mean and sd alone, as in analyse_runs: cells, ANOVA, one-way, Tukey."""
    table = _analyse(analysis, expand_cells(cells))
    of_runs = (
        table[["statistic", "group", "term"]]
        .isin(["levene_median", "shapiro", "outliers", "min", "median", "max"])
        .any(axis=1)
    )
    return table[~of_runs].reset_index(drop=True)


def _analyse(analysis: str, runs: pd.DataFrame) -> pd.DataFrame:
    """One of the two analyses as a long table; each part may turn into a note instead."""
    cell = ["size", "method"]
    parts = {
        "cells": (summarise_cells, cell),
        "anova_type2": (anova_table, ["effect"]),
        "oneway": (oneway_table, ["size"]),
        "tukey": (tukey_table, ["size", "pair"]),
        "levene_median": (levene_test, None),
        "shapiro": (shapiro_table, cell),
        "outliers": (
            lambda d: (
                flag_outliers(d)
                .groupby(cell, observed=True)[["outlier", "extreme"]]
                .sum()
                .add_prefix("n_")
                .reset_index()
            ),
            cell,
        ),
    }
    tables = [melt_values({"n": len(runs)}, "runs")]
    for statistic, (compute, keys) in parts.items():
        try:
            found = compute(runs)
            tables.append(
                melt_table(found, statistic, keys) if keys else melt_values(found, statistic)
            )
        except UserError as error:
            tables.append(
                pd.DataFrame(
                    {"statistic": "note", "group": statistic, "term": [str(error)], "value": np.nan}
                )
            )
    return stack(analysis, tables)


def oneway_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One-way ANOVA of the methods within each size: size, F, df1, df2, p."""
    rows = []
    for size, part in check_runs(runs).groupby("size", observed=True):
        method, residual = anova_table(part).itertuples(index=False)
        rows.append((size, method.F, method.df, residual.df, method.p))
    return pd.DataFrame(rows, columns=["size", "F", "df1", "df2", "p"])
