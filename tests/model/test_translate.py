"""Real cells under other conditions: what changes, what stays, and whose cells they are."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scdit import SCDiT

N_GENES, AFFECTED = 60, slice(0, 6)


def mixture(n=600, seed=0, n_kinds=2):
    """Types of cells; treatment multiplies six genes by four, in all; a program varies within types."""
    rng = np.random.default_rng(seed)
    kinds, treated = rng.integers(n_kinds, size=n), rng.integers(2, size=n)
    program = rng.normal(size=n)
    rate = 4 * np.random.default_rng(1).gamma(2, 0.5, (n_kinds, N_GENES))[kinds]
    rate[:, AFFECTED] *= 4.0 ** treated[:, None]
    rate[:, 20:40] *= np.exp(program)[:, None]
    rate *= rng.gamma(10, 0.1, n)[:, None]
    obs = pd.DataFrame(
        {
            "kind": np.array(list("abcdef"))[kinds],
            "condition": np.array(["ctrl", "stim"])[treated],
            "program": program,
        },
        index=[f"cell{i}" for i in range(n)],
    )
    return AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs)


@pytest.fixture(scope="module")
def model():
    adata = mixture()
    SCDiT.setup_anndata(adata, labels_key="kind", categorical_covariate_keys=["condition"])
    model = SCDiT(adata, n_hidden=32, width=16, n_latent=4)
    model.train(max_epochs={"codec": 60, "denoiser": 1}, silent=True)
    return model


def control(seed=7):
    cells = mixture(400, seed)
    return cells[cells.obs["condition"] == "ctrl"].copy()


def rates(adata):
    counts = adata.X.toarray()
    return counts / counts.sum(1, keepdims=True)


def test_a_planted_effect_arrives_and_the_rest_stays(model):
    cells = control()
    stim = model.translate(cells, covariates={"condition": "stim"}, rng=0, silent=True)
    truth = mixture(2000, 3)
    truth = truth[truth.obs["condition"] == "stim"]
    for kind in "ab":
        made, real, before = (
            rates(x[x.obs["kind"] == kind]).mean(0) for x in (stim, truth, cells)
        )
        change, expected = np.log2(made / before), np.log2(real / before)
        np.testing.assert_allclose(change[AFFECTED], expected[AFFECTED], atol=0.35)
        # of an effect of 2, and one gene in 400 cells is known to .1
        assert np.abs(change[6:] - np.median(change[6:])).mean() < 0.2
    # the same cells: their program and their depth
    program = np.log1p(1e3 * rates(stim)[:, 20:40]).mean(1)
    assert np.corrcoef(program, cells.obs["program"])[0, 1] > 0.7
    np.testing.assert_allclose(stim.X.sum(1).A1.mean(), cells.X.sum(1).A1.mean(), rtol=0.05)
    assert np.corrcoef(stim.X.sum(1).A1, cells.X.sum(1).A1)[0, 1] > 0.9


def test_rows_are_those_of_the_cells(model):
    cells = control()
    made = model.translate(
        cells, labels="b", covariates={"condition": "stim"}, n_samples=2, rng=0, silent=True
    )
    n = cells.n_obs
    assert made.n_obs == 2 * n
    assert list(made.obs["source"]) == 2 * list(cells.obs_names)
    assert list(made.obs["scdit_sample"]) == [0] * n + [1] * n
    assert set(made.obs["kind"]) == {"b"}
    assert set(made.obs["condition"]) == {"stim"}
    assert made.obs["scdit_generated"].all()
    assert made.obs_names.is_unique
    assert not set(made.obs_names) & set(cells.obs_names)
    assert made.X.dtype == np.int32
    assert (made.X[:n] != made.X[n:]).nnz  # draws differ
    assert made.uns["scdit"]["conditions"] == ["kind", "condition"]


def test_one_seed_gives_the_same_cells(model):
    cells, wish = control(), {"covariates": {"condition": "stim"}, "silent": True}
    whole = model.translate(cells, rng=3, **wish)
    parts = model.translate(cells, rng=3, batch_size=7, **wish)
    assert abs(whole.X - parts.X).sum() <= 2e-5 * whole.X.sum()  # sums of floats have an order
    assert list(whole.obs_names) == list(parts.obs_names)
    other = model.translate(cells, rng=4, **wish)
    assert (whole.X != other.X).nnz
    assert not set(whole.obs_names) & set(other.obs_names)
    again = model.translate(cells, rng=int(other.uns["scdit"]["rng"]), **wish)
    assert (again.X != other.X).nnz == 0


def test_training_cells_rows_and_one_name_per_cell(model):
    rows = np.array([5, 3, 11])
    names = ["ctrl", "stim", "ctrl"]
    made = model.translate(indices=rows, covariates={"condition": names}, rng=0, silent=True)
    assert list(made.obs["source"]) == list(model.adata.obs_names[rows])
    assert list(made.obs["condition"]) == names
    assert list(made.obs["kind"]) == list(model.adata.obs["kind"].iloc[rows])


def test_library_sizes(model):
    cells = control()
    made = model.translate(cells, labels="a", library_size=3000, rng=0, silent=True)
    assert made.X.sum(1).A1.mean() == pytest.approx(3000, rel=0.05)


def test_genes_in_another_order_and_a_saved_model_without_data(model, tmp_path):
    cells = control()
    wish = {"covariates": {"condition": "stim"}, "rng": 0, "silent": True}
    model.save(str(tmp_path / "model"))
    alone = SCDiT.load(str(tmp_path / "model"), adata=False)
    one, two = model.translate(cells, **wish), alone.translate(cells[:, ::-1].copy(), **wish)
    assert (one.X != two.X).nnz == 0
    assert list(one.var_names) == list(two.var_names)
    with pytest.raises(ValueError, match="loaded without data"):
        alone.translate(**wish)


def test_an_unseen_combination_is_warned_of():
    adata = mixture(300)
    adata = adata[~((adata.obs["kind"] == "a") & (adata.obs["condition"] == "stim"))].copy()
    SCDiT.setup_anndata(adata, labels_key="kind", categorical_covariate_keys=["condition"])
    model = SCDiT(adata, n_hidden=16, width=16, n_latent=2)
    model.train(max_epochs=1, silent=True)
    with pytest.warns(UserWarning, match="no training cell has kind 'a' and condition 'stim'"):
        model.translate(
            indices=(adata.obs["kind"] == "a").to_numpy(),
            covariates={"condition": "stim"},
            silent=True,
        )


def without(column):
    cells = control()
    del cells.obs[column]
    return cells


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "say which conditions are to change.*'kind', 'condition'"),
        ({"labels": "c"}, ValueError, "unknown kind 'c'; known: a, b"),
        ({"labels": {"a": 3}}, ValueError, "numbers of cells by name are for"),
        ({"labels": ["a", "b"]}, ValueError, "different numbers of cells"),
        ({"batch": "one"}, ValueError, "batch= needs a column"),
        ({"covariates": {"dose": 3}}, ValueError, "unknown covariate 'dose'"),
        ({"covariates": ["stim"]}, TypeError, "covariates must be a mapping"),
        ({"labels": "a", "n_samples": 0}, ValueError, "n_samples must be"),
        ({"labels": "a", "library_size": "model"}, ValueError, "is for generate"),
        ({"labels": "a", "library_size": -1}, ValueError, "library_size must be positive"),
        ({"labels": "a", "rng": "x"}, ValueError, "rng must be"),
        ({"labels": "a", "silent": 1}, ValueError, "silent must be"),
        ({"labels": "a", "indices": [10**6]}, ValueError, "indices"),
        ({"labels": "a", "indices": []}, ValueError, "indices selects no cells"),
        ({"labels": "a", "batch_size": 0}, ValueError, "batch_size must be"),
        ({"labels": "a", "adata": "cells"}, TypeError, "adata must be an AnnData"),
        (
            {"labels": "a", "adata": without("condition")},
            ValueError,
            "adata.obs lacks 'condition'",
        ),
        ({"labels": "a", "adata": control()[:, :30].copy()}, ValueError, "genes"),
    ],
)
def test_bad_input(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.translate(**arguments)


def test_own_conditions_that_are_unknown(model):
    cells = control()
    cells.obs["kind"] = "c"
    with pytest.raises(ValueError, match="unknown kind 'c'"):
        model.translate(cells, labels="a")


def test_the_users_cells_stay_as_they_are(model):
    cells = control()
    before = cells.copy()
    model.translate(cells, labels="a", silent=True)
    pd.testing.assert_frame_equal(cells.obs, before.obs)
    assert (cells.X != before.X).nnz == 0
    assert not cells.uns


def test_the_expression_codec_has_no_latent_space(adata):
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = SCDiT(adata, codec="expression", width=16)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="translate needs a latent space"):
        model.translate(labels="NK")


def test_an_effect_reaches_a_type_that_was_never_seen_with_it():
    """Generated and translated cells alike: what treatment does to the others is done to it."""
    adata = mixture(2400, n_kinds=6)
    known = adata[~((adata.obs["kind"] == "a") & (adata.obs["condition"] == "stim"))].copy()
    SCDiT.setup_anndata(known, labels_key="kind", categorical_covariate_keys=["condition"])
    model = SCDiT(known, n_hidden=32, width=16, n_latent=8)
    model.train(max_epochs={"codec": 40, "denoiser": 30}, silent=True)
    wish = {"covariates": {"condition": "stim"}, "rng": 0, "silent": True}
    cells = known[known.obs["kind"] == "a"].copy()
    with pytest.warns(UserWarning, match="no training cell has"):
        made = [model.generate(400, labels="a", **wish), model.translate(cells, **wish)]
    for new in made:
        change = np.log2(rates(new).mean(0) / rates(cells).mean(0))
        centred = change - np.median(change[6:])
        np.testing.assert_allclose(centred[AFFECTED].mean(), 2, atol=0.4)
        assert np.abs(centred[6:]).mean() < 0.25
