"""Data that change, or are registered again, between setup, constructor and training."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scvi

from scdit import SCDiT

SMALL = {"n_hidden": 8, "width": 8, "n_heads": 2, "n_latent": 2}
QUICK = {"max_epochs": 1, "silent": True}
KEYS = {
    "labels_key": "cell_type",
    "batch_key": "batch",
    "continuous_covariate_keys": ["age"],
    "layer": "counts",
}


@pytest.fixture
def aged(adata):
    adata.obs["age"] = np.linspace(20, 80, adata.n_obs)
    adata.layers["counts"] = adata.X.copy()
    return adata


def model_of(adata):
    SCDiT.setup_anndata(adata, **KEYS)
    return SCDiT(adata, **SMALL)


def own_codes(model):
    return model.adata_manager.get_from_registry("labels").ravel()


def register_with_another_column(adata):
    adata.obs["other"] = np.random.default_rng(0).permutation(np.repeat(["x", "y"], 60))
    SCDiT.setup_anndata(adata, labels_key="other")


def register_with_another_model(adata):
    adata.obs["other"] = np.random.default_rng(0).permutation(np.repeat(["x", "y"], 60))
    scvi.model.SCVI.setup_anndata(adata, labels_key="other", batch_key="cell_type")


@pytest.mark.parametrize("again", [register_with_another_column, register_with_another_model])
@pytest.mark.parametrize("loaded", [False, True])
def test_another_registration_changes_nothing(aged, again, loaded, tmp_path):
    model = model_of(aged)
    if loaded:
        model.train(**QUICK)
        model.save(str(tmp_path / "m"))
        model = SCDiT.load(str(tmp_path / "m"), adata=aged)
    again(aged)
    model.train(**QUICK)
    np.testing.assert_array_equal(own_codes(model), aged.obs["cell_type"].cat.codes)
    np.testing.assert_array_equal(
        model.composition_["codes"]["labels"], aged.obs["cell_type"].cat.codes
    )


CHANGES = {
    "genes in another order": (
        lambda a: a._inplace_subset_var(a.var_names[::-1]),
        "genes of adata have changed",
    ),
    "other genes": (lambda a: a._inplace_subset_var(a.var_names[:30]), "30 genes, but had"),
    "renamed genes": (
        lambda a: setattr(a, "var_names", [f"x{i}" for i in range(40)]),
        "genes of adata have changed",
    ),
    "other cells": (lambda a: a._inplace_subset_obs(np.arange(50)), "50 cells and 40 genes"),
    "cells in another order": (
        lambda a: a._inplace_subset_obs(np.arange(120)[::-1]),
        "has changed since setup_anndata",
    ),
    "other counts": (
        lambda a: a.layers.update(counts=a.X * 2),
        r"layers\['counts'\] has changed since",
    ),
    "logs": (lambda a: a.layers.update(counts=a.X.log1p()), "raw counts"),
    "no layer": (
        lambda a: a.layers.__delitem__("counts"),
        "layer 'counts' is not in adata.layers",
    ),
    "an age": (
        lambda a: a.obs.update(pd.Series(79496.0, a.obs_names[:1], name="age")),
        r"obs\['age'\] has changed",
    ),
    "a label": (
        lambda a: setattr(a, "obs", a.obs.assign(cell_type=a.obs["cell_type"].to_numpy()[::-1])),
        r"obs\['cell_type'\] has changed",
    ),
    "no column": (
        lambda a: a.obs.__delitem__("batch"),
        r"obs\['batch'\] was registered and is gone",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before the constructor", "before training"])
def test_changes_are_noticed(aged, change, when):
    spoil, message = CHANGES[change]
    if when == "before training":
        model = model_of(aged)
        spoil(aged)
        with pytest.raises((ValueError, KeyError), match=message):
            model.train(**QUICK)
        assert not model.is_trained_
        return
    SCDiT.setup_anndata(aged, **KEYS)
    spoil(aged)
    with pytest.raises((ValueError, KeyError), match=message):
        SCDiT(aged, **SMALL)


def test_what_is_not_registered_may_change(aged):
    model = model_of(aged)
    aged.X = aged.X.log1p()
    aged.obs["new"] = 1
    aged.layers["counts"] = aged.layers["counts"].toarray().astype(np.int16)  # the same counts
    model.train(**QUICK)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        pytest.param([1, 2, "pilot"] * 40, "'x'.*numbers and text.*one type", id="mixed"),
        pytest.param(pd.to_datetime(["2020-01-01", "2021-01-01"] * 60), "Timestamp", id="dates"),
        pytest.param(pd.cut(np.arange(120.0), 3), "Interval", id="intervals"),
        pytest.param([("a", 1), ("b", 2)] * 60, "tuple", id="tuples"),
        pytest.param([["a"], ["b"]] * 60, "no names", id="lists"),
        pytest.param([f"c{i}" for i in range(120)], "each of the 120 cells", id="one-per-cell"),
    ],
)
def test_columns_that_are_no_categories(adata, column, message):
    adata.obs["x"] = pd.Series(column, index=adata.obs_names)
    with pytest.raises(ValueError, match=message):
        SCDiT.setup_anndata(adata, labels_key="x")
    assert "_scvi_labels" not in adata.obs


def test_numbers_that_are_stored_as_objects(adata):
    adata.obs["age"] = np.array([30.0, 41.5, 57.0] * 40, dtype=object)
    with pytest.raises(ValueError, match=r"pandas.to_numeric\(adata.obs\['age'\]\)"):
        SCDiT.setup_anndata(adata, continuous_covariate_keys=["age"])


def test_a_column_that_occurs_twice(adata):
    adata.obs = pd.concat([adata.obs, adata.obs[["cell_type"]]], axis=1)
    with pytest.raises(ValueError, match="the column 'cell_type' more than once"):
        SCDiT.setup_anndata(adata, labels_key="cell_type")


@pytest.mark.parametrize("name", ["_scvi_batch", "scdit_weight", "scdit_generated"])
def test_names_that_scdit_writes_itself(adata, name):
    adata.obs[name] = adata.obs["batch"]
    with pytest.raises(ValueError, match="(copy|rename) the column"):
        SCDiT.setup_anndata(adata, batch_key=name)


def test_a_users_own_column_is_not_overwritten(adata):
    adata.obs["_scvi_labels"] = "mine"
    with pytest.raises(ValueError, match=r"adata.obs\['_scvi_labels'\] .* rename"):
        SCDiT.setup_anndata(adata, labels_key="cell_type")
    assert set(adata.obs["_scvi_labels"]) == {"mine"}


def test_mudata_and_other_objects_are_named(adata):
    mudata = pytest.importorskip("mudata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that pull columns
        both = mudata.MuData({"rna": adata})
    with pytest.raises(TypeError, match=r"got MuData: pass one of its modalities, mdata\['rna'\]"):
        SCDiT.setup_anndata(both, labels_key="cell_type")
    with pytest.raises(TypeError, match="must be an AnnData, got DataFrame"):
        SCDiT.setup_anndata(adata.obs)


def test_raw_counts_are_pointed_out(adata):
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()
    with pytest.raises(ValueError, match=r"adata\.raw\.to_adata\(\).* looks like counts"):
        SCDiT.setup_anndata(adata)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels_key": 3}, TypeError, "labels_key must be a str or None, got int"),
        ({"labels_key": ["cell_type"]}, TypeError, "labels_key must be a str"),
        ({"categorical_covariate_keys": "batch"}, TypeError, "must be a list"),
        ({"categorical_covariate_keys": [3]}, TypeError, "has 3"),
        ({"layer": 3}, KeyError, "layer 3"),
        ({"unlabeled_category": "?"}, ValueError, "needs labels_key"),
        ({"labels_key": "cell_type", "unlabeled_category": 3}, TypeError, "unlabeled_category"),
    ],
)
def test_arguments_of_setup(adata, arguments, error, message):
    with pytest.raises(error, match=message):
        SCDiT.setup_anndata(adata, **arguments)


def test_many_rare_labels_are_one_short_warning(make_adata):
    adata = make_adata(600)
    adata.obs["rare"] = np.arange(600) // 2
    with pytest.warns(UserWarning, match=r"fewer than 3 cells: 0, 1.*\(300 in all\)") as caught:
        SCDiT.setup_anndata(adata, labels_key="rare")
    assert max(len(str(w.message)) for w in caught) < 200


@pytest.mark.parametrize(
    ("known", "given"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        ([0, 1, 2], [0.0, 1.0, 2.0]),
        (["0", "1", "2"], [0, 1, 2]),
        ([0.0, 1.0, 2.0], ["0", "1.0", "2"]),
    ],
    ids=["text for integers", "floats for integers", "integers for text", "text for floats"],
)
def test_numbers_and_text_are_the_same_names_everywhere(make_adata, tmp_path, known, given):
    adata, other = make_adata(), make_adata()
    which = np.arange(120) % 3
    adata.obs["cluster"] = np.array(known)[which]
    other.obs["cluster"] = np.array(given)[which]
    SCDiT.setup_anndata(adata, labels_key="cluster")
    model = SCDiT(adata, **SMALL)
    model.train(**QUICK)
    model.save(str(tmp_path / "m"))
    loaded = SCDiT.load(str(tmp_path / "m"), adata=other)
    np.testing.assert_array_equal(own_codes(loaded), own_codes(model))
    quick = {"n_steps": 1, "silent": True, "rng": 0}
    by_given, by_known = (model.generate(labels=list(v), **quick) for v in (given, known))
    assert by_given.obs["cluster"].tolist() == by_known.obs["cluster"].tolist() == list(known)


@pytest.mark.parametrize("known", [[0, 1, 2], [0.5, 1.5, 2.5], [False, True, False], list("abc")])
def test_generated_labels_can_be_written(make_adata, tmp_path, known):
    """With a name for cells without a label, categories of numbers are text."""
    adata = make_adata()
    adata.obs["x"] = pd.Categorical(np.resize(known, 120)).add_categories("Unknown")
    adata.obs.loc[adata.obs_names[:9], "x"] = "Unknown"
    adata.obs["x"] = pd.Series(
        [None if v == "Unknown" else v for v in adata.obs["x"]], adata.obs_names, dtype="category"
    )
    SCDiT.setup_anndata(adata, labels_key="x", unlabeled_category="Unknown")
    model = SCDiT(adata, **SMALL)
    model.train(**QUICK)
    new = model.generate(labels={known[0]: 2, "Unknown": 1}, n_steps=1, rng=0, silent=True)
    new.write_h5ad(tmp_path / "new.h5ad")
    assert new.obs["x"].tolist() == [str(known[0])] * 2 + ["Unknown"]
    assert model.generate(like=new, n_steps=1, silent=True).obs["x"].tolist() == list(new.obs["x"])
