"""Principal components of log-normalised counts, computed without densifying them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

from scdit.codec._sparse import scaled_counts

TARGET_SUM = 1e4  # counts per cell to which expression is normalised before the logarithm
_OVERSAMPLING, _N_POWERS = 20, 5  # of the randomised decomposition


def log_normalised(counts: sp.csr_matrix, library: np.ndarray, target: float) -> sp.csr_matrix:
    """Log1p of :func:`scaled_counts`."""
    log = scaled_counts(counts, library, target)
    log.data = np.log1p(log.data)
    return log


def principal_components(
    counts: sp.csr_matrix, library: np.ndarray, target: float, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (genes,), loadings (genes, n) and standard deviations (n,) of log1p counts per `target`.

    Components that the data does not have (few cells) have zero loadings and unit deviation.
    """
    return components_of(log_normalised(counts, library, target), n)


def components_of(
    log: sp.csr_matrix, n: int, *, randomised: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (features,), loadings (features, n) and standard deviations (n,) of sparse values.

    Parameters
    ----------
    log
        Logarithms (cells, features), which are centred here without becoming dense.
    n
        Number of components.
    randomised
        Whether they are found in a random subspace (Halko et al. 2011): faster where features are
        many, and exact for those that stand out.
    """
    cells, genes = log.shape
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
    if randomised:
        singular, components = _randomised_svd(centred, k)
    else:
        _, singular, components = svds(centred, k=k, rng=np.random.default_rng(0))
    order = np.argsort(-singular)
    singular, components = singular[order], components[order]
    # signs that do not depend on the solver
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(k), largest])[:, None]
    loadings[:, :k], sd[:k] = components.T, np.maximum(singular / np.sqrt(cells), 1e-3)
    return mean, loadings, sd


def _randomised_svd(matrix: LinearOperator, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values (k,) and right singular vectors (k, columns), by subspace iteration."""
    width = min(k + _OVERSAMPLING, *matrix.shape)
    basis = np.random.default_rng(0).standard_normal((matrix.shape[1], width))
    for _ in range(_N_POWERS):
        basis, _ = np.linalg.qr(matrix.rmatmat(np.linalg.qr(matrix.matmat(basis))[0]))
    _, singular, right = np.linalg.svd(matrix.matmat(basis), full_matrices=False)
    return singular[:k], (right @ basis.T)[:k]
