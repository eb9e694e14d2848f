"""The map between library sizes and normal scores."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from scdit.codec._library import LibraryScores


@pytest.fixture
def sizes():
    """Two kinds of cells, with a sharp edge below: nothing like a log-normal."""
    rng = np.random.default_rng(0)
    log = np.concatenate([rng.normal(6, 0.2, 3_000), rng.normal(8.5, 0.4, 1_000)])
    return torch.tensor(np.exp(log[log > 5.8]).round())


def test_scores_are_standard_normal_and_those_of_normal_numbers_are_the_sizes(sizes):
    scores = LibraryScores()
    scores.fit(sizes)
    assert kstest(scores(sizes.float().log()).numpy(), "norm").statistic < 0.02
    drawn = scores.inverse(torch.randn(20_000, generator=torch.Generator().manual_seed(0)))
    assert kstest(drawn.exp().numpy(), sizes.numpy()).statistic < 0.03


def test_the_map_has_an_inverse_far_outside_the_training_cells_too(sizes):
    scores = LibraryScores()
    scores.fit(sizes)
    log = torch.linspace(0, 16, 200)
    z = scores(log)
    assert (z.diff() > 0).all()
    torch.testing.assert_close(scores.inverse(z), log, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [torch.full((50,), 700.0), torch.tensor([700.0])])
def test_sizes_that_are_all_the_same_come_back(sizes):
    scores = LibraryScores()
    scores.fit(sizes)
    torch.testing.assert_close(scores.inverse(torch.zeros(3)).exp(), torch.full((3,), 700.0))
    assert scores.inverse(torch.tensor([-3.0, 3.0])).exp().sub(700).abs().max() < 5
