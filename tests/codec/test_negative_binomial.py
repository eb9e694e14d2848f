"""The negative binomial against scipy, and the marginal calibration against known mixtures."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from scdit.codec.calibration import Mixture, fit_shifts
from scdit.codec.likelihood import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
    _negative_binomial,
    cell_negative_log_likelihood,
)


@pytest.fixture
def parameters():
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(0, 2, (50, 200)))
    theta = np.exp(rng.normal(1, 1, (50, 200)))
    return mean, theta


@pytest.fixture(params=["processor", "elsewhere"])
def summed(request, monkeypatch):
    """How far the distribution is summed: on the processor, and on other devices."""
    if request.param == "elsewhere":
        monkeypatch.setattr(_negative_binomial, "_CLIMB", _negative_binomial._CLIMB_ELSEWHERE)


def scipy_nb(mean, theta):
    return nbinom(theta, theta / (theta + mean))


def torch_nb(mean, theta, dtype=torch.float64):
    return NegativeBinomial(*(torch.tensor(np.log(v), dtype=dtype) for v in (mean, theta)))


def test_log_prob_is_scipys(parameters):
    counts = np.random.default_rng(1).poisson(parameters[0])
    ours = torch_nb(*parameters).log_prob(torch.tensor(counts, dtype=torch.float64))
    np.testing.assert_allclose(ours, scipy_nb(*parameters).logpmf(counts), rtol=1e-8, atol=1e-8)


@pytest.mark.usefixtures("summed")
def test_quantile_is_scipys(parameters):
    u = np.random.default_rng(2).random((50, 200))
    ours = torch_nb(*parameters).quantile(torch.tensor(u))
    np.testing.assert_array_equal(ours, scipy_nb(*parameters).ppf(u))


def test_interval_is_scipys(parameters):
    counts = np.random.default_rng(3).poisson(parameters[0])
    below, probability = torch_nb(*parameters, dtype=torch.float32).interval(torch.tensor(counts))
    truth = scipy_nb(*parameters)
    assert below.dtype == probability.dtype == torch.float64
    np.testing.assert_allclose(below, truth.cdf(counts - 1), atol=2e-6)
    np.testing.assert_allclose(probability, truth.pmf(counts), rtol=1e-4, atol=1e-8)


@pytest.mark.usefixtures("summed")
@pytest.mark.parametrize(
    ("mean", "theta"),
    [
        pytest.param(5e3, 2.0, id="huge-overdispersed"),
        pytest.param(1e7, 0.5, id="beyond-what-can-be-summed"),
        pytest.param(2e3, 1e4, id="zero-probability-underflows"),
        pytest.param(1e-9, 1.0, id="never-seen"),
        pytest.param(3.0, 1e-2, id="nearly-always-zero"),
    ],
)
def test_quantile_at_extremes(mean, theta):
    u = np.array([[1e-6, 0.01, 0.5, 0.93, 0.999, 1 - 2**-24]])
    parameters = [np.full(u.shape, v) for v in (mean, theta)]
    ours = torch_nb(*parameters).quantile(torch.tensor(u))
    np.testing.assert_array_equal(ours, scipy_nb(*parameters).ppf(u))


def test_draws_have_the_right_moments():
    mean, theta = np.full((20_000, 1), 4.0), np.full((20_000, 1), 2.0)
    u = torch.rand(mean.shape, generator=torch.Generator().manual_seed(0))
    x = torch_nb(mean, theta, torch.float32).quantile(u)
    assert x.mean() == pytest.approx(4, abs=0.1)
    assert x.var() == pytest.approx(4 + 16 / 2, rel=0.05)


def test_cell_likelihood_has_the_value_and_gradient_of_the_plain_form(parameters):
    counts = torch.tensor(np.random.default_rng(1).poisson(parameters[0]), dtype=torch.float64)
    results = []
    for form in (
        cell_negative_log_likelihood,
        lambda m, t, x: -NegativeBinomial(m, t).log_prob(x).sum(1),
    ):
        log_mean, log_theta = (torch.tensor(np.log(v), requires_grad=True) for v in parameters)
        value = form(log_mean, log_theta, counts)
        (value * torch.arange(1.0, 51)).sum().backward()
        results.append((value.detach(), log_mean.grad, log_theta.grad))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("extra", [0.0, 0.4])
def test_marginals_are_recovered(extra):
    """A mixture whose means are 1.5 times too high and whose dispersion is half of the truth.

    With zeros beside it, whose odds are half of the truth.
    """
    rng = np.random.default_rng(0)
    n_genes, n_cells = 6, 4000
    mean = np.exp(rng.normal(1, 0.5, (n_genes, n_cells)))
    theta = np.full((n_genes, 1), 4.0)
    counts = rng.poisson(mean * rng.gamma(theta, 1 / theta, mean.shape))
    counts *= rng.random(counts.shape) >= extra
    values = np.arange(counts.max() + 1, dtype=np.float32)
    weights = np.stack([np.bincount(c, minlength=len(values)) / n_cells for c in counts])
    log_mean = torch.tensor(np.log(mean.T * 1.5), dtype=torch.float32)
    odds = extra / (1 - extra) / 2
    # the mean of all counts is too high by 1.5
    log_mean = log_mean + np.log((1 - extra) * (1 + odds))
    log_theta = torch.full((n_cells, n_genes), np.log(2.0))
    cells = NegativeBinomial(log_mean, log_theta)
    if extra:
        logit = torch.full_like(log_mean, np.log(odds))
        cells = ZeroInflatedNegativeBinomial(log_mean, log_theta, logit)
    mixture = Mixture.of_cells(cells)
    # few components, whose mean is that of all cells
    assert mixture.log_mean.shape == (n_genes, 100)
    kept = (mixture.log_mean + mixture.log_weight).exp().sum(1)
    expected = 1.5 * (1 - extra) * (1 + odds) * mean.mean(1)
    np.testing.assert_allclose(kept, expected, rtol=1e-5)
    shift_mean, shift_theta, shift_logit = fit_shifts(
        mixture,
        torch.tensor(np.tile(values, (n_genes, 1))),
        torch.tensor(weights, dtype=torch.float32),
    )
    np.testing.assert_allclose(shift_mean, -np.log(1.5), atol=0.08)
    np.testing.assert_allclose(shift_theta, np.log(2), atol=0.35)
    np.testing.assert_allclose(shift_logit, np.log(2) if extra else 0, atol=0.15)
