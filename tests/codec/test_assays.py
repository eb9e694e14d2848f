"""Proteins and chromatin: what they start from, learn, draw, and bear."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import stats

from scdit.codec import Chromatin, Protein, default_chromatin_likelihood, latent_codec
from scdit.codec._components import components_of
from scdit.codec.chromatin._start import saturation
from scdit.codec.likelihood import NegativeBinomial, OpenPeaks, Poisson
from scdit.codec.protein._start import two_levels

LIKELIHOODS = {"poisson": Poisson, "nb": NegativeBinomial, "bernoulli": OpenPeaks}


def dense(counts):
    return {name: torch.tensor(x.toarray(), dtype=torch.float32) for name, x in counts.items()}


def trained(codec, counts, n_steps=300, present=None):
    """The codec after some steps of its own objective."""
    torch.manual_seed(0)
    x, n_cells = dense(counts), next(iter(counts.values())).shape[0]
    optimizer = torch.optim.AdamW(codec.parameter_groups(2e-3), betas=(0.9, 0.99))
    codec.train()
    for _ in range(n_steps):
        rows = torch.randint(n_cells, (64,))
        batch = {name: part[rows] for name, part in x.items()}
        has = None if present is None else {name: p[rows] for name, p in present.items()}
        mean, sd = codec.encode(batch, present=has)
        decoded = codec.decode(mean + sd * torch.randn_like(sd))
        loss = codec.reconstruction_loss(batch, decoded, has) + codec.kl(mean, sd)
        optimizer.zero_grad()
        loss.mean().backward()
        for prior in codec.priors():
            prior.add_gradient(n_cells)
        optimizer.step()
    return codec.eval()


def two_level_proteins(n_cells=1_200):
    """Proteins with a background of 3 and a foreground of 60 or 3,000 in half of the cells."""
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=n_cells)
    on = np.stack([kind == 0, kind == 1, kind == 0, rng.random(n_cells) < 0.3], axis=1)
    level = np.where(on, [60, 60, 3000, 200], 3.0)
    depth = rng.lognormal(0, 0.2, n_cells)[:, None]
    counts = rng.poisson(rng.gamma(8, level * depth / 8))
    controls = rng.poisson(2, (n_cells, 1)), np.zeros((n_cells, 1)), np.full((n_cells, 1), 7)
    return sp.csr_matrix(np.hstack([counts, *controls])), kind


# -- proteins ------------------------------------------------------------------------------------


def test_levels_of_proteins_start_where_the_data_have_them():
    counts, kind = two_level_proteins()
    x = counts.toarray()
    levels = two_levels(x, np.full(len(x), 1_000.0))
    np.testing.assert_allclose(levels["background"][0], np.log(3e-3), atol=0.3)
    np.testing.assert_allclose(levels["step"][0], np.log(60 / 3), atol=0.4)
    np.testing.assert_allclose(
        torch.sigmoid(levels["logit"][[0, 3]]), [np.mean(kind), 0.7], atol=0.06
    )
    assert all(torch.isfinite(value).all() for value in levels.values())


def test_expected_proteins_add_up_to_the_total():
    counts, _ = two_level_proteins()
    codec = latent_codec({"protein": 7}, n_latent=3)
    codec.start({"protein": counts})
    trained(codec, {"protein": counts}, 30)
    state, _ = codec.encode(dense({"protein": counts}))
    given = torch.full((len(state),), 500.0)
    state = codec.with_library_size(state, {"protein": given})
    mean = codec.decode(state)["protein"].mean()
    torch.testing.assert_close(mean.sum(1), given, rtol=1e-3, atol=0)


def test_drawn_proteins_have_two_levels_and_the_marginals_of_the_data():
    counts, _ = two_level_proteins()
    codec = latent_codec({"protein": 7}, n_latent=3)
    codec.start({"protein": counts})
    trained(codec, {"protein": counts}, 500)
    with torch.inference_mode():
        mean, sd = codec.encode(dense({"protein": counts}))
        state = mean + sd * torch.randn(sd.shape, generator=torch.Generator().manual_seed(0))
        codec.calibrate(state, {"protein": counts})
        uniform = torch.rand(len(state), 7, generator=torch.Generator().manual_seed(1))
        drawn = codec.draw(state, lambda n: uniform[:, :n])["protein"].numpy()
    data = counts.toarray()
    for protein in (0, 1, 2, 3, 4):
        assert stats.ks_2samp(drawn[:, protein], data[:, protein]).statistic < 0.08
    between = (drawn[:, 2] > 100) & (drawn[:, 2] < 600)
    assert between.mean() < 0.02  # few between the levels
    assert (drawn[:, 5] == 0).all()  # of which there is none in the data
    # draws are keyed by cell: those of some cells do not depend on the others
    with torch.inference_mode():
        few = codec.draw(state[:10], lambda n: uniform[:10, :n])["protein"].numpy()
        np.testing.assert_array_equal(few, drawn[:10])
        worst = max(stats.ks_2samp(drawn[:, i], data[:, i]).statistic for i in range(5))
        codec.clear_calibration()
        plain = codec.decode(state)["protein"].quantile(uniform)
        torch.testing.assert_close(codec.draw(state, lambda n: uniform)["protein"], plain)
    uncalibrated = [stats.ks_2samp(plain[:, i], data[:, i]).statistic for i in range(5)]
    assert worst < max(uncalibrated) + 0.01  # a calibration that makes it worse is not kept


@pytest.mark.parametrize(
    "counts",
    [
        np.tile([3, 0, 9, 1], (30, 1)),
        np.vstack([np.zeros((10, 4)), np.random.default_rng(0).poisson(2, (20, 4))]),
        np.eye(30, 4) * 10_000,
    ],
    ids=["constant", "cells without counts", "freak cells"],
)
@pytest.mark.parametrize("name", ["protein", "atac"])
def test_counts_without_information_break_nothing(name, counts):
    counts = {name: sp.csr_matrix(counts)}
    codec = latent_codec({name: 4}, n_latent=3)
    codec.start(counts)
    trained(codec, counts, 10)
    with torch.inference_mode():
        state, sd = codec.encode(dense(counts))
        codec.calibrate(state, counts)
        drawn = codec.draw(state, lambda n: torch.full((30, n), 0.5))[name]
    for value in (state, sd, drawn, *codec.parameters()):
        assert torch.isfinite(value).all()


def test_an_assay_needs_counts():
    codec = latent_codec({"rna": 6, "protein": 4})
    counts = {"rna": sp.csr_matrix(np.ones((30, 6))), "protein": sp.csr_matrix((30, 4))}
    with pytest.raises(ValueError, match="'protein' has no counts in the 30 training cells"):
        codec.start(counts)
    present = {"protein": torch.zeros(30, dtype=torch.bool)}
    with pytest.raises(ValueError, match="no training cell has the assay 'protein'"):
        codec.start(counts, present)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Protein(5, n_latent=0), "positive"),
        (lambda: Chromatin(0), "positive"),
        (lambda: Chromatin(5, likelihood="zinb"), "poisson, nb, bernoulli"),
        (lambda: latent_codec({"dna": 3}), "'dna'. Known: rna, protein, atac"),
        (lambda: latent_codec({}), "none. Known"),
    ],
)
def test_bad_arguments_of_assays(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_belong_to_assays_that_are_there():
    with pytest.raises(TypeError, match="chromatin_likelihood"):
        latent_codec({"rna": 5, "protein": 3}, chromatin_likelihood="nb")
    codec = latent_codec(
        {"rna": 50, "atac": 60}, n_latent=3, gene_likelihood="zinb", chromatin_likelihood="nb"
    )
    assert codec.assays.rna.extra_zeros is not None
    assert codec.assays.atac.likelihood == "nb"


# -- chromatin -----------------------------------------------------------------------------------


def open_chromatin(n_cells=1_200, n_peaks=300, twice=1):
    """Fragments, or their ends, of two kinds of cells."""
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=n_cells)
    profile = rng.gamma(0.5, size=(2, n_peaks)) + 0.02
    profile /= profile.sum(axis=1, keepdims=True)
    depth = rng.lognormal(4, 0.4, n_cells)[:, None]
    return twice * sp.csr_matrix(rng.poisson(depth * profile[kind])), kind


def test_the_likelihood_of_peaks_follows_from_the_counts():
    counts, _ = open_chromatin()
    assert default_chromatin_likelihood(counts) == "poisson"
    assert default_chromatin_likelihood(counts > 0) == "bernoulli"
    assert default_chromatin_likelihood((counts > 0).toarray()) == "bernoulli"
    assert default_chromatin_likelihood(2 * counts) == "nb"
    assert default_chromatin_likelihood(None) == "poisson"
    many = sp.vstack([counts] * 5)
    assert default_chromatin_likelihood(many) == "poisson"


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_peaks_learn_two_kinds_of_cells_and_are_drawn_as_they_are(likelihood):
    counts, kind = open_chromatin()
    if likelihood == "bernoulli":
        counts = sp.csr_matrix(counts > 0, dtype=float)
    codec = latent_codec({"atac": 300}, n_latent=3, chromatin_likelihood=likelihood)
    codec.start({"atac": counts})
    trained(codec, {"atac": counts})
    x = dense({"atac": counts})
    with torch.inference_mode():
        state, _ = codec.encode(x)
        decoded = codec.decode(state)["atac"]
        assert isinstance(decoded, LIKELIHOODS[likelihood])
        codec.calibrate(state, {"atac": counts})
        uniform = torch.rand(1_200, 300, generator=torch.Generator().manual_seed(1))
        drawn = codec.draw(state, lambda n: uniform)["atac"].numpy()
    data = counts.toarray()
    apart = np.abs(np.corrcoef(state[:, :3].T, kind)[-1, :-1])
    assert apart.max() > 0.9
    assert stats.ks_2samp(drawn.sum(1), data.sum(1)).statistic < 0.06
    for k in (0, 1):  # the mean of each peak in each kind of cell, to the noise of 600
        made, real = drawn[kind == k].mean(0), data[kind == k].mean(0)
        z = (made - real) / np.sqrt((made + real + 0.02) / 600)
        assert np.abs(z).mean() < 1.2
    if likelihood == "bernoulli":
        assert set(np.unique(drawn)) == {0, 1}


def test_binary_peaks_ignore_how_many_fragments_there_are():
    counts, _ = open_chromatin()
    codecs = []
    for x in (counts, sp.csr_matrix(counts > 0, dtype=float)):
        torch.manual_seed(0)
        codec = latent_codec({"atac": 300}, n_latent=3, chromatin_likelihood="bernoulli").eval()
        codec.start({"atac": x})
        codecs.append(codec.encode(dense({"atac": x}))[0])
    torch.testing.assert_close(*codecs)


def test_open_peaks_add_up_to_the_total_however_many_are_open():
    """Of 200 peaks 20 to 150 are open: there are up to twice as many fragments."""
    p = torch.rand(200, generator=torch.Generator().manual_seed(0)) + 0.1
    p = p / p.sum()
    score = torch.linspace(-3, 3, 61)
    library = torch.exp(4 + score / 3)
    constant, slope, curve = saturation(p.log(), library.log(), score)
    rate = library * (constant + slope * score + curve * score**2).exp()
    n_open = (1 - (-rate[:, None] * p).exp()).sum(1)
    torch.testing.assert_close(n_open, library, rtol=0.05, atol=0)
    assert (rate / library).max() > 1.5


def test_the_calibration_corrects_the_mean_of_each_peak():
    counts, _ = open_chromatin()
    codec = latent_codec({"atac": 300}, n_latent=3).eval()
    codec.start({"atac": counts})
    assay = codec.assays.atac
    with torch.no_grad():
        assay.decoder_nonlinear.bias.add_(torch.randn(300) / 2)  # wrong means
    state = codec.encode(dense({"atac": counts}))[0].detach()
    codec.calibrate(state, {"atac": counts})
    capped = assay.capped(dense({"atac": counts})["atac"]).sum(0)
    expected = codec.decode(state)["atac"].mean().sum(0)
    # shrunk by ten counts, and normalised again
    seen = capped > 200
    torch.testing.assert_close(expected[seen], capped[seen], rtol=0.15, atol=0)
    codec.clear_calibration()
    off = (codec.decode(state)["atac"].mean().sum(0) / capped).log()[seen].abs()
    assert off.mean() > 0.3


def test_the_total_is_no_component_of_peaks():
    """Cells of one kind that differ in their totals only have the same components, on average."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(4, 0.6, 2_000)[:, None]
    counts = sp.csr_matrix(rng.poisson(depth * rng.dirichlet(np.full(400, 0.5))))
    codec = latent_codec({"atac": 400}, n_latent=3).eval()
    codec.start({"atac": counts})
    scores = codec.assays.atac.components(dense({"atac": counts})["atac"])
    correlation = np.corrcoef(scores.T, np.log(depth.ravel()))[-1, :-1]
    assert np.abs(correlation).max() < 0.15


def test_randomised_components_are_those_of_the_exact_ones():
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(
        rng.normal(size=(300, 4)) * [20, 14, 10, 7] @ rng.normal(size=(4, 500)) / 20
        + rng.normal(size=(300, 500))
    )
    exact, fast = components_of(x, 6), components_of(x, 6, randomised=True)
    np.testing.assert_allclose(fast[2][:4], exact[2][:4], rtol=1e-4)
    np.testing.assert_allclose(fast[1][:, :4], exact[1][:, :4], atol=2e-3)
    np.testing.assert_allclose(fast[0], exact[0])


def test_conditions_have_effects_on_peaks_of_low_rank():
    counts, _ = open_chromatin()
    codec = latent_codec({"atac": 300}, {"batch": 2}, n_latent=3).eval()
    codec.start({"atac": counts})
    state = torch.randn(4, 4)
    codes = {"batch": torch.tensor([0, 1, -1, 0])}
    with torch.no_grad():
        plain = codec.decode(state)["atac"].log_rate
        torch.testing.assert_close(codec.decode(state, codes)["atac"].log_rate, plain)
        for weight in (
            *codec.assays.atac.effects.terms,
            codec.assays.atac.decoder_nonlinear.weight,
        ):
            weight.normal_(std=0.3)
        changed = (
            codec.decode(state, codes)["atac"].log_rate - codec.decode(state)["atac"].log_rate
        )
    assert changed[[0, 1, 3]].abs().mean() > 0.1
    torch.testing.assert_close(changed[2], torch.zeros(300))
    n_weights = sum(term.numel() for term in codec.assays.atac.effects.terms)
    assert n_weights == 3 * 64  # whatever the number of peaks


def test_many_peaks_stay_sparse(monkeypatch):
    """1,000 cells x 50,000 peaks are 200 MB if they are dense: no more cells than a batch ever are."""
    counts = sp.random(1_000, 50_000, 0.005, format="csr", random_state=0)
    counts.data[:] = 1.0
    shapes = []
    original = sp.csr_matrix.toarray
    monkeypatch.setattr(
        sp.csr_matrix,
        "toarray",
        lambda self, *a, **k: shapes.append(self.shape) or original(self, *a, **k),
    )
    import tracemalloc

    rna = sp.csr_matrix(np.random.default_rng(0).poisson(1, (1_000, 50)))
    codec = latent_codec({"rna": 50, "atac": 50_000}, n_latent=8)
    tracemalloc.start()
    codec.start({"rna": rna, "atac": counts})
    _, peak = tracemalloc.get_traced_memory()  # of numpy's arrays
    tracemalloc.stop()
    assert peak < 200e6
    assert all(rows <= 64 for rows, columns in shapes if columns > 50)
    batch = {
        "rna": dense({"rna": rna[:64]})["rna"],
        "atac": torch.as_tensor(original(counts[:64])).float(),
    }
    mean, _ = codec.encode(batch)
    codec.reconstruction_loss(batch, codec.decode(mean)).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in codec.parameters() if p.grad is not None)
    n_weights = sum(p.numel() for p in codec.assays.atac.parameters() if p.numel() >= 50_000)
    assert n_weights == 50_000 * (8 + 64 + 1)
    with torch.no_grad():
        codec.calibrate(torch.randn(1_000, codec.n_state), {"rna": rna, "atac": counts})
