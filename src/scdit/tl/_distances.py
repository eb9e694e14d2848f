"""Distances between two samples of points, each an array of shape (cells, dimensions)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh, eigvalsh
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist

from scdit._checks import check_int, check_number, shown
from scdit.tl._points import MAX_DIMENSIONS, MAX_POINTS, MAX_SEED, check_samples

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
MAX_PROJECTIONS = 10_000
PROJECTED_AT_ONCE = 50_000_000  # values, which bounds the memory


def mmd(
    real: np.ndarray, generated: np.ndarray, *, bandwidths: Sequence[float] | None = None
) -> float:
    r"""Unbiased squared maximum mean discrepancy, averaged over several RBF kernels.

    :math:`k(x, y) = \exp(-\lVert x - y \rVert^2 / b)`; equation 3 of Gretton et al. (JMLR 2012).
    Its expectation is 0 for two samples of one distribution, so that single values may be
    negative.

    Parameters
    ----------
    real
        Shape (n, d), with n >= 2.
    generated
        Shape (m, d), with m >= 2.
    bandwidths
        The values of b, positive, in squared units of the data. By default 1/4, 1/2, 1, 2 and 4
        times the median squared distance between real cells.

    Returns
    -------
    The squared discrepancy; below 0 by chance where there is none.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If a sample has fewer than 2 or more than 10,000 points, or values that are not finite; if
        the samples differ in d; or if a bandwidth is not positive, which by default happens where
        half of the pairs of real points are equal.

    Examples
    --------
    >>> rng = numpy.random.default_rng(0)
    >>> first, second = rng.normal(size=(2, 200, 5))
    >>> scdit.tl.mmd(first, second + 1)
    """
    real, generated = check_samples(2, MAX_POINTS, real=real, generated=generated)
    if bandwidths is not None:
        bandwidths = _positive(bandwidths)
    within_real = pdist(real, "sqeuclidean")
    within_generated = pdist(generated, "sqeuclidean")
    between = cdist(real, generated, "sqeuclidean")
    if bandwidths is None:
        typical = float(np.median(within_real))
        if typical == 0:
            raise ValueError("half of the pairs of points of real are equal: pass bandwidths")
        bandwidths = [factor * typical for factor in BANDWIDTH_FACTORS]
    # pdist holds each pair once and no point with itself: its mean is the U-statistic
    return float(
        np.mean(
            [
                np.exp(-within_real / b).mean()
                + np.exp(-within_generated / b).mean()
                - 2 * np.exp(-between / b).mean()
                for b in bandwidths
            ]
        )
    )


def mmd_biased(real: np.ndarray, generated: np.ndarray, bandwidths: Sequence[float]) -> float:
    r"""Biased squared maximum mean discrepancy, summed over RBF kernels.

    The V-statistic that the field's protocols use (equation 5 of Gretton et al., JMLR 2012):
    each point is compared with itself too, so that the value for two real samples is not 0 but
    about 2 / n for each narrow kernel.

    Parameters
    ----------
    real
        Shape (n, d).
    generated
        Shape (m, d).
    bandwidths
        b in :math:`k(x, y) = \exp(-\lVert x - y \rVert^2 / b)`.
    """
    real, generated = check_samples(1, MAX_POINTS, real=real, generated=generated)
    bandwidths = _positive(bandwidths)
    pairs = ((real, real, 1), (generated, generated, 1), (real, generated, -2))
    total = 0.0
    for x, y, weight in pairs:
        squared = cdist(x, y, "sqeuclidean")
        total += weight * sum(float(np.exp(-squared / b).mean()) for b in bandwidths)
    return total


def frechet(real: np.ndarray, generated: np.ndarray) -> float:
    r"""Fréchet distance: the squared 2-Wasserstein distance of two fitted Gaussians.

    :math:`\lVert \mu_1 - \mu_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1^{1/2} C_2
    C_1^{1/2})^{1/2})` (Dowson and Landau, 1982), in squared units of the data.

    Parameters
    ----------
    real
        Shape (n, d), with n >= 2.
    generated
        Shape (m, d), with m >= 2.

    Returns
    -------
    The distance, at least 0.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If a sample has fewer than 2 points or values that are not finite, or if the samples differ
        in d or have more than 5,000 dimensions.

    Examples
    --------
    >>> rng = numpy.random.default_rng(0)
    >>> first, second = rng.normal(size=(2, 200, 5))
    >>> scdit.tl.frechet(first, second + 1)
    """
    real, generated = check_samples(2, real=real, generated=generated)
    if real.shape[1] > MAX_DIMENSIONS:
        raise ValueError(
            f"real and generated have {real.shape[1]:,} dimensions; a covariance matrix of more than "
            f"{MAX_DIMENSIONS:,} takes hours: pass principal components"
        )
    first = np.atleast_2d(np.cov(real, rowvar=False))
    second = np.atleast_2d(np.cov(generated, rowvar=False))
    # the symmetric product has real, non-negative eigenvalues, unlike sqrtm of C1 C2
    values, vectors = eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    overlap = np.sqrt(np.clip(eigvalsh(root @ second @ root), 0, None)).sum()
    shift = np.sum((real.mean(axis=0) - generated.mean(axis=0)) ** 2)
    return float(shift + np.trace(first) + np.trace(second) - 2 * overlap)


def wasserstein(real: np.ndarray, generated: np.ndarray, *, p: float = 2) -> float:
    r"""Exact p-Wasserstein distance between two samples of the same size.

    With equal sizes and weights the best transport plan is a matching of points (Birkhoff), so
    that SciPy's assignment solver gives the exact optimum:
    :math:`(\min_\pi \frac{1}{n} \sum_i \lVert x_i - y_{\pi(i)} \rVert^p)^{1/p}`.

    Parameters
    ----------
    real
        Shape (n, d).
    generated
        Shape (n, d): as many points.
    p
        Order of the distance, 1 to 100.

    Returns
    -------
    The distance, at least 0.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If the samples differ in size or in d, have more than 10,000 points, or values that are not
        finite; or if `p` is out of range.

    Examples
    --------
    >>> rng = numpy.random.default_rng(0)
    >>> first, second = rng.normal(size=(2, 200, 5))
    >>> scdit.tl.wasserstein(first, second + 1)
    """
    real, generated = check_samples(1, MAX_POINTS, real=real, generated=generated)
    p = check_number("p", p, 1, 100)
    if len(real) != len(generated):
        raise ValueError(
            f"The samples must have the same size, not {len(real)} and {len(generated)}."
        )
    distance = cdist(real, generated)
    longest = float(distance.max()) or 1.0  # high powers of long distances are no finite numbers
    cost = (distance / longest) ** p
    return longest * float(cost[linear_sum_assignment(cost)].mean() ** (1 / p))


def sliced_wasserstein(
    real: np.ndarray, generated: np.ndarray, *, n_projections: int = 200, seed: int = 0
) -> float:
    """Sliced 2-Wasserstein distance: root mean square over random one-dimensional projections.

    Bonneel et al. (JMIV 2015). In one dimension the best plan pairs equal quantiles.

    Parameters
    ----------
    real
        Shape (n, d).
    generated
        Shape (m, d).
    n_projections
        Number of directions, uniform on the sphere, 1 to 10,000.
    seed
        Of the directions.

    Returns
    -------
    The distance, at least 0.

    Raises
    ------
    TypeError
        If a sample is an AnnData or a sparse matrix.
    ValueError
        If a sample has no points or values that are not finite, if the samples differ in d, or if
        `n_projections` or `seed` is out of range.

    Examples
    --------
    >>> rng = numpy.random.default_rng(0)
    >>> first, second = rng.normal(size=(2, 200, 5))
    >>> scdit.tl.sliced_wasserstein(first, second + 1)
    """
    real, generated = check_samples(real=real, generated=generated)
    n_projections = check_int("n_projections", n_projections, high=MAX_PROJECTIONS)
    seed = check_int("seed", seed, 0, MAX_SEED)
    directions = np.random.default_rng(seed).standard_normal((real.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    size = max(len(real), len(generated))
    at_once = max(1, PROJECTED_AT_ONCE // size)
    squares = []
    for start in range(0, n_projections, at_once):
        some = directions[:, start : start + at_once]
        first, second = (_quantiles(x @ some, size) for x in (real, generated))
        squares.append(((first - second) ** 2).mean(axis=0))
    return float(np.sqrt(np.mean(np.concatenate(squares))))


def _positive(bandwidths: Sequence[float]) -> list[float]:
    """Bandwidths that kernels can have."""
    if not isinstance(bandwidths, Sequence | np.ndarray) or isinstance(bandwidths, str):
        raise ValueError(f"bandwidths must be a list of numbers, got {shown(bandwidths)}")
    if not len(bandwidths):
        raise ValueError("bandwidths must be a list of at least one number, got none")
    return [check_number("bandwidths", b, 0, open_low=True) for b in bandwidths]


def _quantiles(values: np.ndarray, size: int) -> np.ndarray:
    """Return `size` evenly spaced quantiles of each column, shape (size, columns).

    The i-th of n sorted values is the quantile at (i + 1/2) / n, with straight lines between
    (Hazen); for n = `size` these are the sorted values themselves.
    """
    ordered = np.sort(values, axis=0)
    position = np.clip((np.arange(size) + 0.5) * len(values) / size - 0.5, 0, len(values) - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    weight = (position - below)[:, None]
    return (1 - weight) * ordered[below] + weight * ordered[above]
