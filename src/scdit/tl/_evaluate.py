"""Evaluate generated cells against held-out real ones, with a floor for every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_int, check_rng, errors_name, shortened
from scdit.tl._choice import choose_metrics
from scdit.tl._draws import average_tables, check_draws
from scdit.tl._joint import JointTrial
from scdit.tl._joint_metrics import joint_trials
from scdit.tl._metrics import METRICS, Metric
from scdit.tl._modal_sides import check_all_sides, read_modal_sides
from scdit.tl._on_disk import in_memory
from scdit.tl._population import ALL, check_key
from scdit.tl._trial import Trial, build_trials, read_sides

NAN = float("nan")


def evaluate(
    real: AnnData | MuData,
    generated: AnnData | MuData | list[AnnData] | list[MuData],
    *,
    labels_key: str | None = None,
    reference: AnnData | MuData | None = None,
    layer: str | None = None,
    preset: str = "default",
    metrics: Sequence[str] | None = None,
    max_cells: int = 1500,
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    assays: Mapping[str, str] | None = None,
    protein_expression_obsm_key: str | None = None,
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

    Of MuData objects, each modality is compared by itself, on log counts of all proteins or on
    TF-IDF components of peaks where RNA has principal components of log expression. Then
    modalities are compared with each other. Cells are paired by name; those that lack a modality
    are left out.

    Parameters
    ----------
    real
        Held-out real cells, with raw counts.
    generated
        Generated cells with at least the genes of `real`, in any order. For metrics over all
        cells they should have its label composition. A MuData needs the modalities of `real`.
        A list holds several draws of one model, which are compared one by one.
    labels_key
        Column of `obs` with labels. Each label of `real` is then compared on its own too. Of a
        MuData, the column is taken from ``mdata.obs``, or else from the modality that has it;
        ``"rna:cell_type"`` names one.
    reference
        The cells the generator was trained on.
    layer
        Layer with the counts of `real` and `reference`, and of generated cells that have it; `X`
        where it is None, and in modalities without that layer. Values that are no raw counts are
        refused.
    preset
        ``"default"``, ``"cfgen"`` (the literature's protocol), ``"paper"`` (the metrics of the
        scRDiT paper) or ``"all"``.
    metrics
        Names of metrics, at least one, in place of a preset.
    max_cells
        Most cells on a side of a comparison; more are subsampled.
    rng
        Seed or generator. The same seed gives the same table.
    assays
        Modalities of a MuData whose name and features do not say what they count:
        ``{"name": "rna"}``, ``"protein"`` or ``"atac"``.
    protein_expression_obsm_key
        Entry of `obsm` with protein counts of AnnData objects. They are then compared as a MuData
        with modalities ``rna`` and ``prot``.

    Returns
    -------
    pandas.DataFrame
        One row per metric and group, also written to ``generated.uns["scdit_evaluation"]`` if
        `generated` is not a view (of a list, to each draw its own); nothing else of the arguments
        changes:

        - ``modality`` (of MuData only): the name of one, or ``"joint"`` for metrics across them. Of
          more than two modalities each pair is named, such as ``"rna+prot"``
        - ``metric``, ``group`` (``"all"`` or a label)
        - ``value``, ``floor``: NaN where the metric cannot be computed; means over a list of draws
        - ``sd``, ``floor_sd`` (of a list only): their standard deviations over the draws
        - ``better``: ``"lower"``, ``"higher"``, or ``"closer"`` to the ideal
        - ``ideal``: the value of a perfect generator with endless cells; NaN where that is the floor
        - ``n``: cells on each side
        - ``note``: why there is no value, or what is missing from a mean over labels or draws

    Raises
    ------
    KeyError
        If `real` or `reference` lacks the layer or the labels.
    TypeError
        If an argument is of the wrong class, some sides or draws are AnnData and some MuData, or a
        matrix is of a kind that is not supported.
    ValueError
        If values are no counts, genes or modalities are missing, there are too few cells to fit
        features, labels are missing or of mixed types, no cell has all modalities, a list of draws is
        empty, or a metric or preset is unknown.

    Warns
    -----
    UserWarning
        If the labels of real, generated and reference cells differ, cells are on two sides at once,
        or ``obs["scdit_generated"]`` says that a side holds cells of the other; if cells of a
        MuData lack a modality or modalities are in different order.

    Examples
    --------
    >>> table = scdit.tl.evaluate(test, new, reference=train, labels_key="cell_type")
    >>> table.query("group == 'all'").set_index("metric")[["value", "floor"]]

    Mean and standard deviation over three draws, with as many cells of each type as `test` has:

    >>> n_cells = test.obs["cell_type"].value_counts()
    >>> draws = [model.generate(labels=n_cells, rng=seed) for seed in range(3)]
    >>> table = scdit.tl.evaluate(test, draws, reference=train, labels_key="cell_type")
    """
    draws = check_draws(generated)
    # before any cell is read from a file
    choose_metrics(preset, metrics, several=True)
    check_int("max_cells", max_cells)
    check_key("labels_key", labels_key)
    check_key("layer", layer)
    compare = partial(
        _compare,
        in_memory(real),  # once for all draws
        reference=in_memory(reference),
        labels_key=labels_key,
        layer=layer,
        preset=preset,
        metrics=metrics,
        max_cells=max_cells,
        assays=assays,
        protein_expression_obsm_key=protein_expression_obsm_key,
    )
    if isinstance(generated, list):
        tables = []
        # with other cells as the floor each time, whose chance is averaged too
        for i, seed in enumerate(_seeds(rng, len(draws))):
            with errors_name(f"generated[{i}]", "generated"):
                tables.append(compare(draws[i], rng=seed))
    else:
        tables = [compare(generated, rng=rng)]
    for draw, table in zip(draws, tables, strict=True):
        if not draw.is_view:  # which would become an object of its own
            draw.uns["scdit_evaluation"] = table.copy()
    return average_tables(tables) if isinstance(generated, list) else tables[0]


def _compare(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    *,
    reference: AnnData | MuData | None,
    labels_key: str | None,
    layer: str | None,
    preset: str,
    metrics: Sequence[str] | None,
    max_cells: int,
    rng: Any,
    assays: Mapping[str, str] | None,
    protein_expression_obsm_key: str | None,
) -> pd.DataFrame:
    """The table of one draw, see :func:`evaluate`."""
    sides = check_all_sides(
        real, generated, reference, protein_expression_obsm_key=protein_expression_obsm_key
    )
    several = isinstance(sides[0], MuData)
    chosen = choose_metrics(preset, metrics, several=several and len(sides[0].mod) > 1)
    generator = np.random.default_rng(check_rng(rng))
    if several:
        cells = read_modal_sides(*sides, labels_key=labels_key, layer=layer, assays=assays)
    else:
        if assays is not None:
            raise ValueError("assays names modalities of a MuData; these are AnnData objects")
        cells = {"": read_sides(*sides, labels_key=labels_key, layer=layer)}
    trials = build_trials(cells, max_cells=max_cells, rng=generator)
    table = pd.DataFrame(
        [{"modality": name} | row for name, rows in _sections(trials, chosen) for row in rows]
    )
    return table if several else table.drop(columns="modality")


def _seeds(rng: int | np.random.SeedSequence | np.random.Generator | None, n: int) -> list[int]:
    """Return a seed for each of `n` draws."""
    return np.random.default_rng(check_rng(rng)).integers(2**32, size=n).tolist()


def _sections(
    trials: Mapping[str, Trial], chosen: Sequence[str]
) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Return the rows of each metric: those of each modality, then those across modalities."""
    for modality, trial in trials.items():
        for name in chosen:
            if name in METRICS:
                yield modality, _rows(METRICS[name], trial)
    for modality, joint, metrics in joint_trials(trials):
        for metric in metrics:
            if metric.name in chosen:
                yield modality, _rows(metric, joint)


def _rows(metric: Metric, trial: Trial | JointTrial) -> list[dict[str, object]]:
    """Return the rows of one metric: all cells first, then each label."""
    if metric.scope == "all" or not trial.groups:
        return [_measure(metric, trial, ALL)]
    labels = [_measure(metric, trial, label) for label in trial.groups]
    first = _measure(metric, trial, ALL) if metric.scope == "cells" else _mean(metric, labels)
    return [first, *labels]


def _measure(metric: Metric, trial: Trial | JointTrial, group: str) -> dict[str, object]:
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
