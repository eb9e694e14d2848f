"""What is set before and between the phases: caps, moments, calibrations, sizes."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit.codec import ExpressionCodec, default_n_hidden, default_n_latent, latent_codec
from scdit.codec.calibration import Regions, fit_quantile_map
from scdit.codec.rna._dimensions import n_reproducible


def fit_map(codec, states, counts):
    rna = codec.assays.rna
    fit_quantile_map(rna.quantile_map, rna.shape, rna.decoded_cells(states, counts))


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(6, 0.3, 600)[:, None]
    proportions = rng.gamma(1, size=50) + 0.05
    mean = depth * proportions / proportions.sum()
    return sp.csr_matrix(rng.poisson(mean * rng.gamma(4, 1 / 4, mean.shape)))


def test_moments_recover_the_dispersion(counts):
    codec = latent_codec(50)
    codec.start({"rna": counts})
    assert codec.assays.rna.dispersion.log_theta.detach().exp().median() == pytest.approx(
        4, rel=0.25
    )
    expected = np.asarray(counts.sum(0)).ravel() / counts.sum()
    shares = codec.assays.rna.decoder_nonlinear.bias.detach().exp().numpy()
    # a cap takes a few counts of the largest cells
    np.testing.assert_allclose(shares, expected, rtol=0.1, atol=1e-3)


def test_freak_cells_are_capped(counts):
    freak = counts.tolil()
    freak[0, 3] = 5000
    plain, with_freak = latent_codec(50), latent_codec(50)
    plain.start({"rna": counts})
    with_freak.start({"rna": freak.tocsr()})
    assert with_freak.assays.rna.cap[3] <= counts[:, 3].max() + 1
    assert with_freak.assays.rna.dispersion.log_theta[3].item() == pytest.approx(
        plain.assays.rna.dispersion.log_theta[3].item(), abs=0.2
    )


def test_stored_zeros_are_zeros(counts):
    """A rare gene with 50 of them, as rounded estimates have, would have a cap of zero."""
    dense = counts.toarray()
    dense[:, 0] = 0
    dense[:2, 0] = 3
    stored = sp.csr_matrix(dense + (np.arange(600) < 52)[:, None], dtype=np.float64)
    stored.data -= stored.nonzero()[0] < 52
    assert stored.nnz > np.count_nonzero(dense)
    codecs = latent_codec(50), latent_codec(50)
    for codec, x in zip(codecs, (stored, sp.csr_matrix(dense)), strict=True):
        torch.manual_seed(0)
        codec.load_state_dict(latent_codec(50).state_dict())
        codec.start({"rna": x})
    one, other = (codec.state_dict() for codec in codecs)
    assert one["assays.rna.cap"].min() >= 1
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], msg=name)
    assert stored.nnz > np.count_nonzero(dense)  # the user's matrix is as it was


def test_calibration_brings_the_zero_fractions_back(counts):
    """A decoder that is spoilt gene by gene gets each gene's fraction of zeros right again."""
    codec = latent_codec(50).eval()
    codec.start({"rna": counts})
    x = torch.tensor(counts.toarray(), dtype=torch.float32)
    with torch.no_grad():
        codec.assays.rna.decoder_linear.weight.zero_()  # these cells differ in depth only
        states, _ = codec.encode({"rna": x})
        generator = torch.Generator().manual_seed(0)
        codec.assays.rna.decoder_nonlinear.bias.add_(0.3 * torch.randn(50, generator=generator))
        codec.assays.rna.dispersion.log_theta.add_(torch.randn(50, generator=generator))

        def error():
            made = codec.draw(states, lambda _: torch.rand(x.shape, generator=generator))["rna"]
            return ((made == 0).float().mean(0) - (x == 0).float().mean(0)).abs().mean()

        before = error()
        codec.calibrate(states, {"rna": counts})
        after = error()
    assert before > 0.03
    assert after < before / 2
    assert after < 0.03


def test_regions_bring_marginals_back_where_one_shift_cannot():
    """A gene that is on in half of the cells, and off in the others, by a decoder that is told too little."""
    torch.manual_seed(1)
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 400)
    proportions = rng.gamma(1, size=(2, 30)) + 0.05
    proportions[:, 0] = [0.2, 6.0]
    proportions /= proportions.sum(1, keepdims=True)
    counts = sp.csr_matrix(rng.poisson(300 * proportions[kind]))
    x = torch.tensor(counts.toarray(), dtype=torch.float32)
    codec = latent_codec(30, n_latent=2).eval()
    codec.start({"rna": counts})
    with torch.no_grad():
        states, _ = codec.encode({"rna": x})
        codec.assays.rna.decoder_linear.weight.mul_(0.7)

        def error():
            made = codec.decode(states)["rna"].log_mean.exp()
            return [
                (made[kind == k].mean(0) / x[kind == k].mean(0)).log()[0].abs() for k in (0, 1)
            ]

        before = error()
        codec.calibrate(states, {"rna": counts})
        after = error()
        assert max(before) > 0.2
        assert max(after) < 0.5 * max(before)
        # a second calibration begins anew
        codec.calibrate(states, {"rna": counts})
        assert error() == after


def test_calibration_leaves_what_conditions_explain_alone():
    """A gene that only the label decides: with codes nothing is left to shift, without there is."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1_200)
    proportions = np.full((2, 30), 1 / 30)
    proportions[1, 0] *= 3
    proportions /= proportions.sum(1, keepdims=True)
    counts = sp.csr_matrix(rng.poisson(300 * proportions[label]))
    codec = latent_codec(30, {"label": 2}, n_latent=2).eval()
    codec.start({"rna": counts})
    codes = {"label": torch.tensor(label)}
    with torch.no_grad():
        codec.assays.rna.decoder_linear.weight.zero_()
        codec.assays.rna.decoder_nonlinear.bias.copy_(torch.tensor(np.log(proportions[0])))
        codec.assays.rna.effects.terms[0][1, 0] = np.log(3)
        codec.assays.rna.dispersion.log_theta.fill_(3)
        # points that know nothing of the label
        generator = torch.Generator().manual_seed(0)
        states = torch.randn(1_200, 3, generator=generator)
        states[:, 2] = codec.encode({"rna": torch.tensor(counts.toarray()).float()})[0][:, 2]
        shifts = []
        for known in (codes, None):
            codec.calibrate(states, {"rna": counts}, known)
            shifts.append(codec.assays.rna.regions.shifts[0, :, 0].abs().max())
    assert shifts[0] < 0.1
    assert shifts[1] > 0.3


def test_a_gene_that_some_cells_lack_is_lacking_in_drawn_cells():
    """Whatever else is known of a cell says nothing of it: as of a gene of the Y chromosome."""
    rng = np.random.default_rng(1)
    counts = rng.negative_binomial(3, 0.5, (1_500, 31))
    counts[:, 30] = rng.poisson(np.where(rng.random(1_500) < 0.4, 0.05, 8))
    codec = latent_codec(31).eval()
    codec.start({"rna": sp.csr_matrix(counts)})
    with torch.no_grad():
        codec.assays.rna.decoder_linear.weight.zero_()
        states, _ = codec.encode({"rna": torch.tensor(counts, dtype=torch.float32)})
        codec.calibrate(states, {"rna": sp.csr_matrix(counts)})

        def error():
            generator = torch.Generator().manual_seed(0)
            made = codec.draw(states, lambda _: torch.rand(counts.shape, generator=generator))[
                "rna"
            ]
            below = [[(c[:, 30] <= k).mean() for k in range(20)] for c in (made.numpy(), counts)]
            return np.abs(np.subtract(*below)).max()

        shaped = error()
        codec.assays.rna.shape.clear()
        assert error() > 0.12
        assert shaped < 0.06


@pytest.mark.parametrize("most", [20_000, 1_500], ids=["all cells", "half of the cells"])
def test_drawn_counts_are_mapped_to_those_of_the_data_at_any_depth(most, monkeypatch):
    """Genes that are on in some cells and off in others, of which the decoder knows nothing."""
    monkeypatch.setattr("scdit.codec.calibration._quantile_map._MAX_DRAWN", most)
    rng = np.random.default_rng(1)
    depth = rng.choice([0.5, 2.0], 3_000)
    counts = rng.poisson(np.outer(depth, rng.gamma(2, 2, 40)))
    counts[:, :3] = rng.poisson(depth[:, None] * np.where(rng.random((3_000, 3)) < 0.4, 0.2, 12))
    codec = latent_codec(40).eval()
    codec.start({"rna": sp.csr_matrix(counts)})
    with torch.no_grad():
        codec.assays.rna.decoder_linear.weight.zero_()
        states, _ = codec.encode({"rna": torch.tensor(counts, dtype=torch.float32)})

        def error():
            """Largest distance of distributions, in cells of one depth, of each gene."""
            generator = torch.Generator().manual_seed(0)
            made = codec.draw(states, lambda _: torch.rand(counts.shape, generator=generator))[
                "rna"
            ]
            of_depths = []
            for some in (depth < 1, depth > 1):
                both = made.numpy()[some], counts[some]
                below = [[(c <= k).mean(axis=0) for k in range(80)] for c in both]
                of_depths.append(np.abs(np.subtract(*below)).max(axis=0))
            return np.max(of_depths, axis=0)

        before = error()
        fit_map(codec, states, sp.csr_matrix(counts))
        after = error()
        assert before[:3].min() > 0.1
        assert (after[:3] < before[:3] / 2).all()
        assert after[3:].mean() < before[3:].mean() + 0.005
        # a second fit begins anew
        fit_map(codec, states, sp.csr_matrix(counts))
        np.testing.assert_array_equal(error(), after)


def test_genes_with_few_counts_are_not_mapped():
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(0.05, (300, 60)))
    codec = latent_codec(60).eval()
    codec.start({"rna": counts})
    with torch.no_grad():
        states, _ = codec.encode({"rna": torch.tensor(counts.toarray(), dtype=torch.float32)})
        fit_map(codec, states, counts)
    assert not len(codec.assays.rna.quantile_map.places.changed())


def test_points_far_from_unused_regions_are_shifted_by_their_own():
    regions = Regions(2, 3)
    z = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 0.0]])
    decoded = [torch.log_softmax(torch.randn(3, 3), 1), torch.randn(3, 3), torch.randn(3, 3)]
    for same, before in zip(regions(z, *decoded), decoded, strict=True):
        torch.testing.assert_close(same, before, rtol=0, atol=0)
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
    shift = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]])
    regions.set(centres, 1.0, torch.stack([shift, 2 * shift, -shift]))
    mean, theta, logit = regions(z, *decoded)
    shift = torch.cat([shift, shift.mean(0, keepdim=True)])  # the last is between the two
    torch.testing.assert_close(mean.exp().sum(1), torch.ones(3))
    ratio = mean - decoded[0] - shift  # the same for all genes of a cell
    torch.testing.assert_close(ratio, ratio[:, :1].expand(3, 3))
    torch.testing.assert_close(theta, decoded[1] + 2 * shift)
    torch.testing.assert_close(logit, decoded[2] - shift)
    assert regions(z, *decoded[:2], None)[2] is None
    regions.clear()
    torch.testing.assert_close(regions(z, *decoded)[1], decoded[1], rtol=0, atol=0)


def test_components_that_other_cells_have_are_counted():
    rng = np.random.default_rng(0)
    programmes = rng.standard_normal((10, 4_000)) * (rng.random((10, 4_000)) < 0.2)
    rates = 0.3 * np.exp(0.35 * rng.standard_normal((1_200, 10)) @ programmes)
    counts = sp.csr_matrix(rng.poisson(rates.clip(0, 20)))
    assert n_reproducible(counts, 50) == pytest.approx(10, abs=1)
    assert n_reproducible(sp.csr_matrix(rng.poisson(0.3, (1_200, 4_000))), 50) == 0
    assert default_n_latent(1_200, counts) == n_reproducible(counts, 48)
    assert default_n_latent(400, counts[:400]) == 5  # at most one for every 75 cells
    assert default_n_latent(20_000, None) == 48


@pytest.mark.parametrize("n_cells", [2, 50, 500, 5_000, 100_000, 10_000_000])
def test_defaults_stay_within_bounds(n_cells):
    phases = latent_codec(5).phases
    assert [phase.batch_size for phase in phases.values()] == [64, 256]
    epochs = {name: phase.epochs(n_cells, phase.batch_size) for name, phase in phases.items()}
    assert min(epochs.values()) >= 1
    assert 1 <= default_n_latent(n_cells, None) <= 48
    if n_cells >= 500:
        steps = {
            p: e * -(-n_cells // b) for (p, e), b in zip(epochs.items(), (64, 128), strict=True)
        }
        bound = 1.6 if n_cells < 1e6 else 30  # one pass over very many cells is more than enough
        assert 450 <= steps["denoiser"] <= 10_000 * bound
        assert 900 <= steps["codec"] <= 6_000 * bound


@pytest.mark.parametrize(
    ("n_cells", "n_genes", "n_hidden"),
    [(2, 1, 256), (2_000, 1_000, 256), (12_000, 2_000, 500), (24_000, 1_000, 1_000),
     (100_000, 2_000, 1_024), (24_000, 8_000, 500), (100_000, 30_000, 256)],
)  # fmt: skip
def test_many_cells_of_few_genes_have_a_wide_codec(n_cells, n_genes, n_hidden):
    assert default_n_hidden(n_cells, n_genes) == n_hidden


def test_few_latents_are_seen_more_often_than_few_cells_of_expression():
    latents, expression = (
        codec.phases["denoiser"] for codec in (latent_codec(5), ExpressionCodec(5))
    )
    assert latents.epochs(1_280, 256) == 200
    assert latents.epochs(6_400, 256) == 100  # 2,500 steps
    assert latents.epochs(20_480, 256) == 50
    assert expression.epochs(1_280, 64) == 100


def test_a_gene_that_donors_differ_in_is_seen_among_noisy_ones():
    """Ten counts against forty tell two donors apart, however many genes have one or two."""
    rng = np.random.default_rng(0)
    donor = rng.integers(2, size=1_000)
    noisy = rng.poisson(rng.uniform(0.1, 2, 400), (1_000, 400))
    told = rng.negative_binomial(10, 1 / (1 + np.where(donor, 4.0, 1.0)))
    codec = latent_codec(401, n_latent=1)
    codec.start({"rna": sp.csr_matrix(np.column_stack([noisy, told]))})
    loadings = codec.assays.rna.encoder.pc_loadings[:, 0].abs()
    assert loadings.argmax() == 400
    assert loadings[400] > 0.7
