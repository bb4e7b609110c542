"""A run's small results as CSV files in data/results/<profile>: collected once, kept in git, and
enough for every table and figure of its students without a model, a download or the run itself.

``python -m lib.runner.results collect PROFILE`` writes them from a finished run; ``figures`` draws
the paper's figures and those of all collected runs (of one: its name, or ``paper``) in
figures/results.
"""

import argparse
import contextlib
import functools
import io
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.methods import order_arms
from lib.common.stage import Stage, read_table
from lib.evaluation import accuracy, causal, comparisons, measures, reader, transfer
from lib.evaluation.extraction import is_right
from lib.figures import answers as plots_answers
from lib.figures import study, style, training
from lib.figures.texts import objectives_figure, revision_changes
from lib.figures.tradeoff import NAMED, RATED, hero_figure, own_answer_figure, tradeoff_figure
from lib.findings import joint, replication, tradeoff
from lib.human_study import analysis, constructs, published, reference
from lib.students import grid, objectives
from lib.teacher import prompt

STUDENT = ["arm", "size", "seed"]
COLUMNS = {  # file -> columns beside the student's; every number below comes from these files
    "answers": ["id", "gold", "options", "answered", "likeliest", "correct", "likely"],
    "explanations": ["id", *measures.MEASURES],
    "readings": reader.READINGS[3:],
    "faithfulness": ["id", "choice", "followed", "anyway"],
    "losses": ["step", "split", "task", "loss"],
}
PARTS = (*COLUMNS, "transfer", "runs")
WHERE_THERE = ("untrained", "battery", "information")  # parts that older or smaller runs lack
HERO = "smollm2_gpu"  # whose claims README's figure shows
NEW = "smollm2_subset_methods"  # the new methods; with those that extend it: the same questions
LEARNED = {  # train questions of runs that were collected before runs.csv had the column questions
    **dict.fromkeys(["smollm2_esnli", "smollm2_subset", "smollm2_wrong_choice"], 640),
    "smollm2_gpu": 8628,
}


def home(name: str) -> Path:
    """Where a profile's collected results are."""
    return paths.ROOT / "data" / "results" / name


def collected() -> list[str]:
    """Names of the profiles with collected results, whole or not."""
    return sorted({path.parent.name for name in PARTS for path in home("").glob(f"*/{name}.csv")})


def collect(settings: profile.Profile) -> Path:
    """Write a finished run's results; UserError says which notebook is missing. Returns the folder.

    ``runs.csv`` has a row a student: accuracy with Wilson's interval, train questions, cost,
    device, commit, and the SHA-256 of its weights and of all that it wrote, by which a rerun can be
    compared.
    """
    stage = Stage("04_evaluation", settings.name)
    trained = stage.read_table("03_training", "students")
    predictions = stage.read_table("04_evaluation", "predictions")
    likely = [*map(is_right, predictions["likeliest"], predictions["gold"], predictions["choices"])]
    parts = {
        "answers": predictions.assign(options=predictions["choices"].map(len), likely=likely),
        "explanations": stage.read_table("04_evaluation", "explanations"),
        "readings": stage.read_table("04_evaluation", "readings"),
        "faithfulness": stage.read_table("04_evaluation", "faithfulness"),
        "losses": grid.histories(settings, trained),
    }
    folder = home(settings.name)
    for name, table in parts.items():
        table = table[[*STUDENT, *COLUMNS[name]]]
        flags = {column: int for column in table if table[column].dtype == bool}
        files.write_csv(folder / f"{name}.csv", table.astype(flags).round(4))
    for name in ("transfer", *WHERE_THERE):
        table = stage.read_table("04_evaluation", name)
        if len(table):
            files.write_csv(folder / f"{name}.csv", table)
    files.write_csv(folder / "runs.csv", run_table(settings, trained, predictions))
    return folder


def run_table(
    settings: profile.Profile, trained: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """A row a student: accuracy, train questions, cost, threads, commit, and the hashes of its
    weights and of what it wrote (see ``collect``)."""
    texts = read_table(settings, "02_critique_revision", "teacher")
    train, origin = (texts["split"] == "train").sum(), []
    for student, folder in grid.finished(settings, trained):
        record = files.read_json(folder / "student.json", "notebooks/03_training.ipynb")
        weights = [name for name in record["files"] if name.endswith(".safetensors")]
        row = {"arm": student.name, "size": student.model.size, "seed": student.seed}
        row["questions"] = max(1, round(settings.training_of(student.variant).share * train))
        row |= {"threads": record["threads"], "commit": record["provenance"]["commit"]}
        origin.append(row | {"weights_sha256": record["files"][weights[0]]})
    wrote = predictions.groupby(STUDENT)[["id", "prediction", "explanation"]].apply(texts_hash)
    written = wrote.rename("texts_sha256").reset_index()
    table = accuracy.student_table(predictions).merge(trained.drop(columns="folder"), on=STUDENT)
    return table.merge(pd.DataFrame(origin), on=STUDENT).merge(written, on=STUDENT)


def texts_hash(predictions: pd.DataFrame) -> str:
    """SHA-256 of one student's id, prediction and explanation as JSON, by question id."""
    return files.sha256_bytes(predictions.sort_values("id").to_json(orient="values").encode())


def load(name: str) -> dict[str, pd.DataFrame]:
    """The collected files of a profile; UserError if there are none or one is missing."""
    if name not in collected():
        raise UserError(
            f"No results of profile '{name}' are collected in data/results; there are "
            f"{', '.join(collected()) or 'none'}. (`make reproduce PROFILE={name}` runs it, "
            f"`make results PROFILE={name}` collects it then.)"
        )
    data = {}
    for file in PARTS:
        path = home(name) / f"{file}.csv"
        if not path.is_file():
            raise UserError(f"{paths.shown(path)} is missing; restore it with git.")
        data[file] = pd.read_csv(path, dtype={"size": str, "id": str})
    for file in WHERE_THERE:
        path = home(name) / f"{file}.csv"
        if path.is_file():
            data[file] = pd.read_csv(path, dtype={"size": str, "id": str})
    if "questions" not in data["runs"]:
        data["runs"]["questions"] = LEARNED.get(name, np.nan)
    data["transfer"].insert(0, "profile", name)
    data["answers"]["correct"] = data["answers"]["correct"].astype(bool)
    return data


def tables(data: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every table of notebooks 04 and 06 about students, from the collected files alone."""
    answers, explained = data["answers"], data["explanations"]
    students = accuracy.student_table(answers)
    means = [
        measures.means(explained),
        reader.reader_table(data["readings"]),
        reader.faithfulness_table(data["faithfulness"]),
    ]
    found = {
        "students": students,
        "accuracy": comparisons.bootstrap_accuracy(answers),
        "likelihood": comparisons.bootstrap_accuracy(answers, "likely"),
        "letters": accuracy.letter_table(answers),
        "named": comparisons.bootstrap_accuracy(explained, replication.NAMED),
        "mcnemar": comparisons.pairwise(answers),
        "differences": comparisons.differences(answers),
        "measures": pd.concat(means, ignore_index=True),
        "points": tradeoff.student_points(students, explained),
        "transfer": transfer.cells(data["transfer"]),
    }
    if "agrees" in explained:  # collected before it was measured: not
        found["agreement"] = comparisons.bootstrap_accuracy(explained, "agrees")
        found["own_answer"] = joint.agreement_points(answers, explained)
        found["joint"] = joint.joint(answers, explained)
    found["summary"] = replication.summary(found, data["runs"])
    found["claims"] = replication.claims(answers, explained)
    if "battery" in data:
        found["battery"] = causal.battery_table(data["battery"])
    return found | {name: data[name] for name in ("untrained", "information") if name in data}


def position_bias() -> pd.DataFrame:
    """accuracy.position_bias of all collected runs of five choices a question, by profile; only of
    label-only and the paper's methods, without controls."""
    parts = []
    for name in collected():
        data = load(name)
        answers = data["answers"].merge(data["runs"][[*STUDENT, "questions"]], on=STUDENT)
        answers["arm"] = answers["arm"].str.replace(", share .*", "", regex=True)
        answers = answers[[not joint.has_new([arm]) and "," not in arm for arm in answers["arm"]]]
        if len(answers) and (answers["options"] == 5).all():
            parts.append(accuracy.position_bias(answers).assign(profile=name))
    return pd.concat(parts, ignore_index=True).sort_values(["questions", "profile"])


def new_methods() -> dict[str, pd.DataFrame]:
    """The collected files of the new methods and their controls as those of one run: they have the
    same questions, steps and untrained student (of the first)."""
    names = [NEW, *(name for name in collected() if NEW in profile.ancestors(name))]
    first, *others = [load(name) for name in names]
    for part in {*first} - {"untrained"}:
        first[part] = pd.concat([first[part], *(run[part] for run in others if part in run)])
    return first


def position_markdown(table: pd.DataFrame) -> str:
    """The shares of (A) of ``position_bias`` with intervals as a table in text, a row a run."""
    first = table[table["letter"] == "A"].to_dict("records")
    arms = order_arms({row["arm"] for row in first})
    rows = {}
    for row in first:
        cells = rows.setdefault((f"{row['questions']:,}", row["profile"], f"{row['gold']:.0f}"), {})
        cells[row["arm"]] = f"{row['share']:.0f} [{row['low']:.0f}, {row['high']:.0f}]"
    lines = [["train questions", "run", *arms, "right answers"], ["---"] * (len(arms) + 3)]
    for (questions, run, gold), cells in rows.items():
        lines.append([questions, f"`{run}`", *(cells.get(arm, "–") for arm in arms), gold])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_tables(found: dict[str, pd.DataFrame]) -> list[str]:
    """The tables of a run as data/results/README.md shows them: students, their explanations and
    costs, the untrained student, the paper's claims, and of runs with methods that the paper lacks
    whether these are as accurate as MT and explain their own answers."""
    both = found.get("joint", pd.DataFrame(columns=["arm"]))
    shown = [
        (found["summary"], replication.SUMMARY),
        (found["summary"], replication.COSTS),
        (found.get("untrained", pd.DataFrame()), replication.UNTRAINED),
        (found["claims"], replication.VERDICTS),
        (both if joint.has_new(both["arm"]) else both.head(0), joint.JOINT),
    ]
    return [replication.markdown(table, cells) for table, cells in shown if len(table)]


def draw(name: str) -> Path:
    """Tables (CSV) and figures of a profile's collected results in figures/results/<profile>."""
    data = load(name)
    found, stage = tables(data), _stage("04_evaluation", name)
    for table, frame in found.items():
        files.write_csv(stage.figures / "tables" / f"{table}.csv", frame)
    chance = float((1 / data["answers"]["options"]).mean())
    paper = found["summary"].get("paper_770M", pd.Series(dtype=float))
    paper = paper.set_axis(found["summary"].loc[paper.index, "arm"]).dropna().to_dict()
    drawn = {
        "student_accuracy": plots_answers.student_accuracy(
            found["accuracy"], found["students"], chance, paper, found.get("untrained")
        ),
        "loss_curves": training.loss_curves(data["losses"]),
        "training_cost": training.cost_figure(data["runs"]),
    }
    if len(found["differences"]):  # of one arm alone there are none
        drawn["accuracy_differences"] = plots_answers.difference_figure(found["differences"])
    if len(found["claims"]):
        drawn["claims"] = plots_answers.claims_figure(found["claims"])
    if found["points"]["quality"].notna().sum() > 2:  # arms that explain
        drawn["tradeoff"] = tradeoff_figure(found["points"], NAMED)
        if "own_answer" in found and found["own_answer"]["quality"].notna().any():
            drawn["own_answer"] = own_answer_figure(found["own_answer"])
            drawn["support"] = plots_answers.support_figure(found["measures"])
        drawn["explanation_measures"] = plots_answers.measure_figure(found["measures"])
        if transfer.carries_over(found["transfer"]):
            drawn["transfer"] = plots_answers.heat_map(found["transfer"])
    _save(drawn, stage, f"make figures PROFILE={name}", f"{name}, from data/results")
    print(f"{name}: {stage.profile.description}\n")
    for table in markdown_tables(found):
        print(table, end="\n\n")
    return stage.figures


def draw_paper() -> Path:
    """The paper's figures from data/published, in figures/results/paper."""
    stage, scores = _stage("05_human_study", "paper"), published.load_scores()
    cells, means = published.load_cells(), constructs.summarise_scores(scores)
    p = constructs.dunn_table(scores)[["construct", "pair", "p_holm"]]
    revision = pd.read_csv(paths.PUBLISHED / "revision_changes.csv")
    example = prompt.read("minicqa")["examples"][0]  # the published texts are not ours to show
    pair = {"question": example["question"], "explanation": example["draft"]}
    pair["revision"] = example["revision"]
    drawn = {
        "paper_accuracy": study.accuracy_figure(published.load_panels()),
        "paper_axes": study.paper_axes(cells, means),
        "paper_gamma": study.gamma_figure(*published.load_gamma()),
        "paper_revision": (revision_changes(revision, pair), revision),
        "paper_tradeoff": tradeoff_figure(tradeoff.published_points(cells, scores), *RATED),
        "ratings": study.ratings_figure(means, published.LENGTHS),
        "rating_distribution": study.rating_distribution(published.load_counts()),
        "rating_effects": study.effect_figure(
            constructs.vda_table(scores).merge(p), "A", "Chance that the first is rated higher", 0.5
        ),
        "outlier_decisions": study.specification_plot(published.decision_table()),
        "reproduction": study.reproduction_figure(
            reference.compare_with_paper(analysis.analyse_scores(scores))
        ),
    }
    none = dict.fromkeys(("profile", "profile_sha256", "seed", "seeds"))
    _save(drawn, stage, "make figures PROFILE=paper", "the paper, from data/published", **none)
    return stage.figures


def draw_overview() -> Path:
    """What stands across runs, in figures/results/overview: README's figures (also in data/results:
    hero.png, objectives.png) and position bias."""
    stage, data = _stage("06_tradeoff", HERO), load(HERO)
    claims = replication.claims(data["answers"], data["explanations"])
    stage.figures = stage.figures.with_name("overview")
    points = tradeoff.published_points(published.load_cells(), published.load_scores())
    bias = position_bias()
    print(f"The most likely choice is (A), %\n\n{position_markdown(bias)}\n")
    bias = bias[~bias["profile"].isin(["cpu", "selftaught"])]  # other questions and teachers
    drawn_choice = bias["profile"] == "smollm2_wrong_choice"
    bias = bias.assign(arm=bias["arm"].mask(drawn_choice, bias["arm"] + ", wrong choice drawn"))
    drawn = {
        "hero": hero_figure(points, *RATED, claims, "SmolLM2-135M"),
        "objectives": objectives_figure(objectives.describe()),
        "position_bias": plots_answers.position_figure(bias),
    }
    new = tables(new_methods())
    points = new["own_answer"]
    shown = ~points["arm"].str.contains("shuffled|second round")  # in the table
    drawn["own_answer"] = own_answer_figure(points[shown].reset_index(drop=True))
    print(*markdown_tables(new), sep="\n\n", end="\n\n")
    _save(drawn, stage, "make figures", "data/results and data/published")
    for name in ("hero", "objectives"):
        image = (stage.figures / f"{name}.png").read_bytes()
        files.write_bytes(home(f"{name}.png"), image)
    return stage.figures


def _stage(notebook: str, name: str) -> Stage:
    stage = Stage(notebook, name)
    stage.figures = paths.FIGURES / "results" / name
    style.use_style()
    return stage


def _save(drawn: dict, stage: Stage, command: str, source: str, **more: object) -> None:
    for name, (figure, table) in drawn.items():
        style.save(figure, name, table, stage, source=source, command=command, **more)
        plt.close(figure)


def _wanted(name: str | None) -> list[str]:
    """The collected profiles to draw: all, the named one, or if it is not there what extends it."""
    if not name or name in collected():
        return [name] if name else collected()
    found = [other for other in collected() if name in profile.ancestors(other)]
    if found:
        print(f"Of {name} itself nothing is collected; these extend it: {', '.join(found)}.")
    return found or [profile.load(name).name]


def _told(drawing: Callable[[], Path]) -> str:
    """What a drawing prints, and where its figures are."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        print(f"Figures:  {paths.shown(drawing())}")
    return told.getvalue()


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.runner.results", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("action", choices=["collect", "figures"])
    parser.add_argument("profile", nargs="?", help="default (figures): all that are collected")
    chosen = parser.parse_args()
    if chosen.action == "collect":
        print(f"Results:  {paths.shown(collect(profile.load(chosen.profile or 'cpu')))}")
        return
    drawings = [draw_paper] if chosen.profile in (None, "paper") else []  # the longest first
    drawings += [] if chosen.profile else [draw_overview]
    if chosen.profile != "paper":
        drawings += [functools.partial(draw, name) for name in _wanted(chosen.profile)]
    workers = min(len(drawings), os.cpu_count() or 1)
    ignored = (signal.SIGINT, signal.SIG_IGN)  # ctrl-C is answered once, here
    with ProcessPoolExecutor(workers, initializer=signal.signal, initargs=ignored) as pool:
        for told in pool.map(_told, drawings):
            print(told, end="", flush=True)


if __name__ == "__main__":
    main()
