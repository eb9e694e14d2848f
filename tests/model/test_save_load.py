"""Saving and loading: with data, without, and with data in another order."""

import numpy as np
import pytest

from scdit import SCDiT


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m"
    trained.save(str(path))
    return str(path)


def counts(model):
    return model.generate(20, n_steps=3, rng=0, silent=True).X


def test_generates_without_data(trained, saved):
    loaded = SCDiT.load(saved, adata=False)
    assert loaded.is_trained
    assert (counts(loaded) != counts(trained)).nnz == 0
    assert loaded.generate(labels={"NK": 2}, n_steps=2, silent=True).obs["cell_type"].tolist() == [
        "NK",
        "NK",
    ]
    assert repr(loaded) == repr(trained)
    assert set(loaded.history) == set(trained.history)
    with pytest.raises(ValueError, match="without data"):
        loaded.train()


def test_var_survives(make_adata, tmp_path):
    adata = make_adata()
    adata.var["symbol"] = [f"s{i}" for i in range(adata.n_vars)]
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, n_hidden=8, width=8)
    model.train(max_epochs=1, silent=True)
    model.save(str(tmp_path / "m"))
    new = SCDiT.load(str(tmp_path / "m"), adata=False).generate(2, n_steps=1, silent=True)
    assert new.var["symbol"].tolist() == adata.var["symbol"].tolist()


def test_saved_with_its_data(trained, tmp_path):
    trained.save(str(tmp_path / "m"), save_anndata=True)
    loaded = SCDiT.load(str(tmp_path / "m"))
    assert loaded.adata.shape == trained.adata.shape
    np.testing.assert_allclose(
        loaded.get_latent_representation(),
        trained.get_latent_representation(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_genes_in_another_order(trained, saved, make_adata):
    shuffled = make_adata()[:, ::-1].copy()
    first = shuffled.var_names[0]
    loaded = SCDiT.load(saved, adata=shuffled)
    assert list(loaded.adata.var_names) == list(trained.adata.var_names)
    assert shuffled.var_names[0] == first  # the user's object is as it was
    expected = trained.get_latent_representation()
    np.testing.assert_allclose(loaded.get_latent_representation(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        trained.get_latent_representation(make_adata()[:, ::-1].copy()),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )


def test_more_genes_are_left_out_and_missing_ones_listed(saved, make_adata):
    import anndata as ad

    adata = make_adata()
    extra = adata[:, :2].copy()
    extra.var_names = ["other1", "other2"]
    wide = ad.concat([extra, adata], axis=1, merge="first")
    assert SCDiT.load(saved, adata=wide).adata.n_vars == 40
    with pytest.raises(ValueError, match="2 of the model's 40 genes are missing.*gene38, gene39"):
        SCDiT.load(saved, adata=adata[:, :38].copy())


@pytest.mark.parametrize("column", ["batch", "cell_type"])
def test_data_with_missing_conditions_are_refused(saved, make_adata, column):
    adata = make_adata()
    adata.obs.loc[adata.obs_names[:3], column] = np.nan
    with pytest.raises(ValueError, match=f"3 of 120 cells have no value .*{column}"):
        SCDiT.load(saved, adata)


def test_latent_representation(trained):
    z = trained.get_latent_representation()
    assert z.shape == (120, trained.module.codec.n_latent)
    np.testing.assert_allclose(
        trained.get_latent_representation(indices=[5, 3]), z[[5, 3]], rtol=1e-5, atol=1e-6
    )


def test_latent_representation_needs_no_conditions(trained, saved, make_adata):
    bare = make_adata()
    del bare.obs["cell_type"]
    columns = list(bare.obs)
    z = SCDiT.load(saved, adata=False).get_latent_representation(bare)
    np.testing.assert_allclose(z, trained.get_latent_representation(), rtol=1e-5, atol=1e-6)
    assert list(bare.obs) == columns
    with pytest.raises(ValueError, match="without data"):
        SCDiT.load(saved, adata=False).get_latent_representation()
    bare.X = bare.X.log1p()
    with pytest.raises(ValueError, match="raw counts"):
        trained.get_latent_representation(bare)
