"""The page of plain findings at the end of notebook 05: each a sentence with its number."""

import numpy as np
import pandas as pd

from lib.figures.study import show_p
from lib.human_study import published, report, sensitivity, study
from lib.human_study.report import OWN, SIMULATED, Analyses

COLUMNS = ["finding", "number", "from"]


def plain_findings(raw: Analyses) -> pd.DataFrame:
    """All findings: ratings (whose), finding, number, from. SIMULATED ratings give none."""
    parts = {
        "paper, counts": published_findings(published.load_scores()),
        "paper, accuracy": decision_findings(published.decision_table()),
    }
    if raw.source != SIMULATED:
        parts["own study" if raw.source == OWN else "paper, raw"] = raw_findings(raw)
    return pd.concat(
        [part.assign(ratings=name) for name, part in parts.items()], ignore_index=True
    )[["ratings", *COLUMNS]]


def published_findings(scores: pd.DataFrame) -> pd.DataFrame:
    """The study's plain findings from the published counts: finding, number, from."""
    cells = study.summarise_scores(scores).astype({"method": str, "construct": str})
    means = cells.pivot(index="construct", columns="method", values="mean")
    overall = means.mean().sort_values()
    best, worst = overall.index[-1], overall.index[0]
    kruskal = study.kruskal_table(scores).set_index("construct")
    dunn = study.dunn_table(scores).set_index(["construct", "pair"])
    effects = report.vda_intervals(scores)
    far = effects.loc[(effects["A"] - 0.5).abs().idxmax()]
    rows = [
        (
            f"{best} has the highest mean on {(means.idxmax(axis=1) == best).sum()} of "
            f"{len(means)} constructs",
            f"mean of the five {overall[best]:.2f}; next "
            f"{overall.index[-2]} {overall.iloc[-2]:.2f}",
            "means",
        ),
        (
            f"{worst} has the lowest mean on "
            f"{(means.idxmin(axis=1) == worst).sum()} of {len(means)} constructs",
            f"mean of the five {overall[worst]:.2f}",
            "means",
        ),
    ]
    for construct, row in kruskal.iterrows():
        rows.append(
            (
                f"{construct} {_verb(row['p'])} between methods",
                f"H = {row['H']:.2f}, p {show_p(row['p'])}, epsilon² = {row['epsilon2']:.3f}",
                "Kruskal-Wallis",
            )
        )
    for construct in kruskal.index[kruskal["p"] < 0.05]:
        for other in ("MT+CF:Unrevised", "MT:Unrevised"):
            p = dunn.loc[construct, f"{other} - MT+CF:Revised"]["p_holm"]
            gain = means.loc[construct, "MT+CF:Revised"] - means.loc[construct, other]
            verb = "differ" if p < 0.05 else "do not clearly differ"
            rows.append(
                (
                    f"MT+CF:Revised and {other} {verb} in {construct}",
                    f"{gain:+.2f} points, Holm p {show_p(p)}",
                    "Dunn",
                )
            )
    word = ("negligible", "small", "medium", "large")[
        np.searchsorted((0.06, 0.14, 0.21), abs(far["A"] - 0.5), side="right")
    ]  # Vargha & Delaney 2000
    rows.append(
        (
            f"The largest difference is {word}: {far['pair']}, {far['construct']}",
            f"A = {far['A']:.3f} [{far['lwr']:.3f}, {far['upr']:.3f}]; 0.5 is none",
            "Vargha-Delaney",
        )
    )
    rows.append(
        (
            "Length goes with the method: revised explanations are the longest",
            ", ".join(f"{name} {value}" for name, value in published.LENGTHS.items()),
            "mean characters",
        )
    )
    return pd.DataFrame(rows, columns=COLUMNS)


def decision_findings(multiverse: pd.DataFrame) -> pd.DataFrame:
    """Which conclusions on accuracy survive every decision about outlying runs."""
    table = multiverse.drop_duplicates("conclusion")
    number = {
        verdict: list(table.loc[table["verdict"] == verdict, "conclusion"])
        for verdict in ("always", "depends", "never")
    }
    decisions = multiverse["specification"].nunique()
    under = "both" if decisions == 2 else f"all {decisions}"
    return pd.DataFrame(
        [
            (
                f"{len(number['always'])} of {len(table)} conclusions on accuracy hold under {under} "
                f"decisions about outlying runs, {len(number['depends'])} depend on them",
                "depending: " + (", ".join(number["depends"]) or "none"),
                "outlier_decisions in 06",
            )
        ],
        columns=COLUMNS,
    )


def raw_findings(raw: Analyses) -> pd.DataFrame:
    """What only raw ratings show: dependence, length, several tests, Quality at equal length."""
    values = (
        pd.concat([raw.tables[name] for name in ("statistics", "mixed", "alpha")])
        .set_index(["statistic", "group", "term"])["value"]
        .sort_index()
    )
    icc = raw.tables["icc"].set_index("construct")["icc"]
    alpha, wilks = values["", "all"], values["npmv", "wilks_lambda"]
    dropped = values["alpha_if_dropped", "all"]
    length = 100 * values["participant", "coef length"]
    beyond = len(raw.ratings) - alpha["n_after"]
    alike = "measure much the same" if alpha["raw_alpha"] >= 0.8 else "are not one thing"
    means = raw.ratings.groupby("method", observed=True)["Quality"].mean().sort_values()
    best, second = means.index[-1], means.index[-2]
    lead = raw.tables["contrasts"].query("lengths == 'as they are'").set_index("pair")["p_holm"]
    lead = lead[[pair for pair in (f"{best}-{second}", f"{second}-{best}") if pair in lead]].item()
    near = "resemble" if icc["Quality"] > 0.05 else "hardly resemble"
    rows = [
        (
            f"{best} has the highest mean Quality, {means.index[0]} the lowest",
            f"{means.iloc[-1]:.2f} and {means.iloc[0]:.2f}",
            "means",
        ),
        (
            f"The lead of {best} over {second} in Quality is "
            + ("shown" if lead < 0.05 else "not shown"),
            f"{means[second]:.2f} on average, Holm p {show_p(lead)}",
            "mixed model",
        ),
        (
            f"Ratings by one person {near} each other",
            f"{icc['Quality']:.0%} of Quality's variance lies between persons",
            "ICC",
        ),
        (
            f"The five constructs {alike}",
            f"alpha = {alpha['raw_alpha']:.2f}; without "
            f"{dropped.idxmin()} {dropped.min():.2f}, without {dropped.idxmax()} "
            f"{dropped.max():.2f}",
            "Cronbach's alpha",
        ),
        (
            f"Rating on all constructs at once {_verb(wilks['p_within'])} between methods",
            f"F = {wilks['F']:.2f}, p {show_p(wilks['p'])}; permuted within persons p "
            f"{show_p(wilks['p_within'])}",
            "Wilks' lambda of ranks",
        ),
        (
            f"{beyond:.0f} of {len(raw.ratings):,} ratings are outliers on Quality",
            "left out of the regression and the mixed models",
            "1.5 IQR",
        ),
    ]
    for random, test in values["lrt"].unstack().iterrows():
        rows.append(
            (
                f"Quality {_verb(test['p'])} between methods at equal length; random "
                f"intercepts of {random.replace('+', ' and ')}",
                f"chi² = {test['chi2']:.1f}, df = {test['df']:.0f}, p {show_p(test['p'])}",
                "likelihood ratio",
            )
        )
    sure = values["participant", "coef length", "p_satt"] < 0.05
    rows.append(
        (
            "At the same method longer explanations are "
            + ("rated differently" if sure else "not clearly rated differently"),
            f"{length['estimate']:+.3f} points per 100 characters "
            f"[{length['lwr']:+.3f}, {length['upr']:+.3f}]",
            "mixed model",
        )
    )
    tests = raw.tables["constructs"].set_index("construct").filter(like="_p_holm")
    for construct, row in tests.iterrows():
        row = row.dropna()  # an ordinal model that did not converge
        rows.append(
            (
                f"{construct}: significant (Holm) by {(row < 0.05).sum()} of {len(row)} tests",
                "Holm p: "
                + ", ".join(
                    f"{name.removesuffix('_p_holm')} {show_p(p)}" for name, p in row.items()
                ),
                "four tests",
            )
        )
    for row in raw.tables["contrasts"].query("lengths == 'equal'").itertuples():
        rows.append(
            (
                f"Quality at equal length, {row.pair}",
                f"{row.estimate:+.2f} [{row.lwr:+.2f}, {row.upr:+.2f}], Holm p "
                f"{show_p(row.p_holm)}",
                "mixed model",
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _verb(p: float) -> str:
    return "differs" if p < 0.05 else "does not clearly differ"
