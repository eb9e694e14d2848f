"""Calibration of each gene's marginal in regions of the latent space."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from scdit.nn import MAX_REGIONS, LatentCodec, Mixture, fit_marginals

_CELLS_PER_REGION = 150
_MIN_MEAN = 0.1  # counts per cell below which the marginal of a gene says no more than its mean
_PRIOR = 10.0  # precision of the prior on a region's shifts, in cells
_EXACT, _QUANTILES = 6, 16  # a gene's histogram: counts up to here, then so many quantiles
_GENES_AT_ONCE = 256
_MAX_DECODED = 20_000_000  # means that are held in memory; more states than that are a sample


def calibrate_regions(codec: LatentCodec, states: Tensor, counts: sp.csr_matrix) -> None:
    """Shift means and dispersions in regions so that mixtures over states fit the counts there.

    A gene that is on in one kind of cell and off in another has two marginals, which one shift for
    all cells cannot meet both. Regions are found by k-means, one for every 150 cells, 1 to 16, and
    shifts are shrunk towards none.

    Parameters
    ----------
    codec
        Changed in place.
    states
        States (cells, n_state) whose decoded mixture should have the marginals of the data.
    counts
        Counts of the training cells, (cells, genes); row i of the states belongs to cell i.
    """
    codec.regions.clear()
    n_regions = int(np.clip(len(states) // _CELLS_PER_REGION, 1, MAX_REGIONS))
    latent = states[:, : codec.n_latent].numpy()
    clusters = KMeans(n_regions, n_init=3, random_state=0).fit(latent)
    shifts = torch.zeros(2, n_regions, codec.n_genes)
    for region in range(n_regions):
        cells = np.flatnonzero(clusters.labels_ == region)
        shifts[:, region] = _shifts(codec, states[torch.as_tensor(cells)], counts[cells])
    width = np.sqrt(clusters.inertia_ / latent.size)
    device = codec.cap.device
    centres = torch.as_tensor(clusters.cluster_centers_, dtype=torch.float32)
    codec.regions.set(centres.to(device), float(width), *shifts.to(device))


def _shifts(codec: LatentCodec, states: Tensor, counts: sp.csr_matrix) -> Tensor:
    """Shifts (2, genes) of log mean and log dispersion that fit the mixture over states."""
    n_states = max(_MAX_DECODED // codec.n_genes, 1)
    chosen = torch.as_tensor(np.random.default_rng(0).permutation(len(states))[:n_states])
    decoded = codec.decode(states[chosen].to(codec.cap.device))
    log_mean, log_theta = decoded.log_mean.cpu(), decoded.log_theta.cpu()
    cap = codec.cap.cpu().numpy()
    columns = counts.tocsc()
    genes = np.flatnonzero(np.asarray(counts.mean(axis=0)).ravel() >= _MIN_MEAN)
    # genes with histograms of about the same length together
    genes = genes[np.argsort(cap[genes], kind="stable")]
    shifts = torch.zeros(2, codec.n_genes)
    for start in range(0, len(genes), _GENES_AT_ONCE):
        block = genes[start : start + _GENES_AT_ONCE]
        mixture = Mixture.of_cells(log_mean[:, block], log_theta[:, block])
        values, weights = _histograms(columns, block, cap)
        fitted = fit_marginals(mixture, values, weights, prior=_PRIOR / counts.shape[0])
        shifts[:, block] = torch.stack(fitted)
    return shifts


def _histograms(
    columns: sp.csc_matrix, genes: np.ndarray, cap: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Capped counts of genes and their frequencies, (genes, n_nodes), padded with weight 0."""
    cells = columns.shape[0]
    nodes = []
    for gene in genes:
        seen = columns.data[columns.indptr[gene] : columns.indptr[gene + 1]]
        seen = np.sort(np.minimum(seen[seen > 0], cap[gene]))
        low, n_low = np.unique(seen[seen <= _EXACT], return_counts=True)
        high = seen[seen > _EXACT]
        k = min(_QUANTILES, len(high))
        middle = ((np.arange(k) + 0.5) / max(k, 1) * len(high)).astype(int)
        n_nodes = np.concatenate([[cells - len(seen)], n_low, np.full(k, len(high) / max(k, 1))])
        nodes.append((np.concatenate([[0], low, high[middle]]), n_nodes / cells))
    values, weights = np.zeros((2, len(genes), max(len(v) for v, _ in nodes)), np.float32)
    for i, (v, w) in enumerate(nodes):
        values[i, : len(v)], weights[i, : len(w)] = v, w
    return torch.from_numpy(values), torch.from_numpy(weights)
