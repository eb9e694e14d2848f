"""Gene by gene: moments, correlations and marker fold changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils.sparsefuncs import mean_variance_axis


class GeneMoments(NamedTuple):
    """Mean, variance and zero fraction of counts per gene, shapes (genes,)."""

    mean: np.ndarray
    variance: np.ndarray
    zeros: np.ndarray


class Agreement(NamedTuple):
    """Mean absolute (or root mean squared) error of a statistic over genes, and Pearson's r."""

    error: float
    r: float


class FoldChangeFit(NamedTuple):
    """Regression of generated on real log2 fold changes: slope and Pearson's r."""

    slope: float
    r: float


def gene_moments(counts: sp.csr_matrix) -> GeneMoments:
    """Return mean, variance and zero fraction of every gene of a CSR matrix (cells x genes)."""
    mean, variance = mean_variance_axis(counts.astype(np.float64), axis=0)
    detected = np.bincount(counts.indices[counts.data != 0], minlength=counts.shape[1])
    return GeneMoments(mean, variance, 1 - detected / counts.shape[0])


def log_agreement(real: np.ndarray, generated: np.ndarray, *, offset: float) -> Agreement:
    """Mean absolute error and correlation of log10(statistic + offset), shapes (genes,)."""
    return agreement(np.log10(real + offset), np.log10(generated + offset))


def agreement(real: np.ndarray, generated: np.ndarray) -> Agreement:
    """Mean absolute error and correlation of a statistic per gene, shapes (genes,)."""
    return Agreement(float(np.abs(real - generated).mean()), pearson(real, generated))


def gene_correlations(expression: np.ndarray) -> np.ndarray:
    """Pearson correlations of genes (columns); 0 where a gene does not vary.

    Parameters
    ----------
    expression
        Log expression, shape (cells, genes).

    Returns
    -------
    Shape (genes, genes), with the diagonal at 1 (0 for genes that do not vary).
    """
    scaled = _of_unit_length(expression)
    return scaled.T @ scaled


def cross_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson correlations of each column of the first with each of the second.

    Parameters
    ----------
    first, second
        Features of the same cells, shapes (cells, n) and (cells, m).

    Returns
    -------
    Shape (n, m); 0 where a feature does not vary.
    """
    return _of_unit_length(first).T @ _of_unit_length(second)


def _of_unit_length(features: np.ndarray) -> np.ndarray:
    """Centre columns and scale them to length 1; columns that do not vary are 0."""
    centred = features - features.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    return centred / np.where(norm > 0, norm, 1)


def correlation_agreement(real: np.ndarray, generated: np.ndarray) -> Agreement:
    """Root mean squared difference and r of gene-gene correlations, over pairs of genes.

    Parameters
    ----------
    real, generated
        Log expression, shapes (n, genes) and (m, genes).
    """
    pairs = np.triu_indices(real.shape[1], k=1)
    first, second = gene_correlations(real)[pairs], gene_correlations(generated)[pairs]
    return Agreement(float(np.sqrt(np.mean((first - second) ** 2))), pearson(first, second))


def log_fold_change(inside: sp.csr_matrix, outside: sp.csr_matrix) -> np.ndarray:
    """Log2 fold change per gene of mean counts per 10,000 + 0.1, label against rest.

    Parameters
    ----------
    inside, outside
        Log expression of the label's cells and of all others, CSR (cells x genes).
    """
    means = (np.asarray(x.expm1().mean(axis=0)).ravel() for x in (inside, outside))
    first, second = (np.log2(mean + 0.1) for mean in means)
    return first - second


def fold_change_fit(real: np.ndarray, generated: np.ndarray) -> FoldChangeFit:
    """Regress generated on real log2 fold changes, shapes (genes,).

    A slope below that of real cells means attenuated markers. Sampling noise in the real fold
    changes flattens the slope of real cells too, which is why it must be read beside its floor.
    """
    if len(real) < 2 or np.ptp(real) == 0:
        return FoldChangeFit(float("nan"), float("nan"))
    slope = np.cov(real, generated)[0, 1] / np.var(real, ddof=1)
    return FoldChangeFit(float(slope), pearson(real, generated))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where it is undefined."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
