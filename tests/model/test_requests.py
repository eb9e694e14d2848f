"""What generate and interpolate are asked for: its forms, its limits, and what each cell is drawn with."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scdit import SCDiT

SMALL = {"n_hidden": 8, "width": 8, "n_heads": 2}
QUICK = {"n_steps": 2, "silent": True, "rng": 0}


@pytest.fixture(scope="module")
def model(make_adata):
    """Conditions of all kinds, some with awkward names."""
    adata = make_adata(600)
    rng = np.random.default_rng(0)
    adata.obs["leiden"] = pd.Categorical(rng.integers(0, 12, 600).astype(str))
    adata.obs["n"] = rng.integers(0, 3, 600)
    adata.obs["library_size"] = rng.choice(["high", "low"], 600)
    adata.obs["0"] = rng.uniform(20, 80, 600)
    SCDiT.setup_anndata(
        adata,
        labels_key="leiden",
        batch_key="n",
        categorical_covariate_keys=["library_size"],
        continuous_covariate_keys=["0"],
    )
    model = SCDiT(adata, **SMALL)
    model.train(max_epochs=2, silent=True)
    return model


@pytest.fixture(scope="module")
def expression(make_adata):
    adata = make_adata()
    SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=2, silent=True)
    return model


def counts_of(new, column):
    return new.obs[column].value_counts().loc[lambda s: s > 0].to_dict()


@pytest.mark.parametrize(
    ("argument", "column", "wanted"),
    [
        ("labels", "leiden", {"3": 10, "7": 20}),
        ("labels", "leiden", {3: 10, 7: 20}),
        ("batch", "n", {1: 10, 2: 20}),
        ("batch", "n", {"1": 10, "2": 20}),
    ],
)
def test_a_series_of_numbers_is_a_mapping(model, argument, column, wanted):
    """As value_counts returns it, whatever the type of its index."""
    series = pd.Series(wanted)
    new = model.generate(**{argument: series}, **QUICK)
    assert {str(k): v for k, v in counts_of(new, column).items()} == {
        str(k): v for k, v in wanted.items()
    }
    same = model.generate(**{argument: wanted}, **QUICK)
    assert (same.X != new.X).nnz == 0


def test_a_series_of_names_is_one_name_per_cell(model):
    names = pd.Series(["3", "7", "3"], index=["x", "y", "z"])
    assert model.generate(labels=names, **QUICK).obs["leiden"].tolist() == ["3", "7", "3"]
    batches = pd.Series([1, 2, 1], index=["x", "y", "z"])
    assert model.generate(batch=batches, **QUICK).obs["n"].tolist() == [1, 2, 1]
    counted = model.adata.obs["library_size"].value_counts()
    new = model.generate(covariates={"library_size": counted}, **QUICK)
    assert counts_of(new, "library_size") == counted.to_dict()
    with pytest.raises(ValueError, match="n: this Series may hold names or numbers of cells"):
        model.generate(batch=pd.Series({1: 2, 2: 1}), **QUICK)
    with pytest.raises(ValueError, match="leiden: the index .* repeats '3'"):
        model.generate(labels=pd.Series([100, 200], index=["3", "3"]), **QUICK)


def test_conditions_may_have_the_names_of_arguments(model):
    new = model.generate(
        30,
        batch={1: 20, 2: 10},
        covariates={"library_size": "low", "0": np.linspace(30, 60, 30)},
        library_size=np.full(30, 400.0),
        guidance_scale={"n": 2.0, "0": 1.0},
        **QUICK,
    )
    assert counts_of(new, "n") == {1: 20, 2: 10}
    np.testing.assert_array_equal(new.obs["0"], np.linspace(30, 60, 30))
    with pytest.raises(ValueError, match="n for 5, n for 4"):
        model.generate(5, batch={1: 4}, **QUICK)


CALLS = {
    "nothing given": {},
    "one label": {"labels": "3"},
    "empirical": {"library_size": "empirical"},
    "lognormal": {"library_size": ("lognormal", 6.0, 0.3)},
    "a number": {"covariates": {"0": 50.0}},
    "ddpm": {"sampler": "ddpm"},
}


@pytest.mark.parametrize("call", CALLS)
def test_the_first_cells_of_many_are_those_of_few(model, call):
    few, many = (model.generate(n, **CALLS[call], **QUICK) for n in (70, 200))
    pd.testing.assert_frame_equal(few.obs, many.obs.iloc[:70])  # names, too
    assert (few.X != many.X[:70]).nnz <= 1e-4 * few.X.nnz


@pytest.mark.parametrize("call", [{}, {"labels": "B"}, {"library_size": 500}])
def test_the_first_cells_of_expression_are_those_of_few(expression, call):
    few, many = (expression.generate(n, **call, **QUICK) for n in (50, 130))
    pd.testing.assert_frame_equal(few.obs, many.obs.iloc[:50])
    assert (few.X != many.X[:50]).nnz <= 1e-3 * few.X.nnz


def test_cells_have_one_name_only_if_they_are_the_same(model):
    calls = [
        *({"labels": label} for label in "0123"),
        {"labels": "3", "rng": 1},
        {"labels": "3", "n_steps": 3},
        {"labels": "3", "sampler": "euler"},
        {"labels": "3", "guidance_scale": 2.0},
        {"labels": "3", "library_size": 300.0},
        {"labels": "3", "library_size": "empirical"},
        {"labels": "3", "covariates": {"0": 40.0}},
    ]
    names = [n for call in calls for n in model.generate(20, **(QUICK | call)).obs_names]
    assert len(set(names)) == 20 * len(calls)
    again = model.generate(20, labels="0", batch_size=7, **QUICK).obs_names
    assert list(again) == names[:20]


def test_a_model_that_is_trained_on_names_its_cells_anew(adata):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, **SMALL)
    names = []
    for _ in range(2):
        model.train(max_epochs=1, silent=True)
        names.append(set(model.generate(5, **QUICK).obs_names))
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    "rng",
    [None, 7, np.int64(7), 2**70, np.random.default_rng(3), np.random.SeedSequence(5)],
    ids=str,
)
def test_the_recorded_seed_repeats_the_call(model, rng):
    new = model.generate(15, n_steps=2, silent=True, rng=rng)
    again = model.generate(15, n_steps=2, silent=True, rng=int(new.uns["scdit"]["rng"]))
    assert (new.X != again.X).nnz == 0
    assert list(new.obs_names) == list(again.obs_names)


def test_generated_cells_are_marked_after_concat(model):
    both = ad.concat([model.adata, model.generate(20, **QUICK)], join="outer")
    assert both.obs["scdit_generated"].eq(True).sum() == 20
    path = model.interpolate({"leiden": "3"}, {"leiden": "7"}, n=4, steps=3, silent=True)
    assert path.obs["scdit_generated"].all()


def test_names_of_training_cells_are_known_without_data(model, tmp_path):
    model.save(str(tmp_path / "m"))
    bare = SCDiT.load(str(tmp_path / "m"), adata=False)
    table = pd.DataFrame({"leiden": ["3", "7"]}, index=["new", model.adata.obs_names[5]])
    with pytest.warns(UserWarning, match="names training cells"):
        new = bare.generate(conditions=table, **QUICK)
    assert not set(new.obs_names) & set(model.adata.obs_names)
    table.index = ["new", "newer"]
    assert list(bare.generate(conditions=table, **QUICK).obs_names) == ["new", "newer"]


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*far outside")
@pytest.mark.parametrize("scale", [10.0, 30.0, 100.0])
def test_strong_guidance_makes_counts(model, expression, scale):
    for one in (model, expression):
        new = one.generate(30, guidance_scale=scale, **QUICK)
        total = np.asarray(new.X.sum(1)).ravel()
        assert new.X.data.min() > 0
        assert total.min() > 0
        assert total.max() < 1e6  # of cells that have 300


def test_depths_that_leave_the_training_cells_are_said(model):
    with pytest.warns(UserWarning, match="library_size of 1e.07 is far outside"):
        new = model.generate(3, library_size=1e7, **QUICK)
    assert new.X.sum(1).min() > 5e6
    with pytest.warns(UserWarning, match="far outside") as caught:
        model.generate(3, library_size=1e9, **QUICK)  # at once, and without negative counts
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*far outside")
def test_the_largest_library_sizes_fit(model):
    new = model.generate(20, library_size=1e9, **QUICK)
    assert new.X.dtype == np.int32
    assert new.X.data.min() > 0


HOSTILE = {
    "n": [[5], "5", 2.5, True, np.nan, 10**12, None],
    "labels": [3.7, ["3", ["7"]], {"3": 1.5}, {"3": "2"}, object(), np.zeros((2, 2)), b"3", {}],
    "batch": ["zero", [1, 9], {1: -1}, np.inf],
    "covariates": [["low"], "low", 3, {"dose": 1}, {"0": "old"}, {"0": 1e5}, {"0": True}],
    "conditions": [
        pd.DataFrame({"leiden": ["3"]}, index=pd.MultiIndex.from_tuples([("a", "b")])),
        pd.DataFrame([["3", "7"]], columns=["leiden", "leiden"]),
        pd.DataFrame({"leiden": [None]}),
        {"leiden": ["3"]},
        [["3"]],
    ],
    "like": ["cells", 3, pd.DataFrame({"leiden": ["3"]})],
    "sampler": [["ab2"], 3, "", "DDIM"],
    "n_steps": [0, -1, 2.5, "20", True, 10**9],
    "spacing": ["log", 3, ""],
    "guidance_scale": [None, "1", -1, np.nan, np.inf, 1e6, [1.0], {"leiden": "2"}, {"x": 1.0}],
    "library_size": [
        "deep", None, [[1.0]], [1.0, [2.0]], -5, np.nan, np.inf, True, ("lognormal", "a", 1),
        ("lognormal", 700.0, 1.0), {"rna": 500}, [], np.array(["a"] * 5),
    ],
    "rng": [-1, 2.5, "seed", True, [1.5]],
    "batch_size": [0, -1, 2.5, None, "512"],
    "silent": ["no", None, 3],
}  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        pytest.param(k, v, id=f"{k}-{i}")
        for k, values in HOSTILE.items()
        for i, v in enumerate(values)
    ],
)
def test_hostile_values_are_refused_by_name(model, argument, value):
    call = {"n": 5, "silent": True, argument: value}
    if argument in ("conditions", "like"):
        del call["n"]
    with pytest.raises((ValueError, TypeError)) as caught:
        model.generate(**call)
    named = {"labels": "leiden", "batch": "n", "n": "n", "like": "like|conditions"}
    words = named.get(argument, argument).split("|")
    if argument in ("covariates", "conditions"):
        words += ["leiden", "0", "covariate"]
    assert any(word in str(caught.value) for word in words), caught.value
    where = str(caught.traceback[-1].path)
    assert "/scdit/" in where, where


def test_eta(model):
    for eta in ("a", [0.5], -0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="eta"):
            model.generate(5, sampler="ddim", eta=eta, silent=True)
    with pytest.raises(ValueError, match="eta is an option of ddim"):
        model.generate(5, eta=0.5, silent=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": "3"}, {"a": {"leiden": None}}, {"a": {"leiden": np.zeros(3)}}, {"a": np.ones(7, bool)},
        {"a": [0, 10**6]}, {"a": ["cell1"]}, {"a": pd.DataFrame()}, {"n": 2.5}, {"n": 10**9},
        {"steps": 1}, {"steps": "3"}, {"batch_size": 0}, {"rng": -1}, {"silent": 1},
    ],
    ids=str,
)  # fmt: skip
def test_hostile_paths(model, arguments):
    call = {"a": {"leiden": "3"}, "b": {"leiden": "7"}, "n": 3, "steps": 2, "silent": True}
    with pytest.raises((ValueError, TypeError)) as caught:
        model.interpolate(**(call | arguments))
    assert "/scdit/" in str(caught.traceback[-1].path)


def test_many_paths_are_paired_in_parts(model, monkeypatch):
    monkeypatch.setattr("scdit.model._interpolate._PAIRED", 20)
    new = model.interpolate({"leiden": "3"}, {"leiden": "7"}, n=50, steps=2, rng=0, silent=True)
    assert new.n_obs == 100
    assert new.obs_names.is_unique


def test_a_model_after_hostile_calls_is_as_it_was(model):
    before = model.generate(10, **QUICK)
    for call in ({"n": -1}, {"n": 5, "labels": "x"}, {"n": 5, "guidance_scale": 1e6}):
        with pytest.raises(ValueError, match="n must be|unknown leiden|guidance_scale must be"):
            model.generate(**call)
    assert (before.X != model.generate(10, **QUICK).X).nnz == 0
