"""The expression codec end to end: the same calls as with the latent one."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scdit import SCDiT
from scdit.diffusion import SAMPLERS

PAPER = {"preset": "scrdit", "width": 16, "n_heads": 2}


def make(adata, **arguments):
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = SCDiT(adata, **({"codec": "expression", "width": 32, "patch_size": 7} | arguments))
    model.train(max_epochs=2, silent=True)
    return model


@pytest.fixture(scope="session")
def expression(make_adata):
    return make(make_adata())


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("spacing", ["uniform", "quadratic", "logsnr"])
def test_every_sampler_and_spacing_over_one_model(expression, trained, sampler, spacing):
    for model in (expression, trained):
        new = model.generate(
            20, sampler=sampler, spacing=spacing, n_steps=3, batch_size=20, rng=0, silent=True
        )
        assert sp.isspmatrix_csr(new.X)
        assert np.issubdtype(new.X.dtype, np.integer)
        assert new.X.min() >= 0
        assert new.uns["scdit"]["sampler"] == sampler
        assert new.uns["scdit"]["spacing"] == spacing


def test_spacings_differ(expression):
    one, two = (
        expression.generate(20, spacing=spacing, n_steps=5, rng=0, silent=True).layers[
            "log_normalized"
        ]
        for spacing in ("uniform", "quadratic")
    )
    assert abs(one - two).max() > 0.01


def test_the_continuous_output_is_kept(expression):
    new = expression.generate(50, rng=0, silent=True)
    layer = new.layers["log_normalized"].toarray()
    assert layer.min() == 0
    np.testing.assert_array_equal(layer > 0, new.X.toarray() > 0)
    assert "log_normalized" not in expression.adata.layers


def test_library_sizes_are_drawn_from_the_training_cells_or_given(expression):
    drawn = expression.generate(300, rng=0, silent=True)
    assert drawn.uns["scdit"]["library_size"] == "empirical"
    real = expression.adata.X.sum(1).A1
    assert set(np.asarray(expression.composition_["library_size"])) == set(real)
    # the rounding of counts keeps the proportions the network made
    layer = np.expm1(drawn.layers["log_normalized"].toarray())
    ratio = drawn.X.toarray().sum(1) / layer.sum(1)
    assert real.min() * 0.8 < np.median(ratio) * 1e4 < real.max() * 1.2
    few, many = (
        expression.generate(100, library_size=size, rng=0, silent=True).X.sum()
        for size in (300, 3000)
    )
    assert 5 < many / few < 15


def test_conditions_and_guidance(expression):
    new = expression.generate(labels={"T": 4, "B": 3}, batch="two", guidance_scale=2.0, rng=0)
    assert new.obs["cell_type"].tolist() == ["T"] * 4 + ["B"] * 3
    plain = expression.generate(labels={"T": 4, "B": 3}, batch="two", rng=0, silent=True)
    assert abs(new.layers["log_normalized"] - plain.layers["log_normalized"]).max() > 0


def test_saved_and_loaded(expression, tmp_path):
    expression.save(str(tmp_path / "m"))
    loaded = SCDiT.load(str(tmp_path / "m"), adata=False)
    one, two = (m.generate(30, rng=0, silent=True) for m in (expression, loaded))
    assert (one.X != two.X).nnz == 0
    pd.testing.assert_frame_equal(one.obs, two.obs)


def test_across_batch_sizes(expression):
    one, two = (
        expression.generate(200, rng=0, batch_size=size, silent=True) for size in (200, 31)
    )
    assert abs(one.layers["log_normalized"] - two.layers["log_normalized"]).max() < 1e-3
    assert (one.X != two.X).nnz <= 1e-3 * np.prod(one.shape)


def test_history_has_one_phase_and_no_latents(expression):
    assert set(expression.history) == {"denoiser_loss_train", "denoiser_loss_validation"}
    with pytest.raises(ValueError, match="latent space"):
        expression.get_latent_representation()
    with pytest.raises(ValueError, match="codec='latent'"):
        expression.interpolate({"cell_type": "B"}, {"cell_type": "T"})
    with pytest.raises(ValueError, match="phases are denoiser"):
        expression.train(max_epochs={"codec": 3})


def test_the_published_settings_on_a_small_network(adata):
    model = make(adata, **PAPER)
    assert "log-normalised expression, zeros at -10" in repr(model)
    assert "ddpm schedule, eps-prediction" in repr(model)
    assert model.generate(5, sampler="ddim", n_steps=10, silent=True).X.sum() > 0
    with pytest.raises(ValueError, match="more than the 1000 steps"):
        model.generate(5, n_steps=1001)


def test_a_trained_model_knows_which_genes_are_on(adata):
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = SCDiT(adata, codec="expression", width=32, patch_size=10)
    model.train(max_epochs=150, batch_size=32, silent=True)
    new = model.generate(600, sampler="ddim", rng=0, silent=True)
    on = [(x.X > 0).toarray() for x in (adata, new)]
    assert np.corrcoef(on[0].mean(0), on[1].mean(0))[0, 1] > 0.95
    for label in ("B", "T"):
        real, made = (
            x.X[(x.obs["cell_type"] == label).to_numpy()].mean(0).A1 for x in (adata, new)
        )
        assert np.corrcoef(np.log1p(real), np.log1p(made))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codec": "expressoin"}, "did you mean 'expression'"),
        ({"preset": "paper"}, "choose one of scrdit"),
        ({"codec": "expression", "n_latent": 8}, "codec='expression' does not take n_latent"),
        ({"patch_size": 10}, "codec='latent' does not take patch_size"),
        ({"codec": "expression", "patch_size": 41}, "patch_size must be 1 to 40, got 41"),
        ({"codec": "expression", "patch_size": 0}, "must be 1 to 40"),
        ({"codec": "expression", "zero_value": 1.0}, "at most 0"),
        ({"codec": "expression", "gene_order": "alphabet"}, "correlation, given, random"),
    ],
)
def test_bad_arguments(adata, arguments, message):
    SCDiT.setup_anndata(adata)
    with pytest.raises(ValueError, match=message):
        SCDiT(adata, **arguments)


def test_default_patches_fit_few_genes(adata):
    few = adata[:, :5].copy()
    few = few[few.X.sum(1).A1 > 0].copy()
    model = make(few, patch_size=None)
    assert model.generate(3, silent=True).shape == (3, 5)
