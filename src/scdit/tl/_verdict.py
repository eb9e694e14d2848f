"""How far values are from their floors, and what that means in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scdit.tl._population import ALL

SCORE_STEP = 0.05  # of scores from 0 to 1, and of ratios whose ideal is 1
ERROR_STEP = 1.25  # factor of errors and distances
NEAR, FAR = 1.0, 3.0  # most steps that are as good as real cells, and close to them
COPIES = -2.0  # steps of `memorization_ratio` from its floor below which cells are copies
_CLASSIFIERS = ("c2st_rf_pca", "c2st_rf_genes", "c2st_lr_genes", "joint_rf")
# what a reader of the cells would meet first: a classifier, the spread, pairs of genes
_DECIDING = (*_CLASSIFIERS, "pc_sd_ratio", "correlation_error")
_SHARES = ("near_duplicates", "exact_duplicates")


@dataclass(frozen=True)
class Verdict:
    """What an evaluation says of all cells.

    Attributes
    ----------
    word
        ``"indistinguishable"``, ``"close"``, ``"clearly different"``, ``"copies"`` or ``"unknown"``.
    rows
        The rows that decide, with a column ``steps``.
    """

    word: str
    rows: pd.DataFrame


def steps_from_floor(row: Mapping[str, Any]) -> float:
    """Return by how many steps a value is worse than its floor; negative if it is better.

    A step is 0.05 of a score or of a ratio, and a factor of 1.25 of an error or a distance. For what
    should be close to an ideal, the distances of value and floor from the ideal are compared. An AUC
    or accuracy below 0.5 is counted from 0.5, as better.

    Returns
    -------
    NaN where a distance or its floor is not above 0, as unbiased estimates may be, so that there is no
    factor.
    """
    value, floor, ideal = (float(row[key]) for key in ("value", "floor", "ideal"))
    if value == floor:
        return 0.0
    if _has_factor(row):
        if value <= 0 or floor <= 0:
            return float("nan")
        return float(np.log(value / floor) / np.log(ERROR_STEP))
    return _worse(row["better"], value, floor, ideal) / SCORE_STEP


def spread_in_steps(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the steps of a value one standard deviation lower and higher, low end first."""
    steps, value, sd = steps_from_floor(row), float(row["value"]), float(row["sd"])
    if not _has_factor(row) or value == 0:
        return steps - sd / SCORE_STEP, steps + sd / SCORE_STEP
    factors = np.maximum([1 - sd / value, 1 + sd / value], 1e-9)
    low, high = steps + np.log(factors) / np.log(ERROR_STEP)
    return float(low), float(high)


def _has_factor(row: Mapping[str, Any]) -> bool:
    """Whether a metric is an error or a distance, of which a factor is a step."""
    return row["better"] == "lower" and row["metric"] not in _SHARES


def _worse(better: str, value: float, floor: float, ideal: float) -> float:
    """Return by how much a score is worse than its floor."""
    if better == "lower":
        return value - floor
    if better == "higher":
        return floor - value
    if ideal == 0.5:  # of classifiers that can tell nothing
        return max(value, 0.5) - max(floor, 0.5) if value >= 0.5 else value - 0.5
    if np.isnan(ideal):
        return abs(value - floor)
    return abs(value - ideal) - abs(floor - ideal)


def judge(evaluation: pd.DataFrame) -> Verdict:
    """Say in a word how good the cells are, by the worst of the metrics that decide.

    These are the AUCs of all classifiers, ``pc_sd_ratio`` and ``correlation_error``, of all cells and
    modalities. ``"indistinguishable"``: none is more than one step worse than its floor. ``"close"``:
    none more than three. ``"copies"``: ``memorization_ratio`` is more than two steps, or 0.1, below
    its floor, or more than one cell in twenty is a copy of a training cell beyond the floor.
    ``"unknown"`` without the AUC of a classifier.
    """
    rows = evaluation[(evaluation["group"] == ALL) & evaluation["value"].notna()]
    memory = rows[rows["metric"] == "memorization_ratio"]
    twins = rows[rows["metric"] == "exact_duplicates"]
    copied = pd.concat(
        [
            memory[(memory["value"] - memory["floor"]) / SCORE_STEP < COPIES],
            twins[(twins["value"] - twins["floor"]) / SCORE_STEP > NEAR],
        ]
    )
    if len(copied):
        return Verdict("copies", _with_steps(copied))
    decide = _with_steps(rows[rows["metric"].isin(_DECIDING)])
    if not decide["metric"].isin(_CLASSIFIERS).any():
        return Verdict("unknown", decide)
    worst = decide["steps"].max()
    word = "clearly different" if worst > FAR else "close" if worst > NEAR else "indistinguishable"
    return Verdict(word, decide)


def _with_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a column with the steps from the floor."""
    return rows.assign(
        steps=np.array([steps_from_floor(row) for row in rows.to_dict("records")], dtype=float)
    )
