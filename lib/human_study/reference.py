"""R's values beside ours.

data/published/r_statistics.json has what R gives on the authors' raw files, and tolerances. A value
is named by its path there, joined by blanks, for instance "performance after tukey 220M
MT:Unrevised-CF:Unrevised p_adj". The rows of our own long tables join to the same names.
"""

import json

import numpy as np
import pandas as pd

from lib.common import paths
from lib.human_study import published

# Where R's names differ from ours: parts of a path, replaced in this order.
RENAMED = {
    "performance n_filtered": "performance before runs n",
    "anova_type2 model": "anova_type2 method",
    "tukey 220M oneway": "oneway 220M",
    "tukey 770M oneway": "oneway 770M",
    "(Intercept)": "Intercept",
    "coef model": "coef ",
    "rationale_length": "length",
    "F_satt model": "F_satt method",
    "F_kr model": "F_kr method",
    "var CASE": "var participant",
    "var Residual": "var residual",
    "lrt_model_participant": "lrt participant",
}
SMALL_P = 1e-5  # Tukey's p values below it are compared absolutely
# A p value this small turns the last digits of its t into the leading ones of its own.
TINY_P = 1e-100


def load_reference() -> dict:
    """r_statistics.json: nested values by area and kind, and their tolerance."""
    return json.loads((paths.PUBLISHED / "r_statistics.json").read_text(encoding="utf-8"))


def name_values(table: pd.DataFrame, area: str = "") -> dict[str, float]:
    """Name the rows of a long table (analysis, statistic, group, term, value) as R's are.

    area: what stands before the analysis in r_statistics.json ("performance" of "before").
    """
    parts = table[["analysis", "statistic", "group", "term"]].replace({"group": {"all": ""}})
    names = area + " " + parts.astype(str).agg(" ".join, axis=1)
    return dict(zip(names.str.split().str.join(" "), table["value"], strict=True))


def compare_with_r(ours: dict[str, float]) -> pd.DataFrame:
    """Put ours beside R's: statistic, R, ours, difference (ours - R), agrees (within tolerance).

    ours: from name_values. A value that we lack shows as NaN and does not agree.
    """
    reference = load_reference()
    tolerance = reference.pop("tolerance")
    rows = []
    values = pd.json_normalize(reference, sep=" ").select_dtypes("number").iloc[0]
    for name, theirs in values.items():
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        value = ours.get(name.replace(" partial_eta2", " ges"), np.nan)
        agrees = abs(value - theirs) <= _allowed(name, theirs, tolerance)
        rows.append((name, theirs, value, value - theirs, agrees))
    return pd.DataFrame(rows, columns=["statistic", "R", "ours", "difference", "agrees"])


def compare_with_paper(ratings: pd.DataFrame) -> pd.DataFrame:
    """Every value of R's that can be computed here, as compare_with_r.

    ratings: a long table by analysis.analyse_ratings, or analyse_scores of the published counts.
    The paper's accuracies: from the single runs where they are present, else from the cells.
    """
    ours = name_values(published.analyse_accuracy(), "performance") | name_values(ratings)
    return compare_with_r(ours)


def summarise_comparison(comparison: pd.DataFrame) -> pd.DataFrame:
    """compare_with_paper by area and kind: values of R, how many computed, agree, and the gap.

    gap: largest absolute difference. What is not computed needs raw ratings or runs.
    """
    words = comparison["statistic"].str.split()
    table = comparison.assign(area=words.str[0], computed=comparison["ours"].notna())
    table["gap"] = comparison["difference"].abs()
    table["kind"] = np.where(table["area"] == "performance", words.str[2], words.str[1])
    sums = {"R": ("R", "size"), "computed": ("computed", "sum")}
    sums |= {"agrees": ("agrees", "sum"), "gap": ("gap", "max")}
    return table.groupby(["area", "kind"], sort=False).agg(**sums).reset_index()


def _allowed(name: str, value: float, tolerance: dict) -> float:
    """The allowed absolute difference of one value, from the tolerances of r_statistics.json."""
    term = name.rsplit(" ", 1)[-1]
    if " tukey " in name and term in ("lwr", "upr"):
        return tolerance["tukey_ci_abs"]
    tiny_tukey = value < SMALL_P and " tukey " in name and term == "p_adj"
    if tiny_tukey or (value < TINY_P and term.startswith("p_")):
        return tolerance["tukey_p_below_1e-5"]["abs"]
    if name.startswith("mixed_model") and term == "se":
        return tolerance["statsmodels_mixedlm_se_rel"] * abs(value)
    return tolerance["default_rel"] * abs(value)
