"""A cell population on its way from noise to cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from sklearn.decomposition import PCA

from scdit._checks import as_text, check_class, shortened, shown
from scdit.pl._style import GENERATED, check_axes, new_axes, palette, point_size

_MOST_PANELS = 60  # laying out more takes minutes


def denoising(
    states: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[str] | np.ndarray | None = None,
    *,
    colors: Mapping[str, str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw cells along the sampling path, in small multiples from noise to cells.

    All panels show the same plane, that of the first two principal components of the last state,
    at the same scale.

    Parameters
    ----------
    states
        Latent states in the order of sampling, shape (saved steps, cells, dimensions), with at
        most 60 steps.
    labels
        Label of each cell, shape (cells,).
    colors
        Colour of each label. By default those of a palette, in the order of the categories if
        `labels` has such, else in alphabetical order.
    axes
        One axes per saved step. Made if None, at most six in a row.

    Returns
    -------
    The axes, one per saved step.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, there are more than 60 steps, or a label has no
        colour.

    Examples
    --------
    >>> states, obs = model.denoising_path(500, rng=0)
    >>> scdit.pl.denoising(states, obs["cell_type"])
    """
    path = _path(states)
    n_steps, n_cells, _ = path.shape
    check_axes(n_steps, axes)
    shades, legend = _shades(labels, colors, n_cells)
    plane = PCA(2, svd_solver="full").fit(path[-1])
    points = np.stack([plane.transform(state) for state in path])  # (steps, cells, 2)

    panels = _grid(n_steps, axes)
    low, high = np.quantile(points.reshape(-1, 2), [0.001, 0.999], axis=0)
    margin = 0.06 * (high - low)
    (left, bottom), (right, top) = low - margin, high + margin
    # a fixed order, so that a cell keeps its place above or below the others
    order = np.random.default_rng(0).permutation(n_cells)
    for step, (ax, xy) in enumerate(zip(panels, points, strict=True)):
        ax.scatter(
            xy[order, 0], xy[order, 1], s=point_size(n_cells) * 0.6, c=shades[order], linewidths=0,
            rasterized=True,
        )  # fmt: skip
        ax.set(
            xticks=[],
            yticks=[],
            xlim=(left, right),
            ylim=(bottom, top),
            title=_title(step, n_steps),
        )
        ax.set_box_aspect(1)
        ax.spines[:].set_color("#d5d5d5")
    if legend:
        handles = [
            panels[-1].scatter([], [], s=30, c=shade, linewidths=0, label=name)
            for name, shade in legend.items()
        ]
        if axes is None:
            # beside all panels: in one of them it would push the others apart
            panels[0].figure.legend(
                handles=handles, loc="outside center right", frameon=False, handletextpad=0.2
            )
        else:
            panels[-1].legend(handles=handles, frameon=False, handletextpad=0.2)
    return panels


def _path(states: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The states as one array (saved steps, cells, dimensions) of finite numbers."""
    try:
        path = np.asarray(states, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`states` must be numbers (saved steps, cells, dimensions), as many at each step, got "
            f"{shown(states)}"
        ) from error
    if path.ndim != 3 or not len(path) or min(path.shape[1:]) < 2:
        raise ValueError(
            f"`states` must be (saved steps, cells >= 2, dimensions >= 2), not {path.shape}."
        )
    if not np.isfinite(path).all():
        raise ValueError("`states` has values that are not finite: NaN or infinity")
    if len(path) > _MOST_PANELS:
        raise ValueError(
            f"`states` has {len(path)} saved steps, more than the {_MOST_PANELS} panels of a figure: "
            f"pass some, for example states[::{-(-len(path) // 12)}]"
        )
    return path


def _shades(
    labels: Sequence[str] | np.ndarray | None, colors: Mapping[str, str] | None, n_cells: int
) -> tuple[np.ndarray, dict[str, str]]:
    """Return a colour for each cell, and those of the labels."""
    if labels is None:
        return np.full(n_cells, GENERATED), {}
    if isinstance(labels, str) or np.ndim(labels) != 1 or len(labels) != n_cells:
        raise ValueError(
            f"There are {n_cells} cells, but labels of shape {np.shape(labels)}: give one for each."
        )
    names = np.array([as_text(label) for label in labels])
    # those of categories first, in their order and with those that no cell has, as in `embedding`
    dtype = getattr(labels, "dtype", None)
    known = dtype.categories if isinstance(dtype, pd.CategoricalDtype) else []
    present = np.unique(names).tolist()
    every = list(dict.fromkeys([*map(as_text, known), *present]))
    values = [value for value in every if value in present]
    if colors is None:
        colors = dict(zip(every, palette(len(every)), strict=True))
    check_class("colors", colors, Mapping)
    missing = [value for value in values if not is_color_like(colors.get(value))]
    if missing:
        raise ValueError(f"`colors` has no colour for {shortened(missing)}.")
    legend = {value: colors[value] for value in values}
    return np.array([legend[name] for name in names]), legend


def _grid(n: int, axes: Sequence[Axes] | None) -> np.ndarray:
    """Return `n` axes in even rows of at most six, or check those given."""
    n_rows = -(-n // 6)
    if axes is not None or n_rows == 1:
        return new_axes(n, axes, panel=(2.1, 2.3))
    columns = -(-n // n_rows)
    figure, made = plt.subplots(
        n_rows, columns, figsize=(2.1 * columns, 2.3 * n_rows), layout="constrained"
    )
    for unused in made.ravel()[n:]:
        figure.delaxes(unused)
    return made.ravel()[:n]


def _title(step: int, n_steps: int) -> str:
    """Name a panel by how much of the path lies behind it."""
    if step == 0:
        return "noise"
    return "cells" if step == n_steps - 1 else f"{step / (n_steps - 1):.0%}"
