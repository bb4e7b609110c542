"""Accuracy as tables: by student, by reading rule, by the letter of the answer, by variant."""

import itertools

import pandas as pd

from lib.common import paths
from lib.common.intervals import wilson
from lib.common.profile import Profile
from lib.evaluation import comparisons
from lib.evaluation.extraction import RULES, is_right
from lib.questions.question import LETTERS

STUDENT = ["arm", "size", "seed"]
BIAS = ["questions", "arm", "size", "letter", "n", "seeds", "share", "low", "high", "gold"]
VARIANTS = ["source", *STUDENT, "variant", "value", "accuracy", "low", "high"]


def student_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row a student: n, correct, unanswered, accuracy with its 95 % Wilson interval."""
    answers = predictions.assign(unanswered=predictions["answered"].isna())
    table = answers.groupby(STUDENT, sort=False).agg(
        n=("correct", "size"), correct=("correct", "sum"), unanswered=("unanswered", "sum")
    )
    low, high = wilson(table["correct"], table["n"])
    return table.assign(accuracy=table["correct"] / table["n"], low=low, high=high).reset_index()


def by_rule(predictions: pd.DataFrame) -> pd.DataFrame:
    """``student_table`` under every rule of lib.evaluation.extraction, with the column rule.

    The rule "likelihood" takes the most likely choice instead of a text.
    """
    parts = []
    for rule in [*RULES, "likelihood"]:
        answered = predictions["likeliest"].tolist()
        if rule in RULES:
            answered = [*map(RULES[rule], predictions["prediction"], predictions["choices"])]
        correct = [*map(is_right, answered, predictions["gold"], predictions["choices"])]
        read = predictions.assign(answered=pd.array(answered, dtype="Int64"), correct=correct)
        parts.append(student_table(read).assign(rule=rule))
    table = pd.concat(parts).sort_index(kind="stable", ignore_index=True)  # students as they come
    table.insert(3, "rule", table.pop("rule"))
    return table


def letter_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """How often each letter, A, B and so on, is the most likely choice of an arm's students
    (percent), below the share of right answers there: whether a student learned a position.

    predictions: arm, size, id, gold, likeliest (both count from 0).
    """
    gold = predictions.drop_duplicates("id")
    gold = gold.assign(arm="(right answers)", size="", likeliest=gold["gold"])
    both = pd.concat([gold, predictions])
    shares = both.groupby(["arm", "size"], sort=False)["likeliest"].value_counts(normalize=True)
    table = 100 * shares.unstack(fill_value=0.0).sort_index(axis=1)
    table.columns = [LETTERS[int(position)] for position in table]
    return (
        both[["arm", "size"]]
        .drop_duplicates()
        .join(table, on=["arm", "size"])
        .reset_index(drop=True)
    )


def position_bias(answers: pd.DataFrame) -> pd.DataFrame:
    """How often (A) and (B) are the most likely choice, against the number of questions that
    students learned from: questions, arm, size, letter, n, seeds, share, low, high (bootstrap
    interval), and gold, the letter's share among the right answers (all percent).

    answers: arm, size, seed, id, gold, likeliest (both count from 0), and questions, how many the
    student was trained on.
    """
    parts = []
    for (questions, part), index in itertools.product(answers.groupby("questions"), (0, 1)):
        chosen = part.assign(chosen=part["likeliest"] == index)
        table = comparisons.bootstrap_accuracy(chosen, "chosen")
        gold = (part.drop_duplicates("id")["gold"] == index).mean()
        table = table.rename(columns={"accuracy": "share"}).assign(gold=gold, letter=LETTERS[index])
        table[["share", "low", "high", "gold"]] *= 100
        parts.append(table.assign(questions=questions))
    return pd.concat(parts, ignore_index=True)[BIAS]


def chance(predictions: pd.DataFrame) -> float:
    """Expected accuracy of guessing: the mean of 1 / number of choices."""
    return float((1 / predictions["choices"].map(len)).mean())


def varied(settings: Profile) -> str | None:
    """The one training setting, a number, in which the profile's variants differ, or None."""
    names = {name for changes in settings.variants.values() for name in changes}
    if len(names) != 1:
        return None
    (name,) = names
    values = [getattr(settings.training_of(variant), name) for variant in settings.variants]
    return name if all(isinstance(value, int | float) for value in values) else None


def variant_table(settings: Profile, students: pd.DataFrame) -> pd.DataFrame:
    """A row a student: VARIANTS (value: of the varied setting, if there is one; shares); for gamma
    also the authors' values (T5-large, CommonsenseQA), which have no intervals.

    ``students``: the table of ``student_table``.
    """
    name, parts = varied(settings), students["arm"].str.partition(", ")
    table = students.assign(arm=parts[0], variant=parts[2], source="this run")
    if name:
        values = {v: float(getattr(settings.training_of(v), name)) for v in settings.variants}
        table["value"] = table["variant"].map(values)
    if name == "gamma":
        theirs = pd.read_csv(paths.PUBLISHED / "gamma_ablation.csv")[["gamma", "accuracy"]]
        theirs = theirs.rename(columns={"gamma": "value"}).assign(
            arm="MT+CF:Unrevised",
            size="770M",
            variant="gamma " + theirs["gamma"].astype(str),
            source="the paper (T5-large, CommonsenseQA)",
        )
        table = pd.concat([table, theirs], ignore_index=True)
    return table[[column for column in VARIANTS if column in table]]
