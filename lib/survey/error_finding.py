"""Does the explanation help people to spot a wrong answer? The survey's second kind of page.

A participant sees a question and a student's answer, half of the time with the explanation, and
judges whether the answer is right. The page is built and read as that for ratings is
(lib.survey.page, lib.survey.answers). A model is asked the same in lib.evaluation.reader.
"""

import numpy as np
import pandas as pd

from lib.common.intervals import bootstrap, percentile_interval
from lib.common.methods import order_arms

YES = 1  # the score of the first choice
RESAMPLES = 2000


def mark_correct(judgements: pd.DataFrame) -> pd.DataFrame:
    """Judgements with the column ``correct``: whether the judgement agrees with the key.

    A row a page: participant, slot, method, question, length (of what was shown), shown (the
    explanation), right (the student's answer), judged (1 yes, 2 no), sure (1 to 5), and facts.
    """
    return judgements.assign(correct=(judgements["judged"] == YES) == judgements["right"])


def error_table(judgements: pd.DataFrame) -> pd.DataFrame:
    """What explanations do to people's judgements: a row a method (and all) and measure.

    Measures: correct (share of judgements), wrong_found (sensitivity: share of wrong answers judged
    wrong), right_accepted (share of right answers judged right), sure (mean, 1 to 5). Columns:
    method, measure, participants, n_with and n_without explanation (judgements), with_explanation,
    without, difference (with minus without) with low and high, its 95 % percentile bootstrap
    interval over participants, each drawn with all judgements, which keeps with and without paired.
    Draws that lack one of the two are left out; nan below two people.
    """
    methods = order_arms(judgements["method"])
    parts = {name: judgements[judgements["method"] == name] for name in methods}
    if len(methods) > 1:
        parts["all"] = judgements
    rows = []
    for method, part in parts.items():
        measures = {
            "correct": (part, "correct"),
            "wrong_found": (part[~part["right"]], "correct"),
            "right_accepted": (part[part["right"]], "correct"),
            "sure": (part, "sure"),
        }
        for measure, (chosen, value) in measures.items():
            cells = [
                chosen[value].where(chosen["shown"] == shown).groupby(chosen["participant"])
                for shown in (True, False)
            ]
            # A row a participant: sum with, sum without explanation; judgements with, without.
            sums = np.column_stack([cell.sum() for cell in cells]).astype(float)
            counts = np.column_stack([cell.count() for cell in cells])
            n, means = counts.sum(axis=0), _means(sums.sum(axis=0), counts.sum(axis=0))
            interval = _interval(sums, counts)
            rows.append((method, measure, len(sums), *n, *means, means[0] - means[1], *interval))
    columns = "method measure participants n_with n_without with_explanation without difference"
    return pd.DataFrame(rows, columns=[*columns.split(), "low", "high"])


def _interval(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    if len(sums) < 2 or not counts.any(axis=0).all():
        return np.nan, np.nan

    def gain(people):
        means = _means(sums[people].sum(axis=1), counts[people].sum(axis=1))
        return means[:, 0] - means[:, 1]

    return percentile_interval(bootstrap(gain, len(sums), RESAMPLES))


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
