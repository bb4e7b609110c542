"""Does the answer depend on the explanation before it? What changes when that text is changed.

Only of students whose answer follows the explanation (objective factual: CF, rationale-first). All
others explain post hoc by construction: no change of their explanation can change their answer.
Sources: early answering and filler tokens, Lanham et al. 2023 (arXiv 2307.13702); continuous rather
than only binary changes, Zaman & Srivastava, EMNLP 2025 (arXiv 2502.18848).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from lib.common import files, methods, profile
from lib.common.profile import EvaluationSettings, Profile
from lib.common.progress import Progress
from lib.evaluation import measures
from lib.models import checkpoints
from lib.questions import splits
from lib.questions.question import Question
from lib.students import grid, objectives
from lib.students.grid import Student

SHARES = (75, 50, 25, 0)  # percent of the explanation's words that a truncated one keeps
CONDITIONS = ["own", *(f"{share} %" for share in SHARES), "filler", "swapped", "no question"]
FILLER = "..."
NO_QUESTION = "N/A"
CHANGES = ["id", "condition", "change", "kept", "followed"]
COLUMNS = [*CHANGES, "arm", "size", "seed"]


def battery(settings: Profile, trained: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """``changes`` of every finished student whose answer follows its explanation, on the first
    ``reader_questions`` dev questions that have rationales; kept, so computed once.

    A row a student, question and condition: COLUMNS. ``trained``: the table of notebook 03;
    ``texts``: that of notebook 02. A printed line names the arms that have no rows.
    """
    rationales = texts.set_index("id")["counterfactuals"]
    dev = splits.load(settings.task, settings.seed)["dev"]
    questions = [q for q in dev if q.id in rationales.index][: settings.evaluation.reader_questions]
    given = [list(rationales[q.id]) for q in questions]
    parts, others = [pd.DataFrame(columns=COLUMNS)], []
    for student, folder in grid.finished(settings, trained):
        if methods.answer_objective(methods.split_arm(student.arm)[0]) != "factual":
            others.append(student.name)
        elif questions:
            found = _kept(settings, student, folder, questions, given)
            parts.append(found.assign(arm=student.name, size=student.model.size, seed=student.seed))
    if others:
        names = ", ".join(dict.fromkeys(others))
        print(f"Not asked, as no answer follows the explanation there: {names}.", flush=True)
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _kept(
    settings: Profile,
    student: Student,
    folder: Path,
    questions: list[Question],
    rationales: list[list[str | None]],
) -> pd.DataFrame:
    """``changes`` of one student, from disk where they are known for its files and questions."""
    from lib.students.model import load_student

    tags, limits = settings.training_of(student.variant).tags, settings.evaluation
    chosen = limits.model_dump(include={"batch_size", "answer_tokens", "explanation_tokens"})
    weights = files.read_json(folder / "student.json", grid.NOTEBOOK)["files"]
    asked = [[q.id, q.question, q.choices, q.answer] for q in questions]
    key = files.key_of([CONDITIONS, chosen, tags, weights, asked, rationales])
    path = profile.run_folder(settings) / "04_evaluation" / "battery" / f"{key}.parquet"
    if not path.is_file():
        checkpoints.quiet()
        progress = Progress(f"battery {student.label}", len(questions), "questions")
        model = load_student(student.model, folder)
        found = changes(*model, questions, rationales, limits, tags, progress)
        files.write_parquet(path, found)
    return pd.read_parquet(path)


def changes(
    model,
    tokenizer,
    questions: list[Question],
    rationales: list[list[str | None]],
    limits: EvaluationSettings,
    tags: str = "words",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What becomes of a student's answer when its own explanation is changed: CHANGES.

    A row a question (id) and condition: own (all that it wrote before its answer), "75 %" to "0 %"
    (only so many of its words, from the start), filler (as many times "..."), swapped (the
    teacher's rationale, of ``rationales`` by choice, for the first wrong choice that is not the
    student's answer; no row where there is none), no question ("N/A" instead, no explanation).
    Not among them: a paraphrase, which would take another model.

    The student's answer is its most likely choice after its own explanation. ``change``: how its
    normalised log-probability differs from that under own, in nats (``normalised``). ``kept``: 1 if
    it is still the most likely choice, by plain scores. ``followed``: 1 if the swapped rationale's
    choice is that; nan in other conditions. How often the answer is kept without the question is
    what a liking for places or words alone keeps; Bentham et al. 2024 (arXiv 2402.14897) set such a
    share against the kept ones.
    """
    from lib.evaluation.answers import generate, scores, token_limit, without_answer
    from lib.models.likelihood import best

    blank = [replace(q, question=NO_QUESTION) for q in questions]
    inputs, unasked = (
        [objectives.source("factual", q, tags=tags) for q in asked] for asked in (questions, blank)
    )
    limit = token_limit("factual", limits)
    written = generate(model, tokenizer, inputs, limit, limits.batch_size, progress)
    own = [without_answer(text) for text in written]
    places = range(len(questions))
    base = scores(model, tokenizer, unasked, blank, [""] * len(blank))
    before = scores(model, tokenizer, inputs, questions, [*map(lead, own)])
    answers = best(before)
    other = [
        next((j for j in q.wrong if j != answer and j < len(of_q) and of_q[j]), None)
        for q, answer, of_q in zip(questions, answers, rationales, strict=True)
    ]
    cases = [(i, *changed) for i in places for changed in shortened(own[i]).items()]
    cases += [(i, "swapped", rationales[i][other[i]]) for i in places if other[i] is not None]
    after = scores(
        model,
        tokenizer,
        [inputs[i] for i, _, _ in cases],
        [questions[i] for i, _, _ in cases],
        [lead(text) for _, _, text in cases],
    )
    found = [(i, "own", before[i]) for i in places]
    found += [(i, name, row) for (i, name, _), row in zip(cases, after, strict=True)]
    found += [(i, "no question", base[i]) for i in places]
    rows = []
    for i, condition, row in found:
        now, then = normalised(row, base[i]), normalised(before[i], base[i])
        (chosen,) = best([row])
        followed = float(chosen == other[i]) if condition == "swapped" else np.nan
        change = now[answers[i]] - then[answers[i]]
        rows.append((questions[i].id, condition, change, float(chosen == answers[i]), followed))
    return pd.DataFrame(rows, columns=CHANGES)


def shortened(explanation: str) -> dict[str, str]:
    """The explanation's beginnings ("75 %" to "0 %" of its words, rounded down) and its filler."""
    words = explanation.split()
    kept = {f"{share} %": " ".join(words[: len(words) * share // 100]) for share in SHARES}
    return kept | {"filler": " ".join([FILLER] * len(words))}


def lead(explanation: str) -> str:
    """What stands before the answer sentence."""
    return f"{explanation} " if explanation else ""


def normalised(scores: list[float], base: list[float]) -> np.ndarray:
    """Log-probabilities of the choices: log softmax of scores - base, both in nats.

    ``base``: the scores without question and explanation, so that a liking for a place or for words
    counts for nothing (contextual calibration, Zhao et al. 2021, arXiv 2102.09690).
    """
    return log_softmax(np.subtract(scores, base))


def battery_table(battery: pd.DataFrame) -> pd.DataFrame:
    """A row an arm, size and measure ("kept, 50 %", "change, filler", "followed, swapped", ...): n,
    mean, low, high as in ``measures.means``; conditions but own, where nothing changes."""
    parts = [measures.mean_table([])]
    changed = battery[battery["condition"] != "own"]
    for (*_, condition), part in changed.groupby([*measures.BY, "condition"], sort=False):
        names = {name: f"{name}, {condition}" for name in ("kept", "change", "followed")}
        parts.append(measures.means(part.rename(columns=names), names.values()))
    table = pd.concat(parts[1:] or parts, ignore_index=True)
    known = (table["n"] > 0) & (table["measure"] != "change, no question")  # 0 by its definition
    return table[known].reset_index(drop=True)
