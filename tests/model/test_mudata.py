"""Several modalities: MuData in, MuData out; pairs, conditions, depths, missing modalities, prediction."""

import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi

from scdit import SCDiT
from scdit.datasets import synthetic_citeseq, synthetic_multiome

SETUP = {"labels_key": "cell_type", "categorical_covariate_keys": ["condition"]}
BOTH = {"rna_layer": "rna", "protein_layer": "prot"}
SMALL = {"n_hidden": 32, "width": 16, "n_latent": 8}


def citeseq(n=600, rng=0):
    return synthetic_citeseq(n, n_genes=80, rng=rng)


def dense(x):
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def train(mdata, modalities=BOTH, epochs=None, **setup):
    SCDiT.setup_mudata(mdata, modalities=modalities, **{**SETUP, **setup})
    scvi.settings.seed = 0
    model = SCDiT(mdata, **SMALL)
    model.train(max_epochs=epochs or {"codec": 30, "denoiser": 30}, silent=True)
    return model


@pytest.fixture(scope="module")
def model():
    return train(citeseq())


def test_what_comes_out_is_what_went_in(model):
    given = citeseq()
    new = model.generate(labels=given.obs["cell_type"].value_counts(), rng=0, silent=True)
    assert isinstance(new, mudata.MuData)
    assert list(new.mod) == ["rna", "prot"]
    for name, part in new.mod.items():
        pd.testing.assert_frame_equal(part.var, given[name].var)
        assert part.X.dtype == np.int32
        assert list(part.obs_names) == list(new.obs_names)
    assert list(new.obs.columns) == ["cell_type", "condition", "scdit_generated"]
    assert new.uns["scdit"]["conditions"] == ["cell_type", "condition"]


def test_both_modalities_are_like_the_real_ones_and_paired(model):
    given = citeseq(2000, rng=1)
    new = model.generate(2000, rng=0, silent=True)
    for name in ("rna", "prot"):
        real, made = (np.log1p(dense(x[name].X)) for x in (given, new))
        np.testing.assert_allclose(made.mean(0), real.mean(0), atol=0.25)
        assert np.corrcoef(made.std(0), real.std(0))[0, 1] > 0.8
    # what ties genes to proteins within types

    def coupling(x):
        parts = [np.log1p(dense(x[name].X)) for name in ("rna", "prot")]
        labels = x.obs["cell_type"].astype(str).to_numpy()
        parts = [p - pd.DataFrame(p).groupby(labels).transform("mean").to_numpy() for p in parts]
        return np.corrcoef(parts[0].T, parts[1].T)[:80, 80:].ravel()

    real, made = coupling(given), coupling(new)
    keep = np.isfinite(real) & np.isfinite(made)
    paired = np.corrcoef(real[keep], made[keep])[0, 1]
    # a small model; with pairs broken within types next to nothing is left
    prot = new["prot"].X.copy()
    order = np.arange(new.n_obs)
    for rows in new.obs.groupby("cell_type", observed=True).indices.values():
        order[rows] = np.random.default_rng(0).permutation(rows)
    new["prot"].X = prot[order]
    broken = np.corrcoef(real[keep], coupling(new)[keep])[0, 1]
    assert paired > 0.3, (paired, broken)
    assert abs(broken) < paired / 3, (paired, broken)


def test_depths_by_modality(model):
    new = model.generate(300, library_size={"rna": 5000, "prot": "empirical"}, rng=0, silent=True)
    assert new["rna"].X.sum(1).mean() == pytest.approx(5000, rel=0.05)
    assert new["prot"].X.sum(1).mean() == pytest.approx(dense(citeseq()["prot"].X).sum(1).mean(), rel=0.2)  # fmt: skip
    with pytest.raises(ValueError, match="library_size must say of which modality"):
        model.generate(3, library_size=5000)
    with pytest.raises(ValueError, match="library_size names 'atac'"):
        model.generate(3, library_size={"atac": 5000})


def test_one_seed_gives_the_same_cells_in_both(model):
    one, two = (model.generate(60, rng=3, silent=True, batch_size=size) for size in (512, 7))
    for name in ("rna", "prot"):
        assert abs(one[name].X - two[name].X).sum() <= 2e-5 * one[name].X.sum() + 1
    first, second = (dense(one[name].X).astype(float) for name in ("rna", "prot"))
    assert first.shape[0] == second.shape[0] == 60


def test_other_methods(model):
    given = citeseq(50, rng=2)
    assert model.get_latent_representation(given).shape == (50, 8)
    like = model.generate(like=given, rng=0, silent=True)
    assert list(like.obs["cell_type"]) == list(given.obs["cell_type"].astype(str))
    kinds = list(given.obs["cell_type"].unique()[:2])
    path = model.interpolate(
        {"cell_type": kinds[0]}, {"cell_type": kinds[1]}, n=3, steps=3, silent=True
    )
    assert path["prot"].n_obs == 9
    condition = given.obs["condition"].unique()[0]
    moved = model.translate(given, covariates={"condition": condition}, rng=0, silent=True)
    assert list(moved.obs["source"]) == list(given.obs_names)
    with pytest.raises(ValueError, match="models of genes alone"):
        model.get_normalized_expression()


def test_a_saved_model_needs_no_data(model, tmp_path):
    model.save(str(tmp_path / "m"))
    wish = {"rng": 1, "silent": True}
    whole = model.generate(40, **wish)
    for adata in (False, citeseq()):
        loaded = SCDiT.load(str(tmp_path / "m"), adata=adata)
        again = loaded.generate(40, **wish)
        assert all((whole[name].X != again[name].X).nnz == 0 for name in ("rna", "prot"))
        pd.testing.assert_frame_equal(again["rna"].var, whole["rna"].var)
    model.save(str(tmp_path / "with"), save_anndata=True)
    loaded = SCDiT.load(str(tmp_path / "with"))
    assert (loaded.generate(40, **wish)["prot"].X != whole["prot"].X).nnz == 0


def test_proteins_are_predicted_from_genes(model):
    given = citeseq(600, rng=5)
    real = np.log1p(dense(given["prot"].X))
    for data in (given, given["rna"].copy()):
        made = model.predict_modality(data, "prot", n_samples=2, rng=0, silent=True)
        assert list(made.obs_names) == list(given.obs_names)
        assert set(made.layers) - {None} == {"expected", "sample_1"}
        assert (made.X != made.layers["sample_1"]).nnz
        drawn = np.log1p(dense(made.X))
        np.testing.assert_allclose(drawn.mean(0), real.mean(0), atol=0.3)
        expected = np.log1p(made.layers["expected"])
        varies = real.std(0) > 0.5
        r = [
            np.corrcoef(a, b)[0, 1]
            for a, b in zip(real.T[varies], expected.T[varies], strict=True)
        ]
        assert np.mean(r) > 0.5
    # the counts of the modality itself are not looked at
    other = given.copy()
    other["prot"].X = np.ones_like(dense(other["prot"].X))
    again = model.predict_modality(other, "prot", rng=0, silent=True)
    first = model.predict_modality(given, "prot", rng=0, silent=True)
    assert (again.X != first.X).nnz == 0


def without_some(mdata, name, cells):
    """Cells of which a modality has no rows."""
    parts = {key: part.copy() for key, part in mdata.mod.items()}
    parts[name] = parts[name][~parts[name].obs_names.isin(cells)].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(parts)


def test_cells_that_lack_a_modality():
    """Rows that are not there, or that a column says are not: both are the same, and never zeros."""
    whole = citeseq()
    lacking = whole.obs_names[::3]
    mosaic = without_some(whole, "prot", lacking)
    obs = whole.obs.loc[mosaic.obs_names]
    for key in ("cell_type", "condition"):
        mosaic.obs[key] = obs[key]
    with pytest.warns(UserWarning, match="of 600 cells 200 lack 'prot'"):
        one = train(mosaic, epochs=3)
    named = whole[mosaic.obs_names].copy()
    named.obs["has_prot"] = ~named.obs_names.isin(lacking)
    counts = dense(named["prot"].X).copy()
    counts[~named.obs["has_prot"].to_numpy()] = 0
    named["prot"].X = counts
    with pytest.warns(UserWarning, match="200 lack 'prot'"):
        two = train(named, epochs=3, presence_keys={"prot": "has_prot"})
    new = one.generate(300, rng=0, silent=True)
    assert (new["prot"].X != two.generate(300, rng=0, silent=True)["prot"].X).nnz == 0
    assert (new["prot"].X.sum(1) > 0).all()


def test_a_translated_cell_without_proteins_gets_a_depth_of_its_own(model):
    """Not the total of counts that it does not have, which is 0."""
    given, n = citeseq(200, rng=4), 200
    lacking = given.obs_names[: n // 2]
    wish = {"covariates": {"condition": "stimulated"}, "rng": 0, "silent": True}
    mosaic = without_some(given, "prot", lacking)
    mosaic.obs = given.obs.loc[mosaic.obs_names]
    order = mosaic.obs_names.get_indexer(given.obs_names)
    made = model.translate(mosaic, **wish)
    assert list(made.obs["source"]) == list(mosaic.obs_names)
    genes, proteins = (dense(made[name].X).sum(1)[order] for name in ("rna", "prot"))
    real_genes, real_proteins = (dense(given[name].X).sum(1) for name in ("rna", "prot"))
    lack, have = slice(0, n // 2), slice(n // 2, n)
    # depths of proteins vary as they do in real cells, where a cell has none and where it has
    for rows in (lack, have):
        assert np.log(proteins[rows]).mean() == pytest.approx(
            np.log(real_proteins).mean(), abs=0.3
        )
        assert np.log(proteins[rows]).std() > 0.3 * np.log(real_proteins).std()
    assert np.corrcoef(np.log(proteins[have]), np.log(real_proteins[have]))[0, 1] > 0.9
    # those of genes are the cell's own in all
    assert np.corrcoef(np.log(genes), np.log(real_genes))[0, 1] > 0.9
    # a depth that is asked for is that of all
    deep = model.translate(mosaic, library_size={"prot": 5000}, **wish)["prot"]
    np.testing.assert_allclose(dense(deep.X).sum(1)[order][lack].mean(), 5000, rtol=0.1)


@pytest.mark.parametrize(
    "names", [{"atac_layer": "atac"}, {"rna_layer": "rna", "atac_layer": "atac"}]
)
def test_chromatin(names):
    given = synthetic_multiome(300, n_genes=60, n_peaks=150)
    model = train(given, names, epochs=5)
    new = model.generate(300, rng=0, silent=True)
    assert list(new.mod) == list(names.values())
    real, made = (dense(x["atac"].X) for x in (given, new))
    np.testing.assert_allclose(made.mean(), real.mean(), rtol=0.2)
    assert np.corrcoef(made.mean(0), real.mean(0))[0, 1] > 0.9


def test_proteins_alone_and_proteins_in_obsm():
    given = citeseq(300)
    alone = train(given, {"protein_layer": "prot"}, epochs=3).generate(20, rng=0, silent=True)
    assert list(alone.mod) == ["prot"]
    adata = given["rna"].copy()
    for key in ("cell_type", "condition"):
        adata.obs[key] = given.obs[key]
    adata.obsm["protein_expression"] = pd.DataFrame(
        dense(given["prot"].X), index=adata.obs_names, columns=given["prot"].var_names
    )
    SCDiT.setup_anndata(adata, protein_expression_obsm_key="protein_expression", **SETUP)
    model = SCDiT(adata, **SMALL)
    model.train(max_epochs=3, silent=True)
    new = model.generate(20, rng=0, silent=True)
    assert isinstance(new, ad.AnnData)
    assert list(new.obsm["protein_expression"].columns) == list(given["prot"].var_names)
    assert list(new.var_names) == list(adata.var_names)
    del adata.obsm["protein_expression"]
    made = model.predict_modality(adata, "protein", rng=0, silent=True)
    assert list(made.var_names) == list(given["prot"].var_names)


def changed(change):
    mdata = citeseq(60)
    change(mdata)
    return mdata


def log_proteins(mdata):
    mdata["prot"].X = np.log1p(dense(mdata["prot"].X))


def centred_proteins(mdata):
    mdata["prot"].X = dense(mdata["prot"].X) - 3.0


def twice(mdata):
    mdata["prot"].var_names = ["a"] * mdata["prot"].n_vars


def empty_cell(mdata):
    x = dense(mdata["prot"].X).copy()
    x[0] = 0
    mdata["prot"].X = x


@pytest.mark.parametrize(
    ("mdata", "arguments", "error", "message"),
    [
        (ad.AnnData(np.ones((3, 2))), {}, TypeError, "mdata must be a MuData, got AnnData"),
        (citeseq(60)[:30], {}, ValueError, "mdata is a view"),
        (citeseq(60), {"modalities": None}, ValueError, "name at least one modality"),
        (citeseq(60), {"modalities": {}}, ValueError, "name at least one modality"),
        (citeseq(60), {"modalities": {"protein_layer": "adt"}}, KeyError, "'adt' is no modality"),
        (citeseq(60), {"modalities": {"rna": "rna"}}, ValueError, "names the argument 'rna'"),
        (citeseq(60), {"modalities": {"rna_layer": "rna", "atac_layer": "rna"}}, ValueError, "each may be named once"),
        (citeseq(60), {"protein_layer": "raw"}, KeyError, "modality 'prot': layer 'raw'"),
        (citeseq(60), {"labels_key": "type"}, KeyError, "'type' is a column of neither"),
        (citeseq(60), {"presence_keys": {"adt": "x"}}, ValueError, "presence_keys names 'adt'"),
        (citeseq(60), {"presence_keys": {"prot": "donor"}}, ValueError, "must hold True and False"),
        (changed(log_proteins), {}, ValueError, "modality 'prot'.*non-integer.*DSB or CLR"),
        (changed(centred_proteins), {}, ValueError, "modality 'prot'.*negative.*DSB or CLR"),
        (changed(twice), {}, ValueError, "modality 'prot'.*not unique"),
        (changed(empty_cell), {}, ValueError, "modality 'prot': 1 cells.*presence_keys"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(mdata, arguments, error, message):
    with pytest.raises(error, match=message):
        SCDiT.setup_mudata(mdata, **{"modalities": BOTH, **SETUP, **arguments})


def test_modalities_that_share_no_cell():
    mdata = citeseq(60)
    parts = {name: part.copy() for name, part in mdata.mod.items()}
    parts["prot"].obs_names = [f"other{i}" for i in range(60)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = mudata.MuData(parts)
    with pytest.raises(ValueError, match="'rna', 'prot' share no cell"):
        SCDiT.setup_mudata(apart, modalities=BOTH)


def test_a_mudata_that_was_not_registered(model):
    with pytest.raises(ValueError, match="setup_mudata"):
        SCDiT(citeseq(60))
    with pytest.raises(ValueError, match="unknown modality 'adt'"):
        model.predict_modality(citeseq(60), "adt")
    with pytest.raises(ValueError, match="have no modality but 'prot'"):
        model.predict_modality(citeseq(60)["prot"].copy(), "prot")
    lacking = citeseq(60)["rna"][:, :20].copy()
    with pytest.raises(ValueError, match="features of none of the modalities"):
        model.predict_modality(lacking, "prot")


def test_the_users_object_stays_as_it_is():
    mdata = citeseq(60)
    before = mdata.copy()
    SCDiT.setup_mudata(mdata, modalities=BOTH, **SETUP)
    pd.testing.assert_frame_equal(mdata.obs, before.obs)
    assert list(mdata.uns) == list(before.uns)
    for name in mdata.mod:
        np.testing.assert_array_equal(dense(mdata[name].X), dense(before[name].X))
        pd.testing.assert_frame_equal(mdata[name].obs, before[name].obs)
