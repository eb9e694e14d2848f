"""Latent vectors of the user's, decoded."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scdit import SCDiT


@pytest.fixture(scope="module", params=["nb", "zinb"])
def model(request, make_adata):
    adata = make_adata()
    rng = np.random.default_rng(0)
    adata.obs["age"] = rng.normal(40, 10, adata.n_obs)
    SCDiT.setup_anndata(
        adata,
        labels_key="cell_type",
        batch_key="batch",
        continuous_covariate_keys=["age"],
    )
    model = SCDiT(adata, n_hidden=32, width=32, gene_likelihood=request.param)
    model.train(max_epochs={"codec": 20, "denoiser": 1}, silent=True)
    return model


@pytest.fixture
def latent(model):
    return model.get_latent_representation()


def test_counts_and_expected_counts(model, latent):
    new = model.decode(latent, library_size=500, rng=0)
    assert sp.isspmatrix_csr(new.X)
    assert new.X.dtype == np.int32
    assert new.X.min() >= 0
    assert new.var_names.equals(model.adata.var_names)
    assert not set(new.obs_names) & set(model.adata.obs_names)
    assert list(new.obs.columns) == ["scdit_generated"]
    expected = model.decode(latent, library_size=500, expected=True)
    assert expected.X.dtype == np.float32
    np.testing.assert_allclose(expected.X.sum(1), 500, rtol=1e-5)
    assert new.X.sum(1).mean() == pytest.approx(500, rel=0.03)


def test_drawn_counts_have_the_expected_mean(model, latent):
    plain = copy.copy(model)
    plain.module = copy.deepcopy(model.module)
    plain.module.codec.clear_calibration()
    n, sizes = 1000, np.repeat([300.0, 1000.0], 1000)
    drawn = plain.decode(np.repeat(latent[:2], n, axis=0), library_size=sizes, rng=0).X.toarray()
    expected = plain.decode(latent[:2], library_size=[300, 1000], expected=True).X
    drawn = drawn.reshape(2, n, -1)
    error = drawn.std(1) / np.sqrt(n) + 0.01
    assert (np.abs(drawn.mean(1) - expected) < 5 * error).all()


def test_it_is_the_expression_of_the_cells_themselves(model, latent, monkeypatch):
    """Cells whose conditions are not known, decoded at the mean of their posterior."""
    import scdit.model._batches as batches

    monkeypatch.setattr(batches.Encoded, "draw", lambda self, noise, sample: self.mean)
    bare = model.adata.copy()
    bare.obs = pd.DataFrame(index=bare.obs_names)
    expression = model.get_normalized_expression(bare, library_size=1e4)
    # the depth of a state is its own; what it does to zeros of reads is no part of the latent vector
    sizes = model.get_normalized_expression(bare, library_size="latent").sum(axis=1)
    decoded = model.decode(latent, library_size=sizes.to_numpy(), expected=True).X
    decoded *= 1e4 / decoded.sum(1, keepdims=True)
    np.testing.assert_allclose(decoded, expression, rtol=1e-3, atol=1e-4)


def test_a_seed_gives_the_same_in_batches_of_any_size(model, latent):
    arguments = {"conditions": {"cell_type": "B"}, "rng": 3}
    one, two = (model.decode(latent, batch_size=size, **arguments) for size in (7, 120))
    assert (one.X != two.X).nnz <= 1e-4 * np.prod(one.shape)
    pd.testing.assert_frame_equal(one.obs, two.obs)
    again = model.decode(latent, batch_size=7, **arguments)
    assert (one.X != again.X).nnz == 0
    other = model.decode(latent, **(arguments | {"rng": 4}))
    assert (one.X != other.X).nnz > 0
    assert not set(one.obs_names) & set(other.obs_names)


def test_conditions_by_name(model, latent):
    obs = model.adata.obs
    table = obs[["cell_type", "batch", "age"]]
    by_table = model.decode(latent, 500, table, expected=True)
    by_lists = model.decode(latent, 500, table.to_dict("list"), expected=True)
    np.testing.assert_array_equal(by_table.X, by_lists.X)
    assert by_table.obs["cell_type"].tolist() == obs["cell_type"].tolist()
    assert by_table.obs["cell_type"].cat.categories.tolist() == ["B", "NK", "T"]
    np.testing.assert_allclose(by_table.obs["age"], obs["age"])
    one = model.decode(latent, 500, {"batch": "two"}, expected=True)
    assert one.obs.columns.tolist() == ["batch", "scdit_generated"]
    unknown = model.decode(latent, 500, expected=True)
    for other in (by_table, one):
        assert np.abs(other.X - unknown.X).max() > 1e-3
    numbers = model.decode(latent[:5], 500, {"cell_type": {"T": 3, "B": 2}}, expected=True)
    assert numbers.obs["cell_type"].tolist() == ["T"] * 3 + ["B"] * 2


def test_library_sizes(model, latent):
    real = set(np.asarray(model.adata.X.sum(1)).ravel())
    drawn = model.decode(latent, conditions={"cell_type": "B"}, expected=True, rng=0)
    assert {round(float(s)) for s in drawn.X.sum(1)} <= real
    spread = model.decode(latent, ("lognormal", 6.0, 0.1), expected=True, rng=0)
    assert np.log(spread.X.sum(1)).std() == pytest.approx(0.1, rel=0.3)
    each = model.decode(latent, np.arange(1, 121) * 10, expected=True).X.sum(1)
    np.testing.assert_allclose(each, np.arange(1, 121) * 10, rtol=1e-4)


def test_a_model_without_data_decodes_the_same(model, latent, tmp_path):
    model.save(tmp_path / "model")
    loaded = SCDiT.load(tmp_path / "model", adata=False)
    one, two = (m.decode(latent, rng=0) for m in (model, loaded))
    assert (one.X != two.X).nnz == 0


def test_far_latent_vectors_give_finite_counts(model, latent):
    for scale in (1e2, 1e6, -1e6):
        new = model.decode(scale * np.ones_like(latent[:3]), 1e4, rng=0)
        assert new.X.min() >= 0
        assert np.isfinite(model.decode(scale * latent[:3], 1e4, expected=True).X).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"latent": np.zeros((3, 1000))},
            ValueError,
            r"latent must have the shape \(cells, \d+\)",
        ),
        ({"latent": np.zeros(3)}, ValueError, "latent must have the shape"),
        ({"latent": []}, ValueError, "latent must have the shape"),
        ({"latent": "z"}, ValueError, "latent must be an array of numbers"),
        ({"latent": None}, ValueError, "latent must"),
        ({"nan": True}, ValueError, "NaN or infinite values in 1 of 120 rows.*row 4"),
        ({"library_size": "model"}, ValueError, "has no library size"),
        ({"library_size": "all"}, ValueError, "unknown library_size 'all'"),
        ({"library_size": 0}, ValueError, "library_size must be positive"),
        (
            {"library_size": [1, 2]},
            ValueError,
            "n for 120, library_size for 2|one number per cell",
        ),
        ({"library_size": [[1]]}, ValueError, "n for 120, library_size for 2|one number per cell"),
        ({"library_size": {"B": 1}}, ValueError, "library_size must be 'model'"),
        ({"library_size": None}, ValueError, "library_size must be"),
        ({"conditions": {"cell_type": "T cell"}}, ValueError, "unknown cell_type 'T cell'"),
        ({"conditions": {"celltype": "T"}}, ValueError, "did you mean 'cell_type'"),
        ({"conditions": {"cell_type": ["T", "B"]}}, ValueError, "different numbers of cells"),
        ({"conditions": {"age": "old"}}, ValueError, "age is a number"),
        ({"conditions": pd.DataFrame({"batch": ["one"]})}, ValueError, "different numbers"),
        ({"conditions": "T"}, TypeError, "conditions must be a DataFrame or Mapping"),
        ({"expected": 1}, ValueError, "expected must be True or False"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"rng": "a"}, ValueError, "rng must be"),
    ],
)
def test_bad_arguments(model, latent, arguments, error, message):
    arguments = {"latent": latent} | arguments
    if arguments.pop("nan", False):
        latent[4, 0] = np.nan
    with pytest.raises(error, match=message):
        model.decode(**arguments)


def test_a_condition_that_was_never_seen_is_warned_of(model, latent):
    with pytest.warns(UserWarning, match="age of 400 is far outside") as warned:
        model.decode(latent, conditions={"age": 400}, expected=True)
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    "method", ["get_normalized_expression", "get_elbo", "get_likelihood_parameters"]
)
def test_cells_with_a_condition_that_was_never_seen_are_warned_of(model, method):
    adata = model.adata.copy()
    adata.obs["age"] = 400.0
    with pytest.warns(UserWarning, match="age of 400 is far outside") as warned:
        getattr(model, method)(adata)
    assert warned[0].filename == __file__


def test_the_expression_codec_is_refused(adata):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, codec="expression", width=32, patch_size=10)
    with pytest.raises(RuntimeError, match="not trained"):
        model.decode(np.zeros((1, 2)))
    model.is_trained_ = True
    with pytest.raises(ValueError, match="decode needs a latent space"):
        model.decode(np.zeros((1, 2)))
