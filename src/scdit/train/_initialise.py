"""Where the codec starts: statistics of the training cells, computed without densifying them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import LinearOperator, svds

from scdit.nn import LatentCodec

_MAX_CELLS = 20_000  # more cells than this change the principal components little, and cost time


def initialise_codec(codec: LatentCodec, counts: sp.spmatrix | np.ndarray) -> None:
    """Give the codec the principal components and moments of training cells.

    Parameters
    ----------
    codec
        The codec, changed in place.
    counts
        Counts of the training cells only, (cells, genes).
    """
    counts = sp.csr_matrix(counts, dtype=np.float64)
    if counts.shape[0] > _MAX_CELLS:
        chosen = np.random.default_rng(0).choice(counts.shape[0], _MAX_CELLS, replace=False)
        counts = counts[np.sort(chosen)]
    library = np.asarray(counts.sum(axis=1)).ravel()
    mean, loadings, sd = _principal_components(counts, library, codec.n_pcs)
    proportions, theta = _moments(counts, library)
    # d log1p(c) / d log(c) = c / (1 + c): what a step along a component means for the logits;
    # genes with few counts in all start with less of it
    c = proportions * 1e4
    total = proportions * library.sum()
    start = {
        "pc_mean": mean,
        "pc_loadings": loadings,
        "pc_sd": sd,
        "log_library_moments": np.array(
            [np.log(library).mean(), max(np.log(library).std(), 0.05)]
        ),
        "log_proportions": np.log(proportions),
        "log_theta": np.log(theta),
        "loading_scale": (1 + c) / (c + 0.3) * total / (total + 10),
    }
    codec.initialise({k: torch.as_tensor(v, dtype=torch.float32) for k, v in start.items()})


def _principal_components(
    counts: sp.csr_matrix, library: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (genes,), loadings (genes, n) and standard deviations (n,) of log1p CP10k.

    Components that the data does not have (few cells) have zero loadings and unit deviation.
    """
    cells, genes = counts.shape
    log = sp.csr_matrix(sp.diags(1e4 / library) @ counts)
    log.data = np.log1p(log.data)
    mean = np.asarray(log.mean(axis=0)).ravel()
    loadings, sd = np.zeros((genes, n)), np.ones(n)
    k = min(n, cells - 1, genes - 1)
    if k < 1:
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


def _moments(counts: sp.csr_matrix, library: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Proportions p and inverse dispersions theta of the genes, by the method of moments.

    With x ~ NB(mean p L, theta): sum (x - p L)^2 = sum p L + sum (p L)^2 / theta. A common
    dispersion, worth one squared count, keeps genes without evidence from extremes.
    """
    p = (np.asarray(counts.sum(axis=0)).ravel() + 0.5) / (library.sum() + 0.5 * counts.shape[1])
    squares = np.asarray(counts.multiply(counts).sum(axis=0)).ravel()
    cross = counts.T @ library
    evidence = p**2 * (library**2).sum()
    excess = squares - 2 * p * cross + evidence - p * library.sum()
    top = np.argsort(-p)[: max(50, len(p) // 20)]
    common = max(np.median(excess[top] / evidence[top]), 0.05)
    return p, 1 / np.clip((excess + common) / (evidence + 1), 1e-3, 20)


def default_batch_size(n_cells: int) -> int:
    """Cells per step: smaller data wants more and noisier steps."""
    return 64 if n_cells < 5_000 else 128 if n_cells < 20_000 else 256


def default_epochs(n_cells: int) -> dict[str, int]:
    """Passes over the cells, per phase: a bounded number of steps, early stopping permitting."""
    steps_per_epoch = max(1, round(0.9 * n_cells / default_batch_size(n_cells)))
    return {
        "codec": int(np.clip(4_000 / steps_per_epoch, 5, 60)),
        "denoiser": int(np.clip(5_000 / steps_per_epoch, 10, 500)),
    }
