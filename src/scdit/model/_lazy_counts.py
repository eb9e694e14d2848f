"""Matrices of an AnnData that are not in memory: backed by a file, or dask arrays."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset

from scdit._lazy import LazyCounts

_opened: dict[tuple[int, str | None], tuple[weakref.ref, Any, LazyCounts]] = {}


def is_lazy(matrix: Any) -> bool:
    """Whether a matrix is read from a file, or computed, when it is indexed."""
    return isinstance(matrix, CSRDataset | CSCDataset) or _package(matrix) in (
        "dask",
        "h5py",
        "zarr",
    )


def check_kind(matrix: Any, where: str) -> None:
    """Raise unless a matrix is an array or a sparse matrix of numbers whose rows can be read.

    Raises
    ------
    TypeError
        If it is of another kind.
    ValueError
        If it is stored by columns.
    """
    kind, advice = f"{_package(matrix)} {type(matrix).__name__}", ""
    if isinstance(matrix, CSCDataset):
        raise ValueError(
            f"{where} is stored by columns (csc), so that cells cannot be read one by one: write it "
            "as csr, or read it into memory, adata.to_memory()"
        )
    if isinstance(matrix, np.ma.MaskedArray):
        kind = "masked array"
    elif isinstance(matrix, np.ndarray) or sp.issparse(matrix) or is_lazy(matrix):
        if matrix.dtype.kind in "biuf":
            return
        kind = f"matrix of type {matrix.dtype}"
        advice = ": convert it to numbers, such as astype('float32')"
    raise TypeError(
        f"{where} is a {kind}; scdit needs a numpy array, a scipy sparse matrix, or a backed or dask "
        f"array of counts{advice}"
    )


def opened(adata: AnnData, layer: str | None, matrix: Any) -> LazyCounts:
    """The counts of an AnnData that are not in memory.

    What is known of them is kept as long as the AnnData is there and its file, or its dask array, is
    the same.
    """
    key, source = (id(adata), layer), _source(adata, layer, matrix)
    known = _opened.get(key)
    if known is not None and known[0]() is adata and _same(known[1], source):
        return known[2]
    edges, read = None, _read_rows(adata, matrix)
    if _package(matrix) == "dask":
        edges = np.cumsum([0, *matrix.chunks[0]]).tolist()
    counts = LazyCounts(matrix.shape, read, edges)
    _opened[key] = (weakref.ref(adata, lambda _: _opened.pop(key, None)), source, counts)
    return counts


def table(frame: Any) -> pd.DataFrame:
    """A copy, in memory, of the table of cells or genes of an AnnData."""
    return frame.copy() if isinstance(frame, pd.DataFrame) else frame.to_memory()


def _read_rows(adata: AnnData, matrix: Any) -> Callable[[int, int], Any]:
    """What gives the rows of a matrix from a start to a stop."""
    if _package(matrix) == "dask":
        return lambda start, stop: matrix[start:stop].compute()
    if isinstance(matrix, CSRDataset) and adata.isbacked:
        stored = adata.file["X"]
        ends, n_columns = stored["indptr"][:], matrix.shape[1]

        def rows(start: int, stop: int) -> sp.csr_matrix:
            # anndata's own indexing takes 20 ms
            first, last = ends[start], ends[stop]
            parts = stored["data"][first:last], stored["indices"][first:last]
            return sp.csr_matrix(
                (*parts, ends[start : stop + 1] - first), shape=(stop - start, n_columns)
            )

        return rows
    return lambda start, stop: matrix[start:stop]


def _source(adata: AnnData, layer: str | None, matrix: Any) -> Any:
    """What stands for the content of a matrix: a file's name, size and time, or the matrix itself."""
    if layer is None and adata.isbacked:
        state = os.stat(adata.filename)
        return str(adata.filename), state.st_size, state.st_mtime_ns
    return matrix


def _same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, tuple) and isinstance(other, tuple) else one is other


def _package(matrix: Any) -> str:
    return type(matrix).__module__.split(".")[0]
