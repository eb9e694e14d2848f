"""Topping up rare types: who is added, how they are flagged, and that nothing else changes."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import scdit

QUICK = {"n_steps": 2, "silent": True, "rng": 0}


@pytest.fixture(scope="module")
def model(make_adata):
    adata = make_adata()
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = scdit.SCDiT(adata, n_hidden=16, width=16)
    model.train(max_epochs=1, silent=True)
    return model


def augment(adata, model, **kwargs):
    return scdit.tl.augment(
        adata, model, **({"min_cells": 40, "labels_key": "cell_type"} | QUICK | kwargs)
    )


def test_rare_types_are_topped_up(adata, model):
    adata.obs["age"] = 30.0
    before = adata.copy()
    more = augment(adata, model)
    sizes = adata.obs["cell_type"].value_counts()
    assert more.obs["cell_type"].value_counts().to_dict() == sizes.clip(lower=40).to_dict()
    new = more.obs["scdit_generated"]
    assert new.dtype == bool
    assert new.sum() == (40 - sizes).clip(lower=0).sum() > 0
    assert set(more.obs.loc[new, "cell_type"]) == set(sizes.index[sizes < 40])
    assert more.obs.loc[new, "batch"].notna().all()
    assert more.obs.loc[new, "age"].isna().all()
    assert more.obs_names.is_unique
    # the real cells come first and are as they were, and so is the user's object
    assert (more[~new].X != adata.X).nnz == 0
    assert more.X.dtype == adata.X.dtype
    assert list(more.obs_names[: adata.n_obs]) == list(adata.obs_names)
    pd.testing.assert_series_equal(more.obs["cell_type"][~new], adata.obs["cell_type"])
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert (adata.X != before.X).nnz == 0


def test_counts_in_a_layer_and_genes_in_another_order(adata, model):
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    more = augment(adata[:, ::-1].copy(), model, layer="counts")
    assert list(more.var_names) == list(adata.var_names)
    assert (more.layers["counts"][: adata.n_obs] != adata.layers["counts"]).nnz == 0
    assert sp.issparse(more.layers["counts"])


@pytest.mark.filterwarnings("ignore:library_size of 20000 is far outside")
def test_counts_that_the_type_of_the_real_ones_cannot_hold(adata, model):
    adata.X = np.minimum(adata.X.toarray(), 255).astype(np.uint8)
    more = augment(adata, model, library_size=20_000)
    assert (more.X[: adata.n_obs] != sp.csr_matrix(adata.X)).nnz == 0
    made = more.X[adata.n_obs :].sum(axis=1).A1
    np.testing.assert_allclose(np.median(made), 20_000, rtol=0.2)


def test_layers_of_generated_cells_are_left_out(adata, make_adata):
    cells = make_adata()
    scdit.SCDiT.setup_anndata(cells, labels_key="cell_type")
    model = scdit.SCDiT(cells, codec="expression", width=16)
    model.train(max_epochs=1, silent=True)
    more = augment(adata, model)
    assert more.n_obs > adata.n_obs
    assert not more.layers


def test_nothing_to_add(adata, model):
    more = augment(adata, model, min_cells=1)
    assert more.n_obs == adata.n_obs
    assert not more.obs["scdit_generated"].any()


def test_cells_without_a_label_are_not_topped_up(make_adata):
    adata = make_adata()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories("Unknown")
    adata.obs.iloc[:5, 0] = "Unknown"
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type", unlabeled_category="Unknown")
    model = scdit.SCDiT(adata, n_hidden=16, width=16)
    model.train(max_epochs=1, silent=True)
    assert augment(adata, model).obs["cell_type"].value_counts()["Unknown"] == 5


def test_options_reach_generate(adata, model):
    more = augment(adata, model, library_size=5000.0)
    depth = np.asarray(more.X.sum(axis=1)).ravel()[more.obs["scdit_generated"]]
    assert depth.mean() == pytest.approx(5000, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"min_cells": 10**12}, ValueError, "at most 1000000", id="huge"),
        pytest.param({"labels": "B"}, TypeError, "labels cannot be passed on", id="clash"),
        pytest.param(
            {"null": "labels"}, TypeError, "null cannot .*unlike the real ones", id="null"
        ),
        pytest.param({"new_donors": {"batch": 9}}, TypeError, "new_donors cannot", id="donors"),
        pytest.param({"n": 3}, TypeError, "n cannot be passed on", id="clash-n"),
        pytest.param({"n_step": 3}, TypeError, "did you mean 'n_steps'", id="unknown"),
        pytest.param({"min_cells": 0}, ValueError, "positive integer", id="min-cells"),
        pytest.param({"labels_key": "type"}, KeyError, "not a column", id="column"),
        pytest.param({"labels_key": "batch"}, ValueError, "are 'cell_type', not", id="labels"),
        pytest.param({"layer": "counts"}, KeyError, "not in adata.layers", id="layer"),
    ],
)
def test_bad_input(adata, model, arguments, error, message):
    with pytest.raises(error, match=message):
        augment(adata, model, **arguments)


def test_columns_that_generated_cells_lack_can_be_written(adata, model, tmp_path):
    adata.obs["doublet"] = True
    adata.obs["n_genes"] = 12
    adata.obs["age"] = 30.5
    more = augment(adata, model)
    assert more.obs.dtypes[["doublet", "n_genes", "age"]].astype(str).to_list() == [
        "boolean",
        "Int64",
        "float64",
    ]
    more.write_h5ad(tmp_path / "more.h5ad")
    back = ad.read_h5ad(tmp_path / "more.h5ad")
    pd.testing.assert_frame_equal(back.obs, more.obs, check_names=False)
    assert back.obs["n_genes"].isna().sum() == more.obs["scdit_generated"].sum()


def test_x_and_layer_are_two_matrices(adata, model):
    adata.layers["counts"] = adata.X.copy()
    more = augment(adata, model, layer="counts")
    sc.pp.normalize_total(more)
    assert (more.layers["counts"][: adata.n_obs] != adata.layers["counts"]).nnz == 0


def test_no_trained_model(adata):
    with pytest.raises(TypeError, match="model must be an SCDiT, got str"):
        augment(adata, "model.pt")
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type")
    with pytest.raises(RuntimeError, match="model is not trained"):
        augment(adata, scdit.SCDiT(adata, n_hidden=16, width=16))


def test_other_bad_input(adata, model):
    with pytest.raises(ValueError, match="lacks 1 of the model's genes: gene39"):
        augment(adata[:, :39].copy(), model)
    with pytest.raises(ValueError, match="augmented before"):
        augment(augment(adata, model), model)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"NK": "NKs"})
    with pytest.raises(ValueError, match="unknown cell_type 'NKs'.*did you mean 'NK'"):
        augment(adata, model)
