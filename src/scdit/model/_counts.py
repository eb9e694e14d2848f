"""The matrix of counts of an AnnData: is it one, has it the genes of a model, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scdit._checks import listed
from scdit._lazy import LazyCounts, cell_totals
from scdit._matrix import calculable, canonical, looks_like_counts
from scdit.model._count_blocks import Totals, blocks_of, check_blocks
from scdit.model._lazy_counts import check_kind, is_lazy, opened


def check_adata(adata: object) -> None:
    """Raise TypeError unless `adata` is an AnnData; a MuData is named as such."""
    if isinstance(adata, AnnData):
        return
    kind = type(adata).__name__
    hint = ": pass one of its modalities, mdata['rna']" if kind == "MuData" else ""
    raise TypeError(f"adata must be an AnnData, got {kind}{hint}")


def check_counts(adata: AnnData, layer: str | None) -> None:
    """Raise if the counts of `adata` cannot be trained on.

    Counts that stay in a file are read block by block, once.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If the matrix is of a kind that is not supported, or `obs` is not in memory.
    ValueError
        If gene names occur twice, there are no cells or genes, or the matrix holds NaN, negative,
        non-integer or very large values, or cells without a single count.
    """
    matrix = _matrix_of(adata, layer)
    lazy = opened(adata, layer, matrix) if is_lazy(matrix) else None
    if lazy is not None and lazy.totals is not None:  # they were checked
        return
    if lazy is not None:
        blocks = lazy.blocks()
    else:
        blocks = blocks_of(canonical(calculable(matrix)) if sp.issparse(matrix) else matrix)
    totals = check_blocks(
        blocks, adata.shape, _where(layer), adata.obs_names, lambda: _elsewhere(adata, layer)
    )
    if lazy is not None:
        lazy.totals = totals


def count_totals(adata: AnnData, layer: str | None) -> Totals:
    """Totals of the counts of `adata`, which in memory are not checked again.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such matrix, or as :func:`check_counts` for counts that are not in memory.
    """
    _matrix_of(adata, layer)
    counts = read_counts(adata, layer)
    if isinstance(counts, LazyCounts):
        check_counts(adata, layer)
        return counts.totals  # type: ignore[return-value]
    return cell_totals(counts), np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()


def _matrix_of(adata: AnnData, layer: str | None) -> Any:
    """The matrix that should hold the counts, of a kind that can; errors are those of `check_counts`."""
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"layer {layer!r} is not in adata.layers, which has {listed(adata.layers)}")
    if not isinstance(adata.obs, pd.DataFrame):
        raise TypeError(
            "adata.obs is not in memory: read it, adata.obs = adata.obs.to_memory(); counts may stay "
            "where they are"
        )
    _check_unique_genes(adata)
    where = _where(layer)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError(f"{where} is empty: scdit needs a matrix of counts there")
    if 0 in adata.shape:
        raise ValueError(
            f"adata has {adata.n_obs} cells and {adata.n_vars} genes: nothing to learn"
        )
    check_kind(matrix, where)
    return matrix


def read_counts(adata: AnnData, layer: str | None) -> sp.csr_matrix | LazyCounts:
    """Counts (cells, genes) as CSR, without duplicate entries; `adata` stays as it is.

    A matrix that is such already is not copied, and one that is not in memory is not read.
    """
    matrix = adata.X if layer is None else adata.layers[layer]
    if is_lazy(matrix):
        return opened(adata, layer, matrix)
    matrix = calculable(matrix)
    return canonical(matrix) if sp.issparse(matrix) else sp.csr_matrix(matrix)


def _where(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


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
    if adata.isbacked:
        raise ValueError(
            "adata is backed by a file and its genes are not in the model's order: read it with "
            "anndata.experimental.read_lazy, or into memory, adata.to_memory()"
        )
    return adata[:, list(genes)].copy()
