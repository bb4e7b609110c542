"""What notebooks 05 and 06 report: the paper's published numbers, and analyses of raw ratings.

``Analyses`` know whose ratings they are of, so that SIMULATED ones are labelled wherever they are
shown, and enter no findings and no statistics.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy.stats import norm

from lib.common.methods import order_arms
from lib.common.tables import melt_table
from lib.figures import study as plots_study
from lib.figures import style
from lib.human_study import mixed as study_mixed
from lib.human_study import published, reference, regression, sensitivity, study

PAPER, OWN, SIMULATED = "paper", "own study", "SIMULATED"


@dataclass(frozen=True)
class Analyses:
    """What ``analyse_raw`` found: tables by name; source: PAPER, OWN or SIMULATED."""

    source: str
    ratings: pd.DataFrame
    tables: dict[str, pd.DataFrame]

    @property
    def title(self) -> str:
        """What stands above each table and figure that is not of the paper's ratings."""
        return {PAPER: "", OWN: "Own study", SIMULATED: "SIMULATED ratings: no results"}[
            self.source
        ]


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
        half.append(norm.isf(0.025) * np.sqrt(sum(p.var(ddof=1) / len(p) for p in places)))
    return table.assign(lwr=table["A"] - half, upr=table["A"] + half)


def analyse_raw(source: str, ratings: pd.DataFrame, seed: int = 0) -> Analyses:
    """All analyses that need raw ratings, about half a minute for the paper's.

    Tables: scores; statistics (the paper's, study_models.analyse_ratings); constructs (four tests
    each); odds (the ordinal model's terms); mixed (study_honest.mixed_table, with participants
    alone, with slots, with questions); contrasts (of Quality between methods, once with lengths as
    they are, once at equal length); icc; alpha. Mixed models are without the paper's outliers.
    """
    statistics = regression.analyse_ratings(ratings, seed=seed)
    odds, ordinal = sensitivity.ordinal_table(ratings)
    kept = regression.drop_quality_outliers(ratings)
    others = [name for name in ("slot", "question") if name in kept and kept[name].nunique() > 1]
    mixed = [
        sensitivity.mixed_table(ratings, random)
        for random in (("participant",), *(("participant", other) for other in others))
    ]
    methods = order_arms(kept["method"])
    contrasts = [
        study_mixed.contrast_table(study_mixed.fit_mixed(kept, terms=terms), methods).assign(
            lengths=lengths
        )
        for lengths, terms in (("as they are", ("method",)), ("equal", ("method", "length")))
    ]
    return Analyses(
        source,
        ratings,
        {
            "scores": study.melt_ratings(ratings),
            "odds": odds,
            "statistics": statistics.assign(analysis="explainability"),
            "mixed": pd.concat(mixed, ignore_index=True),
            "alpha": sensitivity.cronbach_table(ratings),
            "constructs": sensitivity.construct_table(ratings, ordinal, seed=seed),
            "icc": sensitivity.icc_table(ratings),
            "contrasts": pd.concat(contrasts, ignore_index=True)[
                ["lengths", "pair", "estimate", "lwr", "upr", "p_satt", "p_holm"]
            ],
        },
    )


def describe(raw: Analyses):
    """One sentence, as Markdown: whose ratings are analysed, and how to get the paper's."""
    many = f"{len(raw.ratings):,} ratings by {raw.ratings['participant'].nunique()} participants"
    return Markdown(
        {
            PAPER: f"The paper's {many} are here; what follows is computed from them.",
            OWN: f"What follows is computed from {many} of your own study.",
            SIMULATED: "The paper's raw ratings are not here; `make data` downloads them, then run "
            "this notebook again. To show what the analyses look like, what follows is computed from "
            f"**{many} that are SIMULATED** from published aggregates: they are no results, and enter "
            "neither the findings nor the statistics file.",
        }[raw.source]
    )


def show(raw: Analyses, name: str, *statistics: str) -> pd.DataFrame:
    """One of ``analyse_raw``'s tables, below a line that says whose if it is not the paper's.

    statistics: of a long table only these, a row a group (a coefficient of a regression) and a
    column a term.
    """
    if raw.title:
        display(Markdown(f"**{raw.title}**"))
    if not statistics:
        return raw.tables[name]
    rows = raw.tables[name].query("statistic in @statistics")
    whole = (rows["group"] == "all") & rows["statistic"].str.startswith("lm_")
    keys = ["statistic", "group"] if len(statistics) > 1 else "group"
    return rows[~whole].pivot_table(index=keys, columns="term", values="value", sort=False)


def draw_raw(raw: Analyses, name: str, stage) -> None:
    """Draw and save one figure: ratings_with_quality, quality_by_length or quality_contrasts."""
    contrasts = raw.tables["contrasts"]
    draw, title = {
        "ratings_with_quality": (
            lambda: plots_study.ratings_figure(raw.tables["scores"]),
            "Mean rating of each construct and of Quality, the mean of the five",
        ),
        "quality_by_length": (
            lambda: plots_study.length_figure(raw.ratings),
            "Quality of short and long explanations of each method",
        ),
        "quality_contrasts": (
            lambda: plots_study.effect_figure(
                contrasts.assign(construct="Lengths " + contrasts["lengths"]),
                "estimate",
                "Difference of Quality (points), first minus second",
                0.0,
            ),
            "Differences of Quality between methods, mixed model with persons",
        ),
    }[name]
    figure, table = draw()
    if raw.title:
        figure.suptitle(raw.title, fontweight="bold")
    style.save(figure, name, table, stage, title=": ".join(filter(None, (raw.title, title))))


def compare_with_paper(raw: Analyses) -> pd.DataFrame:
    """Every number of R's that can be computed here: statistic, R, ours, difference, agrees.

    From the published counts and cells, and from raw ratings and runs where they are present.
    """
    ours = reference.name_values(study.analyse_scores(published.load_scores()), "explainability")
    ours |= reference.name_values(published.analyse_accuracy(), "performance")
    for name in ("statistics", "mixed", "alpha") if raw.source == PAPER else ():
        ours |= reference.name_values(raw.tables[name], "")
    return reference.compare_with_r(reference.load_golden(), ours)


def ratings_statistics(raw: Analyses) -> pd.DataFrame:
    """Everything computed on real ratings as one long table, for Stage.save_statistics."""
    tables = [study.analyse_scores(published.load_scores()).assign(analysis="paper explainability")]
    if raw.source != SIMULATED:
        found = [raw.tables[name] for name in ("statistics", "mixed", "alpha")]
        for name, keys in (
            ("icc", ["construct"]),
            ("constructs", ["construct"]),
            ("odds", ["construct", "term"]),
            ("contrasts", ["lengths", "pair"]),
        ):
            found.append(melt_table(raw.tables[name], name, keys).assign(analysis=name))
        found = pd.concat(found).assign(analysis=lambda table: f"{raw.source} " + table["analysis"])
        tables = [found] if raw.source == PAPER else [*tables, found]  # the paper's has the counts'
    return pd.concat(tables, ignore_index=True)


def summarise_comparison(comparison: pd.DataFrame) -> pd.DataFrame:
    """compare_with_paper by area and kind: numbers of R, how many computed, agree, and the gap.

    gap: largest absolute difference. What is not computed needs raw ratings or runs.
    """
    words = comparison["statistic"].str.split()
    table = comparison.assign(
        area=words.str[0], computed=comparison["ours"].notna(), gap=comparison["difference"].abs()
    )
    table["kind"] = np.where(table["area"] == "performance", words.str[2], words.str[1])
    groups = table.groupby(["area", "kind"], sort=False)
    return groups.agg(
        R=("R", "size"), computed=("computed", "sum"), agrees=("agrees", "sum"), gap=("gap", "max")
    ).reset_index()
