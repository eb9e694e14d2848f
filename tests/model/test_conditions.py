"""Conditions: numbers, missing labels, tables of them, and what is said when they make no sense."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi

from scdit import SCDiT
from scdit.conditions import Composition

QUICK = {"max_epochs": 1, "silent": True}


def decorate(adata):
    """Add an age per cell, a graded dose, and take the labels of a tenth of the cells."""
    rng = np.random.default_rng(1)
    adata.obs["age"] = np.where(adata.obs["batch"] == "one", 30.1, 60.7) + rng.integers(
        0, 5, adata.n_obs
    )
    adata.obs["dose"] = pd.Categorical(
        np.where(adata.obs["batch"] == "one", "low", "high"), ["none", "low", "high"], ordered=True
    )
    adata.obs.loc[adata.obs_names[:12], "cell_type"] = np.nan
    return adata


def setup(adata):
    SCDiT.setup_anndata(
        adata,
        labels_key="cell_type",
        categorical_covariate_keys=["dose"],
        continuous_covariate_keys=["age"],
        unlabeled_category="Unknown",
    )
    return SCDiT(adata, n_hidden=16, width=16)


@pytest.fixture(scope="module")
def model(make_adata):
    model = setup(decorate(make_adata()))
    model.train(**QUICK)
    return model


def generate(model, *args, **kwargs):
    return model.generate(*args, **({"n_steps": 1, "silent": True, "rng": 0} | kwargs))


def test_conditions_come_back_as_they_were(model):
    new = generate(model, 200)
    assert list(new.obs) == ["cell_type", "dose", "age", "scdit_generated"]
    assert list(new.obs["cell_type"].cat.categories) == ["B", "NK", "T"]
    assert list(new.obs["dose"].cat.categories) == ["none", "low", "high"]
    assert new.obs["dose"].cat.ordered
    assert not new.obs["cell_type"].cat.ordered
    assert new.obs["age"].dtype == np.float64
    assert set(new.obs["age"]) <= set(model.adata.obs["age"])  # their own units, exactly
    # drawn jointly: a dose keeps its ages
    assert (new.obs["dose"].eq("low") == new.obs["age"].lt(50)).all()


def test_numbers_reach_the_network_standardised(model):
    column = model.adata.obs["_scvi_covariate_1"]
    assert column.mean() == pytest.approx(0, abs=1e-6)
    assert column.std(ddof=0) == pytest.approx(1)
    age = next(c for c in model._conditions if c.key == "age")
    np.testing.assert_allclose(age.standardise(model.adata.obs["age"].to_numpy()), column, 1e-5)


def test_a_number_changes_the_cells(make_adata):
    """Genes that rise with a number: 0.29 of the counts at 25, 0.55 at 75."""
    scvi.settings.seed = 0
    adata = make_adata()
    rng = np.random.default_rng(0)
    adata.obs["age"] = rng.uniform(20.0, 80.0, adata.n_obs)
    x = adata.X.toarray()
    x[:, :5] = rng.poisson(adata.obs["age"].to_numpy()[:, None], (adata.n_obs, 5))
    adata.X = x.astype(np.float32)
    SCDiT.setup_anndata(adata, continuous_covariate_keys=["age"])
    model = SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs={"codec": 60, "denoiser": 250}, early_stopping=False, silent=True)
    young, old = (
        generate(model, 300, covariates={"age": age}, n_steps=10, library_size=400).X[:, :5].mean()
        for age in (25.0, 75.0)
    )
    assert old > 1.3 * young


def test_cells_without_a_label_are_dropped_codes(model):
    assert (model.adata.obs["_scvi_labels"].iloc[:12] == -1).all()
    assert (model.composition_["codes"]["labels"] == -1).sum() == 12
    # they are not what one gets without asking ...
    assert "Unknown" not in set(generate(model, 300).obs["cell_type"])
    # ... but can be asked for
    new = generate(model, labels={"Unknown": 3, "B": 2})
    assert new.obs["cell_type"].tolist() == ["Unknown"] * 3 + ["B"] * 2
    assert list(new.obs["cell_type"].cat.categories) == ["B", "NK", "T", "Unknown"]
    assert generate(model, labels=[np.nan, "B"]).obs["cell_type"].tolist() == ["Unknown", "B"]


def test_unlabeled_is_the_model_without_the_label(model):
    """A cell without a label is made by the same network call as one whose label is dropped."""
    given = {"covariates": {"dose": "low", "age": 31.1}, "library_size": 300}
    unknown = generate(model, 20, labels="Unknown", **given)
    dropped = generate(
        model,
        20,
        labels="B",
        guidance_scale={"cell_type": 0.0, "dose": 0.0, "age": 0.0},
        **given,
    )
    nothing = generate(model, 20, labels="Unknown", guidance_scale=0, **given)
    assert (dropped.X != nothing.X).nnz == 0
    assert (unknown.X != nothing.X).nnz > 0  # dose and age still count


def test_unlabeled_as_a_category_or_missing_is_the_same(make_adata):
    missing = decorate(make_adata())
    named = decorate(make_adata())
    named.obs["cell_type"] = named.obs["cell_type"].cat.add_categories("Unknown").fillna("Unknown")
    codes = []
    for adata in (missing, named):
        setup(adata)
        codes.append(adata.obs["_scvi_labels"].to_numpy())
    np.testing.assert_array_equal(*codes)


def test_loading_with_and_without_data(model, tmp_path, make_adata):
    model.save(str(tmp_path / "m"))
    bare = SCDiT.load(str(tmp_path / "m"), adata=False)
    for loaded in (bare, SCDiT.load(str(tmp_path / "m"), adata=decorate(make_adata()))):
        new, old = generate(loaded, 30), generate(model, 30)
        assert (new.X != old.X).nnz == 0
        pd.testing.assert_frame_equal(new.obs, old.obs)
        assert "age (30.1 to 64.7)" in repr(loaded)
    other = decorate(make_adata())
    other.obs["cell_type"] = other.obs["cell_type"].cat.rename_categories({"T": "T cell"})
    with pytest.raises(ValueError, match="'T cell', which the model does not know; known: B, NK"):
        SCDiT.load(str(tmp_path / "m"), adata=other)


def test_table_of_conditions(model):
    table = pd.DataFrame(
        {"age": [31.1, 62.7, 30.1], "cell_type": ["T", "B", "T"]}, index=["x", "y", "z"]
    )
    new = generate(model, conditions=table)
    assert list(new.obs_names) == ["x", "y", "z"]
    assert new.obs["cell_type"].tolist() == ["T", "B", "T"]
    assert new.obs["age"].tolist() == [31.1, 62.7, 30.1]
    # what is not given: from the nearest training cells
    assert new.obs["dose"].tolist() == ["low", "high", "low"]
    numbered = generate(model, conditions=table.reset_index(drop=True))
    assert all(name.startswith("scdit-") for name in numbered.obs_names)


@pytest.mark.parametrize(
    ("index", "message"), [(["x", "x"], "repeats names"), (["new", "cell3"], "training cells")]
)
def test_index_that_cannot_name_new_cells(model, index, message):
    table = pd.DataFrame({"cell_type": ["T", "B"]}, index=index)
    with pytest.warns(UserWarning, match=message) as caught:
        new = generate(model, conditions=table)
    assert all(name.startswith("scdit-") for name in new.obs_names)
    assert caught[0].filename == __file__


def test_like_other_cells(model):
    other = model.adata[5:40].copy()
    new = generate(model, like=other)
    assert new.obs["age"].tolist() == other.obs["age"].tolist()
    assert new.obs["dose"].tolist() == other.obs["dose"].tolist()
    expected = other.obs["cell_type"].astype(object).fillna("Unknown")
    assert new.obs["cell_type"].tolist() == expected.tolist()
    assert not set(new.obs_names) & set(other.obs_names)


def test_all_conditions_given_need_no_training_cells(model, monkeypatch):
    def draw(*_):
        raise NotImplementedError

    monkeypatch.setattr(Composition, "draw", draw)
    assert generate(model, like=model.adata[:5].copy()).n_obs == 5


def test_a_number_may_be_minus_one():
    """Which is the code of a category that is missing."""
    dose = np.repeat([-1.0, 0.0, 1.0], 100)
    rows = Composition({"dose": dose}, np.ones(300)).draw(
        {}, np.random.default_rng(0).random(3000)
    )
    assert np.bincount((dose[rows] + 1).astype(int)).min() > 900


def test_a_constant_number_has_no_spread(make_adata):
    """Of rounding, which would be divided by."""
    adata = make_adata()
    adata.obs["age"] = 0.1
    SCDiT.setup_anndata(adata, continuous_covariate_keys=["age"])
    (age,) = SCDiT(adata, n_hidden=8, width=8)._conditions
    np.testing.assert_allclose(age.standardise(np.array([0.1, 0.2])), [0, 0.1], atol=1e-6)


def test_composition_is_exact(model):
    new = generate(
        model,
        labels={"T": 7, "B": 11, "NK": 2},
        covariates={"dose": {"low": 15, "high": 5}},
    )
    assert new.obs["cell_type"].value_counts().to_dict() == {"B": 11, "T": 7, "NK": 2}
    assert new.obs["dose"].value_counts().to_dict() == {"low": 15, "high": 5, "none": 0}


def test_what_was_never_seen_is_said(make_adata):
    adata = make_adata()
    adata.obs["batch"] = pd.Categorical(np.where(adata.obs["cell_type"] == "B", "one", "two"))
    adata.obs["age"] = np.arange(120.0)
    SCDiT.setup_anndata(
        adata, labels_key="cell_type", batch_key="batch", continuous_covariate_keys=["age"]
    )
    model = SCDiT(adata, n_hidden=8, width=8)
    model.train(**QUICK)
    with pytest.warns(
        UserWarning, match="no training cell has cell_type 'B' and batch 'two'"
    ) as w:
        new = generate(model, 3, labels="B", batch="two")
    assert w[0].filename == __file__
    assert set(new.obs["batch"]) == {"two"}
    with pytest.warns(UserWarning, match="age of 200 is far outside .* 0 to 119") as w:
        new = generate(model, 3, covariates={"age": 200})
    assert w[0].filename == __file__
    assert set(new.obs["age"]) == {200.0}
    generate(model, 3, covariates={"age": 125.0})  # a little outside: no warning


def test_the_rest_follows_the_nearest_number(make_adata):
    adata = make_adata()
    adata.obs["age"] = np.linspace(0, 1, 120)
    adata.obs["batch"] = pd.Categorical(np.where(adata.obs["age"] < 0.5, "one", "two"))
    SCDiT.setup_anndata(adata, batch_key="batch", continuous_covariate_keys=["age"])
    model = SCDiT(adata, n_hidden=8, width=8)
    model.train(**QUICK)
    batches = generate(model, conditions=pd.DataFrame({"age": [0.1] * 40 + [0.9] * 40})).obs[
        "batch"
    ]
    assert batches.tolist() == ["one"] * 40 + ["two"] * 40


def test_cells_are_drawn_among_the_nearest_and_all_that_are_as_near():
    rng = np.random.default_rng(0)
    codes = {"age": rng.normal(size=200), "dose": rng.integers(0, 3, 200).astype(float)}
    composition = Composition({**codes, "batch": rng.integers(0, 9, 200)}, np.ones(200))
    for given in ({"age": 0.3}, {"dose": 1.0}, {"age": 0.3, "dose": 2.0}):
        away = sum(((codes[k] - v) / codes[k].std()) ** 2 for k, v in given.items())
        near = np.flatnonzero(away <= np.sort(away)[200 // 20 - 1])
        wanted = {k: np.full(5000, v) for k, v in given.items()}
        rows = composition.draw(wanted, np.random.default_rng(1).random(5000))
        np.testing.assert_array_equal(np.unique(rows), near)


TABLE = pd.DataFrame({"cell_type": ["T", "B"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"conditions": TABLE, "n": 3}, "n for 3, cell_type for 2", id="sums"),
        pytest.param(
            {"conditions": TABLE.rename(columns={"cell_type": "celltype"})},
            "not registered.*did you mean 'cell_type'",
            id="column",
        ),
        pytest.param({"conditions": TABLE, "labels": "B"}, "asked for twice", id="twice"),
        pytest.param({"conditions": TABLE[:0]}, "no rows", id="empty"),
        pytest.param({"conditions": TABLE, "like": ad.AnnData()}, "not both", id="both"),
        pytest.param(
            {"like": ad.AnnData(obs=TABLE.set_axis(["x", "y"]))},
            "lacks the conditions dose, age",
            id="like",
        ),
        pytest.param({"n": 2, "covariates": {"age": np.nan}}, "finite", id="nan"),
        pytest.param({"n": 2, "covariates": {"age": "old"}}, "is a number, got 'old'", id="text"),
        pytest.param({"labels": ["B", "Unknow"]}, "known: B, NK, T", id="unknown"),
        pytest.param(
            {"covariates": {"dose": ["low", None]}},
            "dose: 1 of 2 values are missing",
            id="missing",
        ),
        pytest.param(
            {"n": 2, "library_size": ("normal", 7, 1)}, "write .'lognormal', mean", id="law"
        ),
        pytest.param({"n": 2, "library_size": ("lognormal", 7, -1)}, "sd of", id="negative-sd"),
        pytest.param({"n": 2, "library_size": ("lognormal", np.nan, 1)}, "finite", id="nan-mean"),
        pytest.param({"n": 2, "library_size": [500.0, -1.0]}, "positive", id="negative-size"),
    ],
)
def test_bad_requests(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.generate(silent=True, **arguments)


def test_wrong_types(model):
    with pytest.raises(TypeError, match="DataFrame, got dict"):
        model.generate(conditions={"cell_type": ["B"]})
    with pytest.raises(TypeError, match="AnnData, got DataFrame"):
        model.generate(like=TABLE)


@pytest.mark.parametrize(
    ("column", "arguments", "message"),
    [
        pytest.param(
            np.linspace(0, 1, 120),
            {"labels_key": "x"},
            "120 different numbers in 120 cells.*continuous_covariate_keys",
            id="float-label",
        ),
        pytest.param(
            ["a", "b", "c"] * 40, {"continuous_covariate_keys": ["x"]}, "not numbers", id="text"
        ),
        pytest.param(
            [1.0, np.nan] * 60,
            {"continuous_covariate_keys": ["x"]},
            "60 of 120 cells have no value .*: remove these cells$",
            id="nan",
        ),
        pytest.param(
            [1.0, np.inf] * 60, {"continuous_covariate_keys": ["x"]}, "infinite", id="inf"
        ),
        pytest.param(
            [None] * 120, {"labels_key": "x", "unlabeled_category": "?"}, "no cell", id="no-labels"
        ),
        pytest.param(
            ["?", None] * 60, {"labels_key": "x", "unlabeled_category": "?"}, "no cell", id="none"
        ),
    ],
)
def test_bad_columns(adata, column, arguments, message):
    adata.obs["x"] = column
    with pytest.raises(ValueError, match=message):
        SCDiT.setup_anndata(adata, **arguments)


def test_keys_are_lists(adata):
    with pytest.raises(TypeError, match="continuous_covariate_keys must be a list"):
        SCDiT.setup_anndata(adata, continuous_covariate_keys="age")


def test_lognormal_library_sizes(model):
    new = generate(model, 2000, library_size=("lognormal", np.log(500), 0.3))
    log = np.log(np.asarray(new.X.sum(axis=1)).ravel())
    assert log.mean() == pytest.approx(np.log(500), abs=0.05)
    assert 0.28 < log.std() < 0.4  # the counts are drawn around it
    assert new.uns["scdit"]["library_size"] == "lognormal(6.21461, 0.3)"


def test_a_combination_that_was_never_seen_is_the_sum_of_its_parts():
    """The codes it is made from share most categories, the label first; a name without cells adds nothing."""
    codes = {
        "labels": np.array([0, 0, 1, 1, 1]),
        "batch": np.array([0, 1, 0, 0, 0]),
        "dose": np.array([0, 1, 0, 0, 1]),
    }
    composition = Composition(codes, np.ones(5))
    # label 1 in batch 1 with dose 1: cell 4 has two of these, so have cells 1
    asked = {
        name: np.repeat(code, 100) for name, code in {"labels": 1, "batch": 1, "dose": 1}.items()
    }
    seen, moved = composition.seen_like(asked, np.linspace(0, 0.99, 100), first="labels")
    assert set(zip(*(seen[n].tolist() for n in codes), strict=True)) == {(1, 0, 1)}
    assert all((moved[name] == asked[name]).all() for name in codes)
    # what was seen stays
    there = {name: code.copy() for name, code in codes.items()}
    seen, moved = composition.seen_like(there, np.linspace(0, 0.99, 5), first="labels")
    assert all((seen[name] == codes[name]).all() for name in codes)
    # no cell has dose 2
    asked["batch"][:], asked["dose"][:] = 0, 2
    seen, moved = composition.seen_like(asked, np.linspace(0, 0.99, 100), first="labels")
    assert set(seen["dose"]) == {0, 1}
    assert (moved["dose"] == seen["dose"]).all()
    assert (moved["labels"] == 1).all()
