"""The table of metrics of effects, and the predictions that each is computed for.

A new metric is one row here, whose function takes a :class:`Split`, a label and a prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scdit.tl._effect_cells import EffectCells, Moments, Pair, Parts
from scdit.tl._genes import pearson
from scdit.tl._metrics import Better

NAN = float("nan")
SIDES = ("value", "floor", "no_effect", "mean_response", "additive")
NO_OTHERS = (
    "needs another label with enough real cells of both conditions; `reference` may have such"
)


@dataclass(frozen=True, eq=False)
class Case:
    """One label: the true effect, and predictions of it.

    Attributes
    ----------
    chosen, truth
        Parts of the real cells; see :class:`Parts`.
    control
        Control cells that are subtracted from predictions. They are not those of `truth`: a shared
        control would correlate the two.
    predictions
        Predicted cells of the condition, by name of a column of the table.
    others
        The same parts of the other labels.
    n_genes
        How many genes to choose.
    """

    chosen: Pair
    truth: Pair
    control: Moments
    predictions: dict[str, Moments]
    others: list[Parts]
    n_genes: int

    @cached_property
    def genes(self) -> np.ndarray:
        """Positions of the genes with the largest absolute effect on cells that are not compared."""
        return top_genes(self.chosen.effect, self.n_genes)

    @cached_property
    def de_genes(self) -> np.ndarray:
        """Positions of the genes with the largest absolute Welch t in the true effect."""
        return top_genes(welch(*self.truth), self.n_genes)

    def effect(self, side: str) -> np.ndarray:
        """Predicted log fold change per gene."""
        return self.predictions[side].mean - self.control.mean


@dataclass(frozen=True, eq=False)
class Split:
    """All labels, cut at random once.

    Attributes
    ----------
    cases
        By label, of those that can be judged.
    """

    cases: dict[str, Case]

    def rank(self, label: str, side: str, distance: Distance) -> float:
        """Share of the predictions for other labels that are nearer to the truth of this one."""
        rivals = [name for name, case in self.cases.items() if side in case.predictions]
        if len(rivals) < 2:
            raise ValueError("needs two labels to rank")
        truth = self.cases[label].truth.effect
        own = distance(self.cases[label].effect(side), truth)
        others = np.array(
            [distance(self.cases[name].effect(side), truth) for name in rivals if name != label]
        )
        return float(np.mean((others < own) + 0.5 * (others == own)))


Distance = Callable[[np.ndarray, np.ndarray], float]


def draw_split(cells: EffectCells, n_genes: int, rng: np.random.Generator) -> Split:
    """Cut all cells into random parts and make the predictions."""
    judged = [label for label in cells.labels if not cells.lacking(label)]
    parts = {
        label: group.divide(rng, cells.size(label) if label in judged else None)
        for label, group in cells.real.items()
        if not group.lacking
    }
    pool = parts
    if cells.pool is not None:
        pool = {label: group.divide(rng) for label, group in cells.pool.items()}
    cases = {}
    for label in judged:
        part = parts[label]
        names = [name for name in pool if name != label]
        rows = rng.permutation(len(cells.generated[label]))[: cells.size(label)]
        control = part.floor.control
        predictions = {
            "value": cells.generated[label].moments(rows),
            "floor": part.floor.condition,
            "no_effect": part.idle,
        }
        if names:
            effects = np.stack([pool[name].chosen.effect for name in names])
            weights = np.array([pool[name].chosen.weight for name in names])
            for name, effect in (
                ("mean_response", effects.mean(axis=0)),
                ("additive", weights @ effects / weights.sum()),
            ):
                predictions[name] = Moments(control.mean + effect, control.variance, len(rows))
        others = [pool[name] for name in names]
        cases[label] = Case(part.chosen, part.truth, control, predictions, others, n_genes)
    return Split(cases)


def slope(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Slope of predicted on true effects, through the origin; 1 is the full effect."""
    power = float(truth @ truth)
    return float(predicted @ truth) / power if power > 0 else NAN


def same_sign(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of genes that change in the same direction; no change counts half."""
    return float(np.mean(1 + np.sign(predicted) * np.sign(truth)) / 2)


def rmse(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Root mean squared error over genes."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def cosine(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Cosine of two effects; NaN if one is zero."""
    norm = float(np.linalg.norm(predicted) * np.linalg.norm(truth))
    return float(predicted @ truth) / norm if norm > 0 else NAN


def welch(condition: Moments, control: Moments) -> np.ndarray:
    """Welch's t statistic per gene, shape (genes,); 0 for genes that do not vary."""
    error = np.sqrt(sum(side.variance / max(side.n - 1, 1) for side in (condition, control)))
    change = condition.mean - control.mean
    return np.divide(change, error, out=np.zeros_like(change), where=error > 0)


def top_genes(statistic: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` largest absolute values that are not 0, at most half of all genes."""
    if len(statistic) < 6:
        raise ValueError(f"needs 6 genes; there are {len(statistic)}")
    order = np.argsort(-np.abs(statistic), kind="stable")[: min(n, len(statistic) // 2)]
    return order[statistic[order] != 0]


def similarity(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Cosine of two effects; 0 if one is zero."""
    return float(np.nan_to_num(cosine(predicted, truth)))


def _on_chosen(function: Distance) -> Callable[[Split, str, str], float]:
    """A function of predicted and true effects of the chosen genes."""

    def compute(split: Split, label: str, side: str) -> float:
        case = split.cases[label]
        return function(case.effect(side)[case.genes], case.truth.effect[case.genes])

    return compute


def _on_all(function: Distance) -> Callable[[Split, str, str], float]:
    """A function of predicted and true effects of all genes."""
    return lambda split, label, side: function(
        split.cases[label].effect(side), split.cases[label].truth.effect
    )


def _de_overlap(split: Split, label: str, side: str) -> float:
    """Share of the real DE genes that are predicted ones."""
    case = split.cases[label]
    if not len(case.de_genes):
        return NAN
    predicted = top_genes(welch(case.predictions[side], case.control), case.n_genes)
    return float(np.isin(case.de_genes, predicted).mean())


def _specific(split: Split, label: str, side: str) -> float:
    """Correlation of effects beyond the mean effect of the other labels."""
    case = split.cases[label]
    if not case.others:
        raise ValueError(NO_OTHERS)
    genes = case.genes
    # as with controls, what is subtracted from the two sides is not of the same cells
    true_mean, predicted_mean = (
        np.mean([getattr(other, part).effect[genes] for other in case.others], axis=0)
        for part in ("truth", "floor")
    )
    return pearson(case.effect(side)[genes] - predicted_mean, case.truth.effect[genes] - true_mean)


def _systema(split: Split, label: str, side: str) -> float:
    """Correlation of differences from the centroid of the other labels' perturbed cells."""
    case = split.cases[label]
    if not case.others:
        raise ValueError(NO_OTHERS)
    true_centroid, predicted_centroid = (
        np.mean([getattr(other, part).condition.mean for other in case.others], axis=0)
        for part in ("truth", "floor")
    )
    return pearson(
        case.predictions[side].mean - predicted_centroid,
        case.truth.condition.mean - true_centroid,
    )


@dataclass(frozen=True)
class EffectMetric:
    """One row of the table: name, one line for people, which way is better, ideal and function."""

    name: str
    about: str
    compute: Callable[[Split, str, str], float]
    better: Better
    ideal: float


# fmt: off
EFFECT_METRICS: tuple[EffectMetric, ...] = (
    EffectMetric("lfc_r", "Correlation of predicted and real log fold changes, chosen genes",
                 _on_chosen(pearson), "higher", 1),
    EffectMetric("lfc_slope", "Slope of predicted on real log fold changes, chosen genes; below "
                 "the floor: too weak", _on_chosen(slope), "closer", NAN),
    EffectMetric("lfc_sign", "Share of chosen genes that change in the right direction",
                 _on_chosen(same_sign), "higher", 1),
    EffectMetric("de_overlap", "Share of the genes with the largest Welch t that are the same",
                 _de_overlap, "higher", 1),
    EffectMetric("specific_r", "Correlation after the mean effect of the other types is "
                 "subtracted, chosen genes", _specific, "higher", 1),
    EffectMetric("systema_r", "Systema: correlation of differences from the centroid of the other "
                 "types' perturbed cells", _systema, "higher", 1),
    EffectMetric("rmse", "PerturBench: root mean squared error of log fold changes",
                 _on_all(rmse), "lower", 0),
    EffectMetric("cosine", "PerturBench: cosine of log fold changes",
                 _on_all(cosine), "higher", 1),
    EffectMetric("rmse_rank", "PerturBench: share of other types' predictions that are nearer by "
                 "RMSE", lambda split, label, side: split.rank(label, side, rmse), "lower", 0),
    EffectMetric("cosine_rank", "PerturBench: the same by cosine",
                 lambda split, label, side: split.rank(label, side, lambda x, y: -similarity(x, y)),
                 "lower", 0),
)
# fmt: on
