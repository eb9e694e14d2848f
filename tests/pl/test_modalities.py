"""Figures of cells with several modalities."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scdit
from scdit.tl._mudata import make_mudata

REAL, MADE = (scdit.datasets.synthetic_citeseq(150, rng=seed, n_genes=80) for seed in (150, 100))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def n_points(ax):
    return sum(len(collection.get_offsets()) for collection in ax.collections)


def assert_legend_outside(ax):
    """It hides no cells."""
    ax.figure.draw_without_rendering()
    assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())


def test_embedding_of_each_modality_and_of_all_together():
    axes = scdit.pl.embedding(REAL, MADE, "cell_type", basis="pca")
    assert [ax.get_title() for ax in axes] == [
        f"{row}: {panel}"
        for row in ("rna", "prot", "joint")
        for panel in ("origin, 150 cells each", "real: cell_type", "generated: cell_type")
    ]
    assert {n_points(ax) for ax in axes} == {300}
    assert [text.get_text() for text in axes[-1].get_legend().get_texts()] == [
        "B", "NK", "T", "monocyte",
    ]  # fmt: skip
    for row in axes.reshape(3, 3):
        assert len({ax.get_xlim() for ax in row}) == 1
        assert_legend_outside(row[0])
        assert_legend_outside(row[-1])
    assert len(scdit.pl.embedding(REAL, MADE, basis="pca")) == 3


def test_the_embedding_of_rna_is_that_of_the_rna_alone():
    joint = scdit.pl.embedding(REAL, MADE, basis="pca")[0]
    alone = scdit.pl.embedding(REAL["rna"], MADE["rna"], basis="pca")[0]
    np.testing.assert_allclose(
        *(np.sort(ax.collections[0].get_offsets().data, axis=0) for ax in (joint, alone))
    )


def test_the_joint_embedding_gives_modalities_the_same_weight():
    """Variance of the two does not depend on the depth of one."""
    deep = REAL["prot"].copy()
    deep.X *= 10
    other = make_mudata({"rna": REAL["rna"].copy(), "prot": deep}, REAL.obs)
    points = [
        scdit.pl.embedding(mdata, MADE, basis="pca")[2].collections[0].get_offsets().data
        for mdata in (REAL, other)
    ]
    assert np.ptp(points[1], axis=0) == pytest.approx(np.ptp(points[0], axis=0), rel=0.3)


def test_embedding_takes_colors_of_the_mudata():
    real = make_mudata({k: v.copy() for k, v in REAL.mod.items()}, REAL.obs)
    real.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff", "#000000"]
    axes = scdit.pl.embedding(real, MADE, "cell_type", basis="pca")
    assert {tuple(c) for c in axes[1].collections[1].get_facecolors()} == {
        (1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (0, 0, 0, 1),
    }  # fmt: skip
    # by a column of numbers, found in mdata.obs
    assert len(scdit.pl.embedding(real, MADE, "programme1", basis="pca")) == 9
    with pytest.raises(KeyError, match="`real` has no column 'tissue'"):
        scdit.pl.embedding(real, MADE, "tissue", basis="pca")
    with pytest.raises(ValueError, match="9 panels, but 3 axes"):
        scdit.pl.embedding(real, MADE, "cell_type", basis="pca", axes=plt.subplots(1, 3)[1])


def steps(ax):
    """Densities and edges of real and generated cells."""
    return {patch.get_label(): patch.get_data() for patch in ax.patches}


def test_proteins_are_densities_over_all_cells():
    axes = scdit.pl.proteins(REAL, MADE)
    assert [ax.get_title() for ax in axes] == list(REAL["prot"].var_names)
    assert_legend_outside(axes[3])
    for i, ax in enumerate(axes):
        data = steps(ax)
        assert list(data) == ["real", "generated"]
        for name, mdata in (("real", REAL), ("generated", MADE)):
            density, edges, _ = data[name]
            counts = mdata["prot"].X[:, i]
            widths = np.diff(np.arcsinh(edges / 5))
            assert (density * widths).sum() == pytest.approx(1)
            inside = (counts > edges[3]) & (counts < edges[4])
            assert density[3] * widths[3] == pytest.approx(inside.mean())
        assert ax.get_xscale() == "asinh"
        # whole counts lie between the edges, as many in neighbouring narrow bins
        assert ((edges + 0.5) % 1 == 0).all()


def test_proteins_by_name_and_order():
    shuffled = make_mudata(
        {"rna": MADE["rna"].copy(), "prot": MADE["prot"][:, ::-1].copy()}, MADE.obs
    )
    _, given = plt.subplots(1, 2)
    axes = scdit.pl.proteins(REAL, shuffled, ["isotype", "protein2"], axes=given)
    assert list(axes) == list(given)
    assert [ax.get_title() for ax in axes] == ["isotype", "protein2"]
    density, edges, _ = steps(axes[0])["generated"]
    expected = np.histogram(MADE["prot"][:, "isotype"].X, edges)[0]
    np.testing.assert_allclose(
        density / density.sum(),
        expected
        / np.diff(np.arcsinh(edges / 5))
        / (expected / np.diff(np.arcsinh(edges / 5))).sum(),
    )


def test_at_most_24_proteins_are_drawn():
    many = [scdit.datasets.synthetic_citeseq(40, rng=i, n_genes=20, n_proteins=30) for i in (0, 1)]
    many[0]["prot"].X[:, 4] = many[0]["prot"].X[0, 4]  # which varies least
    axes = scdit.pl.proteins(*many)
    titles = [ax.get_title() for ax in axes]
    assert len(titles) == 24
    assert "protein4" not in titles
    assert titles == [name for name in many[0]["prot"].var_names if name in titles]
    with pytest.raises(ValueError, match="1 to 24 proteins, got 25"):
        scdit.pl.proteins(*many, names=list(many[0]["prot"].var_names[:25]))


def test_proteins_of_anndata():
    sides = [mdata["rna"].copy() for mdata in (REAL, MADE)]
    for adata, mdata in zip(sides, (REAL, MADE), strict=True):
        adata.obsm["protein"] = pd.DataFrame(
            mdata["prot"].X, index=adata.obs_names, columns=mdata["prot"].var_names
        )
    by_key = scdit.pl.proteins(*sides, ["protein3"], protein_expression_obsm_key="protein")
    alone = scdit.pl.proteins(REAL["prot"], MADE["prot"], ["protein3"])
    whole = scdit.pl.proteins(REAL, MADE, ["protein3"], modality="prot")
    for other in (alone, whole):
        np.testing.assert_allclose(steps(other[0])["real"][0], steps(by_key[0])["real"][0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: scdit.pl.proteins(REAL, MADE, ["protin3"]), ValueError, "no protein 'protin3'.*did you mean 'protein3'"),
        (lambda: scdit.pl.proteins(REAL, MADE, "protein3"), TypeError, "names must be a list"),
        (lambda: scdit.pl.proteins(REAL, MADE, []), ValueError, "1 to 24 proteins, got 0"),
        (lambda: scdit.pl.proteins(REAL, MADE, modality="adt"), KeyError, "no modality 'adt'; it has 'rna', 'prot'"),
        (lambda: scdit.pl.proteins(REAL, MADE, modality=3), TypeError, "modality must be a str"),
        (lambda: scdit.pl.proteins(REAL, MADE["prot"]), TypeError, "of one class"),
        (lambda: scdit.pl.proteins(REAL["prot"], MADE["prot"], modality="prot"), ValueError, "are for MuData"),
        (lambda: scdit.pl.proteins(REAL, MADE, ["isotype"], axes=plt.subplots(1, 2)[1]), ValueError, "1 panels, but 2 axes"),
        (lambda: scdit.pl.proteins(*[make_mudata({"rna": m["rna"].copy()}, m.obs) for m in (REAL, MADE)]), ValueError, "none of the modalities 'rna' holds proteins"),
        (lambda: scdit.pl.correlation(REAL, MADE, modality="adt"), KeyError, "no modality 'adt'"),
        (lambda: scdit.pl.gene_statistics(REAL["rna"], MADE["rna"], modality="rna"), ValueError, "are for MuData"),
        (lambda: scdit.pl.embedding(REAL, MADE, assays={"x": "rna"}, basis="pca"), ValueError, "no modality 'x'"),
    ],
)  # fmt: skip
def test_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_gene_plots_of_a_modality():
    axes = scdit.pl.gene_statistics(REAL, MADE, modality="prot")
    assert "12 proteins" in axes[0].texts[0].get_text()
    np.testing.assert_allclose(
        np.sort(axes[0].collections[0].get_offsets()[:, 0]),
        np.sort(REAL["prot"].X.mean(0)),
        rtol=1e-5,
    )
    # the first without a name
    assert "80 genes" in scdit.pl.gene_statistics(REAL, MADE)[2].texts[0].get_text()
    first, _ = scdit.pl.correlation(REAL, MADE, modality="prot")
    assert first.images[0].get_array().shape == (12, 12)
    expected = np.corrcoef(np.log1p(REAL["prot"].X).T)
    np.testing.assert_allclose(
        np.sort(first.images[0].get_array(), axis=None), np.sort(expected, axis=None), atol=1e-5
    )


def test_evaluation_names_the_modality():
    rows = [("rna", "mmd", 2.0), ("prot", "mmd", 1.0), ("joint", "cca", 0.5)]
    table = pd.DataFrame(rows, columns=["modality", "metric", "value"]).assign(
        group="all", floor=1.0, better="lower", ideal=0.0, n=60, note=""
    )
    names = [text.get_text() for text in scdit.pl.evaluation(table).get_yticklabels()]
    assert names == [
        "rna: distance of the cells (MMD²) [mmd]",
        "prot: distance of the cells (MMD²) [mmd]",
        "joint: modalities fit together [cca]",
    ]
