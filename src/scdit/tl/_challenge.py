"""The metrics of the Virtual Cell Challenge 2026, computed by the package cell-eval2."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from scdit.tl._effect_cells import CONDITION_PARTS, CONTROL_PARTS, EffectCells
from scdit.tl._metrics import Better
from scdit.tl._population import Population

NEEDED = "needs cell-eval2: pip install 'scdit[effects]'"
NO_CELLS = "mean_response and additive: they predict means, and these metrics need cells"
SIDES = ("value", "floor", "no_effect")
_COLUMN, _CONTROL, _CONDITION = "state", "control", "condition"


@dataclass(frozen=True)
class ChallengeMetric:
    """One row of the table: name, name in cell-eval2, one line for people, direction and ideal."""

    name: str
    original: str
    about: str
    better: Better
    ideal: float


# fmt: off
CHALLENGE: tuple[ChallengeMetric, ...] = (
    ChallengeMetric("vcc_discrimination", "pds_cosine", "Share of other types' real effects that are "
                    "further from the predicted one, by cosine", "higher", 1),
    ChallengeMetric("vcc_expression_error", "expr_mse_unbiased_capped_norm", "Squared error of mean "
                    "expression over the squared effect, without sampling noise", "lower", 0),
    ChallengeMetric("vcc_direction_fidelity", "de_wilcoxon_direction_fidelity_yield_raw",
                    "DE genes predicted in the right direction", "higher", 1),
    ChallengeMetric("vcc_direction_reach", "de_wilcoxon_direction_reach_raw",
                    "How far down the ranked genes directions stay right", "higher", 1),
    ChallengeMetric("vcc_de_jaccard", "de_wilcoxon_sig_jaccard",
                    "Jaccard index of the sets of DE genes", "higher", 1),
    ChallengeMetric("vcc_lfc_error", "de_wilcoxon_lfc_nmae",
                    "Normalised absolute error of log fold changes of DE genes", "lower", 0),
)
# fmt: on
Values = dict[str, dict[str, float]]  # label -> side -> value


def is_installed() -> bool:
    """Whether cell-eval2 can be imported."""
    return find_spec("cell_eval2") is not None


def challenge(
    cells: EffectCells, names: Collection[str], rng: np.random.Generator
) -> tuple[dict[str, Values], dict[str, str]]:
    """Compute metrics for all labels that can be judged: metric -> label -> side -> value.

    Also returns, for labels that cell-eval2 refuses, why. Real cells are cut once. Each label is a panel of its own, with one perturbation. Discrimination
    is between the effects on the labels.
    """
    found: dict[str, Values] = {metric.name: {} for metric in CHALLENGE}
    refused: dict[str, str] = {}
    within = [metric for metric in CHALLENGE[1:] if metric.name in names]
    profiles: dict[str, dict[str, np.ndarray]] = {}
    for label in cells.labels:
        if cells.lacking(label):
            continue
        real = cells.real[label]
        size = cells.size(label)
        _, truth, floor = real.condition.cut(rng, CONDITION_PARTS)
        _, control, other, idle = real.control.cut(rng, CONTROL_PARTS)
        made = cells.generated[label]
        sides = {
            "value": made.take(rng.permutation(len(made))[:size]),
            "floor": real.condition.take(floor[:size]),
            "no_effect": real.control.take(idle),
        }
        controls, true = real.control.take(control), real.condition.take(truth)
        values: dict[str, dict[str, float]] = {side: {} for side in sides}
        try:
            if within:  # the first metric compares labels
                values = _compute(true, controls, sides)
        except ValueError as reason:
            refused[label] = f"cell-eval2: {reason}"
        for metric in within:
            found[metric.name][label] = {
                side: float(values[side].get(metric.original, np.nan)) for side in sides
            }
        # with a shared control, even no effect would be told apart by that control's noise
        baseline = _profile(real.control.take(other))
        profiles[label] = {side: _profile(x) - baseline for side, x in sides.items()}
        profiles[label]["truth"] = _profile(true) - _profile(controls)
    found[CHALLENGE[0].name] = _discrimination(profiles)
    return found, refused


def _compute(
    truth: Population, controls: Population, sides: dict[str, Population]
) -> dict[str, dict[str, float]]:
    """The metrics of one label, for each side."""
    import cell_eval2

    config = replace(
        cell_eval2.EvalConfig.from_preset("vcc2026"),
        pert_col=_COLUMN,
        control=_CONTROL,
        device="cpu",
        num_threads=1,
        cache_strict=False,  # nothing is cached
        target_gene_map={"*": None},  # a condition has no target gene
    )
    config = replace(config, de=replace(config.de, backend="scanpy"))
    real = _pair(truth, controls)
    values = {}
    for side, population in sides.items():
        with _quiet():
            table = cell_eval2.compute_metrics(_pair(population, controls), real, config=config)
        found: dict[str, Any] = dict(zip(table["metric"], table["value"], strict=True))
        squares = found.get("expr_distance_unbiased", 0.0)
        found["expr_mse_unbiased_capped_norm"] = (
            found["expr_mse_unbiased_capped"] / squares if squares > 0 else np.nan
        )
        values[side] = found
    return values


def _discrimination(profiles: dict[str, dict[str, np.ndarray]]) -> Values:
    """Discrimination score of the effects on the labels; empty with fewer than two."""
    if len(profiles) < 2:
        return {}
    from cell_eval2.metrics.discrimination import discrimination_score

    names = np.array([_CONTROL, *(f"label {label}" for label in profiles)])

    def bulk(side: str) -> tuple[np.ndarray, np.ndarray]:
        effects = np.stack([effect[side] for effect in profiles.values()])
        return names, np.vstack([np.zeros_like(effects[:1]), effects])

    values: Values = {label: {} for label in profiles}
    for side in SIDES:
        scores = discrimination_score(
            pred_bulk=bulk(side),
            real_bulk=bulk("truth"),
            control=_CONTROL,
            distance="cosine",
            rank_denominator="n-1",
            exclude_target_gene=False,
            control_source="real",
        )
        for label in profiles:
            values[label][side] = float(scores[f"label {label}"])
    return values


def _profile(cells: Population) -> np.ndarray:
    """Log of the proportions of all counts of some cells, scaled to 50,000, shape (genes,)."""
    counts = np.asarray(cells.counts.sum(axis=0, dtype=np.float64)).ravel()
    return np.log1p(50_000 * counts / max(counts.sum(), 1))


def _pair(condition: Population, control: Population) -> AnnData:
    """One object with the cells of both conditions, as cell-eval2 takes them."""
    states = [_CONDITION] * len(condition) + [_CONTROL] * len(control)
    index = [f"cell{i}" for i in range(len(states))]
    return AnnData(
        sp.csr_matrix(sp.vstack([condition.counts, control.counts])),
        obs=pd.DataFrame({_COLUMN: states}, index=index),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(condition.counts.shape[1])]),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of cell-eval2, which expects many perturbations, nor warnings of silent genes."""
    logger = logging.getLogger("cell_eval2")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        logger.setLevel(level)
