"""Distances against closed forms for Gaussians, and against other packages."""

import numpy as np
import pytest
from scipy.stats import norm

from scdit.tl import frechet, mmd, sliced_wasserstein, wasserstein
from scdit.tl._distances import mmd_biased


def gaussian(n: int, d: int, *, mean: float = 0, sd: float = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, sd, (n, d))


def gaussian_mmd(d: int, shift: float, first: float, second: float, bandwidth: float) -> float:
    """MMD^2 of N(0, first^2 I) and N(shift 1, second^2 I) under exp(-|x - y|^2 / bandwidth)."""

    def expectation(variance: float, squared_shift: float) -> float:
        # of the kernel at a difference that is N(shift, variance I)
        width = bandwidth + 2 * variance
        return (bandwidth / width) ** (d / 2) * np.exp(-squared_shift / width)

    return (
        expectation(2 * first**2, 0)
        + expectation(2 * second**2, 0)
        - 2 * expectation(first**2 + second**2, d * shift**2)
    )


@pytest.mark.parametrize(("shift", "sd"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.6)])
def test_mmd_is_that_of_two_gaussians(shift, sd):
    x, y = gaussian(1500, 3), gaussian(1500, 3, mean=shift, sd=sd, seed=1)
    bandwidths = [1.0, 4.0, 16.0]
    expected = np.mean([gaussian_mmd(3, shift, 1.0, sd, b) for b in bandwidths])
    assert mmd(x, y, bandwidths=bandwidths) == pytest.approx(expected, abs=3e-3)


def test_mmd_is_unbiased():
    values = [mmd(gaussian(30, 4, seed=2 * i), gaussian(30, 4, seed=2 * i + 1)) for i in range(60)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_biased_mmd_counts_cells():
    # a kernel far narrower than any distance sees each point alone
    assert mmd_biased(gaussian(50, 3), gaussian(50, 3, seed=1), [1e-6]) == pytest.approx(2 / 50)


def test_mmd_needs_two_points():
    with pytest.raises(ValueError, match="2 points"):
        mmd(gaussian(1, 3), gaussian(5, 3))


def test_frechet_is_that_of_two_gaussians():
    rng = np.random.default_rng(0)
    scales, others, shift = np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 3.5]), 0.7
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    x = rng.normal(size=(60_000, 3)) * scales @ rotation
    y = (rng.normal(size=(60_000, 3)) * others + shift) @ rotation
    expected = 3 * shift**2 + np.sum((scales - others) ** 2)
    assert frechet(x, y) == pytest.approx(expected, rel=0.02)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_with_fewer_cells_than_dimensions():
    assert frechet(gaussian(6, 20), gaussian(6, 20, seed=1)) > 0


@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_of_a_shift(p):
    x = gaussian(200, 5)
    # a translation moves every point alike, and no plan is cheaper
    assert wasserstein(x, x[::-1] + 0.3, p=p) == pytest.approx(0.3 * np.sqrt(5))


def test_wasserstein_of_two_gaussians():
    # evenly spaced quantiles: a sample without sampling noise
    z = norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    assert wasserstein(2 * z, 1 - 3 * z) == pytest.approx(np.sqrt(1**2 + (3 - 2) ** 2), rel=0.01)


@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_agrees_with_pot(p):
    ot = pytest.importorskip("ot", reason="needs POT")
    x, y = gaussian(80, 6), gaussian(80, 6, mean=0.2, sd=1.3, seed=1)
    cost = ot.dist(x, y, metric="euclidean") ** p
    assert wasserstein(x, y, p=p) == pytest.approx(ot.emd2([], [], cost) ** (1 / p))


def test_wasserstein_needs_equal_sizes():
    with pytest.raises(ValueError, match="same size"):
        wasserstein(gaussian(5, 2), gaussian(6, 2))


def test_sliced_wasserstein_of_isotropic_gaussians():
    x, y = gaussian(8000, 8, sd=1), gaussian(8000, 8, sd=1.5, seed=1)
    # every projection is N(0, sd^2)
    assert sliced_wasserstein(x, y, n_projections=40) == pytest.approx(0.5, rel=0.05)


def test_sliced_wasserstein_in_one_dimension_is_exact():
    x, y = gaussian(300, 1), gaussian(300, 1, mean=1, seed=1)
    assert sliced_wasserstein(x, y) == pytest.approx(wasserstein(x, y))


def test_sliced_wasserstein_takes_unequal_sizes():
    x = gaussian(4000, 3)
    assert sliced_wasserstein(x, x[:3000]) < 0.1


@pytest.mark.parametrize("distance", [mmd, frechet, wasserstein, sliced_wasserstein])
def test_distances_ignore_the_order_of_cells(distance):
    x, y = gaussian(100, 4), gaussian(100, 4, mean=0.3, seed=1)
    order = np.random.default_rng(0).permutation(100)
    assert distance(x[order], y[order[::-1]]) == pytest.approx(distance(x, y))
