"""Samples of points: are they arrays that can be compared, and not too many of them?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from anndata import AnnData
from scipy.sparse import issparse

from scdit._checks import shown

MAX_POINTS = 10_000  # on a side, where all pairs are held in memory: 800 MB each time
MAX_DIMENSIONS = 5_000  # where a matrix of all pairs of dimensions is decomposed
MAX_SEED = 2**32 - 1  # of scikit-learn


def check_samples(
    least: int = 1, most: float = math.inf, **samples: Any
) -> tuple[np.ndarray, ...]:
    """Samples of points as arrays of finite numbers, (n, d), with the same d.

    Parameters
    ----------
    least, most
        Points that each sample has.
    samples
        The samples, by the name of the argument that brought them.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If a sample has another shape, fewer or more points, or values that are not finite; or if
        the samples differ in d.
    """
    arrays = {name: _points(name, points, least, most) for name, points in samples.items()}
    dimensions = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(dimensions.values())) > 1:
        raise ValueError(
            f"{' and '.join(dimensions)} must have the same dimensions, got "
            f"{' and '.join(map(str, dimensions.values()))} dimensions"
        )
    return tuple(arrays.values())


def _points(name: str, points: Any, least: int, most: float) -> np.ndarray:
    """One sample as an array of floating point numbers."""
    if isinstance(points, AnnData) or issparse(points):
        raise TypeError(
            f"{name} must be an array (cells, dimensions), got {type(points).__name__}: pass "
            "principal components or dense expression, or call scdit.tl.evaluate on AnnData objects"
        )
    wrong = f"{name} must be an array of numbers, got {shown(points)}"
    if isinstance(points, np.ma.MaskedArray):
        raise ValueError(f"{name} must be an array of numbers without a mask")
    try:
        array = np.asarray(points)
        if array.dtype.kind not in "biuf":
            if array.dtype.kind != "O":
                raise ValueError(wrong)
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(wrong) from error
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"{name} must have the shape (cells, dimensions), got {array.shape}")
    if len(array) < least:
        raise ValueError(
            f"{name} must have the shape (n, d) with n of at least {least} points, got {array.shape}"
        )
    if len(array) > most:
        raise ValueError(
            f"{name} has {len(array):,} points, and all pairs would not fit in memory: take at most "
            f"{most:,} of them at random"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite: NaN or infinity")
    return array
