"""Zero-inflated counts against scipy, and the extra zeros of the codec."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from scdit.codec import latent_codec
from scdit.codec.likelihood import (
    NegativeBinomial,
    ZeroInflatedNegativeBinomial,
    cell_negative_log_likelihood,
)

SHAPE = 40, 60


@pytest.fixture
def parameters():
    """Log means, log thetas and logits, from hardly to nearly always zero."""
    rng = np.random.default_rng(0)
    return tuple(
        torch.tensor(rng.normal(m, s, SHAPE), requires_grad=True)
        for m, s in ((1, 2), (1, 1), (0, 3))
    )


@pytest.fixture
def truth(parameters):
    """Distribution and probability mass function by scipy."""
    mean, theta, logit = (p.detach().numpy() for p in parameters)
    counted, extra = (
        nbinom(np.exp(theta), 1 / (1 + np.exp(mean - theta))),
        1 / (1 + np.exp(-logit)),
    )

    def cdf(counts):
        return np.where(counts < 0, 0, extra + (1 - extra) * counted.cdf(counts))

    def pmf(counts):
        return extra * (counts == 0) + (1 - extra) * counted.pmf(counts)

    return cdf, pmf


@pytest.fixture
def counts(parameters):
    rng = np.random.default_rng(1)
    counts = rng.poisson(parameters[0].exp().detach()) * (rng.random(SHAPE) < 0.5)
    return torch.tensor(counts, dtype=torch.float64)


def test_probabilities_are_scipys(parameters, truth, counts):
    ours = ZeroInflatedNegativeBinomial(*(p.detach() for p in parameters))
    cdf, pmf = truth
    np.testing.assert_allclose(ours.log_prob(counts).exp(), pmf(counts.numpy()), rtol=1e-8)
    np.testing.assert_allclose(ours.log_zero().exp(), pmf(np.zeros(SHAPE)), rtol=1e-8)
    below, probability = ours.interval(counts)
    np.testing.assert_allclose(below, cdf(counts.numpy() - 1), atol=1e-9)
    np.testing.assert_allclose(probability, pmf(counts.numpy()), atol=1e-9)


def test_quantile_inverts_the_distribution_function(parameters, truth):
    u = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = ZeroInflatedNegativeBinomial(*(p.detach() for p in parameters)).quantile(u).numpy()
    cdf, _ = truth
    assert (cdf(counts) >= u.numpy() - 1e-6).all()
    assert (cdf(counts - 1) <= u.numpy() + 1e-6).all()


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-24])
def test_quantile_at_extremes_is_a_count(number):
    """Zero can be all but impossible, and so can anything else."""
    log_mean, log_theta = torch.tensor([[-20.0, 0.0, 12.0]]), torch.tensor([[5.0, -4.0, 5.0]])
    for logit in (-12.0, 0.0, 12.0):
        distribution = ZeroInflatedNegativeBinomial(log_mean, log_theta, torch.full((1, 3), logit))
        counts = distribution.quantile(torch.full((1, 3), number))
        assert torch.isfinite(counts).all()
        assert (counts >= 0).all()
        assert (counts == counts.round()).all()


def test_genes_are_columns(parameters):
    ours = ZeroInflatedNegativeBinomial(*(p.detach() for p in parameters))
    genes = torch.tensor([5, 2])
    part = ours.of_genes(genes)
    torch.testing.assert_close(part.log_zero(), ours.log_zero()[:, genes])
    counted = ours.counted.of_genes(genes)
    assert type(counted) is NegativeBinomial
    torch.testing.assert_close(counted.log_zero(), ours.counted.log_zero()[:, genes])


def test_cell_likelihood_has_the_value_and_gradient_of_the_plain_form(parameters, counts):
    results = []
    for form in (
        lambda m, t, z: cell_negative_log_likelihood(m, t, counts, z),
        lambda m, t, z: -ZeroInflatedNegativeBinomial(m, t, z).log_prob(counts).sum(1),
    ):
        value = form(*parameters)
        weighted = (value * torch.arange(1.0, len(value) + 1)).sum()
        results.append((value.detach(), *torch.autograd.grad(weighted, parameters)))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-8)


def test_a_codec_with_extra_zeros_keeps_the_library_size():
    """The mean of all counts adds up to it, however many of them are extra zeros."""
    torch.manual_seed(0)
    codec = latent_codec(30, n_latent=3, gene_likelihood="zinb").double()
    with torch.no_grad():
        for parameter in codec.assays.rna.extra_zeros.parameters():
            parameter.copy_(torch.randn_like(parameter))
    codec.assays.rna.library_scores.fit(torch.linspace(100, 1000, 200))
    library = torch.tensor([150.0, 400.0, 900.0], dtype=torch.float64)
    state = codec.with_library_size(torch.randn(3, codec.n_state).double(), {"rna": library})
    decoded = codec.decode(state)["rna"]
    mean = (1 - torch.sigmoid(decoded.logit)) * decoded.log_mean.exp()
    torch.testing.assert_close(mean.sum(1), library, rtol=1e-4, atol=0)


def test_unknown_likelihood_is_refused():
    with pytest.raises(ValueError, match="choose 'nb' or 'zinb'"):
        latent_codec(30, gene_likelihood="poisson")


def test_reads_are_hidden_with_their_molecule():
    """Half of the molecules of 40 reads each: a gene of one molecule is there or not."""
    torch.manual_seed(0)
    codec = latent_codec(2, n_latent=1, gene_likelihood="zinb")
    codec.assays.rna.encoder.reads_per_molecule.copy_(torch.tensor([40.0, 1.0]))
    codec.assays.rna.encoder.thinning.fill_(1.0)
    thinned = codec.assays.rna.encoder.hide(torch.full((4000, 2), 40.0))
    assert set(thinned[:, 0].unique().tolist()) == {0.0, 40.0}
    assert len(thinned[:, 1].unique()) > 30
    torch.testing.assert_close(thinned.mean(0), torch.tensor([20.0, 20.0]), rtol=0.05, atol=0)
