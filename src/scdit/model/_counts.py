"""The matrix of counts of an AnnData: is it one, and has it the genes of a model?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scdit._checks import listed


def check_counts(adata: AnnData, layer: str | None) -> None:
    """Raise if the counts of `adata` cannot be trained on.

    Raises
    ------
    KeyError
        If the layer does not exist.
    ValueError
        If adata is backed, gene names occur twice, there are no cells or genes, or the matrix holds
        NaN, negative or non-integer values, or cells without a single count.
    """
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"layer {layer!r} is not in adata.layers, which has {listed(adata.layers)}")
    if adata.isbacked:
        raise ValueError("adata is backed by a file: read it into memory, adata.to_memory()")
    _check_unique_genes(adata)
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError(f"{where} is empty: scdit needs a matrix of counts there")
    if 0 in adata.shape:
        raise ValueError(
            f"adata has {adata.n_obs} cells and {adata.n_vars} genes: nothing to learn"
        )
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    if not np.isfinite(values).all():
        raise ValueError(f"{where} holds NaN or infinite values: scdit needs raw counts")
    if (values < 0).any():
        raise ValueError(
            f"{where} holds negative values, like scaled data: scdit needs raw counts"
            + _other_layers(adata, layer)
        )
    if not np.array_equal(values, np.rint(values)):
        looks = (
            "log-transformed data"
            if values.max() < 20
            else "normalised data, or like the expected counts of RSEM or salmon (round those)"
        )
        raise ValueError(
            f"{where} holds non-integer values and looks like {looks}: scdit needs raw counts"
            + _other_layers(adata, layer)
        )
    empty = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() == 0)
    if len(empty):
        shown = ", ".join(map(str, adata.obs_names[empty[:3]]))
        raise ValueError(
            f"{len(empty)} cells of {where} have no counts ({shown}{', ...' if len(empty) > 3 else ''})"
            ": remove them with scanpy.pp.filter_cells(adata, min_counts=1)"
        )


def _check_unique_genes(adata: AnnData) -> None:
    if not adata.var_names.is_unique:
        raise ValueError("gene names of adata are not unique: call adata.var_names_make_unique()")


def _other_layers(adata: AnnData, layer: str | None) -> str:
    """A hint at where counts do lie in this object."""
    candidates = {f"layer={name!r}": adata.layers[name] for name in adata.layers if name != layer}
    if layer is not None and adata.X is not None:
        candidates["layer=None"] = adata.X
    good = [name for name, matrix in candidates.items() if _looks_like_counts(matrix)]
    return f"; {' or '.join(good)} looks like counts" if good else ""


def _looks_like_counts(matrix: Any) -> bool:
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    return bool((values >= 0).all() and np.array_equal(values, np.rint(values)))


def align_genes(adata: AnnData, genes: Sequence[str]) -> AnnData:
    """`adata` if its genes are `genes` in this order, else a copy in which they are.

    Raises
    ------
    ValueError
        If genes are missing (the message lists them) or gene names occur twice.
    """
    if list(adata.var_names) == list(genes):
        return adata
    _check_unique_genes(adata)
    missing = pd.Index(genes).difference(adata.var_names, sort=False)
    if len(missing):
        shown = ", ".join(map(str, missing[:10]))
        raise ValueError(
            f"{len(missing)} of the model's {len(genes)} genes are missing from adata: {shown}"
            + (", ..." if len(missing) > 10 else "")
        )
    return adata[:, list(genes)].copy()
