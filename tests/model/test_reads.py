"""Protocols that count reads: a gene is absent or has dozens of counts."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scdit import SCDiT

N_CELLS, N_GENES = 600, 80


@pytest.fixture(scope="module")
def reads(amplified):
    """About 30 reads of each molecule of genes with .05 to 3 of them, in two types of cells."""
    rng = np.random.default_rng(0)
    types = rng.integers(0, 2, N_CELLS)
    level = np.exp(rng.uniform(np.log(0.05), np.log(3), N_GENES))
    molecules = rng.poisson(level * np.exp(rng.normal(0, 0.7, (2, N_GENES)))[types])
    counts = sp.csr_matrix(amplified(molecules, rng), dtype=np.float32)
    cells = ad.AnnData(counts[np.asarray(counts.sum(1)).ravel() > 0])
    cells.obs["cell_type"] = np.array(["a", "b"])[types[: cells.n_obs]]
    return cells


def trained(cells, likelihood=None, denoiser_epochs=40, **kwargs):
    cells = cells.copy()
    SCDiT.setup_anndata(cells, labels_key="cell_type")
    model = SCDiT(cells, width=32, gene_likelihood=likelihood)
    model.train(max_epochs={"codec": 40, "denoiser": denoiser_epochs}, silent=True, **kwargs)
    return model


@pytest.fixture(scope="module")
def model(reads):
    return trained(reads)


def test_the_likelihood_follows_the_counts(model, adata):
    assert "zero-inflated" in repr(model)
    SCDiT.setup_anndata(adata)
    assert "zero-inflated" not in repr(SCDiT(adata))
    assert "zero-inflated" in repr(SCDiT(adata, gene_likelihood="zinb"))


def test_genes_are_detected_as_often_as_in_the_data_and_have_their_counts(reads, model):
    new = model.generate(n=2000, rng=0, silent=True)
    real, made = reads.X.toarray(), new.X.toarray()
    detected = (real > 0).mean(0), (made > 0).mean(0)
    assert np.abs(np.subtract(*detected)).mean() < 0.03
    few = (real > 0).mean(0) < 0.2
    # molecules of negative binomial counts would be one read, most of them
    ones = [(x[:, few] == 1).sum() / (x[:, few] > 0).sum() for x in (real, made)]
    assert ones[0] == pytest.approx(ones[1], abs=0.05)
    means = [x[:, few].sum() / (x[:, few] > 0).sum() for x in (real, made)]
    assert means[0] == pytest.approx(means[1], rel=0.15)


def test_it_explains_held_out_reads_better(reads):
    bounds = {}
    for likelihood in ("nb", "zinb"):
        model = trained(reads, likelihood, denoiser_epochs=1, train_size=0.8)
        bounds[likelihood] = model.history["codec_loss_validation"].to_numpy()[-1].item()
    assert bounds["zinb"] < bounds["nb"] - 5  # nats per cell


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = SCDiT.load(tmp_path / "model", adata=False)
    assert "zero-inflated" in repr(loaded)
    new = [m.generate(n=50, rng=1, silent=True).X.toarray() for m in (model, loaded)]
    np.testing.assert_array_equal(*new)


def test_unknown_likelihood_is_refused(adata):
    SCDiT.setup_anndata(adata)
    with pytest.raises(ValueError, match="choose one of nb, zinb"):
        SCDiT(adata, gene_likelihood="poisson")
