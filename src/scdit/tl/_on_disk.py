"""Cells that are not in memory: a sample of them that is."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from scdit._matrix import some_of

_MOST = 50_000  # cells


def in_memory(adata: Any) -> Any:
    """Cells in memory: themselves, or 50,000 random ones of those that are backed or dask arrays.

    The sample is the same each time. What is no AnnData stays as it is.

    Raises
    ------
    ValueError
        If a matrix is stored by columns.
    """
    if not isinstance(adata, AnnData):
        return adata
    from scdit.model._lazy_counts import check_kind, is_lazy, opened, table

    names = [None, *(name for name in adata.layers if name is not None)]
    matrices = {name: adata.X if name is None else adata.layers[name] for name in names}
    if not any(is_lazy(matrix) for matrix in matrices.values()):
        return adata
    rows = some_of(adata.n_obs, _MOST)
    read = {}
    for name, matrix in matrices.items():
        if is_lazy(matrix):
            check_kind(matrix, "X" if name is None else f"layers[{name!r}]")
            read[name] = opened(adata, name, matrix)[rows]
        elif matrix is not None:
            read[name] = matrix[rows]
    obsm = {
        key: table(value).iloc[rows] if hasattr(value, "iloc") else np.asarray(value[rows])
        for key, value in adata.obsm.items()
    }
    obs, x = table(adata.obs).iloc[rows], read.pop(None, None)
    return AnnData(x, obs=obs, var=table(adata.var), layers=read, obsm=obsm)
