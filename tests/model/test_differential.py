"""Differential expression, in the framework of scvi-tools."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scdit import SCDiT
from scdit.model._differential import called

N_CELLS, N_GENES = 500, 60
CHANGE = [
    *["proba_de", "proba_not_de", "bayes_factor", "scale1", "scale2", "pseudocounts", "delta"],
    *["lfc_mean", "lfc_median", "lfc_std", "lfc_min", "lfc_max"],
]
RAW = [
    *["raw_mean1", "raw_mean2", "non_zeros_proportion1", "non_zeros_proportion2"],
    *["raw_normalized_mean1", "raw_normalized_mean2"],
]
NAMES = ["comparison", "group1", "group2"]


@pytest.fixture(scope="module", params=["nb", "zinb"])
def model(request):
    """Treated cells have four times the counts of g7; batch "two" has three times those of g20."""
    rng = np.random.default_rng(0)
    profiles = rng.gamma(1.0, size=(2, N_GENES)) + 0.3
    profiles[:, :30] = 1.0  # the same in both types
    types, treated, batch = rng.integers(0, 2, (3, N_CELLS))
    mean = profiles[types].copy()
    mean[:, 7] *= np.where(treated == 1, 4.0, 1.0)
    mean[:, 20] *= np.where(batch == 1, 3.0, 1.0)
    counts = rng.poisson(400 * mean / mean.sum(1, keepdims=True))
    obs = pd.DataFrame(
        {
            "cell_type": np.array(["a", "b"])[types],
            "batch": np.array(["one", "two"])[batch],
            "treatment": np.array(["ctrl", "stim"])[treated],
            "chance": rng.choice(["x", "y", "z"], N_CELLS),
        },
        index=[f"c{i}" for i in range(N_CELLS)],
    )
    adata = AnnData(
        sp.csr_matrix(counts, dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)]),
    )
    SCDiT.setup_anndata(
        adata,
        labels_key="cell_type",
        batch_key="batch",
        categorical_covariate_keys=["treatment"],
    )
    model = SCDiT(adata, n_hidden=32, width=32, gene_likelihood=request.param)
    model.train(max_epochs={"codec": 60, "denoiser": 1}, silent=True)
    return model


def compare(model, **kwargs):
    kwargs = {"rng": 0, "silent": True, "n_samples_overall": 2000} | kwargs
    return model.differential_expression(**kwargs)


def test_a_planted_gene_is_found_and_no_other(model):
    table = compare(model, groupby="treatment", group1="stim", group2="ctrl", delta=0.5)
    assert table.index[0] == "g7"
    assert table.loc["g7", "lfc_mean"] == pytest.approx(2, abs=0.4)
    assert table.loc["g7", "raw_mean1"] > 3 * table.loc["g7", "raw_mean2"]
    assert table.index[table["is_de_fdr_0.05"]].tolist() == ["g7"]
    other = compare(model, groupby="treatment", group1="ctrl", group2="stim", delta=0.5)
    assert other.loc["g7", "lfc_mean"] == pytest.approx(-table.loc["g7", "lfc_mean"], abs=0.1)


def test_groups_of_chance_do_not_differ(model):
    table = compare(model, groupby="chance", delta=0.5)
    assert table["comparison"].unique().tolist() == ["x vs Rest", "y vs Rest", "z vs Rest"]
    assert not table["is_de_fdr_0.05"].any()
    assert np.abs(table["lfc_median"]).max() < 0.5


def test_columns_are_those_of_scvi(model):
    table = compare(model, groupby="cell_type", group1=["a"])
    assert table.columns.tolist() == [*CHANGE, *RAW, "is_de_fdr_0.05", *NAMES]
    assert set(table.index) == set(model.adata.var_names)
    assert table["group2"].unique().tolist() == ["Rest"]
    plain = compare(model, groupby="cell_type", group1="a", all_stats=False, fdr_target=0.1)
    assert plain.columns.tolist() == [*CHANGE, "is_de_fdr_0.1", *NAMES]
    vanilla = compare(model, groupby="cell_type", group1="a", mode="vanilla")
    expected = ["proba_m1", "proba_m2", "bayes_factor", "scale1", "scale2"]
    assert vanilla.columns.tolist() == [*expected, *RAW, *NAMES]
    assert vanilla["bayes_factor"].is_monotonic_decreasing


def test_raw_statistics_are_those_of_the_counts(model):
    table = compare(model, groupby="treatment", group1="stim").loc[model.adata.var_names]
    x = model.adata.X.toarray()
    stim = (model.adata.obs["treatment"] == "stim").to_numpy()
    np.testing.assert_allclose(table["raw_mean1"], x[stim].mean(0), rtol=1e-5)
    np.testing.assert_allclose(table["non_zeros_proportion2"], (x[~stim] > 0).mean(0), rtol=1e-5)
    normalised = 1e4 * x / x.sum(1, keepdims=True)
    np.testing.assert_allclose(table["raw_normalized_mean1"], normalised[stim].mean(0), rtol=1e-5)


def test_cells_in_place_of_groups(model):
    obs = model.adata.obs
    stim = (obs["treatment"] == "stim").to_numpy()
    by_name = compare(model, groupby="treatment", group1="stim").drop(columns=NAMES)
    for idx in (stim, np.flatnonzero(stim), "treatment == 'stim'"):
        pd.testing.assert_frame_equal(compare(model, idx1=idx), by_name)
    pd.testing.assert_frame_equal(compare(model, idx1=stim, idx2=~stim), by_name)


def test_a_batch_effect_is_corrected(model):
    """The groups are the batches themselves, the hardest case."""
    groups = {"groupby": "batch", "group1": "two", "group2": "one"}
    plain = compare(model, **groups, delta=0.5)
    assert plain.index[plain["is_de_fdr_0.05"]].tolist() == ["g20"]
    corrected = compare(model, **groups, delta=0.5, batch_correction=True)
    assert abs(corrected.loc["g20", "lfc_median"]) < 0.4
    assert not corrected["is_de_fdr_0.05"].any()
    apart = compare(
        model, **groups, batch_correction=True, batchid1=["two"], batchid2=["one"], delta=0.5
    )
    assert apart.loc["g20", "lfc_mean"] == pytest.approx(plain.loc["g20", "lfc_mean"], abs=0.3)


def test_a_seed_repeats_it_and_leaves_numpys_alone(model):
    arguments = {"idx1": "treatment == 'stim'", "use_permutation": True}
    arguments |= {"filter_outlier_cells": True, "delta": None}
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    one = compare(model, **arguments)
    assert np.random.random() == expected
    pd.testing.assert_frame_equal(one, compare(model, **arguments))
    other = compare(model, **arguments, rng=1)
    assert (one["lfc_mean"] != other.loc[one.index, "lfc_mean"]).any()


def test_nothing_of_the_users_changes(model):
    adata = model.adata.copy()
    before = adata.copy()
    table = compare(model, adata=adata, groupby="chance")
    compare(model, adata=adata, idx1=[1, 2, 3])
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.uns.keys() == before.uns.keys()
    pd.testing.assert_frame_equal(compare(model, groupby="chance"), table)


def test_the_order_of_genes_and_other_types_of_labels_do_not_matter(model):
    adata = model.adata[:, ::-1].copy()
    codes = pd.factorize(adata.obs["treatment"], sort=True)[0]
    adata.obs["treated"] = codes
    one = compare(model, adata=adata, groupby="treated", group1=1, group2=0)
    two = compare(model, adata=adata, groupby="treated", group1="1", group2="0")
    pd.testing.assert_frame_equal(one, two)
    named = compare(model, groupby="treatment", group1="stim", group2="ctrl")
    pd.testing.assert_frame_equal(one.drop(columns=NAMES), named.drop(columns=NAMES))


def test_cells_without_a_group_are_in_none(model):
    adata = model.adata.copy()
    adata.obs["some"] = pd.Series(["stim"] * 100 + ["ctrl"] * 100 + [None] * 300).to_numpy()
    table = compare(model, adata=adata, groupby="some", group1="stim")
    x = adata.X.toarray()
    means = table.loc[adata.var_names, "raw_mean2"]
    np.testing.assert_allclose(means, x[100:200].mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "say which cells to compare"),
        ({"groupby": "treatmnt"}, KeyError, "did you mean 'treatment'"),
        (
            {"groupby": "cell_type", "group1": "c"},
            ValueError,
            "unknown cell_type 'c'; known: a, b",
        ),
        ({"groupby": "cell_type", "group1": "a", "group2": "a"}, ValueError, "are both 'a'"),
        ({"groupby": "same"}, ValueError, "has no cells"),
        ({"groupby": "cell_type", "idx2": [1]}, ValueError, "say which cells"),
        ({"idx1": [1], "idx2": [1, 2]}, ValueError, "share 1 cells"),
        ({"idx1": []}, ValueError, "idx1 has no cells"),
        ({"idx1": [1000]}, ValueError, "idx1 has the position 1000"),
        ({"idx1": "cell_typ == 'a'"}, ValueError, "idx1 is no query of adata.obs"),
        ({"idx1": "cell_type == 'c'"}, ValueError, "idx1 has no cells"),
        ({"idx1": [1], "mode": "t-test"}, ValueError, "unknown mode 't-test'"),
        ({"idx1": [1], "delta": -1}, ValueError, "delta must be"),
        ({"idx1": [1], "fdr_target": 1}, ValueError, "fdr_target must be"),
        ({"idx1": [1], "batchid1": ["one"]}, ValueError, "need batch_correction=True"),
        (
            {"idx1": [1], "batch_correction": True, "batchid1": ["one"]},
            ValueError,
            "same or share no batch",
        ),
        (
            {"idx1": [1], "batch_correction": True, "batchid1": ["three"]},
            ValueError,
            "unknown batch 'three'",
        ),
        ({"idx1": [1], "batch_correction": "yes"}, ValueError, "batch_correction must be True"),
        ({"idx1": [1], "n_samples": 3}, TypeError, "did you mean 'n_samples_overall'"),
        ({"idx1": [1], "n_samples_overall": 0}, ValueError, "n_samples_overall must be"),
        ({"idx1": [1], "test_mode": "one"}, ValueError, "unknown test_mode"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    adata = model.adata.copy()
    adata.obs["same"] = "one"
    with pytest.raises(error, match=message):
        model.differential_expression(adata, **arguments)


def test_genes_are_called_up_to_the_expected_share_of_false_ones():
    proba = pd.Series([1.0, 0.98, 0.9, 0.5])  # shares 0, .01, .04, .155
    assert called(proba, 0.05).tolist() == [True, True, True, False]
    assert called(proba, 0.03).tolist() == [True, True, False, False]
    assert not called(pd.Series([0.5, 0.1]), 0.05).any()


def test_the_expression_codec_is_refused(adata):
    SCDiT.setup_anndata(adata)
    model = SCDiT(adata, codec="expression", width=32, patch_size=10)
    model.is_trained_ = True
    with pytest.raises(ValueError, match="differential_expression needs a latent space"):
        model.differential_expression(groupby="cell_type")
