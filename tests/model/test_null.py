"""Nulls: real cells whose names mean nothing, and one population without clusters."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chi2_contingency, kstest, mannwhitneyu

from scdit import SCDiT
from scdit.diffusion import KeyedNoise
from scdit.model._null import Population

from .conftest import setup
from .test_stream import ASKED, assert_the_same_however_they_are_made

NULL = {"null": "cell_type"}


@pytest.fixture(scope="module")
def learnt(make_adata):
    """A model that tells its types apart."""
    model = setup(make_adata(300))
    model.train(max_epochs={"codec": 30, "denoiser": 60}, silent=True)
    return model


def test_cells_are_those_of_the_mixture_or_of_the_reference(trained):
    """Bit for bit: a null takes the names away, and nothing else."""
    assert (trained.generate(**ASKED, **NULL).X != trained.generate(**ASKED).X).nnz == 0
    made = trained.generate(**ASKED, **NULL, reference="NK")
    expected = trained.generate(**ASKED, labels="NK")
    assert (made.X != expected.X).nnz == 0
    assert (made.obs["batch"] == expected.obs["batch"].to_numpy()).all()
    assert set(made.obs["cell_type"]) == {"B", "NK", "T"}
    assert made.uns["scdit"]["null"] == "cell_type"
    assert made.uns["scdit"]["reference"] == "NK"
    assert not set(made.obs_names) & set(expected.obs_names)


def test_names_have_the_shares_of_the_data_and_nothing_to_do_with_the_cells(trained):
    asked = {**ASKED, "n": 6000, "n_steps": 1}
    new, plain = trained.generate(**asked, **NULL), trained.generate(**asked)
    shares = new.obs["cell_type"].value_counts(normalize=True)
    real = trained.adata.obs["cell_type"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[real.index], real, atol=0.06)  # of the training cells
    true = plain.obs["cell_type"].to_numpy()
    for other in (true, new.obs["batch"].to_numpy()):
        assert chi2_contingency(pd.crosstab(new.obs["cell_type"].to_numpy(), other)).pvalue > 1e-3


def test_p_values_are_uniform(learnt):
    p_values = []
    for seed in range(5):
        new = learnt.generate(600, rng=seed, silent=True, **NULL)
        is_b = (new.obs["cell_type"] == "B").to_numpy()
        x = np.log1p(new.X.toarray() / new.X.sum(axis=1))
        p_values.append(mannwhitneyu(x[is_b], x[~is_b]).pvalue)
    assert kstest(np.concatenate(p_values), "uniform").pvalue > 1e-3
    cells = learnt.generate(600, rng=0, silent=True)
    is_b = (cells.obs["cell_type"] == "B").to_numpy()
    x = cells.X.toarray()
    assert (mannwhitneyu(x[is_b], x[~is_b]).pvalue < 0.05).mean() > 0.3  # without a null


def test_names_that_are_asked_for(trained):
    asked = {k: v for k, v in ASKED.items() if k != "n"}
    wanted = {"B": 300, "T": 400}
    new = trained.generate(**asked, **NULL, labels=wanted, batch={"one": 350, "two": 350})
    assert new.obs["cell_type"].value_counts()[["B", "T"]].to_dict() == wanted
    assert chi2_contingency(pd.crosstab(new.obs["cell_type"], new.obs["batch"])).pvalue > 1e-3
    assert new.obs["cell_type"].iloc[:300].nunique() == 2  # in any order
    names = ["T", "B", "NK"] * 30
    new = trained.generate(**asked, **NULL, labels=names)
    assert new.obs["cell_type"].tolist() == names


def test_effects_are_of_the_names(trained):
    """A null with effects: the truth is what was added, and nothing else."""
    changes = pd.Series({"gene2": 3.0})
    new = trained.generate(**ASKED, **NULL, effects={("cell_type", "T"): changes})
    plain = trained.generate(**ASKED, **NULL)
    is_t = (new.obs["cell_type"] == "T").to_numpy()
    assert (new.X[~is_t] != plain.X[~is_t]).nnz == 0
    assert new.X[is_t][:, 2].sum() > 3 * plain.X[is_t][:, 2].sum()


@pytest.mark.parametrize("null", ["cell_type", "labels"])
def test_files_shards_and_lazy_cells_are_the_same(trained, tmp_path, null):
    asked = {**ASKED, "null": null}
    assert_the_same_however_they_are_made(trained, asked, tmp_path / "cells.zarr")
    with pytest.raises(FileExistsError, match="asked for with null="):
        trained.generate(**ASKED, path=tmp_path / "cells.zarr", resume=True)


def test_one_population_knows_no_names(trained):
    asked = {**ASKED, "null": "labels"}
    made = [trained.generate(**asked, labels=name).X for name in ("B", "T")]
    assert (made[0] != made[1]).nnz == 0
    whole = trained.generate(**{**asked, "n": 3000})
    data = trained.adata
    one, other = (np.log(np.asarray(x.sum(axis=0)).ravel() / x.sum()) for x in (whole.X, data.X))
    assert np.corrcoef(one, other)[0, 1] > 0.95
    assert whole.X.sum(axis=1).mean() == pytest.approx(data.X.sum(axis=1).mean(), rel=0.1)


def test_a_population_has_the_moments_of_the_states():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 4)) + 3
    states[:, 3] = 7.0  # all of one depth
    population = Population.of(torch.as_tensor(states, dtype=torch.float32))
    drawn = population.states(range(100, 20_100), KeyedNoise(0), 1).double()
    np.testing.assert_allclose(drawn.mean(0), states.mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.T.cov(), np.cov(states.T), atol=0.15)
    again = population.states(range(150, 200), KeyedNoise(0), 1)
    np.testing.assert_allclose(again, drawn[50:100], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"null": "celltype"},
            ValueError,
            "'celltype' is not registered.*did you mean 'cell_type'",
        ),
        ({"null": True}, TypeError, "null must be a str"),
        ({"reference": "B"}, ValueError, "reference is a category of the condition that null="),
        ({"null": "labels", "reference": "B"}, ValueError, "reference is a category"),
        ({"null": "cell_type", "reference": "Bs"}, ValueError, "unknown cell_type 'Bs'"),
    ],
)
def test_bad_nulls(trained, arguments, error, match):
    with pytest.raises(error, match=match):
        trained.generate(**ASKED, **arguments)


def test_conditions_that_have_no_null(make_adata):
    adata = make_adata()
    adata.obs["age"] = np.arange(120.0)
    adata.obs["site"] = pd.Categorical(["here"] * 120)
    SCDiT.setup_anndata(
        adata, batch_key="site", continuous_covariate_keys=["age"], labels_key="cell_type"
    )
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="'age' has numbers"):
        model.generate(**ASKED, null="age")
    with pytest.raises(ValueError, match="'site' has one category, 'here'"):
        model.generate(**ASKED, null="site")
    with pytest.raises(ValueError, match="null='labels' needs codec='latent'"):
        model.generate(**ASKED, null="labels")
    assert model.generate(**ASKED, **NULL).n_obs == 700  # which the expression codec has
