"""Keyed noise: a cell's numbers depend on the cell, not on its batch."""

import numpy as np
import pytest

from scdit.diffusion import KeyedNoise


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_batches_do_not_matter(draw):
    whole = getattr(KeyedNoise(3), draw)(0, 300, 5, 1, 7)
    noise = KeyedNoise(3)
    edges = [0, 1, 63, 64, 65, 200, 300]
    parts = [getattr(noise, draw)(a, b, 5, 1, 7) for a, b in zip(edges, edges[1:], strict=False)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_purposes_steps_and_seeds_are_independent():
    noise = KeyedNoise(3)
    draws = [
        noise.normal(0, 200, 5, 1, 7),
        noise.normal(0, 200, 5, 1, 8),
        noise.normal(0, 200, 5, 2, 7),
        KeyedNoise(4).normal(0, 200, 5, 1, 7),
    ]
    flat = np.array([d.ravel() for d in draws])
    correlation = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])


def test_moments():
    noise = KeyedNoise(0)
    normal, uniform = noise.normal(0, 4000, 10, 0), noise.uniform(0, 4000, 10, 1)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs(uniform.mean() - 0.5) < 0.01
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_takes_what_numpy_takes():
    seed = np.random.SeedSequence(5)
    a = KeyedNoise(np.random.default_rng(5)).normal(0, 2, 2, 0)
    np.testing.assert_array_equal(a, KeyedNoise(seed).normal(0, 2, 2, 0))
    assert KeyedNoise(None).seed != KeyedNoise(None).seed
