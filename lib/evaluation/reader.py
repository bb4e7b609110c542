"""What explanations are worth: what a reader model makes of them, and whether answers follow them.

The reader sees a student's explanation and scores every choice as the continuation of a prompt
(lib.models.likelihood); it never writes. Sources: leakage-adjusted simulatability (LAS), Hase et
al. 2020 (arXiv 2010.04119); counterfactual faithfulness, Wang et al. 2023 (arXiv 2305.01879).
"""

import re

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.common import files, profile
from lib.common.intervals import bootstrap, counts, percentile_interval
from lib.common.profile import Profile
from lib.common.progress import Progress
from lib.evaluation import measures
from lib.evaluation.measures import BY
from lib.models import checkpoints
from lib.questions import release, splits
from lib.questions.mentions import mask
from lib.questions.question import Question, lettered
from lib.students import grid, objectives
from lib.teacher.texts import Corpus, read_written

LABELS = measures.MEASURES | {  # what each measure says, in the order of figures and tables
    "consistency": "share from which a reader gets the student's answer",
    "las": "simulatability adjusted for leakage (LAS)",
    "leak_rate": "share that give the answer away without the question",
    "errors_found_without": "reader tells right from wrong answers without explanation (AUC)",
    "errors_found_with": "reader tells right from wrong answers with explanation (AUC)",
    "agrees_masked": "share from which a reader gets the student's answer, choices masked",
    "followed": "share of answers that follow a rationale for another choice",
    "anyway": "share that choose it with an empty rationale, too",
    "gain": "followed minus anyway",
}
FOUND = [*("read_question", "read_both", "read_explanation"), "p_question", "p_both", "read_masked"]
VIEWS = ("question", "both", "explanation", "masked")
MASK = "___"  # stands for each choice that a masked explanation names
READINGS = ["arm", "size", "seed", "id", "answered", "correct", *FOUND]
RESAMPLES = 500


def teacher_texts(settings: Profile) -> pd.Series:
    """The teacher's explanations of test questions, by id: the published or written ones, else of
    the first ``reader_questions``, written now with the settings of stage 01 (and kept)."""
    if settings.teacher.source == "published":
        table = release.teacher_table(settings.task.name, settings.seed)
        table = table[(table["split"] == "test") & table["explanation"].notna()]
        return table.set_index("id")["explanation"]
    if settings.teacher.source == "written":
        known = read_written(settings.task.name, settings.task.source)
        test = splits.load(settings.task, settings.seed)["test"]
        return pd.Series(
            {q.id: known[q.id]["explanation"] for q in test if q.id in known}, dtype=object
        )
    texts = Corpus(settings, ("test",), settings.evaluation.reader_questions).write("explanation")
    return pd.Series({id: text for (id, _), text in texts.items()}, dtype=object)


def reader_name(settings: Profile) -> str | None:
    """The model that reads: the profile's ``reader``, else its teacher if that is a local one."""
    local = settings.teacher.source != "published" and settings.teacher.engine == "local"
    return settings.evaluation.reader or (settings.teacher.model if local else None)


def readings(settings: Profile, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions on the first ``reader_questions`` joined with what the reader makes of them
    (``read``); computed once. Empty, with a printed line, if there is no reader."""
    name = reader_name(settings)
    if name is None:
        print("This profile names no reader (evaluation.reader), so nobody reads.", flush=True)
        return predictions.head(0).reindex(columns=[*predictions, *FOUND])
    ids = predictions["id"].unique()[: settings.evaluation.reader_questions]
    table = predictions[predictions["id"].isin(ids)].reset_index(drop=True)
    columns = ["id", "question", "choices", "arm", "size", "seed", "answered", "explanation"]
    asked = table[columns].astype(str).values.tolist()
    key = files.key_of([checkpoints.identity(name), VIEWS, asked])
    path = profile.run_folder(settings) / "04_evaluation" / "reader" / f"{key}.parquet"
    if not path.is_file():
        checkpoints.quiet()
        found = read(*checkpoints.load(checkpoints.fetch(name), "auto"), table)
        files.write_parquet(path, found.reset_index(names="row"))  # parquet keeps no index here
    return table.join(pd.read_parquet(path).set_index("row"), how="inner")


def prompt(question: str, choices: list[str], explanation: str, view: str) -> str:
    """What the reader sees: question and choices, with or without the explanation, or choices and
    explanation alone, also with every name and letter of a choice in it masked."""
    if view == "masked":
        explanation = re.sub(r"\([a-h]\) ?", "", explanation, flags=re.IGNORECASE)
        explanation = mask(explanation, choices, [MASK] * len(choices))
    asked = f"Question: {question}\n" if view in ("question", "both") else ""
    explained = "" if view == "question" else f"Explanation: {explanation}\n"
    return f"{asked}Choices: {lettered(choices)}\n{explained}So the answer is"


def read(model, tokenizer, table: pd.DataFrame) -> pd.DataFrame:
    """What the reader chooses for each explanation in each view: FOUND, that is ``read_question``,
    ``read_both``, ``read_explanation`` and ``read_masked`` (index of the choice) and
    ``p_question``, ``p_both`` (probability, normalised over the choices, of the student's answer).

    ``table``: predictions with an explanation and an answer (others are left out); index is kept.
    The view ``question`` is read once a question, whoever answered it.
    """
    from lib.models.likelihood import best, option_scores  # torch, which tables do without

    table = table[table["explanation"].notna() & table["answered"].notna()]
    found = {}
    for view in VIEWS:
        texts = [
            prompt(row["question"], row["choices"], row["explanation"], view)
            for row in table.to_dict("records")
        ]
        choices = dict(zip(texts, table["choices"], strict=True))  # each text once
        prompts = [tokenizer(text)["input_ids"] for text in choices]
        options = [
            [tokenizer(f" {c}.", add_special_tokens=False)["input_ids"] for c in of_text]
            for of_text in choices.values()
        ]
        progress = Progress(f"reader [{view}]", len(prompts), "prompts")
        scores = option_scores(model, prompts, options, progress=progress)
        score_of = dict(zip(choices, scores, strict=True))
        scores = [score_of[text] for text in texts]
        found[f"read_{view}"] = best(scores)
        found[f"p_{view}"] = [
            softmax(row)[answer] for row, answer in zip(scores, table["answered"], strict=True)
        ]
    return pd.DataFrame(found, index=table.index)[FOUND]


def reader_measures(readings: pd.DataFrame, times: np.ndarray | None = None) -> pd.DataFrame:
    """What the reader says of one method's explanations, a row a sample.

    times: how often each explanation is in each sample [samples, explanations]; by default once.
    consistency: share from which, with the question, the reader gets the student's own answer.
    las: mean of [gets it from question and explanation] - [gets it from the question], once over
    explanations that leak and once over the others; of these two the mean, or the one there is.
    leak_rate: share that leak, that is give the answer away without the question.
    errors_found_...: area under the ROC curve by which the reader's trust in the student's answer
    tells right from wrong ones (0.5: chance).
    agrees_masked: share from which, without the question and with every choice's name masked, the
    reader gets the student's own answer; nan where this was not read.
    """
    if times is None:
        times = np.ones((1, len(readings)), int)
    gets = {
        view: (readings[f"read_{view}"] == readings["answered"]).to_numpy(bool)
        for view in VIEWS
        if f"read_{view}" in readings
    }
    gain, leaks = gets["both"].astype(int) - gets["question"], gets["explanation"]
    las = [_shares(times[:, part], gain[part]) for part in (leaks, ~leaks)]
    return pd.DataFrame(
        {
            "consistency": _shares(times, gets["both"]),
            "las": pd.DataFrame(las).mean(),
            "leak_rate": _shares(times, leaks),
            "errors_found_without": _area(times, readings["correct"], readings["p_question"]),
            "errors_found_with": _area(times, readings["correct"], readings["p_both"]),
            "agrees_masked": _shares(times, gets["masked"]) if "masked" in gets else np.nan,
        }
    )


def _shares(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of the values in each sample; nan where it has none."""
    with np.errstate(invalid="ignore"):
        return times @ values / times.sum(axis=1)


def _area(times: np.ndarray, correct: pd.Series, trust: pd.Series) -> np.ndarray:
    """Area under the ROC curve in each sample: of all pairs of a right and a wrong answer, in how
    many the right one is trusted more (equal trust: half); nan without a pair."""
    right, trust = correct.to_numpy(bool), trust.to_numpy(float)
    more = np.greater.outer(trust[right], trust[~right])
    more = more + np.equal.outer(trust[right], trust[~right]) / 2
    with np.errstate(invalid="ignore"):
        won = ((times[:, right] @ more) * times[:, ~right]).sum(axis=1)
        return won / (times[:, right].sum(axis=1) * times[:, ~right].sum(axis=1))


def reader_table(readings: pd.DataFrame) -> pd.DataFrame:
    """A row a method and measure: n, mean, low, high (95 %, bootstrap over questions)."""
    rows = []
    for group, part in readings.groupby(BY, sort=False):
        values = reader_measures(part).iloc[0]
        number, ids = pd.factorize(part["id"])
        drawn = bootstrap(
            lambda drawn, part=part, number=number: reader_measures(part, counts(drawn)[:, number]),
            len(ids),
            RESAMPLES,
        )
        for name, value, samples in zip(values.index, values, drawn.T, strict=True):
            limits = percentile_interval(samples) if len(ids) > 1 else (np.nan, np.nan)
            rows.append((*group, name, len(part), value, *limits))
    return measures.mean_table(rows)


def faithfulness(settings: Profile, trained: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """``following`` of every finished student that was trained on the counterfactual objective, on
    dev questions: id, choice, followed, anyway, arm, size, seed.

    ``trained``: the table of notebook 03; ``texts``: that of notebook 02.
    """
    from lib.students.model import load_student

    rationales = texts.set_index("id")["counterfactuals"]
    dev = splits.load(settings.task, settings.seed)["dev"]
    questions = [q for q in dev if q.id in rationales.index][: settings.evaluation.reader_questions]
    parts = [pd.DataFrame(columns=["id", "choice", "followed", "anyway", "arm", "size", "seed"])]
    for student, folder in grid.finished(settings, trained):
        if "counterfactual" in grid.objective_weights(settings, student):
            checkpoints.quiet()
            found = following(
                *load_student(student.model, folder),
                questions,
                [rationales[q.id] for q in questions],
                settings.training_of(student.variant).tags,
            )
            parts.append(found.assign(arm=student.name, size=student.model.size, seed=student.seed))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def following(
    model,
    tokenizer,
    questions: list[Question],
    rationales: list[list[str | None]],
    tags: str = "words",
) -> pd.DataFrame:
    """Counterfactual faithfulness: does a student's answer follow a rationale for another choice?

    A row a question (id) and wrong choice with a rationale (``rationales``: by choice): followed
    if that choice, given the rationale, is the student's most likely one; anyway if it is so with
    an empty rationale, too. For students of methods with the counterfactual objective.
    """
    from lib.models.likelihood import best, option_scores
    from lib.students.data import Encoder

    encoder = Encoder(tokenizer, model.config.is_encoder_decoder)
    cases = [
        (q, i, texts[i])
        for q, texts in zip(questions, rationales, strict=True)
        for i in q.wrong
        if i < len(texts) and texts[i]
    ]
    answers = [encoder.targets([objectives.answer(c) for c in q.choices]) for q, _, _ in cases]
    table = pd.DataFrame({"id": [q.id for q, _, _ in cases], "choice": [i for _, i, _ in cases]})
    for column, given in (("followed", True), ("anyway", False)):
        inputs = [
            objectives.source("counterfactual", q, text if given else "", tags)
            for q, _, text in cases
        ]
        prompts = encoder.prompts(inputs)
        progress = Progress(f"rationales {'given' if given else 'empty'}", len(cases), "prompts")
        scores = option_scores(model, prompts, answers, progress=progress)
        table[column] = np.array(best(scores)) == table["choice"]
    return table


def faithfulness_table(followed: pd.DataFrame) -> pd.DataFrame:
    """A row a method and measure: the shares that followed the rationale and chose so anyway, and
    the gain, their difference; intervals over questions, each with all its choices and seeds."""
    table = followed.astype({"followed": float, "anyway": float})
    gain = table["followed"] - table["anyway"]
    return measures.means(table.assign(gain=gain), ["followed", "anyway", "gain"])
