"""Moments of each gene's counts: proportions, dispersions and extra zeros."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scdit.codec._sparse import (
    cells_with_counts,
    excess_squares,
    scaled_counts,
    share_of_zeros,
)

_NEVER = 1e-12  # proportion of a gene without counts
_INVERSE_THETA = 1e-2, 10.0  # range of 1 / theta
_EVIDENCE = 20.0  # cells with counts that a trend is worth
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
    zeros = share_of_zeros(seen, cells)
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
