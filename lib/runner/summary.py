"""What a finished run found, in few rows and lines, from the tables that its notebooks wrote."""

from pathlib import Path

import pandas as pd

from lib.common import profile
from lib.common.profile import Profile

TABLES = {  # what is read, and by which name
    "accuracy": "04_evaluation/accuracy_bootstrap.csv",
    "trained": "03_training/students.csv",
    "students": "04_evaluation/students.csv",
    "untrained": "04_evaluation/untrained.csv",
    "claims": "06_tradeoff/claims.csv",
    "ratings": "05_human_study/findings.csv",
    "standings": "06_tradeoff/findings.csv",
    "reference": "05_human_study/comparison_with_r.csv",
    "predictions": "04_evaluation/predictions.parquet",
}
PERCENT = ["accuracy", "low", "high"]
VERDICTS = {"yes": "holds", "no": "fails", "open": "open"}  # as human_study.findings writes them
MOST = 7  # students in the terminal


def read(settings: Profile, name: str) -> pd.DataFrame:
    """One of ``TABLES``; empty while it is not written."""
    path = profile.run_folder(settings) / TABLES[name]
    if not path.is_file():
        return pd.DataFrame()
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"size": str})


def rows(table: pd.DataFrame) -> list[dict]:
    """A table's rows, None where there is no value."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def is_tiny(settings: Profile) -> bool:
    """Whether a student has random weights, so that its numbers mean nothing."""
    return any(student.model.startswith("tiny:") for student in settings.students)


def chance(settings: Profile) -> float | None:
    """Expected accuracy of guessing, in percent."""
    predictions = read(settings, "predictions")
    return None if predictions.empty else 100 * (1 / predictions["choices"].map(len)).mean()


def students(settings: Profile) -> list[dict]:
    """A row an arm and size: label, n, accuracy with its 95 % interval, and ``seeds``, the
    accuracy of each, all in percent; untrained students (``trained`` False) follow."""
    table, each = read(settings, "accuracy"), read(settings, "students")
    if table.empty or each.empty:
        return []
    seeds = each.groupby(["arm", "size"])["accuracy"].apply(list).rename("each").reset_index()
    table = table.merge(seeds, on=["arm", "size"]).assign(trained=True)
    table["label"] = table["arm"] + (
        " (" + table["size"] + ")" if table["size"].nunique() > 1 else ""
    )
    untrained = read(settings, "untrained")
    if len(untrained):
        names = "untrained, " + untrained["reading"]
        fewer = untrained["n"] < table["n"].max()
        names += (", " + untrained["n"].astype(str) + " questions").where(fewer, "")
        if untrained["size"].nunique() > 1:
            names += " (" + untrained["size"] + ")"
        untrained = untrained.assign(label=names, trained=False)
    whole = pd.concat([table, untrained], ignore_index=True)
    whole[PERCENT] *= 100
    whole["seeds"] = [
        [100 * one for one in each] if isinstance(each, list) and len(each) > 1 else []
        for each in whole.pop("each")
    ]
    return rows(whole[["label", "n", *PERCENT, "seeds", "trained"]])


def claims(settings: Profile) -> list[dict]:
    """The paper's claims on this run, as findings.replication.claims gives them."""
    return rows(read(settings, "claims"))


def ratings(settings: Profile) -> list[dict]:
    """Findings of the paper's human study: finding, number, verdict."""
    table = read(settings, "ratings")
    return rows(table.assign(verdict=table["holds"].map(VERDICTS))) if len(table) else []


def points(row: dict, whose: str = "") -> str:
    """A difference with its interval: +26.1 [+17.2, +35.0]; ``whose`` "paper_" for the paper's."""
    value = row.get("paper" if whose else "ours")
    low, high = row.get(f"{whose}low"), row.get(f"{whose}high")
    if value is None:
        return ""
    return f"{value:+.1f}" + (f" [{low:+.1f}, {high:+.1f}]" if low is not None else "")


def count(found: list[dict]) -> str:
    """How many of some findings hold, are open and fail: 2 of 5 hold, 3 are open."""
    n = pd.Series([row["verdict"] for row in found]).value_counts()
    said = [f"{n.get('holds', 0)} of {len(found)} hold"]
    said += [f"{n['open']} open"] if n.get("open") else []
    said += [f"{n['fails']} fail"] if n.get("fails") else []
    return ", ".join(said)


def findings(settings: Profile) -> dict[str, str]:
    """What is found in a sentence each: by this run, by the paper's ratings, by the trade-off."""
    told = {}
    if ours := claims(settings):
        first, asked = ours[0], [row for row in ours if "not asked" not in row["claim"]]
        told["This run"] = (
            f"of the paper's claims {count(asked)}; {first['pair']}: {points(first)} points"
        )
        told["This run"] += f" (paper {points(first, 'paper_')})" if points(first, "paper_") else ""
    if rated := ratings(settings):
        held = [row for row in rated if row["verdict"] == "holds"]
        best = [row for row in held if "rated above" in row["finding"]] or held
        told["Ratings"] = f"of the paper's findings {count(rated)}" + (
            f"; {best[0]['finding']}: {best[0]['number']}" if best else ""
        )
    standings = read(settings, "standings")
    if len(standings):
        best = standings[standings["above_chance"] & standings["standing"].str.startswith("on ")]
        names = best.groupby("source")["student"].agg(", ".join).to_dict()
        told["Trade-off"] = "; ".join(
            f"{source}: {names.get(source, 'none')}" for source in standings["source"].unique()
        )
        told["Trade-off"] = "beaten by none in both accuracy and explanations: " + told["Trade-off"]
    return told


def agreement(settings: Profile) -> str:
    """How many of R's statistics of the paper are recomputed, and agree; empty before 05."""
    table = read(settings, "reference")
    if table.empty:
        return ""
    agree, computed = int(table["agrees"].eq(True).sum()), int(table["ours"].notna().sum())
    said = f"{agree} of {len(table)} statistics that R gives are recomputed and agree"
    if agree < computed:
        said += f", {computed - agree} do not"
    return said + ("" if computed == len(table) else f" (make data: all {len(table)})")


def lines(settings: Profile, index: Path) -> list[str]:
    """The end of a run, for the terminal."""
    told, everyone = [], students(settings)
    trained = [row for row in everyone if row["trained"]]
    untrained = [row["accuracy"] for row in everyone if not row["trained"]]
    if trained:
        known = [f"chance {chance(settings):.1f}"]
        known += [f"untrained at most {max(untrained):.1f}"] if untrained else []
        told.append(
            f"Accuracy on {trained[0]['n']:,.0f} questions, % [95 % interval]; {', '.join(known)}"
        )
    width = max((len(row["label"]) for row in trained), default=0)
    for row in trained[:MOST]:
        interval = f"[{row['low']:.1f}, {row['high']:.1f}]"
        told.append(f"  {row['label']:{width}}  {row['accuracy']:5.1f} {interval}")
    if len(trained) > MOST:
        told.append(f"  and {len(trained) - MOST} more students in the report")
    if is_tiny(settings):
        told.append("  These students have random weights: their numbers mean nothing.")
    told += [f"{name:10} {sentence}" for name, sentence in findings(settings).items()]
    if said := agreement(settings):
        told.append(f"{'Paper':10} {said}")
    told.append(f"{'Open':10} {index.resolve().as_uri()}")
    following = "make reproduce (the same with a real language model; `make` says how long)"
    if not is_tiny(settings):
        following = (
            f"make survey PROFILE={settings.name} (people rate these explanations); "
            "make lab (change a notebook)"
        )
    return [*told, f"{'Next':10} {following}"]
