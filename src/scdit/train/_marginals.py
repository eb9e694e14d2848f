"""Calibration of the decoder: each gene's marginal in regions of the latent space, and its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from scdit.nn import (
    MAX_REGIONS,
    LatentCodec,
    Mixture,
    fit_marginals,
    fit_shape,
    interval_probabilities,
)
from scdit.train._data import some_states
from scdit.train._moments import well_counted

_CELLS_PER_REGION = 150
_PRIOR = 10.0  # precision of the prior on a region's shifts, in cells
_EXACT, _GROUPS = 6, 16  # a gene's histogram: counts up to here, then so many groups of others
_GENES_AT_ONCE = 256
_MAX_DECODED = 20_000_000  # means that are held in memory; more states than that are a sample


class Histograms(NamedTuple):
    """Capped counts of ``genes`` (n,), each array (n, n_intervals), padded with intervals of no cell.

    ``value`` is the mean count of an interval, ``upper`` the last count of it, infinite at the end,
    ``cells`` the number of cells in it.
    """

    genes: NDArray[np.int64]
    value: NDArray[np.float64]
    upper: NDArray[np.float64]
    cells: NDArray[np.float64]


def calibrate(
    codec: LatentCodec,
    states: Tensor,
    counts: sp.csr_matrix,
    codes: Mapping[str, Tensor] | None = None,
) -> None:
    """Fit shifts of what is decoded in regions to the counts there, then shapes of genes.

    A gene that is on in one kind of cell and off in another has two marginals, which one shift for
    all cells cannot meet both. Regions are found by k-means, one for every 150 cells, 1 to 16, and
    shifts are shrunk towards none. What the shifted likelihood then still misses is a gene's shape,
    the same in all regions, see :class:`scdit.nn.CountShape`.

    Parameters
    ----------
    codec
        Changed in place.
    states
        States (cells, n_state) whose decoded mixture should have the marginals of the data.
    counts
        Counts of the training cells, (cells, genes); row i of the states belongs to cell i.
    codes
        Conditions of the training cells, (cells,) by name; None where none is known.
    """
    codec.regions.clear()
    n_regions = int(np.clip(len(states) // _CELLS_PER_REGION, 1, MAX_REGIONS))
    latent = states[:, : codec.n_latent].numpy()
    clusters = KMeans(n_regions, n_init=3, random_state=0).fit(latent)
    cells = [np.flatnonzero(clusters.labels_ == region) for region in range(n_regions)]
    parts = [
        (*some_states(torch.as_tensor(rows), states, codes), _histograms(codec, counts[rows]))
        for rows in cells
    ]

    shifts = torch.zeros(3, n_regions, codec.n_genes)
    for region, (own_states, own_codes, seen) in enumerate(parts):
        n_cells = len(own_states)
        for block, mixture in _mixtures(codec, own_states, own_codes, seen):
            value, share = (torch.as_tensor(x) for x in (block.value, block.cells / n_cells))
            fitted = fit_marginals(mixture, value.float(), share.float(), prior=_PRIOR / n_cells)
            shifts[:, region, block.genes] = fitted
    width = np.sqrt(clusters.inertia_ / latent.size)
    device = codec.cap.device
    centres = torch.as_tensor(clusters.cluster_centers_, dtype=torch.float32)
    codec.regions.set(centres.to(device), float(width), shifts.to(device))

    intervals = [
        (block.genes, block.cells, interval_probabilities(mixture, block.upper))
        for part in parts
        for block, mixture in _mixtures(codec, *part)
    ]
    codec.shape.set(fit_shape(intervals, codec.n_genes))


def _mixtures(
    codec: LatentCodec,
    states: Tensor,
    codes: Mapping[str, Tensor] | None,
    blocks: list[Histograms],
) -> Iterator[tuple[Histograms, Mixture]]:
    """Yield each block of genes with their mixtures over states."""
    n_states = max(_MAX_DECODED // codec.n_genes, 1)
    chosen = torch.as_tensor(np.random.default_rng(0).permutation(len(states))[:n_states])
    decoded = codec.decode(*some_states(chosen, states, codes, codec.cap.device))
    for block in blocks:  # fitted on the processor
        yield block, Mixture.of_cells(decoded.of_genes(torch.as_tensor(block.genes)))


def _histograms(codec: LatentCodec, counts: sp.csr_matrix) -> list[Histograms]:
    """Histograms of all genes with enough counts, in blocks."""
    cap = codec.cap.cpu().numpy()
    columns = counts.tocsc()
    genes = well_counted(counts, codec.encoder.reads_per_molecule.cpu().numpy())
    # genes with histograms of about the same length together
    genes = genes[np.argsort(cap[genes], kind="stable")]
    starts = range(0, len(genes), _GENES_AT_ONCE)
    return [_histogram(columns, genes[i : i + _GENES_AT_ONCE], cap) for i in starts]


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
