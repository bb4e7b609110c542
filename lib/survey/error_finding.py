"""Does the explanation help people to spot a wrong answer? The survey's second kind of page.

A participant sees a question and a student's answer, half of the time with the explanation, and
judges whether the answer is right. The page is built and read as that for ratings is (lib.survey.page,
lib.survey.answers). A model is asked the same in lib.evaluation.simulator.error_finding.
"""

import numpy as np
import pandas as pd

from lib.common.methods import order_arms

YES = 1  # the score of the first choice
MEASURES = ("correct", "wrong_found", "right_accepted", "sure")
RESAMPLES = 2000
COLUMNS = [
    "method",
    "measure",
    "participants",
    "n_with",
    "n_without",
    "with_explanation",
    "without",
    "difference",
    "low",
    "high",
]


def mark_correct(judgements: pd.DataFrame) -> pd.DataFrame:
    """Judgements with the column ``correct``: whether the judgement agrees with the key.

    A row a page: participant, slot, method, question, length (of what was shown), shown (the
    explanation), right (the student's answer), judged (1 yes, 2 no), sure (1 to 5), and facts.
    """
    return judgements.assign(correct=(judgements["judged"] == YES) == judgements["right"])


def error_table(judgements: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What explanations do to people's judgements: a row a method (and all) and measure.

    Measures: correct (share of judgements), wrong_found (sensitivity: share of wrong answers judged
    wrong), right_accepted (share of right answers judged right), sure (mean, 1 to 5). Columns: see
    COLUMNS; n counts judgements, difference is with minus without explanation; low, high: its 95 %
    percentile bootstrap interval over participants, each drawn with all judgements, which keeps
    with and without paired. Draws that lack one of the two are left out; nan below two people.
    """
    rows = []
    methods = order_arms(judgements["method"])
    for method in [*methods, "all"] if len(methods) > 1 else methods:
        of_method = judgements[judgements["method"].isin(methods if method == "all" else [method])]
        for measure in MEASURES:
            part = of_method
            if measure in ("wrong_found", "right_accepted"):
                part = part[part["right"] == (measure == "right_accepted")]
            value = part["sure" if measure == "sure" else "correct"].astype(float)
            cells = [
                value.where(part["shown"] == shown)
                .groupby(part["participant"])
                .agg(["sum", "count"])
                .to_numpy()
                for shown in (True, False)
            ]
            sums = np.hstack(cells)  # a row a participant: sum and count with, then without
            total = sums.sum(axis=0)
            with_it, without = _mean(total[0], total[1]), _mean(total[2], total[3])
            rows.append(
                (
                    method,
                    measure,
                    len(sums),
                    int(total[1]),
                    int(total[3]),
                    with_it,
                    without,
                    with_it - without,
                    *_interval(sums, seed),
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _interval(sums: np.ndarray, seed: int) -> tuple[float, float]:
    people = len(sums)
    if people < 2:
        return np.nan, np.nan
    times = np.random.default_rng(seed).multinomial(people, [1 / people] * people, RESAMPLES)
    drawn = (times @ sums).T
    gain = _mean(drawn[0], drawn[1]) - _mean(drawn[2], drawn[3])
    gain = gain[np.isfinite(gain)]
    return tuple(np.percentile(gain, [2.5, 97.5])) if len(gain) else (np.nan, np.nan)


def _mean(total, count):
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.true_divide(total, count)
