"""Real and generated cells in one embedding that only real cells shaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from mudata import MuData
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from scdit._checks import check_choice, check_rng
from scdit.pl._cells import equal_rows
from scdit.pl._coordinates import Basis, Cells, embed
from scdit.pl._style import GENERATED, REAL, check_axes, label_colors, new_axes, point_size
from scdit.tl._modal_sides import check_all_sides
from scdit.tl._modalities import Modalities
from scdit.tl._population import (
    Population,
    check_key,
    read_column,
    read_labels,
    read_pair,
    read_population,
)
from scdit.tl._read_modalities import read_modalities

_MAX_LABELS = 20  # a column of more different whole numbers has a colour scale


def embedding(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    color: str | None = None,
    *,
    reference: AnnData | MuData | None = None,
    basis: Basis = "umap",
    layer: str | None = None,
    axes: Sequence[Axes] | None = None,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    assays: Mapping[str, str] | None = None,
    protein_expression_obsm_key: str | None = None,
) -> np.ndarray:
    """Draw as many real as generated cells, in an embedding fitted on real cells only.

    Generated cells are placed into the finished embedding and do not influence it. Of the side with
    more cells, a random sample is drawn, and all are drawn in random order.
    Of MuData, each modality has an embedding, and so have all together: their components side by
    side, each modality with the same total variance.

    Parameters
    ----------
    real
        Real cells with raw counts.
    generated
        Generated cells with raw counts of the same genes, in any order.
    color
        Column of `obs`. Adds a panel of real and one of generated cells. Numbers have a colour
        scale, except integers of at most 20 different values. Labels have the colours that scanpy
        stored in ``real.uns``, if there are any, or else a colour-blind-safe palette (up to 8 labels)
        or scanpy's (more).
    reference
        The training cells, if `real` are held-out cells: the embedding is then fitted on them (up to
        5,000), and both sides are placed into it alike. Otherwise it is fitted on `real`, and UMAP
        places generated cells near the edges of clusters, however good they are.
    basis
        ``"umap"`` of 30 principal components, or the first two ``"pca"`` components.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    axes
        One axes without `color`, three with it; as many for each modality of a MuData and for all
        together. Made if None.
    rng
        Seed or generator, for UMAP, for the cells that are drawn and for their order.
    assays, protein_expression_obsm_key
        As in :func:`scdit.tl.evaluate`.

    Returns
    -------
    The axes: origin and, with `color`, real labels and generated labels; for one modality of a
    MuData after the other, and then for all together.

    Raises
    ------
    KeyError
        If `real` or `generated` has no column `color`, or `real` no such layer.
    TypeError
        If an argument is of the wrong class.
    ValueError
        If `basis` is unknown, values are no counts, genes are missing, or the column has missing or
        infinite values, mixed types or more than 102 labels.

    Examples
    --------
    >>> axes = scdit.pl.embedding(test, new, "cell_type", reference=train)
    >>> axes[0].figure.savefig("embedding.pdf", bbox_inches="tight")
    """
    real, generated, reference = check_all_sides(
        real, generated, reference, protein_expression_obsm_key=protein_expression_obsm_key
    )
    check_choice("basis", basis, ("umap", "pca"))
    rng = np.random.default_rng(check_rng(rng))
    check_key("color", color)
    check_key("layer", layer)
    n_sections = 1
    if isinstance(real, MuData) and len(real.mod) > 1:
        n_sections = len(real.mod) + 1
    width = 1 if color is None else 3
    check_axes(n_sections * width, axes)
    paired = _paired(real, generated, reference, assays) if isinstance(real, MuData) else None
    if color is not None:
        of_sides, add_key = _shades(paired[:2] if paired else (real, generated), color)
    cells, fitted = (
        _read(*paired, layer) if paired else _read_one(real, generated, reference, layer)
    )
    seed = int(rng.integers(2**31))
    n_real, n_generated = (len(side) for side in next(iter(cells.values())))
    rows = equal_rows(n_real, n_generated, rng)
    if color is not None:
        of_sides = [shades[keep] for shades, keep in zip(of_sides, rows, strict=True)]
    points = embed(cells, fitted, rows, basis, seed)
    panels = new_axes(
        n_sections * width,
        axes,
        panel=(4.2, 4.2),
        columns=None if color is None else 3,
        # each modality has an embedding of its own
        sharex=True if n_sections == 1 else "row" if color is not None else False,
        sharey=True if n_sections == 1 else "row" if color is not None else False,
    )
    titles = {"umap": "UMAP", "pca": "PC"}
    for (section, (first, second)), row in zip(
        points.items(), panels.reshape(n_sections, width), strict=True
    ):
        prefix = f"{section}: " if section else ""
        size = point_size(len(first) + len(second))
        origin = np.repeat([REAL, GENERATED], [len(first), len(second)])
        _dots(row[0], np.concatenate([first, second]), origin, size, rng, alpha=0.75)
        row[0].set_title(f"{prefix}origin, {len(first):,} cells each")
        _legend(row[0], {"real": REAL, "generated": GENERATED}, below=True)
        if color is not None:
            for ax, name, xy, other, shades in zip(
                row[1:], ("real", "generated"), (first, second), (second, first), of_sides,
                strict=True,
            ):  # fmt: skip
                # the other side in grey shows where cells are missing
                _dots(ax, other, np.full(len(other), "#ececec"), size, rng)
                _dots(ax, xy, shades, size, rng)
                ax.set_title(f"{prefix}{name}: {color}")
            add_key(row[-1])
        for ax in row:
            ax.set(xticks=[], yticks=[], xlabel=f"{titles[basis]} 1", ylabel="")
            ax.set_box_aspect(1)
        row[0].set_ylabel(f"{titles[basis]} 2")
    return panels


def _paired(
    real: MuData,
    generated: MuData,
    reference: MuData | None,
    assays: Mapping[str, str] | None,
) -> tuple[Modalities, Modalities, Modalities | None]:
    """Pair the cells of all sides."""
    first = read_modalities(real, "real", assays=assays)
    training = None if reference is None else read_modalities(reference, "reference", like=first)
    return first, read_modalities(generated, "generated", like=first), training


def _read(
    real: Modalities, generated: Modalities, reference: Modalities | None, layer: str | None
) -> tuple[dict[str, Cells], dict[str, Population]]:
    """Read the counts of each modality of both sides, and of `reference`, if there is one."""
    first, second = real.populations(layer=layer), generated.populations(real, layer=layer)
    training = {} if reference is None else reference.populations(real, layer=layer)
    return {name: (first[name], second[name]) for name in first}, training


def _read_one(
    real: AnnData, generated: AnnData, reference: AnnData | None, layer: str | None
) -> tuple[dict[str, Cells], dict[str, Population]]:
    """Do the same for AnnData objects."""
    cells = {"": read_pair(real, generated, layer=layer)}
    if reference is None:
        return cells, {}
    genes = list(real.var_names)
    return cells, {"": read_population(reference, "reference", genes=genes, layer=layer)}


def _shades(
    cells: tuple[AnnData | Modalities, AnnData | Modalities], color: str
) -> tuple[list[np.ndarray], Callable[[Axes], object]]:
    """Colours of the cells of both sides, and a function that adds their key to a panel.

    Numbers have a colour scale, all else a colour for each label.
    """
    named = {
        name: side.with_column(color) if isinstance(side, Modalities) else side
        for name, side in zip(("real", "generated"), cells, strict=True)
    }
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
    colors = label_colors(named["real"], color, sorted(known))
    present = {label: shade for label, shade in colors.items() if label in known}
    shades = [np.array([colors[value] for value in side]) for side in labels]
    return shades, lambda ax: _legend(ax, present)


def _are_numbers(columns: Sequence[pd.Series]) -> bool:
    """Whether columns have a colour scale: all numeric, and not whole numbers of few values."""
    columns = [column.infer_objects() for column in columns]
    if not all(is_numeric_dtype(c.dtype) and not is_bool_dtype(c.dtype) for c in columns):
        return False
    values = pd.concat(columns, ignore_index=True)
    return bool((values % 1 != 0).any()) or values.nunique() > _MAX_LABELS


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


def _legend(ax: Axes, colors: dict[str, str], *, below: bool = False) -> None:
    """Add a legend of dots, to the right of a panel or below it."""
    handles = [
        ax.scatter([], [], s=36, c=shade, linewidths=0, label=name)
        for name, shade in colors.items()
    ]
    ax.legend(
        handles=handles,
        loc="upper center" if below else "center left",
        bbox_to_anchor=(0.5, -0.06) if below else (1.02, 0.5),
        frameon=False,
        handletextpad=0.2,
        ncols=len(colors) if below else 1 + (len(colors) > 16),
    )
