"""One notebook's place in a run: its profile, its folder, the tables it writes and needs."""

import sys
from pathlib import Path

import pandas as pd

from lib.common import files, paths, profile, provenance
from lib.common.errors import UserError

STATISTICS = ["analysis", "statistic", "group", "term", "value"]


def read_table(settings: profile.Profile, notebook: str, name: str) -> pd.DataFrame:
    """A table that a notebook wrote (csv or parquet); UserError says which one makes it."""
    path = profile.run_folder(settings) / notebook / f"{name}.csv"
    if path.is_file():
        return pd.read_csv(path)
    if path.with_suffix(".parquet").is_file():
        return pd.read_parquet(path.with_suffix(".parquet"))
    if "google.colab" in sys.modules:  # no make, and perhaps a new machine for each notebook
        how = "run that notebook first, with drive=True in both and the same profile."
    else:
        how = (
            f"run notebooks/{notebook}.ipynb with profile '{settings.name}' first, or "
            f"`make reproduce PROFILE={settings.name}`."
        )
    raise UserError(
        f"{paths.shown(path)} (or .parquet), which notebook {notebook} writes, is missing; {how}"
    )


class Stage:
    """What a notebook opens first: ``stage = Stage("04_evaluation", profile)``.

    ``folder``: data/runs/<profile>/<notebook>, this stage's outputs. ``figures``:
    figures/<profile>. Raises UserError if the profile is unknown or wrong.
    """

    def __init__(self, notebook: str, profile_name: str):
        self.notebook = notebook
        self.profile = profile.load(profile_name)
        self.run = profile.run_folder(self.profile)
        self.folder = self.run / notebook
        self.figures = paths.FIGURES / self.profile.name

    def save_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write ``<folder>/<name>.csv``; an identical file is left untouched."""
        return files.write_csv(self.folder / f"{name}.csv", table)

    def read_table(self, notebook: str, name: str) -> pd.DataFrame:
        """Another stage's table, see ``read_table``."""
        return read_table(self.profile, notebook, name)

    def save_statistics(self, table: pd.DataFrame) -> Path:
        """Write this stage's statistics and rebuild the run's ``statistics.csv`` from all stages.

        ``table`` has the columns analysis, statistic, group, term, value; full precision.
        """
        self.save_table("statistics", table[STATISTICS])
        parts = [pd.read_csv(path) for path in sorted(self.run.glob("*/statistics.csv"))]
        whole = pd.concat(parts, ignore_index=True)
        return files.write_csv(self.run / "statistics.csv", whole)

    def provenance(self, **more: object) -> dict:
        """What stands beside every figure of this stage."""
        settings = self.profile.model_dump(mode="json")
        return provenance.stamp(
            **{
                "notebook": f"notebooks/{self.notebook}.ipynb",
                "profile": self.profile.name,
                "profile_sha256": files.key_of(settings),
                "seed": self.profile.seed,
                "seeds": list(self.profile.seeds),
                "command": f"make reproduce PROFILE={self.profile.name}",
                **more,
            }
        )
