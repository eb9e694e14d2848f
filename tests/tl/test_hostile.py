"""Public functions of tl and pl with hostile values: a clear error, and nothing of the user's changed."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit


def cells(n=80, seed=0):
    rng = np.random.default_rng(seed)
    rate = np.random.default_rng(9).gamma(0.6, size=(2, 40)) + 0.1
    kind = rng.integers(2, size=n)
    x = rng.poisson(4 * rate[kind] * rng.gamma(4, 0.25, (n, 40)))
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(np.array(["a", "b"])[kind]), "age": rng.uniform(20, 80, n)},
        index=[f"{seed}-{i}" for i in range(n)],
    )
    return ad.AnnData(np.asfortranarray(x, dtype=np.float32), obs=obs)


REAL, MADE, TRAIN = cells(80, 1), cells(80, 2), cells(200, 3)
POINTS = np.random.default_rng(0).normal(size=(30, 3))
BAD_POINTS = [
    ("text", "array of numbers"),
    (np.zeros(3), "shape"),
    (np.zeros((0, 3)), "shape"),
    (np.full((30, 3), np.nan), "not finite"),
    (np.zeros((30, 2)), "dimensions"),
]


@pytest.mark.parametrize("points", BAD_POINTS, ids=lambda p: p[1])
@pytest.mark.parametrize(
    "function",
    ["c2st", "frechet", "mmd", "neighborhood", "sliced_wasserstein", "wasserstein"],
)
def test_points(function, points):
    with pytest.raises(ValueError, match=points[1]):
        getattr(scdit.tl, function)(POINTS, points[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scdit.tl.c2st(POINTS, POINTS, classifier="svm"), "unknown classifier 'svm'"),
        (lambda: scdit.tl.neighborhood(POINTS, POINTS, k=0), "k must be a positive integer"),
        (lambda: scdit.tl.neighborhood(POINTS, POINTS, k=2.5), "k must be a positive integer"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=[0]), "bandwidths must be"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=[]), "bandwidths must be a list"),
        (lambda: scdit.tl.sliced_wasserstein(POINTS, POINTS, n_projections=0), "n_projections"),
        (lambda: scdit.tl.evaluate(REAL, MADE, metrics="mmd"), "metrics must be a list"),
        (lambda: scdit.tl.evaluate(REAL, MADE, metrics=[]), "metrics must be a list"),
        (lambda: scdit.tl.evaluate(REAL, MADE, preset=3), "Unknown preset 3"),
        (lambda: scdit.tl.evaluate(REAL, MADE, max_cells="9"), "max_cells must be"),
        (lambda: scdit.tl.evaluate(REAL, MADE, rng="seed"), "rng must be"),
        (lambda: scdit.tl.evaluate(REAL, "cells"), "generated must be an AnnData"),
        (lambda: scdit.tl.evaluate(REAL, MADE, labels_key=3), "labels_key must be a str"),
        (lambda: scdit.tl.report(REAL, MADE, 3), "path must be"),
        (lambda: scdit.tl.report(REAL, MADE, "."), "is a folder"),
        (lambda: scdit.tl.report(REAL, MADE, "/nowhere/r.html"), "no folder"),
        (lambda: scdit.tl.report(REAL, MADE, "r.html", basis="tsne"), "unknown basis 'tsne'"),
        (lambda: scdit.tl.report(REAL, MADE, "r.html", evaluation=pd.DataFrame()), "lacks the columns"),
        (lambda: scdit.pl.embedding(REAL, MADE, basis="tsne"), "unknown basis 'tsne'"),
        (lambda: scdit.pl.embedding(REAL, "cells"), "generated must be an AnnData"),
        (lambda: scdit.pl.embedding(REAL, MADE, "nothing"), "no column 'nothing'"),
        (lambda: scdit.pl.embedding(REAL, MADE, rng=-1), "rng must be"),
    ],
)  # fmt: skip
def test_arguments(call, message):
    with pytest.raises((ValueError, TypeError, KeyError, OSError), match=message) as caught:
        call()
    assert "/scdit/" in str(caught.traceback[-1].path)


def test_few_genes_do_not_end_the_process():
    """The loess fit of the literature's protocol crashes on three genes."""
    real, made = REAL[:, :3].copy(), MADE[:, :3].copy()
    table = scdit.tl.evaluate(real, made, labels_key="cell_type", metrics=["cfgen_mmd"])
    assert np.isnan(table["value"]).all()
    assert table["note"].str.contains("needs 50 genes").all()


def test_copies_are_said_and_missing_values_have_a_reason():
    with pytest.warns(UserWarning, match="100% of the cells of `generated` are exact copies"):
        table = scdit.tl.evaluate(REAL, REAL.copy(), metrics=["c2st_rf_pca"])
    missing = table["value"].isna() | table["floor"].isna()
    assert (table.loc[missing, "note"] != "").all()


def test_labels_one_and_one_point_zero_are_one_label():
    real, made = REAL.copy(), MADE.copy()
    real.obs["x"] = (real.obs["cell_type"] == "a").astype(int)
    made.obs["x"] = (made.obs["cell_type"] == "a").astype(float)
    table = scdit.tl.evaluate(real, made, labels_key="x", metrics=["mmd"])
    assert set(table["group"]) == {"all", "0", "1"}


def snapshot(adata):
    x = adata.X
    return (
        x.tobytes(), x.strides, adata.obs.to_json(), adata.var.to_json(), list(adata.uns),
        list(adata.obsm), list(adata.layers), list(adata.obs.dtypes),
    )  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        lambda *sides: scdit.tl.privacy(sides[1], sides[2], sides[0]),
        lambda *sides: scdit.pl.embedding(*sides[:2], "cell_type", basis="pca"),
        lambda *sides: scdit.pl.embedding(*sides[:2], "age", basis="pca"),
        lambda *sides: scdit.pl.gene_statistics(*sides[:2]),
        lambda *sides: scdit.pl.correlation(*sides[:2]),
    ],
)
def test_the_users_cells_stay_as_they_are(call):
    sides = [side.copy() for side in (REAL, MADE, TRAIN)]
    for side in sides:
        side.X = np.asfortranarray(side.X)
    before = [snapshot(side) for side in sides]
    call(*sides)
    assert [snapshot(side) for side in sides] == before


def test_augment_takes_the_models_layer_and_never_logs():
    adata = cells(200, 4)
    adata.layers["counts"] = sp.csr_matrix(adata.X)
    adata.X = np.log1p(adata.X)
    scdit.SCDiT.setup_anndata(adata, layer="counts", labels_key="cell_type")
    model = scdit.SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    wanted = {"min_cells": 150, "labels_key": "cell_type", "rng": 0, "silent": True}
    more = scdit.tl.augment(adata, model, **wanted)
    made = more.obs["scdit_generated"].to_numpy()
    total = np.asarray(more.X.sum(1)).ravel()
    assert made.any()
    assert 0.5 < total[made].mean() / total[~made].mean() < 2
    assert more.X.dtype == np.float32
    adata.layers["log"] = adata.X
    with pytest.raises(ValueError, match=r"layers\['log'\] holds non-integer values"):
        scdit.tl.augment(adata, model, layer="log", **wanted)
