"""Calibration of each gene's marginal, over all cells and in regions of the latent space."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from scdit.nn import MAX_REGIONS, LatentCodec, fit_marginals

_MIXTURE = 1_000  # states whose mixture is compared with the training counts
_MIN_MEAN = 0.02  # counts per cell below which the marginal of a gene says no more than its mean
_EXACT, _QUANTILES = 6, 16  # a gene's histogram: counts up to here, then so many quantiles
_GENES_AT_ONCE = 64
_CELLS_PER_REGION = 150
_REGION_MIXTURE, _REGION_MIN_MEAN = 300, 0.1  # as above, in a region
_REGION_PRIOR = 10.0  # precision of the prior on a region's shifts, in cells


def calibrate_marginals(codec: LatentCodec, states: Tensor, counts: sp.csr_matrix) -> None:
    """Shift each gene's mean and dispersion so that the mixture over states fits its counts.

    Parameters
    ----------
    codec
        Changed in place.
    states
        States (cells, n_state) whose decoded mixture should have the marginals of the data.
    counts
        Counts of the training cells, (cells, genes).
    """
    codec.regions.clear()
    shifts = _shifts(codec, states, counts, _MIXTURE, _MIN_MEAN, n_iterations=12, prior=1e-3)
    codec.shift(*shifts.to(codec.cap.device))


def calibrate_regions(codec: LatentCodec, states: Tensor, counts: sp.csr_matrix) -> None:
    """The same in regions of the latent space, shrunk towards no change.

    A gene that is on in one kind of cell and off in another has two marginals, which one shift for
    all cells cannot meet both. Regions are found by k-means, one for every 150 cells up to 16, and
    are those of the cells that the states belong to.

    Parameters
    ----------
    codec, states, counts
        As in :func:`calibrate_marginals`; row i of the states belongs to cell i.
    """
    n_regions = int(np.clip(len(states) // _CELLS_PER_REGION, 1, MAX_REGIONS))
    if n_regions == 1:  # all cells, which are calibrated already
        return
    latent = states[:, : codec.n_latent].numpy()
    clusters = KMeans(n_regions, n_init=3, random_state=0).fit(latent)
    shifts = torch.zeros(2, n_regions, codec.n_genes)
    for region in range(n_regions):
        cells = np.flatnonzero(clusters.labels_ == region)
        shifts[:, region] = _shifts(
            codec, states[torch.as_tensor(cells)], counts[cells], _REGION_MIXTURE,
            _REGION_MIN_MEAN, n_iterations=6, prior=_REGION_PRIOR / len(cells),
        )  # fmt: skip
    width = np.sqrt(clusters.inertia_ / latent.size)
    device = codec.cap.device
    centres = torch.as_tensor(clusters.cluster_centers_, dtype=torch.float32)
    codec.regions.set(centres.to(device), float(width), *shifts.to(device))


def _shifts(
    codec: LatentCodec,
    states: Tensor,
    counts: sp.csr_matrix,
    n_states: int,
    min_mean: float,
    *,
    n_iterations: int,
    prior: float,
) -> Tensor:
    """Shifts (2, genes) of log mean and log dispersion that fit the mixture over states."""
    chosen = torch.as_tensor(np.random.default_rng(0).permutation(len(states))[:n_states])
    decoded = codec.decode(states[chosen].to(codec.cap.device))
    log_mean, log_theta = decoded.log_mean.cpu(), decoded.log_theta.cpu()
    cap = codec.cap.cpu().numpy()
    columns = counts.tocsc()
    genes = np.flatnonzero(np.asarray(counts.mean(axis=0)).ravel() >= min_mean)
    # genes with histograms of about the same length together
    genes = genes[np.argsort(cap[genes], kind="stable")]
    shifts = torch.zeros(2, codec.n_genes)
    for start in range(0, len(genes), _GENES_AT_ONCE):
        block = genes[start : start + _GENES_AT_ONCE]
        values, weights = _histograms(columns, block, cap)
        shifts[:, block] = torch.stack(
            fit_marginals(
                log_mean[:, block].T.contiguous(),
                log_theta[:, block].T.contiguous(),
                values,
                weights,
                n_iterations=n_iterations,
                prior=prior,
            )
        )
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
