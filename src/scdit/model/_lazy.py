"""Generated cells as dask arrays, whose chunks are made when they are asked for."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp

from scdit._torch import steady_torch
from scdit.model._recipe import Recipe

_CHUNK = 4096  # cells of a chunk, at least, and at most a batch more
_ONE_AT_A_TIME = threading.Lock()  # threads of a process: torch uses all its cores for one chunk


def require_dask() -> None:
    """Raise ImportError if dask is not installed."""
    if find_spec("dask") is None:
        raise ImportError("lazy=True needs dask: pip install 'scdit[dask]'")


def lazy_matrices(recipe: Recipe, n_features: int) -> tuple[Any, dict[str, Any]]:
    """Counts (cells, features) and layers by name, as dask arrays of CSR chunks.

    The recipe is one node of the graph, on which all chunks depend: a worker is sent it once.

    Parameters
    ----------
    recipe
        What makes the cells; a copy is kept, which later training does not change.
    n_features
        Number of features of all assays.
    """
    import dask
    import dask.array as da

    step = -(-_CHUNK // recipe.batch_size) * recipe.batch_size
    starts = np.arange(recipe.cells.start, recipe.cells.stop, step)
    sizes = tuple(int(n) for n in np.diff(np.append(starts, recipe.cells.stop)))
    own = replace(recipe, module=copy.deepcopy(recipe.module), names=None)
    sent = dask.delayed(own, pure=False, traverse=False)
    chunks = da.map_blocks(
        _make, da.from_array(starts, chunks=1), sent, step, dtype=object, meta=np.empty(0, object)
    )

    def matrix(name: str | None, dtype: Any) -> Any:
        return chunks.map_blocks(
            _matrix,
            name,
            dtype=dtype,
            new_axis=1,
            chunks=(sizes, (n_features,)),
            meta=sp.csr_matrix((0, 0), dtype=dtype),
        )

    return matrix(None, np.int32), {name: matrix(name, np.float32) for name in recipe.layers}


def _make(starts: np.ndarray, recipe: Recipe, step: int) -> np.ndarray:
    """The matrices of a chunk by name, None for the counts, as an array of one object."""
    start = int(starts[0])
    with _ONE_AT_A_TIME, steady_torch():
        recipe.module.eval()
        made = [
            recipe.make(b) for b in recipe.batches(start, min(start + step, recipe.cells.stop))
        ]
    matrices: dict[str | None, Any] = {None: sp.vstack([b.counts for b in made], format="csr")}
    for name in recipe.layers:
        matrices[name] = sp.vstack([b.layers[name] for b in made], format="csr")
    found = np.empty(1, dtype=object)
    found[0] = matrices
    return found


def _matrix(chunk: np.ndarray, name: str | None) -> sp.csr_matrix:
    matrices: Mapping[str | None, sp.csr_matrix] = chunk[0]
    return matrices[name]
