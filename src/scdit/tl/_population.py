"""Cells as the metrics see them: aligned integer counts with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from pandas.api.types import infer_dtype, is_float_dtype

from scdit._checks import as_text, check_class, did_you_mean, shortened
from scdit.tl._kinds import FEATURES, Kind
from scdit.tl._matrices import read_matrix
from scdit.tl._warnings import marked_generated, warn_of_flags

ALL = "all"  # the name of all cells together, among the labels
TARGET_SUM = 1e4


@dataclass(frozen=True, eq=False)
class Population:
    """Counts of some cells (CSR, cells x genes) and, where known, a label for each of them.

    Proteins and peaks stand in the place of genes where `kind` says so.
    """

    counts: sp.csr_matrix
    labels: np.ndarray | None = None
    kind: Kind = "rna"

    def __len__(self) -> int:
        return self.counts.shape[0]

    def take(self, index: np.ndarray) -> Population:
        """Return the cells at `index`, an array of positions or a mask."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, counts=self.counts[index], labels=labels)

    def where(self, label: str) -> np.ndarray:
        """Return the positions of the cells of one label, in increasing order."""
        return self._members.get(label, np.empty(0, dtype=np.intp))

    @property
    def names(self) -> list[str]:
        """The labels that occur, in order."""
        return sorted(self._members)

    @cached_property
    def _members(self) -> dict[str, np.ndarray]:
        """Positions by label: one pass, where many labels would each take one."""
        return (
            {}
            if self.labels is None
            else dict(pd.Series(self.labels).groupby(self.labels).indices)
        )

    @cached_property
    def library_size(self) -> np.ndarray:
        """Total counts per cell, shape (cells,)."""
        return np.asarray(self.counts.sum(axis=1, dtype=np.float64)).ravel()

    @cached_property
    def detected_genes(self) -> np.ndarray:
        """Number of genes with a count, per cell, shape (cells,)."""
        return np.diff(self.counts.indptr)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """A 128-bit digest of every cell's counts: equal digests are equal cells."""
        x = self.counts.sorted_indices()
        x.indices = x.indices.astype(np.int64)  # 32 bits or 64, as the matrix came
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

        The size of a cell is its total over *all* genes. Cells without counts stay zero. Proteins
        are not scaled: few of them are measured, so their total follows the cell type. Of peaks
        it is only used whether they are open: log(1 + 10,000 / open peaks of the cell).
        """
        counts, size = self.counts[:, genes], self.library_size
        if self.kind == "protein":
            return counts.log1p()
        if self.kind == "atac":
            counts, size = counts.sign(), self.detected_genes
        scale = TARGET_SUM / np.where(size > 0, size, 1.0)
        x = sp.csr_matrix(sp.diags_array(scale.astype(np.float32)) @ counts)
        return x.log1p()


def read_population(
    adata: AnnData,
    name: str,
    *,
    genes: Sequence[str] | None = None,
    labels_key: str | None = None,
    layer: str | None = None,
    kind: Kind = "rna",
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
    kind
        What is counted.

    Raises
    ------
    KeyError
        If there is no such layer, or no such column of `obs`.
    TypeError
        If it is no AnnData, or its matrix is of a kind that is not supported.
    ValueError
        If there are no cells or genes, gene names repeat, genes are missing, or the values are not
        counts.
    """
    check_class(name, adata, AnnData)
    labels = None if labels_key is None else read_labels(adata, name, labels_key)
    counts = read_counts(adata, name, genes=genes, layer=layer, kind=kind)
    warn_of_flags(marked_generated(adata.obs), name)
    return Population(counts, labels, kind)


def read_counts(
    adata: AnnData,
    name: str,
    *,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    kind: Kind = "rna",
) -> sp.csr_matrix:
    """Read the counts of `adata`, with its genes (proteins, peaks) in the order of `genes`.

    Arguments and errors are those of :func:`read_population`.
    """
    if adata.isbacked:
        raise ValueError(f"`{name}` is backed by a file: read it into memory, .to_memory().")
    for n, what in ((adata.n_obs, "cells"), (adata.n_vars, FEATURES[kind])):
        if n == 0:
            raise ValueError(f"`{name}` has no {what}.")
    positions = _gene_positions(adata, adata.var_names if genes is None else genes, name, kind)
    counts = read_matrix(adata, name, layer, kind)
    return counts if genes is None else counts[:, positions]


def read_generated(
    generated: AnnData,
    *,
    genes: Sequence[str],
    labels_key: str | None,
    layer: str | None,
    kind: Kind = "rna",
) -> Population:
    """Read generated cells: their counts are in `X` whatever layer the generator was trained on.

    Where they have a layer of that name, as after :func:`scdit.tl.augment`, it is taken.
    """
    return read_population(
        generated,
        "generated",
        genes=genes,
        labels_key=labels_key,
        layer=layer if layer is None or layer in generated.layers else None,
        kind=kind,
    )


def read_pair(
    real: AnnData, generated: AnnData, *, layer: str | None
) -> tuple[Population, Population]:
    """Read the counts of both sides, with the genes in the order of `real`."""
    return (
        read_population(real, "real", layer=layer),
        read_generated(generated, genes=list(real.var_names), labels_key=None, layer=layer),
    )


def check_key(name: str, key: str | None) -> None:
    """Raise TypeError unless a name of a column is text or None."""
    if key is not None:
        check_class(name, key, str)


def read_column(adata: AnnData, name: str, key: str) -> pd.Series:
    """Return a column of `obs` without missing values.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If there are two of that name, or values are missing.
    """
    if key not in adata.obs:
        raise KeyError(
            f"`{name}.obs` has no column {key!r}. It has: {shortened(list(adata.obs.columns))}"
            + did_you_mean(key, adata.obs.columns)
        )
    column = adata.obs[key]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"`{name}.obs` has {column.shape[1]} columns {key!r}: rename them.")
    if column.isna().any():
        raise ValueError(
            f"`{name}.obs[{key!r}]` has {int(column.isna().sum())} missing values: take cells that "
            "have one, or leave out this column."
        )
    return column


def read_labels(adata: AnnData, name: str, key: str) -> np.ndarray:
    """Return a column of `obs` as text, shape (cells,); 1 and 1.0 are one label.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If there are two of that name, labels are missing, of mixed types or no labels but numbers,
        or one has the name of all cells together.
    """
    column = read_column(adata, name, key)
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    kind = infer_dtype(values, skipna=True)
    if kind == "mixed-integer" or kind == "mixed":
        raise ValueError(
            f"`{name}.obs[{key!r}]` mixes types of labels, such as text and numbers: make them one, "
            f"{name}.obs[{key!r}].astype(str)."
        )
    if is_float_dtype(values.dtype) and column.nunique() > max(2, adata.n_obs / 2):
        raise ValueError(
            f"`{name}.obs[{key!r}]` has {column.nunique()} different numbers in {adata.n_obs} cells: "
            "these are no labels."
        )
    names = {value: as_text(value) for value in column.unique()}
    if len(set(names.values())) < len(names):
        raise ValueError(
            f"`{name}.obs[{key!r}]` has labels that are one number, such as 1 and 1.0."
        )
    labels = np.array([names[value] for value in column], dtype=object)
    if ALL in names.values():
        raise ValueError(
            f"{ALL!r} is the name of all cells together: rename this label of {key!r}."
        )
    return labels


def _gene_positions(adata: AnnData, genes: Sequence[str], name: str, kind: Kind) -> np.ndarray:
    """Return where each of `genes` stands in `adata`."""
    if not adata.var_names.is_unique:
        raise ValueError(f"`{name}.var_names` repeats names; call `var_names_make_unique()`.")
    positions = adata.var_names.get_indexer(genes)
    missing = [gene for gene, position in zip(genes, positions, strict=True) if position < 0]
    if missing:
        shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise ValueError(
            f"`{name}` lacks {len(missing)} of the {len(genes)} {FEATURES[kind]} of `real`: {shown}. "
            f"Compare on shared {FEATURES[kind]}, for example with real[:, {name}.var_names]."
        )
    return positions
