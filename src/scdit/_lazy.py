"""Counts that stay where they are stored and are read in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp

from scdit._matrix import calculable, canonical

_VALUES_HELD = 2**26  # of a dense buffer; counts are sparse, so that it takes far less
_FEWEST, _MOST = 4_096, 32_768  # cells in a buffer
_BLOCKS_HELD = 64  # blocks in a buffer, where a store can be read from any row
_LEAST_BLOCK = 64  # cells


class LazyCounts:
    """Counts (cells, features) in a file or a graph of tasks, of which some rows are in memory.

    Indexed with rows it gives them as CSR, in the order asked for.

    Parameters
    ----------
    shape
        Number of cells and of features.
    read
        Gives the rows from a start to a stop, as an array or a sparse matrix.
    edges
        Rows at which blocks begin, and the number of rows; None where any rows can be read.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        read: Callable[[int, int], Any],
        edges: Sequence[int] | None = None,
    ):
        self.shape, self._read = shape, read
        rows = int(np.clip(_VALUES_HELD // max(shape[1], 1), _FEWEST, _MOST))
        step = max(rows // _BLOCKS_HELD, _LEAST_BLOCK)
        if edges is None:
            edges = [*range(0, shape[0], step), shape[0]]
        self.edges = _at_least(np.asarray(edges, dtype=np.int64), step)
        # a buffer mixes the cells of several blocks, however large these are
        self.buffer_rows = max(rows, 4 * int(np.diff(self.edges).max(initial=0)))
        self.totals: tuple[np.ndarray, np.ndarray] | None = None
        self._held: tuple[np.ndarray, sp.csr_matrix] | None = None

    def blocks(self) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Yield all rows, block by block, each with the row that it begins at."""
        for start, stop in zip(self.edges[:-1], self.edges[1:], strict=True):
            yield int(start), self.read(int(start), int(stop))

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Rows from `start` to `stop`, without duplicate entries."""
        block = calculable(self._read(start, stop))
        return canonical(block) if sp.issparse(block) else sp.csr_matrix(block)

    def __getitem__(self, rows: Any) -> sp.csr_matrix:
        wanted = np.arange(self.shape[0])[rows] if isinstance(rows, slice) else np.asarray(rows)
        if self._held is not None:
            known, counts = self._held
            at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
            if np.array_equal(known[at], wanted):
                return counts[at]
        distinct, inverse = np.unique(wanted, return_inverse=True)
        return self._gather(distinct)[inverse]

    def hold(self, rows: np.ndarray) -> None:
        """Keep some rows in memory, in place of those that were kept before."""
        wanted = np.unique(rows)
        if self._held is None:
            self._held = wanted, self._gather(wanted)
            return
        known, counts = self._held
        shared = np.isin(wanted, known, assume_unique=True)
        if shared.all():
            return
        both = sp.vstack(
            [counts[np.searchsorted(known, wanted[shared])], self._gather(wanted[~shared])],
            format="csr",
        )
        order = np.argsort(np.concatenate([wanted[shared], wanted[~shared]]))
        self._held = wanted, both[order]

    def release(self) -> None:
        """Keep no rows in memory."""
        self._held = None

    def _gather(self, rows: np.ndarray) -> sp.csr_matrix:
        """Rows in ascending order, of each block from the first that is wanted to the last."""
        parts = []
        block = np.searchsorted(self.edges, rows, side="right")
        for own in np.split(rows, np.flatnonzero(np.diff(block)) + 1):
            if len(own):
                start, stop = int(own[0]), int(own[-1]) + 1
                part = self.read(start, stop)
                parts.append(part if len(own) == stop - start else part[own - start])
        if not parts:
            return sp.csr_matrix((0, self.shape[1]), dtype=np.float32)
        return parts[0] if len(parts) == 1 else sp.csr_matrix(sp.vstack(parts, format="csr"))


class SelectedRows:
    """Some rows of counts, which are copied only when they are indexed.

    Parameters
    ----------
    counts
        Counts (cells, features).
    rows
        Which of the cells, and in which order.
    """

    def __init__(self, counts: sp.csr_matrix | LazyCounts, rows: np.ndarray):
        self.counts, self.rows = counts, rows
        self.shape = (len(rows), counts.shape[1])

    def __getitem__(self, chosen: Any) -> sp.csr_matrix:
        return self.counts[self.rows[chosen]]


def cell_totals(counts: sp.csr_matrix | LazyCounts) -> np.ndarray:
    """Total counts of each cell, float64 (cells,), without a copy of all counts in this type."""
    if isinstance(counts, LazyCounts):
        if counts.totals is None:
            return np.concatenate([_totals(block) for _, block in counts.blocks()])
        return counts.totals[0]
    step = max(_VALUES_HELD // max(counts.shape[1], 1), 1)
    return np.concatenate(
        [_totals(counts[i : i + step]) for i in range(0, counts.shape[0], step)] or [np.empty(0)]
    )


@contextmanager
def released(counts: Any) -> Iterator[None]:
    """Afterwards no rows of counts that are not in memory are held."""
    try:
        yield
    finally:
        if isinstance(counts, LazyCounts):
            counts.release()


def _totals(counts: Any) -> np.ndarray:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _at_least(edges: np.ndarray, step: int) -> np.ndarray:
    """Edges without those that would make a block of less than half a step."""
    kept = [0]
    for edge in edges[1:-1]:
        if edge - kept[-1] >= step // 2:
            kept.append(int(edge))
    return np.array([*kept, edges[-1]], dtype=np.int64)
