"""Power and error rates by design."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scdit._checks import check_class, listed
from scdit.pl._style import NEUTRAL, despine, new_axes, palette
from scdit.tl._tables import check_numbers

_COLUMNS = ("n_cells", "metric", "value", "low", "high")


def power(table: pd.DataFrame, *, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """Draw power and error rates over the design, one panel for each metric.

    Without donors the cells of each group are on the horizontal axis, else the donors of each group, with one
    line for each number of cells of a donor. Bars are 95% intervals. The dashed line is the level of
    the test.

    Parameters
    ----------
    table
        What :func:`scdit.tl.power` returns.
    axes
        One axes for each metric. Made if None.

    Returns
    -------
    The axes.

    Raises
    ------
    TypeError
        If `table` is no data frame.
    ValueError
        If it lacks columns, rows or numbers, or another number of axes is given.

    Examples
    --------
    >>> scdit.pl.power(table)
    """
    check_class("table", table, pd.DataFrame)
    missing = [name for name in _COLUMNS if name not in table]
    if missing or not len(table):
        raise ValueError(
            f"table must be what scdit.tl.power returns; it lacks {listed(missing or ['rows'])}"
        )
    check_numbers("table", table, ("n_donors", "n_cells", "value", "low", "high"))
    by_donors = "n_donors" in table
    x, label = (
        ("n_donors", "donors in each group") if by_donors else ("n_cells", "cells in each group")
    )
    metrics = list(dict.fromkeys(table["metric"]))
    panels = new_axes(len(metrics), axes, panel=(3.4, 3.2))
    for ax, metric in zip(panels, metrics, strict=True):
        own = table[table["metric"] == metric].sort_values(x)
        lines = list(own.groupby("n_cells")) if by_donors else [(None, own)]
        for k, ((n, line), color) in enumerate(zip(lines, palette(len(lines)), strict=True)):
            ends = np.stack([line["value"] - line["low"], line["high"] - line["value"]])
            name = None if n is None else f"{n} cells per donor"
            ax.errorbar(
                line[x] * 1.03 ** (k - (len(lines) - 1) / 2), line["value"], yerr=ends, color=color, label=name,
                marker="o", markersize=4, linewidth=1.6, capsize=2,
            )  # fmt: skip
        if metric != "power" and "alpha" in table.attrs:
            ax.axhline(table.attrs["alpha"], color=NEUTRAL, linewidth=1, linestyle="--", zorder=0)
        top = 1.0 if metric == "power" else max(0.2, 1.1 * np.nan_to_num(own["high"].max()))
        ax.set(title=metric, xlabel=label, ylim=(0, min(top, 1.0) * 1.02))
        ax.set_xticks(sorted(own[x].unique()))
        despine(ax)
    if by_donors:
        panels[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return panels
