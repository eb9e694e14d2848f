"""Cells as dask arrays: each chunk made when it is asked for, the same cells whoever makes it."""

import copy

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

import scdit.model._lazy as lazy_module
from scdit import SCDiT
from scdit.model._recipe import Recipe

from .conftest import setup
from .test_stream import ASKED, assert_same_cells, stopped_after

SMALL = {"n_hidden": 8, "width": 8, "n_heads": 2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """128 cells of two batches."""
    monkeypatch.setattr(lazy_module, "_CHUNK", 100)


@pytest.mark.parametrize("chunk", [1, 100, 10_000])
def test_the_same_cells_in_chunks_of_any_size(trained, monkeypatch, chunk):
    monkeypatch.setattr(lazy_module, "_CHUNK", chunk)
    lazily = trained.generate(**ASKED, lazy=True)
    assert lazily.X.numblocks == (-(-700 // (-(-chunk // 64) * 64)), 1)
    assert isinstance(lazily.X._meta, sp.csr_matrix)
    assert_same_cells(lazily, trained.generate(**ASKED))


def test_only_the_chunks_of_rows_are_made(trained):
    expected = trained.generate(**ASKED)
    with stopped_after(100) as made:
        lazily = trained.generate(**ASKED, lazy=True)
        assert not made
        rows = lazily[[130, 140]].X.compute()
        assert made == [range(128, 192), range(192, 256)]
    assert (rows != expected.X[[130, 140]]).nnz == 0
    some = lazily[lazily.obs["cell_type"] == "NK"]
    assert (
        some.X.compute() != expected.X[(expected.obs["cell_type"] == "NK").to_numpy()]
    ).nnz == 0


def test_a_shard(trained):
    parts = [trained.generate(**ASKED, shard=(rank, 3), lazy=True) for rank in range(3)]
    whole = ad.concat(parts, merge="same", uns_merge="same")
    assert_same_cells(whole, trained.generate(**ASKED))


def test_later_training_changes_nothing(make_adata):
    model = setup(make_adata())
    model.train(max_epochs=1, silent=True)
    lazily, expected = model.generate(**ASKED, lazy=True), model.generate(**ASKED)
    model.train(max_epochs=1, silent=True)
    assert_same_cells(lazily, expected)


def test_layers_are_made_with_the_counts(make_adata):
    adata = make_adata()
    SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = SCDiT(adata, codec="expression", width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    lazily = model.generate(**ASKED, lazy=True)
    assert_same_cells(lazily, model.generate(**ASKED))
    import dask

    with stopped_after(100) as made:
        dask.compute(lazily.X, lazily.layers["log_normalized"])
    assert len(made) == 11


def test_the_model_is_one_node_of_the_graph(trained):
    """All chunks depend on it, so that a worker is sent it once."""
    lazily = trained.generate(**ASKED, lazy=True)
    import dask

    pickled, reduce = [], Recipe.__getstate__

    def counted(recipe):
        pickled.append(recipe)
        return reduce(recipe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "__getstate__", counted)
        import cloudpickle

        (optimized,) = dask.optimize(lazily.X)
        cloudpickle.dumps(dict(optimized.__dask_graph__()))
    assert len(pickled) == 1


def test_a_recipe_needs_no_model(trained):
    lazily = trained.generate(**ASKED, lazy=True)
    whole = copy.deepcopy(lazily.X)
    assert (whole.compute() != trained.generate(**ASKED).X).nnz == 0


@pytest.mark.filterwarnings("ignore")  # of scanpy and dask
def test_scanpy_works_on_it(trained):
    lazily, here = trained.generate(**ASKED, lazy=True), trained.generate(**ASKED)
    here.X = here.X.astype(np.float32)
    lazily.X = lazily.X.astype(np.float32)
    for adata in (lazily, here):
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=20)
    assert hasattr(lazily.X, "compute")
    np.testing.assert_allclose(lazily.X.compute().toarray(), here.X.toarray(), rtol=1e-4)
    assert (lazily.var["highly_variable"] == here.var["highly_variable"]).all()
    sc.pp.pca(lazily, n_comps=3)
    sc.pp.pca(here, n_comps=3, svd_solver="covariance_eigh")
    explained = [a.uns["pca"]["variance_ratio"] for a in (lazily, here)]
    np.testing.assert_allclose(*map(np.asarray, explained), rtol=1e-2)


@pytest.mark.slow  # workers load scvi-tools
@pytest.mark.filterwarnings("ignore")  # of dask's own servers
def test_two_processes_make_the_same_cells(trained):
    distributed = pytest.importorskip("distributed")
    lazily = trained.generate(**ASKED, lazy=True)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        assert_same_cells(lazily, trained.generate(**ASKED))


def test_without_dask(trained, monkeypatch):
    monkeypatch.setattr("scdit.model._lazy.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'scdit\[dask\]'"):
        trained.generate(**ASKED, lazy=True)
    with pytest.raises(ValueError, match="lazy must be True or False"):
        trained.generate(**ASKED, lazy="yes")
