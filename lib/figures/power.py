"""How the power of a study grows with its participants."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.figures import style


def power_figure(table: pd.DataFrame):
    """Power against participants, a line an outcome, with its 95 % Wilson intervals.

    table: of lib.survey.power.power_table. Outcomes differ in marker as well as colour, and stand a
    little beside each other; a power of 0.8 is dashed. Table: unchanged.
    """
    figure, ax = plt.subplots(figsize=(5, 3.4))
    people, outcomes = sorted(table["participants"].unique()), table["outcome"].unique()
    beside = style.spread(len(outcomes), 0.3 * min(np.diff(people), default=1))
    for i, (outcome, part) in enumerate(table.groupby("outcome", sort=False)):
        # Where every study found the effect, rounding can put the limit a hair below the share.
        error = [(part["power"] - part["lwr"]).clip(0), (part["upr"] - part["power"]).clip(0)]
        look = {"color": f"C{i}", "linewidth": 1.2}
        if outcome == "Quality":
            look = {"color": "black", "linewidth": 2}
        ax.errorbar(
            part["participants"] + beside[i],
            part["power"],
            error,
            marker="os^Dvx"[i % 6],
            capsize=2,
            label=outcome,
            **look,
        )
    ax.axhline(0.8, linestyle="--", color=style.GREY, linewidth=1)
    ax.set(
        ylim=(0, 1.02),
        xticks=people,
        xlabel="Participants (12 ratings each)",
        ylabel="Power of the likelihood-ratio test",
        title=f"{table['data'].iloc[0]} studies with the published effects\n"
        f"{style.count(table['repetitions'])} studies a point, 95 % Wilson intervals",
    )
    ax.legend(loc="lower right")
    return figure, table
