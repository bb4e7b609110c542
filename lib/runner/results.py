"""A run's small results as CSV files in data/results/<profile>: collected once, kept in git, and enough
for every table and figure without a model, a download or the run itself.

``python -m lib.runner.results collect PROFILE`` writes them from a finished run; ``make figures`` draws the
paper's figures and those of all collected runs (``PROFILE=name``: of one, ``paper``: the paper's) in figures/results.
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
from lib.figures import study, style, tradeoff, training
from lib.findings import replication
from lib.human_study import published, report
from lib.students import grid

STUDENT = ["arm", "size", "seed"]
COLUMNS = {  # file -> columns beside the student's; every number below comes from these files
    "answers": ["id", "gold", "options", "answered", "likeliest", "correct", "likely"],
    "explanations": ["id", *measures.MEASURES],
    "readings": reader.READINGS[3:],
    "faithfulness": ["id", "choice", "followed", "anyway"],
    "losses": ["step", "split", "task", "loss"],
}


def home(name: str) -> Path:
    """Where a profile's collected results are."""
    return paths.ROOT / "data" / "results" / name


def collected() -> list[str]:
    """Names of the profiles with collected results."""
    return sorted(path.parent.name for path in home("").glob("*/answers.csv"))


def collect(settings: profile.Profile) -> Path:
    """Write a finished run's results; UserError says which notebook is missing. Returns the folder.

    ``runs.csv`` has a row a student: accuracy with Wilson's interval, cost, device, commit, and the
    SHA-256 of its weights and of all it wrote (id, answer, explanation), by which a rerun can be compared.
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
        files.write_csv(folder / f"{name}.csv", table.astype(flags).round(4), keep_if_same=True)
    files.write_csv(folder / "transfer.csv", stage.read_table("04_evaluation", "transfer"))
    files.write_csv(folder / "runs.csv", run_table(settings, trained, predictions))
    return folder


def run_table(
    settings: profile.Profile, trained: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """A row a student: accuracy, cost, threads, commit, and the hashes of its weights and of what
    it wrote (see ``collect``)."""
    origin = []
    for s, folder in grid.finished(settings, trained):
        record = files.read_json(folder / "student.json", "notebooks/03_training.ipynb")
        weights = [
            digest for name, digest in record["files"].items() if name.endswith(".safetensors")
        ]
        origin.append(
            (
                s.name,
                s.model.size,
                s.seed,
                record["threads"],
                record["provenance"]["commit"],
                *weights,
            )
        )
    origin = pd.DataFrame(origin, columns=[*STUDENT, "threads", "commit", "weights_sha256"])
    written = [(*key, texts_hash(part)) for key, part in predictions.groupby(STUDENT, sort=False)]
    return (
        accuracy.student_table(predictions)
        .merge(trained.drop(columns="folder"), on=STUDENT)
        .merge(origin, on=STUDENT)
        .merge(pd.DataFrame(written, columns=[*STUDENT, "texts_sha256"]), on=STUDENT)
    )


def texts_hash(predictions: pd.DataFrame) -> str:
    """SHA-256 of one student's answers and explanations as JSON, by question id."""
    rows = predictions.sort_values("id")[["id", "prediction", "explanation"]]
    return files.sha256_bytes(rows.to_json(orient="values").encode())


def load(name: str) -> dict[str, pd.DataFrame]:
    """The collected files of a profile; UserError if there are none or a column is missing."""
    folder, found = home(name), {}
    if name not in collected():
        raise UserError(
            f"No results of profile '{name}' are collected in data/results; there are "
            f"{', '.join(collected()) or 'none'}. (`make reproduce PROFILE={name}` runs it, "
            f"`make results PROFILE={name}` collects it then.)"
        )
    for file in (*COLUMNS, "transfer", "runs"):
        path = folder / f"{file}.csv"
        if not path.is_file():
            raise UserError(f"{paths.shown(path)} is missing; restore it with git.")
        found[file] = pd.read_csv(path, dtype={"size": str, "id": str})
        lacking = {*STUDENT, *COLUMNS.get(file, [])} - set(found[file])
        if lacking:
            raise UserError(
                f"{paths.shown(path)} lacks the column(s) {', '.join(sorted(lacking))}; "
                "restore it with git."
            )
    found["transfer"].insert(0, "profile", name)
    found["answers"]["correct"] = found["answers"]["correct"].astype(bool)
    return found


def tables(data: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every table of notebooks 04 and 06 about students, from the collected files alone."""
    answers, explained = data["answers"], data["explanations"]
    students = accuracy.student_table(answers)
    means = pd.concat(
        [
            measures.means(explained, reader.BY),
            reader.reader_table(data["readings"]),
            reader.faithfulness_table(data["faithfulness"]),
        ],
        ignore_index=True,
    )
    found = {
        "students": students,
        "accuracy": comparisons.bootstrap_accuracy(answers),
        "likelihood": comparisons.bootstrap_accuracy(answers, "likely"),
        "letters": accuracy.letter_table(answers),
        "named": comparisons.bootstrap_accuracy(explained, replication.NAMED),
        "mcnemar": comparisons.pairwise(answers),
        "differences": comparisons.differences(answers),
        "measures": means,
        "points": tradeoff.student_points(students, explained),
        "transfer": transfer.cells(data["transfer"]),
    }
    return found | {
        "summary": replication.summary(found, data["runs"]),
        "verdicts": replication.verdicts(answers, explained),
    }


def draw(name: str) -> Path:
    """Tables (CSV) and figures of a profile's collected results in figures/results/<profile>."""
    data = load(name)
    found, stage = tables(data), _stage("04_evaluation", name)
    for table, frame in found.items():
        files.write_csv(stage.figures / "tables" / f"{table}.csv", frame, keep_if_same=True)
    chance = float((1 / data["answers"]["options"]).mean())
    moved = pd.concat([load(other)["transfer"] for other in collected()], ignore_index=True)
    drawn = {
        "student_accuracy": plots_answers.student_accuracy(found["students"], chance=chance),
        "explanation_measures": plots_answers.measure_figure(found["measures"], reader.LABELS),
        "tradeoff": tradeoff.tradeoff_figure(found["points"], tradeoff.NAMED),
        "transfer": transfer.heat_map(transfer.matrix(stage.profile, moved)),
        "loss_curves": training.loss_curves(data["losses"]),
        "training_cost": training.cost_figure(data["runs"]),
    }
    if len(found["differences"]):  # of one arm alone there are none
        drawn["accuracy_differences"] = plots_answers.difference_figure(found["differences"])
    _save(drawn, stage, f"make figures PROFILE={name}", f"{name}, from data/results")
    shown = [
        replication.markdown(found[table]) for table in ("summary", "verdicts") if len(found[table])
    ]
    print(f"{name}: {stage.profile.description}", *shown, sep="\n\n", end="\n\n")
    return stage.figures


def draw_paper() -> Path:
    """The paper's figures from data/published, in figures/results/paper."""
    stage, cells = _stage("05_human_study", "paper"), accuracy.published_cells()
    scores = published.load_scores()
    points = tradeoff.published_points(cells[cells["panel"] == "all runs"], scores)
    drawn = {
        "paper_accuracy": plots_answers.accuracy_figure(cells),
        "ratings": study.ratings_figure(scores, published.LENGTHS),
        "rating_distribution": study.rating_distribution(published.load_counts()),
        "rating_effects": study.effect_figure(
            report.vda_intervals(scores), "A", "Chance that the first is rated higher (A)", 0.5
        ),
        "outlier_decisions": study.specification_plot(published.decision_table()),
        "paper_tradeoff": tradeoff.tradeoff_figure(points, "Mean of five ratings (1 to 5)", (1, 5)),
    }
    _save(
        drawn,
        stage,
        "make figures PROFILE=paper",
        "the paper, from data/published",
        profile=None,
        profile_sha256=None,
        seed=None,
        seeds=None,
    )
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
    found = [
        other
        for other in collected()
        if name in (other, *profile.ancestors(profile.load(other).name))
    ]
    if name not in found and found:
        print(
            f"Of {name} itself nothing is collected; what follows extends it: {', '.join(found)}."
        )
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
    folders = [] if chosen.profile == "paper" else [draw(name) for name in _wanted(chosen.profile)]
    folders += [draw_paper()] if chosen.profile in (None, "paper") else []
    for folder in folders:
        print(f"Figures:  {paths.shown(folder)}")


if __name__ == "__main__":
    main()
