"""Generated cells: their form, their conditions, and that they can be made again."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from scdit import SCDiT
from scdit.diffusion import SAMPLERS, KeyedNoise, time_grid

from .conftest import setup


def generate(model, *args, **kwargs):
    return model.generate(*args, **({"n_steps": 3, "silent": True, "rng": 0} | kwargs))


def test_form(trained):
    new = generate(trained, 30)
    assert sp.isspmatrix_csr(new.X)
    assert np.issubdtype(new.X.dtype, np.integer)
    assert new.X.min() >= 0
    assert list(new.var_names) == list(trained.adata.var_names)
    assert list(new.obs.columns) == ["cell_type", "batch", "scdit_generated"]
    assert list(new.obs["cell_type"].cat.categories) == ["B", "NK", "T"]
    assert new.obs_names.is_unique
    assert not set(new.obs_names) & set(trained.adata.obs_names)
    assert not any(key.startswith("_scvi") for key in [*new.obs, *new.uns])


def test_provenance(trained, tmp_path):
    settings = generate(trained, 3, sampler="ddim", eta=0.5).uns["scdit"]
    assert settings["sampler"] == "ddim"
    assert settings["n_steps"] == 3
    assert settings["eta"] == 0.5
    assert settings["rng"] == "0"
    assert list(settings["conditions"]) == ["cell_type", "batch"]
    generate(trained, 3, guidance_scale={"batch": 2.0}).write_h5ad(tmp_path / "new.h5ad")


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_repeats_bit_for_bit(trained, sampler):
    one, two = (generate(trained, 40, sampler=sampler) for _ in range(2))
    assert (one.X != two.X).nnz == 0
    pd.testing.assert_frame_equal(one.obs, two.obs)
    other = generate(trained, 40, sampler=sampler, rng=1)
    assert (one.X != other.X).nnz > 0
    assert not set(one.obs_names) & set(other.obs_names)


@pytest.mark.parametrize("sampler", ["ab2", "ddpm"])
def test_batch_size_does_not_matter(trained, sampler):
    one = generate(trained, 500, sampler=sampler, batch_size=500)
    other = generate(trained, 500, sampler=sampler, batch_size=77)
    pd.testing.assert_frame_equal(one.obs, other.obs)
    assert (one.X != other.X).nnz <= 1e-5 * np.prod(one.shape)


def test_latents_agree_across_batch_sizes(trained):
    codes = {"labels": torch.arange(200) % 3, "batch": torch.arange(200) % 2}
    times = time_grid(20, trained.module.schedule)
    whole = trained.module.sample(codes, range(200), KeyedNoise(0), times)
    parts = [
        trained.module.sample(
            {k: v[a : a + 50] for k, v in codes.items()}, range(a, a + 50), KeyedNoise(0), times
        )
        for a in range(0, 200, 50)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-4)


def test_labels_by_number_keep_their_order(trained):
    new = generate(trained, labels={"T": 5, "B": 2, "NK": 0})
    assert new.obs["cell_type"].tolist() == ["T"] * 5 + ["B"] * 2


def test_one_label_and_one_batch(trained):
    new = generate(trained, 6, labels="NK", batch="two")
    assert set(new.obs["cell_type"]) == {"NK"}
    assert set(new.obs["batch"]) == {"two"}


def test_one_name_per_cell(trained):
    wanted = ["B", "T", "T", "NK"]
    assert generate(trained, labels=wanted).obs["cell_type"].tolist() == wanted
    assert generate(trained, labels=pd.Series(wanted)).obs["cell_type"].tolist() == wanted


def test_without_conditions_the_composition_is_that_of_the_data(trained):
    new = generate(trained, 4000, n_steps=1)
    for column in ("cell_type", "batch"):
        real = trained.adata.obs[column].value_counts(normalize=True)
        made = new.obs[column].value_counts(normalize=True)
        np.testing.assert_allclose(made[real.index], real, atol=0.03)


def test_what_is_not_given_follows_what_is(make_adata):
    adata = make_adata()
    # a batch that holds B cells only
    adata.obs["batch"] = pd.Categorical(np.where(adata.obs["cell_type"] == "B", "one", "two"))
    model = setup(adata)
    model.train(max_epochs=1, silent=True)
    assert set(generate(model, 50, labels="B").obs["batch"]) == {"one"}
    assert set(generate(model, 50, batch="two").obs["cell_type"]) == {"NK", "T"}


def test_library_sizes(trained):
    real = trained.adata.X.sum(1).A1
    fixed = generate(trained, 300, library_size=900).X.sum(1).A1
    assert fixed.mean() == pytest.approx(900, rel=0.05)
    given = np.repeat([200.0, 2000.0], 150)
    assert np.corrcoef(generate(trained, library_size=given).X.sum(1).A1, given)[0, 1] > 0.95
    empirical = generate(trained, 2000, library_size="empirical", n_steps=1).X.sum(1).A1
    assert empirical.mean() == pytest.approx(real.mean(), rel=0.1)


def test_guidance_of_one_is_the_conditional_model(trained):
    assert (generate(trained, 50).X != generate(trained, 50, guidance_scale=1).X).nnz == 0
    strong = generate(trained, 50, guidance_scale=3.0)
    assert (generate(trained, 50).X != strong.X).nnz > 0
    # conditions that a mapping does not name keep the scale 1
    one, two = (
        generate(trained, 50, guidance_scale=scale)
        for scale in ({"batch": 2.0}, {"cell_type": 1.0, "batch": 2.0})
    )
    assert (one.X != two.X).nnz == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"n": 0}, "positive integer", id="none"),
        pytest.param({"n": -3}, "positive integer", id="negative"),
        pytest.param({"n": 2.5}, "positive integer", id="fraction"),
        pytest.param({}, "how many cells", id="nothing"),
        pytest.param({"n": 5, "labels": {"B": 4}}, "n for 5, cell_type for 4", id="sums"),
        pytest.param({"labels": {"B": -1}}, "non-negative integers", id="negative-number"),
        pytest.param({"n": 5, "labels": "Bcell"}, "known: B, NK, T", id="unknown-label"),
        pytest.param({"n": 5, "batch": "tow"}, "did you mean 'two'", id="close-match"),
        pytest.param({"n": 5, "covariates": {"sex": "f"}}, "unknown covariate", id="covariate"),
        pytest.param({"n": 5, "sampler": "ddmi"}, "ddim, ddpm", id="sampler"),
        pytest.param({"n": 5, "n_steps": 0}, "n_steps", id="steps"),
        pytest.param({"n": 5, "eta": 0.5}, "option of ddim", id="eta-elsewhere"),
        pytest.param(
            {"n": 5, "sampler": "ddim", "eta": 1.5}, "at least 0 and at most 1", id="eta-range"
        ),
        pytest.param({"n": 5, "guidance_scale": -1}, "at least 0", id="guidance"),
        pytest.param(
            {"n": 5, "guidance_scale": {"donor": 2}}, "registered: cell_type", id="scales"
        ),
        pytest.param({"n": 5, "guidance_scale": {}}, "names no condition", id="no-scales"),
        pytest.param({"n": 5, "library_size": 0}, "positive and at most", id="library-zero"),
        pytest.param({"n": 5, "library_size": np.nan}, "positive and at most", id="library-nan"),
        pytest.param({"n": 5, "library_size": "test"}, "'empirical'", id="library-name"),
        pytest.param({"n": 5, "library_size": [3.0, 4.0]}, "n for 5", id="library-length"),
        pytest.param({"n": 5, "library_size": 1e12}, "at most", id="library-huge"),
        pytest.param({"labels": {"B", "T"}}, "set has no order", id="set"),
        pytest.param({"n": 5, "batch_size": 0}, "batch_size", id="batch-size"),
    ],
)
def test_bad_requests(trained, arguments, message):
    with pytest.raises(ValueError, match=message):
        trained.generate(silent=True, **arguments)


def test_before_training(adata):
    with pytest.raises(RuntimeError, match="not trained"):
        setup(adata).generate(5)
    with pytest.raises(RuntimeError, match="not trained"):
        setup(adata).get_latent_representation()


def test_without_any_condition(adata):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, n_hidden=16, width=16)
    model.train(max_epochs=1, silent=True)
    assert list(generate(model, 5).obs) == ["scdit_generated"]
    assert generate(model, like=adata[:7].copy()).n_obs == 7
    with pytest.raises(ValueError, match="labels_key="):
        generate(model, 5, labels="B")


def test_covariates(adata):
    adata.obs["my.treatment"] = pd.Categorical(np.where(np.arange(120) % 2, "stim", "ctrl"))
    SCDiT.setup_anndata(adata, labels_key="cell_type", categorical_covariate_keys=["my.treatment"])
    model = SCDiT(adata, n_hidden=16, width=16)
    model.train(max_epochs=1, silent=True)
    new = generate(model, 5, covariates={"my.treatment": "stim"})
    assert set(new.obs["my.treatment"]) == {"stim"}


def test_denoising_path_goes_from_noise_to_the_cells(trained):
    import scdit

    states, obs = trained.denoising_path(400, labels="B", n_frames=4, n_steps=20, rng=0)
    assert states.shape == (4, 400, trained.module.codec.n_state)
    assert set(obs["cell_type"]) == {"B"}
    assert np.abs(states[0].mean(0)).max() < 0.3
    np.testing.assert_allclose(states[0].std(0), 1, atol=0.2)
    # the last frame holds the states that generate() decodes
    last = trained.module.unstandardise(torch.from_numpy(states[-1]))
    codes = {c.name: torch.as_tensor(c.encode(obs[c.key])) for c in trained._conditions}
    drawn = trained.module.draw_counts(last, range(400), KeyedNoise(0), codes)
    made = generate(trained, 400, labels="B", n_steps=20)
    np.testing.assert_array_equal(drawn.numpy(), made.X.toarray())
    assert len(scdit.pl.denoising(states, obs["cell_type"])) == 4
    with pytest.raises(ValueError, match="n_frames"):
        trained.denoising_path(5, n_frames=9, n_steps=3)


@pytest.mark.parametrize(
    ("architecture", "sampler"),
    [
        ({}, "ab3"),
        ({"schedule": "ddpm", "prediction": "eps"}, "ab2"),
        ({"codec": "expression"}, "ab2"),
    ],
)
def test_the_sampler_suits_the_states_and_the_prediction(adata, architecture, sampler):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, **architecture)
    model.train(max_epochs=1, silent=True)
    new = model.generate(3, rng=0, silent=True)
    assert new.uns["scdit"]["sampler"] == sampler
    assert new.uns["scdit"]["spacing"] == ("power" if sampler == "ab3" else "uniform")
    assert new.uns["scdit"]["n_steps"] == {"ab3": 6, "ab2": 8}[sampler]
