"""The training cells that calibrations are fitted to, and histograms of their genes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdit.codec._sparse import well_counted
from scdit.codec.calibration._mixture import Mixture
from scdit.codec.likelihood import CountDistribution, NegativeBinomial

_EXACT, _GROUPS = 6, 16  # a gene's histogram: counts up to here, then so many groups of others
_GENES_AT_ONCE = 256
_MAX_DECODED = 20_000_000  # means that are held in memory; more states than that are a sample


class DecodedCells(NamedTuple):
    """Training cells, and what an assay decodes at a state of each.

    ``latent`` (cells, n_latent) and ``log_library`` (cells, 1) are the states, ``counts`` (cells, genes)
    those of the data, ``cap`` and ``reads_per_molecule`` (genes,) how they are treated, and ``decode``
    gives the distribution of the counts of some cells, by their rows.
    """

    latent: Tensor
    log_library: Tensor
    counts: sp.csr_matrix
    cap: NDArray[np.floating]
    reads_per_molecule: NDArray[np.floating]
    decode: Callable[[NDArray[np.int64]], CountDistribution]


class Histograms(NamedTuple):
    """Capped counts of ``genes`` (n,), each array (n, n_intervals), padded with intervals of no cell.

    ``value`` is the mean count of an interval, ``upper`` the last count of it, infinite at the end,
    ``cells`` the number of cells in it.
    """

    genes: NDArray[np.int64]
    value: NDArray[np.float64]
    upper: NDArray[np.float64]
    cells: NDArray[np.float64]


class Group(NamedTuple):
    """Some of the cells, by their rows, with the histograms of their genes in blocks."""

    rows: NDArray[np.int64]
    blocks: list[Histograms]

    @classmethod
    def of(cls, cells: DecodedCells, rows: NDArray[np.int64]) -> Group:
        """The group of these rows, with histograms of all genes that have enough counts."""
        counts = cells.counts[rows]
        genes = well_counted(counts, cells.reads_per_molecule)
        # genes with histograms of about the same length together
        genes = genes[np.argsort(cells.cap[genes], kind="stable")]
        columns = counts.tocsc()
        starts = range(0, len(genes), _GENES_AT_ONCE)
        blocks = [_histogram(columns, genes[i : i + _GENES_AT_ONCE], cells.cap) for i in starts]
        return cls(rows, blocks)

    def mixtures(self, cells: DecodedCells) -> Iterator[tuple[Histograms, Mixture]]:
        """Yield each block of genes with their mixtures over the cells of the group.

        What is decoded must be negative binomials.
        """
        n_states = max(_MAX_DECODED // cells.counts.shape[1], 1)
        chosen = np.random.default_rng(0).permutation(len(self.rows))[:n_states]
        decoded = cast(NegativeBinomial, cells.decode(self.rows[chosen]))
        for block in self.blocks:  # fitted on the processor
            yield block, Mixture.of_cells(decoded.of_genes(torch.as_tensor(block.genes)))


def _histogram(columns: sp.csc_matrix, genes: NDArray[np.int64], cap: np.ndarray) -> Histograms:
    """Capped counts of genes that are seen: small ones exactly, others in groups of about one size."""
    n_cells = columns.shape[0]
    rows = []
    for gene in genes:
        seen = columns.data[columns.indptr[gene] : columns.indptr[gene + 1]]
        counts, cells = np.unique(np.minimum(seen[seen > 0], cap[gene]), return_counts=True)
        high = counts > _EXACT
        below = np.cumsum(cells * high) - cells * high  # of the cells with high counts
        group = np.where(high, _EXACT + 1 + below * _GROUPS // max(cells[high].sum(), 1), counts)
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        size = np.bincount(group, cells)
        value = np.bincount(group, cells * counts) / size
        zeros = n_cells - cells.sum()
        rows.append((np.r_[0, value], np.r_[0, counts[first[1:] - 1], np.inf], np.r_[zeros, size]))
    n_intervals = max(len(value) for value, *_ in rows)
    table = np.zeros((3, len(genes), n_intervals))
    table[1] = np.inf
    for i, row in enumerate(rows):
        for array, values in zip(table, row, strict=True):
            array[i, : len(values)] = values
    return Histograms(genes, *table)
