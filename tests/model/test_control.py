"""What conditions, guidance and depth do to the cells, on two types that are easy to tell apart."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi
import torch

from scdit import SCDiT
from scdit.diffusion import KeyedNoise, time_grid

MANY = 400
SHARE = {"one": 0.85, "two": 0.15}  # of type A in each batch


@pytest.fixture(scope="module")
def model():
    """Type A has counts in genes 0 to 4, type B in 5 to 9; batches differ in their composition."""
    scvi.settings.seed = 0
    rng = np.random.default_rng(0)
    batch = np.repeat(["one", "two"], 150)
    is_a = rng.random(300) < np.vectorize(SHARE.get)(batch)
    mean = np.full((300, 40), 3.0)
    mean[:, :5] = np.where(is_a, 40, 0.5)[:, None]
    mean[:, 5:10] = np.where(is_a, 0.5, 40)[:, None]
    mean *= rng.lognormal(0, 0.2, (300, 1))
    adata = ad.AnnData(rng.poisson(mean).astype(np.float32))
    adata.obs["type"], adata.obs["batch"] = np.where(is_a, "A", "B"), batch
    SCDiT.setup_anndata(adata, labels_key="type", batch_key="batch")
    # marginals are learnt from the few cells whose conditions are dropped: more of them, more steps
    model = SCDiT(adata, n_hidden=32, width=32, depth=2, n_tokens=2, condition_dropout=0.2)
    fast = {"lr": 5e-3}
    model.train(
        max_epochs={"codec": 100, "denoiser": 400},
        batch_size=64,
        early_stopping=False,
        plan_kwargs={"codec": fast, "denoiser": fast},
        silent=True,
    )
    return model


def share_of_a(cells):
    x = cells.X
    return np.mean(x[:, :5].sum(1).A1 > x[:, 5:10].sum(1).A1)


def generate(model, n=MANY, **kwargs):
    return model.generate(n, rng=0, silent=True, **kwargs)


@pytest.mark.parametrize("batch", ["one", "two"])
def test_labels_are_followed(model, batch):
    assert share_of_a(generate(model, labels="A", batch=batch)) > 0.97
    assert share_of_a(generate(model, labels="B", batch=batch)) < 0.03


@pytest.mark.parametrize("batch", ["one", "two"])
def test_a_dropped_condition_leaves_the_marginal_of_the_other(model, batch):
    """Asked for A, with the label dropped: types come as they do in this batch."""
    real = model.adata.obs.loc[model.adata.obs["batch"] == batch, "type"].eq("A").mean()
    new = generate(model, labels="A", batch=batch, guidance_scale={"type": 0.0})
    assert share_of_a(new) == pytest.approx(real, abs=0.1)


def test_all_conditions_dropped_leave_the_marginal(model):
    real = model.adata.obs["type"].eq("A").mean()
    new = generate(model, labels="A", batch="one", guidance_scale=0)
    assert share_of_a(new) == pytest.approx(real, abs=0.1)


def test_guidance_of_one_is_the_conditional_network_bit_for_bit(model):
    """Against a sampler that knows nothing of guidance."""
    new = generate(model, 64, labels="A", batch="one", guidance_scale=1.0, n_steps=20)
    codes = {name: torch.zeros(64, dtype=torch.long) for name in ("labels", "batch")}
    noise, module = KeyedNoise(0), model.module
    module.eval()
    calls = []

    def network(*args):
        calls.append(args)
        return module.ema(*args[:3])  # keeps all conditions

    class Module:
        def __getattr__(self, name):
            return network if name == "ema" else getattr(module, name)

    with torch.inference_mode():
        times = time_grid(20, module.schedule, "power")
        *_, last = type(module).path(Module(), codes, range(64), noise, times)
        expected = module.draw_counts(module.unstandardise(last), range(64), noise, codes)
    assert len(calls) == 20  # one pass
    np.testing.assert_array_equal(new.X.toarray(), expected.numpy())


def test_depth_acts_as_thinning_does(model):
    """Cells of twice the depth, of which every count is kept with probability 1/2."""
    shallow = generate(model, 2000, labels="A", library_size=150).X.toarray()
    deep = generate(model, 2000, labels="A", library_size=300).X.toarray()
    thinned = np.random.default_rng(0).binomial(deep, 0.5)
    expressed = shallow.mean(0) > 0.5
    np.testing.assert_allclose(
        (deep.mean(0) / shallow.mean(0))[expressed], 2, rtol=0.1
    )  # proportions stay
    zeros = [(x[:, expressed] == 0).mean(0) for x in (shallow, thinned, deep)]
    np.testing.assert_allclose(zeros[0], zeros[1], atol=0.05)
    assert (zeros[0] - zeros[2] > 0.05).sum() > 10  # what the bound above could have missed


def test_names_are_kept_by_a_saved_model(model, tmp_path):
    model.save(str(tmp_path / "m"))
    loaded = SCDiT.load(str(tmp_path / "m"), adata=False)
    table = pd.DataFrame({"batch": ["two", "one"], "type": ["A", "B"]}, index=["x", "y"])
    new = loaded.generate(conditions=table, silent=True)
    pd.testing.assert_frame_equal(
        new.obs[["type", "batch"]].astype(str),
        table[["type", "batch"]].astype(str),
        check_names=False,
    )


def trained_quickly(adata, n_latent):
    """A small model of cells whose label is their kind."""
    SCDiT.setup_anndata(adata, labels_key="kind")
    model = SCDiT(adata, n_latent=n_latent, n_hidden=32, width=32)
    fast = {"lr": 5e-3}
    model.train(max_epochs=40, plan_kwargs={"codec": fast, "denoiser": fast}, silent=True)
    return model


def test_labels_that_counts_hardly_tell_apart_keep_their_differences():
    """A weak effect on few genes, less than the noise of one cell, as of a perturbation."""
    scvi.settings.seed = 0
    rng = np.random.default_rng(0)
    log = np.repeat(np.log(rng.gamma(2, size=(1, 40))), 2, axis=0)
    log[1, :10] += rng.choice([-0.5, 0.5], 10)
    proportions = np.exp(log) / np.exp(log).sum(1, keepdims=True)
    label = rng.integers(2, size=600)
    # and a stronger programme of other genes, which both share
    rates = 30 * proportions[label]
    rates[:, 10:25] *= rng.lognormal(0, 0.4, (600, 1))
    adata = ad.AnnData(rng.poisson(rates).astype(np.float32))
    adata.obs["kind"] = np.where(label, "B", "A")
    model = trained_quickly(adata, n_latent=2)
    new = model.generate(labels={"A": 2000, "B": 2000}, rng=0, silent=True)

    def effect(cells):
        a, b = (np.asarray(cells[cells.obs["kind"] == k].X.mean(0)).ravel()[:10] for k in "AB")
        return np.log(b / a)

    real = effect(adata)
    assert (effect(new) @ real) / (real @ real) > 0.8  # the slope is 1 where nothing is lost


def test_a_gene_that_only_the_label_decides_is_generated():
    """A rare label that two genes set apart, where the latent space has room for another programme only."""
    scvi.settings.seed = 0
    rng = np.random.default_rng(0)
    rare = rng.random(1_500) < 0.15
    rates = np.repeat(rng.gamma(2, size=(1, 50)), 1_500, axis=0)
    rates[:, 2:30] *= np.exp(np.outer(rng.standard_normal(1_500), rng.normal(0, 0.7, 28)))
    rates[:, :2] = np.where(rare, 5.0, 2.0)[:, None]
    adata = ad.AnnData(rng.poisson(rates).astype(np.float32))
    adata.obs["kind"] = np.where(rare, "rare", "common")
    model = trained_quickly(adata, n_latent=1)
    new = model.generate(labels={"rare": 1000, "common": 1000}, rng=0, silent=True)
    mean = {k: new[new.obs["kind"] == k].X[:, :2].mean(0) for k in ("rare", "common")}
    ratio = np.log(np.asarray(mean["rare"] / mean["common"])).ravel()
    real = np.log(adata[rare].X[:, :2].mean(0) / adata[~rare].X[:, :2].mean(0))
    assert (ratio / real).min() > 0.7
    # nothing is known of the label: as often as in all cells
    both = model.generate(2000, rng=1, guidance_scale=0, silent=True)
    np.testing.assert_allclose(both.X[:, :2].mean(0), adata.X[:, :2].mean(0)[None], rtol=0.25)
