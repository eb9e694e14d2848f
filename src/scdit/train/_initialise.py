"""Where the codec starts: statistics of the training cells, computed without densifying them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import LinearOperator, svds

from scdit.nn import LatentCodec
from scdit.train._moments import (
    moments,
    reads_per_molecule,
    scaled_counts,
    zero_inflated_moments,
)

# so few cells are learnt by heart unless counts are hidden from the encoder; more lose structure by it
_FEW_CELLS, _THINNING = 1_000, 0.5
_MAX_CELLS = 20_000  # more cells than this change the principal components little, and cost time


def initialise_latent(codec: LatentCodec, counts: sp.spmatrix | np.ndarray) -> None:
    """Give the codec the principal components and moments of training cells.

    Parameters
    ----------
    codec
        The codec, changed in place.
    counts
        Counts of the training cells only, (cells, genes).
    """
    thinning = _THINNING if counts.shape[0] < _FEW_CELLS else 0.0
    if counts.shape[0] > _MAX_CELLS:
        chosen = np.random.default_rng(0).choice(counts.shape[0], _MAX_CELLS, replace=False)
        counts = counts[np.sort(chosen)]
    counts = sp.csr_matrix(counts, dtype=np.float64)
    cap = gene_caps(counts)
    counts = capped_counts(counts, cap)
    library = library_sizes(counts)
    target = _target(library)
    mean, loadings, sd = principal_components(counts, library, target, codec.encoder.n_pcs)
    proportions, theta, trend = moments(counts, library)
    start = {
        "cap": cap,
        "pc_mean": mean,
        "pc_loadings": loadings,
        "pc_sd": sd,
        "target": np.array(target),
        "library_size": library,
        "log_theta_trend": np.log(trend),
        "log_theta": np.log(theta),
        "thinning": np.array(thinning),
        "reads_per_molecule": np.ones(counts.shape[1]),
        "log_proportions": np.log(proportions),
        "total": np.asarray(counts.sum(axis=0)).ravel(),
    }
    if codec.extra_zeros is not None:
        extra, theta, trend = zero_inflated_moments(counts, library, target)
        start |= {
            "log_theta_trend": np.log(trend),
            "log_theta": np.log(theta),
            "extra_zeros": extra,
            "reads_per_molecule": reads_per_molecule(counts),
        }
    codec.initialise({k: torch.as_tensor(v, dtype=torch.float32) for k, v in start.items()})


def _target(library: np.ndarray) -> float:
    """Counts per cell to which the encoder's input is scaled before the logarithm: the median.

    The noise of genes with few and with many counts is then about equal, as with the variance
    stabilising transformation of counts; with 10,000, as for maps, that of genes with few counts
    drowns what is known of the others (Ahlmann-Eltze and Huber 2023).
    """
    return float(np.median(library))


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


def principal_components(
    counts: sp.csr_matrix, library: np.ndarray, target: float, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (genes,), loadings (genes, n) and standard deviations (n,) of log1p counts per `target`.

    Components that the data does not have (few cells) have zero loadings and unit deviation.
    """
    cells, genes = counts.shape
    log = log_normalised(counts, library, target)
    mean = np.asarray(log.mean(axis=0)).ravel()
    loadings, sd = np.zeros((genes, n)), np.ones(n)
    k = min(n, cells - 1, genes - 1)
    variance = np.asarray(log.multiply(log).mean(axis=0)).ravel() - mean**2
    if k < 1 or variance.max() < 1e-9:  # one cell or gene, or cells that are all the same
        return mean, loadings, sd
    centred = LinearOperator(
        (cells, genes),
        matvec=lambda v: log @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda v: log.T @ v.ravel() - mean * v.sum(),
        matmat=lambda v: log @ v - mean @ v,
        rmatmat=lambda v: log.T @ v - np.outer(mean, v.sum(axis=0)),
        dtype=np.float64,
    )
    _, singular, components = svds(centred, k=k, rng=np.random.default_rng(0))
    order = np.argsort(-singular)
    singular, components = singular[order], components[order]
    # signs that do not depend on the solver
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(k), largest])[:, None]
    loadings[:, :k], sd[:k] = components.T, np.maximum(singular / np.sqrt(cells), 1e-3)
    return mean, loadings, sd


def log_normalised(counts: sp.csr_matrix, library: np.ndarray, target: float) -> sp.csr_matrix:
    """Log1p of :func:`scaled_counts`."""
    log = scaled_counts(counts, library, target)
    log.data = np.log1p(log.data)
    return log
