"""Whose ratings notebook 05 analyses: those of an own study, the paper's, or SIMULATED ones."""

from IPython.display import Markdown

from lib.human_study import published, report
from lib.human_study.report import OWN, PAPER, SIMULATED
from lib.survey import answers, error_finding, power

PEOPLE = 40  # simulated participants: enough to see what the analyses look like


def analyse(own: str, seed: int) -> report.Analyses:
    """All analyses of the ratings at hand.

    own: folder of answer files or CSV table of an own study, see answers.locate; if empty, or if
    nobody rated, the paper's raw ratings, or SIMULATED ones where those were not downloaded.
    """
    ratings = answers.load_study(own) if own else None
    if ratings is not None:
        return report.analyse_raw(OWN, ratings, seed)
    ratings = published.load_ratings()
    if ratings is not None:
        return report.analyse_raw(PAPER, ratings, seed)
    return report.analyse_raw(SIMULATED, power.simulate_ratings(PEOPLE, seed), seed)


def show_ingest(own: str):
    """What was done with each answer file, or one sentence where there are none."""
    if own and answers.locate(own).is_dir():
        return answers.ingest(answers.locate(own))[1].drop(columns="participant")
    return Markdown(
        "A table of ratings, no answer files."
        if own
        else "No own study: `make survey` builds a page for one, and "
        "`make study RATINGS=folder` analyses its answer files here."
    )


def show_errors(own: str):
    """error_finding.error_table of an own study, or one sentence where nobody looked for errors."""
    path = answers.locate(own) if own else None
    found = answers.ingest(path)[0].get("errors") if path and path.is_dir() else None
    if found is None:
        return Markdown(
            'No answers to this task: `make survey OPTIONS="--task errors"` builds its page.'
        )
    return error_finding.error_table(found).round(3)
