"""What the evaluation says of generators with known faults."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit
from scdit.tl._features import fit_features
from scdit.tl._metrics import _sd_ratio
from scdit.tl._population import read_population

FAST = (
    "mmd", "w2", "nn_accuracy", "coverage", "pc_sd_ratio", "pc_sd_ratio_within",
    "gene_mean_error", "gene_zeros_error", "library_size_ks", "correlation_error",
    "marker_slope", "label_fidelity", "memorization_ratio", "near_duplicates",
    "exact_duplicates",
)  # fmt: skip


def overall(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["group"] == "all"].set_index("metric")


@pytest.fixture
def judge(train, test):
    """Evaluate with the fast metrics, or with those named."""

    def evaluate(generated, *metrics, **kwargs):
        arguments = {"labels_key": "cell_type", "reference": train} | kwargs
        return scdit.tl.evaluate(test, generated, metrics=metrics or FAST, **arguments)

    return evaluate


def copies(train: ad.AnnData, test: ad.AnnData) -> ad.AnnData:
    """Training cells, drawn with replacement."""
    rng = np.random.default_rng(0)
    rows = [
        rng.choice(np.flatnonzero(train.obs["cell_type"] == label))
        for label in test.obs["cell_type"]
    ]
    return ad.AnnData(train.X[rows], obs=test.obs.copy(), var=train.var.copy())


def averaged(train: ad.AnnData, test: ad.AnnData) -> ad.AnnData:
    """Averages of four training cells of one type each, rounded at random to counts."""
    rng = np.random.default_rng(0)
    x = train.X.toarray()
    rows = [
        x[rng.choice(np.flatnonzero(train.obs["cell_type"] == label), 4)].mean(0)
        for label in test.obs["cell_type"]
    ]
    counts = np.floor(np.array(rows) + rng.random((test.n_obs, test.n_vars)))
    return ad.AnnData(sp.csr_matrix(counts), obs=test.obs.copy(), var=test.var.copy())


def shuffled(test: ad.AnnData) -> ad.AnnData:
    """Every gene permuted on its own: all marginals stay."""
    made = test.copy()
    made.X = sp.csr_matrix(np.random.default_rng(0).permuted(test.X.toarray(), axis=0))
    return made


def test_fresh_real_cells_are_at_the_floor(judge, fresh):
    table = overall(judge(fresh))
    for metric in ("mmd", "nn_accuracy", "pc_sd_ratio", "library_size_ks", "marker_slope"):
        row = table.loc[metric]
        assert row["value"] == pytest.approx(row["floor"], abs=0.12), metric
    assert table.loc["pc_sd_ratio_within", "value"] == pytest.approx(1, abs=0.1)
    assert table.loc["memorization_ratio", "value"] == pytest.approx(1, abs=0.1)
    assert table.loc["exact_duplicates", "value"] == 0


def test_classifiers_cannot_tell_fresh_cells(judge, fresh):
    table = overall(judge(fresh, "c2st_rf_pca", "c2st_lr_genes"))
    assert table["value"].between(0.4, 0.6).all()
    assert table["floor"].between(0.4, 0.6).all()


def test_shuffled_genes_are_caught(judge, test):
    table = overall(judge(shuffled(test), "c2st_rf_pca", "gene_mean_error", "correlation_r"))
    assert table.loc["c2st_rf_pca", "value"] > 0.95
    # the marginals alone would be perfect
    assert table.loc["gene_mean_error", "value"] == 0
    assert table.loc["correlation_r", "value"] < 0.1 < 0.3 < table.loc["correlation_r", "floor"]


def test_shrinkage_is_caught_by_the_spread_although_it_improves_wasserstein(train, test, fresh):
    space = fit_features(read_population(train, "train"))
    real, others = (space.project(read_population(x, "cells")) for x in (test, fresh))
    means = pd.DataFrame(others).groupby(fresh.obs["cell_type"].to_numpy()).transform("mean")
    shrunk = means.to_numpy() + 0.7 * (others - means.to_numpy())
    assert scdit.tl.wasserstein(real, shrunk) < scdit.tl.wasserstein(real, others)
    assert _sd_ratio(real, shrunk) < 0.8 < 0.95 < _sd_ratio(real, others)


def test_averaged_cells_are_caught_by_the_spread(judge, train, test):
    table = overall(judge(averaged(train, test), "pc_sd_ratio", "pc_sd_ratio_within"))
    assert table.loc["pc_sd_ratio", "value"] < 0.85
    assert table.loc["pc_sd_ratio_within", "value"] < 0.85


def test_copies_are_caught_by_the_audit(judge, train, test):
    table = overall(judge(copies(train, test)))
    assert table.loc["exact_duplicates", "value"] == 1
    assert table.loc["near_duplicates", "value"] == 1
    assert table.loc["memorization_ratio", "value"] < 0.01
    # whereas the real cells of the floor, out of the same training set, pass it
    assert table.loc["exact_duplicates", "floor"] == 0
    assert table.loc["memorization_ratio", "floor"] == pytest.approx(1, abs=0.1)


def test_wrong_labels_are_caught(judge, fresh):
    fresh.obs["cell_type"] = np.random.default_rng(0).permutation(fresh.obs["cell_type"])
    table = overall(judge(fresh, "label_fidelity", "marker_slope", "train_on_generated", "mmd"))
    assert table.loc["label_fidelity", "value"] < 0.6 < table.loc["label_fidelity", "floor"]
    assert table.loc["marker_slope", "value"] < 0.3 * table.loc["marker_slope", "floor"]
    assert table.loc["train_on_generated", "value"] < table.loc["train_on_generated", "floor"]
    assert table.loc["mmd", "value"] == pytest.approx(table.loc["mmd", "floor"], abs=0.02)


def test_the_table_is_tidy_and_survives_h5ad(judge, fresh, tmp_path):
    table = judge(fresh, "mmd", "marker_slope", "pc_sd_ratio_within")
    columns = ["metric", "group", "value", "floor", "better", "ideal", "n", "note"]
    assert list(table.columns) == columns
    assert list(table["group"]) == ["all", "B", "NK", "T"] * 2 + ["all"]
    assert set(table["better"]) <= {"lower", "higher", "closer"}
    assert table.loc[1:3, "n"].tolist() == [120, 60, 90]
    fresh.write_h5ad(tmp_path / "fresh.h5ad")
    stored = ad.read_h5ad(tmp_path / "fresh.h5ad").uns["scdit_evaluation"]
    pd.testing.assert_frame_equal(
        stored.reset_index(drop=True), table, check_dtype=False, check_categorical=False
    )


def test_the_mean_over_labels_is_unweighted(judge, fresh):
    table = judge(fresh, "paper_wasserstein")
    labels = table[table["group"] != "all"]
    assert overall(table)["value"].item() == pytest.approx(labels["value"].mean())


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_every_metric_has_a_value(test, train, fresh, preset):
    table = scdit.tl.evaluate(
        test, fresh, labels_key="cell_type", reference=train, preset=preset, max_cells=55
    )
    assert table["value"].notna().all()
    assert table["floor"].notna().all()
    assert not table["note"].any()


def test_the_same_seed_repeats(judge, fresh):
    first, second = (judge(fresh, "mmd", "sliced_w2", max_cells=100, rng=7) for _ in range(2))
    assert (first["n"] <= 100).all()
    pd.testing.assert_frame_equal(first, second)


def test_the_order_of_cells_and_genes_does_not_matter(judge, fresh):
    rng = np.random.default_rng(0)
    other = fresh[rng.permutation(fresh.n_obs), rng.permutation(fresh.n_vars)].copy()
    first, second = judge(fresh), judge(other)
    np.testing.assert_allclose(first["value"], second["value"], rtol=1e-6, atol=1e-9)


def test_sparse_and_dense_give_the_same(judge, fresh):
    dense = fresh.copy()
    dense.X = fresh.X.toarray()
    metrics = ("mmd", "gene_zeros_error", "library_size_ks", "marker_slope", "exact_duplicates")
    pd.testing.assert_frame_equal(judge(fresh, *metrics), judge(dense, *metrics))


def test_inputs_are_left_alone(judge, train, test, fresh):
    before = [adata.X.copy() for adata in (train, test, fresh)]
    judge(fresh, "mmd")
    for adata, x in zip((train, test, fresh), before, strict=True):
        assert (adata.X != x).nnz == 0
    assert list(fresh.uns) == ["scdit_evaluation"]
    assert not test.uns


def test_without_a_reference(train, fresh):
    table = scdit.tl.evaluate(train, fresh, labels_key="cell_type", metrics=FAST)
    rows = overall(table)
    assert rows.loc["mmd", "n"] == fresh.n_obs
    assert rows.loc["pc_sd_ratio", "value"] == pytest.approx(1, abs=0.1)
    assert np.isnan(rows.loc["memorization_ratio", "value"])
    assert "reference" in rows.loc["memorization_ratio", "note"]


def test_without_labels(test, train, fresh):
    table = scdit.tl.evaluate(test, fresh, reference=train, metrics=FAST)
    assert set(table["group"]) == {"all"}
    rows = overall(table)
    assert (
        rows["value"].drop(["pc_sd_ratio_within", "marker_slope", "label_fidelity"]).notna().all()
    )
    assert "labels_key" in rows.loc["marker_slope", "note"]
    assert "labels_key" in rows.loc["label_fidelity", "note"]


def test_a_generator_without_labels(judge, fresh):
    del fresh.obs["cell_type"]
    with pytest.warns(UserWarning, match="compared without them"):
        table = judge(fresh, "mmd", "label_fidelity")
    assert list(table["group"]) == ["all", "all"]


def test_a_layer_of_counts(test, train, fresh):
    logged = [adata.copy() for adata in (test, train)]
    for adata in logged:
        adata.layers["counts"] = adata.X.copy()
        adata.X = adata.X.log1p()
    real, reference = logged
    expected = scdit.tl.evaluate(test, fresh, reference=train, metrics=["mmd"])
    # generated cells hold their counts in X
    table = scdit.tl.evaluate(real, fresh, reference=reference, layer="counts", metrics=["mmd"])
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize("side", ["real", "generated", "reference"])
def test_log_data_are_refused(test, train, fresh, side):
    sides = {"real": test, "generated": fresh, "reference": train}
    sides[side] = sides[side].copy()
    sides[side].X = sides[side].X.log1p()
    with pytest.raises(ValueError, match=rf"`{side}` does not hold raw counts.*log-transformed"):
        scdit.tl.evaluate(metrics=["mmd"], **sides)


def test_missing_genes_are_listed(judge, fresh):
    with pytest.raises(ValueError, match=r"lacks 2 of the 250 genes.*gene3, gene8"):
        judge(fresh[:, ~fresh.var_names.isin(["gene3", "gene8"])].copy())


def test_repeated_gene_names_are_refused(judge, fresh):
    fresh.var_names = ["gene0", *fresh.var_names[:-1]]
    with pytest.raises(ValueError, match="repeats names"):
        judge(fresh)


def test_labels_that_differ_are_named(judge, fresh):
    fresh.obs["cell_type"] = fresh.obs["cell_type"].cat.rename_categories({"NK": "ILC"})
    with (
        pytest.warns(UserWarning, match=r"labels that `real` lacks: \['ILC'\]"),
        pytest.warns(UserWarning, match=r"not generated: \['NK'\]"),
    ):
        table = judge(fresh, "mmd")
    missing = table[table["group"] == "NK"].iloc[0]
    assert np.isnan(missing["value"])
    assert "60 real, 0 generated" in missing["note"]


def test_small_groups_get_a_reason(judge, simulate):
    table = judge(simulate((120, 4, 90), seed=5), "mmd", "marker_slope", "exact_duplicates")
    few = table[table["group"] == "NK"].set_index("metric")
    assert np.isnan(few.loc["mmd", "value"])
    assert few.loc["mmd", "note"].startswith("needs 10 cells on each side; there are 60 real, 4")
    assert few.loc["exact_duplicates", "value"] == 0
    assert overall(table).loc["marker_slope", "note"] == "without NK"


def test_unknown_names(judge, fresh):
    with pytest.raises(KeyError, match=r"no column 'type'"):
        judge(fresh, "mmd", labels_key="type")
    with pytest.raises(KeyError, match="no layer 'raw'"):
        judge(fresh, "mmd", layer="raw")
    with pytest.raises(ValueError, match="Unknown metrics"):
        judge(fresh, "fid")
    with pytest.raises(ValueError, match="Unknown preset"):
        scdit.tl.evaluate(fresh, fresh, preset="everything")


def test_cfgen_protocol(test, train, fresh):
    pytest.importorskip("skmisc", reason="needs scikit-misc")
    table = scdit.tl.evaluate(test, fresh, labels_key="cell_type", reference=train, preset="cfgen")
    rows = overall(table)
    assert list(rows.index) == ["cfgen_w1", "cfgen_w2", "cfgen_mmd"]
    assert rows["value"].to_numpy() == pytest.approx(rows["floor"].to_numpy(), rel=0.1)
    # Jensen: W1 <= W2
    assert rows.loc["cfgen_w1", "value"] < rows.loc["cfgen_w2", "value"]


@pytest.mark.data
def test_real_cells_are_at_the_floor(data_dir):
    adata = ad.read_h5ad(data_dir / "pbmc3k.h5ad")
    order = np.random.default_rng(0).permutation(adata.n_obs)
    test, other, train = (adata[i].copy() for i in np.split(order, [400, 800]))
    table = overall(scdit.tl.evaluate(test, other, reference=train, metrics=FAST[:8]))
    assert table.loc["nn_accuracy", "value"] == pytest.approx(0.5, abs=0.06)
    assert table.loc["pc_sd_ratio", "value"] == pytest.approx(1, abs=0.1)
