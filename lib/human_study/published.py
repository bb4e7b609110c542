"""The paper's numbers: published cells and counts (data/published), raw files (data/raw).

The published ones are in the repository and are enough for ANOVA, Tukey's test and every test of a
single construct. Single runs and ratings are there once ``make data`` has fetched them.
"""

from pathlib import Path

import pandas as pd

from lib.common import paths
from lib.common.methods import PAPER_ARMS
from lib.human_study import ratings
from lib.human_study import runs as training_runs

# Mean characters of the rated explanations of each method (paper; equal to the raw ratings').
LENGTHS = {"CF:Unrevised": 246, "MT:Unrevised": 215, "MT+CF:Unrevised": 227, "MT+CF:Revised": 409}
MODES = {"counterfactual-prefix": "CF", "task-prefix": "MT", "both": "MT+CF"}
TEXTS = {"few-shot-positive-rationale": "Unrevised", "few-shot-revision": "Revised"}


def load_cells(when: str = "before") -> pd.DataFrame:
    """Accuracy "before" or "after" outlier removal: method, size, n, mean, sd (percent)."""
    cells = pd.read_csv(paths.PUBLISHED / "accuracy_cells.csv")
    method = cells["method"] + ":" + cells["training_data"]
    values = {name: cells[f"{name}_{when}"] for name in ("n", "mean", "sd")}
    return pd.DataFrame({"method": method, "size": cells["size"], **values})


def load_panels() -> pd.DataFrame:
    """The cells before and after outlier removal (panel) as runs.summarise_cells has them."""
    panels = {"before": "all runs", "after": "without the paper's outliers"}
    cells = {panel: training_runs.expand_cells(load_cells(when)) for when, panel in panels.items()}
    parts = [training_runs.summarise_cells(c).assign(panel=panel) for panel, c in cells.items()]
    return pd.concat(parts, ignore_index=True)


def load_gamma() -> tuple[pd.DataFrame, pd.Series]:
    """The paper's runs of gamma (gamma, accuracy as a share), and its cell of these students."""
    cells = load_cells().set_index(["size", "method"])
    runs = pd.read_csv(paths.PUBLISHED / "gamma_ablation.csv")
    return runs, cells.loc[("770M", "MT+CF:Unrevised")]


def load_counts() -> pd.DataFrame:
    """The 1,114 ratings as counts: method, construct, score (1..5), count, share (percent)."""
    counts = pd.read_csv(paths.PUBLISHED / "rating_counts.csv").rename(columns={"model": "method"})
    total = counts.groupby(["method", "construct"])["count"].transform("sum")
    counts["share"] = 100 * counts["count"] / total
    return counts[["method", "construct", "score", "count", "share"]]


def load_scores() -> pd.DataFrame:
    """The same, a row a score: method, construct, score."""
    return ratings.expand_counts(load_counts())


def load_ratings() -> pd.DataFrame | None:
    """The raw ratings (data/raw/study.csv), checked; None where they were not downloaded."""
    path = paths.RAW / "study.csv"
    return ratings.load_ratings(path) if path.is_file() else None


def load_runs() -> pd.DataFrame | None:
    """The runs of the four compared methods (data/raw/experiment.csv); None without the file."""
    path = paths.RAW / "experiment.csv"
    if not path.is_file():
        return None
    runs = read_runs(path)
    return runs[runs["method"].isin(PAPER_ARMS)]


def read_runs(path: Path) -> pd.DataFrame:
    """The authors' 69 runs of 12 cells (their experiment.csv) as runs.check_runs has them."""
    raw = pd.read_csv(path).rename(columns={"model_size": "size"})
    raw["method"] = raw["training_mode"].map(MODES) + ":" + raw["target_rationale"].map(TEXTS)
    raw["accuracy"] = 100 * raw["test accuracy"]
    return training_runs.check_runs(raw[training_runs.COLUMNS])


def analyse_accuracy() -> pd.DataFrame:
    """The paper's ANOVA and Tukey tests before and after outlier removal, a long table.

    From the single runs where they are present (runs.analyse_runs), else from the published cells
    (runs.analyse_cells).
    """
    runs = load_runs()
    if runs is not None:
        return training_runs.analyse_runs(runs)
    parts = [training_runs.analyse_cells(load_cells(when), when) for when in ("before", "after")]
    return pd.concat(parts, ignore_index=True)


def decision_table() -> pd.DataFrame:
    """Conclusions on accuracy by decision on outliers, as runs.multiverse_table.

    Four decisions where the single runs are present, else the two that the published cells hold.
    """
    runs = load_runs()
    if runs is not None:
        return training_runs.multiverse_table(runs)
    chosen = {"all runs": load_cells("before"), "1.5 IQR (paper)": load_cells("after")}
    return training_runs.conclusion_table(
        {name: training_runs.expand_cells(cells) for name, cells in chosen.items()}
    )
