"""The rows of the table of effects: each metric over labels, and their median."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scdit._checks import check_names, did_you_mean, shortened
from scdit.tl._challenge import (
    CHALLENGE,
    NEEDED,
    NO_CELLS,
    ChallengeMetric,
    Values,
    challenge,
    is_installed,
)
from scdit.tl._effect_cells import EffectCells
from scdit.tl._effect_metrics import (
    EFFECT_METRICS,
    NO_OTHERS,
    SIDES,
    EffectMetric,
    Split,
    draw_split,
)
from scdit.tl._kinds import FEATURES, Kind
from scdit.tl._population import ALL

NAN = float("nan")
SPLITS = 10  # random cuts of the cells that values are means of
Row = dict[str, Any]


Metric = EffectMetric | ChallengeMetric


def choose_effect_metrics(names: Sequence[str] | None, kind: Kind = "rna") -> list[Metric]:
    """Return the metrics named, or all that there are for this kind of counts.

    Raises
    ------
    TypeError
        If it is no list of names.
    ValueError
        If one is unknown or for genes only, or there is none.
    """
    known: dict[str, Metric] = {metric.name: metric for metric in EFFECT_METRICS}
    known |= {metric.name: metric for metric in CHALLENGE}
    for_genes = [] if kind == "rna" else [metric.name for metric in CHALLENGE]
    if names is None:
        return [metric for name, metric in known.items() if name not in for_genes]
    chosen = dict.fromkeys(check_names("metrics", names))
    if not chosen:
        raise ValueError("metrics must be a list of at least one name, for example ['lfc_r']")
    for name in chosen:
        if name not in known:
            raise ValueError(
                f"metrics has the unknown name {name!r}. There are: {', '.join(known)}"
                + did_you_mean(name, known)
            )
        if name in for_genes:
            raise ValueError(
                f"metrics has {name!r}, which is for genes only; this modality counts {FEATURES[kind]}"
            )
    return [known[name] for name in chosen]


def effect_rows(
    metrics: Sequence[Metric], cells: EffectCells, n_genes: int, rng: np.random.Generator
) -> list[Row]:
    """Return the rows of all metrics: the median over labels first, then each label."""
    # the values of a metric do not depend on which others are asked for
    first, second = (np.random.default_rng(seed) for seed in rng.integers(2**32, size=2))
    ours = [metric for metric in metrics if isinstance(metric, EffectMetric)]
    splits = [draw_split(cells, n_genes, first) for _ in range(SPLITS)] if ours else []
    found: dict[str, Values] = {}
    refused: dict[str, str] = {}
    if len(ours) < len(metrics) and is_installed():
        found, refused = challenge(cells, [metric.name for metric in metrics], second)
    rows: list[Row] = []
    for metric in metrics:
        if isinstance(metric, EffectMetric):
            labels = [_measure(metric, splits, cells, label) for label in cells.labels]
        elif found:
            labels = [
                _measured(metric, found[metric.name], cells, label, refused.get(label, ""))
                for label in cells.labels
            ]
        else:
            rows.append(_row(metric, ALL, dict.fromkeys(SIDES, NAN), 0, NEEDED))
            continue
        rows += [_median(metric, labels), *labels]
    return rows


def _measured(
    metric: ChallengeMetric, found: Values, cells: EffectCells, label: str, refused: str
) -> Row:
    """The row of one label of a metric that cell-eval2 computed."""
    values = dict.fromkeys(SIDES, NAN) | found.get(label, {})
    if cells.lacking(label):
        note = cells.lacking(label)
    elif label not in found:
        note = "needs two labels to tell apart"
    elif np.isnan([values["value"], values["floor"]]).any():
        note = refused or "not defined for these cells, for example without DE genes"
    else:
        note = NO_CELLS
    return _row(metric, label, values, cells.size(label), note)


def _measure(metric: EffectMetric, splits: list[Split], cells: EffectCells, label: str) -> Row:
    """Compute a metric for one label: the means over the cuts."""
    values = dict.fromkeys(SIDES, NAN)
    note = cells.lacking(label)
    if note:
        return _row(metric, label, values, cells.size(label), note)
    sides = [side for side in SIDES if side in splits[0].cases[label].predictions]
    try:
        for side in sides:
            found = [metric.compute(split, label, side) for split in splits]
            known = [value for value in found if np.isfinite(value)]
            values[side] = float(np.mean(known)) if known else NAN
    except ValueError as reason:
        note = str(reason)
    else:
        if np.isnan([values["value"], values["floor"]]).any():
            note = "not defined for these cells: what it measures does not vary on one side"
        elif len(sides) < len(SIDES):
            note = f"mean_response and additive: {NO_OTHERS}"
    return _row(metric, label, values, cells.size(label), note)


def _median(metric: Metric, labels: list[Row]) -> Row:
    """The medians over the labels that have a value."""
    table = pd.DataFrame(labels)
    known = table.dropna(subset=["value", "floor"])
    values = {
        side: float(known[side].median()) if known[side].notna().any() else NAN for side in SIDES
    }
    if known.empty:
        note = table["note"].iloc[0]
    else:
        missing = list(table.drop(known.index)["group"])
        note = "without " + shortened(missing) if missing else known["note"].iloc[0]
    return _row(metric, ALL, values, int(known["n"].sum()), note)


def _row(metric: Metric, group: str, values: dict[str, float], n: int, note: str) -> Row:
    """Put one row of the table together."""
    return {
        "metric": metric.name,
        "group": group,
        **values,
        "better": metric.better,
        "ideal": float(metric.ideal),
        "n": n,
        "note": note,
    }
