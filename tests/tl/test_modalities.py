"""Evaluation of MuData: each modality, and how modalities fit together."""

import re
import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdit
from scdit.tl._mudata import make_mudata

LABELS = "cell_type"
MODAL = ("mmd", "gene_mean_error", "correlation_error", "library_size_ks", "label_fidelity")
JOINT = ("cca", "cca_within", "cross_rmse", "agree")


def citeseq(n, seed, **kwargs):
    return scdit.datasets.synthetic_citeseq(n, rng=seed, n_genes=120, **kwargs)


TRAIN, TEST, FRESH = citeseq(900, 0), citeseq(300, 1), citeseq(300, 2)


def rebuilt(mdata, obs=None, **parts):
    """The same cells with other modalities."""
    new = {name: parts.get(name, part) for name, part in mdata.mod.items()}
    new |= {name: part for name, part in parts.items() if name not in new}
    new = {name: part.copy() for name, part in new.items() if part is not None}
    return make_mudata(new, mdata.obs if obs is None else obs)


def repaired(mdata, name="prot", within=LABELS):
    """One modality given to other cells of the same label."""
    rng, order = np.random.default_rng(0), np.arange(mdata.n_obs)
    for label in mdata.obs[within].unique():
        members = np.flatnonzero(mdata.obs[within] == label)
        order[members] = rng.permutation(members)
    part = mdata[name][order].copy()
    part.obs_names = mdata.obs_names
    return rebuilt(mdata, **{name: part})


def judge(
    generated, metrics=MODAL + JOINT, real=TEST, reference=TRAIN, labels_key=LABELS, **kwargs
):
    return scdit.tl.evaluate(
        real, generated, labels_key=labels_key, reference=reference, metrics=metrics, **kwargs
    )


def overall(table):
    return table[table["group"] == "all"].set_index(["modality", "metric"])


@pytest.fixture(scope="module")
def fresh_table():
    return judge(FRESH)


def test_the_table_has_a_column_of_modalities(fresh_table):
    columns = ["modality", "metric", "group", "value", "floor", "better", "ideal", "n", "note"]
    assert list(fresh_table.columns) == columns
    assert list(fresh_table["modality"].unique()) == ["rna", "prot", "joint"]
    modal = fresh_table.groupby("modality", sort=False)["metric"].unique()
    assert list(modal["rna"]) == list(modal["prot"]) == list(MODAL)
    assert list(modal["joint"]) == list(JOINT)
    assert (overall(fresh_table)["note"] == "").all()
    # each label where the metric has them
    groups = fresh_table.query("modality == 'joint' and metric == 'agree'")["group"]
    assert list(groups) == ["all", "B", "NK", "T", "monocyte"]


def test_cells_of_one_law_are_at_the_floor(fresh_table):
    rows = overall(fresh_table)
    assert rows.loc[("joint", "cca"), "value"] == pytest.approx(
        rows.loc[("joint", "cca"), "floor"], abs=0.06
    )
    assert rows.loc[("joint", "cca_within"), "value"] == pytest.approx(
        rows.loc[("joint", "cca_within"), "floor"], abs=0.06
    )
    assert (
        rows.loc[("joint", "cross_rmse"), "value"]
        < 1.25 * rows.loc[("joint", "cross_rmse"), "floor"]
    )
    assert rows.loc[("prot", "mmd"), "value"] == pytest.approx(
        rows.loc[("prot", "mmd"), "floor"], abs=0.01
    )


def test_a_joint_classifier_cannot_tell_them():
    rows = overall(judge(FRESH, ["joint_rf"]))
    assert rows.loc[("joint", "joint_rf"), ["value", "floor"]].between(0.4, 0.6).all()


def test_lost_pairs_are_seen_across_modalities_only(fresh_table):
    rows, broken = overall(fresh_table), overall(judge(repaired(FRESH)))
    for modality in ("rna", "prot"):
        np.testing.assert_allclose(
            broken.loc[modality, "value"].astype(float),
            rows.loc[modality, "value"].astype(float),
            rtol=1e-6,
            atol=1e-9,
        )
    floor = rows.loc[("joint", "cca_within"), "floor"]
    assert broken.loc[("joint", "cca_within"), "value"] < 0.4 * floor
    assert floor > 0.1
    assert broken.loc[("joint", "cca"), "value"] < rows.loc[("joint", "cca"), "value"] - 0.08
    assert (
        broken.loc[("joint", "cross_rmse"), "value"]
        > 1.05 * rows.loc[("joint", "cross_rmse"), "value"]
    )


def test_pairs_lost_between_labels_too():
    """Then even the labels of the modalities disagree."""
    everyone = rebuilt(FRESH, FRESH.obs.assign(one="x"))
    rows = overall(judge(repaired(everyone, within="one"), JOINT))
    assert (
        rows.loc[("joint", "agree"), "value"] < 0.5 < 0.9 < rows.loc[("joint", "agree"), "floor"]
    )
    assert rows.loc[("joint", "cca"), "value"] < 0.1
    assert (
        rows.loc[("joint", "cross_rmse"), "value"]
        > 1.5 * rows.loc[("joint", "cross_rmse"), "floor"]
    )


def test_a_shifted_protein_is_seen_in_proteins_only(fresh_table):
    prot = FRESH["prot"].copy()
    prot.X[:, 3] *= 4
    shifted = judge(rebuilt(FRESH, prot=prot))
    rows, rows_before = overall(shifted), overall(fresh_table)
    pd.testing.assert_frame_equal(
        shifted[shifted["modality"] == "rna"], fresh_table[fresh_table["modality"] == "rna"]
    )
    error = rows.loc[("prot", "gene_mean_error"), "value"]
    before = rows_before.loc[("prot", "gene_mean_error"), "value"]
    assert error == pytest.approx(before + np.log10(4) / 12, abs=0.02)
    assert rows.loc[("prot", "mmd"), "value"] > rows.loc[("prot", "mmd"), "floor"] + 0.005


def test_each_modality_is_evaluated_as_rna_would_be_alone():
    """RNA of a MuData has the table of the RNA alone: the same cells, features and draws."""
    together = judge(FRESH, MODAL)
    alone = scdit.tl.evaluate(
        TEST["rna"], FRESH["rna"].copy(), labels_key=LABELS, reference=TRAIN["rna"], metrics=MODAL
    )
    rna = together[together["modality"] == "rna"].drop(columns="modality")
    pd.testing.assert_frame_equal(rna.reset_index(drop=True), alone)


def test_without_reference_and_labels():
    table = judge(FRESH, reference=None, labels_key=None)
    assert set(table["group"]) == {"all"}
    rows = overall(table)
    assert "labels_key" in rows.loc[("joint", "cca_within"), "note"]
    assert "two labels" in rows.loc[("joint", "agree"), "note"]
    assert rows.loc[("joint", "cca"), ["value", "floor"]].notna().all()


def test_the_order_of_cells_and_features_of_a_modality_does_not_matter(fresh_table):
    rng = np.random.default_rng(0)
    prot = FRESH["prot"][:, rng.permutation(12)].copy()
    table = judge(rebuilt(FRESH, prot=prot))
    np.testing.assert_allclose(table["value"], fresh_table["value"], rtol=1e-5, atol=1e-8)
    order = np.arange(300)
    order[[4, 9]] = order[[9, 4]]
    moved = rebuilt(FRESH, prot=FRESH["prot"][order])
    with pytest.warns(UserWarning, match=r"`generated\['prot'\]` are in another order.*2 of 300"):
        table = judge(moved)
    pd.testing.assert_frame_equal(table, fresh_table)


def test_cells_that_lack_a_modality_are_left_out():
    few = FRESH["prot"][20:]
    with pytest.warns(
        UserWarning, match=r"20 of the 300 cells of `generated` lack.*prot: 20.*280"
    ):
        table = judge(rebuilt(FRESH, prot=few), ["mmd", "cca"])
    whole = make_mudata(
        {name: part[20:].copy() for name, part in FRESH.mod.items()}, FRESH.obs[20:]
    )
    pd.testing.assert_frame_equal(table, judge(whole, ["mmd", "cca"]))


def test_a_modality_is_missing():
    with pytest.raises(
        ValueError, match=r"`generated` lacks the modalities 'prot' of `real`.*has 'rna'"
    ):
        judge(rebuilt(FRESH, prot=None))
    more = rebuilt(FRESH, adt2=FRESH["prot"])
    with pytest.warns(UserWarning, match=r"`generated` has modalities that `real` lacks: 'adt2'"):
        table = judge(more, ["mmd"])
    assert list(table["modality"].unique()) == ["rna", "prot"]


def test_no_cell_has_all_modalities():
    prot = FRESH["prot"].copy()
    prot.obs_names = [f"{name}_prot" for name in prot.obs_names]
    mdata = make_mudata(
        {"rna": FRESH["rna"].copy(), "prot": prot},
        pd.DataFrame(index=[*FRESH.obs_names, *prot.obs_names]),
    )
    with pytest.raises(
        ValueError, match=r"no cell of `generated` has all.*rna: cell0.*prot: cell0_prot"
    ):
        judge(mdata)


def test_modalities_that_share_features():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = FRESH["rna"].copy()
        other.obs_names = [f"x{i}" for i in range(300)]
        mdata = mudata.MuData({"rna": FRESH["rna"].copy(), "other": other}, axis=1)
    with pytest.raises(ValueError, match="`generated` has axis=1: its modalities share features"):
        judge(mdata)


def test_a_view_is_read_and_stays_a_view():
    view = rebuilt(FRESH)[:280]
    assert view.is_view
    table = judge(view, ["mmd", "cca"])
    assert view.is_view
    assert "scdit_evaluation" not in view.uns
    whole = make_mudata(
        {name: part[:280].copy() for name, part in FRESH.mod.items()}, FRESH.obs[:280]
    )
    pd.testing.assert_frame_equal(table, judge(whole, ["mmd", "cca"]))
    pd.testing.assert_frame_equal(whole.uns["scdit_evaluation"], table)


def test_labels_are_found_in_a_modality(fresh_table):
    bare = [rebuilt(mdata, mdata.obs[[]]) for mdata in (TEST, FRESH, TRAIN)]
    for key in (LABELS, f"rna:{LABELS}"):
        table = scdit.tl.evaluate(
            *bare[:2], labels_key=key, reference=bare[2], metrics=[*MODAL, *JOINT]
        )
        pd.testing.assert_frame_equal(table, fresh_table)
    bare[0]["prot"].obs[LABELS] = bare[0]["prot"].obs[LABELS].to_numpy()[::-1]
    with pytest.raises(
        ValueError, match=r"`real\['rna'\]` and of `real\['prot'\]` differ in \d+ cells"
    ):
        scdit.tl.evaluate(*bare[:2], labels_key=LABELS)
    with pytest.raises(KeyError, match=r"`real` has no column 'type'.*real\['rna'\]"):
        judge(FRESH, labels_key="type")


@pytest.mark.parametrize("where", ["real", "generated", "reference"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: np.log1p(x) - np.log1p(x).mean(1, keepdims=True),
            "looks CLR-normalised or scaled",
        ),
        (lambda x: np.log1p(x) - np.log1p(x).mean(0), "looks CLR-normalised or scaled"),
        (
            lambda x: np.log1p(x / np.exp(np.log1p(x).mean(1, keepdims=True))),
            "CLR-normalised as in Seurat",
        ),
        (lambda x: (np.log(x + 10) - np.log(18)) / 0.4, "looks DSB-normalised"),
    ],
    ids=["clr-cells", "clr-proteins", "clr-seurat", "dsb"],
)
def test_proteins_that_are_no_counts_are_named(where, change, message):
    sides = {"real": TEST, "generated": FRESH, "reference": TRAIN}
    prot = sides[where]["prot"].copy()
    prot.layers["counts"] = prot.X
    prot.X = change(prot.X.astype(np.float64))
    sides[where] = rebuilt(sides[where], prot=prot)
    expected = rf"`{where}\['prot'\]` does not hold raw counts.*{message}.*layer='counts'"
    with pytest.raises(ValueError, match=expected):
        scdit.tl.evaluate(metrics=["mmd"], **sides)


def test_a_layer_of_one_modality(fresh_table):
    """Other modalities have their counts in X."""
    sides = []
    for mdata in (TEST, TRAIN):
        rna = mdata["rna"].copy()
        rna.layers["counts"] = rna.X.copy()
        rna.X = rna.X.log1p()
        sides.append(rebuilt(mdata, rna=rna))
    table = judge(FRESH, real=sides[0], reference=sides[1], layer="counts")
    pd.testing.assert_frame_equal(table, fresh_table)
    with pytest.raises(KeyError, match="no modality of `real` has a layer 'raw'"):
        judge(FRESH, layer="raw")


def test_repeated_and_missing_names():
    prot = FRESH["prot"].copy()
    prot.var_names = ["protein0", *prot.var_names[:-1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata says so each time it sees them
        repeated = rebuilt(FRESH, prot=prot)
    with pytest.raises(ValueError, match=r"`generated\['prot'\].var_names` repeats names"):
        judge(repeated)
    with pytest.raises(
        ValueError, match=r"`generated\['prot'\]` lacks 2 of the 12 proteins of `real`"
    ):
        judge(rebuilt(FRESH, prot=FRESH["prot"][:, :10]))


def test_what_a_modality_counts_can_be_said(fresh_table):
    def named(name):
        return [
            make_mudata({"rna": m["rna"].copy(), name: m["prot"].copy()}, m.obs)
            for m in (TEST, FRESH, TRAIN)
        ]

    def table(name, **kwargs):
        real, made, train = named(name)
        return judge(made, real=real, reference=train, **kwargs)["value"]

    pd.testing.assert_series_equal(table("ADT"), fresh_table["value"])
    pd.testing.assert_series_equal(table("x", assays={"x": "protein"}), fresh_table["value"])
    as_rna = table("prot", assays={"prot": "rna"})
    assert not np.allclose(as_rna, fresh_table["value"], rtol=0.01)
    with pytest.raises(
        ValueError, match=r"`real\['x'\]` has 12 features.*assays=\{'x': 'protein'\}"
    ):
        table("x")
    with pytest.raises(ValueError, match="no modality 'proten'.*did you mean 'prot'"):
        judge(FRESH, assays={"proten": "protein"})
    with pytest.raises(
        ValueError, match=r"unknown assays\['prot'\] 'adt': choose one of rna, protein"
    ):
        judge(FRESH, assays={"prot": "adt"})
    with pytest.raises(TypeError, match="assays must be a Mapping"):
        judge(FRESH, assays="protein")
    typed = named("x")
    for mdata in typed:
        mdata["x"].var["feature_types"] = "Antibody Capture"
    pd.testing.assert_series_equal(
        judge(typed[1], real=typed[0], reference=typed[2])["value"], fresh_table["value"]
    )


def test_proteins_in_obsm(fresh_table):
    def plain(mdata, frame):
        adata = mdata["rna"].copy()
        values = mdata["prot"].X
        if frame:
            values = pd.DataFrame(values, index=adata.obs_names, columns=mdata["prot"].var_names)
        else:
            adata.uns["protein_names"] = mdata["prot"].var_names.to_numpy()
        adata.obsm["protein_expression"] = values
        return adata

    real, train = plain(TEST, True), plain(TRAIN, False)
    for made in (plain(FRESH, False), rebuilt(FRESH)):
        before = list(made.uns)
        table = judge(
            made, real=real, reference=train, protein_expression_obsm_key="protein_expression"
        )
        pd.testing.assert_frame_equal(table, fresh_table)
        assert set(made.uns) - set(before) == {"scdit_evaluation"}
    with pytest.raises(
        KeyError, match=r"`real.obsm` has no 'proteins'; it has 'protein_expression'"
    ):
        judge(FRESH, real=real, protein_expression_obsm_key="proteins")


def test_sides_of_different_classes():
    with pytest.raises(TypeError, match="of one class, got real: MuData, generated: AnnData"):
        judge(FRESH["rna"])
    with pytest.raises(TypeError, match="reference must be an AnnData or MuData, got DataFrame"):
        judge(FRESH, reference=TRAIN.obs)
    with pytest.raises(ValueError, match=r"metrics \['cca'\] compare modalities"):
        scdit.tl.evaluate(TEST["rna"], FRESH["rna"], metrics=["cca"])
    with pytest.raises(ValueError, match="assays names modalities of a MuData"):
        scdit.tl.evaluate(TEST["rna"], FRESH["rna"], metrics=["mmd"], assays={"rna": "rna"})


def test_copies_are_those_in_all_modalities():
    """Real RNA with new proteins is what predict_modality returns, and no copy."""
    with pytest.warns(UserWarning, match="100% of the cells of `generated` are exact copies"):
        judge(rebuilt(TEST), ["mmd"])
    predicted = rebuilt(TEST, prot=repaired(TEST, within=LABELS)["prot"])
    table = judge(predicted, ["mmd"])
    assert (table["note"] == "").all()


def test_marked_cells_on_the_wrong_side():
    marked = rebuilt(FRESH)
    marked["prot"].obs["scdit_generated"] = True
    judge(marked, ["mmd"])
    with pytest.warns(UserWarning, match="`reference` holds 300 generated cells"):
        judge(FRESH, ["mmd"], reference=marked)


def test_the_table_survives_h5mu(tmp_path):
    made = rebuilt(FRESH)
    table = judge(made, ["mmd", "cca"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.write(tmp_path / "made.h5mu")
        stored = mudata.read_h5mu(tmp_path / "made.h5mu").uns["scdit_evaluation"]
    pd.testing.assert_frame_equal(
        stored.reset_index(drop=True), table, check_dtype=False, check_categorical=False
    )


def contents(mdata):
    return {
        name: (
            (part.X.toarray() if sp.issparse(part.X) else part.X).tobytes(),
            part.obs.to_json(), part.var.to_json(), list(part.uns), list(part.layers),
            list(part.obs_names),
        )
        for name, part in mdata.mod.items()
    } | {"obs": mdata.obs.to_json(), "uns": list(mdata.uns), "var": list(mdata.var_names)}  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        lambda real, made, train: judge(made, real=real, reference=train),
        lambda real, made, train: scdit.tl.report(
            real, made, "r.html", labels_key=LABELS, reference=train, basis="pca",
            evaluation=judge(made, ["mmd"], real=real, reference=train),
        ),
        lambda real, made, train: scdit.pl.embedding(real, made, LABELS, basis="pca"),
        lambda real, made, train: scdit.pl.proteins(real, made),
        lambda real, made, train: scdit.pl.correlation(real, made, modality="prot"),
    ],
    ids=["evaluate", "report", "embedding", "proteins", "correlation"],
)  # fmt: skip
def test_the_users_cells_stay_as_they_are(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides = [rebuilt(mdata) for mdata in (TEST, FRESH, TRAIN)]
    before = [contents(mdata) for mdata in sides]
    call(*sides)
    sides[1].uns.pop("scdit_evaluation", None)  # which evaluate says that it writes
    assert [contents(mdata) for mdata in sides] == before


def multiome(n, seed):
    return scdit.datasets.synthetic_multiome(n, rng=seed, n_genes=120, n_peaks=400)


def test_chromatin():
    train, test, fresh = (multiome(n, seed) for n, seed in ((700, 0), (300, 1), (300, 2)))
    rows = overall(judge(fresh, real=test, reference=train))
    assert rows[["value", "floor"]].notna().all(axis=None)
    assert rows.loc[("joint", "cca_within"), "value"] == pytest.approx(
        rows.loc[("joint", "cca_within"), "floor"], abs=0.08
    )
    assert rows.loc[("atac", "label_fidelity"), "value"] > 0.9
    broken = overall(judge(repaired(fresh, "atac"), JOINT, real=test, reference=train))
    assert (
        broken.loc[("joint", "cca_within"), "value"]
        < 0.4 * broken.loc[("joint", "cca_within"), "floor"]
    )


def test_depth_is_no_component_of_chromatin():
    """TF-IDF components tell types, not depth, which would be the first of them."""
    from scdit.tl._features import fit_features
    from scdit.tl._population import Population

    cells = multiome(600, 0)["atac"]
    population = Population(sp.csr_matrix(cells.X), kind="atac")
    components = fit_features(population).project(population)
    depth = np.log(population.library_size)
    assert components.shape == (600, 30)
    assert max(abs(np.corrcoef(depth, c)[0, 1]) for c in components.T[:5]) < 0.3
    twice = Population(population.counts * 2, kind="atac")
    np.testing.assert_allclose(fit_features(twice).project(twice), components, atol=1e-6)


def test_three_modalities_have_each_pair():
    sides = []
    for n, seed in ((300, 0), (150, 1), (150, 2)):
        first, second = citeseq(n, seed), multiome(n, seed)
        parts = {"rna": first["rna"], "prot": first["prot"], "atac": second["atac"]}
        sides.append(make_mudata({k: v.copy() for k, v in parts.items()}, first.obs))
    train, test, fresh = sides
    table = judge(fresh, ["mmd", "joint_rf", "agree"], real=test, reference=train)
    of = table.groupby("modality", sort=False)["metric"].unique().map(list).to_dict()
    assert of == {
        "rna": ["mmd"], "prot": ["mmd"], "atac": ["mmd"], "joint": ["joint_rf"],
        "rna+prot": ["agree"], "rna+atac": ["agree"], "prot+atac": ["agree"],
    }  # fmt: skip


def test_one_modality_has_nothing_to_fit_to():
    sides = [rebuilt(mdata, rna=None) for mdata in (TEST, FRESH, TRAIN)]
    table = judge(sides[1], ["mmd"], real=sides[0], reference=sides[2])
    assert list(table["modality"].unique()) == ["prot"]
    with pytest.raises(ValueError, match="compare modalities"):
        judge(sides[1], ["cca"], real=sides[0], reference=sides[2])


def test_a_report_has_sections_of_each_modality(tmp_path):
    table = judge(FRESH, ["mmd", "cca", "marker_slope"])
    made = rebuilt(FRESH)
    made.uns["scdit"] = {"sampler": "heun"}
    path = scdit.tl.report(
        TEST, made, tmp_path / "r.html", labels_key=LABELS, reference=TRAIN, evaluation=table,
        basis="pca",
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    # evaluation, embedding, two of each modality, and the proteins
    assert page.count('src="data:image/png;base64,') == 7
    assert re.findall(r"<h[23]>(.*?)</h", page) == [
        "At a glance", "Embedding", "rna: genes", "prot: proteins", "All cells", "rna", "prot",
        "joint", "Each label", "rna", "prot", "What the cells reveal of the training cells",
        "Provenance",
    ]  # fmt: skip
    assert "300 generated cells against 300 real cells of 120 genes and 12 proteins" in page
    assert "Not drawn" not in page
    assert "membership_auroc" in page


def test_a_report_audits_whatever_modalities_there_are(tmp_path):
    """Copies of proteins are found in cells that have no RNA."""
    test, train = (rebuilt(mdata, rna=None) for mdata in (TEST, TRAIN))
    page = scdit.tl.report(
        test, rebuilt(TRAIN, rna=None), tmp_path / "r.html", reference=train, basis="pca",
        evaluation=judge(FRESH, ["mmd"]),
    ).read_text(encoding="utf-8")  # fmt: skip
    assert re.search(r"<td>exact_duplicates</td>\s*<td>all</td>\s*<td>1</td>", page)


def test_nothing_but_counts_matters_to_ad_views():
    """AnnData views inside a MuData are read too."""
    view = ad.AnnData(FRESH["prot"].X, obs=FRESH["prot"].obs, var=FRESH["prot"].var)[::-1][::-1]
    assert view.is_view
    table = judge(rebuilt(FRESH, prot=view), ["mmd"])
    pd.testing.assert_frame_equal(table, judge(FRESH, ["mmd"]))


def test_a_mudata_that_cannot_be_paired():
    twice = rebuilt(FRESH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prot = FRESH["prot"].copy()
        prot.obs_names = ["cell0", *prot.obs_names[:-1]]
        twice.mod["prot"] = prot
    with pytest.raises(ValueError, match=r"`generated\['prot'\].obs_names` repeats names"):
        judge(twice)
    stale = rebuilt(FRESH)
    for part in stale.mod.values():
        part.obs_names = [f"new{i}" for i in range(300)]
    with pytest.raises(ValueError, match=r"`generated.obs` lacks 300 cells.*generated.update\(\)"):
        judge(stale)


def test_missing_values_of_a_shared_column():
    obs = FRESH.obs.copy()
    obs.loc[obs.index[:3], LABELS] = np.nan
    with pytest.raises(ValueError, match=r"`generated.obs\['cell_type'\]` has 3 missing values"):
        judge(rebuilt(FRESH, obs))
