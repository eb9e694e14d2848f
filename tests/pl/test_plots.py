import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection
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
    ideal = {"coverage": 1, "c2st_rf_pca": 0.5, "pc_sd_ratio": 1, "memorization_ratio": 1}
    table = pd.DataFrame(rows, columns=columns).assign(n=60, note="")
    table["ideal"] = table["metric"].map(ideal).fillna(0.0)
    table.loc[table["value"].isna(), "note"] = "too few cells"
    return table


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
    assert [ax.get_title() for ax in axes] == [
        "origin, 60 cells each",
        "real: cell_type",
        "generated: cell_type",
    ]
    # all cells stand in each panel, beside the empty dots of the legend
    assert [n_points(ax) for ax in axes] == [120, 120, 120]
    labels = [text.get_text() for text in axes[-1].get_legend().get_texts()]
    assert labels == ["B", "NK", "T"]


def places(ax) -> set:
    """Rounded coordinates of what a panel shows in colour."""
    return {tuple(xy) for xy in ax.collections[1].get_offsets().data.round(2)}


def test_embedding_is_shaped_by_real_cells_alone(pair):
    real, generated = pair
    first = scdit.pl.embedding(real, generated, "cell_type", basis="pca")
    second = scdit.pl.embedding(real, generated[:5].copy(), "cell_type", basis="pca")
    assert len(places(second[1])) == 5
    for shown, among in zip(second[1:], first[1:], strict=True):
        assert places(shown) < places(among)


def test_embedding_draws_equal_numbers_with_their_colors(pair):
    real, generated = pair
    real.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    real.obs["size"] = np.arange(real.n_obs) + 0.5
    generated.obs["size"] = 0.5
    few = generated[:20].copy()
    axes = scdit.pl.embedding(real, few, "cell_type", basis="pca")
    assert [n_points(ax) for ax in axes] == [40, 40, 40]
    assert axes[0].get_title() == "origin, 20 cells each"
    everything = scdit.pl.embedding(real, generated, "cell_type", basis="pca")
    shades = [
        {
            tuple(xy): tuple(shade)
            for xy, shade in zip(
                ax.collections[1].get_offsets().data.round(2),
                ax.collections[1].get_facecolors(),
                strict=True,
            )
        }
        for ax in (axes[1], everything[1])
    ]
    assert shades[0].items() <= shades[1].items()


def test_embedding_is_fitted_on_training_cells_alone(pair):
    """If they are given: both sides are then placed alike."""
    real, generated = pair
    held_out, training = real[:20].copy(), real[20:].copy()
    few = generated[:20].copy()
    axes = scdit.pl.embedding(held_out, few, "cell_type", basis="pca", reference=training)
    swapped = scdit.pl.embedding(few, held_out, "cell_type", basis="pca", reference=training)
    assert places(axes[1]) == places(swapped[2])
    assert places(axes[2]) == places(swapped[1])
    as_fitted = scdit.pl.embedding(training, few, "cell_type", basis="pca")
    assert places(axes[2]) == places(as_fitted[2])


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


def test_gene_plots_compare_equal_numbers(pair):
    """All cells of the smaller side, and a sample of the larger one."""
    real, generated = pair
    few = generated[:30].copy()
    ax = scdit.pl.gene_statistics(real, few)[2]
    zeros = ax.collections[0].get_offsets()
    # fractions of 30 cells on both sides, although there are 60 real ones
    np.testing.assert_allclose(zeros * 30, np.rint(zeros * 30), atol=1e-6)
    assert ax.get_xlabel() == "real (30 cells)"
    first, _ = scdit.pl.correlation(real, few, n_genes=20)
    assert first.get_title() == "real, 30 cells"


def test_correlation_panels_share_genes_and_scale(pair):
    real, _ = pair
    first, second = scdit.pl.correlation(real, real[::-1].copy(), n_genes=20)
    images = [ax.images[0] for ax in (first, second)]
    assert images[0].get_array().shape == (20, 20)
    np.testing.assert_allclose(images[0].get_array(), images[1].get_array(), atol=1e-6)
    assert images[0].get_clim() == images[1].get_clim()


def marks(ax) -> list[float]:
    """Steps of the metrics that have a mark, from top to bottom."""
    dots = [c for c in ax.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    return [float(c.get_offsets()[0, 0]) for c in dots]


def test_evaluation_shows_how_many_steps_worse(table):
    ax = scdit.pl.evaluation(table)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert len(names) == 9
    assert names[2] == "random forest on PCs (AUC) [c2st_rf_pca]"
    factor = np.log(4) / np.log(1.25)
    # w2 of half the floor is to the left; what is beyond the edge stands at it
    expected = [factor, 8, 0, 4, np.log(0.5) / np.log(1.25), 8, 8]
    np.testing.assert_allclose(marks(ax), expected)
    texts = [text.get_text() for text in ax.texts]
    # each row without a mark says why, and has its numbers if there are any
    assert "not drawn: value or floor is 0 or negative" in texts
    assert "-0.01" in texts
    assert "too few cells" in texts
    # nothing is cut off
    ax.figure.canvas.draw()
    edges = [
        text.get_window_extent() for text in [*ax.texts, *ax.get_yticklabels()] if text.get_text()
    ]
    assert min(box.x0 for box in edges) >= 0
    assert max(box.x1 for box in edges) <= ax.figure.bbox.width


def test_evaluation_of_draws_has_error_bars(table):
    before = len(scdit.pl.evaluation(table).collections)
    ax = scdit.pl.evaluation(table.assign(sd=[0.5, 0.05] + 8 * [np.nan]))
    assert len(ax.collections) == before + 2
    ends = ax.collections[2].get_segments()[0][:, 0]
    np.testing.assert_allclose(ends, np.log([3.5, 4.5]) / np.log(1.25))
    for column in ("sd", "floor_sd"):
        with pytest.raises(ValueError, match=rf"table\['{column}'\] must hold numbers"):
            scdit.pl.evaluation(table.assign(**{column: "0.1"}))


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
    assert [ax.get_title() for ax in axes] == ["phase 1: codec loss", "phase 2: denoiser loss"]
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


def test_colors_of_denoising_are_those_of_embedding(pair):
    for cells in pair:
        cells.obs["cell_type"] = cells.obs["cell_type"].astype("category")
        names = cells.obs["cell_type"].cat.categories[::-1]
        order = [names[0], "none", *names[1:]]
        cells.obs["cell_type"] = cells.obs["cell_type"].cat.set_categories(order)
    embedding = scdit.pl.embedding(*pair, "cell_type", basis="pca")[-1].get_legend()

    labels = pair[0].obs["cell_type"]
    states = np.random.default_rng(0).normal(size=(2, len(labels), 3))
    for given in (labels, labels.array):
        legend = scdit.pl.denoising(states, given)[0].figure.legends[0]
        found, expected = (
            [
                (text.get_text(), tuple(dot.get_facecolor()[0]))
                for text, dot in zip(key.get_texts(), key.legend_handles, strict=True)
            ]
            for key in (legend, embedding)
        )
        assert found == expected
        assert [name for name, _ in found] == list(names)


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
