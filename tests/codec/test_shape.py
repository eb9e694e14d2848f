"""The shape of counts around their expectation: a monotone map, and its fit to known truths."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from scdit.codec.calibration import CountShape, Mixture, fit_density, interval_probabilities
from scdit.codec.likelihood import NegativeBinomial

WIDTHS = CountShape(1).edges.diff().double().numpy()


@pytest.fixture(params=[-torch.inf, -0.5], ids=["nb", "zinb"])
def mixture(request):
    """Two genes, three components."""
    return Mixture(
        torch.tensor([[0.0, 1.0, 2.0], [-1.0, 2.0, 3.0]]),
        torch.tensor([[0.5, 0.5, 0.0], [1.0, -0.5, 1.5]]),
        torch.tensor([[0.0, 1.0, 0.5], [-1.0, 0.0, 1.0]]) + request.param,
        torch.tensor([0.2, 0.5, 0.3]).log(),
    )


def probabilities(mixture):
    """Of each count up to 60 in the components, (genes, components, 61)."""
    theta, mean = mixture.log_theta.exp().numpy(), mixture.log_mean.exp().numpy()
    extra = torch.sigmoid(mixture.logit).numpy()[..., None]
    counted = nbinom.pmf(np.arange(61), theta[..., None], (theta / (theta + mean))[..., None])
    return extra * (np.arange(61) == 0) + (1 - extra) * counted


def test_starts_without_change_and_goes_back_to_it():
    shape, uniform = CountShape(3), torch.rand(50, 3)
    assert (shape(uniform) == uniform).all()
    shape.set(np.random.default_rng(0).dirichlet(np.ones(len(WIDTHS)), 3))
    assert (shape(uniform) != uniform).any()
    shape.clear()
    assert (shape(uniform) == uniform).all()


def test_gives_numbers_the_density_that_was_set():
    density = np.random.default_rng(0).dirichlet(np.ones(len(WIDTHS)), 2)
    shape = CountShape(3)
    shape.set(np.vstack([density, WIDTHS]))
    uniform = torch.linspace(0, 1, 20_001)[:-1, None].expand(-1, 3)
    made = shape(uniform)
    assert (made[:, 2] == uniform[:, 2]).all()  # the gene whose density is uniform
    assert (made.diff(dim=0)[:, :2] >= 0).all()
    assert made.min() >= 0
    assert made.max() < 1
    for gene in (0, 1):
        counts, _ = np.histogram(made[:, gene], shape.edges)
        np.testing.assert_allclose(counts / len(made), density[gene], atol=2e-4)
    assert shape(torch.full((1, 3), 1 - 2**-24)).max() < 1


def test_interval_probabilities_are_those_of_the_mixture(mixture):
    upper = np.array([[0, 1, 2, 5, np.inf], [0, 3, 9, 20, np.inf]])
    given_bin = interval_probabilities(mixture, upper)
    np.testing.assert_allclose(given_bin.sum(1), 1, atol=1e-5)
    # uniform numbers fall into bins as their widths
    weight = mixture.log_weight.exp().numpy()
    pmf = np.einsum("m,gmk->gk", weight, probabilities(mixture))
    for gene in (0, 1):
        below = np.append(pmf[gene].cumsum()[upper[gene, :-1].astype(int)], 1)
        np.testing.assert_allclose(given_bin[gene] @ WIDTHS, np.diff(below, prepend=0), atol=1e-5)


def fitted(mixture, cells):
    """Shapes for how many `cells` (genes, 61) have each count."""
    upper = np.tile(np.append(np.arange(60.0), np.inf), (2, 1))
    return fit_density([(np.arange(2), cells, interval_probabilities(mixture, upper))], 2)


def test_counts_of_the_likelihood_keep_their_shape(mixture):
    pmf = np.einsum("m,gmk->gk", mixture.log_weight.exp().numpy(), probabilities(mixture))
    cells = np.random.default_rng(0).multinomial(20_000, pmf / pmf.sum(1, keepdims=True))
    assert np.abs(fitted(mixture, cells).cumsum(1) - WIDTHS.cumsum()).max() < 0.02
    # a single cell moves little
    assert np.abs(fitted(mixture, np.eye(61)[[30, 0]]).cumsum(1) - WIDTHS.cumsum()).max() < 0.03


def test_cells_of_two_kinds_are_drawn_as_two_kinds():
    """A gene that 3 in 10 cells do not have, by a likelihood of one mean and the variance of both."""
    rng = np.random.default_rng(0)
    has = rng.random(5_000) < 0.7
    counts = np.column_stack([rng.poisson(8 * has), rng.poisson(8, 5_000)])
    mean, variance = 5.6, 5.6 + 8**2 * 0.21
    theta = torch.full((2, 1), mean**2 / (variance - mean)).log()
    no_extra = torch.full((2, 1), -torch.inf)
    mixture = Mixture(torch.full((2, 1), mean).log(), theta, no_extra, torch.zeros(1))
    shape = CountShape(2)
    shape.set(fitted(mixture, np.stack([np.bincount(c, minlength=61) for c in counts.T])))
    likelihood = NegativeBinomial(mixture.log_mean.T.expand(5_000, 2), mixture.log_theta.T)
    uniform = torch.tensor(rng.random((5_000, 2)), dtype=torch.float32)

    def error(u):
        made = likelihood.quantile(u).numpy()
        below = [[(c <= k).mean(0) for k in range(30)] for c in (made, counts)]
        return np.abs(np.subtract(*below)).max(0)

    assert error(uniform).min() > 0.1
    assert error(shape(uniform)).max() < 0.03
