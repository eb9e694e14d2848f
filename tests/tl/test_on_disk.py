"""Cells that stay on disk are compared as those in memory are; of many, a sample."""

import re

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.experimental import read_lazy

import scdit
from scdit.tl import _on_disk

METRICS = ["c2st_rf_genes", "gene_mean_r", "detected_genes_ks"]


def cells(seed, n=150):
    rng = np.random.default_rng(seed)
    types = rng.integers(2, size=n)
    counts = rng.poisson(np.where(types[:, None] == 0, 2.0, 0.7) * np.linspace(0.2, 2, 30))
    counts[:, 0] += 1
    obs = pd.DataFrame({"type": pd.Categorical(types.astype(str))})
    obs.index = [f"cell{seed}_{i}" for i in range(n)]
    var = pd.DataFrame(index=[f"gene{i}" for i in range(30)])
    return ad.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


def lazily(path):
    adata = read_lazy(path)
    adata.obs = adata.obs.to_memory()
    return adata


OPENED = {
    "backed": lambda path: ad.read_h5ad(path, backed="r"),
    "dask": lazily,
    "tables on disk, too": read_lazy,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sides")
    for seed in range(3):
        cells(seed).write_h5ad(folder / f"{seed}.h5ad")
    return [folder / f"{seed}.h5ad" for seed in range(3)]


@pytest.mark.parametrize("how", OPENED)
def test_figures_are_those_of_cells_in_memory(paths, how):
    real, generated, reference = (OPENED[how](path) for path in paths)
    keywords = {"labels_key": "type", "metrics": METRICS, "rng": 0}
    table = scdit.tl.evaluate(real, generated, reference=reference, **keywords)
    expected = scdit.tl.evaluate(cells(0), cells(1), reference=cells(2), **keywords)
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(generated.uns["scdit_evaluation"], expected)
    assert type(real.X) is type(OPENED[how](paths[0]).X)  # nothing was read into the object


def test_of_many_a_sample_is_read(paths, monkeypatch):
    monkeypatch.setattr(_on_disk, "_MOST", 100)
    real, generated = (lazily(path) for path in paths[:2])
    sampled = _on_disk.in_memory(real)
    assert sampled.n_obs == 100
    whole = cells(0)[sampled.obs_names]
    np.testing.assert_array_equal(sampled.X.toarray(), whole.X.toarray())
    assert list(sampled.obs["type"]) == list(whole.obs["type"])
    table = scdit.tl.evaluate(real, generated, metrics=METRICS)
    assert table["n"].max() <= 50  # half of the real cells is the floor
    in_memory = cells(0)
    assert _on_disk.in_memory(in_memory) is in_memory


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metrics": ["mnd"]}, "Unknown metrics"),
        ({"preset": "everything"}, "Unknown preset"),
        ({"max_cells": 0}, "max_cells must be"),
    ],
)
def test_names_are_checked_before_cells_are_read(paths, monkeypatch, wrong, message):
    monkeypatch.setattr("scdit.tl._evaluate.in_memory", lambda _: pytest.fail("cells were read"))
    real, generated = (lazily(path) for path in paths[:2])
    with pytest.raises(ValueError, match=message):
        scdit.tl.evaluate(real, generated, **wrong)


def test_the_report_is_that_of_cells_in_memory(paths, tmp_path):
    pages = []
    for name, sides in {
        "disk": [lazily(path) for path in paths[:2]],
        "memory": [cells(0), cells(1)],
    }.items():
        table = scdit.tl.evaluate(*sides, labels_key="type", metrics=METRICS, rng=0)
        path = tmp_path / f"{name}.html"
        scdit.tl.report(*sides, path, labels_key="type", evaluation=table, basis="pca")
        pages.append(re.sub(r"data:image/[^\"]*", "", path.read_text()))
    assert pages[0] == pages[1]


def test_figures_are_drawn(paths):
    axes = scdit.pl.embedding(*(lazily(path) for path in paths[:2]), color="type", basis="pca")
    assert len(axes) == 3
    points = axes[1].collections[0].get_offsets()
    expected = scdit.pl.embedding(cells(0), cells(1), color="type", basis="pca")
    np.testing.assert_allclose(points, expected[1].collections[0].get_offsets())
    plt.close("all")
