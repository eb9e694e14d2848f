"""Matrices that may hold counts, of any kind and type."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp


def looks_like_counts(matrix: Any) -> bool:
    """Whether a matrix in memory holds numbers that are finite, whole and not negative."""
    if not (sp.issparse(matrix) or isinstance(matrix, np.ndarray)):
        return False
    if matrix.dtype.kind not in "iuf":
        return False
    values = matrix.data if sp.issparse(matrix) else matrix
    return bool(
        np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()
    )


def calculable(matrix: Any) -> Any:
    """The matrix itself, or in double precision where scipy cannot calculate with its type."""
    if matrix.dtype in (np.bool_, np.float16, np.longdouble):
        return matrix.astype(np.float64)
    return matrix


def canonical(matrix: Any) -> sp.csr_matrix:
    """A sparse matrix as CSR whose entries occur once, copied where it is not one."""
    csr = sp.csr_matrix(matrix)
    # looked at in a new object: the flags of the user's own stay as they are
    csr = sp.csr_matrix((csr.data, csr.indices, csr.indptr), shape=csr.shape)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def some_of(n: int, most: int) -> np.ndarray:
    """Positions of `n` rows, or of a random sample of `most` of them: ascending, the same each time."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))
