"""What notebooks 05 and 06 report: the paper's published numbers, and the raw ratings if present.

Without raw ratings every table that needs them is replaced by one sentence, so that the notebooks
need no logic of their own.
"""

import numpy as np
import pandas as pd

from lib import (accuracy, figures, golden, paths, plots_study, stats, study, study_honest,
                 study_models)
from lib.plots_study import show_p

# Mean characters of the rated explanations of each method (paper; equal to the raw ratings').
LENGTHS = {"CF:Unrevised": 246, "MT:Unrevised": 215, "MT+CF:Unrevised": 227, "MT+CF:Revised": 409}
GET_RATINGS = (
    "The raw ratings are not here: what joins constructs or persons (Quality, regression, mixed "
    "models, permutation within persons, alpha) needs them; run `make data`, which "
    "downloads data/raw/study.csv from the authors, then this notebook again.")



def published_scores() -> pd.DataFrame:
    """The paper's 1,114 ratings on single constructs, a row a score: method, construct, score."""
    return study.expand_counts(golden.load_rating_counts(paths.PUBLISHED / "rating_counts.csv"))


def published_runs() -> pd.DataFrame | None:
    """The authors' runs of the four compared methods (data/raw/experiment.csv), or None."""
    path = paths.RAW / "experiment.csv"
    if not path.is_file():
        return None
    runs = stats.load_published_runs(path)
    return stats.check_runs(runs[runs["method"].isin(stats.METHODS)])


def published_decisions() -> pd.DataFrame:
    """Conclusions on accuracy by decision on outliers, as study_honest.multiverse_table.

    Four decisions where the single runs are present, else the two that the published cells hold.
    """
    runs = published_runs()
    if runs is not None:
        return study_honest.multiverse_table(runs)
    names = {"before": "all runs", "after": "1.5 IQR (paper)"}
    table = accuracy.published_statistics()
    n = table[table["statistic"] == "runs"].set_index("analysis")["value"].astype(int)
    tests = table[table["statistic"].isin(["anova_type2", "tukey"])]
    tests = tests[tests["group"] != "residual"]
    wide = tests.pivot_table(index=["analysis", "group"], columns="term", values="value",
                             sort=False).reset_index()
    p = wide["p"].fillna(wide["p_adj"])
    return pd.DataFrame({"specification": wide["analysis"].map(names),
                         "n": wide["analysis"].map(n), "conclusion": wide["group"],
                         "value": wide["F"].fillna(wide["estimate"]), "p": p, "holds": p < 0.05})


def vda_intervals(scores: pd.DataFrame) -> pd.DataFrame:
    """Vargha-Delaney's A with 95 % intervals: study.vda_table's construct, pair, A; lwr, upr.

    Standard error from the placements of each score in the other group (DeLong, DeLong &
    Clarke-Pearson 1988), normal quantile, all scores taken as independent.
    """
    table = study.vda_table(scores)[["construct", "pair", "A"]].copy()
    half = []
    for construct, pair in table[["construct", "pair"]].itertuples(index=False):
        part = scores[scores["construct"] == construct]
        x, y = (part.loc[part["method"] == name, "score"].to_numpy() for name in pair.split(" - "))
        above = (x[:, None] > y) + (x[:, None] == y) / 2
        places = above.mean(axis=1), above.mean(axis=0)
        half.append(1.959963984540054 * np.sqrt(sum(p.var(ddof=1) / len(p) for p in places)))
    return table.assign(lwr=table["A"] - half, upr=table["A"] + half)


def available_ratings() -> pd.DataFrame | None:
    """The raw ratings (data/raw/study.csv), checked, or None where they were not downloaded."""
    path = paths.RAW / "study.csv"
    return study.load_ratings(path) if path.is_file() else None


def describe(ratings: pd.DataFrame | None):
    """One sentence, as Markdown: how many ratings there are, or how to get them."""
    from IPython.display import Markdown

    return Markdown(GET_RATINGS if ratings is None else
                    f"{len(ratings):,} raw ratings by {ratings['participant'].nunique()} "
                    "participants are here; the tables below are computed from them.")


def analyse_raw(ratings: pd.DataFrame | None, seed: int = 0) -> dict[str, pd.DataFrame]:
    """All analyses that need raw ratings, by name; nothing without ratings.

    scores; statistics (the paper's, study_models.analyse_ratings); mixed (study_honest's
    mixed_table, without the paper's outliers) and contrasts, its differences of Quality at equal
    length; alpha; constructs (four tests each); icc. About 15 s.
    """
    if ratings is None:
        return {}
    statistics = study_models.analyse_ratings(ratings, seed=seed)
    statistics.insert(0, "analysis", "explainability")
    mixed = study_honest.mixed_table(ratings)
    rows = mixed[mixed["statistic"] == "participant contrasts"]
    contrasts = rows.pivot(index="group", columns="term", values="value").reset_index(names="pair")
    contrasts = contrasts.set_index("pair").loc[list(dict.fromkeys(rows["group"]))].reset_index()
    return {"scores": study.melt_ratings(ratings), "statistics": statistics, "mixed": mixed,
            "alpha": study_honest.cronbach_table(ratings),
            "constructs": study_honest.construct_table(ratings, seed=seed),
            "icc": study_honest.icc_table(ratings), "contrasts": contrasts[
                ["pair", "estimate", "lwr", "upr", "p_satt", "p_holm"]]}


def show(raw: dict[str, pd.DataFrame], name: str, statistic: str = ""):
    """One of ``analyse_raw``'s tables, or a sentence without ratings.

    statistic: of a long table only this one, a row a group and a column a term.
    """
    from IPython.display import Markdown

    if not raw:
        return Markdown("Needs the raw ratings (see above).")
    if not statistic:
        return raw[name]
    rows = raw[name].query("statistic == @statistic and group != 'all'")
    return rows.pivot(index="group", columns="term", values="value").loc[
        rows["group"].unique(), rows["term"].unique()]


def draw_raw(raw: dict[str, pd.DataFrame], stage) -> None:
    """Draw and save the two figures of the raw ratings: ratings with Quality, and its contrasts."""
    if not raw:
        return
    figure, table = plots_study.ratings_figure(raw["scores"])
    figures.save(figure, "ratings_with_quality", table, stage,
                 title="Mean rating of each construct and of Quality, the mean of the five")
    figure, table = plots_study.effect_figure(
        raw["contrasts"], "estimate", "Difference of Quality (points) at equal length", 0.0)
    figures.save(figure, "quality_contrasts", table, stage,
                 title="Differences of Quality between methods, mixed model with persons")


def compare_with_paper(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of R's that can be computed here: statistic, R, ours, difference, agrees.

    From the published counts and cells, and from raw ratings and runs where they are present.
    """
    ours = golden.name_values(study.analyse_scores(published_scores()), "explainability")
    runs = published_runs()
    ours |= golden.name_values(accuracy.published_statistics() if runs is None
                               else stats.analyse_runs(runs), "performance")
    for name in ("statistics", "mixed", "alpha"):
        ours |= golden.name_values(raw[name], "") if raw else {}
    r = golden.load_golden(paths.PUBLISHED / "r_statistics.json")
    return golden.compare_with_r(r, ours)


def ratings_statistics(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Everything computed on the paper's ratings as one long table, for Stage.save_statistics."""
    tables = [study.analyse_scores(published_scores()).assign(analysis="explainability")]
    if raw:
        tables = [raw["statistics"], raw["mixed"], raw["alpha"]]
        for name in ("icc", "constructs"):
            tables.append(golden.melt_table(raw[name], name, ["construct"]).assign(analysis=name))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(analysis="paper " + table["analysis"])


def summarise_comparison(comparison: pd.DataFrame) -> pd.DataFrame:
    """compare_with_paper by area and kind: numbers of R, how many computed, agree, and the gap.

    gap: largest absolute difference. What is not computed needs raw ratings or runs.
    """
    words = comparison["statistic"].str.split()
    table = comparison.assign(area=words.str[0], computed=comparison["ours"].notna(),
                              gap=comparison["difference"].abs())
    table["kind"] = np.where(table["area"] == "performance", words.str[2], words.str[1])
    groups = table.groupby(["area", "kind"], sort=False)
    return groups.agg(R=("R", "size"), computed=("computed", "sum"), agrees=("agrees", "sum"),
                      gap=("gap", "max")).reset_index()


def published_findings(scores: pd.DataFrame) -> pd.DataFrame:
    """The study's plain findings from the published counts: finding, number, from."""
    cells = study.summarise_scores(scores).astype({"method": str, "construct": str})
    means = cells.pivot(index="construct", columns="method", values="mean")
    overall = means.mean().sort_values()
    best, worst = overall.index[-1], overall.index[0]
    kruskal = study.kruskal_table(scores).set_index("construct")
    dunn = study.dunn_table(scores).set_index(["construct", "pair"])
    effects = vda_intervals(scores)
    far = effects.loc[(effects["A"] - 0.5).abs().idxmax()]
    rows = [(f"{best} has the highest mean on {(means.idxmax(axis=1) == best).sum()} of "
             f"{len(means)} constructs", f"mean of the five {overall[best]:.2f}; next "
             f"{overall.index[-2]} {overall.iloc[-2]:.2f}", "means"),
            (f"{worst} has the lowest mean on "
             f"{(means.idxmin(axis=1) == worst).sum()} of {len(means)} constructs",
             f"mean of the five {overall[worst]:.2f}", "means")]
    for construct, row in kruskal.iterrows():
        rows.append((f"{construct} {'differs' if row['p'] < 0.05 else 'does not clearly differ'} "
                     "between methods", f"H = {row['H']:.2f}, p {show_p(row['p'])}, "
                     f"epsilon² = {row['epsilon2']:.3f}", "Kruskal-Wallis"))
    for construct in kruskal.index[kruskal["p"] < 0.05]:
        for other in ("MT+CF:Unrevised", "MT:Unrevised"):
            p = dunn.loc[construct, f"{other} - MT+CF:Revised"]["p_holm"]
            gain = means.loc[construct, "MT+CF:Revised"] - means.loc[construct, other]
            verb = "differ" if p < 0.05 else "do not clearly differ"
            rows.append((f"MT+CF:Revised and {other} {verb} in {construct}",
                         f"{gain:+.2f} points, Holm p {show_p(p)}", "Dunn"))
    word = ("negligible", "small", "medium", "large")[np.searchsorted(
        (0.06, 0.14, 0.21), abs(far["A"] - 0.5), side="right")]  # Vargha & Delaney 2000
    rows.append((f"The largest difference is {word}: {far['pair']}, {far['construct']}",
                 f"A = {far['A']:.3f} [{far['lwr']:.3f}, {far['upr']:.3f}]; 0.5 is none",
                 "Vargha-Delaney"))
    rows.append(("Length goes with the method: revised explanations are the longest",
                 ", ".join(f"{name} {value}" for name, value in LENGTHS.items()),
                 "mean characters"))
    return pd.DataFrame(rows, columns=["finding", "number", "from"])


def raw_findings(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What only raw ratings show: dependence, four tests a construct, Quality at equal length."""
    rows = []
    if raw:
        icc = raw["icc"].set_index("construct")["icc"]
        rows.append(("Ratings by one person resemble each other: they are not independent",
                     f"{icc['Quality']:.0%} of Quality's variance lies between persons", "ICC"))
        tests = raw["constructs"].set_index("construct").filter(like="_p_holm")
        for construct, row in tests.iterrows():
            rows.append((f"{construct}: significant (Holm) by {(row < 0.05).sum()} of {len(row)} "
                         "tests", "Holm p: " + ", ".join(
                             f"{name.removesuffix('_p_holm')} {show_p(p)}"
                             for name, p in row.items()), "four tests"))
        for row in raw["contrasts"].itertuples():
            rows.append((f"Quality at equal length, {row.pair}", f"{row.estimate:+.2f} "
                         f"[{row.lwr:+.2f}, {row.upr:+.2f}], Holm p {show_p(row.p_holm)}",
                         "mixed model"))
    return pd.DataFrame(rows, columns=["finding", "number", "from"])
