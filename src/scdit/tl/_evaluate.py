"""Evaluate generated cells against held-out real ones, with a floor for every number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from scdit._checks import check_class, check_int, check_rng, shortened
from scdit.tl._metrics import Metric, choose_metrics
from scdit.tl._population import ALL, check_key, check_sides
from scdit.tl._trial import Trial, build_trial

NAN = float("nan")
COLUMNS = ("metric", "group", "value", "floor", "better", "ideal", "n", "note")


def evaluate(
    real: AnnData,
    generated: AnnData,
    *,
    labels_key: str | None = None,
    reference: AnnData | None = None,
    layer: str | None = None,
    preset: str = "default",
    metrics: Sequence[str] | None = None,
    max_cells: int = 1500,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Compare generated with held-out real cells, metric by metric, each beside its floor.

    The **floor** is the same metric for real cells in the place of the generated ones, at the
    same size. No generator can be expected to do better by more than chance; one that does is
    shrinking or copying.

    Nothing is fitted on a compared side. With `reference`, its cells are divided: a sample with
    the label composition of `real` (at most half of each label) is the floor; genes, principal
    components and the label classifier come from (up to 5,000 of) the others. Without
    `reference`, `real` is cut into three parts of equal composition: one is compared, one is the
    floor, one is fitted on; the memorisation audit is then not available. CFGen's protocol is the
    exception: it fits its space on the real side by definition.

    Parameters
    ----------
    real
        Held-out real cells, with raw counts.
    generated
        Generated cells with at least the genes of `real`, in any order. For metrics over all
        cells they should have its label composition.
    labels_key
        Column of `obs` with labels. Each label of `real` is then compared on its own too.
    reference
        The cells the generator was trained on.
    layer
        Layer with the counts of `real` and `reference`, and of generated cells that have it; `X`
        where it is None. Values that are no raw counts are refused.
    preset
        ``"default"``, ``"cfgen"`` (the literature's protocol), ``"paper"`` (the metrics of the
        scRDiT paper) or ``"all"``.
    metrics
        Names of metrics, at least one, in place of a preset.
    max_cells
        Most cells on a side of a comparison; more are subsampled.
    rng
        Seed or generator. The same seed gives the same table.

    Returns
    -------
    One row per metric and group, also written to ``generated.uns["scdit_evaluation"]`` if
    `generated` is not a view; nothing else of the arguments changes:

    - ``metric``, ``group`` (``"all"`` or a label)
    - ``value``, ``floor``: NaN where the metric cannot be computed
    - ``better``: ``"lower"``, ``"higher"``, or ``"closer"`` to the ideal
    - ``ideal``: the value of a perfect generator with endless cells; NaN where that is the floor
    - ``n``: cells on each side
    - ``note``: why there is no value, or what is missing from a mean over labels

    Raises
    ------
    KeyError
        If `real` or `reference` lacks the layer or the labels.
    TypeError
        If an argument is of the wrong class, or a matrix of a kind that is not supported.
    ValueError
        If values are no counts, genes are missing, there are too few cells to fit features, labels
        are missing or of mixed types, or a metric or preset is unknown.

    Warns
    -----
    UserWarning
        If the labels of real, generated and reference cells differ, cells are on two sides at once,
        or ``obs["scdit_generated"]`` says that a side holds cells of the other.

    Examples
    --------
    >>> table = scdit.tl.evaluate(test, new, reference=train, labels_key="cell_type")
    >>> table.query("group == 'all'").set_index("metric")[["value", "floor"]]
    """
    chosen = choose_metrics(preset, metrics)
    check_sides(real, generated, reference)
    max_cells = check_int("max_cells", max_cells)
    check_key("labels_key", labels_key)
    check_key("layer", layer)
    trial = build_trial(
        real,
        generated,
        labels_key=labels_key,
        reference=reference,
        layer=layer,
        max_cells=max_cells,
        rng=np.random.default_rng(check_rng(rng)),
    )
    table = pd.DataFrame([row for metric in chosen for row in _rows(metric, trial)])
    if not generated.is_view:  # which would become an object of its own
        generated.uns["scdit_evaluation"] = table.copy()
    return table


def check_table(name: str, table: pd.DataFrame) -> None:
    """Raise unless `table` is one that :func:`evaluate` returned.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If it lacks columns, or numbers where these belong.
    """
    check_class(name, table, pd.DataFrame)
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise ValueError(
            f"{name} lacks the columns {', '.join(lacking)}: pass the table that scdit.tl.evaluate "
            "returned"
        )
    for column in ("value", "floor", "n"):
        if not is_numeric_dtype(table[column].dtype):
            raise ValueError(f"{name}[{column!r}] must hold numbers, has {table[column].dtype}")


def _rows(metric: Metric, trial: Trial) -> list[dict[str, object]]:
    """Return the rows of one metric: all cells first, then each label."""
    if metric.scope == "all" or not trial.groups:
        return [_measure(metric, trial, ALL)]
    labels = [_measure(metric, trial, label) for label in trial.groups]
    first = _measure(metric, trial, ALL) if metric.scope == "cells" else _mean(metric, labels)
    return [first, *labels]


def _measure(metric: Metric, trial: Trial, group: str) -> dict[str, object]:
    """Compute a metric and its floor for one group."""
    size = trial.size(group)
    value, floor, note = NAN, NAN, ""
    if metric.scope == "labels" and group == ALL:
        note = "needs `labels_key`, and labels of the generated cells"
    elif size < metric.min_cells:
        there = ", ".join(f"{n} {name}" for name, n in trial.available(group).items())
        note = f"needs {metric.min_cells} cells on each side; there are {there}"
    else:
        try:
            # what does not vary has no ratio, which the note says
            with np.errstate(divide="ignore", invalid="ignore"):
                value, floor = (float(metric.compute(c)) for c in trial.comparisons(group))
        except ValueError as reason:
            note = str(reason)
        if not note and not np.isfinite([value, floor]).all():
            value, floor = (x if np.isfinite(x) else NAN for x in (value, floor))
            note = "not defined for these cells: what it measures does not vary on one side"
    return _row(metric, group, value, floor, size, note)


def _mean(metric: Metric, labels: list[dict[str, object]]) -> dict[str, object]:
    """Average the rows of single labels, unweighted, over those that have a value."""
    table = pd.DataFrame(labels)
    known = table.dropna(subset=["value", "floor"])
    note = ""
    if len(known) < len(table):
        missing = table.drop(known.index)
        note = "without " + shortened(list(missing["group"]))
        if known.empty:
            note = missing["note"].iloc[0]
    return _row(
        metric, ALL, known["value"].mean(), known["floor"].mean(), int(known["n"].sum()), note
    )


def _row(
    metric: Metric, group: str, value: float, floor: float, n: int, note: str
) -> dict[str, object]:
    """Put one row of the table together."""
    return {
        "metric": metric.name,
        "group": group,
        "value": value,
        "floor": floor,
        "better": metric.better,
        "ideal": float(metric.ideal),
        "n": n,
        "note": note,
    }
