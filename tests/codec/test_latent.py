"""The latent codec: its start, the posterior, and what it decodes."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit.codec import ConditionPrior, latent_codec
from scdit.nn import CONTINUOUS


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    proportions = rng.gamma(0.5, size=(2, 80)) + 0.01
    proportions /= proportions.sum(1, keepdims=True)
    depth = rng.lognormal(6, 0.4, 300)[:, None]
    return sp.csr_matrix(rng.poisson(depth * proportions[rng.integers(2, size=300)]))


@pytest.mark.parametrize("dispersion", ["gene-cell", "gene"])
def test_decoded_means_add_up_to_the_library_size(counts, dispersion):
    codec = latent_codec(80, dispersion=dispersion)
    codec.start({"rna": counts})
    state, _ = codec.eval().encode({"rna": torch.tensor(counts.toarray(), dtype=torch.float32)})
    mean = codec.decode(state)["rna"].log_mean.exp().sum(1)
    capped = np.minimum(counts.toarray(), codec.assays.rna.cap.numpy()).sum(1)
    np.testing.assert_allclose(mean.detach(), capped, rtol=1e-4)
    given = torch.full((300,), 123.0)
    mean = (
        codec.decode(codec.with_library_size(state, {"rna": given}))["rna"].log_mean.exp().sum(1)
    )
    torch.testing.assert_close(mean.detach(), given, rtol=1e-4, atol=0)


def test_starts_at_the_principal_components(counts):
    """Before training, the latent mean is the score: mean 0 and variance 1 per component."""
    codec = latent_codec(80, n_latent=10)
    codec.start({"rna": counts})
    x = torch.tensor(counts.toarray(), dtype=torch.float32)
    x = x.minimum(codec.assays.rna.cap)
    library = x.sum(1, keepdim=True)
    log = torch.log1p(x * np.median(library) / library)
    scores = (
        (log - codec.assays.rna.encoder.pc_mean)
        @ codec.assays.rna.encoder.pc_loadings
        / codec.assays.rna.encoder.pc_sd
    )
    torch.testing.assert_close(scores.mean(0), torch.zeros(50), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.var(0, correction=0), torch.ones(50), atol=1e-2, rtol=0)
    # the explained variance is that of sklearn's PCA
    from sklearn.decomposition import PCA

    expected = PCA(10).fit(log.numpy()).singular_values_ / np.sqrt(300)
    np.testing.assert_allclose(codec.assays.rna.encoder.pc_sd[:10], expected, rtol=1e-3)


def test_counts_of_few_cells_are_hidden_in_training_only(counts):
    codec = latent_codec(80)
    codec.start({"rna": counts})
    x = torch.tensor(counts.toarray(), dtype=torch.float32)
    still = [codec.eval().encode({"rna": x})[0] for _ in range(2)]
    torch.testing.assert_close(*still, rtol=0, atol=0)
    noisy = codec.train().encode({"rna": x})[0]
    assert not torch.allclose(noisy[:, :-1], still[0][:, :-1], atol=1e-3)
    torch.testing.assert_close(noisy[:, -1], still[0][:, -1])  # the library size is never hidden
    codec.start({"rna": sp.vstack([counts] * (1_000 // counts.shape[0] + 1))})
    assert codec.assays.rna.encoder.thinning == 0


def test_fewer_cells_and_genes_than_components():
    codec = latent_codec(7)
    codec.start({"rna": sp.csr_matrix(np.random.default_rng(0).poisson(3, (4, 7)) + 1)})
    state, sd = codec.eval().encode({"rna": torch.ones(2, 7)})
    assert state.shape == sd.shape == (2, 8)
    assert torch.isfinite(codec.decode(state)["rna"].log_mean).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dispersion": "cell"}, "gene-cell"), ({"n_latent": 0}, "positive")],
)
def test_bad_codec_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        latent_codec(10, **arguments)


def test_genes_never_seen_stay_unseen(counts):
    counts = counts.tolil()
    counts[:, 7] = 0
    codec = latent_codec(80)
    codec.start({"rna": counts.tocsr()})
    state, _ = codec.eval().encode({"rna": torch.tensor(counts.toarray(), dtype=torch.float32)})
    assert codec.decode(state)["rna"].log_mean[:, 7].exp().max() < 1e-6


def test_identical_cells():
    codec = latent_codec(5)
    codec.start({"rna": sp.csr_matrix(np.tile([3, 1, 0, 2, 5], (20, 1)))})
    state, _ = codec.eval().encode({"rna": torch.tensor([[3.0, 1, 0, 2, 5]])})
    assert torch.isfinite(codec.decode(state)["rna"].log_mean).all()


def test_the_posterior_is_what_the_counts_tell_times_the_prior(counts, monkeypatch):
    monkeypatch.setattr("scdit.codec._latent._STEP", 0.0)  # the product alone
    torch.manual_seed(0)
    codec = latent_codec(80, {"label": 2, "dose": CONTINUOUS}, n_latent=3).eval()
    codec.start({"rna": counts})
    x = torch.tensor(counts.toarray()[:4], dtype=torch.float32)
    codes = {
        "label": torch.tensor([0, 1, -1, 1]),
        "dose": torch.tensor([1.0, -2.0, 0.5, torch.nan]),
    }
    with torch.no_grad():
        flat_mean, flat_sd = codec.encode({"rna": x}, codes)  # the prior is N(0, I) at first
        for term in codec.prior.terms:
            term.normal_(std=0.2)
        mean, sd = codec.encode({"rna": x}, codes)
    label, dose = codec.prior.terms
    expected = torch.stack(
        [label[0] + dose[0], label[1] - 2 * dose[0], label[2] + 0.5 * dose[0], label[1] + dose[1]]
    )
    prior_mean, prior_sd = expected[:, :3], expected[:, 3:].exp()
    # precisions add up; N(0, I) is taken out of the flat posterior
    told = 1 / flat_sd[:, :3] ** 2 - 1
    precision = told + 1 / prior_sd**2
    total = flat_mean[:, :3] / flat_sd[:, :3] ** 2 + prior_mean / prior_sd**2
    torch.testing.assert_close(sd[:, :3], precision.rsqrt(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean[:, :3], total / precision, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean[:, 3], flat_mean[:, 3])  # the library size has no prior

    Normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(
        Normal(mean[:, :3], sd[:, :3]), Normal(prior_mean, prior_sd)
    )
    torch.testing.assert_close(codec.kl(mean, sd, codes), divergence.sum(1), rtol=1e-4, atol=1e-4)


def test_conditions_have_effects_on_genes(counts):
    """Proportions given conditions, over those of nothing known, are ratios that multiply."""
    codec = latent_codec(80, {"label": 2, "dose": CONTINUOUS}, n_latent=3).eval()
    codec.start({"rna": counts})
    state = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    codes = {
        "label": torch.tensor([0, 1, -1, 1]),
        "dose": torch.tensor([1.0, -2.0, 0.5, torch.nan]),
    }
    with torch.no_grad():
        plain = codec.decode(state, codes)["rna"].log_mean
        torch.testing.assert_close(codec.decode(state)["rna"].log_mean, plain)  # none at first
        for term in codec.assays.rna.effects.terms:
            term.normal_(std=0.5)
        label, dose = codec.assays.rna.effects.terms
        expected = torch.stack(
            [
                label[0] + dose[0],
                label[1] - 2 * dose[0],
                label[2] + 0.5 * dose[0],
                label[1] + dose[1],
            ]
        )
        told = codec.decode(state, codes)["rna"].log_mean
        unknown = codec.decode(state)["rna"].log_mean
    total = plain.exp().sum(1, keepdim=True)  # the library size
    for made, effect in ((told, expected), (unknown, label[2] + dose[1])):
        weights = plain.exp() * effect.exp()
        torch.testing.assert_close(made.exp(), total * weights / weights.sum(1, keepdim=True))


def test_the_estimate_of_the_network_takes_a_step_up_the_posterior(counts, monkeypatch):
    torch.manual_seed(0)
    codec = latent_codec(80, n_latent=1, dispersion="gene").eval()
    codec.start({"rna": counts})
    torch.nn.init.normal_(codec.assays.rna.decoder_nonlinear.weight, std=0.05)
    x = torch.tensor(counts.toarray()[:20], dtype=torch.float32)

    def log_posterior(latent, of):  # of the capped counts, with the prior N(0, I)
        state = torch.cat([latent, of[:, 1:]], 1)
        return (
            -codec.reconstruction_loss({"rna": x}, codec.decode(state)) - 0.5 * latent[:, 0] ** 2
        )

    with torch.no_grad():
        far, sd = codec.encode({"rna": x})
        monkeypatch.setattr("scdit.codec._latent._STEP", 0.02)
        near, _ = codec.encode({"rna": x})
        monkeypatch.setattr("scdit.codec._latent._STEP", 0.0)
        plain, _ = codec.encode({"rna": x})
        h = 1e-2
        slope = log_posterior(plain[:, :1] + h, plain) - log_posterior(plain[:, :1] - h, plain)
    # a part of a Newton step, by finite differences; of at most one standard deviation
    sd = sd[:, :1]
    step = 0.02 * sd**2 * slope[:, None] / (2 * h)
    assert (step.abs() < 0.5 * sd).sum() > 5
    expected = torch.clamp(step, -sd, sd)
    torch.testing.assert_close((near - plain)[:, :1], expected, rtol=0.02, atol=1e-3)
    assert ((far - plain)[:, :1].abs() <= 1.001 * sd).all()
    torch.testing.assert_close(far[:, 1], plain[:, 1])  # the library size is known


def test_states_do_not_depend_on_the_mode_that_they_are_encoded_in(counts):
    codec = latent_codec(80, n_latent=3).eval()
    codec.start({"rna": counts})
    x = torch.tensor(counts.toarray()[:20], dtype=torch.float32)
    state, _ = codec.encode({"rna": x})
    assert state.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(codec.encode({"rna": x})[0], state)
    with torch.inference_mode():
        torch.testing.assert_close(codec.encode({"rna": x.clone()})[0], state)


def test_library_sizes_far_out_are_as_far_as_networks_see():
    """Cells of one depth have scores of hundreds as soon as some of their counts are hidden."""
    codec = latent_codec(30, gene_likelihood="zinb").eval()
    with torch.no_grad():
        codec.assays.rna.extra_zeros.linear.weight.normal_()
    scores = torch.ones(2, codec.assays.rna.encoder.n_pcs)
    near, far, further = (
        codec.assays.rna.encoder(scores, torch.full((2, 1), s))[0] for s in (3.0, 8.0, 700.0)
    )
    torch.testing.assert_close(far, further)
    assert not torch.allclose(near, far)
    state = torch.zeros(3, codec.n_state)
    state[:, -1] = torch.tensor([3.0, 8.0, 700.0])
    near, far, further = codec.assays.rna.extra_zeros(torch.zeros(3, 30), state)
    torch.testing.assert_close(far, further)
    assert not torch.allclose(near, far)


def test_without_known_conditions_the_prior_is_that_of_unknown_ones():
    prior = ConditionPrior({"label": 2, "dose": CONTINUOUS}, 3)
    with torch.no_grad():
        for term in prior.terms:
            term.normal_(std=0.2)
    unknown = {"label": torch.tensor([-1, -1]), "dose": torch.full((2,), torch.nan)}
    for one, other in zip(prior(None, 2), prior(unknown, 2), strict=True):
        torch.testing.assert_close(one, other)
    mean, sd = ConditionPrior({}, 3)({}, 2)
    torch.testing.assert_close(mean, torch.zeros(2, 3))
    torch.testing.assert_close(sd, torch.ones(2, 3))


def test_a_translated_state_keeps_its_place_in_the_prior(counts):
    codec = latent_codec(80, {"batch": 2, "age": CONTINUOUS}, n_latent=5)
    codec.start({"rna": counts})
    rng = torch.Generator().manual_seed(0)
    for term in codec.prior.terms:
        term.data.copy_(torch.randn(term.shape, generator=rng) / 2)
    state = torch.randn((6, codec.n_state), generator=rng)
    one = {"batch": torch.tensor([0, 0, 0, 1, 1, -1]), "age": torch.arange(6.0)}
    two = {"batch": torch.tensor([1, 0, -1, 0, 1, 0]), "age": one["age"]}
    moved = codec.translate(state, one, two)
    scores = []
    for x, codes in ((state, one), (moved, two)):
        mean, sd = codec.prior(codes, 6)
        scores.append((x[:, :5] - mean) / sd)
    torch.testing.assert_close(*scores)
    torch.testing.assert_close(moved[:, 5:], state[:, 5:])
    assert (moved[[1, 4]] == state[[1, 4]]).all()  # whose conditions are the same
    torch.testing.assert_close(codec.translate(moved, two, one), state)
