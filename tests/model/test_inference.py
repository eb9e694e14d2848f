"""What scvi-tools users expect of a model class: expression, likelihood, predictive draws."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.dataloaders import AnnDataLoader

from scdit import SCDiT
from scdit.diffusion import KeyedNoise
from scdit.model._batches import POSTERIOR

N_CELLS, N_GENES, SHIFTED = 400, 60, slice(0, 6)


def dense(result):
    """Any of the results, as arrays by name."""
    if isinstance(result, dict):
        return {k: np.asarray(v) for k, v in result.items()}
    if hasattr(result, "todense"):
        result = result.todense()
    return {"values": np.asarray(result)}


def assert_same(one, two, **tolerance):
    one, two = dense(one), dense(two)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(
            one[name], two[name], **({"rtol": 1e-4, "atol": 1e-6} | tolerance)
        )


@pytest.fixture(scope="module", params=["nb", "zinb"])
def model(request, make_adata):
    """A model of the small data set, with each likelihood."""
    adata = make_adata()
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = SCDiT(adata, n_hidden=32, width=32, gene_likelihood=request.param)
    model.train(max_epochs={"codec": 20, "denoiser": 1}, silent=True)
    return model


@pytest.fixture(scope="module")
def uncalibrated(model):
    """The same, whose draws have the mean that is decoded."""
    plain = copy.copy(model)
    plain.module = copy.deepcopy(model.module)
    plain.module.codec.clear_calibration()
    return plain


METHODS = {
    "expression": lambda m, a, **k: m.get_normalized_expression(a, rng=0, **k),
    "samples": lambda m, a, **k: m.get_normalized_expression(
        a, rng=0, n_samples=2, return_mean=False, **k
    ),
    "translated": lambda m, a, **k: m.get_normalized_expression(
        a, rng=0, transform_batch=["one", "two"], library_size="latent", **k
    ),
    "parameters": lambda m, a, **k: m.get_likelihood_parameters(a, rng=0, n_samples=2, **k),
    "predictive": lambda m, a, **k: m.posterior_predictive_sample(a, rng=0, n_samples=2, **k),
    "elbo": lambda m, a, **k: m.get_elbo(a, rng=0, return_mean=False, **k),
    "error": lambda m, a, **k: m.get_reconstruction_error(a, rng=0, return_mean=False, **k),
    "latent": lambda m, a, **k: m.get_latent_representation(a, rng=0, give_mean=False, **k),
}
of_each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


# -- what holds of all of them -------------------------------------------------------------------


@of_each
def test_results_do_not_depend_on_the_batch_size(model, method):
    one, two = (method(model, None, batch_size=size) for size in (7, 120))
    one, two = dense(one), dense(two)
    for name in one:  # a draw of a count may move by rounding
        far = ~np.isclose(one[name], two[name], rtol=1e-3, atol=1e-5)
        assert far.mean() <= 1e-4


@of_each
def test_a_seed_repeats_bit_for_bit(model, method):
    assert_same(method(model, None), method(model, None), rtol=0, atol=0)


@of_each
def test_the_order_of_genes_does_not_matter(model, method):
    names = model.adata.var_names
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = AnnData(
        sp.hstack([model.adata.X[:, order], np.ones((model.adata.n_obs, 1))], format="csr"),
        obs=model.adata.obs.copy(),
        var=pd.DataFrame(index=[*names[order], "a gene that the model does not have"]),
    )
    own, other = dense(method(model, None)), dense(method(model, shuffled))
    for name, values in own.items():
        by_gene = {axis for axis, n in enumerate(values.shape) if n == len(names)}
        for axis in by_gene:  # the result has the order of the object that was given
            values = values.take(order, axis=axis)
        np.testing.assert_allclose(other[name], values, rtol=1e-4, atol=1e-6)


@of_each
def test_indices_select_cells(model, method):
    rows = np.arange(model.adata.n_obs) % 3 == 0
    one = dense(method(model, None, indices=rows))
    two = dense(method(model, model.adata[rows].copy()))
    assert_same(one, two)


@of_each
def test_nothing_of_the_users_changes(model, method):
    adata = model.adata.copy()
    before = adata.copy()
    method(model, adata)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert (adata.X != before.X).nnz == 0
    assert adata.uns.keys() == before.uns.keys()
    assert not adata.layers
    assert not adata.obsm


@of_each
def test_a_second_registration_changes_nothing(model, method):
    expected = method(model, None)
    model.adata.obs["half"] = np.repeat(["x", "y"], model.adata.n_obs // 2)
    try:
        SCDiT.setup_anndata(model.adata, labels_key="half")
        assert_same(method(model, None), expected)
    finally:
        del model.adata.obs["half"]
        SCDiT.setup_anndata(model.adata, labels_key="cell_type", batch_key="batch")


@of_each
def test_cells_without_conditions_have_unknown_ones(model, method):
    if method is METHODS["translated"]:
        pytest.skip("which needs a batch")
    bare = AnnData(model.adata.X, var=model.adata.var)
    hidden = model.adata.copy()
    hidden.obs = hidden.obs.drop(columns=["cell_type", "batch"])
    assert_same(method(model, bare), method(model, hidden))
    known, unknown = dense(method(model, None)), dense(method(model, bare))
    differ = any(not np.allclose(known[name], unknown[name]) for name in known)
    assert differ == (method is not METHODS["latent"])  # which looks at counts alone


@of_each
def test_an_unknown_condition_is_named(model, method):
    if method is METHODS["latent"]:
        pytest.skip("which looks at counts alone")
    adata = model.adata.copy()
    adata.obs["cell_type"] = "T cell"
    with pytest.raises(ValueError, match=r"unknown cell_type 'T cell'; known: B, NK, T"):
        method(model, adata)


@of_each
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": -1}, "batch_size must be a positive integer, got -1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 2.5}, "batch_size must be"),
        ({"indices": [500]}, "indices has the position 500, for 120 rows"),
        ({"indices": [True, False]}, "indices is a mask of 2 for 120 rows"),
        ({"indices": []}, "indices selects no cells"),
        ({"indices": "B"}, "indices must be positions"),
    ],
)
def test_bad_cells(model, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(model, None, **arguments)


@of_each
def test_bad_objects(model, method):
    with pytest.raises(TypeError, match="adata must be an AnnData"):
        method(model, model.adata.X)
    logs = model.adata.copy()
    logs.X = np.log1p(logs.X.toarray())
    with pytest.raises(ValueError, match="looks like log-transformed data"):
        method(model, logs)
    with pytest.raises(ValueError, match="genes are missing from adata"):
        method(model, model.adata[:, :5].copy())


@of_each
def test_an_untrained_model_and_the_expression_codec_are_refused(adata, method):
    SCDiT.setup_anndata(adata, batch_key="batch")
    model = SCDiT(adata, codec="expression", width=32, patch_size=10)
    with pytest.raises(RuntimeError, match="not trained"):
        method(model, None)
    model.is_trained_ = True
    with pytest.raises(
        ValueError, match=r"get_|posterior_.* needs a latent space and a likelihood"
    ):
        method(model, None)


# -- expression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("library_size", [1, 1e4, 0.5])
def test_rows_add_up_to_the_library_size(model, library_size):
    for n_samples in (1, 3):
        expression = model.get_normalized_expression(
            library_size=library_size, n_samples=n_samples, rng=0
        )
        assert expression.to_numpy().min() >= 0
        np.testing.assert_allclose(expression.sum(axis=1), library_size, rtol=1e-5)
    assert expression.index.equals(model.adata.obs_names)
    assert expression.columns.equals(model.adata.var_names)


def test_the_latent_library_size_is_that_of_the_cell(model):
    sums = model.get_normalized_expression(library_size="latent", rng=0).sum(axis=1)
    capped = model.adata.X.toarray()
    capped = np.minimum(capped, model.module.codec.assays["rna"].cap.numpy()).sum(1)
    np.testing.assert_allclose(sums, capped, rtol=1e-3)


def test_genes_are_those_asked_for_in_this_order(model):
    whole = model.get_normalized_expression(rng=0)
    for genes in (["gene7", "gene3"], pd.Index(["gene7", "gene3"]), np.array(["gene7", "gene3"])):
        part = model.get_normalized_expression(gene_list=genes, rng=0)
        pd.testing.assert_frame_equal(part, whole[["gene7", "gene3"]])
    drawn = model.posterior_predictive_sample(gene_list=["gene7"], rng=0).todense()
    np.testing.assert_array_equal(
        drawn, model.posterior_predictive_sample(rng=0).todense()[:, [7]]
    )


def test_form_of_samples(model):
    every = model.get_normalized_expression(n_samples=4, return_mean=False, rng=0)
    assert every.shape == (4, 120, 40)
    mean = model.get_normalized_expression(n_samples=4, rng=0, return_numpy=True)
    np.testing.assert_allclose(every.mean(axis=0), mean, rtol=1e-4, atol=1e-7)
    with pytest.warns(UserWarning, match="array is returned"):
        model.get_normalized_expression(n_samples=2, return_mean=False, return_numpy=False)
    some = model.get_normalized_expression(n_samples_overall=70, indices=[3, 5], rng=0)
    assert some.shape == (70, 40)
    assert set(some.index) == {"cell3", "cell5"}
    assert len(some.drop_duplicates()) == 70


@pytest.fixture(scope="module")
def planted():
    """Two types; six genes have four times the counts in the batch "two"."""
    rng = np.random.default_rng(1)
    profiles = rng.gamma(1.0, size=(2, N_GENES)) + 0.3
    types, batch = rng.integers(0, 2, (2, N_CELLS))
    truth = profiles[types].copy()
    truth[:, SHIFTED] *= np.where(batch == 1, 4.0, 1.0)[:, None]
    truth /= truth.sum(1, keepdims=True)
    counts = sp.csr_matrix(rng.poisson(400 * truth), dtype=np.float32)
    obs = {"cell_type": np.array(["a", "b"])[types], "batch": np.array(["one", "two"])[batch]}
    adata = AnnData(counts, obs=pd.DataFrame(obs, index=[f"c{i}" for i in range(N_CELLS)]))
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs={"codec": 60, "denoiser": 1}, silent=True)
    return model, truth


def test_expression_is_nearer_to_the_truth_than_the_counts(planted):
    model, truth = planted
    raw = model.adata.X.toarray()
    raw /= raw.sum(1, keepdims=True)
    denoised = model.get_normalized_expression(n_samples=5, rng=0, return_numpy=True)
    error, noise = (np.square(x - truth).sum() for x in (denoised, raw))
    assert error < 0.25 * noise


def test_batch_translation_moves_the_batch_effect_and_nothing_else(planted):
    model, _ = planted
    one, two, both, own = (
        model.get_normalized_expression(transform_batch=batch, rng=0, return_numpy=True)
        for batch in ("one", "two", ["one", "two"], None)
    )
    lfc = np.log2(two.mean(0) / one.mean(0))
    lfc -= np.median(lfc)  # of proportions
    np.testing.assert_allclose(lfc[SHIFTED], 2, atol=0.3)
    assert np.abs(lfc[SHIFTED.stop :]).max() < 0.3
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-4, atol=1e-8)
    of_two = (model.adata.obs["batch"] == "two").to_numpy()
    np.testing.assert_allclose(own[of_two], two[of_two], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(own[~of_two], one[~of_two], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"library_size": 0}, ValueError, "library_size must be a finite number above 0"),
        ({"library_size": "latnet"}, ValueError, "unknown library_size 'latnet'.*'latent'"),
        ({"library_size": np.nan}, ValueError, "library_size must be"),
        ({"n_samples": 0}, ValueError, "n_samples must be a positive integer"),
        ({"n_samples_overall": -1}, ValueError, "n_samples_overall must be"),
        ({"n_samples_overall": 5, "n_samples": 2}, ValueError, "not both"),
        ({"transform_batch": "three"}, ValueError, "unknown batch 'three'; known: one, two"),
        ({"transform_batch": []}, ValueError, "empty list"),
        (
            {"transform_batch": {"one": 1}},
            ValueError,
            "transform_batch must be the name of a batch",
        ),
        ({"gene_list": ["gene1", "gene1"]}, ValueError, "'gene1' more than once"),
        ({"gene_list": ["gene_1"]}, ValueError, "not genes of the model.*did you mean 'gene1'"),
        ({"gene_list": []}, ValueError, "gene_list is empty"),
        ({"gene_list": "gene1"}, TypeError, "gene_list must be a list of names"),
        ({"return_mean": "yes"}, ValueError, "return_mean must be True or False"),
        ({"return_numpy": 1}, ValueError, "return_numpy must be True or False"),
        ({"silent": None}, ValueError, "silent must be True or False"),
        ({"rng": -1}, ValueError, "rng must be"),
    ],
)
def test_bad_arguments_of_expression(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.get_normalized_expression(**arguments)


def test_translation_keeps_the_type_of_a_cell(planted):
    """A cell of the batch "one", moved to "two", is like the cells of its type there."""
    model, truth = planted
    moved = model.get_normalized_expression(transform_batch="two", rng=0, return_numpy=True)
    obs = model.adata.obs
    for cell_type in ("a", "b"):
        of_type = (obs["cell_type"] == cell_type).to_numpy()
        of_two = (obs["batch"] == "two").to_numpy()
        there = truth[of_type & of_two].mean(0)
        here = moved[of_type & ~of_two].mean(0)
        before = truth[of_type & ~of_two].mean(0)
        assert np.abs(here - there).sum() < 0.25 * np.abs(before - there).sum()


def test_translation_needs_the_batch_of_the_cells(model):
    bare = AnnData(model.adata.X, var=model.adata.var)
    with pytest.raises(ValueError, match="adata.obs has no column 'batch'"):
        model.get_normalized_expression(bare, transform_batch="one")


def test_translation_needs_batches(adata):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="transform_batch needs batches"):
        model.get_normalized_expression(transform_batch="one")
    assert model.get_normalized_expression().shape == adata.shape


# -- likelihood ----------------------------------------------------------------------------------


def test_the_bound_is_the_loss_of_the_codec(model, monkeypatch):
    """... in evaluation, with the same random numbers; the diffusion is no part of it."""
    (batch,) = AnnDataLoader(model.adata_manager, batch_size=model.adata.n_obs)
    noise = KeyedNoise(0).normal(0, 120, model.module.codec.n_state, POSTERIOR, 0)
    monkeypatch.setattr(torch, "randn_like", lambda sd: torch.from_numpy(noise).to(sd))
    _, _, loss = model.module.eval()(batch)
    elbo, error = model.get_elbo(rng=0), model.get_reconstruction_error(rng=0)
    assert isinstance(elbo, float)
    assert elbo == pytest.approx(-loss.loss.item(), rel=1e-5)
    assert error["reconstruction_loss"] == pytest.approx(
        loss.reconstruction_loss["reconstruction_loss"].mean().item(), rel=1e-5
    )
    cells = model.get_elbo(rng=0, return_mean=False)
    assert cells.shape == (120,)
    assert cells.mean() == pytest.approx(elbo)


def test_the_prior_of_the_bound_is_that_of_the_conditions(model):
    wrong = model.adata.copy()
    wrong.obs["cell_type"] = wrong.obs["cell_type"].cat.rename_categories(
        {"B": "T", "T": "B", "NK": "NK"}
    )
    assert model.get_elbo(rng=0) > model.get_elbo(wrong, rng=0)


def test_parameters_give_the_likelihood(model):
    """The log probability that scipy has of the counts is the reconstruction error."""
    from scipy.stats import nbinom

    p = model.get_likelihood_parameters(rng=0)
    counts = model.adata.X.toarray()
    counts = np.minimum(counts, model.module.codec.assays["rna"].cap.numpy())
    mean, theta = (p[name].astype(float) for name in ("mean", "dispersions"))
    log = nbinom.logpmf(counts, theta, theta / (theta + mean))
    zero_inflated = model.module.codec.assays["rna"].extra_zeros is not None
    assert ("dropout" in p) == zero_inflated
    if zero_inflated:
        pi = p["dropout"].astype(float)
        log = np.log(pi * (counts == 0) + (1 - pi) * np.exp(log))
        mean = (1 - pi) * mean
    error = model.get_reconstruction_error(rng=0, return_mean=False)["reconstruction_loss"]
    np.testing.assert_allclose(-log.sum(1), error, rtol=1e-3)
    np.testing.assert_allclose(
        mean, model.get_normalized_expression(library_size="latent", rng=0), rtol=1e-3
    )
    averaged = model.get_likelihood_parameters(rng=0, n_samples=3, give_mean=True)
    every = model.get_likelihood_parameters(rng=0, n_samples=3)
    for name in p:
        assert every[name].shape == (3, 120, 40)
        np.testing.assert_allclose(averaged[name], every[name].mean(0), rtol=1e-4)


def test_predictive_draws_have_the_decoded_mean(uncalibrated):
    n = 300
    drawn = uncalibrated.posterior_predictive_sample(n_samples=n, rng=0)
    assert drawn.shape == (120, 40, n)
    assert drawn.nnz == np.count_nonzero(drawn.data)
    values = drawn.todense()
    np.testing.assert_array_equal(values, np.rint(values))
    expected = uncalibrated.get_normalized_expression(
        library_size="latent", n_samples=n, rng=0, return_numpy=True
    )
    error = values.std(axis=2) / np.sqrt(n) + 0.01
    assert (np.abs(values.mean(axis=2) - expected) < 5 * error).all()


def test_predictive_draws_with_calibration_have_about_the_decoded_mean(model):
    values = model.posterior_predictive_sample(n_samples=100, rng=0).todense().mean(axis=2)
    expected = model.get_normalized_expression(library_size="latent", n_samples=20, rng=0)
    assert values.sum() == pytest.approx(expected.to_numpy().sum(), rel=0.03)
    np.testing.assert_allclose(values.mean(0), expected.to_numpy().mean(0), rtol=0.25, atol=0.05)


def test_one_draw_has_two_dimensions_and_one_batch(model):
    drawn = model.posterior_predictive_sample(rng=0)
    assert drawn.shape == (120, 40)
    moved = model.posterior_predictive_sample(transform_batch="two", rng=0)
    assert (moved != drawn).nnz > 0
    with pytest.raises(ValueError, match="names 2 batches"):
        model.posterior_predictive_sample(transform_batch=["one", "two"])


# -- latent vectors ------------------------------------------------------------------------------


def test_latent_vectors_and_their_variance(model):
    z = model.get_latent_representation()
    mean, variance = model.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(mean, z)
    draws = np.stack(
        [model.get_latent_representation(give_mean=False, rng=seed) for seed in range(200)]
    )
    np.testing.assert_allclose(draws.mean(0), z, atol=0.5)
    np.testing.assert_allclose(draws.var(0).mean(0), variance.mean(0), rtol=0.1)


def test_the_default_batch_size_is_that_of_scvi(model, monkeypatch):
    seen = []
    encode = model.module.codec.encode
    monkeypatch.setattr(
        model.module.codec, "encode", lambda c, *k: seen.append(len(c["rna"])) or encode(c, *k)
    )
    monkeypatch.setattr(scvi.settings, "batch_size", 50)
    model.get_latent_representation()
    assert seen == [50, 50, 20]


def test_counts_of_the_registered_layer_are_read(make_adata):
    adata = make_adata()
    adata.layers["counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X.toarray())
    SCDiT.setup_anndata(adata, layer="counts")
    model = SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs=1, silent=True)
    assert REGISTRY_KEYS.X_KEY in model.registry["field_registries"]
    assert np.isfinite(model.get_elbo())
    with pytest.raises(KeyError, match="layer 'counts' is not in adata.layers"):
        model.get_normalized_expression(make_adata())
