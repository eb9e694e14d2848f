"""An array on disk that grows by whole chunks, so that what was written once is not touched again."""

from __future__ import annotations

from typing import Any

import numpy as np


class Growing:
    """Rows that are added to an array of zarr.

    anndata appends to sparse matrices too, but begins in the middle of a chunk, which is then read and
    written again: a process that is killed meanwhile would damage rows that were written before.

    Parameters
    ----------
    array
        The array; rows after the first `n` are replaced.
    n
        Rows that it has from an earlier process. The chunk that the last of them is in was written
        whole, and the same rows follow.
    """

    def __init__(self, array: Any, n: int = 0):
        self._array, self._chunk = array, array.chunks[0]
        self.n = n
        self.written = -(-n // self._chunk) * self._chunk
        self._waiting: list[np.ndarray] = []

    def append(self, rows: np.ndarray) -> None:
        """Add rows; they are written as soon as they fill a chunk."""
        there = max(self.written - self.n, 0)
        self.n += len(rows)
        if len(rows) > there:
            self._waiting.append(rows[there:])
        self._write(self.n // self._chunk * self._chunk)

    def finish(self) -> None:
        """Write what is waiting: no row follows."""
        self._write(self.n)
        self._resize(self.n)

    def _write(self, stop: int) -> None:
        """Write waiting rows up to row `stop`."""
        if stop <= self.written:
            return
        rows = np.concatenate(self._waiting)
        k = stop - self.written
        if self._array.shape[0] < stop:
            self._resize(stop)
        self._array[self.written : stop] = rows[:k].astype(self._array.dtype, copy=False)
        self.written = stop
        self._waiting = [rows[k:]] if len(rows) > k else []

    def _resize(self, n: int) -> None:
        if self._array.shape[0] != n:
            self._array.resize((n, *self._array.shape[1:]))
