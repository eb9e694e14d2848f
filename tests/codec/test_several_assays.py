"""Several assays of the same cells: one latent vector, and cells that lack some of them."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit.codec import latent_codec
from scdit.codec._alignment import align

from .test_assays import dense, trained

SIZES = {"rna": 60, "protein": 10, "atac": 150}


@pytest.fixture(scope="module")
def paired():
    """Counts of 1,200 cells in three assays that share one program, and the program."""
    rng = np.random.default_rng(0)
    program = rng.standard_normal(1_200)
    counts = {}
    for name, total in {"rna": 600, "protein": 800, "atac": 120}.items():
        n = SIZES[name]
        base, loading = rng.gamma(1, size=n) + 0.1, rng.standard_normal(n) * 0.8
        mean = base * np.exp(program[:, None] * loading)
        mean *= total * rng.lognormal(0, 0.2, 1_200)[:, None] / mean.sum(1, keepdims=True)
        counts[name] = sp.csr_matrix(rng.poisson(mean))
    return counts, program


@pytest.fixture(scope="module")
def codec(paired):
    """A codec of the three assays, trained on the first 900 cells."""
    counts, _ = paired
    torch.manual_seed(0)
    codec = latent_codec(SIZES, n_latent=16, n_hidden=64)
    codec.start({name: x[:900] for name, x in counts.items()})
    return trained(codec, {name: x[:900] for name, x in counts.items()})


def masks(**present):
    return {name: torch.as_tensor(value, dtype=torch.bool) for name, value in present.items()}


def all_but(name, n_cells, rows):
    return {name: ~torch.isin(torch.arange(n_cells), torch.as_tensor(rows))}


# -- one number of latent dimensions -------------------------------------------------------------


def test_assays_with_few_features_have_as_many_latent_dimensions(codec):
    assert codec.n_latent == 16  # and 10 proteins
    assert {assay.n_latent for assay in codec.assays.values()} == {16}
    assert codec.n_state == 19
    assert latent_codec({"protein": 4, "rna": 5}, n_latent=32).n_latent == 9
    assert latent_codec({"protein": 4}, n_latent=32).n_latent == 4


def test_any_subset_of_assays_is_a_codec(paired):
    counts, _ = paired
    for names in (["protein"], ["atac"], ["atac", "rna"], ["protein", "atac"]):
        codec = latent_codec({name: SIZES[name] for name in names}, n_latent=5).eval()
        few = {name: counts[name][:100] for name in names}
        codec.start(few)
        state, sd = codec.encode(dense(few))
        assert state.shape == sd.shape == (100, 5 + len(names))
        with torch.no_grad():
            drawn = codec.draw(state, lambda n: torch.rand(100, n))
        assert {k: tuple(v.shape) for k, v in drawn.items()} == {k: (100, SIZES[k]) for k in names}


def test_a_number_of_genes_is_rna_alone():
    codec = latent_codec(30, n_latent=5)
    assert list(codec.assays) == ["rna"]
    assert codec.assays.rna.n_features == 30


def test_assays_start_from_the_same_program(paired):
    """Before any training, each assay alone finds the shared program in the same dimension."""
    counts, program = paired
    codec = latent_codec(SIZES, n_latent=16).eval()
    codec.start(counts)
    scores = {}
    with torch.no_grad():
        for name, assay in codec.assays.items():
            x = dense({name: counts[name]})[name]
            mean, _ = assay.evidence(assay.components(x), assay.depth(x))
            scores[name] = np.corrcoef(mean.T, program)[-1, :-1]
    shared = np.abs(scores["rna"]).argmax()
    assert all(np.abs(score[shared]) > 0.85 for score in scores.values())
    assert len({np.sign(score[shared]) for score in scores.values()}) == 1
    # and decodes it: the mean of a feature goes with the program as it does in the data
    state = torch.zeros(2, codec.n_state)
    state[0, shared], state[1, shared] = -1.0, 1.0
    for name, decoded in codec.decode(state).items():
        x = counts[name].toarray()
        log = np.log1p(x / x.sum(1, keepdims=True).clip(1) * x.sum(1).mean())
        slope = [np.polyfit(program, column, 1)[0] for column in log.T]
        change = decoded.mean().log().diff(dim=0)[0].detach() * np.sign(scores[name][shared])
        assert np.corrcoef(slope, change)[0, 1] > 0.7


def test_alignment_of_two_assays_in_closed_form():
    """One factor in both, one in each: shared dimensions find all three, and who knows which."""
    g = torch.Generator().manual_seed(0)
    factor = torch.randn(4_000, 3, generator=g)
    factor = torch.linalg.qr(factor - factor.mean(0))[0] * 4_000**0.5
    noise = torch.randn(4_000, 4, generator=g) * 0.1
    one = torch.cat([factor[:, :2], noise[:, :1]], 1)  # shared, own, noise
    two = torch.cat([factor[:, [0, 2]], noise[:, 1:2]], 1)
    sds, has = torch.tensor([1.0, 0.9, 0.1]), torch.ones(4_000, dtype=torch.bool)
    first, second = align([one, two], [sds, sds], [has, has], 3)
    # what both have comes first; an assay explains all of it
    assert first.unexplained[0] < 0.02
    assert second.unexplained[0] < 0.02
    assert first.covariance[0, 0].abs() > 0.98
    # the two others are one assay's own each, or half of each
    explained = 2 - first.unexplained[1:].sum(), 2 - second.unexplained[1:].sum()
    for value in explained:
        assert abs(value - 1) < 0.05
    # dimensions that there are not have no weights
    more = align([one[:, :1]], [torch.tensor([1.0])], [has], 4)[0]
    assert (more.weights[:, 1:] == 0).all()
    assert (more.unexplained[1:] > 0.9).all()


# -- the product of evidence ---------------------------------------------------------------------


def test_the_posterior_is_the_product_of_the_evidence_that_there_is(paired, codec, monkeypatch):
    monkeypatch.setattr("scdit.codec._latent._STEP", 0.0)  # the product alone
    x = dense({name: part[:3] for name, part in paired[0].items()})
    present = masks(rna=[1, 0, 0], protein=[1, 1, 0], atac=[1, 0, 0])
    with torch.no_grad():
        mean, sd = codec.encode(x, present=present)
        precision, total = torch.ones(3, 16), torch.zeros(3, 16)  # of the prior
        for name, assay in codec.assays.items():
            own_mean, own_sd = assay.evidence(assay.components(x[name]), assay.depth(x[name]))
            weight = present[name][:, None] / own_sd**2
            precision, total = precision + weight, total + weight * own_mean
    torch.testing.assert_close(sd[:, :16], precision.rsqrt(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(mean[:, :16], total / precision, rtol=1e-4, atol=1e-4)
    # of nothing, the prior remains; depths that are known are exact, others standard normal
    torch.testing.assert_close(mean[2, :16], torch.zeros(16))
    absent = ~torch.stack([present[name] for name in codec.assays], dim=1)
    torch.testing.assert_close(sd[:, 16:], absent.float())
    assert (mean[:, 16:][absent] == 0).all()
    assert (mean[:, 16:][~absent] != 0).all()


def test_masks_of_cells_that_have_all_change_nothing(paired, codec):
    x = dense({name: part[:50] for name, part in paired[0].items()})
    everything = masks(**{name: [True] * 50 for name in SIZES})
    for some in (everything, {}, {"protein": everything["protein"]}):
        for with_mask, without in zip(codec.encode(x, present=some), codec.encode(x), strict=True):
            assert torch.equal(with_mask, without)
        decoded = codec.decode(codec.encode(x)[0])
        assert torch.equal(
            codec.reconstruction_loss(x, decoded, some), codec.reconstruction_loss(x, decoded)
        )


@pytest.mark.parametrize("absent", SIZES)
def test_counts_that_are_absent_have_no_influence(paired, codec, absent):
    """Whatever stands there, NaN as well: states, losses and gradients are those of zeros."""
    x = dense({name: part[:40] for name, part in paired[0].items()})
    present = all_but(absent, 40, range(0, 40, 2))
    lacks = ~present[absent]
    results = []
    for filler in (0.0, 10_000.0, torch.nan):
        given = {name: part.clone() for name, part in x.items()}
        given[absent][lacks] = filler
        codec.zero_grad()
        mean, sd = codec.encode(given, present=present)
        loss = codec.reconstruction_loss(given, codec.decode(mean), present)
        (loss + codec.kl(mean, sd)).mean().backward()
        gradients = [p.grad.clone() for p in codec.parameters() if p.grad is not None]
        results.append([mean.detach(), sd.detach(), loss.detach(), *gradients])
    codec.zero_grad()
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert all(torch.isfinite(value).all() for value in results[0])
    # cells that have all are as without a mask
    for part, whole in zip(results[0], codec.encode(x), strict=False):
        torch.testing.assert_close(part[~lacks], whole[~lacks], rtol=1e-4, atol=1e-4)
    assert torch.equal(x[absent], dense({absent: paired[0][absent][:40]})[absent])  # not changed


def test_cells_that_all_lack_an_assay_give_its_weights_no_gradient(paired, codec):
    x = dense({name: part[:20] for name, part in paired[0].items()})
    present = masks(atac=[False] * 20)
    codec.zero_grad()
    mean, _ = codec.encode(x, present=present)
    codec.reconstruction_loss(x, codec.decode(mean), present).mean().backward()
    gradients = [p.grad for p in codec.assays.atac.parameters() if p.grad is not None]
    assert all((g == 0).all() for g in gradients)
    assert any((p.grad != 0).any() for p in codec.assays.rna.parameters() if p.grad is not None)
    codec.zero_grad()


def test_the_divergence_is_that_of_the_latent_vector(paired, codec):
    x = dense({name: part[:5] for name, part in paired[0].items()})
    mean, sd = codec.encode(x, present=masks(protein=[0, 1, 0, 1, 0]))
    changed = sd.clone()
    changed[:, 16:] = 0.3
    torch.testing.assert_close(codec.kl(mean, sd), codec.kl(mean, changed))


def test_a_mask_is_bool(paired, codec):
    x = dense({name: part[:2] for name, part in paired[0].items()})
    with pytest.raises(TypeError, match="'rna' must be bool, got torch.float32"):
        codec.encode(x, present={"rna": torch.ones(2)})


# -- what is learnt ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", SIZES)
def test_the_program_is_recovered_from_each_assay(paired, codec, given):
    """Of cells that were not trained on, by their posterior mean; the best line of training cells."""
    counts, program = paired
    x = dense(counts)
    present = masks(**{name: [name == given] * 1_200 for name in SIZES})
    with torch.no_grad():
        alone = codec.encode(x, present=present)[0][:, :16].numpy()
        together = codec.encode(x)[0][:, :16].numpy()
    design = np.c_[together, np.ones(1_200)]
    line = np.linalg.lstsq(design[:900], program[:900])[0]
    predicted = np.c_[alone, np.ones(1_200)] @ line
    assert np.corrcoef(predicted[900:], program[900:])[0, 1] > 0.85


def test_cells_of_different_assays_are_learnt_together(paired):
    """A mosaic: a third of the cells has RNA, a third proteins, a third both."""
    counts, program = paired
    kind = np.arange(900) % 3
    present = masks(rna=kind != 1, protein=kind != 0)
    given = {name: counts[name][:900].tolil() for name in ("rna", "protein")}
    for name, x in given.items():
        x[np.flatnonzero(~present[name].numpy())] = 0
    given = {name: x.tocsr() for name, x in given.items()}
    codec = latent_codec({name: SIZES[name] for name in given}, n_latent=8, n_hidden=64)
    codec.start(given, present)
    # what lacks is no zero: statistics are those of the cells that have the assay
    library = given["rna"].sum(1).A1 if hasattr(given["rna"].sum(1), "A1") else given["rna"].sum(1)
    depth = codec.assays.rna.depth_of_size(torch.tensor(np.ravel(library)[kind != 1]).float())
    assert abs(float(depth.median())) < 0.1
    trained(codec, given, present=present)
    x = dense({name: counts[name] for name in given})
    predictions = {}
    with torch.no_grad():
        for name in given:
            only = masks(**{other: [other == name] * 1_200 for other in given})
            latent = codec.encode(x, present=only)[0][:, :8]
            state = torch.cat([latent, torch.zeros(1_200, 2)], dim=1)
            predictions[name] = codec.decode(state)["protein"].mean().log().numpy()
    log = np.log1p(counts["protein"].toarray())
    best = np.argsort([-abs(np.corrcoef(column, program)[0, 1]) for column in log.T])[:3]
    for predicted in predictions.values():
        for protein in best:
            assert np.corrcoef(predicted[900:, protein], log[900:, protein])[0, 1] > 0.7


def test_calibration_uses_the_cells_that_have_the_assay(paired, codec):
    counts = {name: x[:900] for name, x in paired[0].items()}
    with torch.no_grad():
        states = codec.encode(dense(counts))[0]
    half = torch.arange(900) < 450
    wrong = counts["atac"].tolil()
    wrong[450:] = 0
    given = {**counts, "atac": wrong.tocsr()}
    shifts = []
    for x, present in ((counts, {"atac": half}), (given, {"atac": half}), (given, None)):
        with torch.no_grad():
            codec.calibrate(states, x, None, present)
        shifts.append(codec.assays.atac.shift.clone())
    codec.clear_calibration()
    assert torch.equal(shifts[0], shifts[1])
    assert shifts[0].mean() - shifts[2].mean() > 0.3  # zeros would have halved the means


def test_assays_are_drawn_with_their_own_numbers(paired, codec):
    """The noise of a gene is not that of the protein of the same index."""
    asked = []

    def uniform(n):
        asked.append(n)
        return torch.rand(2_000, n, generator=torch.Generator().manual_seed(0))

    state = torch.zeros(2_000, codec.n_state)
    with torch.no_grad():
        drawn = codec.draw(state, uniform)
    assert asked == [220]
    correlation = [
        np.corrcoef(drawn["rna"][:, i], drawn["protein"][:, i])[0, 1]
        for i in range(10)
        if drawn["rna"][:, i].std() > 0 and drawn["protein"][:, i].std() > 0
    ]
    assert np.abs(correlation).max() < 0.1


def test_totals_of_some_assays_can_be_given(paired, codec):
    x = dense({name: part[:20] for name, part in paired[0].items()})
    state, _ = codec.encode(x)
    given = codec.with_library_size(state, {"protein": torch.full((20,), 300.0)})
    torch.testing.assert_close(given[:, :17], state[:, :17])
    torch.testing.assert_close(given[:, 18], state[:, 18])
    mean = codec.decode(given)["protein"].mean().sum(1)
    torch.testing.assert_close(mean, torch.full((20,), 300.0), rtol=1e-3, atol=0)
