"""The benchmark of several modalities: its splits, its controls and its ranks."""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier

from scdit.datasets import synthetic_citeseq, synthetic_multiome
from scdit.tl import _classifiers

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are only in the repository")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def written(tmp_path):
    """An h5ad file with proteins in obsm, in 40 donors."""
    mdata = synthetic_citeseq(600, n_genes=60, rng=0)
    adata = mdata["rna"].copy()
    adata.obsm["protein_expression"] = mdata["prot"].X
    adata.uns["protein_names"] = np.array(mdata["prot"].var_names, dtype=object)
    adata.obs["person"] = [f"p{i % 40}" for i in range(600)]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return mdata, tmp_path / "cells.h5ad"


def test_proteins_go_with_their_cells(tmp_path):
    from modal_cells import read_cells, split_cells
    from splits import split

    mdata, path = written(tmp_path)
    sides = split_cells(read_cells(path), "cell_type", seed=3, genes=30)
    alone = split(ad.read_h5ad(path), "cell_type", seed=3, n_top_genes=30)
    for side, rna in zip(sides, alone, strict=True):
        assert list(side.obs_names) == list(rna.obs_names)
        assert list(side["rna"].var_names) == list(rna.var_names)
        rows = mdata.obs_names.get_indexer(side.obs_names)
        np.testing.assert_array_equal(side["prot"].X.toarray(), mdata["prot"].X[rows])


def test_held_out_people_are_held_out_whole(tmp_path):
    from modal_cells import read_cells, split_cells

    _, path = written(tmp_path)
    train, test = split_cells(read_cells(path), "cell_type", seed=0, genes=None, hold_out="person")
    assert not set(train.obs["person"]) & set(test.obs["person"])
    assert test.obs["person"].nunique() == 8


def test_the_most_frequent_peaks_of_the_training_cells_are_kept():
    from modal_cells import split_cells

    mdata = synthetic_multiome(300, n_genes=40, n_peaks=100)
    train, test = split_cells(mdata, "cell_type", seed=0, genes=None, peaks=20)
    rows = mdata.obs_names.get_indexer(train.obs_names)
    seen = np.diff(sp.csc_matrix(mdata["atac"].X[rows]).indptr)
    kept = mdata["atac"].var_names.isin(train["atac"].var_names)
    assert kept.sum() == 20
    assert seen[kept].min() >= seen[~kept].max()
    assert list(train["atac"].var_names) == list(test["atac"].var_names)


def test_broken_pairs_keep_cells_and_labels():
    from modal_cells import with_broken_pairs

    cells = synthetic_citeseq(400, n_genes=40)
    broken = with_broken_pairs(cells, "cell_type", np.random.default_rng(0))
    np.testing.assert_array_equal(broken["rna"].X.toarray(), cells["rna"].X.toarray())
    for rows in cells.obs.groupby("cell_type", observed=True).indices.values():
        one, other = (np.sort(x["prot"].X[rows].sum(1)) for x in (cells, broken))
        np.testing.assert_array_equal(one, other)
    moved = (broken["prot"].X != cells["prot"].X).any(axis=1)
    assert moved.mean() > 0.9


def test_independent_cells_have_the_labels_asked_for():
    from modal_cells import independent_cells

    train = synthetic_citeseq(600, n_genes=40)
    labels = train.obs["cell_type"].astype(str).to_numpy()[:200]
    for part in train.mod.values():
        part.X = sp.csr_matrix(part.X)
    made = independent_cells(train, "cell_type", labels, np.random.default_rng(0))
    assert sorted(made.obs["cell_type"].astype(str)) == sorted(labels)
    for name, part in made.mod.items():
        real = train[name].X[np.isin(train.obs["cell_type"], labels)].mean()
        assert part.X.mean() == pytest.approx(real, rel=0.25)


def test_ranks_of_right_draws_are_uniform_and_of_wrong_ones_are_not():
    """Counts of a law that differs between cells; draws that are too narrow give ranks at the ends."""
    from modal_prediction import pit_distance, ranks

    rng = np.random.default_rng(0)
    rate = rng.gamma(2, 1, (1500, 5))
    real, draws = rng.poisson(rate), rng.poisson(rate, (50, 1500, 5))
    found = ranks(real, draws, rng)
    assert found.min() >= 0
    assert found.max() <= 1
    assert pit_distance(real, draws, rng) < 0.04
    narrow = np.broadcast_to(np.rint(rate), (50, 1500, 5))
    assert pit_distance(real, narrow, rng) > 0.1
    assert pit_distance(real, rng.poisson(1.5 * rate, (50, 1500, 5)), rng) > 0.1


def test_agreement_is_a_mean_over_proteins_that_vary():
    from modal_prediction import agreement

    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 3))
    real[:, 2] = 1
    predicted = np.column_stack([2 * real[:, 0], -real[:, 1], real[:, 0]])
    assert agreement(predicted, real) == pytest.approx({"pearson": 0, "spearman": 0})
    assert agreement(np.exp(real), real)["spearman"] == pytest.approx(1)


def test_regressions_find_what_is_there():
    from modal_cells import split_cells
    from modal_prediction import agreement, regressions

    mdata = synthetic_citeseq(900, n_genes=80)
    train, test = split_cells(mdata, "cell_type", seed=0, genes=None)
    real = np.log1p(test["prot"].X.toarray())
    for predicted in regressions(train, test).values():
        assert agreement(predicted, real)["pearson"] > 0.4


def test_a_seed_replaces_its_own_rows_only(tmp_path, monkeypatch):
    import fragments
    import modalities
    from records import read_results

    monkeypatch.setattr(modalities, "RESULTS", tmp_path)
    monkeypatch.setattr(fragments, "FIGURES", tmp_path)

    def add(seed, value, genes=None, epochs=None):
        args = Namespace(hvg=genes, peaks=None, epochs=epochs)
        row = {"row": "scdit", "seed": seed, "genes": genes, "peaks": None, "rna_rf": value}
        modalities.report("some", [row], modalities.TABLES, args)

    for seed, value in enumerate((0.9, 0.5, 0.6)):
        add(seed, value)
    add(0, 0.7)
    add(0, 0.1, genes=10)
    add(1, 0.2, epochs=1)  # a trial run
    assert sorted(row["rna_rf"] for row in read_results(tmp_path / "some.json")) == [
        0.1,
        0.5,
        0.6,
        0.7,
    ]
    add(0, 0.7)
    assert (tmp_path / "some.md").read_text().splitlines()[-1] == "| scdit | 0.600 |"


def test_values_stand_beside_floors_and_broken_pairs_show(monkeypatch):
    from modal_cells import split_cells, with_broken_pairs
    from modalities import measured

    few = partial(RandomForestClassifier, 30)  # trees
    monkeypatch.setattr(_classifiers, "RandomForestClassifier", lambda _, **kwargs: few(**kwargs))
    cells = synthetic_citeseq(1800, n_genes=80)
    train, test = split_cells(cells, "cell_type", seed=0, genes=None)
    fresh = synthetic_citeseq(400, n_genes=80, rng=7)
    broken = with_broken_pairs(fresh, "cell_type", np.random.default_rng(0))
    (values, floors), (lost, _) = (measured(test, x, train, "cell_type") for x in (fresh, broken))
    for key in ("rna_rf", "prot_rf", "joint_rf"):
        assert 0.4 < values[key] < 0.6
        assert 0.4 < floors[key] < 0.6
    assert lost["cca_within"] < 0.4 * floors["cca_within"]
    assert values["protein_ks"] == pytest.approx(lost["protein_ks"])
    alone = measured(test, fresh["rna"].copy(), train, "cell_type")[0]
    assert alone["rna_rf"] == pytest.approx(values["rna_rf"])
    assert set(alone) == {"rna_rf", "rna_detected_ks"}
