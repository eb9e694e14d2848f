"""Public functions of tl and pl with hostile values: a clear error, and nothing of the user's changed."""

import re

import anndata as ad
import matplotlib.pyplot as plt
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
    (np.full((30, 3), np.inf), "not finite"),
    (np.zeros((30, 0)), "shape"),
    (np.ones((30, 3)) * 1j, "array of numbers"),
    (np.ma.masked_less(POINTS, 0), "without a mask"),
    (np.full((30, 3), "a"), "array of numbers"),
    (np.full((30, 3), None), "not finite"),
    ([[1, 2], [3]], "array of numbers"),
    (None, "array of numbers|shape"),
]


@pytest.mark.parametrize("points", BAD_POINTS, ids=lambda p: p[1])
@pytest.mark.parametrize(
    "function",
    ["c2st", "frechet", "mmd", "neighborhood", "sliced_wasserstein", "wasserstein"],
)
def test_points(function, points):
    for sides in ((POINTS, points[0]), (points[0], POINTS)):
        with pytest.raises(ValueError, match=points[1]):
            getattr(scdit.tl, function)(*sides)


@pytest.mark.parametrize("points", [REAL, sp.csr_matrix(POINTS)], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("function", ["c2st", "frechet", "mmd", "sliced_wasserstein"])
def test_cells_for_points(function, points):
    with pytest.raises(TypeError, match="real must be an array"):
        getattr(scdit.tl, function)(points, POINTS)


def test_the_same_points_in_any_type():
    """Lists, integers and half precision are numbers too."""
    whole = np.round(POINTS * 8)
    for other in (whole.tolist(), whole.astype(np.int8), whole.astype(np.float16)):
        assert scdit.tl.mmd(POINTS, other) == scdit.tl.mmd(POINTS, whole)
        assert scdit.tl.frechet(other, POINTS) == scdit.tl.frechet(whole, POINTS)


def masked(x):
    return np.ma.masked_less(x, 1)


BAD_MATRICES = {
    "log": (np.log1p, ValueError, "does not hold raw counts.*looks normalised"),
    "scaled": (lambda x: x - 1, ValueError, "does not hold raw counts.*looks scaled"),
    "missing": (lambda x: np.where(x > 3, np.nan, x), ValueError, "missing or infinite"),
    "infinite": (lambda x: np.where(x > 3, np.inf, x), ValueError, "missing or infinite"),
    "huge": (lambda x: x * 1e12, ValueError, "the most is 2,147,483,647"),
    "half": (lambda x: (x * 500).astype(np.float16), ValueError, "rounds counts"),
    "masked": (masked, TypeError, "fill in what is masked"),
    "object": (lambda x: x.astype(object), TypeError, "matrix of object"),
    "complex": (lambda x: x + 0j, TypeError, "matrix of complex"),
    "none": (lambda x: None, ValueError, "has no X"),
}
READERS = {
    "evaluate": lambda real, made: scdit.tl.evaluate(real, made, metrics=["mmd"]),
    "report": lambda real, made: scdit.tl.report(real, made, "report.html"),
    "privacy": lambda real, made: scdit.tl.privacy(made, TRAIN, real),
    "embedding": lambda real, made: scdit.pl.embedding(real, made, basis="pca"),
    "gene_statistics": lambda real, made: scdit.pl.gene_statistics(real, made),
    "correlation": lambda real, made: scdit.pl.correlation(real, made),
}


@pytest.mark.parametrize("kind", BAD_MATRICES)
@pytest.mark.parametrize("reader", READERS)
def test_matrices(reader, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, error, message = BAD_MATRICES[kind]
    wrong = ad.AnnData(obs=REAL.obs.copy(), var=REAL.var.copy())
    wrong.X = change(REAL.X.copy())
    figures = plt.get_fignums()
    for sides in ((wrong, MADE), (MADE, wrong)):
        with pytest.raises(error, match=message):
            READERS[reader](*sides)
    assert plt.get_fignums() == figures  # no empty figure is left
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["layer", "raw"])
def test_an_error_says_where_the_counts_are(where):
    wrong = REAL.copy()
    if where == "layer":
        wrong.layers["counts"] = wrong.X
    else:
        wrong.raw = wrong
    wrong.X = np.log1p(wrong.X)
    name = {"layer": "layer='counts'", "raw": "adata.raw.to_adata()"}[where]
    with pytest.raises(ValueError, match=re.escape(f"{name} looks like counts")):
        scdit.tl.evaluate(wrong, MADE)


def test_cells_are_the_same_however_they_are_stored():
    """Indices of 32 and 64 bits, entries stored twice, zeros that are stored."""
    wide, twice = REAL.copy(), REAL.copy()
    wide.X = sp.csr_matrix(REAL.X)
    wide.X.indices, wide.X.indptr = (
        part.astype(np.int64) for part in (wide.X.indices, wide.X.indptr)
    )
    rows, columns = np.nonzero(REAL.X + 1)
    halves = np.concatenate([REAL.X[rows, columns] - 1, np.ones(len(rows))])
    twice.X = sp.csr_matrix(REAL.shape)
    places = sp.coo_matrix((halves, (np.tile(rows, 2), np.tile(columns, 2))), shape=REAL.shape)
    twice.X.indptr = np.arange(0, 2 * places.nnz // 2 + 1, 2 * REAL.n_vars)
    order = np.argsort(places.row, kind="stable")
    twice.X.indices, twice.X.data = places.col[order], places.data[order]
    for other in (wide, twice):
        with pytest.warns(UserWarning, match="100% of the cells of `generated`"):
            table = scdit.tl.evaluate(REAL, other, metrics=["mmd"])
        assert table["value"][0] < table["floor"][0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scdit.tl.c2st(POINTS, POINTS, classifier="svm"), "unknown classifier 'svm'"),
        (lambda: scdit.tl.neighborhood(POINTS, POINTS, k=0), "k must be a positive integer"),
        (lambda: scdit.tl.neighborhood(POINTS, POINTS, k=2.5), "k must be a positive integer"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=[0]), "bandwidths must be"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=[]), "bandwidths must be a list"),
        (lambda: scdit.tl.sliced_wasserstein(POINTS, POINTS, n_projections=0), "n_projections"),
        (lambda: scdit.tl.c2st(POINTS, POINTS, seed=-1), "seed must be a non-negative integer"),
        (lambda: scdit.tl.c2st(POINTS, POINTS, seed=2**40), "seed must be"),
        (lambda: scdit.tl.c2st(POINTS[:4], POINTS), "at least 5"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=2.0), "bandwidths must be a list"),
        (lambda: scdit.tl.mmd(POINTS, POINTS, bandwidths=["1"]), "bandwidths must be"),
        (lambda: scdit.tl.mmd(np.zeros((9, 2)), np.ones((9, 2))), "pass bandwidths"),
        (lambda: scdit.tl.mmd(POINTS[:1], POINTS), "at least 2"),
        (lambda: scdit.tl.mmd(np.zeros((10_001, 1)), POINTS[:, :1]), "at most 10,000"),
        (lambda: scdit.tl.frechet(np.zeros((3, 5001)), np.zeros((3, 5001))), "principal components"),
        (lambda: scdit.tl.wasserstein(POINTS, POINTS[:9]), "the same size"),
        (lambda: scdit.tl.wasserstein(POINTS, POINTS, p=0), "p must be"),
        (lambda: scdit.tl.wasserstein(POINTS, POINTS, p=np.inf), "p must be"),
        (lambda: scdit.tl.wasserstein(*[np.zeros((10_001, 1))] * 2), "at most 10,000"),
        (lambda: scdit.tl.sliced_wasserstein(POINTS, POINTS, n_projections=10**9), "at most 10000"),
        (lambda: scdit.tl.sliced_wasserstein(POINTS, POINTS, seed="a"), "seed must be"),
        (lambda: scdit.tl.neighborhood(POINTS, POINTS, k=30), "k"),
        (lambda: scdit.tl.memorization(POINTS, POINTS, POINTS[:, :2]), "dimensions"),
        (lambda: scdit.tl.memorization(POINTS, POINTS, np.full((9, 3), np.nan)), "training has values"),
        (lambda: scdit.tl.memorization(POINTS, POINTS, None), "training must"),
        (lambda: scdit.tl.evaluate(REAL, MADE, metrics=["mdm"]), "did you mean 'mmd'"),
        (lambda: scdit.tl.evaluate(REAL, MADE, metrics=[3]), "metrics must be a list"),
        (lambda: scdit.tl.evaluate(REAL, MADE, preset="full"), "Unknown preset 'full'"),
        (lambda: scdit.tl.evaluate(REAL, MADE, layer=3), "layer must be a str"),
        (lambda: scdit.tl.evaluate(REAL, MADE, layer="counts"), "no layer 'counts'; it has none"),
        (lambda: scdit.tl.evaluate(REAL, MADE, labels_key="type"), "no column 'type'"),
        (lambda: scdit.tl.evaluate(REAL, MADE, labels_key="age"), "these are no labels"),
        (lambda: scdit.tl.evaluate(REAL, MADE, reference=MADE.X), "reference must be an AnnData"),
        (lambda: scdit.tl.evaluate(REAL, MADE[:, :9].copy()), "genes"),
        (lambda: scdit.tl.evaluate(REAL[:0].copy(), MADE), "`real` has no cells"),
        (lambda: scdit.tl.evaluate(REAL, MADE[:, :0].copy()), "`generated` has no genes"),
        (lambda: scdit.tl.evaluate(REAL[:5].copy(), MADE[:5].copy()), "at least 10 cells"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL[:9].copy()), "holdout has 9 cells"),
        (lambda: scdit.tl.privacy("model", TRAIN, REAL), "generated must be an AnnData or SCDiT"),
        (lambda: scdit.tl.privacy(MADE, TRAIN.X, REAL), "train must be an AnnData"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL, max_cells=0), "max_cells must be"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL, donor_key=2), "donor_key must be a str"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL, donor_key="donor"), "no column 'donor'"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL, donor_key="cell_type"), "in both are a, b"),
        (lambda: scdit.tl.privacy(MADE, TRAIN, REAL, rng=1.5), "rng must be"),
        (lambda: scdit.tl.report(REAL, MADE, "r.html", donor_key="cell_type"), "needs reference"),
        (lambda: scdit.tl.report(REAL, MADE, "r.html", labels_key=["a"]), "labels_key must be a str"),
        (lambda: scdit.pl.embedding(REAL, MADE, 3), "color must be a str"),
        (lambda: scdit.pl.embedding(REAL, MADE, layer="counts"), "no layer 'counts'"),
        (lambda: scdit.pl.embedding(REAL, MADE, axes=3), "axes must be matplotlib Axes"),
        (lambda: scdit.pl.gene_statistics(REAL, MADE, axes=["a"]), "axes must be matplotlib Axes"),
        (lambda: scdit.pl.gene_statistics(REAL, 3), "generated must be an AnnData"),
        (lambda: scdit.pl.correlation(REAL, MADE, n_genes=2), "n_genes must be"),
        (lambda: scdit.pl.correlation(REAL, MADE, n_genes="9"), "n_genes must be"),
        (lambda: scdit.pl.evaluation([1]), "table must be a DataFrame"),
        (lambda: scdit.pl.evaluation(pd.DataFrame({"metric": []})), "lacks the columns"),
        (lambda: scdit.pl.training({}), "There is no history|holds no losses"),
        (lambda: scdit.pl.training("history"), "must be a trained model"),
        (lambda: scdit.pl.training({"codec_loss_train": "a"}), "one column of numbers"),
        (lambda: scdit.pl.denoising(np.zeros((3, 5))), "saved steps"),
        (lambda: scdit.pl.denoising(np.zeros((0, 5, 2))), "saved steps"),
        (lambda: scdit.pl.denoising(np.full((2, 5, 2), np.nan)), "not finite"),
        (lambda: scdit.pl.denoising(np.zeros((61, 5, 2))), "more than the 60 panels"),
        (lambda: scdit.pl.denoising("states"), "must be numbers"),
        (lambda: scdit.pl.denoising(np.zeros((2, 5, 2)), labels=["a"]), "give one for each"),
        (lambda: scdit.pl.denoising(np.eye(5)[None], labels=list("abcde"), colors={}), "no colour"),
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
    figures = plt.get_fignums()
    with pytest.raises((ValueError, TypeError, KeyError, OSError), match=message) as caught:
        call()
    assert "/scdit/" in str(caught.traceback[-1].path)
    assert plt.get_fignums() == figures


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
        lambda *sides: scdit.tl.evaluate(*sides[:2], labels_key="cell_type", reference=sides[2]),
        lambda *sides: scdit.tl.evaluate(sides[0], sides[1][:70], metrics=["mmd"]),
        lambda *sides: scdit.tl.report(*sides[:2], "r.html", labels_key="cell_type"),
        lambda *sides: scdit.tl.privacy(sides[1], sides[2], sides[0]),
        lambda *sides: scdit.pl.embedding(*sides[:2], "cell_type", basis="pca"),
        lambda *sides: scdit.pl.embedding(*sides[:2], "age", basis="pca"),
        lambda *sides: scdit.pl.gene_statistics(*sides[:2]),
        lambda *sides: scdit.pl.correlation(*sides[:2]),
    ],
)
def test_the_users_cells_stay_as_they_are(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides = [side.copy() for side in (REAL, MADE, TRAIN)]
    for side in sides:
        side.X = np.asfortranarray(side.X)
    before = [snapshot(side) for side in sides]
    call(*sides)
    sides[1].uns.pop("scdit_evaluation", None)  # which evaluate says that it writes
    assert [snapshot(side) for side in sides] == before


def test_augment_takes_the_models_layer_and_never_logs():
    adata = cells(200, 4)
    adata.layers["counts"] = sp.csr_matrix(adata.X)
    adata.X = np.log1p(adata.X)
    scdit.SCDiT.setup_anndata(adata, layer="counts", labels_key="cell_type")
    model = scdit.SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    wanted = {"min_cells": 150, "labels_key": "cell_type", "rng": 0, "silent": True}
    before = snapshot(adata)
    more = scdit.tl.augment(adata, model, **wanted)
    assert snapshot(adata) == before
    made = more.obs["scdit_generated"].to_numpy()
    total = np.asarray(more.X.sum(1)).ravel()
    assert made.any()
    assert 0.5 < total[made].mean() / total[~made].mean() < 2
    assert more.X.dtype == np.float32
    adata.layers["log"] = adata.X
    with pytest.raises(ValueError, match=r"layers\['log'\] holds non-integer values"):
        scdit.tl.augment(adata, model, layer="log", **wanted)
