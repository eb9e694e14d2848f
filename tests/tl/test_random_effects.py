"""Random effects: how many, how large, and of which genes."""

import numpy as np
import pytest
import scvi

import scdit


@pytest.fixture(scope="module")
def model(make_adata):
    scvi.settings.seed = 0
    adata = make_adata(300)
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = scdit.SCDiT(adata, n_hidden=16, width=16)
    model.train(max_epochs={"codec": 30, "denoiser": 60}, silent=True)
    return model


def test_of_given_size(model):
    one = scdit.tl.random_effects(model, n_genes=20, log2fc=1.5, rng=0)
    assert len(one) == one.index.nunique() == 20
    assert set(one.abs()) == {1.5}
    assert set(np.sign(one)) == {-1, 1}
    assert one.equals(scdit.tl.random_effects(model, n_genes=20, log2fc=1.5, rng=0))
    assert not one.equals(scdit.tl.random_effects(model, n_genes=20, log2fc=1.5, rng=1))
    assert model.generate(10, effects=one, silent=True).n_obs == 10


def test_normal(model):
    drawn = [
        scdit.tl.random_effects(model, n_genes=40, log2fc=("normal", 0.5), rng=seed)
        for seed in range(20)
    ]
    assert np.std(np.concatenate(drawn)) == pytest.approx(0.5, rel=0.1)
    assert drawn[0].index.equals(model.var_.index)


def test_like_what_was_learnt(model):
    """The sizes are those between two types of the data."""
    found = scdit.tl.random_effects(model, n_genes=8, like="cell_type", rng=0)
    x, types = model.adata.X.toarray(), model.adata.obs["cell_type"].to_numpy()
    means = {
        name: (x[types == name] / x[types == name].sum(1, keepdims=True)).mean(0) for name in "BT"
    }
    real = np.sort(np.abs(np.log2(means["T"] / means["B"])))[-8:]
    assert len(found) == 8
    assert 0.5 < found.abs().mean() / real.mean() < 2
    assert set(np.sign(found)) == {-1, 1}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_genes": 0}, "n_genes must be a positive integer"),
        ({"n_genes": 41}, "at most 40"),
        ({"log2fc": 11}, "log2fc must be a finite number above 0 and at most 10"),
        ({"log2fc": np.nan}, "log2fc must be a finite number"),
        ({"log2fc": ("normal", -1)}, "the sd must be"),
        ({"log2fc": ("uniform", 1)}, r"\('normal', sd\) or a number"),
        ({"like": "celltype"}, "did you mean 'cell_type'"),
        ({"like": "cell_type", "log2fc": 1}, "not both"),
        ({"rng": -1}, "rng must be"),
    ],
)
def test_bad_arguments(model, arguments, match):
    with pytest.raises(ValueError, match=match):
        scdit.tl.random_effects(model, **{"n_genes": 5, **arguments})


def test_what_has_no_genes(make_adata):
    with pytest.raises(TypeError, match="model must be an SCDiT"):
        scdit.tl.random_effects("model")
    adata = make_adata()
    scdit.SCDiT.setup_anndata(adata)
    model = scdit.SCDiT(adata, codec="expression", width=8, n_heads=2)
    with pytest.raises(ValueError, match="needs codec='latent'"):
        scdit.tl.random_effects(model)
