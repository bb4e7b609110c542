"""Every number of README's findings, and the main ones of data/results/README.md, computed anew
from committed files. Whoever changes a sentence there changes its line here.

A saying is text with a place for each number and a function that computes them; line breaks do not
matter. In README's "What it finds" no other number may stand.
"""

import functools
import re

import pandas as pd
import pytest

from lib.common import paths, profile
from lib.human_study import analysis, constructs, published, reference
from lib.runner import results

README, RESULTS = "README.md", "data/results/README.md"
FREE = r"\[[^\]]*\]\([^)]*\)|^\d+\. |95 %|135M|LLaMA-2-13B"  # links, list numbers, names


@functools.cache
def tables(name: str) -> dict[str, pd.DataFrame]:
    return results.tables(results.load(name))


def claim(pair: str, *columns: str, run: str = "smollm2_gpu") -> list[float]:
    found = tables(run)["claims"].set_index("pair").loc[pair]
    return [found[column] for column in columns or ("ours", "low", "high")]


def student(arm: str, *columns: str, run: str = "smollm2_gpu") -> list[float]:
    return tables(run)["summary"].set_index("arm").loc[arm, list(columns)].tolist()


def measure(
    name: str, arm: str, factor: float = 1, run: str = "smollm2_gpu", table: str = "measures"
) -> list[float]:
    found = tables(run)[table].set_index(["measure", "arm"]).loc[(name, arm)]
    return [factor * found[column] for column in ("mean", "low", "high")]


NEW, ALONE = "smollm2_subset_methods", "listwise:Unrevised, no rationales"
SHUFFLED = "MT:Unrevised, shuffled"
GAP = ("difference", "low", "high")


@functools.cache
def family() -> dict[str, pd.DataFrame]:
    return results.tables(results.new_methods())


def new(arm: str, *columns: str, table: str = "joint", factor: float = 1) -> list[float]:
    """Of the new methods and their controls; by default of lib.findings.joint: accuracy against
    MT's, agreement, arguing against, contrast."""
    found = family()[table].set_index("arm").loc[arm, list(columns)]
    return [factor * value for value in found]


def belongs(arm: str, *columns: str, run: str) -> list[float]:
    return tables(run)["joint"].set_index("arm").loc[arm, list(columns)].tolist()


def gap(a: str, b: str) -> list[float]:
    """Accuracy of b minus that of a, points, among the new methods."""
    pairs = family()["differences"].set_index(["a", "b"])
    return pairs.loc[(a, b), list(GAP)].tolist()


def behind(arm: str) -> list[float]:
    """By how much an arm is behind MT, points."""
    mean, low, high = new(arm, *GAP)
    return [-mean, -high, -low]


def untrained(reading: str, run: str = "smollm2_gpu") -> float:
    return 100 * tables(run)["untrained"].set_index("reading").loc[reading, "accuracy"]


def learned(run: str) -> int:
    (count,) = results.load(run)["runs"]["questions"].unique()
    return int(count)


def first_two(run: str, of: str = "likeliest") -> float:
    """Share of (A) and (B) among CF's most likely choices, or the right answers (of: gold)."""
    answers = results.load(run)["answers"].query("arm == 'CF:Unrevised'")
    return 100 * (answers[of] <= 1).mean()


def changed(measure: str, texts: str) -> pd.Series:
    """A measure of LLaMA-2-13B's texts."""
    table = pd.read_csv(paths.PUBLISHED / "revision_changes.csv").set_index(["measure", "texts"])
    return table.loc[(measure, texts)]


def named(texts: str) -> list[float]:
    """Share of the other choices that LLaMA-2-13B's texts name, with its interval."""
    row = changed("mentions_other_choices", texts)
    return [100 * row[column] for column in ("mean", "low", "high")]


def reproduced() -> tuple[int, int]:
    """Values that R gives, and those recomputed from the published counts alone; all agree."""
    table = reference.compare_with_paper(analysis.analyse_scores(published.load_scores()))
    computed = table[table["ours"].notna()]
    assert computed["agrees"].astype(bool).all()
    return len(table), len(computed)


def contrast() -> float:
    means = constructs.summarise_scores(published.load_scores())
    means = means[means["construct"] == "Contrastiveness"].set_index("method")["mean"]
    return means["MT+CF:Revised"] - means["MT:Unrevised"]


MT_CF, MT_LABEL = "MT:Unrevised - CF:Unrevised", "MT:Unrevised - label-only"
SAYINGS = [  # where, text, its numbers
    (
        README,
        "All {:d} values that R gives are reproduced; {:d} of them without the raw ratings",
        reproduced,
    ),
    (
        README,
        "On all {:,d} usable questions of CommonsenseQA our 135M students repeat it: MT is ahead of"
        " CF by {:.1f} points [{:.1f}, {:.1f}]",
        lambda: [learned("smollm2_gpu"), *claim(MT_CF)],
    ),
    (
        README,
        "MT is ahead of students of labels alone by {:.1f} points [{:.1f}, {:.1f}]",
        lambda: claim(MT_LABEL),
    ),
    (
        README,
        "the same model is right in {:.1f} % at best; MT is {:.1f} points above that",
        lambda: [
            (best := max(100 * tables("smollm2_gpu")["untrained"]["accuracy"])),
            student("MT:Unrevised", "accuracy")[0] - best,
        ],
    ),
    (
        README,
        "explanations name {:.1f} % of the other choices, its revisions {:.1f} %; students of the"
        " revisions name {:.1f} %, the others {:.1f} %",
        lambda: [
            *(named(texts)[0] for texts in ("Unrevised", "Revised")),
            *student("MT+CF:Revised", "named"),
            *student("MT+CF:Unrevised", "named"),
        ],
    ),
    (
        README,
        "(Revisions are also longer, {:.0f} characters for {:.0f}.)",
        lambda: [changed("characters", texts)["mean"] for texts in ("Revised", "Unrevised")],
    ),
    (README, "{:.2f} points above MT's in contrastiveness", lambda: [contrast()]),
    (
        README,
        "With {:,d} questions CF seems to learn a position: (A) or (B) is its choice in {:.0f} % of"
        " cases. With {:,d} it chooses (A) in {:.0f} %",
        lambda: [
            learned("smollm2_subset"),
            first_two("smollm2_subset"),
            learned("smollm2_gpu"),
            *student("CF:Unrevised", "first"),
        ],
    ),
    (
        README,
        "MT's explanations name the student's own answer first in {:.1f} %, and {:.1f} % of"
        " MT+CF:Revised's argue against it. With {:d} questions, students that score each choice"
        " alone and then explain the best one name theirs in {:.1f} % [{:.1f}, {:.1f}], and are"
        " right more often than MT by {:.1f} points [{:.1f}, {:.1f}]. Reading a rationale for each"
        " choice first is no help: {:.1f} points [{:.1f}, {:.1f}] above MT.",
        lambda: [
            *belongs("MT:Unrevised", "agreement", run="smollm2_gpu"),
            *belongs("MT+CF:Revised", "against", run="smollm2_gpu"),
            learned(NEW),
            *new(ALONE, "agreement", "agreement_low", "agreement_high"),
            *new(ALONE, *GAP),
            *new("listwise:Unrevised", *GAP),
        ],
    ),
    (
        README,
        "with {:d} questions MT on other questions' texts is {:.1f} points [{:.1f}, {:.1f}] behind",
        lambda: [learned(NEW), *behind(SHUFFLED)],
    ),
    (
        RESULTS,
        "is {:.1f} points [{:.1f}, {:.1f}] more often right than MT, and names its own answer first"
        " in {:.1f} %. It names {:.1f} % of the other choices.",
        lambda: [*new(ALONE, *GAP), *new(ALONE, "agreement", "contrast")],
    ),
    (
        RESULTS,
        "names {:.1f} % of the others (MT+CF:Revised of `smollm2_subset`: {:.1f} %), but its own"
        " answer first in {:.1f} %.",
        lambda: [
            *new("listwise:Revised, no rationales", "contrast"),
            *student("MT+CF:Revised", "named", run="smollm2_subset"),
            *new("listwise:Revised, no rationales", "agreement"),
        ],
    ),
    (
        RESULTS,
        "is right in {:.1f} %, without them in {:.1f} %; the difference is open ({:.1f} points"
        " [{:.1f}, {:.1f}])",
        lambda: [
            *new("listwise:Unrevised", "accuracy", table="summary"),
            *new(ALONE, "accuracy", table="summary"),
            *gap("listwise:Unrevised", ALONE),
        ],
    ),
    (
        RESULTS,
        "is {:.1f} points [{:.1f}, {:.1f}] from the first and names its own answer first in"
        " {:.1f} %",
        lambda: [
            *gap("listwise:Unrevised", "listwise:Unrevised, second round"),
            *new("listwise:Unrevised, second round", "agreement"),
        ],
    ),
    (
        RESULTS,
        "its explanations are of something else) is {:.1f} points [{:.1f}, {:.1f}] behind MT",
        lambda: behind(SHUFFLED),
    ),
    (
        RESULTS,
        "MT is ahead of label-only by {:.1f} points",
        lambda: claim(MT_LABEL)[:1],
    ),
    (
        RESULTS,
        "Students that learn from revised texts name {:.1f} % of the other choices, the others"
        " {:.1f} to {:.1f} %",
        lambda: [
            student(arm, "named")[0] for arm in ("MT+CF:Revised", "CF:Unrevised", "MT+CF:Unrevised")
        ],
    ),
    (
        RESULTS,
        "LAS {:+.2f} [{:.2f}, {:.2f}], MT {:.2f} [{:.2f}, {:.2f}]",
        lambda: [*measure("las", "MT+CF:Revised"), *measure("las", "MT:Unrevised")],
    ),
    (
        RESULTS,
        "{:.1f} points [{:.1f}, {:.1f}] more often than an empty one, MT+CF {:.1f} [{:.1f},"
        " {:.1f}], MT+CF:Revised {:.1f} [{:.1f}, {:.1f}]",
        lambda: [
            value
            for arm in ("CF:Unrevised", "MT+CF:Unrevised", "MT+CF:Revised")
            for value in measure("gain", arm, 100)
        ],
    ),
    (
        RESULTS,
        "it is behind by {:.1f} points instead of {:.1f}",
        lambda: claim(MT_CF, "likely", "ours"),
    ),
    (
        RESULTS,
        "training gives MT {:.1f} points, label-only {:.1f}",
        lambda: [
            student(arm, "accuracy")[0] - untrained("each choice alone, minus its prior")
            for arm in ("MT:Unrevised", "label-only")
        ],
    ),
    (
        RESULTS,
        "With {:d} questions CF chooses (A) or (B) in {:.0f} % of cases, with {:,d} in {:.0f} %"
        " (right answers: {:.0f} %)",
        lambda: [
            learned("smollm2_subset"),
            first_two("smollm2_subset"),
            learned("smollm2_gpu"),
            first_two("smollm2_gpu"),
            first_two("smollm2_gpu", "gold"),
        ],
    ),
    (
        RESULTS,
        "{:.1f} points [{:.1f}, {:.1f}] more often than an empty one, instead of {:.1f} [{:.1f},"
        " {:.1f}]",
        lambda: [
            value
            for run in ("smollm2_wrong_choice", "smollm2_subset")
            for value in measure("gain", "CF:Unrevised", 100, run)
        ],
    ),
    (
        RESULTS,
        "Its explanations name {:.1f} % [{:.1f}, {:.1f}] of them at 241 characters, its revisions"
        " {:.1f} % [{:.1f}, {:.1f}]",
        lambda: named("Unrevised") + named("Revised"),
    ),
    (
        RESULTS,
        "costs {:.1f} points of what is written: in {:.0f} % of cases no answer can be read. By the"
        " most likely choice it is {:.1f} points behind MT",
        lambda: [
            -new("rationale-first:Unrevised", "difference")[0],
            *student("rationale-first:Unrevised", "unanswered", run=NEW),
            student("MT:Unrevised", "likeliest", run=NEW)[0]
            - student("rationale-first:Unrevised", "likeliest", run=NEW)[0],
        ],
    ),
    (
        RESULTS,
        "A swapped rationale is followed in {:.0f} % [{:.0f}, {:.0f}].",
        lambda: measure("followed, swapped", "rationale-first:Unrevised", 100, NEW, "battery"),
    ),
    (
        RESULTS,
        "CF's most likely choice is (A) in {:.0f} % of cases",
        lambda: student("CF:Unrevised", "first", run="selftaught"),
    ),
]


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def read(name: str) -> str:
    return (paths.ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("where", "text", "numbers"), SAYINGS, ids=[s[1][:40] for s in SAYINGS])
def test_a_sentence_says_what_the_files_give(where, text, numbers):
    assert text.format(*numbers()) in plain(read(where))


def test_no_finding_has_a_number_that_is_not_computed():
    section = read(README).split("\n## What it finds\n")[1].split("\n## ")[0]
    rest = plain(re.sub(FREE, "", section, flags=re.MULTILINE))
    for where, text, numbers in SAYINGS:
        if where == README:
            rest = rest.replace(plain(re.sub(FREE, "", text.format(*numbers()))), "")
    assert not re.findall(r"[^.;]*\d[^.;]*", rest)


def test_positions_stand_in_the_results():
    table = results.position_markdown(results.position_bias())
    assert table in read(RESULTS), "make figures"


def test_the_profile_of_readme_can_be_run(tmp_path):
    (found,) = re.findall(
        r"```yaml\n# notebooks/profiles/mine.yaml\n(.*?)```", read(README), re.DOTALL
    )
    path = tmp_path / "mine.yaml"
    path.write_text(found, encoding="utf-8")
    assert profile.parse(path).task.source == "folder:/data/my_questions"
