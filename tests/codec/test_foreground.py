"""Mixtures of background and foreground, Poisson counts and open peaks, against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from scdit.codec.likelihood import ForegroundBackground, NegativeBinomial, OpenPeaks, Poisson


@pytest.fixture
def mixture():
    """Levels from far below one count to 10,000, with shares from none to all."""
    g = torch.Generator().manual_seed(0)
    background = torch.empty(60, 20).uniform_(-6, 6, generator=g)
    step = torch.empty(60, 20).uniform_(0, 4, generator=g)
    foreground = NegativeBinomial(
        background + step, torch.empty(60, 20).uniform_(-2, 4, generator=g)
    )
    theta = torch.empty(1, 20).uniform_(-1, 4, generator=g)
    logit = torch.empty(60, 20).uniform_(-12, 12, generator=g)
    return ForegroundBackground(foreground, NegativeBinomial(background, theta), logit)


def frozen(part, shape):
    mean, theta = (
        np.broadcast_to(x.double().exp().numpy(), shape) for x in (part.log_mean, part.log_theta)
    )
    return stats.nbinom(theta, theta / (theta + mean))


def oracle(mixture, function, counts):
    """A function of scipy's distributions, averaged over background and foreground."""
    share = 1 / (1 + np.exp(-mixture.logit.double().numpy()))
    of = [
        getattr(frozen(part, share.shape), function)(counts)
        for part in (mixture.foreground, mixture.background)
    ]
    return (1 - share) * of[0] + share * of[1]


def test_probabilities_and_means_of_the_mixture(mixture):
    counts = torch.arange(20.0).repeat(60, 1) * 7
    expected = oracle(mixture, "pmf", counts.numpy())
    some = expected > 1e-30
    log_prob = mixture.log_prob(counts).double().numpy()
    np.testing.assert_allclose(log_prob[some], np.log(expected[some]), rtol=2e-3, atol=2e-3)
    below, probability = mixture.interval(counts)
    np.testing.assert_allclose(below, oracle(mixture, "cdf", counts.numpy() - 1), atol=1e-6)
    np.testing.assert_allclose(probability, expected, atol=1e-6, rtol=1e-4)
    share = torch.sigmoid(mixture.logit)
    mean = (1 - share) * mixture.foreground.mean() + share * mixture.background.mean()
    torch.testing.assert_close(mixture.mean(), mean, rtol=1e-4, atol=0)


def test_quantiles_of_the_mixture_are_exact(mixture):
    uniform = torch.rand(60, 20, generator=torch.Generator().manual_seed(1))
    uniform[0], uniform[1] = 0.0, 1 - 2**-24
    drawn = mixture.quantile(uniform)
    assert drawn.dtype == torch.float32
    assert drawn.max() > 1_000
    # the smallest count whose distribution function exceeds the number; up to rounding
    k, u = drawn.numpy().astype(float), uniform.double().numpy()
    assert (oracle(mixture, "cdf", k) > u - 1e-6).all()
    below = oracle(mixture, "cdf", k - 1)
    assert (below <= u + 1e-6).all()
    inner = ((u - below) > 1e-6) & ((oracle(mixture, "cdf", k) - u) > 1e-6)
    assert inner.mean() > 0.9
    one = ForegroundBackground(mixture.foreground, mixture.foreground, mixture.logit)
    torch.testing.assert_close(one.quantile(uniform), mixture.foreground.quantile(uniform))


def test_some_proteins_of_the_mixture(mixture):
    genes = torch.tensor([3, 17])
    counts = torch.full((60, 20), 5.0)
    part = mixture.of_genes(genes).log_prob(counts[:, genes])
    torch.testing.assert_close(part, mixture.log_prob(counts)[:, genes])


def test_gradients_of_the_mixture():
    g = torch.Generator().manual_seed(0)
    values = [
        torch.randn(3, 4, generator=g, dtype=torch.float64, requires_grad=True) for _ in "abcde"
    ]
    counts = torch.tensor([[0.0, 1, 7, 300]], dtype=torch.float64).expand(3, 4)

    def loss(a, b, c, d, logit):
        return ForegroundBackground(
            NegativeBinomial(a, b), NegativeBinomial(c, d), logit
        ).log_prob(counts)

    assert torch.autograd.gradcheck(loss, values)


@pytest.fixture
def log_rate():
    g = torch.Generator().manual_seed(0)
    return torch.empty(50, 30).uniform_(-12, 5, generator=g)


def test_poisson_counts_are_those_of_scipy(log_rate):
    own, scipy = Poisson(log_rate), stats.poisson(log_rate.double().exp().numpy())
    counts = torch.poisson(log_rate.exp(), generator=torch.Generator().manual_seed(2))
    np.testing.assert_allclose(own.log_prob(counts), scipy.logpmf(counts), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        own.negative_log_likelihood(counts), -scipy.logpmf(counts).sum(1), rtol=1e-4
    )
    below, probability = own.interval(counts)
    np.testing.assert_allclose(below, scipy.cdf(counts - 1), atol=1e-7)
    np.testing.assert_allclose(probability, scipy.pmf(counts), atol=1e-7)
    uniform = torch.rand(50, 30, generator=torch.Generator().manual_seed(1))
    drawn = own.quantile(uniform)
    np.testing.assert_array_equal(drawn, scipy.ppf(uniform.double().numpy()))
    assert drawn.max() > 100


def test_open_peaks_are_ones_where_there_is_any_fragment(log_rate):
    own, scipy = OpenPeaks(log_rate), stats.poisson(log_rate.double().exp().numpy())
    closed = scipy.pmf(0)
    ones = torch.ones_like(log_rate)
    some = log_rate < 2.5  # beyond, a closed peak is as unlikely as can be
    np.testing.assert_allclose(
        own.log_prob(ones)[some], np.log1p(-closed)[some.numpy()], rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(own.log_prob(0 * ones), scipy.logpmf(0), rtol=1e-5)
    np.testing.assert_allclose(own.mean(), 1 - closed, rtol=1e-5)
    counts = (torch.rand(50, 30, generator=torch.Generator().manual_seed(1)) < own.mean()).float()
    torch.testing.assert_close(
        own.negative_log_likelihood(counts), -own.log_prob(counts).sum(1), rtol=1e-4, atol=1e-3
    )
    uniform = torch.rand(50, 30, generator=torch.Generator().manual_seed(3))
    clear = np.abs(uniform.numpy() - closed) > 1e-6
    drawn = own.quantile(uniform).numpy()
    np.testing.assert_array_equal(drawn[clear], (uniform.numpy() >= closed)[clear])
    below, probability = own.interval(torch.as_tensor(drawn))
    assert (below <= uniform).all()
    assert (below + probability >= uniform).all()


@pytest.mark.parametrize("cls", [Poisson, OpenPeaks])
def test_gradients_of_peaks(cls):
    g = torch.Generator().manual_seed(0)
    log_rate = torch.randn(3, 6, generator=g, dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([[0.0, 1, 0, 1, 1, 0]], dtype=torch.float64).expand(3, 6)
    assert torch.autograd.gradcheck(lambda x: cls(x).negative_log_likelihood(counts), [log_rate])
