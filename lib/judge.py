"""A model in a rater's place: how far it agrees with five statements, and whether people agree with it.

``python -m lib.judge PROFILE [--ratings data/raw/answers]`` rates the explanations of a run's reader
questions with its reader model and writes 04_evaluation/judged.csv; with people's ratings of the same
explanations it also prints the rank correlation of each construct. Without that, believe nothing.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib import answers, explanations, likelihood, models, store
from lib.agreement import FOUND, correlate, join_ratings
from lib.errors import UserError, command_line
from lib.progress import Progress
from lib.simulator import reader_prompt
from lib.stage import Stage
from lib.study import CONSTRUCTS, OUTCOMES
from lib.survey_texts import SCALE, STATEMENTS

POINTS = range(1, 6)


def judge_prompt(row: dict, statement: str) -> str:
    """Question, choices, the student's answer and explanation, the statement, and the scale."""
    shown = reader_prompt(row["question"], list(row["choices"]), row["explanation"], "both")
    scale = ", ".join(f"{i} ({SCALE[i - 1].lower()})" for i in POINTS)
    return (f"{shown} {list(row['choices'])[int(row['answered'])]}.\nStatement: {statement}\n"
            f"From {scale} the rating is")


def judge(model, tokenizer, table: pd.DataFrame) -> pd.DataFrame:
    """The expected rating (1 to 5, weighted by the model's probabilities of the five numbers) of each
    explanation for each construct, and Quality, their mean; index as in ``table``.

    ``table``: predictions with an answer and an explanation; others are left out.
    """
    table = table[table["explanation"].notna() & table["answered"].notna()]
    found = pd.DataFrame(index=table.index)
    options = [tokenizer(f" {i}", add_special_tokens=False)["input_ids"] for i in POINTS]
    for name, statement in STATEMENTS:
        prompts = [tokenizer(judge_prompt(row, statement))["input_ids"]
                   for row in table.to_dict("records")]
        scores = likelihood.option_scores(
            model, prompts, [options] * len(prompts), batch_size=16,
            progress=Progress(f"judge [{name}]", len(prompts), "prompts"))
        found[name] = [float(softmax(row) @ np.array(POINTS)) for row in scores]
    found["Quality"] = found[list(CONSTRUCTS)].mean(axis=1)
    return found


def agreement(judged: pd.DataFrame, rated: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of the judge with the mean human rating, a row a construct.

    Both tables have the constructs, Quality and agreement.KEY. Columns and errors as there.
    """
    both = join_ratings(judged, rated, OUTCOMES, "by the judge")
    return pd.DataFrame([(name, *correlate(both[name], both[f"{name}_people"]))
                         for name in OUTCOMES], columns=["construct", *FOUND])


def run(name: str, ratings: str | None) -> None:
    """Judge a run's explanations (see the module's docstring)."""
    stage = Stage("04_evaluation", name)
    predictions = stage.read_table("04_evaluation", "predictions")
    ids = predictions["id"].unique()[:stage.profile.evaluation.reader_questions]
    table = predictions[predictions["id"].isin(ids)].reset_index(drop=True)
    reader = explanations.reader_name(stage.profile)
    if reader is None:
        raise UserError(f"Profile '{name}' names no reader; add `reader` to its evaluation section.")
    models.quiet()
    table["length"] = table["explanation"].str.len()
    judged = table[["id", "arm", "size", "seed", "length"]].join(
        judge(*models.load(models.fetch(reader), "auto"), table), how="inner")
    store.write_csv(stage.folder / "judged.csv", judged)
    print(judged.groupby("arm", sort=False)[[*OUTCOMES]].mean().round(2).to_string())
    rated = answers.load_study(ratings) if ratings else None
    if rated is None:
        print("No ratings by people (--ratings): whether this judge agrees with them is not known.")
        return
    judged = judged.rename(columns={"id": "question", "arm": "method"})
    print(agreement(judged, rated).round(3).to_string(index=False))


@command_line
def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lib.judge", description=__doc__.split("\n\n")[0])
    parser.add_argument("profile")
    parser.add_argument("--ratings", help="folder of answer files, or a CSV table, of an own study")
    chosen = parser.parse_args()
    run(chosen.profile, chosen.ratings)


if __name__ == "__main__":
    main()
