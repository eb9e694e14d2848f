"""Cells with known effects: the pooled ratios are those asked for, and all else stays."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scdit import SCDiT
from scdit.codec.rna import RNA
from scdit.datasets import synthetic_citeseq, synthetic_multiome

from .test_stream import assert_same_cells, in_memory

ASKED = {"n": 700, "n_steps": 2, "silent": True, "rng": 0, "batch_size": 64}
CHANGES = pd.Series([2.0, -2.0, 1.0, -0.5], index=["gene1", "gene7", "gene20", "gene33"])
OF_B = {("cell_type", "B"): CHANGES, ("batch", "one"): pd.Series({"gene3": 1.5})}


def pooled(cells):
    total = np.asarray(cells.X.sum(axis=0), dtype=float).ravel()
    return total / total.sum()


def assert_same_truth(one, other):
    for name in ("scdit_log2fc", "scdit_log2fc_realised"):
        pd.testing.assert_frame_equal(pd.DataFrame(one.varm[name]), other.varm[name])


def test_pooled_ratios_are_those_asked_for(trained):
    rng = np.random.default_rng(0)
    changes = pd.Series(rng.uniform(-2, 2, 20), index=[f"gene{i}" for i in range(0, 40, 2)])
    asked = {"n": 6000, "n_steps": 1, "silent": True}
    new = trained.generate(**asked, rng=1, effects=changes)
    ratio = np.log2(pooled(new) / pooled(trained.generate(**asked, rng=1)))
    truth = new.varm["scdit_log2fc_realised"]["all"].to_numpy()
    common = np.log2(new.uns["scdit"]["common_factor"]["all"])
    slope, start = np.polyfit(changes, ratio[::2], 1)
    assert 0.97 < slope < 1.03
    assert start == pytest.approx(common, abs=0.03)
    np.testing.assert_allclose(ratio, truth, atol=0.15)
    np.testing.assert_allclose(ratio[1::2].mean(), common, atol=0.03)
    asked_for = new.varm["scdit_log2fc"]["all"]
    pd.testing.assert_series_equal(asked_for[changes.index], changes, check_names=False)
    assert (asked_for.drop(changes.index) == 0).all()
    assert (new.obs["scdit_effects"] == "all").all()


def test_library_sizes_stay(trained):
    asked = {"n": 2000, "n_steps": 1, "silent": True, "rng": 0, "library_size": 1000}
    up = pd.Series(3.0, index=[f"gene{i}" for i in range(10)])
    sizes = trained.generate(**asked, effects=up).X.sum(axis=1)
    assert sizes.mean() == pytest.approx(1000, rel=0.02)


def test_only_cells_of_the_category_change(trained):
    new, before = trained.generate(**ASKED, effects=OF_B), trained.generate(**ASKED)
    names = new.obs["scdit_effects"]
    is_b, is_one = new.obs["cell_type"] == "B", new.obs["batch"] == "one"
    assert list(names.cat.categories) == [
        "none",
        "batch=one",
        "cell_type=B",
        "cell_type=B + batch=one",
    ]
    assert (names.str.contains("cell_type=B") == is_b).all()
    assert (names.str.contains("batch=one") == is_one).all()
    assert list(new.varm["scdit_log2fc"]) == ["cell_type=B", "batch=one"]
    rest = (names == "none").to_numpy()
    assert rest.any()
    assert (new.X[rest] != before.X[rest]).nnz == 0
    assert (new.X[~rest] != before.X[~rest]).nnz > 0
    assert not set(new.obs_names) & set(before.obs_names)


def test_what_all_genes_share_cancels(trained):
    """Rates are divided by the change of their total: a factor of all genes changes nothing."""
    codec = trained.module.codec
    rna, state = codec.assays["rna"], torch.randn(200, codec.n_state)
    numbers = torch.rand(200, 40)
    with torch.inference_mode():
        plain = rna.draw(state, lambda n: numbers)
        same = rna.draw(state, lambda n: numbers, None, torch.full((200, 40), 1.3))
    assert (same != plain).float().mean() < 1e-3


def test_mapped_genes_change_as_much():
    """The quantile map is taken at the changed depth of a gene."""
    torch.manual_seed(0)
    rna = RNA(2, n_latent=2, n_hidden=4).eval()
    rna.library_scores.fit(torch.full((100,), 40.0))
    edges = rna.quantile_map.places.edges.numpy()
    rna.quantile_map.log_proportion.fill_(float(np.log(0.5)))
    rna.quantile_map.log_theta.fill_(1.0)
    rna.quantile_map.set(np.array([0]), (edges[None] ** 2).astype(float))
    state, numbers = torch.zeros(40_000, 3), torch.rand(40_000, 2)
    effects = torch.zeros(40_000, 2)
    effects[:, 0] = 1.0
    with torch.inference_mode():
        before, after = (
            rna.draw(state, lambda n: numbers, None, e).mean(0) for e in (None, effects)
        )
    change = (after / before).log()
    assert float(change[0] - change[1]) == pytest.approx(1.0, abs=0.03)


def test_files_shards_and_lazy_cells_are_the_same(trained, tmp_path):
    asked = {**ASKED, "effects": OF_B}
    here = trained.generate(**asked)
    for suffix in ("zarr", "h5ad"):
        there = trained.generate(**asked, path=tmp_path / f"cells.{suffix}")
        assert_same_cells(there, here)
        assert_same_truth(there, here)
    lazily = trained.generate(**asked, lazy=True)
    assert_same_cells(lazily, here)
    assert_same_truth(lazily, here)
    parts = [trained.generate(**asked, shard=(rank, 3)) for rank in range(3)]
    assert_same_cells(ad.concat(parts, merge="same", uns_merge="same"), here)
    for part in parts:
        assert_same_truth(part, here)


def test_other_effects_are_not_resumed(trained, tmp_path):
    path = tmp_path / "cells.zarr"
    trained.generate(**ASKED, effects=CHANGES, path=path)
    found = trained.generate(**ASKED, effects=CHANGES, path=path, resume=True)
    assert found.n_obs == 700
    with pytest.raises(FileExistsError, match="asked for with effects="):
        trained.generate(**ASKED, effects=2 * CHANGES, path=path, resume=True)


def test_names_with_a_slash_can_be_written(make_adata, tmp_path):
    adata = make_adata()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"B": "B/plasma"})
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    new = model.generate(**ASKED, effects={("cell_type", "B/plasma"): CHANGES})
    assert list(new.varm["scdit_log2fc"]) == ["cell_type=B|plasma"]
    new.write_h5ad(tmp_path / "cells.h5ad")
    assert_same_truth(ad.read_h5ad(tmp_path / "cells.h5ad"), new)


def test_nothing_of_the_user_changes(trained):
    before = CHANGES.copy()
    trained.generate(**ASKED, effects=CHANGES)
    pd.testing.assert_series_equal(CHANGES, before)


@pytest.mark.parametrize(
    ("effects", "error", "match"),
    [
        (pd.Series({"gen1": 1.0}), ValueError, "unknown, such as 'gen1'; did you mean 'gene1'"),
        (pd.Series({"gene1": 10.5}), ValueError, "from -10 to 10, got 10.5 for 'gene1'"),
        (pd.Series({"gene1": np.nan}), ValueError, "got nan for 'gene1'"),
        (pd.Series({"gene1": -np.inf}), ValueError, "got -inf"),
        (pd.Series({"gene1": "up"}), ValueError, "must be numbers"),
        (pd.Series({"gene1": True}), ValueError, "must be numbers"),
        (pd.Series([1.0, 2.0], index=["gene1", "gene1"]), ValueError, "'gene1' twice"),
        (pd.Series(dtype=float), ValueError, "names no gene"),
        ({}, ValueError, "empty mapping"),
        (1.0, TypeError, "must be a Series"),
        ({("cell_type", "B"): 1.0}, TypeError, "must be a Series"),
        ({"gene1": 1.0}, ValueError, r"a key must be \(column, category\)"),
        ({("celltype", "B"): CHANGES}, ValueError, "did you mean 'cell_type'"),
        ({("cell_type", "Bs"): CHANGES}, ValueError, "unknown cell_type 'Bs'"),
    ],
)
def test_bad_effects(trained, effects, error, match):
    with pytest.raises(error, match=match):
        trained.generate(**ASKED, effects=effects)


def test_effects_belong_to_categories(make_adata):
    adata = make_adata()
    adata.obs["age"] = np.arange(120.0)
    adata.obs["1"] = pd.Categorical(np.arange(120) % 2)
    SCDiT.setup_anndata(adata, continuous_covariate_keys=["age"], categorical_covariate_keys=["1"])
    model = SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="'age' is a number"):
        model.generate(**ASKED, effects={("age", 3.0): CHANGES})
    with pytest.raises(ValueError, match="twice"):
        model.generate(**ASKED, effects={("1", 1): CHANGES, ("1", "1"): CHANGES})


@pytest.mark.filterwarnings("ignore:.*library size far")  # with two steps of a short training
def test_warnings(trained):
    top = trained.var_.index[int(pooled(trained.generate(**ASKED)).argmax())]
    with pytest.warns(UserWarning, match=f"'{top}' has .*% of all counts"):
        trained.generate(**ASKED, effects=pd.Series({top: 6.0}))
    with pytest.warns(UserWarning, match="no cell of this call has those of 'cell_type=B'"):
        new = trained.generate(**ASKED, labels="T", effects={("cell_type", "B"): CHANGES})
    assert (new.X != trained.generate(**ASKED, labels="T").X).nnz == 0


def test_the_expression_codec_is_refused(make_adata):
    adata = make_adata()
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="effects= needs codec='latent'"):
        model.generate(**ASKED, effects=CHANGES)


def test_genes_of_a_mudata_change_and_proteins_do_not(tmp_path):
    mdata = synthetic_citeseq(200, n_genes=80, rng=0)
    SCDiT.setup_mudata(
        mdata,
        modalities={"rna_layer": "rna", "protein_layer": "prot"},
        labels_key="cell_type",
    )
    model = SCDiT(mdata, n_hidden=8, width=8, n_heads=2, n_latent=4)
    model.train(max_epochs=1, silent=True)
    gene, protein = mdata["rna"].var_names[3], mdata["prot"].var_names[0]
    effects = pd.Series({gene: 2.0})
    new, before = model.generate(**ASKED, effects=effects), model.generate(**ASKED)
    assert (new["prot"].X != before["prot"].X).nnz == 0
    assert pooled(new["rna"])[3] > 2 * pooled(before["rna"])[3]
    realised = new["rna"].varm["scdit_log2fc_realised"]["all"]
    assert realised.index.equals(mdata["rna"].var_names)
    assert realised.drop(gene).std() < 0.05
    assert realised[gene] - realised.drop(gene).mean() == pytest.approx(2, abs=0.1)
    assert (new["prot"].varm["scdit_log2fc_realised"] == 0).all(axis=None)
    written = model.generate(**ASKED, effects=effects, path=tmp_path / "cells.zarr")
    assert (in_memory(written["rna"].X) != new["rna"].X).nnz == 0
    assert_same_truth(written["rna"], new["rna"])
    with pytest.raises(ValueError, match=f"'{protein}' is a feature of 'prot'"):
        model.generate(**ASKED, effects=pd.Series({protein: 1.0}))


def test_a_model_without_genes_is_refused():
    mdata = synthetic_multiome(100, rng=0)
    SCDiT.setup_mudata(mdata, modalities={"atac_layer": "atac"})
    model = SCDiT(mdata, n_hidden=8, width=8, n_heads=2, n_latent=4)
    model.train(max_epochs=1, silent=True)
    with pytest.raises(ValueError, match="effects are for genes"):
        model.generate(**ASKED, effects=CHANGES)
