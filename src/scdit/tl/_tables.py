"""Checks of tables of results that somebody passes on."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.api.types import is_numeric_dtype

from scdit._checks import check_class

COLUMNS = ("metric", "group", "value", "floor", "better", "ideal", "n", "note")


def check_table(name: str, table: pd.DataFrame) -> None:
    """Raise unless `table` is one that :func:`scdit.tl.evaluate` returned.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If it lacks columns, or numbers where these belong.
    """
    check_class(name, table, pd.DataFrame)
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise ValueError(
            f"{name} lacks the columns {', '.join(lacking)}: pass the table that scdit.tl.evaluate "
            "returned"
        )
    check_numbers(name, table, ("value", "floor", "n", "sd", "floor_sd"))


def check_numbers(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise ValueError unless those of some columns that `table` has hold numbers."""
    for column in columns:
        if column in table and not is_numeric_dtype(table[column].dtype):
            raise ValueError(f"{name}[{column!r}] must hold numbers, has {table[column].dtype}")
