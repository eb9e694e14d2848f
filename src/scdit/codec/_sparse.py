"""Sums over sparse matrices of counts (cells, genes), and counts that are capped or scaled."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_MIN_MOLECULES = 0.1  # per cell


def library_sizes(counts: sp.csr_matrix) -> np.ndarray:
    """Total counts of each cell, (cells,)."""
    return np.asarray(counts.sum(axis=1)).ravel()


def gene_caps(counts: sp.csr_matrix, fraction: float = 0.0025) -> np.ndarray:
    """The k-th largest count of each gene, with k a `fraction` of the cells but 3 to 20; >= 1."""
    k = int(np.clip(round(fraction * counts.shape[0]), 3, 20))
    columns = counts.tocsc()
    caps = np.ones(counts.shape[1])
    for gene in np.flatnonzero(np.diff(columns.indptr) >= k):
        values = columns.data[columns.indptr[gene] : columns.indptr[gene + 1]]
        # stored values may be zeros
        caps[gene] = max(np.partition(values, len(values) - k)[len(values) - k], 1)
    return caps


def capped_counts(counts: sp.csr_matrix, cap: np.ndarray) -> sp.csr_matrix:
    """Counts (cells, genes), none of them above the cap of its gene (genes,)."""
    capped = counts.copy()
    capped.data = np.minimum(capped.data, cap[capped.indices])
    return capped


def scaled_counts(counts: sp.csr_matrix, library: np.ndarray, target: float) -> sp.csr_matrix:
    """Counts (cells, genes) per `target`; cells without counts stay zero."""
    return sp.csr_matrix(sp.diags(target / np.maximum(library, 1)) @ counts)


def cells_with_counts(counts: sp.csr_matrix) -> np.ndarray:
    """Number of cells that have counts of each gene, (genes,)."""
    return np.asarray((counts > 0).sum(axis=0)).ravel()


def share_of_zeros(seen: np.ndarray, cells: int) -> np.ndarray:
    """Share of the cells without counts of a gene, never 0 or 1, given how many have some."""
    return (cells - seen + 0.5) / (cells + 1)


def reads_per_molecule(counts: sp.csr_matrix) -> np.ndarray:
    """Roughly how many counts a molecule of each gene has where reads are counted, (genes,).

    Were molecules spread at random over cells, there would be minus the logarithm of the share of
    zeros of them per cell.
    """
    molecules = -np.log(share_of_zeros(cells_with_counts(counts), counts.shape[0]))
    return (np.asarray(counts.mean(axis=0)).ravel() / molecules).clip(1)


def well_counted(counts: sp.csr_matrix, reads: np.ndarray) -> np.ndarray:
    """Indices of genes whose marginal says more than its mean: those with .1 molecules per cell.

    Parameters
    ----------
    counts
        Counts (cells, genes).
    reads
        How many counts a molecule of each gene has, (genes,).
    """
    return np.flatnonzero(np.asarray(counts.mean(axis=0)).ravel() >= _MIN_MOLECULES * reads)


def excess_squares(
    counts: sp.csr_matrix, library: np.ndarray, p: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared deviations from means p L beyond those of Poisson counts, and squared means.

    Sums over cells, each (genes,), of counts (cells, genes) with library sizes (cells,) and
    proportions (genes,); their ratio is 1 / theta.
    """
    squares = np.asarray(counts.multiply(counts).sum(axis=0)).ravel()
    expected = p**2 * (library**2).sum()
    return squares - 2 * p * (counts.T @ library) + expected - p * library.sum(), expected
