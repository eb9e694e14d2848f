"""Paths between conditions and between groups of cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi

from scdit import SCDiT

QUICK = {"n": 10, "steps": 3, "rng": 0, "silent": True}


@pytest.fixture(scope="module")
def curve():
    """A model of cells on a curve: gene 0 falls, gene 1 is high in the middle only, gene 2 rises."""
    scvi.settings.seed = 0
    rng = np.random.default_rng(0)
    time = rng.uniform(size=300)
    x = rng.poisson(2.0, (300, 40))
    x[:, :3] = rng.poisson(
        100 * np.stack([(1 - time) ** 2, 2 * time * (1 - time), time**2], 1) + 1
    )
    adata = ad.AnnData(x.astype(np.float32))
    adata.obs["stage"] = pd.cut(time, [0, 0.2, 0.8, 1], labels=["early", "middle", "late"])
    SCDiT.setup_anndata(adata, labels_key="stage")
    model = SCDiT(adata, n_hidden=32, width=32)
    fast = {"lr": 5e-3}
    model.train(
        max_epochs=150,
        early_stopping=False,
        plan_kwargs={"codec": fast, "denoiser": fast},
        silent=True,
    )
    return model


@pytest.mark.parametrize("kind", ["conditions", "cells"])
def test_the_path_goes_through_what_lies_between(curve, kind):
    if kind == "conditions":
        a, b = {"stage": "early"}, {"stage": "late"}
    else:
        a = (curve.adata.obs["stage"] == "early").to_numpy()
        b = curve.adata[(curve.adata.obs["stage"] == "late").to_numpy()].copy()
    path = curve.interpolate(a, b, n=60, steps=5, rng=0, silent=True)
    means = np.stack(
        [
            path.X[(path.obs["scdit_weight"] == w).to_numpy(), :3].mean(0).A1
            for w in np.linspace(0, 1, 5)
        ]
    )
    assert (np.diff(means[:, 0]) < 0).all()
    assert (np.diff(means[:, 2]) > 0).all()
    # no mixture of the two ends has it
    assert means[2, 1] > 1.5 * max(means[0, 1], means[-1, 1])


def test_form(trained):
    path = trained.interpolate(
        {"cell_type": "B", "batch": "one"}, {"cell_type": "T", "batch": "one"}, **QUICK
    )
    assert path.shape == (30, 40)
    assert np.issubdtype(path.X.dtype, np.integer)
    assert path.obs["scdit_weight"].tolist() == [0.0] * 10 + [0.5] * 10 + [1.0] * 10
    assert path.obs["scdit_path"].tolist() == list(range(10)) * 3
    assert list(path.obs) == ["scdit_weight", "scdit_path", "scdit_generated", "batch"]
    assert set(path.obs["batch"]) == {"one"}
    assert path.obs_names.is_unique
    again = trained.interpolate(
        {"cell_type": "B", "batch": "one"}, {"cell_type": "T", "batch": "one"}, **QUICK
    )
    assert (path.X != again.X).nnz == 0


def test_the_flow_there_and_back(curve):
    """What is followed to the noise comes back, as the cells it was."""
    early = (curve.adata.obs["stage"] == "early").to_numpy()
    states = curve._end(early, 50, _Noise(), 0, 512)
    codes = curve._on_the_way({"stage": "early"}, {"stage": "early"}, np.zeros(50))
    noise = curve._flow(states, codes, True, 512, turn=1.0)
    back = curve._flow(noise, codes, False, 512, turn=1.0)
    assert np.abs(noise - states).mean() > 0.1
    assert np.abs(back - states).mean() < 0.1 * np.abs(noise - states).mean()


class _Noise:
    def generator(self, *_):
        return np.random.default_rng(0)


def test_genes_that_only_the_label_decides_move_with_the_weight(make_adata):
    adata = make_adata()
    adata.obs.loc[adata.obs_names[:12], "cell_type"] = np.nan
    SCDiT.setup_anndata(adata, labels_key="cell_type", unlabeled_category="Unknown")
    model = SCDiT(adata, n_hidden=8, width=8)
    model.train(max_epochs=1, silent=True)
    gene = int(np.argsort(adata.X.sum(0).A1)[20])
    effects = model.module.codec.assays.rna.effects.terms[0].data
    effects.zero_()
    effects[0, gene], effects[2, gene] = -2, 2  # of B and T
    quick = {"n": 100, "steps": 3, "rng": 0, "silent": True}

    def means(a, b):
        path = model.interpolate({"cell_type": a}, {"cell_type": b}, **quick)
        return path.X[:, gene].toarray().reshape(3, 100).mean(axis=1)

    start, middle, stop = means("B", "T")
    np.testing.assert_allclose([start / middle, stop / middle], np.exp([-2, 2]), rtol=0.5)
    start, middle, stop = means("Unknown", "T")
    np.testing.assert_allclose([middle / start, stop / middle], np.exp([1, 1]), rtol=0.5)


def test_numbers_move_with_the_weight(make_adata):
    adata = make_adata()
    adata.obs["age"] = np.random.default_rng(0).uniform(20, 80, adata.n_obs)
    SCDiT.setup_anndata(adata, labels_key="cell_type", continuous_covariate_keys=["age"])
    model = SCDiT(adata, n_hidden=8, width=8)
    model.train(max_epochs=1, silent=True)
    path = model.interpolate({"age": 30, "cell_type": "B"}, {"age": 50, "cell_type": "T"}, **QUICK)
    assert path.obs["age"].tolist() == [30.0] * 10 + [40.0] * 10 + [50.0] * 10
    assert "cell_type" not in path.obs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"a": {"cell_typ": "B"}}, "did you mean 'cell_type'", id="condition"),
        pytest.param({"a": {"cell_type": "C"}}, "known: B, NK, T", id="name"),
        pytest.param({"a": {"cell_type": ["B", "T"]}}, "one value", id="two-values"),
        pytest.param({"a": np.zeros(120, bool)}, "no cells", id="empty"),
        pytest.param({"steps": 1}, "at least 2", id="steps"),
        pytest.param({"n": 0}, "positive", id="n"),
    ],
)
def test_bad_input(trained, arguments, message):
    arguments = {"a": {"cell_type": "B"}, "b": {"cell_type": "T"}} | QUICK | arguments
    with pytest.raises(ValueError, match=message):
        trained.interpolate(**arguments)


def test_without_data_or_training(trained, adata, tmp_path):
    trained.save(str(tmp_path / "m"))
    loaded = SCDiT.load(str(tmp_path / "m"), adata=False)
    assert loaded.interpolate({"cell_type": "B"}, {"cell_type": "T"}, **QUICK).n_obs == 30
    with pytest.raises(ValueError, match="without data"):
        loaded.interpolate([0, 1], [2, 3], **QUICK)
    SCDiT.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="not trained"):
        SCDiT(adata).interpolate({}, {})
