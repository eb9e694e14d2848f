"""The evaluation at one glance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from scdit._checks import check_class, did_you_mean, shortened
from scdit.pl._style import GENERATED, NEUTRAL, REAL, check_axes, despine
from scdit.tl._evaluate import check_table

NEAR = 1.1
WIDEST = 32.0


def evaluation(table: pd.DataFrame, *, group: str = "all", ax: Axes | None = None) -> Axes:
    """Draw every metric as a ratio to its floor.

    On the line, generated cells are as good as real ones. To the right they are worse by that
    factor; to the left a distance is smaller (or a score higher) than between real cells, which
    is a symptom of shrinkage or copying rather than a merit. For metrics that should be *closer*
    to an ideal, the factor is that between value and floor, in either direction. Values and
    floors stand beside; a metric without a ratio (one of the two is negative) has only them.
    Metrics of a MuData have the modality before their name; draw rows of ``modality`` for one.

    Parameters
    ----------
    table
        What :func:`scdit.tl.evaluate` returned.
    group
        ``"all"`` or a label.
    ax
        Axes. Made if None, with a height that fits the number of metrics.

    Returns
    -------
    The axes.

    Raises
    ------
    TypeError
        If an argument is of the wrong class.
    ValueError
        If it is no table of an evaluation, or has no values for that group.
    """
    check_table("table", table)
    check_class("group", group, str)
    check_axes(1, ax, "ax")
    rows = table[(table["group"] == group) & table["value"].notna()]
    if rows.empty:
        groups = list(table["group"].unique())
        raise ValueError(
            f"The table has no values for group {group!r}. It has: {shortened(groups) or 'none'}"
            + did_you_mean(group, groups)
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 1.2 + 0.27 * len(rows)), layout="constrained")

    names = rows["metric"]
    if "modality" in rows:
        names = rows["modality"].astype(str) + ": " + names
    shortfall = rows.apply(_shortfall, axis=1).to_numpy(dtype=float)
    shown = np.clip(shortfall, 1 / WIDEST, WIDEST)
    height = -np.arange(len(rows))
    colors = np.select([shortfall > NEAR, shortfall < 1 / NEAR], [GENERATED, REAL], "#5b9a68")
    ax.axvspan(1 / NEAR, NEAR, color="#5b9a68", alpha=0.12, linewidth=0)
    ax.axvline(1, color=NEUTRAL, linewidth=1)
    ax.hlines(height, 1, shown, color=colors, linewidth=2)
    ax.scatter(shown, height, c=colors, s=36, zorder=3)
    ax.set_xscale("log", base=2)
    reach = float(np.nanmax(np.abs(np.log2(shown)), initial=1)) * 1.15
    ax.set_xlim(2.0 ** min(-1, -reach / 2), 2.0**reach)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}x" if x >= 1 else f"1/{1 / x:g}")
    ax.set(
        yticks=height,
        yticklabels=names,
        ylim=(height[-1] - 0.7, 0.7),
        xlabel="ratio to the floor: real cells in the place of the generated",
        title=f"generated against real cells: {group} (n = {rows['n'].max():,})",
    )
    ax.tick_params(axis="y", length=0)
    for y, value, floor in zip(height, rows["value"], rows["floor"], strict=True):
        _columns(ax, float(y), _brief(value), _brief(floor))
    _columns(ax, 1.0, "value", "floor")
    despine(ax)
    ax.spines["left"].set_visible(False)
    return ax


def _columns(ax: Axes, y: float, value: str, floor: str) -> None:
    """Write two words to the right of the axes."""
    for x, word, color in ((1.11, value, "black"), (1.23, floor, NEUTRAL)):
        ax.text(
            x, y, word, color=color, ha="right", va="center", fontsize="small",
            transform=ax.get_yaxis_transform(),
        )  # fmt: skip


def _brief(x: float) -> str:
    """Write a number in six characters or fewer."""
    return f"{x:.3g}" if abs(x) >= 0.01 or x == 0 else f"{x:.4f}"


def _shortfall(row: pd.Series) -> float:
    """Return how many times worse than its floor a metric is; NaN where no ratio exists."""
    value, floor = np.float64(row["value"]), np.float64(row["floor"])
    if value == floor:
        return 1.0
    # unbiased distances may fall below 0; a score that real cells hardly reach ranks nothing
    if min(value, floor) < 0 or (row["better"] == "higher" and floor < 0.1):
        return float("nan")
    with np.errstate(divide="ignore"):
        worse = {"lower": value / floor, "higher": floor / value}
        return float(worse.get(row["better"], max(worse.values())))
