"""Simulated cells follow the law that they say."""

import warnings

import mudata
import numpy as np
import pytest

import scdit
from scdit.datasets import synthetic_citeseq, synthetic_multiome


def column(adata, name):
    return adata.obs[name].to_numpy()


def test_the_shape_and_what_is_in_it():
    mdata = synthetic_citeseq(50, n_genes=60, n_proteins=8)
    assert list(mdata.mod) == ["rna", "prot"]
    assert mdata["rna"].shape == (50, 60)
    assert mdata["prot"].shape == (50, 8)
    for part in mdata.mod.values():
        x = part.X.toarray() if part is mdata["rna"] else part.X
        assert (x == np.rint(x)).all()
        assert x.min() >= 0
        assert list(part.obs_names) == list(mdata.obs_names)
    # as mudata 0.4 has it: no version pulls columns of modalities
    assert not [name for name in mdata.obs.columns if ":" in name]
    assert {"cell_type", "donor", "condition", "programme1"} <= set(mdata.obs.columns)
    assert mdata["prot"].var["isotype"].tolist() == [False] * 7 + [True]


def test_the_seed_draws_cells_of_one_law():
    first, again, other = (synthetic_citeseq(40, rng=seed) for seed in (1, 1, 2))
    for name in ("rna", "prot"):
        np.testing.assert_array_equal(
            np.asarray(first[name].var), np.asarray(other[name].var), strict=True
        )
    np.testing.assert_array_equal(first["prot"].X, again["prot"].X)
    assert (first["prot"].X != other["prot"].X).any()


def test_proteins_have_background_everywhere_and_foreground_where_expressed():
    prot = synthetic_citeseq(4000, n_genes=20)["prot"]
    control = prot[column(prot, "condition") == "control"]
    expressed = prot.varm["expressed"]
    background = prot.var["background"]
    for protein in prot.var_names:
        for kind in expressed.columns:
            cells = control[column(control, "cell_type") == kind, protein].X
            ratio = cells.mean() / background[protein]
            if expressed.loc[protein, kind]:
                assert ratio > 2
            else:  # mean of two log-normals, exp(.045 + .031)
                assert ratio == pytest.approx(1.08, rel=0.12)
    assert not expressed.loc["isotype"].any()
    assert expressed.iloc[:-1].any(axis=1).all()
    assert not expressed.all(axis=1).any()


def test_the_condition_changes_genes_and_proteins_as_said():
    mdata = synthetic_citeseq(6000)
    treated = column(mdata["rna"], "condition") == "stimulated"
    rna = mdata["rna"]
    x = np.asarray(rna.X.todense())
    often = x.mean(0) > 2
    change = np.log(x[treated].mean(0) / x[~treated].mean(0))
    effect = rna.var["condition"].to_numpy()
    # all genes move together as rates are scaled to the library size
    change -= np.median(change[effect == 0])
    np.testing.assert_allclose(change[often], effect[often], atol=0.3)
    prot = mdata["prot"]
    foreground = prot.X - prot.var["background"].to_numpy()
    kinds = column(prot, "cell_type")
    for protein in np.flatnonzero(prot.var["condition"] > 0):
        for kind in prot.varm["expressed"].columns[prot.varm["expressed"].iloc[protein]]:
            mean = [
                foreground[(kinds == kind) & (treated == t), protein].mean() for t in (True, False)
            ]
            assert np.log(mean[0] / mean[1]) == pytest.approx(0.8, abs=0.25)


def test_programmes_couple_modalities_within_types():
    """Each programme moves what it should, in both modalities and by the sign it says."""
    for mdata, name in ((synthetic_citeseq(3000), "prot"), (synthetic_multiome(3000), "atac")):
        cells = column(mdata["rna"], "cell_type") == "T"
        for part in (mdata["rna"], mdata[name]):
            x = part.X[cells]
            log = np.log1p(x if isinstance(x, np.ndarray) else x.toarray())
            effect = part.var["programme1"].to_numpy().copy()
            if name == "prot" and part is mdata[name]:
                effect[~part.varm["expressed"]["T"].to_numpy()] = 0
            often = log.mean(0) > 0.05
            level = column(part, "programme1")[cells]
            seen = [np.corrcoef(level, values)[0, 1] for values in log.T[often]]
            assert np.corrcoef(effect[often], seen)[0, 1] > 0.7


def test_peaks_are_sparse_and_named_by_their_place():
    atac = synthetic_multiome(200, n_peaks=300)["atac"]
    assert atac.shape == (200, 300)
    assert atac.X.nnz / 200 / 300 < 0.2
    assert atac.var_names[1] == "chr1:1000-1500"


def test_it_can_be_written(tmp_path):
    mdata = synthetic_citeseq(30, n_genes=20, n_proteins=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata 0.3 about its defaults
        mdata.write(tmp_path / "cells.h5mu")
        again = mudata.read_h5mu(tmp_path / "cells.h5mu")
    np.testing.assert_array_equal(again["prot"].X, mdata["prot"].X)
    assert again["prot"].varm["expressed"].equals(mdata["prot"].varm["expressed"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_cells": 1}, "n_cells must be an integer of at least 2"),
        ({"n_cells": 10.5}, "n_cells must be"),
        ({"n_genes": 3}, "n_genes must be an integer of at least 20"),
        ({"n_proteins": 3}, "n_proteins must be an integer of at least 4"),
        ({"rng": "a"}, "rng must be"),
    ],
)
def test_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        scdit.datasets.synthetic_citeseq(**kwargs)
