"""Loss curves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scdit._checks import shortened, shown
from scdit.pl._style import GENERATED, REAL, despine, new_axes

# units of the losses that this package trains with
_UNITS = {"codec_loss": "nats per cell", "denoiser_loss": "squared error per dimension"}
SPLIT_COLORS = {"train": REAL, "validation": GENERATED}


def training(
    model_or_history: Any | Mapping[str, pd.DataFrame], *, axes: Sequence[Axes] | None = None
) -> np.ndarray:
    """Draw the loss curves of a model, one panel for each phase of training.

    Parameters
    ----------
    model_or_history
        A trained model, or its ``history``: a mapping from names to data frames of one column,
        indexed by epoch. The series ``<phase>_loss_train`` and ``<phase>_loss_validation`` share
        a panel; parts of a loss, such as ``codec_reconstruction_loss_train``, are left out.
    axes
        As many axes as there are losses. Made if None.

    Returns
    -------
    The axes. The best validation epoch is marked.

    Raises
    ------
    ValueError
        If there is no history, or it holds no loss.

    Examples
    --------
    >>> scdit.pl.training(model)
    """
    history = getattr(model_or_history, "history", model_or_history)
    if not isinstance(history, Mapping):
        raise ValueError(
            "There is no history yet: train the model first. model_or_history must be a trained model "
            f"or its history, got {shown(model_or_history)}"
        )
    curves: dict[str, dict[str, pd.Series]] = {}
    for key, frame in history.items():
        match = re.fullmatch(r"([^_]+_loss)_(train|validation)", str(key))
        if match and len(series := _series(str(key), frame)):
            curves.setdefault(match[1], {})[match[2]] = series
    if not curves:
        raise ValueError(
            f"The history holds no losses, only: {shortened(list(history)) or 'nothing'}."
        )

    panels = new_axes(len(curves), axes, panel=(4.6, 3.4))
    for phase, (ax, (name, splits)) in enumerate(
        zip(panels, curves.items(), strict=True), start=1
    ):
        for split, series in splits.items():
            color = SPLIT_COLORS[split]
            marker = "o" if len(series) == 1 else None
            ax.plot(series.index, series, color=color, label=split, linewidth=1.6, marker=marker)
        if len(splits.get("validation", ())) > 1:
            best = splits["validation"].idxmin()
            ax.plot(
                best, splits["validation"][best], "o", color=SPLIT_COLORS["validation"],
                markerfacecolor="white", label=f"best: {splits['validation'][best]:.4g}",
            )  # fmt: skip
        ax.set(
            title=f"phase {phase}: {name.replace('_', ' ')}",
            xlabel=next(iter(splits.values())).index.name or "epoch",
            ylabel=_UNITS.get(name, "loss"),
        )
        _zoom(ax, splits)
        ax.legend(frameon=False)
        despine(ax)
    return panels


def _series(key: str, frame: Any) -> pd.Series:
    """The finite values of one curve, by epoch."""
    try:
        series = pd.DataFrame(frame).iloc[:, 0].astype(float)
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"history[{key!r}] must be a data frame with one column of numbers, got {shown(frame)}"
        ) from error
    return series[np.isfinite(series)]


def _zoom(ax: Axes, splits: Mapping[str, pd.Series]) -> None:
    """Leave out the first steep steps, which would flatten all that follows."""
    values = np.concatenate([series.to_numpy() for series in splits.values()])
    late = np.concatenate([series.to_numpy()[len(series) // 20 :] for series in splits.values()])
    if len(late) and np.ptp(values) > 4 * np.ptp(late) > 0:
        margin = 0.15 * np.ptp(late)
        ax.set_ylim(late.min() - margin, late.max() + margin)
