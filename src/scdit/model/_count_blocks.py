"""Checks and totals of counts, block of rows by block of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scdit._matrix import calculable

Totals: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Total counts of each cell, (cells,), and of each feature, (features,), float64."""

_MOST = np.iinfo(np.int32).max  # generated counts are of this type
_MOST_PER_CELL = 1e9
_VALUES_AT_ONCE = 2**22  # of a dense block


def blocks_of(matrix: sp.csr_matrix | np.ndarray) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a matrix in memory, block by block, each with the row that it begins at."""
    step = max(_VALUES_AT_ONCE // max(matrix.shape[1], 1), 1)
    for start in range(0, matrix.shape[0], step):
        yield start, calculable(matrix[start : start + step])


def check_blocks(
    blocks: Iterable[tuple[int, Any]],
    shape: tuple[int, int],
    where: str,
    names: pd.Index,
    elsewhere: Callable[[], str],
) -> Totals:
    """Totals of counts that come in blocks; an error names the first cell that is wrong.

    Parameters
    ----------
    blocks
        Arrays or CSR matrices without duplicate entries, with the row that each begins at.
    shape
        Number of cells and of features.
    where
        What the matrix is called in an error.
    names
        Names of the cells.
    elsewhere
        Gives a hint at where counts lie instead.

    Raises
    ------
    ValueError
        If values are not finite, negative, no integers or too large, or a cell has no counts.
    """
    cells, features = np.zeros(shape[0]), np.zeros(shape[1])
    for start, block in blocks:
        _check(block, start, where, names, elsewhere)
        total = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        values = block.data if sp.issparse(block) else block
        if values.size and (float(values.max()) > _MOST or total.max() > _MOST_PER_CELL):
            raise ValueError(
                f"{where} holds values up to {values.max():.3g}, or cells of up to "
                f"{total.max():.3g} counts; these must be at most {_MOST:.3g} and "
                f"{_MOST_PER_CELL:.3g}"
            )
        cells[start : start + len(total)] = total
        features += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    empty = np.flatnonzero(cells == 0)
    if len(empty):
        shown = ", ".join(map(str, names[empty[:3]]))
        raise ValueError(
            f"{len(empty)} cells of {where} have no counts ({shown}{', ...' if len(empty) > 3 else ''})"
            ": remove them with scanpy.pp.filter_cells(adata, min_counts=1)"
        )
    return cells, features


def _check(
    block: Any, start: int, where: str, names: pd.Index, elsewhere: Callable[[], str]
) -> None:
    """Raise ValueError if a block has a value that is no count."""
    values = block.data if sp.issparse(block) else block

    def first(wrong: np.ndarray) -> str:
        at = int(np.flatnonzero(wrong.ravel())[0])
        row = at // block.shape[1]
        if sp.issparse(block):
            row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        return f"(first in row {start + row}, cell {str(names[start + row])!r})"

    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"{where} holds NaN or infinite values {first(~finite)}: scdit needs raw counts"
        )
    if (values < 0).any():
        raise ValueError(
            f"{where} holds negative values, like scaled data {first(values < 0)}: scdit needs raw "
            f"counts{elsewhere()}"
        )
    whole = values == np.rint(values)
    if not whole.all():
        looks = (
            "log-transformed data"
            if values.max() < 20
            else "normalised data, or like the expected counts of RSEM or salmon (round those)"
        )
        raise ValueError(
            f"{where} holds non-integer values and looks like {looks} {first(~whole)}: scdit needs "
            f"raw counts{elsewhere()}"
        )
