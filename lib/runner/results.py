"""A run's small results as CSV files in data/results/<profile>: collected once, kept in git, and
enough for every table and figure of its students without a model, a download or the run itself.

``python -m lib.runner.results collect PROFILE`` writes them from a finished run; ``figures`` draws
the paper's figures and those of all collected runs (of one: its name, or ``paper``) in
figures/results.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lib.common import files, paths, profile
from lib.common.errors import UserError, command_line
from lib.common.stage import Stage
from lib.evaluation import accuracy, comparisons, measures, reader, transfer
from lib.evaluation.extraction import is_right
from lib.figures import answers as plots_answers
from lib.figures import study, style, training
from lib.figures.tradeoff import NAMED, tradeoff_figure
from lib.findings import replication, tradeoff
from lib.human_study import constructs, published
from lib.students import grid

STUDENT = ["arm", "size", "seed"]
COLUMNS = {  # file -> columns beside the student's; every number below comes from these files
    "answers": ["id", "gold", "options", "answered", "likeliest", "correct", "likely"],
    "explanations": ["id", *measures.MEASURES],
    "readings": reader.READINGS[3:],
    "faithfulness": ["id", "choice", "followed", "anyway"],
    "losses": ["step", "split", "task", "loss"],
}
PARTS = (*COLUMNS, "transfer", "runs")


def home(name: str) -> Path:
    """Where a profile's collected results are."""
    return paths.ROOT / "data" / "results" / name


def collected() -> list[str]:
    """Names of the profiles with collected results, whole or not."""
    return sorted({path.parent.name for name in PARTS for path in home("").glob(f"*/{name}.csv")})


def collect(settings: profile.Profile) -> Path:
    """Write a finished run's results; UserError says which notebook is missing. Returns the folder.

    ``runs.csv`` has a row a student: accuracy with Wilson's interval, cost, device, commit, and
    the SHA-256 of its weights and of all that it wrote, by which a rerun can be compared.
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
    files.write_csv(folder / "transfer.csv", stage.read_table("04_evaluation", "transfer"))
    files.write_csv(folder / "runs.csv", run_table(settings, trained, predictions))
    return folder


def run_table(
    settings: profile.Profile, trained: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """A row a student: accuracy, cost, threads, commit, and the hashes of its weights and of what
    it wrote (see ``collect``)."""
    origin = []
    for student, folder in grid.finished(settings, trained):
        record = files.read_json(folder / "student.json", "notebooks/03_training.ipynb")
        weights = [name for name in record["files"] if name.endswith(".safetensors")]
        row = {"arm": student.name, "size": student.model.size, "seed": student.seed}
        row |= {"threads": record["threads"], "commit": record["provenance"]["commit"]}
        origin.append(row | {"weights_sha256": record["files"][weights[0]]})
    texts = predictions.groupby(STUDENT)[["id", "prediction", "explanation"]].apply(texts_hash)
    written = texts.rename("texts_sha256").reset_index()
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
    found["summary"] = replication.summary(found, data["runs"])
    found["verdicts"] = replication.verdicts(answers, explained)
    return found


def draw(name: str) -> Path:
    """Tables (CSV) and figures of a profile's collected results in figures/results/<profile>."""
    data = load(name)
    found, stage = tables(data), _stage("04_evaluation", name)
    for table, frame in found.items():
        files.write_csv(stage.figures / "tables" / f"{table}.csv", frame)
    chance = float((1 / data["answers"]["options"]).mean())
    moved = pd.concat([load(other)["transfer"] for other in collected()], ignore_index=True)
    drawn = {
        "student_accuracy": plots_answers.student_accuracy(found["students"], chance=chance),
        "explanation_measures": plots_answers.measure_figure(found["measures"], reader.LABELS),
        "tradeoff": tradeoff_figure(found["points"], NAMED),
        "transfer": plots_answers.heat_map(transfer.cells(transfer.matrix(stage.profile, moved))),
        "loss_curves": training.loss_curves(data["losses"]),
        "training_cost": training.cost_figure(data["runs"]),
    }
    if len(found["differences"]):  # of one arm alone there are none
        drawn["accuracy_differences"] = plots_answers.difference_figure(found["differences"])
    _save(drawn, stage, f"make figures PROFILE={name}", f"{name}, from data/results")
    print(f"{name}: {stage.profile.description}\n")
    for table in ("summary", "verdicts"):
        if len(found[table]):
            print(replication.markdown(found[table]), end="\n\n")
    return stage.figures


def draw_paper() -> Path:
    """The paper's figures from data/published, in figures/results/paper."""
    stage, scores = _stage("05_human_study", "paper"), published.load_scores()
    points = tradeoff.published_points(published.load_cells(), scores)
    drawn = {
        "paper_accuracy": plots_answers.accuracy_figure(published.load_panels()),
        "ratings": study.ratings_figure(constructs.summarise_scores(scores), published.LENGTHS),
        "rating_distribution": study.rating_distribution(published.load_counts()),
        "rating_effects": study.effect_figure(
            constructs.vda_table(scores), "A", "Chance that the first is rated higher (A)", 0.5
        ),
        "outlier_decisions": study.specification_plot(published.decision_table()),
        "paper_tradeoff": tradeoff_figure(points, "Mean of five ratings (1 to 5)", (1, 5)),
    }
    none = dict.fromkeys(("profile", "profile_sha256", "seed", "seeds"))
    _save(drawn, stage, "make figures PROFILE=paper", "the paper, from data/published", **none)
    return stage.figures


def _stage(notebook: str, name: str) -> Stage:
    stage = Stage(notebook, name)
    stage.figures = paths.FIGURES / "results" / name
    style.use_style()
    return stage


def _save(drawn: dict, stage: Stage, command: str, source: str, **more: object) -> None:
    for name, (figure, table) in drawn.items():
        style.save(figure, name, table, stage, title=f"{name} ({source})", command=command, **more)
        plt.close(figure)


def _wanted(name: str | None) -> list[str]:
    """The collected profiles to draw: all, or the named one and those that extend it."""
    if not name:
        return collected()
    found = [other for other in collected() if name in (other, *profile.ancestors(other))]
    if found and name not in found:
        print(f"Of {name} itself nothing is collected; these extend it: {', '.join(found)}.")
    return found or [profile.load(name).name]


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
    if chosen.profile != "paper":
        for name in _wanted(chosen.profile):
            print(f"Figures:  {paths.shown(draw(name))}")
    if chosen.profile in (None, "paper"):
        print(f"Figures:  {paths.shown(draw_paper())}")


if __name__ == "__main__":
    main()
