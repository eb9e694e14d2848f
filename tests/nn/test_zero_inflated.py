"""The zero-inflated head against quadrature, and as the exact denoiser of independent genes."""

import pytest
import torch

from scdit.diffusion import PREDICTIONS, SCHEDULES, convert, sample, time_grid
from scdit.nn import ZeroInflatedHead

ZERO = torch.tensor([-1.0, -0.5, -2.0])
MEAN = torch.tensor([1.5, 2.5, 4.0])
SD = torch.tensor([0.3, 0.6, 0.1])
SHARE = torch.tensor([0.3, 0.8, 0.02])


@pytest.fixture
def head():
    head = ZeroInflatedHead(3)
    head.set_marginals(ZERO, MEAN, SD, SHARE)
    return head


def no_shift(estimate):
    return torch.zeros(len(estimate), 6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_estimate_is_the_posterior_mean(head, schedule, t, prediction):
    c = SCHEDULES[schedule](torch.full((5,), t)).to(ZERO)
    x_t = torch.linspace(-2, 3, 5)[:, None].expand(5, 3)
    output = head(no_shift, prediction, x_t, c)
    x0, _ = convert(prediction, output, x_t, c)

    # quadrature over the values of an expressed gene, and the point of the zeros
    nodes = torch.linspace(-60, 60, 40_001, dtype=torch.float64)[:, None, None]
    values = (MEAN + SD * nodes).double().expand(-1, 5, 3)
    log_density = -(nodes**2) / 2
    log_prior = SHARE.double().log() + log_density - log_density.logsumexp(0)
    values = torch.cat([ZERO.expand(1, 5, 3).double(), values])
    log_prior = torch.cat([(1 - SHARE).double().log().expand(1, 1, 3), log_prior])
    a, s = c.alpha.double(), c.sigma.double()
    log_weight = log_prior - (x_t.double() - a * values) ** 2 / (2 * s**2)
    expected = (torch.softmax(log_weight, 0) * values).sum(0)
    torch.testing.assert_close(x0.double(), expected, rtol=2e-3, atol=2e-3)


def test_the_network_sees_the_estimate_and_shifts_it(head):
    c = SCHEDULES["cosine"](torch.full((4,), 0.7)).to(ZERO)
    x_t, seen = torch.randn(4, 3), []

    def network(estimate, shift=0.0):
        seen.append(estimate)
        return torch.cat([torch.full_like(estimate, shift), torch.zeros_like(estimate)], 1)

    plain = head(network, "x0", x_t, c)
    torch.testing.assert_close(seen[0], plain)
    sure_on = head(lambda e: network(e, 50.0), "x0", x_t, c)
    sure_off = head(lambda e: network(e, -50.0), "x0", x_t, c)
    torch.testing.assert_close(sure_off, ZERO.expand(4, 3))
    assert (sure_on > plain).all()


@pytest.mark.parametrize("sampler", ["ab2", "ddim", "ddpm"])
def test_without_a_network_genes_have_their_marginals(head, sampler):
    torch.manual_seed(0)
    schedule, n = SCHEDULES["cosine"], 4_000

    def denoise(x, t):
        c = schedule(torch.tensor([t])).to(x)
        return convert("v", head(no_shift, "v", x, c), x, c)

    x = sample(
        sampler,
        denoise,
        torch.randn(n, 3),
        time_grid(200, schedule),
        schedule,
        lambda step: torch.randn(n, 3),
    )
    on = x > 0
    torch.testing.assert_close(on.float().mean(0), SHARE, atol=0.03, rtol=0)
    for gene in (0, 1):
        values = x[on[:, gene], gene]
        assert values.mean() == pytest.approx(MEAN[gene].item(), abs=0.07)
        assert values.std() == pytest.approx(SD[gene].item(), rel=0.25)
    off = x[~on[:, 0], 0]
    assert off.mean() == pytest.approx(ZERO[0].item(), abs=0.02)
