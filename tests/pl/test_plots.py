import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

import scdit


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def pair(adata):
    """Real cells, and others of the same law."""
    return adata[:60].copy(), adata[60:].copy()


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("frechet", "all", 4.0, 1.0, "lower"),
        ("coverage", "all", 0.5, 1.0, "higher"),
        ("c2st_rf_pca", "all", 0.5, 0.5, "closer"),
        ("pc_sd_ratio", "all", 0.8, 1.0, "closer"),
        ("mmd", "all", 0.1, -0.01, "lower"),
        ("w2", "all", 0.5, 1.0, "lower"),
        ("exact_duplicates", "all", 1.0, 0.0, "lower"),
        ("memorization_ratio", "all", 0.0, 1.0, "closer"),
        ("marker_r", "all", np.nan, np.nan, "higher"),
        ("frechet", "B", 1.0, 1.0, "lower"),
    ]
    columns = ["metric", "group", "value", "floor", "better"]
    return pd.DataFrame(rows, columns=columns).assign(ideal=0.0, n=60, note="")


def n_points(ax) -> int:
    return sum(len(collection.get_offsets()) for collection in ax.collections)


@pytest.mark.parametrize(
    "basis",
    [
        "pca",
        # compiling umap's code takes half a minute
        pytest.param("umap", marks=pytest.mark.slow),
    ],
)
def test_embedding(pair, basis):
    axes = scdit.pl.embedding(*pair, "cell_type", basis=basis)
    assert [ax.get_title() for ax in axes] == ["origin", "real: cell_type", "generated: cell_type"]
    # all cells stand in each panel, beside the empty dots of the legend
    assert [n_points(ax) for ax in axes] == [120, 120, 120]
    labels = [text.get_text() for text in axes[-1].get_legend().get_texts()]
    assert labels == ["B", "NK", "T"]


def test_embedding_is_shaped_by_real_cells_alone(pair):
    real, generated = pair
    first = scdit.pl.embedding(real, generated, "cell_type", basis="pca")
    second = scdit.pl.embedding(real, generated[:5].copy(), "cell_type", basis="pca")
    places = [
        np.sort(axes[1].collections[1].get_offsets().data, axis=0) for axes in (first, second)
    ]
    np.testing.assert_allclose(*places)


def test_embedding_takes_scanpy_colors_and_axes(pair):
    real, generated = pair
    real.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    _, axes = plt.subplots(1, 3)
    returned = scdit.pl.embedding(real, generated, "cell_type", basis="pca", axes=axes)
    assert list(returned) == list(axes)
    shades = {tuple(color) for color in axes[1].collections[1].get_facecolors()}
    assert shades == {to_rgba(color) for color in real.uns["cell_type_colors"]}


def test_embedding_of_origin_alone(pair):
    assert len(scdit.pl.embedding(*pair, basis="pca")) == 1


def test_embedding_refuses_what_it_does_not_know(pair):
    with pytest.raises(ValueError, match="umap"):
        scdit.pl.embedding(*pair, basis="tsne")
    with pytest.raises(KeyError, match="no column 'donor'"):
        scdit.pl.embedding(*pair, "donor", basis="pca")
    with pytest.raises(ValueError, match="3 panels"):
        scdit.pl.embedding(*pair, "cell_type", basis="pca", axes=plt.subplots(1, 2)[1])


def test_gene_statistics_of_equal_cells_lie_on_the_line(pair):
    real, _ = pair
    axes = scdit.pl.gene_statistics(real, real[::-1].copy())
    assert len(axes) == 3
    for ax in axes:
        x, y = ax.collections[0].get_offsets().T
        np.testing.assert_allclose(x, y, rtol=1e-6)
        assert "r = 1.000" in ax.texts[0].get_text()


def test_correlation_panels_share_genes_and_scale(pair):
    real, _ = pair
    first, second = scdit.pl.correlation(real, real[::-1].copy(), n_genes=20)
    images = [ax.images[0] for ax in (first, second)]
    assert images[0].get_array().shape == (20, 20)
    np.testing.assert_allclose(images[0].get_array(), images[1].get_array(), atol=1e-6)
    assert images[0].get_clim() == images[1].get_clim()


def test_evaluation_shows_how_many_times_worse(table):
    ax = scdit.pl.evaluation(table)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[:6] == ["frechet", "coverage", "c2st_rf_pca", "pc_sd_ratio", "mmd", "w2"]
    ratios = ax.collections[-1].get_offsets()[:, 0].filled(np.nan)
    # copies, infinitely worse, stand at the edge
    np.testing.assert_allclose(ratios, [4, 2, 1, 1.25, np.nan, 0.5, 32, 32])
    # the metric without a ratio has its numbers
    assert "-0.01" in [text.get_text() for text in ax.texts]


def test_evaluation_of_a_label(table):
    _, ax = plt.subplots()
    assert scdit.pl.evaluation(table, group="B", ax=ax) is ax
    with pytest.raises(ValueError, match="It has: all, B"):
        scdit.pl.evaluation(table, group="T")


def test_training_draws_a_panel_for_each_phase():
    epochs = pd.Index(range(5), name="epoch")
    history = {
        f"{phase}_loss_{split}": pd.DataFrame({"loss": [5.0, 3, 2, 2.5, 3]}, index=epochs)
        for phase in ("codec", "denoiser")
        for split in ("train", "validation")
    }
    history["codec_reconstruction_loss_train"] = history["codec_loss_train"]

    class Model:
        pass

    model = Model()
    model.history = history
    axes = scdit.pl.training(model)
    assert [ax.get_title() for ax in axes] == ["codec loss", "denoiser loss"]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == [
        "train",
        "validation",
        "best: 2",
    ]
    assert len(scdit.pl.training(history)) == 2


def test_training_without_a_history():
    with pytest.raises(ValueError, match="train the model first"):
        scdit.pl.training(None)
    with pytest.raises(ValueError, match="only: elbo"):
        scdit.pl.training({"elbo": pd.DataFrame({"elbo": [1.0]})})


def test_denoising_draws_every_state():
    states = np.random.default_rng(0).normal(size=(7, 50, 6))
    labels = np.repeat(["B", "T"], 25)
    axes = scdit.pl.denoising(states, labels, colors={"B": "red", "T": "blue"})
    assert [ax.get_title() for ax in axes[[0, 3, -1]]] == ["noise", "50%", "cells"]
    assert all(n_points(ax) == 50 for ax in axes)
    assert len({ax.get_xlim() for ax in axes}) == 1
    figure = axes[0].figure
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["B", "T"]


def test_denoising_without_labels_and_with_axes():
    states = list(np.random.default_rng(0).normal(size=(3, 20, 2)))
    _, axes = plt.subplots(1, 3)
    assert list(scdit.pl.denoising(states, axes=axes)) == list(axes)


def test_denoising_refuses_wrong_shapes():
    states = np.zeros((3, 20, 2)) + np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="saved steps"):
        scdit.pl.denoising(states[0])
    with pytest.raises(ValueError, match="20 cells"):
        scdit.pl.denoising(states, ["B"] * 19)
    with pytest.raises(ValueError, match="no colour"):
        scdit.pl.denoising(states, ["B"] * 20, colors={"T": "red"})
