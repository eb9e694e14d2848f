"""States of cells that lack modalities, learnt from simulated cells: linear Gaussian cases have closed forms."""

import numpy as np
import torch
from scipy.stats import kstest

from scdit.model._adjusted import Adjustment

N = 5_000
KNOWN = torch.tensor(
    [False, False, False, True]
)  # two latent dimensions, a depth to draw, one that is there


def simulated(rng, n=N):
    """States, and what a careless encoder says of them: means that overshoot, of dimensions that depend."""
    latent = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    depth = latent.sum(1, keepdims=True) + 0.5 * rng.normal(size=(n, 1))
    there = depth + rng.normal(size=(n, 1))
    states = np.hstack([latent, depth, there])
    said = 1.7 * (latent + 0.7 * rng.normal(size=(n, 2))) + 0.3
    means = np.hstack([said, np.zeros((n, 1)), there])
    return torch.from_numpy(states), torch.from_numpy(means)


def test_draws_are_those_of_the_exact_posterior():
    rng = np.random.default_rng(0)
    states, means = simulated(rng)
    truth, said = simulated(rng, 2_000)
    given = Adjustment(means, states, KNOWN).of(said)
    draws = torch.stack([given.draw(rng.random(2_000)) for _ in range(200)]).numpy()
    # the conditional Gaussian of what is not known, given what is: (2000, 3) and (3, 3)
    many, many_said = (x.numpy() for x in simulated(rng, 400_000))
    x = np.hstack([many_said[:, [0, 1, 3]], np.ones((len(many), 1))])
    weights = np.linalg.lstsq(x, many[:, :3], rcond=None)[0]
    exact = np.hstack([said.numpy()[:, [0, 1, 3]], np.ones((2_000, 1))]) @ weights
    covariance = np.cov((many[:, :3] - x @ weights).T)
    # residuals of 20 cells have a mean that is uncertain by 1 / sqrt(20) of their standard deviation
    error = (draws[..., :3].mean(0) - exact) / np.sqrt(np.diag(covariance))
    assert np.sqrt((error**2).mean(0)).max() < 0.3
    assert np.abs(error.mean(0)).max() < 0.05
    spread = (draws[..., :3] - draws[..., :3].mean(0)).reshape(-1, 3)
    np.testing.assert_allclose(np.cov(spread.T), covariance, atol=0.15 * np.abs(covariance).max())
    # the truth is one of the draws as often as another; ranks among 20 have steps of 1 / 21
    ranks = (draws[..., :3] < truth.numpy()[None, :, :3]).mean(0)
    assert max(kstest(r, "uniform").statistic for r in ranks.T) < 0.08


def test_what_is_known_stays():
    rng = np.random.default_rng(1)
    states, means = simulated(rng)
    said = simulated(rng, 50)[1]
    drawn = Adjustment(means, states, KNOWN).of(said).draw(rng.random(50))
    assert torch.equal(drawn[:, 3], said[:, 3])
    assert not (drawn[:, :3] == said[:, :3]).any()
