"""Effects of a condition: predicted against real log fold changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scdit._checks import (
    check_class,
    check_int,
    check_names,
    check_rng,
    did_you_mean,
    shortened,
)
from scdit.pl._style import GENERATED, NEUTRAL, check_axes, despine, new_axes
from scdit.tl._effect_cells import read_effect_cells
from scdit.tl._effect_metrics import Case, draw_split, slope
from scdit.tl._genes import pearson

COLUMNS = 4


def effects(
    real: AnnData,
    generated: AnnData,
    *,
    condition_key: str,
    control: str | float,
    condition: str | float,
    labels_key: str,
    labels: Sequence[str] | None = None,
    layer: str | None = None,
    n_genes: int = 100,
    max_cells: int = 3000,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw predicted against real log fold changes of the genes, one panel for each cell type.

    Genes of a right prediction lie on the dashed line, except for noise. Real cells are cut once as
    in :func:`scdit.tl.evaluate_effects`: the coloured genes are chosen on one part, the real log
    fold changes are of another, and the floor is a third in the place of the generated cells.
    Correlation and slope are of the coloured genes. They are of this one cut; the table has means
    over 10.

    Parameters
    ----------
    real
        Held-out real cells of the condition and of the control, with raw counts.
    generated
        Generated cells with at least the genes of `real`, in any order. Only those of the condition
        are used.
    condition_key
        Column of `obs` with conditions.
    control
        Value of that column without the effect.
    condition
        Value of that column with the effect.
    labels_key
        Column of `obs` with cell types.
    labels
        Cell types to draw. By default all that have 15 real cells of the condition, 20 of the
        control and 5 generated ones.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    n_genes
        Number of coloured genes; at most half of all genes are.
    max_cells
        Most cells of a type and condition; more are subsampled.
    rng
        Seed or generator of the cut.
    axes
        One axes for each type. Made if None.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :func:`scdit.tl.evaluate_effects`; also if a type has too few cells, none has enough, or
        there are fewer than 6 genes.

    Examples
    --------
    >>> scdit.pl.effects(
    ...     test,
    ...     new,
    ...     condition_key="condition",
    ...     control="ctrl",
    ...     condition="stim",
    ...     labels_key="cell_type",
    ... )
    """
    for name, side in (("real", real), ("generated", generated)):
        check_class(name, side, AnnData)
    n_genes = check_int("n_genes", n_genes, 3)
    wanted = None if labels is None else list(dict.fromkeys(check_names("labels", labels)))
    if wanted is not None:
        if not wanted:
            raise ValueError("labels must have at least one cell type")
        check_axes(len(wanted), axes)
    generator = np.random.default_rng(check_rng(rng))
    cells = read_effect_cells(
        real,
        generated,
        condition_key=condition_key,
        control=control,
        condition=condition,
        labels_key=labels_key,
        layer=layer,
        max_cells=max_cells,
        rng=generator,
    )
    if real.n_vars < 6:
        raise ValueError(f"`real` has {real.n_vars} genes; at least 6 are needed")
    reasons = {label: cells.lacking(label) for label in cells.labels}
    if wanted is None:
        wanted = [label for label, reason in reasons.items() if not reason]
        if not wanted:
            label, reason = next(iter(reasons.items()))
            raise ValueError(f"No cell type has enough cells. {label}: {reason}")
    for label in wanted:
        if label not in reasons:
            raise ValueError(
                f"labels has the unknown cell type {label!r}. Known: {shortened(list(reasons))}"
                + did_you_mean(label, reasons)
            )
        if reasons[label]:
            raise ValueError(f"labels: {label!r} {reasons[label]}")
    split = draw_split(cells, n_genes, generator)
    panels = new_axes(len(wanted), axes, panel=(3.6, 4.0), columns=COLUMNS)
    for ax, label in zip(panels, wanted, strict=True):
        _panel(ax, label, split.cases[label], cells.size(label))
    return panels


def _panel(ax: Axes, label: str, case: Case, n: int) -> None:
    """Scatter the genes of one label around the identity line."""
    x, y = case.truth.effect, case.effect("value")
    limit = 1.05 * float(max(np.abs(x).max(), np.abs(y).max(), 1e-3))
    ax.plot([-limit, limit], [-limit, limit], color=NEUTRAL, linewidth=1, linestyle="--", zorder=0)
    rest = np.setdiff1d(np.arange(len(x)), case.genes)
    for genes, color, size in ((rest, NEUTRAL, 5), (case.genes, GENERATED, 12)):
        ax.scatter(x[genes], y[genes], c=color, s=size, linewidths=0, alpha=0.7, rasterized=True)
    lines = [
        f"{name} = {function(y[case.genes], x[case.genes]):.2f} "
        f"(floor {function(case.effect('floor')[case.genes], x[case.genes]):.2f})"
        for name, function in (("r", pearson), ("slope", slope))
    ]
    ax.text(0.04, 0.96, "\n".join(lines), transform=ax.transAxes, va="top", fontsize="small")
    ax.set(
        title=f"{label} (n = {n:,})",
        xlabel="real log fold change",
        ylabel="predicted log fold change",
        xlim=(-limit, limit),
        ylim=(-limit, limit),
    )
    ax.set_box_aspect(1)
    despine(ax)
