"""Long tables of statistics: a row a number, with the columns statistic, group, term, value.

All numbers of a run lie in one such table, statistics.csv, with a column analysis before these.
"""

import pandas as pd


def melt_table(
    wide: pd.DataFrame, statistic: str, keys: list[str], analysis: str | None = None
) -> pd.DataFrame:
    """The numeric columns of a table as rows (statistic, group, term, value); no value, no row.

    group: what the ``keys`` columns say, joined by blanks. ``analysis`` adds that column in front.
    """
    group = wide[keys].astype(str).agg(" ".join, axis=1)
    numbers = wide.drop(columns=keys).select_dtypes(["number", "bool"]).astype(float)
    long = numbers.set_axis(group).stack().dropna()
    long = long.rename_axis(["group", "term"]).rename("value").reset_index()
    long.insert(0, "statistic", statistic)
    return long if analysis is None else stack(analysis, [long])


def melt_values(values: dict[str, float], statistic: str, group: str = "all") -> pd.DataFrame:
    """Numbers by term as rows (statistic, group, term, value)."""
    return pd.DataFrame(
        {
            "statistic": statistic,
            "group": group,
            "term": list(values),
            "value": [float(value) for value in values.values()],
        }
    )


def stack(analysis: str, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Long tables below each other; the first column says what analysis they belong to."""
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "analysis", analysis)
    return table
