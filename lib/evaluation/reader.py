"""What this run's explanations are worth: their measures, what a reader makes of them, and whether
answers follow them; a row a method, with intervals over questions."""

import numpy as np
import pandas as pd

from lib.common import files, profile
from lib.common.profile import Profile
from lib.evaluation import answers, measures, simulator
from lib.models import checkpoints
from lib.questions import splits
from lib.students import grid

BY = ["arm", "size"]
READ = {  # what the reader and the swapped rationales say, after measures.MEASURES
    "consistency": "share from which a reader gets the student's answer",
    "las": "simulatability adjusted for leakage (LAS)",
    "leak_rate": "share that give the answer away without the question",
    "errors_found_without": "reader tells right from wrong answers without explanation (AUC)",
    "errors_found_with": "reader tells right from wrong answers with explanation (AUC)",
    "followed": "share of answers that follow a rationale for another choice",
    "anyway": "share that choose it with an empty rationale, too",
    "gain": "followed minus anyway",
}
LABELS = measures.MEASURES | READ
READINGS = [
    "arm",
    "size",
    "seed",
    "id",
    "answered",
    "correct",
    "read_question",
    "read_both",
    "read_explanation",
    "p_question",
    "p_both",
]


def teacher_texts(settings: Profile) -> pd.Series:
    """The teacher's explanations of test questions, by id: the published ones, else of the first
    ``reader_questions``, written now with the settings of stage 01 (and kept)."""
    if settings.teacher.source == "published":
        from lib.questions import release

        table = release.teacher_table(settings.task.name, settings.seed)
        table = table[(table["split"] == "test") & table["explanation"].notna()]
        return table.set_index("id")["explanation"]
    from lib.teacher.texts import Corpus

    found = Corpus(settings, ("test",), settings.evaluation.reader_questions).write("explanation")
    return pd.Series({id: text for (id, _), text in found.items()}, dtype=object)


def reader_name(settings: Profile) -> str | None:
    """The model that reads: the profile's ``reader``, else its teacher if that is a local one."""
    local = settings.teacher.source == "generate" and settings.teacher.engine == "local"
    return settings.evaluation.reader or (settings.teacher.model if local else None)


def readings(settings: Profile, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions on the first ``reader_questions`` joined with what the reader makes of them
    (``simulator.readings``); computed once. Empty, with a printed line, if there is no reader."""
    name = reader_name(settings)
    if name is None:
        print("This profile names no reader (evaluation.reader), so nobody reads.", flush=True)
        return predictions.head(0).reindex(columns=[*predictions, *READINGS[6:]])
    ids = predictions["id"].unique()[: settings.evaluation.reader_questions]
    table = predictions[predictions["id"].isin(ids)].reset_index(drop=True)
    columns = ["id", "arm", "size", "seed", "answered", "explanation"]
    key = files.key_of([checkpoints.identity(name), table[columns].astype(str).values.tolist()])
    path = profile.run_folder(settings) / "04_evaluation" / "reader" / f"{key}.parquet"
    if not path.is_file():
        checkpoints.quiet()
        model, tokenizer = checkpoints.load(checkpoints.fetch(name), "auto")
        found = simulator.readings(model, tokenizer, table)
        files.write_parquet(path, found.reset_index(names="row"))  # parquet keeps no index here
    return table.join(pd.read_parquet(path).set_index("row"), how="inner")


def reader_measures(table: pd.DataFrame) -> dict[str, float]:
    """All that the reader says of one method's explanations (see lib.evaluation.simulator)."""
    las = simulator.simulatability(table)
    return {
        "consistency": simulator.consistency(table),
        "las": las["las"],
        "leak_rate": las["leak_rate"],
        "errors_found_without": simulator.error_finding(table, "question"),
        "errors_found_with": simulator.error_finding(table, "both"),
    }


def reader_table(read: pd.DataFrame, resamples: int = 500) -> pd.DataFrame:
    """A row a method and measure: n, mean, low, high (95 %, percentile bootstrap over questions)."""
    rows = []
    for group, part in read.groupby(BY, sort=False):
        rng = np.random.default_rng(0)
        of_id = [np.flatnonzero(part["id"] == id) for id in part["id"].unique()]
        again = pd.DataFrame(
            [
                reader_measures(
                    part.iloc[
                        np.concatenate(
                            [of_id[i] for i in rng.integers(len(of_id), size=len(of_id))]
                        )
                    ]
                )
                for _ in range(resamples if len(of_id) > 1 else 0)
            ]
        )
        for name, value in reader_measures(part).items():
            low, high = again[name].quantile([0.025, 0.975]) if len(again) else (np.nan, np.nan)
            rows.append((*group, name, len(part), value, low, high))
    return pd.DataFrame(rows, columns=[*BY, "measure", "n", "mean", "low", "high"])


def faithfulness(settings: Profile, trained: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """A row a student, dev question and wrong choice whose rationale the teacher wrote: whether the
    answer followed it (``simulator.following``). Students without the counterfactual task are left out.

    ``texts``: the table of notebook 02.
    """
    rows = texts.set_index("id")["counterfactuals"]
    questions = [q for q in splits.load(settings.task, settings.seed)["dev"] if q.id in rows.index]
    questions = questions[: settings.evaluation.reader_questions]
    parts = []
    for student, folder in grid.finished(settings, trained):
        if "counterfactual" not in grid.task_weights(settings, student):
            continue
        checkpoints.quiet()
        found = simulator.following(
            *answers.load_student(student, folder),
            questions,
            [rows[q.id] for q in questions],
            settings.training_of(student.variant).tags,
        )
        parts.append(found.assign(arm=student.name, size=student.model.size, seed=student.seed))
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["id", "choice", "followed", "anyway", "arm", "size", "seed"])
    )


def faithfulness_table(followed: pd.DataFrame) -> pd.DataFrame:
    """A row a method: the shares that followed the rationale and chose so anyway, and the gain, their
    difference; intervals over questions, each with all its wrong choices and seeds."""
    table = followed.astype({"followed": float, "anyway": float})
    rows = []
    for group, part in table.assign(gain=table["followed"] - table["anyway"]).groupby(
        BY, sort=False
    ):
        rows += [
            (*group, name, *measures.mean_over_questions(part[name], part["id"]))
            for name in ("followed", "anyway", "gain")
        ]
    return pd.DataFrame(rows, columns=[*BY, "measure", "n", "mean", "low", "high"])


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """A table of means as rows analysis, statistic, group, term, value."""
    long = table.assign(group=table["arm"] + " " + table["size"], statistic=table["measure"]).melt(
        id_vars=["group", "statistic"], value_vars=["n", "mean", "low", "high"], var_name="term"
    )
    return long.assign(analysis="explanations")


def all_measures(settings: Profile, predictions: pd.DataFrame) -> pd.DataFrame:
    """Every explanation with every measure of ``measures.MEASURES``."""
    return measures.explanation_measures(predictions, teacher_texts(settings))
