"""What the plots share: colours, axes and counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from scanpy.plotting import palettes

from scdit._checks import as_text, shown

REAL = "#4c6a92"
GENERATED = "#e07b39"
NEUTRAL = "#8a8a8a"
# Okabe & Ito 2008, told apart by colour-blind readers
SAFE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def check_axes(
    n: int, axes: Axes | Sequence[Axes] | np.ndarray | None, name: str = "axes"
) -> None:
    """Raise unless `axes` is None or `n` axes.

    Raises
    ------
    TypeError
        If something else than axes was given.
    ValueError
        If the caller gave another number of axes.
    """
    if axes is None:
        return
    given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    for ax in given:
        if not isinstance(ax, Axes):
            raise TypeError(f"{name} must be matplotlib Axes, got {shown(ax)}")
    if len(given) != n:
        raise ValueError(f"This plot has {n} panels, but {len(given)} axes were given.")


def new_axes(
    n: int,
    axes: Sequence[Axes] | np.ndarray | None,
    *,
    panel: tuple[float, float],
    columns: int | None = None,
    **kwargs,
) -> np.ndarray:
    """Return `n` axes in a row (or rows of `columns`), or those given, see :func:`check_axes`.

    Parameters
    ----------
    n
        Number of panels.
    axes
        Axes of the caller, or None.
    panel
        Width and height of a panel in inches.
    columns
        Most panels in a row; None for all.
    kwargs
        Passed to :func:`matplotlib.pyplot.subplots`.
    """
    check_axes(n, axes)
    if axes is None:
        width, height = panel
        columns = min(n, columns or n)
        rows = -(-n // columns)
        _, made = plt.subplots(
            rows,
            columns,
            figsize=(width * columns, height * rows),
            layout="constrained",
            squeeze=False,
            **kwargs,
        )
        for ax in made.flat[n:]:
            ax.remove()
        return made.ravel()[:n]
    return np.atleast_1d(np.asarray(axes, dtype=object)).ravel()


def label_colors(adata: AnnData, key: str, labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each label: those in ``adata.uns``, else scanpy's palette.

    Parameters
    ----------
    adata
        Cells whose ``uns[f"{key}_colors"]`` follows the categories of ``obs[key]``.
    key
        Column of `obs`.
    labels
        Labels to colour; those that `adata` lacks get colours of the palette.
    """
    column = adata.obs[key].astype("category")
    categories = [as_text(category) for category in column.cat.categories]
    names = categories + [label for label in labels if label not in categories]
    stored = adata.uns.get(f"{key}_colors", [])
    chosen = [str(color) for color in stored] if isinstance(stored, Sequence | np.ndarray) else []
    if len(chosen) != len(categories) or not all(map(is_color_like, chosen)):
        chosen = []
    colors = [*chosen, *palette(len(names))[len(chosen) :]]
    return dict(zip(names, colors, strict=True))


def palette(n: int) -> list[str]:
    """Return up to 8 colours that colour-blind readers tell apart; of scanpy's palettes for more.

    Raises
    ------
    ValueError
        If none has as many.
    """
    for colors in (SAFE, palettes.default_20, palettes.default_28, palettes.default_102):
        if n <= len(colors):
            return list(colors[:n])
    raise ValueError(
        f"{n} labels cannot be told apart by colour: draw at most {len(palettes.default_102)}, for "
        "example after grouping rare ones"
    )


def despine(ax: Axes) -> None:
    """Take away the top and right border."""
    ax.spines[["top", "right"]].set_visible(False)


def point_size(n: int) -> float:
    """Marker area for a scatter of `n` points, in square points."""
    return float(np.clip(12000 / max(n, 1), 2, 30))
