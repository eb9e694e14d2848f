"""Conditions that come as a table: one row, or one cell of another AnnData, per new cell."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scdit._checks import users_stacklevel
from scdit.conditions._condition import Condition


def conditions_like(
    conditions: Sequence[Condition], table: pd.DataFrame | None, like: AnnData | None
) -> pd.DataFrame | None:
    """The table of conditions that is given, or that of the cells `like` which one is asked for.

    Raises
    ------
    TypeError
        If the table is no data frame, or `like` no AnnData.
    ValueError
        If both are given, a table is empty, or `like` lacks a condition.
    """
    if like is None:
        if table is not None and not isinstance(table, pd.DataFrame):
            raise TypeError(f"conditions must be a DataFrame, got {type(table).__name__}")
        if table is not None and 0 in table.shape:
            raise ValueError("conditions has no rows or no columns")
        if table is not None and not table.columns.is_unique:
            twice = table.columns[table.columns.duplicated()][0]
            raise ValueError(f"conditions has the column {twice!r} twice")
        return table
    if table is not None:
        raise ValueError("give conditions= or like=, not both")
    if not isinstance(like, AnnData):
        raise TypeError(f"like must be an AnnData, got {type(like).__name__}")
    keys = [condition.key for condition in conditions]
    missing = [key for key in keys if key not in like.obs]
    if missing:
        raise ValueError(f"like.obs lacks the conditions {', '.join(missing)}")
    return like.obs[keys]


def names_of_rows(table: pd.DataFrame, taken: np.ndarray) -> pd.Index | None:
    """Names for the cells of a table of conditions: its index, or None where that cannot name them.

    Parameters
    ----------
    table
        The conditions.
    taken
        :func:`name_hashes` of the training cells, whose names new cells must not have.

    Raises
    ------
    ValueError
        If the index has several levels.

    Warns
    -----
    UserWarning
        If the index has names, but some occur twice or belong to training cells.
    """
    if isinstance(table.index, pd.RangeIndex):
        return None
    if isinstance(table.index, pd.MultiIndex):
        raise ValueError(
            "the index of conditions has several levels: call conditions.reset_index(drop=True)"
        )
    names = table.index.astype(str)
    problem = None
    if table.index.hasnans or not names.is_unique:
        problem = "repeats names, or lacks some"
    elif np.isin(name_hashes(names), taken).any():
        problem = "names training cells"
    if problem is None:
        return names
    warnings.warn(
        f"the index of conditions {problem}: the new cells have names of their own",
        UserWarning,
        stacklevel=users_stacklevel(),
    )
    return None


def name_hashes(names: pd.Index) -> np.ndarray:
    """Sorted hashes (n,), int64, of names: enough to tell whether a name is one of them."""
    return np.sort(pd.util.hash_array(names.to_numpy(dtype=object)).view(np.int64))
