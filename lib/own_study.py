"""Notebook 05 on a study of one's own, on simulated ratings, and for planning one."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lib import answers, power, study_report


def choose_ratings(own: str) -> pd.DataFrame | None:
    """The ratings of ``own`` (folder of answer files, or a CSV), else the paper's, or None."""
    return answers.load_study(own) if own else study_report.available_ratings()


def of_paper(raw: dict[str, pd.DataFrame], own: str) -> dict[str, pd.DataFrame]:
    """The analyses if they are of the paper's ratings, else nothing to compare with R."""
    return {} if own else raw


def show_ingest(own: str):
    """What was done with each answer file, or one sentence where there is no own study."""
    from IPython.display import Markdown

    if not own:
        return Markdown("No own study: `make survey` builds a page for one, and "
                        "`make study RATINGS=folder` analyses its answer files here.")
    report = answers.ingest(own)[1] if Path(own).is_dir() else pd.DataFrame()
    return report.drop(columns="participant", errors="ignore")


def simulated_if_needed(ratings: pd.DataFrame | None, seed: int) -> dict[str, pd.DataFrame]:
    """All analyses of SIMULATED ratings where there are no real ones, else nothing."""
    if ratings is not None:
        return {}
    return study_report.analyse_raw(power.simulate_ratings(117, seed), seed=seed)


def show_simulated(raw: dict[str, pd.DataFrame], name: str):
    """One table of the simulated ratings, labelled, or a sentence where real ratings are shown."""
    from IPython.display import Markdown

    if not raw:
        return Markdown("Real ratings are shown above; nothing is simulated.")
    return raw[name].style.set_caption("SIMULATED ratings: not results").format(precision=3)


def draw_power(table: pd.DataFrame):
    """Figure and table of power against participants at the published effects (SIMULATED)."""
    figure, axes = plt.subplots(figsize=(5, 3.4))
    shown = table[table["effect"] == 1]
    power.plot_power(shown, axes)
    return figure, shown
