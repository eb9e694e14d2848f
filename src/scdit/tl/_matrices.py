"""The matrix of counts of one side of a comparison: is it one, and reading it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scdit._checks import check_class, did_you_mean, listed
from scdit._matrix import calculable, looks_like_counts
from scdit.tl._kinds import Kind

_MOST = 2**31 - 1  # as of counts to train on
_EXACT_HALF = 2048  # whole numbers above are rounded in 16 bits


def check_layer(adata: AnnData, name: str, layer: str | None) -> None:
    """Raise unless `layer` is None or the name of a layer of `adata`.

    Raises
    ------
    TypeError
        If it is no name.
    KeyError
        If there is no such layer.
    """
    if layer is None:
        return
    check_class("layer", layer, str)
    if layer not in adata.layers:
        raise KeyError(
            f"`{name}` has no layer {layer!r}; it has {listed(adata.layers)}"
            + did_you_mean(layer, adata.layers)
        )


def read_matrix(adata: AnnData, name: str, layer: str | None, kind: Kind = "rna") -> sp.csr_matrix:
    """Counts as float32 CSR without duplicate entries or stored zeros, or why they are no counts.

    Parameters
    ----------
    adata
        Cells, which stay as they are.
    name
        What the caller calls them; used in messages.
    layer
        Layer with the counts; None for `X`.
    kind
        What is counted; proteins have normalisations of their own, which the message names.

    Raises
    ------
    KeyError, TypeError
        If there is no such layer, or the matrix is of a kind that is not supported.
    ValueError
        If there is no matrix, or it holds values that are no counts.
    """
    check_layer(adata, name, layer)
    values = adata.X if layer is None else adata.layers[layer]
    where = f"`{name}`" if layer is None else f"layer {layer!r} of `{name}`"
    if values is None:
        raise ValueError(f"{where} has no X: name the layer with its counts in `layer`.")
    _check_kind(values, where)
    if values.dtype == np.float16 and abs(values).max() >= _EXACT_HALF:
        raise ValueError(
            f"{where} is of type float16, which rounds counts above {_EXACT_HALF:,}: take the "
            "counts in another type."
        )
    counts = sp.csr_matrix(calculable(values), copy=True)
    counts.sum_duplicates()
    data = counts.data
    wrong = ~np.isfinite(data) | (data < 0) | (data != np.rint(data))
    if wrong.any():
        first = data[wrong][0]
        raise ValueError(
            f"{where} does not hold raw counts: {wrong.mean():.0%} of its non-zero values are "
            f"not non-negative integers (the first is {first:.4g}). {_look(counts, kind)} "
            f"Evaluation compares counts: {_elsewhere(adata, layer)}."
        )
    if data.size and data.max() > _MOST:
        raise ValueError(f"{where} holds counts of {data.max():.3g}; the most is {_MOST:,}.")
    counts.data = data.astype(np.float32)
    counts.eliminate_zeros()
    return counts


def _look(values: sp.csr_matrix, kind: Kind) -> str:
    """Say what values that are no counts look like."""
    if not np.isfinite(values.data).all():
        return "It has missing or infinite values."
    if kind != "protein":
        scaled = (values.data < 0).any()
        return "It looks scaled." if scaled else "It looks normalised or log-transformed."
    if not (values.data < 0).any():
        return "It looks log-transformed, or CLR-normalised as in Seurat."
    # a log-ratio to the geometric mean has the mean 0, in each cell or for each protein
    spread = float(np.abs(values.data).mean())
    if any(np.abs(values.mean(axis=axis)).max() < 1e-3 * spread for axis in (0, 1)):
        return "It looks CLR-normalised or scaled: the values of each cell or protein have mean 0."
    return "It looks DSB-normalised: background is near 0, and some of it below."


def _check_kind(values: Any, where: str) -> None:
    """Raise unless a matrix is a numpy array or a sparse matrix of numbers, in memory."""
    kind, advice = type(values).__name__, ""
    if isinstance(values, np.ma.MaskedArray):
        advice = ": fill in what is masked, X.filled(0)"
    elif isinstance(values, np.ndarray) or sp.issparse(values):
        if values.dtype.kind in "biuf":
            return
        kind, advice = f"matrix of {values.dtype}", ": convert it to numbers, astype('float32')"
    else:
        advice = ": read it into memory, adata.to_memory()"
    raise TypeError(
        f"{where} must hold a numpy array or scipy sparse matrix, got a {kind}{advice}"
    )


def _elsewhere(adata: AnnData, layer: str | None) -> str:
    """Where to find counts: matrices of the object that look like such, by name."""
    named = {
        f"layer={key!r}": adata.layers[key] for key in adata.layers if key not in (layer, None)
    }
    if layer is not None:
        named["layer=None"] = adata.X
    if adata.raw is not None:
        named["adata.raw.to_adata()"] = adata.raw.X
    good = [name for name, values in named.items() if looks_like_counts(values)]
    if good:
        return f"{' or '.join(good)} looks like counts"
    return "name their layer in `layer`, or put them in X"
