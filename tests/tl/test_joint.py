"""Measures across modalities, where their values are known."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA

from scdit.tl._comparison import UnavailableError
from scdit.tl._genes import cross_correlations
from scdit.tl._joint import fit_directions, mean_correlation, without_label_means


def pair(n, r, seed, dimensions=3):
    """Two blocks of standard normals: column i of one has the correlation r[i] with that of the other."""
    rng = np.random.default_rng(seed)
    first, noise = rng.normal(size=(2, n, dimensions))
    return first, r * first + np.sqrt(1 - np.square(r)) * noise


def rotated(x, seed):
    """The same features in other coordinates."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1],) * 2))
    return x @ q


def test_canonical_correlations_are_those_of_the_law():
    r = np.array([0.9, 0.5, 0.1])
    fitted = [rotated(x, i) for i, x in enumerate(pair(4000, r, 0))]
    judged = [rotated(x, i) for i, x in enumerate(pair(4000, r, 1))]
    directions = fit_directions(*fitted)
    assert mean_correlation(directions, *judged) == pytest.approx(r.mean(), abs=0.03)
    # single directions, the strongest first
    first, second = judged[0] @ directions.first, judged[1] @ directions.second
    found = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)]
    np.testing.assert_allclose(found, r, atol=0.05)


def test_canonical_directions_are_those_of_scikit_learn():
    first, second = (rotated(x, i) for i, x in enumerate(pair(3000, np.array([0.8, 0.5, 0.2]), 2)))
    peer = CCA(3).fit(first, second)
    theirs = [
        np.corrcoef(a, b)[0, 1]
        for a, b in zip(*(x.T for x in peer.transform(first, second)), strict=True)
    ]
    ours = mean_correlation(fit_directions(first, second), first, second)
    assert ours == pytest.approx(np.mean(theirs), abs=2e-3)


def test_unpaired_cells_have_none():
    first, second = pair(3000, np.array([0.9, 0.9, 0.9]), 0)
    order = np.random.default_rng(0).permutation(3000)
    assert abs(mean_correlation(fit_directions(first, second), first, second[order])) < 0.04


def test_correlations_of_a_constant_feature_are_zero():
    rng = np.random.default_rng(0)
    first = np.column_stack([rng.normal(size=50), np.full(50, 3.0)])
    second = rng.normal(size=(50, 2)) + first[:, :1]
    found = cross_correlations(first, second)
    np.testing.assert_allclose(found[0], np.corrcoef(first[:, 0], second.T)[0, 1:])
    assert not found[1].any()


def test_label_means_are_removed_and_small_labels_left_out():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], [10, 20, 4])
    offset = np.repeat([5.0, -3, 9], [10, 20, 4])[:, None]
    noise = rng.normal(size=(34, 2))
    (left,) = without_label_means([noise + offset], labels)
    assert left.shape == (30, 2)
    (expected,) = without_label_means([noise], labels)
    np.testing.assert_allclose(left, expected, atol=1e-12)
    np.testing.assert_allclose(left[:10].mean(0), 0, atol=1e-12)
    with pytest.raises(UnavailableError, match="labels of at least 5 cells"):
        without_label_means([noise[:4]], np.array(list("aabb")))
