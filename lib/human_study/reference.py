"""Published reference numbers (data/published), and the comparison of ours with R's.

A reference number is named by its path through r_statistics.json, joined by blanks, for instance
"performance after tukey 220M MT:Unrevised-CF:Unrevised p_adj". The rows of our own long tables
(lib.common.tables) join to the same names.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib.common.errors import UserError
from lib.common.paths import PUBLISHED

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


def load_golden() -> dict:
    """Read r_statistics.json: what R gives on the authors' raw files, and the tolerances."""
    path = PUBLISHED / "r_statistics.json"
    try:
        golden = json.loads(path.read_text(encoding="utf-8"))
        golden["tolerance"]["default_rel"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the table of R's statistics: {error}.") from error
    return golden


def flatten(nested: dict, prefix: str = "") -> dict[str, float]:
    """All numbers of a nested dictionary, each named by its path joined by blanks."""
    flat = {}
    for key, value in nested.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, dict):
            flat |= flatten(value, name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            flat[name] = value
    return flat


def name_values(table: pd.DataFrame, prefix: str) -> dict[str, float]:
    """Name the rows of a long table (statistic, group, term, value; maybe analysis) as R's are.

    prefix: the part of r_statistics.json, "performance", "explainability" or "mixed_model".
    """
    columns = [c for c in ("analysis", "statistic", "group", "term") if c in table.columns]
    names = table[columns].astype(str).replace({"group": {"all": ""}}).agg(" ".join, axis=1)
    return {
        " ".join(f"{prefix} {name}".split()): value
        for name, value in zip(names, table["value"], strict=True)
    }


def compare_with_r(golden: dict, ours: dict[str, float], prefix: str = "") -> pd.DataFrame:
    """Put ours beside R's: statistic, R, ours, difference (ours - R), agrees (within tolerance).

    golden: from load_golden; ours: from name_values; prefix: only R's numbers whose path begins
    so. A number that we lack shows as NaN and does not agree.
    """
    flat = flatten({k: v for k, v in golden.items() if k not in ("note", "tolerance")})
    rows = []
    for path, theirs in flat.items():
        name = path
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        if name.startswith(prefix):
            value = ours.get(name, ours.get(name.replace(" partial_eta2", " ges"), np.nan))
            rows.append(
                (
                    name,
                    theirs,
                    value,
                    value - theirs,
                    abs(value - theirs) <= _allowed(name, theirs, golden["tolerance"]),
                )
            )
    return pd.DataFrame(rows, columns=["statistic", "R", "ours", "difference", "agrees"])


def _allowed(name: str, value: float, tolerance: dict) -> float:
    """The allowed absolute difference of one number, from the tolerances of r_statistics.json."""
    term = name.rsplit(" ", 1)[-1]
    if " tukey " in name and term in ("lwr", "upr"):
        return tolerance["tukey_ci_abs"]
    if (
        value < SMALL_P
        and " tukey " in name
        and term == "p_adj"
        or (value < TINY_P and term.startswith("p_"))
    ):
        return tolerance["tukey_p_below_1e-5"]["abs"]
    if name.startswith("mixed_model") and term == "se":
        return tolerance["statsmodels_mixedlm_se_rel"] * abs(value)
    return tolerance["default_rel"] * abs(value)
