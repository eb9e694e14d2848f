"""Genes: real against generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from mudata import MuData
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import squareform

from scdit._checks import check_int
from scdit.pl._cells import equal_numbers
from scdit.pl._style import NEUTRAL, check_axes, despine, new_axes
from scdit.tl._features import N_CORRELATION_GENES, fit_features
from scdit.tl._genes import agreement, gene_correlations, gene_moments
from scdit.tl._kinds import FEATURES
from scdit.tl._modal_sides import check_all_sides, read_modality
from scdit.tl._population import check_key


def gene_statistics(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    *,
    layer: str | None = None,
    axes: Sequence[Axes] | None = None,
    modality: str | None = None,
    assays: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw mean, variance and zero fraction of every gene: generated against real.

    Genes of a good generator lie on the identity line. Points are coloured by how many genes
    lie there. As many real as generated cells are compared, a sample of the side that has more.

    Parameters
    ----------
    real
        Real cells with raw counts.
    generated
        Generated cells with raw counts of the same genes, in any order.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    axes
        Three axes. Made if None.
    modality
        Name of the modality of MuData objects; the first if None.
    assays
        What modalities count, as in :func:`scdit.tl.evaluate`.

    Returns
    -------
    The three axes.

    Raises
    ------
    KeyError, TypeError
        If there is no such layer or modality, or an argument is of the wrong class.
    ValueError
        If values are no counts, genes are missing, or none varies on both sides.

    Examples
    --------
    >>> scdit.pl.gene_statistics(test, new)
    """
    real, generated, _ = check_all_sides(real, generated)
    check_key("layer", layer)
    check_axes(3, axes)
    sides = equal_numbers(*read_modality(real, generated, modality, layer=layer, assays=assays))
    what = FEATURES[sides[0].kind]
    first, second = (gene_moments(cells.counts) for cells in sides)
    # genes that neither side has seen say nothing, and have no logarithm where one side has not
    seen = (first.mean > 0) & (second.mean > 0)
    varying = seen & (first.variance > 0) & (second.variance > 0)
    if not varying.any():
        raise ValueError(
            f"No {what[:-1]} has counts that vary among both real and generated cells."
        )
    panels = new_axes(3, axes, panel=(3.9, 3.9))
    dots = [
        _identity(panels[0], first.mean[seen], second.mean[seen], "mean count", what, log=True),
        _identity(
            panels[1],
            first.variance[varying],
            second.variance[varying],
            "variance of counts",
            what,
            log=True,
        ),
        _identity(panels[2], first.zeros, second.zeros, "fraction of zeros", what, log=False),
    ]
    scale = LogNorm(1, max(2, *(float(np.max(np.asarray(part.get_array()))) for part in dots)))
    for part in dots:
        part.set_norm(scale)
    panels[2].figure.colorbar(
        dots[2], ax=list(panels), label=f"{what} around a point", shrink=0.8, pad=0.01
    )
    panels[0].set_ylabel(f"generated ({len(sides[1]):,} cells)")
    for ax in panels:
        ax.set_xlabel(f"real ({len(sides[0]):,} cells)")
    return panels


def correlation(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    *,
    n_genes: int = 60,
    layer: str | None = None,
    axes: Sequence[Axes] | None = None,
    modality: str | None = None,
    assays: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw gene-gene correlations of real and of generated cells side by side.

    The most variable of the real cells' expressed genes are taken, and ordered by clustering
    their real correlations; both panels have the same genes in the same order. As many real as
    generated cells are taken, a sample of the side that has more: correlations of more cells are
    smoother.

    Parameters
    ----------
    real
        Real cells with raw counts.
    generated
        Generated cells with raw counts of the same genes, in any order.
    n_genes
        How many genes to draw, 3 to 200; fewer where fewer are detected in 5% of the real cells.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    axes
        Two axes. Made if None.
    modality
        Name of the modality of MuData objects; the first if None.
    assays
        What modalities count, as in :func:`scdit.tl.evaluate`.

    Returns
    -------
    The two axes.

    Raises
    ------
    KeyError, TypeError
        If there is no such layer or modality, or an argument is of the wrong class.
    ValueError
        If values are no counts, genes are missing, fewer than 3 genes are expressed, or `n_genes` is
        out of range.

    Examples
    --------
    >>> axes = scdit.pl.correlation(test, new, n_genes=40)
    >>> axes[0].figure.savefig("correlation.pdf", bbox_inches="tight")
    """
    real, generated, _ = check_all_sides(real, generated)
    n_genes = check_int("n_genes", n_genes, 3, N_CORRELATION_GENES)
    check_key("layer", layer)
    check_axes(2, axes)
    cells = equal_numbers(*read_modality(real, generated, modality, layer=layer, assays=assays))
    what = FEATURES[cells[0].kind]
    genes = fit_features(cells[0]).correlation_genes[:n_genes]
    if len(genes) < 3:
        raise ValueError(
            f"Only {len(genes)} {what} vary and are detected in enough of the real cells."
        )
    first, second = (gene_correlations(side.log_expression(genes).toarray()) for side in cells)
    distance = squareform(1 - first, checks=False)
    order = leaves_list(optimal_leaf_ordering(linkage(distance, "average"), distance))

    panels = new_axes(2, axes, panel=(4.4, 4.2))
    limit = float(np.quantile(np.abs(first[np.triu_indices(len(genes), 1)]), 0.99))
    for ax, name, values in zip(panels, ("real", "generated"), (first, second), strict=True):
        image = ax.imshow(
            values[np.ix_(order, order)],
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        ax.set(title=f"{name}, {len(cells[0]):,} cells", xticks=[], yticks=[])
    panels[0].set_ylabel(f"{len(genes)} variable {what}")
    panels[0].figure.colorbar(
        image, ax=list(panels), shrink=0.8, label="Pearson correlation", extend="both"
    )
    return panels


def _identity(
    ax: Axes, x: np.ndarray, y: np.ndarray, name: str, what: str, *, log: bool
) -> PathCollection:
    """Scatter one statistic of genes (proteins, peaks) around the identity line."""
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    ax.plot([low, high], [low, high], color=NEUTRAL, linewidth=1, zorder=0)
    u, v = (np.log10(x), np.log10(y)) if log else (x, y)
    density = _density(u, v)
    order = np.argsort(density)
    dots = ax.scatter(
        x[order], y[order], c=density[order], s=7, cmap="viridis", linewidths=0, rasterized=True
    )
    if log:
        ax.set(xscale="log", yscale="log")
    ax.set_title(name)
    ax.text(
        0.04, 0.96, f"r = {agreement(u, v).r:.3f}\n{len(x):,} {what}", transform=ax.transAxes,
        va="top",
    )  # fmt: skip
    ax.set_box_aspect(1)
    despine(ax)
    return dots


def _density(x: np.ndarray, y: np.ndarray, bins: int = 100) -> np.ndarray:
    """Return the smoothed number of points around each point, at least 1: enough for a colour."""
    counts, *edges = np.histogram2d(x, y, bins=bins)
    # the number in a disc of the filter's size: 4 pi sigma^2 bins
    smooth = gaussian_filter(counts, sigma=1.5) * 4 * np.pi * 1.5**2
    i, j = (
        np.clip(np.digitize(values, edge) - 1, 0, bins - 1)
        for values, edge in zip((x, y), edges, strict=True)
    )
    return np.maximum(smooth[i, j], 1)
