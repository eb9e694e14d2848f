"""augment, privacy and evaluate_effects of MuData: pairs are kept, all modalities count, each has its effects."""

import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit
from scdit._mudata import make_mudata
from scdit.datasets import synthetic_citeseq

MODALITIES = {"rna_layer": "rna", "protein_layer": "prot"}
SMALL = {"n_hidden": 16, "width": 16, "n_latent": 4}
QUICK = {"n_steps": 2, "silent": True, "rng": 0}
EFFECTS = {
    "condition_key": "condition",
    "control": "control",
    "condition": "stimulated",
    "labels_key": "cell_type",
    "metrics": ["lfc_r", "lfc_slope"],
}


def cells(n=300, rng=0, **kwargs):
    return synthetic_citeseq(n, n_genes=60, rng=rng, **kwargs)


def dense(x):
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def trained(data, setup, **kwargs):
    setup(data, labels_key="cell_type", **kwargs)
    model = scdit.SCDiT(data, **SMALL)
    model.train(max_epochs=1, silent=True)
    return model


@pytest.fixture(scope="module")
def model():
    return trained(cells(), scdit.SCDiT.setup_mudata, modalities=MODALITIES, categorical_covariate_keys=["condition"])  # fmt: skip


def augment(mdata, model, **kwargs):
    return scdit.tl.augment(
        mdata, model, **({"min_cells": 80, "labels_key": "cell_type"} | QUICK | kwargs)
    )


def mosaic(mdata, lacking, name="prot"):
    """The same cells, some of which have no rows in a modality."""
    parts = {key: part.copy() for key, part in mdata.mod.items()}
    parts[name] = parts[name][~parts[name].obs_names.isin(lacking)].copy()
    return make_mudata(parts, mdata.obs)


def sharing_features(mdata):
    """A MuData whose modalities share features."""
    parts = {
        name: mdata["rna"][rows].copy() for name, rows in (("a", slice(5)), ("b", slice(5, 9)))
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(parts, axis=1)


# -- augment -----------------------------------------------------------------------------------------


def test_pairs_are_kept_and_rare_types_are_topped_up(model):
    given = cells()
    before = given.copy()
    more = augment(given, model)
    assert isinstance(more, mudata.MuData)
    sizes = given.obs["cell_type"].value_counts()
    assert more.obs["cell_type"].value_counts().to_dict() == sizes.clip(lower=80).to_dict()
    new = more.obs["scdit_generated"].to_numpy()
    assert new.sum() == (80 - sizes).clip(lower=0).sum() > 0
    assert list(more.obs_names[~new]) == list(given.obs_names)
    assert more.obs["programme1"].isna().to_numpy().tolist() == new.tolist()
    for name, part in more.mod.items():
        assert list(part.obs_names) == list(more.obs_names)
        np.testing.assert_array_equal(dense(part.X)[~new], dense(given[name].X))
        assert part.X.dtype == given[name].X.dtype
        pd.testing.assert_frame_equal(part.var, given[name].var)
        assert (part.X[new].sum(axis=1) > 0).all()
    pd.testing.assert_frame_equal(given.obs, before.obs)
    # and a model can be trained on it
    scdit.SCDiT.setup_mudata(more, labels_key="cell_type", modalities=MODALITIES)


def test_a_view_and_features_in_another_order(model):
    given = cells()
    prot = given["prot"][:, ::-1].copy()
    turned = make_mudata(
        {"prot": prot, "rna": given["rna"].copy(), "other": prot.copy()}, given.obs
    )
    whole, other = augment(given, model), augment(turned[:], model)
    assert list(other.mod) == ["rna", "prot"]
    for name in whole.mod:
        assert list(other[name].var_names) == list(whole[name].var_names)
        assert (other[name].X != whole[name].X).nnz == 0


def test_cells_that_lack_a_modality_still_do(model):
    given = cells()
    lacking = given.obs_names[::3]
    more = augment(mosaic(given, lacking), model)
    new = more.obs["scdit_generated"].to_numpy()
    assert list(more.obs_names[~new]) == list(given.obs_names)
    assert list(more["rna"].obs_names) == list(more.obs_names)
    assert set(more.obs_names) - set(more["prot"].obs_names) == set(lacking)
    assert more["prot"].n_obs == 200 + new.sum()
    rows = more["prot"].obs_names.get_indexer(given.obs_names[1::3])
    np.testing.assert_array_equal(dense(more["prot"].X)[rows], dense(given["prot"].X)[1::3])


def test_columns_that_say_which_cells_have_a_modality():
    given = cells()
    given.obs["has_prot"] = np.arange(300) % 3 > 0
    x = dense(given["prot"].X).copy()
    x[::3] = 0
    given["prot"].X = x
    with pytest.warns(UserWarning, match="100 lack 'prot'"):
        model = trained(given, scdit.SCDiT.setup_mudata, modalities=MODALITIES, presence_keys={"prot": "has_prot"})  # fmt: skip
    more = augment(given, model)
    new = more.obs["scdit_generated"].to_numpy()
    assert more.obs["has_prot"].dtype == bool
    assert more.obs["has_prot"][new].all()
    assert (~more.obs["has_prot"]).sum() == 100


def test_labels_in_a_modality_and_counts_in_a_layer():
    given = cells()
    given["rna"].layers["counts"] = given["rna"].X.copy()
    given["rna"].X = given["rna"].X.log1p()
    del given.obs["cell_type"]
    model = trained(given, scdit.SCDiT.setup_mudata, rna_layer="counts", modalities=MODALITIES | {"labels_key": "rna"})  # fmt: skip
    more = augment(given, model)
    new = more.obs["scdit_generated"].to_numpy()
    assert more["rna"].obs["cell_type"].value_counts().min() == 80
    assert more.obs["cell_type"].notna().all()
    np.testing.assert_array_equal(
        dense(more["rna"].layers["counts"])[~new], dense(given["rna"].layers["counts"])
    )
    table = scdit.tl.privacy(model, given, shifted(cells(100, rng=1), "counts"))
    assert np.isfinite(table["value"]).all()


def shifted(mdata, layer):
    mdata["rna"].layers[layer] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X.log1p()
    return mdata


@pytest.mark.parametrize("names", [None, "names"])
def test_proteins_in_obsm(names):
    given = cells()
    adata, prot = given["rna"].copy(), given["prot"]
    counts = dense(prot.X).astype(np.uint16)
    adata.obsm["protein_expression"] = pd.DataFrame(counts, adata.obs_names, prot.var_names)
    if names:
        adata.obsm["protein_expression"] = counts
        adata.uns[names] = prot.var_names.to_numpy(dtype=object)
    model = trained(
        adata,
        scdit.SCDiT.setup_anndata,
        protein_expression_obsm_key="protein_expression",
        protein_names_uns_key=names,
    )
    more = augment(adata, model)
    new = more.obs["scdit_generated"].to_numpy()
    values = more.obsm["protein_expression"]
    assert new.sum() > 0
    assert np.asarray(values).shape == (more.n_obs, 12)
    np.testing.assert_array_equal(np.asarray(values)[~new], counts)
    assert (np.asarray(values)[new].sum(axis=1) > 0).all()
    found = more.uns[names] if names else values.columns
    assert list(found) == list(prot.var_names)
    assert list(more.var_names) == list(adata.var_names)
    with pytest.raises(KeyError, match="'protein_expression' is not in adata.obsm"):
        augment(given["rna"].copy(), model)


def no_proteins(mdata):
    return make_mudata({"rna": mdata["rna"].copy()}, mdata.obs)


def few_proteins(mdata):
    return make_mudata({"rna": mdata["rna"], "prot": mdata["prot"][:, :5].copy()}, mdata.obs)


def log_proteins(mdata):
    mdata["prot"].X = np.log1p(mdata["prot"].X)
    return mdata


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (no_proteins, {}, ValueError, "lacks the modality 'prot' of the model; it has 'rna'"),
        (few_proteins, {}, ValueError, "7 of the model's 12 features of 'prot' are missing"),
        (log_proteins, {}, ValueError, "modality 'prot'.*non-integer"),
        (lambda m: m["rna"], {}, TypeError, "adata must be a MuData, got AnnData"),
        (sharing_features, {}, ValueError, "lacks the modality 'rna', 'prot'"),
        (lambda m: m, {"layer": "counts"}, ValueError, "layer is for AnnData.*rna_layer"),
        (lambda m: m, {"labels_key": "donor"}, ValueError, "are 'cell_type', not 'donor'"),
        (lambda m: m, {"labels_key": "type"}, KeyError, "'type' is not a column"),
    ],
)
def test_augment_refuses(model, change, arguments, error, message):
    with pytest.raises(error, match=message):
        augment(change(cells()), model, **arguments)


def test_augmented_before(model):
    with pytest.raises(ValueError, match="were augmented before"):
        augment(augment(cells(), model), model)


# -- privacy -----------------------------------------------------------------------------------------


TRAIN, HOLDOUT = cells(300, rng=1), cells(300, rng=2)


def audit(generated, train=TRAIN, holdout=HOLDOUT, **kwargs):
    return scdit.tl.privacy(generated, train, holdout, **kwargs).set_index("metric")


def test_copies_are_found_in_all_modalities_together():
    fresh, copies = audit(cells(300, rng=3)), audit(TRAIN.copy())
    assert copies.loc["membership_auroc", "value"] > 0.99
    assert copies.loc["exact_duplicates", "value"] == 1
    assert fresh.loc["membership_auroc", "value"] == pytest.approx(0.5, abs=0.07)
    assert fresh.loc["exact_duplicates", "value"] == 0
    assert fresh.loc["near_duplicates", "value"] == pytest.approx(0.05, abs=0.06)
    assert (fresh["note"] == "").all()


def test_a_copy_of_one_modality_is_none_of_both_but_is_nearer():
    half = make_mudata({"rna": TRAIN["rna"].copy(), "prot": TRAIN["prot"][::-1].copy()}, TRAIN.obs)
    half["prot"].obs_names = TRAIN.obs_names
    half = make_mudata({k: v.copy() for k, v in half.mod.items()}, TRAIN.obs)
    found = audit(half)
    assert found.loc["exact_duplicates", "value"] == 0
    assert audit(half["rna"].copy(), TRAIN["rna"], HOLDOUT["rna"]).loc["exact_duplicates", "value"] == 1  # fmt: skip
    assert 0.55 < found.loc["membership_auroc", "value"] < 0.99


def test_scale_of_a_modality_does_not_matter():
    """Proteins have a hundred times the counts, and as much say."""
    proteins = cells(300, rng=3)
    parts = {"rna": proteins["rna"].copy(), "prot": TRAIN["prot"].copy()}
    copied = audit(make_mudata(parts, TRAIN.obs))
    parts = {"rna": TRAIN["rna"].copy(), "prot": proteins["prot"].copy()}
    other = audit(make_mudata(parts, TRAIN.obs))
    for table in (copied, other):
        assert table.loc["membership_auroc", "value"] > 0.53


def test_donors_of_a_mudata():
    train, holdout = TRAIN.copy(), HOLDOUT.copy()
    train.obs["donor"] = [f"t{i % 6}" for i in range(300)]
    holdout.obs["donor"] = [f"h{i % 6}" for i in range(300)]
    table = audit(cells(300, rng=3), train, holdout, donor_key="donor")
    assert table.loc["donor_auroc", "n"] == 6
    with pytest.raises(ValueError, match="donors must be either in train or in holdout"):
        audit(cells(300, rng=3), donor_key="donor")


def test_proteins_of_an_anndata_are_compared_if_named():
    def flat(mdata):
        adata = mdata["rna"].copy()
        adata.obsm["protein_expression"] = dense(mdata["prot"].X)
        return adata

    sides = cells(300, rng=3), TRAIN, HOLDOUT
    one = audit(*sides)
    other = audit(*map(flat, sides), protein_expression_obsm_key="protein_expression")
    pd.testing.assert_frame_equal(one, other)


def test_a_model_makes_the_cells(model):
    table = audit(model)
    assert np.isfinite(table["value"]).all()
    with pytest.raises(TypeError, match="train must be of the class that the model generates"):
        audit(model, TRAIN["rna"], HOLDOUT["rna"])


def test_views_are_as_good():
    pd.testing.assert_frame_equal(audit(cells(300, rng=3)[:]), audit(cells(300, rng=3)))


def test_cells_without_a_modality_are_left_out():
    lacking = TRAIN.obs_names[::3]
    with pytest.warns(UserWarning, match="100 of the 300 cells of `train` lack a modality"):
        one = audit(cells(300, rng=3), mosaic(TRAIN, lacking))
    two = audit(cells(300, rng=3), TRAIN[~TRAIN.obs_names.isin(lacking)].copy())
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("generated", "train", "arguments", "error", "message"),
    [
        (TRAIN["rna"], TRAIN, {}, TypeError, "generated must be a MuData or SCDiT, got AnnData"),
        (TRAIN, TRAIN["rna"], {}, TypeError, "holdout must be an AnnData, got MuData"),
        (no_proteins(TRAIN), TRAIN, {}, ValueError, "`generated` lacks the modalities 'prot'"),
        (TRAIN, sharing_features(TRAIN), {}, ValueError, "`train` has axis=1"),
        (
            TRAIN,
            TRAIN,
            {"layer": "counts"},
            KeyError,
            "no modality of `train` has a layer 'counts'",
        ),
        (TRAIN, TRAIN, {"donor_key": "patient"}, KeyError, "`train` has no column 'patient'"),
        (TRAIN, TRAIN, {"assays": {"adt": "protein"}}, ValueError, "no modality 'adt'"),
    ],
)
def test_privacy_refuses(generated, train, arguments, error, message):
    with pytest.raises(error, match=message):
        audit(generated, train, **arguments)


# -- evaluate_effects --------------------------------------------------------------------------------


REAL, MADE = cells(1200, rng=4), cells(1200, rng=5)


def effects(real=REAL, made=MADE, **kwargs):
    table = scdit.tl.evaluate_effects(real, made, **{**EFFECTS, **kwargs})
    return table[table["group"] == "all"].set_index("metric")


@pytest.mark.parametrize("name", ["rna", "prot"])
def test_cells_of_one_law_have_the_same_effects(name):
    """In T cells, which are many, and express a protein that responds."""
    table = scdit.tl.evaluate_effects(REAL, MADE, modality=name, n_genes=4, **EFFECTS)
    assert (table["note"] == "").all()
    table = table[table["group"] == "T"].set_index("metric")
    for metric in ("lfc_r", "lfc_slope"):
        assert table.loc[metric, "value"] == pytest.approx(table.loc[metric, "floor"], abs=0.1)
    assert 0.7 < table.loc["lfc_slope", "value"] < 1.2
    assert abs(table.loc["lfc_slope", "no_effect"]) < 0.2


def test_a_lost_effect_shows_in_its_modality_only():
    parts = {name: part.copy() for name, part in MADE.mod.items()}
    state = MADE.obs["condition"].to_numpy()
    parts["prot"] = MADE["prot"][np.where(state == "stimulated")[0]].copy()
    idle = MADE["prot"][np.where(state == "control")[0][: parts["prot"].n_obs]]
    n = min(parts["prot"].n_obs, idle.n_obs)
    parts["prot"] = parts["prot"][:n].copy()
    parts["prot"].X = idle.X[:n]
    parts["rna"] = parts["rna"][parts["prot"].obs_names].copy()
    lost = make_mudata(parts, MADE.obs.loc[parts["prot"].obs_names])
    lost.obs["cell_type"] = idle.obs["cell_type"].to_numpy()[:n]
    assert abs(effects(made=lost, modality="prot").loc["lfc_slope", "value"]) < 0.2


def test_rna_of_a_mudata_is_that_of_an_anndata():
    """The first modality is the default."""
    pd.testing.assert_frame_equal(effects(), effects(REAL["rna"].copy(), MADE["rna"].copy()))
    reference = cells(600, rng=6)
    pd.testing.assert_frame_equal(
        effects(reference=reference),
        effects(REAL["rna"].copy(), MADE["rna"].copy(), reference=reference["rna"].copy()),
    )


def test_all_cells_of_a_modality_count():
    """Also those that lack the other; and columns may be in a modality, and the cells a view."""
    lacking = MADE.obs_names[::2]
    part = mosaic(MADE, lacking)
    del part.obs["condition"]
    pd.testing.assert_frame_equal(effects(made=part[:]), effects())
    half = effects(made=part, modality="prot")
    pd.testing.assert_frame_equal(
        half, effects(made=MADE[~MADE.obs_names.isin(lacking)].copy(), modality="prot")
    )


def test_proteins_have_no_challenge():
    every = scdit.tl.evaluate_effects(REAL, MADE, modality="prot", **EFFECTS | {"metrics": None})
    assert not every["metric"].str.startswith("vcc").any()
    with pytest.raises(ValueError, match="metrics has 'vcc_.*for genes only.*counts proteins"):
        effects(modality="prot", metrics=["vcc_discrimination"])


def test_effects_on_proteins_in_obsm():
    def flat(mdata):
        adata = mdata["rna"].copy()
        adata.obsm["protein_expression"] = dense(mdata["prot"].X)
        return adata

    key = {"protein_expression_obsm_key": "protein_expression", "modality": "prot"}
    pd.testing.assert_frame_equal(effects(flat(REAL), flat(MADE), **key), effects(modality="prot"))


@pytest.mark.parametrize(
    ("real", "made", "arguments", "error", "message"),
    [
        (REAL, MADE, {"modality": "adt"}, KeyError, "`real` has no modality 'adt'; it has 'rna', 'prot'"),
        (REAL, no_proteins(MADE), {"modality": "prot"}, KeyError, "`generated` has no modality 'prot'"),
        (REAL, MADE, {"modality": 3}, TypeError, "modality must be a str"),
        (REAL["rna"], MADE["rna"], {"modality": "rna"}, ValueError, "modality and assays are for MuData"),
        (REAL, MADE["rna"], {}, TypeError, "must be of one class.*real: MuData, generated: AnnData"),
        (REAL, sharing_features(MADE), {}, ValueError, "`generated` has axis=1"),
        (REAL, MADE, {"condition_key": "state"}, KeyError, "`real` has no column 'state'"),
        (REAL, MADE, {"layer": "counts"}, KeyError, "counts"),
        (REAL, MADE, {"layer": ["counts"]}, TypeError, "layer must be"),
        (REAL, log_proteins(MADE.copy()), {"modality": "prot"}, ValueError, "raw counts"),
    ],
)  # fmt: skip
def test_effects_refuse(real, made, arguments, error, message):
    with pytest.raises(error, match=message):
        effects(real, made, **arguments)


def test_nothing_of_the_users_changes():
    before = [x.copy() for x in (REAL, MADE)]
    effects(modality="prot")
    audit(cells(300, rng=3), REAL, MADE)
    for one, other in zip(before, (REAL, MADE), strict=True):
        pd.testing.assert_frame_equal(one.obs, other.obs)
        assert list(one.uns) == list(other.uns)
        for name, part in one.mod.items():
            assert isinstance(part, ad.AnnData)
            np.testing.assert_array_equal(dense(part.X), dense(other[name].X))
