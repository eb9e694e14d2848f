"""Real and generated cells in one embedding that only the real cells shaped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from scdit._checks import check_choice, check_rng
from scdit.pl._style import GENERATED, REAL, check_axes, label_colors, new_axes, point_size
from scdit.tl._features import fit_features
from scdit.tl._population import (
    Population,
    check_key,
    check_sides,
    read_column,
    read_labels,
    read_pair,
)

_MAX_LABELS = 20  # a column of more different whole numbers has a colour scale
Basis = Literal["umap", "pca"]


def embedding(
    real: AnnData,
    generated: AnnData,
    color: str | None = None,
    *,
    basis: Basis = "umap",
    layer: str | None = None,
    axes: Sequence[Axes] | None = None,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> np.ndarray:
    """Draw real and generated cells together, in an embedding fitted on the real ones only.

    Generated cells are placed into the finished embedding: they cannot bend it in their favour.

    Parameters
    ----------
    real, generated
        Cells with raw counts and the same genes, in any order.
    color
        Column of `obs`. Adds a panel of real and one of generated cells. Numbers have a colour
        scale, unless they are whole and of at most 20 values; all else is coloured by label, with
        the colours in ``real.uns`` where scanpy has left some, else with its palette.
    basis
        ``"umap"`` of 30 principal components, or the first two ``"pca"`` components.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    axes
        One axes without `color`, three with it. Made if None.
    rng
        Seed or generator, for UMAP and for the order in which cells are drawn.

    Returns
    -------
    The axes: origin and, with `color`, real labels and generated labels.

    Raises
    ------
    KeyError
        If `real` or `generated` has no column `color`, or `real` no such layer.
    TypeError
        If an argument is of the wrong class.
    ValueError
        If `basis` is unknown, values are no counts, genes are missing, or the column has missing or
        infinite values, mixed types or more than 102 labels.
    """
    check_sides(real, generated)
    check_choice("basis", basis, ("umap", "pca"))
    rng = np.random.default_rng(check_rng(rng))
    check_key("color", color)
    check_key("layer", layer)
    check_axes(1 if color is None else 3, axes)
    if color is not None:
        of_sides, add_key = _shades(real, generated, color)
    cells = read_pair(real, generated, layer=layer)
    points = _embed(*cells, basis, seed=int(rng.integers(2**31)))
    titles = {"umap": "UMAP", "pca": "PC"}
    panels = new_axes(1 if color is None else 3, axes, panel=(4.2, 4.2), sharex=True, sharey=True)
    size = point_size(sum(map(len, points)))

    origin = np.repeat([REAL, GENERATED], [len(xy) for xy in points])
    _dots(panels[0], np.concatenate(points), origin, size, rng, alpha=0.75)
    panels[0].set_title("origin")
    _legend(panels[0], {"real": REAL, "generated": GENERATED}, outside=False)
    if color is not None:
        for ax, name, xy, other, shades in zip(
            panels[1:], ("real", "generated"), points, reversed(points), of_sides, strict=True
        ):
            # the other side in grey shows where cells are missing
            _dots(ax, other, np.full(len(other), "#ececec"), size, rng)
            _dots(ax, xy, shades, size, rng)
            ax.set_title(f"{name}: {color}")
        add_key(panels[-1])
    for ax in panels:
        ax.set(xticks=[], yticks=[], xlabel=f"{titles[basis]} 1", ylabel="")
        ax.set_box_aspect(1)
    panels[0].set_ylabel(f"{titles[basis]} 2")
    return panels


def _shades(
    real: AnnData, generated: AnnData, color: str
) -> tuple[list[np.ndarray], Callable[[Axes], object]]:
    """Colours of the cells of both sides, and a function that adds their key to a panel.

    Numbers have a colour scale, all else a colour for each label.
    """
    named = {"real": real, "generated": generated}
    columns = [read_column(side, name, color) for name, side in named.items()]
    if _are_numbers(columns):
        values = [column.to_numpy(dtype=np.float64) for column in columns]
        both = np.concatenate(values)
        if not np.isfinite(both).all():
            raise ValueError(f"obs[{color!r}] has infinite values, which no colour scale has")
        scale = ScalarMappable(Normalize(both.min(), both.max()), "viridis")

        def bar(ax: Axes) -> object:
            return ax.figure.colorbar(scale, ax=ax, label=color, fraction=0.046)

        return [scale.to_rgba(v) for v in values], bar
    labels = [read_labels(side, name, color) for name, side in named.items()]
    known = set(np.concatenate(labels))
    colors = label_colors(real, color, sorted(known))
    present = {label: shade for label, shade in colors.items() if label in known}
    shades = [np.array([colors[value] for value in side]) for side in labels]
    return shades, lambda ax: _legend(ax, present, outside=True)


def _are_numbers(columns: Sequence[pd.Series]) -> bool:
    """Whether columns have a colour scale: all numeric, and not whole numbers of few values."""
    columns = [column.infer_objects() for column in columns]
    if not all(is_numeric_dtype(c.dtype) and not is_bool_dtype(c.dtype) for c in columns):
        return False
    values = pd.concat(columns, ignore_index=True)
    return bool((values % 1 != 0).any()) or values.nunique() > _MAX_LABELS


def _embed(
    real: Population, generated: Population, basis: Basis, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return two coordinates for each cell, shapes (n, 2) and (m, 2)."""
    space = fit_features(real, seed=seed)
    real_pcs, generated_pcs = space.project(real), space.project(generated)
    if basis == "pca":
        return real_pcs[:, :2], generated_pcs[:, :2]
    # importing it takes seconds, and warns that TensorFlow is missing, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # type: ignore[import-untyped]

    mapper = UMAP(n_neighbors=min(15, len(real) - 1), random_state=seed, n_jobs=1).fit(real_pcs)
    return mapper.embedding_, mapper.transform(generated_pcs)


def _dots(
    ax: Axes,
    xy: np.ndarray,
    colors: np.ndarray,
    size: float,
    rng: np.random.Generator,
    alpha: float = 1,
) -> None:
    """Draw points in random order, so that no colour hides another."""
    order = rng.permutation(len(xy))
    ax.scatter(
        xy[order, 0], xy[order, 1], s=size, c=colors[order], alpha=alpha, linewidths=0,
        rasterized=True,
    )  # fmt: skip


def _legend(ax: Axes, colors: dict[str, str], *, outside: bool) -> None:
    """Add a legend of dots, within the panel or to its right."""
    handles = [
        ax.scatter([], [], s=36, c=shade, linewidths=0, label=name)
        for name, shade in colors.items()
    ]
    ax.legend(
        handles=handles,
        loc="center left" if outside else "best",
        bbox_to_anchor=(1.02, 0.5) if outside else None,
        frameon=False,
        handletextpad=0.2,
        ncols=1 + (len(colors) > 16),
    )
