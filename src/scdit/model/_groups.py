"""Two groups of cells to compare, from what the user says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scdit._checks import check_rows, did_you_mean, listed, shown

Rows: TypeAlias = str | Sequence[int] | Sequence[bool] | np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Positions of the cells of two groups, and the columns that name them in a table of results."""

    first: np.ndarray
    second: np.ndarray
    names: dict[str, Any] = field(default_factory=dict)


def compare_rows(obs: pd.DataFrame, idx1: Rows, idx2: Rows | None) -> Comparison:
    """The cells `idx1` beside the cells `idx2`, or all others.

    Parameters
    ----------
    obs
        Annotations of the cells.
    idx1, idx2
        Positions, masks, or queries of `obs`.

    Raises
    ------
    ValueError
        If a group is empty, or they share cells.
    """
    first = _rows("idx1", idx1, obs)
    if idx2 is None:
        return Comparison(first, _not_empty("the cells that are not in idx1", _rest(obs, first)))
    second = _rows("idx2", idx2, obs)
    shared = np.intersect1d(first, second)
    if len(shared):
        raise ValueError(f"idx1 and idx2 share {len(shared)} cells")
    return Comparison(first, second)


def compare_groups(
    obs: pd.DataFrame, groupby: str | None, group1: Any, group2: Any, idx2: Rows | None = None
) -> list[Comparison]:
    """Each of some groups beside another group, or the cells of all other groups.

    Cells without a group belong to none, and not to the others either.

    Parameters
    ----------
    obs
        Annotations of the cells.
    groupby
        Column of the groups.
    group1, group2
        Name or names of the first group, None for all; name of the second, None for the others.
    idx2
        Must be None: a second group of cells belongs to a first one.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If there is no column given, or a group is unknown, empty or compared with itself.
    """
    if groupby is None or idx2 is not None:
        raise ValueError(
            "say which cells to compare: groupby= a column of adata.obs, or idx1= cells"
        )
    if not isinstance(groupby, str) or groupby not in obs:
        raise KeyError(
            f"groupby: {groupby!r} is not a column of adata.obs, which has {listed(obs.columns)}"
            + did_you_mean(groupby, obs.columns)
        )
    column = obs[groupby].astype("category").cat
    names, codes = column.categories, column.codes.to_numpy()
    if group1 is None:
        wanted = [code for code in range(len(names)) if (codes == code).any()]
    else:
        many = isinstance(group1, Sequence | np.ndarray | pd.Index | pd.Series)
        given = group1 if many and not isinstance(group1, str) else [group1]
        wanted = [_code("group1", name, names, groupby) for name in given]
    other = None if group2 is None else _code("group2", group2, names, groupby)
    if group1 is None and other is not None:
        wanted.remove(other)
    comparisons = []
    for code in wanted:
        if code == other:
            raise ValueError(f"group1 and group2 are both {names[code]!r}")
        first = _not_empty(f"group {names[code]!r} of {groupby!r}", np.flatnonzero(codes == code))
        if other is None:
            rest = np.flatnonzero((codes >= 0) & (codes != code))
            second = _not_empty(f"other than {names[code]!r}, {groupby!r}", rest)
        else:
            second = _not_empty(
                f"group {names[other]!r} of {groupby!r}", np.flatnonzero(codes == other)
            )
        name = "Rest" if other is None else names[other]
        text = f"{names[code]} vs {name}"
        comparisons.append(
            Comparison(first, second, {"comparison": text, "group1": names[code], "group2": name})
        )
    if not comparisons:
        raise ValueError(f"adata.obs[{groupby!r}] has no two groups to compare")
    return comparisons


def _code(argument: str, name: Any, names: pd.Index, groupby: str) -> int:
    same = [code for code, known in enumerate(names) if str(known) == str(name)]
    if not same:
        raise ValueError(
            f"{argument}: unknown {groupby} {shown(name)}; known: {', '.join(map(str, names))}"
            + did_you_mean(name, names)
        )
    return same[0]


def _rows(argument: str, rows: Rows, obs: pd.DataFrame) -> np.ndarray:
    if isinstance(rows, str):
        positions = pd.Series(np.arange(len(obs)), index=obs.index)
        try:
            # of positions beside the columns: names of cells may occur twice
            found = obs.assign(_position=positions.to_numpy()).query(rows)["_position"].to_numpy()
        except Exception as error:  # whatever pandas makes of a text
            raise ValueError(f"{argument} is no query of adata.obs: {rows!r} ({error})") from error
    else:
        found = np.unique(check_rows(argument, rows, len(obs)))
    return _not_empty(argument, found)


def _rest(obs: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(obs)), rows)


def _not_empty(what: str, rows: np.ndarray) -> np.ndarray:
    if not len(rows):
        raise ValueError(f"{what} has no cells")
    return rows
