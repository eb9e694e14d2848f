"""The evaluation at one glance."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from scdit._checks import check_class, did_you_mean, shortened
from scdit.pl._style import NEUTRAL, check_axes, despine
from scdit.tl._joint_metrics import JOINT_METRICS
from scdit.tl._metrics import METRICS
from scdit.tl._tables import check_table
from scdit.tl._verdict import FAR, NEAR, spread_in_steps, steps_from_floor

_ROOM = 90  # points to the right of the axes, for value and floor
WIDEST = 8.0  # steps that the axis shows
_WORDS = {name: metric.words for name, metric in (METRICS | JOINT_METRICS).items()}
# meaning, colour and marker; colours of Okabe & Ito, which colour-blind readers tell apart
_CLASSES = (
    ("better than the floor (check for shrinkage or copies)", "#0072B2", "<"),
    ("as good as real cells", "#009E73", "o"),
    ("close", "#E69F00", "s"),
    ("clearly different", "#D55E00", ">"),
)


def evaluation(table: pd.DataFrame, *, group: str = "all", ax: Axes | None = None) -> Axes:
    """Draw how far every metric is from its floor.

    The line is the floor: real cells in the place of the generated ones. Metrics of different kinds
    share an axis of *steps*. A step is 0.05 of a score between 0 and 1 or of a ratio, and a quarter
    (a factor of 1.25) of an error or a distance. In the inner band, generated cells are as good as
    real ones, in the outer band they are close. To the left, they are better than real cells would
    be, which is a symptom of shrinkage or copying rather than a merit. Marks at the edge are of
    values beyond it. Values and floors stand beside. A row without a mark says why.

    With the table of several draws, values are means, and bars are standard deviations over the draws.
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

    Examples
    --------
    >>> table = scdit.tl.evaluate(test, new, reference=train, labels_key="cell_type")
    >>> scdit.pl.evaluation(table)
    """
    check_table("table", table)
    check_class("group", group, str)
    check_axes(1, ax, "ax")
    rows = table[table["group"] == group]
    if rows["value"].notna().sum() == 0:
        groups = list(table["group"].unique())
        raise ValueError(
            f"The table has no values for group {group!r}. It has: {shortened(groups) or 'none'}"
            + did_you_mean(group, groups)
        )
    own = ax is None
    if ax is None:
        _, ax = plt.subplots(figsize=(11, 2.2 + 0.29 * len(rows)), layout="constrained")

    names = rows["metric"].map(lambda name: f"{_WORDS[name]} [{name}]" if name in _WORDS else name)
    if "modality" in rows:
        names = rows["modality"].astype(str) + ": " + names
    height = -np.arange(len(rows))
    ax.axvspan(-FAR, FAR, color=_CLASSES[2][1], alpha=0.08, linewidth=0)
    ax.axvspan(-NEAR, NEAR, color=_CLASSES[1][1], alpha=0.16, linewidth=0)
    ax.axvline(0, color=NEUTRAL, linewidth=1)
    for y, row in zip(height, rows.to_dict("records"), strict=True):
        _mark(ax, float(y), row)
    _legend(ax, below_figure=own)
    ax.set(
        yticks=height,
        yticklabels=names,
        ylim=(height[-1] - 0.7, 0.7),
        xlim=(-WIDEST - 0.5, WIDEST + 0.5),
        xlabel="steps worse than the floor\n(one step: 0.05 of a score or ratio, a factor of 1.25 of an error)",
        title=f"generated against real cells: {group} (n = {rows['n'].max():,})",
    )
    ax.tick_params(axis="y", length=0)
    _columns(ax, 1.0, "value", "floor")
    despine(ax)
    ax.spines["left"].set_visible(False)
    return ax


def _mark(ax: Axes, y: float, row: dict[str, Any]) -> None:
    """Draw one metric: its mark, or why there is none, and its numbers."""
    if np.isnan(row["value"]):
        _reason(ax, y, row["note"] or "no value")
        return
    _columns(ax, y, _brief(row["value"]), _brief(row["floor"]))
    steps = steps_from_floor(row)
    if np.isnan(steps):
        _reason(ax, y, "not drawn: value or floor is 0 or negative")
        return
    shown = float(np.clip(steps, -WIDEST, WIDEST))
    _, color, marker = _CLASSES[int(np.searchsorted([-NEAR, NEAR, FAR], steps))]
    ax.hlines(y, 0, shown, color=color, linewidth=2)
    ax.scatter(shown, y, c=color, marker=marker, s=36, zorder=3)
    sd = row.get("sd", np.nan)
    if np.isfinite(sd):
        ends = np.clip(spread_in_steps(row), -WIDEST, WIDEST)
        ax.hlines(y, *ends, color="black", linewidth=1, zorder=4)


def _legend(ax: Axes, *, below_figure: bool) -> None:
    """Explain the marks, below the figure, or to the right of axes of the caller."""
    handles = [
        ax.scatter([], [], c=color, marker=marker, s=36, label=name)
        for name, color, marker in _CLASSES
    ]
    if below_figure:
        cast(Figure, ax.get_figure(root=True)).legend(
            handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small"
        )
    else:
        beside = offset_copy(ax.transAxes, ax.get_figure(root=True), x=_ROOM, units="points")
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1, 1),
            bbox_transform=beside,
            frameon=False,
        )


def _reason(ax: Axes, y: float, text: str) -> None:
    """Write why a metric has no mark."""
    text = text if len(text) <= 60 else text[:59] + "…"
    ax.text(0.2, y, text, color=NEUTRAL, va="center", fontsize="small", style="italic")


def _columns(ax: Axes, y: float, value: str, floor: str) -> None:
    """Write two words to the right of the axes."""
    # in points from the edge, so that the margin they need does not depend on the width of the axes
    for x, word, color in ((_ROOM / 2, value, "black"), (_ROOM, floor, NEUTRAL)):
        ax.annotate(
            word, (1, y), (x, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
            color=color, ha="right", va="center", fontsize="small", annotation_clip=False,
        )  # fmt: skip


def _brief(x: float) -> str:
    """Write a number in six characters or fewer."""
    return f"{x:.3g}" if abs(x) >= 0.01 or x == 0 else f"{x:.4f}"
