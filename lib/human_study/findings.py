"""The study's findings in a handful of rows: what is claimed, its number, whether it holds.

Columns: finding, number (with 95 % interval or p), holds ("yes"; "no": the reverse is significant;
"open": not significant, or significant under some decisions only).
"""

import pandas as pd

from lib.common.intervals import show_p
from lib.human_study.constructs import dunn_table, kruskal_table, vda_table
from lib.human_study.mixed import coefficient_table, fit_mixed, gap_table, likelihood_ratio
from lib.human_study.ratings import drop_outliers

BEST = "MT+CF:Revised"  # the paper's best-rated method
RIVALS = ("MT:Unrevised", "MT+CF:Unrevised")
COLUMNS = ["finding", "number", "holds"]


def findings_of_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Which constructs differ between methods, and whether the paper's best method leads there."""
    rows, kruskal = [], kruskal_table(scores).set_index("construct")
    for construct, test in kruskal.iterrows():
        number = f"H = {test['H']:.1f}, p {show_p(test['p'])}, epsilon² = {test['epsilon2']:.3f}"
        rows.append((f"Methods differ in {construct}", number, _holds(test["p"])))
    keys = ["construct", "pair"]
    pairs = vda_table(scores).merge(dunn_table(scores), on=keys).set_index(keys)
    for construct in kruskal.index[kruskal["p"] < 0.05]:
        for rival in RIVALS:
            if (construct, f"{rival} - {BEST}") in pairs.index:
                row = pairs.loc[(construct, f"{rival} - {BEST}")]
                number = f"A = {1 - row['A']:.2f} [{1 - row['upr']:.2f}, {1 - row['lwr']:.2f}]"
                finding = f"{BEST} is rated above {rival} in {construct}"
                holds = _holds(row["p_holm"], row["z"])
                rows.append((finding, f"{number}, Holm p {show_p(row['p_holm'])}", holds))
    return pd.DataFrame(rows, columns=COLUMNS)


def findings_of_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    """Quality at equal length, persons as random intercepts, without the paper's outliers."""
    kept = drop_outliers(ratings)
    test = likelihood_ratio(kept)
    number = f"chi² = {test['chi2']:.1f}, df = {test['df']}, p {show_p(test['p'])}"
    rows = [("Methods differ in Quality at equal length", number, _holds(test["p"]))]
    gaps = gap_table(ratings).query("lengths == 'equal'").set_index("pair")
    for rival in RIVALS:
        if f"{BEST}-{rival}" in gaps.index:
            gap = gaps.loc[f"{BEST}-{rival}"]
            number = f"{_interval(gap)} points, Holm p {show_p(gap['p_holm'])}"
            holds = _holds(gap["p_holm"], gap["estimate"])
            rows.append(
                (f"{BEST} is rated above {rival} in Quality at equal length", number, holds)
            )
    slope = coefficient_table(fit_mixed(kept)).set_index("term").loc["length"]
    per_100 = 100 * slope[["estimate", "lwr", "upr"]]
    number = f"{_interval(per_100)} points per 100 characters, p {show_p(slope['p_satt'])}"
    holds = _holds(slope["p_satt"], slope["estimate"])
    rows.append(("Of one method's explanations longer ones are rated higher", number, holds))
    return pd.DataFrame(rows, columns=COLUMNS)


def findings_of_runs(decisions: pd.DataFrame) -> pd.DataFrame:
    """Whether method and size interact in accuracy, by runs.conclusion_table's decisions."""
    rows = decisions[decisions["conclusion"] == "method:size"]
    number = "; ".join(f"{row.specification}: p {show_p(row.p)}" for row in rows.itertuples())
    holds = "yes" if rows["holds"].all() else "open"
    finding = "The methods' order in accuracy depends on the student's size"
    return pd.DataFrame([(finding, number, holds)], columns=COLUMNS)


def takeaway(findings: pd.DataFrame) -> str:
    """Which findings hold, in two sentences."""
    held = findings.loc[findings["holds"] == "yes", "finding"]
    n = findings["holds"].value_counts()
    claims = f": {'; '.join(held)}" if len(held) else ""
    return (
        f"{len(held)} of {len(findings)} findings hold{claims}. "
        f"Open: {n.get('open', 0)}; reversed: {n.get('no', 0)}."
    )


def _holds(p: float, sign: float = 1.0) -> str:
    if not p < 0.05:
        return "open"
    return "yes" if sign > 0 else "no"


def _interval(row: pd.Series) -> str:
    return f"{row['estimate']:+.2f} [{row['lwr']:+.2f}, {row['upr']:+.2f}]"
