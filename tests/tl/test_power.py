"""Power: rates of tests whose answer is known, designs, failures, and bad input."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from joblib import parallel_config
from matplotlib import pyplot as plt
from scipy.stats import ttest_ind

import scdit
from scdit.tl._group_tests import pseudobulk, t_test, wilcoxon
from scdit.tl._power_study import Study

GENES = [f"gene{i}" for i in range(40)]
UP = pd.Series(2.0, index=[f"gene{i}" for i in range(0, 40, 4)])
DESIGN = {"n_donors": 3, "n_cells": 20, "donor_key": "donor", "repeats": 3, "silent": True}


def no_test(adata, groupby, donor_key):
    """Takes every gene for one with an effect."""
    return np.zeros(adata.n_vars)


def of_two(adata, groupby, donor_key):
    """Finds two genes."""
    return pd.Series([0.0, 0.0], index=["gene0", "gene1"])


def failing(adata, groupby, donor_key):
    """Fails where the first gene has an even number of counts."""
    if adata.X[:, 0].sum() % 2 == 0:
        raise RuntimeError("no convergence")
    return np.ones(adata.n_vars)


def rates(table):
    return table.set_index("metric")["value"]


def test_rates_of_tests_whose_answer_is_known(of_donors):
    found = scdit.tl.power(of_donors, **DESIGN, effects=UP, test=no_test)
    assert rates(found)[["power", "type-I error"]].tolist() == [1, 1]
    assert rates(found)["FDR"] == pytest.approx(0.75, abs=0.1)  # 30 of 40 genes
    found = scdit.tl.power(of_donors, **DESIGN, effects=UP, test=of_two)
    assert rates(found)["FDR"] == pytest.approx(0.5)
    assert rates(found)["power"] == pytest.approx(0.1, abs=0.05)  # 1 of 10
    assert (found["low"] <= found["value"]).all()
    assert (found["high"] >= found["value"]).all()


def test_what_a_test_is_given(of_donors):
    given = []

    def spy(adata, groupby, donor_key):
        given.append(adata.copy())
        adata.X.data[:] = 0  # a test may change its cells
        return np.ones(adata.n_vars)

    scdit.tl.power(of_donors, **DESIGN, labels="B", effects=UP, test=spy)
    null, changed = given[:2]
    assert null.obs["group"].value_counts().to_dict() == {"one": 60, "two": 60}
    assert (null.obs["donor"].value_counts() == 20).all()
    assert (null.obs.groupby("donor", observed=True)["group"].nunique() == 1).all()
    is_one = (null.obs["group"] == "one").to_numpy()
    assert (null.X[is_one] != changed.X[is_one]).nnz == 0
    before, after = (np.asarray(x.X[~is_one].sum(axis=0)).ravel() for x in (null, changed))
    up = null.var_names.isin(UP.index)
    assert after[up].sum() > 1.5 * before[up].sum()
    assert after[~up].sum() < before[~up].sum()
    assert (given[2].X != null.X).nnz > 0


def test_designs_are_rows_and_do_not_depend_on_processes(of_donors):
    asked = {**DESIGN, "n_donors": [3, 5], "n_cells": [10, 20], "repeats": 2, "test": "pseudobulk"}
    table = scdit.tl.power(of_donors, **asked)
    assert len(table) == 12
    assert table[["n_donors", "n_cells"]].drop_duplicates().to_numpy().tolist() == [
        [3, 10],
        [3, 20],
        [5, 10],
        [5, 20],
    ]
    with parallel_config(backend="threading"):
        pd.testing.assert_frame_equal(scdit.tl.power(of_donors, **asked, n_jobs=2), table)


def test_a_study_is_sent_without_the_training_cells(of_donors):
    genes, small = of_donors._genes_to_change(), of_donors._without_data()
    study = Study(small, genes, None, pseudobulk, UP, "donor", None, None, 0.05)
    sent = pickle.loads(pickle.dumps(study))
    assert sent.model.adata is None
    assert sent.replicate(3, 20, [1, 2, 3]) == study.replicate(3, 20, [1, 2, 3])
    assert of_donors.adata is not None


def test_tests_that_fail_are_counted(of_donors):
    with pytest.warns(UserWarning, match="failed in ..? of 6 replicates.*no convergence"):
        table = scdit.tl.power(of_donors, **{**DESIGN, "repeats": 6}, test=failing)
    assert (table["repeats"] == 6).all()
    assert table["failed"].nunique() == 1
    assert 0 < table["failed"].iloc[0] < 6
    assert rates(table)["power"] == 0
    with pytest.warns(UserWarning, match=r"it returned \(3,\) values for 40 genes"):
        table = scdit.tl.power(of_donors, **DESIGN, test=lambda *_: np.ones(3))
    assert (table["failed"] == 3).all()
    assert table["value"].isna().all()


def test_without_donors_cells_are_replicates(trained_on_types):
    table = scdit.tl.power(
        trained_on_types,
        n_cells=[40, 80],
        labels="B",
        repeats=4,
        effects=UP,
        test="t-test",
        silent=True,
    )
    assert "n_donors" not in table
    power = table[table["metric"] == "power"]["value"].to_numpy()
    assert power[1] > 0.3
    assert (table[table["metric"] == "type-I error"]["value"] < 0.15).all()


@pytest.fixture(scope="module")
def trained_on_types(make_adata):
    import scvi

    scvi.settings.seed = 0
    adata = make_adata()
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type")
    model = scdit.SCDiT(adata, n_hidden=32, width=32)
    model.train(max_epochs=3, silent=True)
    return model


@pytest.mark.filterwarnings("ignore:.*library size")  # of a model that is hardly trained
def test_genes_of_several_modalities():
    mdata = scdit.datasets.synthetic_citeseq(500, n_genes=40)
    mdata.obs["patient"] = pd.Categorical([f"P{i % 10}" for i in range(500)])
    modalities = {"rna_layer": "rna", "protein_layer": "prot"}
    scdit.SCDiT.setup_mudata(mdata, batch_key="patient", modalities=modalities)
    model = scdit.SCDiT(mdata, n_hidden=16, width=16)
    model.train(max_epochs=1, silent=True)
    seen = []

    def spy(adata, groupby, donor_key):
        seen.append(adata.var_names)
        return np.ones(adata.n_vars)

    asked = {**DESIGN, "donor_key": "patient", "n_donors": 2, "n_cells": 5, "repeats": 2}
    scdit.tl.power(model, **asked, test=spy)
    assert all(names.equals(mdata["rna"].var_names) for names in seen)


def test_built_in_tests_are_those_of_their_libraries(make_donors):
    import scanpy as sc

    adata = make_donors(6, 30)
    adata.obs["group"] = pd.Categorical(np.where(adata.obs["condition"] == "stim", "two", "one"))
    log = sc.pp.log1p(sc.pp.normalize_total(adata.copy(), target_sum=1e4, copy=True), copy=True)
    one, two = (log.X[(adata.obs["group"] == g).to_numpy()].toarray() for g in ("one", "two"))
    expected = ttest_ind(one, two, equal_var=False).pvalue
    np.testing.assert_allclose(t_test(adata, "group"), expected, rtol=1e-3)
    from scipy.stats import mannwhitneyu

    expected = mannwhitneyu(one, two, method="asymptotic", use_continuity=False).pvalue
    np.testing.assert_allclose(wilcoxon(adata, "group"), expected, rtol=1e-3)
    sums = adata.to_df().groupby(adata.obs["donor"], observed=True).sum()
    log = np.log2((sums + 0.5).div(sums.sum(axis=1) + 1, axis=0))
    expected = ttest_ind(log.iloc[::2], log.iloc[1::2]).pvalue
    np.testing.assert_allclose(pseudobulk(adata, "group", "donor"), expected, rtol=1e-4)
    assert (
        adata.X.data.max() == make_donors(6, 30).X.data.max()
    )  # nothing of the cells has changed


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"donor_key": None}, "n_donors needs donor_key="),
        ({"n_donors": None}, "donor_key needs n_donors="),
        ({"n_donors": []}, "n_donors is empty"),
        ({"n_donors": 1, "test": "pseudobulk"}, "n_donors of at least 2"),
        ({"n_donors": None, "donor_key": None, "test": "pseudobulk"}, "donors are replicates"),
        ({"n_cells": 1}, "n_cells must be an integer of at least 2"),
        ({"test": "wilcox"}, "unknown test 'wilcox'.*did you mean 'wilcoxon'"),
        ({"donor_key": "patient"}, "'patient' is not registered"),
        ({"covariates": {"donor": "d1"}}, "covariates has 'donor', the donor_key"),
        ({"donor_key": "condition"}, "at least 8 are needed"),
        ({"labels": "Bs"}, "unknown cell_type 'Bs'"),
        ({"effects": pd.Series({"gen1": 1.0})}, "unknown, such as 'gen1'; did you mean"),
        ({"repeats": 1}, "repeats must be"),
        ({"alpha": 1}, "alpha must be"),
        ({"n_jobs": 0}, "n_jobs, if not -1, must be"),
        ({"n_jobs": -2}, "n_jobs, if not -1, must be"),
        ({"n_donors": 20_000}, "^n_donors must be .* at most 10000"),
        ({"donor_key": "patient"}, "^donor_key: "),
        ({"donor_key": "condition"}, "^donor_key: "),
        ({"covariates": {"condition": "stm"}}, "unknown condition 'stm'"),
        ({"covariates": {"condition": ["stim"] * 7}}, "60"),
        ({"effects": 0 * UP}, "^effects must have .* 0 for 40 genes"),
        ({"effects": pd.Series(1.0, index=GENES)}, "^effects must have .* 40 for 40 genes"),
    ],
)
def test_bad_requests(of_donors, changes, match):
    def untested(*_):
        raise KeyboardInterrupt  # which no replicate counts

    with pytest.raises(ValueError, match=match):
        scdit.tl.power(of_donors, **{**DESIGN, "test": untested, **changes})


@pytest.mark.parametrize("changes", [{"labels": ["B"]}, {"labels": 3}, {"donor_key": 3}])
def test_names_that_are_none(of_donors, changes):
    with pytest.raises(TypeError, match=rf"^{next(iter(changes))} must be"):
        scdit.tl.power(of_donors, **{**DESIGN, **changes})


def test_numbers_of_numpy_and_pandas(of_donors):
    asked = {**DESIGN, "repeats": 2, "test": no_test, "effects": UP}
    expected = scdit.tl.power(of_donors, **{**asked, "n_cells": [5, 6], "n_donors": 2})
    for cells, donors in (
        (range(5, 7), np.array(2)),
        (pd.Index([5, 6]), np.int64(2)),
        (np.array([5, 6]), 2),
    ):
        given = {**asked, "n_cells": cells, "n_donors": donors, "n_jobs": np.int64(1)}
        pd.testing.assert_frame_equal(scdit.tl.power(of_donors, **given), expected)


def test_replicates_without_a_gene_to_test_have_failed(of_donors, monkeypatch):
    monkeypatch.setattr("scdit.tl._power_study.DETECTED", 1.1)  # of the cells
    with pytest.warns(UserWarning, match="failed in 3 of 3 .* with no gene to test"):
        table = scdit.tl.power(of_donors, **DESIGN)
    assert (table["failed"] == 3).all()


def test_donors_that_are_alike_raise_no_warning():
    """Scipy warns of lost precision."""
    obs = pd.DataFrame({"group": np.repeat(["one", "two"], 4), "donor": list("aabbccdd")})
    obs.index = obs.index.astype(str)
    adata = AnnData(np.tile([[3.0, 1.0], [1.0, 3.0]], (4, 1)), obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pseudobulk(adata, "group", "donor")


def test_objects_of_the_wrong_class(make_adata):
    with pytest.raises(TypeError, match="model must be an SCDiT"):
        scdit.tl.power(AnnData(), n_cells=5)
    adata = make_adata()
    scdit.SCDiT.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="not trained"):
        scdit.tl.power(scdit.SCDiT(adata), n_cells=5)


@pytest.mark.parametrize("by_donors", [True, False])
def test_figure(by_donors):
    rows = [
        {"n_donors": d, "n_cells": c, "metric": m, "value": 0.5, "low": 0.4, "high": 0.6}
        for d in ([2, 4] if by_donors else [1])
        for c in (10, 20)
        for m in ("power", "FDR")
    ]
    table = pd.DataFrame(rows)
    table.attrs["alpha"] = 0.05
    if not by_donors:
        table = table.drop(columns="n_donors")
    axes = scdit.pl.power(table)
    assert [ax.get_title() for ax in axes] == ["power", "FDR"]
    assert axes[0].get_xticks().tolist() == ([2, 4] if by_donors else [10, 20])
    assert len(axes[0].containers) == (2 if by_donors else 1)
    assert (axes[-1].get_legend() is not None) == by_donors
    if by_donors:
        axes[0].figure.draw_without_rendering()
        legend = axes[-1].get_legend().get_window_extent()
        assert not any(legend.overlaps(ax.get_window_extent()) for ax in axes)
        assert axes[0].figure.bbox.x1 >= legend.x1
    assert any(line.get_ydata()[0] == 0.05 for line in axes[1].lines)
    plt.close("all")
    with pytest.raises(ValueError, match="lacks 'metric'"):
        scdit.pl.power(table.drop(columns="metric"))
    for column in ("n_cells", "value", "low"):
        with pytest.raises(ValueError, match=rf"table\['{column}'\] must hold numbers"):
            scdit.pl.power(table.assign(**{column: "many"}))
    with pytest.raises(TypeError, match="table must be a DataFrame"):
        scdit.pl.power([1])
