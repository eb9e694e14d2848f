"""The matrix of counts of an AnnData: is it one, has it the genes of a model, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scdit._checks import listed
from scdit._matrix import calculable, looks_like_counts

_MOST = np.iinfo(np.int32).max  # generated counts are of this type
_MOST_PER_CELL = 1e9


def check_adata(adata: object) -> None:
    """Raise TypeError unless `adata` is an AnnData; a MuData is named as such."""
    if isinstance(adata, AnnData):
        return
    kind = type(adata).__name__
    hint = ": pass one of its modalities, mdata['rna']" if kind == "MuData" else ""
    raise TypeError(f"adata must be an AnnData, got {kind}{hint}")


def check_counts(adata: AnnData, layer: str | None) -> None:
    """Raise if the counts of `adata` cannot be trained on.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If the matrix is of a kind that is not supported.
    ValueError
        If adata is backed, gene names occur twice, there are no cells or genes, or the matrix holds
        NaN, negative, non-integer or very large values, or cells without a single count.
    """
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"layer {layer!r} is not in adata.layers, which has {listed(adata.layers)}")
    if adata.isbacked:
        raise ValueError("adata is backed by a file: read it into memory, adata.to_memory()")
    _check_unique_genes(adata)
    where = _where(layer)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError(f"{where} is empty: scdit needs a matrix of counts there")
    if 0 in adata.shape:
        raise ValueError(
            f"adata has {adata.n_obs} cells and {adata.n_vars} genes: nothing to learn"
        )
    _check_kind(matrix, where)
    if sp.issparse(matrix):
        matrix = _canonical(matrix)
    values = matrix.data if sp.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        raise ValueError(f"{where} holds NaN or infinite values: scdit needs raw counts")
    if (values < 0).any():
        raise ValueError(
            f"{where} holds negative values, like scaled data: scdit needs raw counts"
            + _elsewhere(adata, layer)
        )
    if not np.array_equal(values, np.rint(values)):
        looks = (
            "log-transformed data"
            if values.max() < 20
            else "normalised data, or like the expected counts of RSEM or salmon (round those)"
        )
        raise ValueError(
            f"{where} holds non-integer values and looks like {looks}: scdit needs raw counts"
            + _elsewhere(adata, layer)
        )
    total = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    if values.size and (float(values.max()) > _MOST or total.max() > _MOST_PER_CELL):
        raise ValueError(
            f"{where} holds values up to {values.max():.3g}, or cells of up to {total.max():.3g} "
            f"counts; these must be at most {_MOST:.3g} and {_MOST_PER_CELL:.3g}"
        )
    empty = np.flatnonzero(total == 0)
    if len(empty):
        shown = ", ".join(map(str, adata.obs_names[empty[:3]]))
        raise ValueError(
            f"{len(empty)} cells of {where} have no counts ({shown}{', ...' if len(empty) > 3 else ''})"
            ": remove them with scanpy.pp.filter_cells(adata, min_counts=1)"
        )


def read_counts(adata: AnnData, layer: str | None) -> sp.csr_matrix:
    """Counts (cells, genes) as CSR, without duplicate entries; `adata` stays as it is.

    A matrix that is such already is not copied.
    """
    matrix = calculable(adata.X if layer is None else adata.layers[layer])
    return _canonical(matrix) if sp.issparse(matrix) else sp.csr_matrix(matrix)


def _where(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def _check_kind(matrix: Any, where: str) -> None:
    """Raise TypeError unless a matrix is a numpy array or a sparse matrix of numbers, in memory."""
    kind, advice = f"{type(matrix).__module__.split('.')[0]} {type(matrix).__name__}", ""
    if type(matrix).__module__.startswith("dask"):
        advice = ": read it into memory, adata.to_memory()"
    elif isinstance(matrix, np.ma.MaskedArray):
        kind = "masked array"
    elif isinstance(matrix, np.ndarray) or sp.issparse(matrix):
        if matrix.dtype.kind in "biuf":
            return
        kind = f"matrix of type {matrix.dtype}"
        advice = ": convert it to numbers, such as astype('float32')"
    raise TypeError(
        f"{where} is a {kind}; scdit needs a numpy array or a scipy sparse matrix of counts{advice}"
    )


def _canonical(matrix: Any) -> sp.csr_matrix:
    """A sparse matrix as CSR whose entries occur once, copied where it is not one."""
    csr = sp.csr_matrix(matrix)
    # looked at in a new object: the flags of the user's own stay as they are
    csr = sp.csr_matrix((csr.data, csr.indices, csr.indptr), shape=csr.shape)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _check_unique_genes(adata: AnnData) -> None:
    if not adata.var_names.is_unique:
        raise ValueError("gene names of adata are not unique: call adata.var_names_make_unique()")


def _elsewhere(adata: AnnData, layer: str | None) -> str:
    """A hint at where counts do lie in this object."""
    candidates = {
        f"layer={name!r}": adata.layers[name] for name in adata.layers if name not in (layer, None)
    }
    if layer is not None and adata.X is not None:
        candidates["layer=None"] = adata.X
    if adata.raw is not None:
        candidates["adata.raw.X (use adata.raw.to_adata())"] = adata.raw.X
    good = [name for name, matrix in candidates.items() if looks_like_counts(matrix)]
    return f"; {' or '.join(good)} looks like counts" if good else ""


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
