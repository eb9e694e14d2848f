"""Moments of each gene's counts: proportions, dispersions and extra zeros."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_NEVER = 1e-12  # proportion of a gene without counts
_INVERSE_THETA = 1e-2, 10.0  # range of 1 / theta
_EVIDENCE = 20.0  # cells with counts that a trend is worth
_MIN_MOLECULES = 0.1  # per cell
_BISECTIONS = 30


def moments(
    counts: sp.csr_matrix, library: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Proportions p, inverse dispersions theta, and the trend of theta over p, each (genes,).

    With x ~ NB(mean p L, theta): sum (x - p L)^2 = sum p L + sum (p L)^2 / theta. Genes without
    evidence are shrunk towards the trend: the median among genes that are about as abundant.
    """
    cells, genes = counts.shape
    total = np.asarray(counts.sum(axis=0)).ravel()
    p = (total + 0.5) / (library.sum() + 0.5 * genes)
    excess, signal = excess_squares(counts, library, p)
    order = np.argsort(p)
    seen = order[total[order] > 0.05 * cells]
    order = seen if len(seen) >= 40 else order[-40:]
    trend = np.exp(-_log_running_median(np.log(p), (excess / signal).clip(1e-2, 5), order))
    evidence = 20.0  # squared expected counts that the trend is worth
    p[total == 0] = _NEVER  # a gene that was never seen stays unseen
    inverse = (excess + evidence / trend) / (signal + evidence)
    return p, 1 / inverse.clip(*_INVERSE_THETA), trend


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


def scaled_counts(counts: sp.csr_matrix, library: np.ndarray, target: float) -> sp.csr_matrix:
    """Counts (cells, genes) per `target`; cells without counts stay zero."""
    return sp.csr_matrix(sp.diags(target / np.maximum(library, 1)) @ counts)


def cells_with_counts(counts: sp.csr_matrix) -> np.ndarray:
    """Number of cells that have counts of each gene, (genes,)."""
    return np.asarray((counts > 0).sum(axis=0)).ravel()


def _share_of_zeros(seen: np.ndarray, cells: int) -> np.ndarray:
    """Share of the cells without counts of a gene, never 0 or 1, given how many have some."""
    return (cells - seen + 0.5) / (cells + 1)


def reads_per_molecule(counts: sp.csr_matrix) -> np.ndarray:
    """Roughly how many counts a molecule of each gene has where reads are counted, (genes,).

    Were molecules spread at random over cells, there would be minus the logarithm of the share of
    zeros of them per cell.
    """
    molecules = -np.log(_share_of_zeros(cells_with_counts(counts), counts.shape[0]))
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


def zero_inflated_moments(
    counts: sp.csr_matrix, library: np.ndarray, target: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of extra zeros, inverse dispersions theta and their trend, each (genes,).

    The share of zeros and two moments of counts that are scaled to `target` per cell give the three
    numbers of a zero-inflated negative binomial. With a share pi of extra zeros, mu = m / (1 - pi)
    and 1 + mu + mu / theta is the ratio of the second moment to the mean m; pi is found by
    bisection. Where few cells have counts, theta is that of genes of about the same mu.
    """
    cells = counts.shape[0]
    scaled = scaled_counts(counts, library, target)
    seen = cells_with_counts(counts)
    zeros = _share_of_zeros(seen, cells)
    mean = (np.asarray(scaled.sum(axis=0)).ravel() + 0.5) / cells
    ratio = np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel() / cells / mean

    def counted(extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mu = mean / (1 - extra)
        return mu, 1 / ((ratio - 1 - mu) / mu).clip(*_INVERSE_THETA)

    low, high = np.zeros_like(zeros), zeros
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        mu, theta = counted(middle)
        fewer = middle + (1 - middle) * (1 + mu / theta) ** -theta < zeros
        low, high = np.where(fewer, middle, low), np.where(fewer, high, middle)
    extra = ((low + high) / 2).clip(1e-3, 1 - 1e-3)
    mu, theta = counted(extra)
    order = np.argsort(mu)
    order = order[seen[order] >= _EVIDENCE] if (seen >= _EVIDENCE).any() else order
    trend = np.exp(_log_running_median(np.log(mu), theta, order))
    weight = seen / (seen + _EVIDENCE)
    theta = theta**weight * trend ** (1 - weight)
    return np.log(extra / (1 - extra)), theta, trend


def _log_running_median(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Logarithm of the median y among genes of about the same x; of those in `order`, by x."""
    bins = np.array_split(order, np.clip(len(order) // 20, 1, 20))
    return np.interp(x, [x[b].mean() for b in bins], [np.log(np.median(y[b])) for b in bins])
