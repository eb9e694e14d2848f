"""Cells as the metrics see them: aligned integer counts with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scdit._checks import as_text, check_class

ALL = "all"  # the name of all cells together, among the labels
TARGET_SUM = 1e4


@dataclass(frozen=True, eq=False)
class Population:
    """Counts of some cells (CSR, cells x genes) and, where known, a label for each of them."""

    counts: sp.csr_matrix
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return self.counts.shape[0]

    def take(self, index: np.ndarray) -> Population:
        """Return the cells at `index`, an array of positions or a mask."""
        return Population(self.counts[index], None if self.labels is None else self.labels[index])

    def where(self, label: str) -> np.ndarray:
        """Return the positions of the cells of one label."""
        return np.flatnonzero(self.labels == label)

    @cached_property
    def library_size(self) -> np.ndarray:
        """Total counts per cell, shape (cells,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    @cached_property
    def detected_genes(self) -> np.ndarray:
        """Number of genes with a count, per cell, shape (cells,)."""
        return np.diff(self.counts.indptr)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """A 128-bit digest of every cell's counts: equal digests are equal cells."""
        x = self.counts.sorted_indices()
        rows = zip(x.indptr[:-1], x.indptr[1:], strict=True)
        return np.array(
            [
                hashlib.blake2b(
                    x.indices[a:b].tobytes() + x.data[a:b].tobytes(), digest_size=16
                ).hexdigest()
                for a, b in rows
            ]
        )

    def log_expression(self, genes: np.ndarray | slice = slice(None)) -> sp.csr_matrix:
        """Return log(1 + counts per 10,000) of some genes, as CSR (cells x genes).

        The size of a cell is its total over *all* genes. Cells without counts stay zero.
        """
        scale = TARGET_SUM / np.where(self.library_size > 0, self.library_size, 1.0)
        x = sp.csr_matrix(sp.diags_array(scale.astype(np.float32)) @ self.counts[:, genes])
        return x.log1p()


def read_population(
    adata: AnnData,
    name: str,
    *,
    genes: Sequence[str] | None = None,
    labels_key: str | None = None,
    layer: str | None = None,
) -> Population:
    """Read counts and labels of `adata`, with its genes in the order of `genes`.

    Parameters
    ----------
    adata
        Cells with raw counts in `layer`, or in `X` where that is None.
    name
        What the caller calls this argument; used in messages.
    genes
        Names to align to, by default those of `adata` itself.
    labels_key
        Column of `obs` with the labels.
    layer
        Layer with the counts.

    Raises
    ------
    KeyError
        If there is no such layer, or no such column of `obs`.
    ValueError
        If gene names repeat, genes are missing, or the values are not counts.
    """
    if adata.isbacked:
        raise ValueError(f"`{name}` is backed by a file: read it into memory, .to_memory().")
    if adata.n_obs == 0:
        raise ValueError(f"`{name}` has no cells.")
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"`{name}` has no layer {layer!r}. It has: {sorted(adata.layers)}.")
    counts = _as_counts(adata.X if layer is None else adata.layers[layer], name)
    if genes is not None:
        counts = counts[:, _gene_positions(adata, genes, name)]
    return Population(counts, None if labels_key is None else read_labels(adata, name, labels_key))


def check_sides(*sides: AnnData | None) -> None:
    """Raise TypeError unless all sides of a comparison that are given are AnnData objects."""
    for side, name in zip(sides, ("real", "generated", "reference"), strict=False):
        if side is not None or name != "reference":
            check_class(name, side, AnnData)


def read_labels(adata: AnnData, name: str, key: str) -> np.ndarray:
    """Return a column of `obs` as strings, shape (cells,).

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If labels are missing, or one has the name of all cells together.
    """
    if key not in adata.obs:
        raise KeyError(f"`{name}.obs` has no column {key!r}. It has: {sorted(adata.obs.columns)}.")
    column = adata.obs[key]
    if column.isna().any():
        raise ValueError(
            f"`{name}.obs[{key!r}]` has {int(column.isna().sum())} missing values: compare labelled "
            "cells, or leave out `labels_key`."
        )
    labels = np.array([as_text(value) for value in column], dtype=object)
    if (labels == ALL).any():
        raise ValueError(
            f"{ALL!r} is the name of all cells together: rename this label of {key!r}."
        )
    return labels


def _as_counts(values: Any, name: str) -> sp.csr_matrix:
    """Return `values` as float32 CSR without stored zeros, or say why they are no counts."""
    if values is None:
        raise ValueError(f"`{name}` has no X; name the layer with its counts in `layer`.")
    counts = sp.csr_matrix(values, dtype=np.float32, copy=True)
    counts.eliminate_zeros()
    data = counts.data
    wrong = ~np.isfinite(data) | (data < 0) | (data != np.rint(data))
    if wrong.any():
        raise ValueError(
            f"`{name}` does not hold raw counts: {wrong.mean():.0%} of its non-zero values are "
            f"not non-negative integers (the first is {data[wrong][0]:.4g}). It looks normalised "
            "or log-transformed. Evaluation compares counts: name their layer in `layer`, or put "
            "them in X."
        )
    return counts


def _gene_positions(adata: AnnData, genes: Sequence[str], name: str) -> np.ndarray:
    """Return where each of `genes` stands in `adata`."""
    if not adata.var_names.is_unique:
        raise ValueError(f"`{name}.var_names` repeats names; call `var_names_make_unique()`.")
    positions = adata.var_names.get_indexer(genes)
    missing = [gene for gene, position in zip(genes, positions, strict=True) if position < 0]
    if missing:
        shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise ValueError(
            f"`{name}` lacks {len(missing)} of the {len(genes)} genes of `real`: {shown}. "
            f"Compare on shared genes, for example with real[:, {name}.var_names]."
        )
    return positions
