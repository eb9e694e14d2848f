"""Cells of two conditions, label by label, and the parts that an effect is estimated and judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from sklearn.utils.sparsefuncs import mean_variance_axis

from scdit._checks import as_text, check_int, did_you_mean, shortened, shown
from scdit.tl._kinds import Kind
from scdit.tl._population import (
    Population,
    read_generated,
    read_labels,
    read_population,
)
from scdit.tl._warnings import warn_of_copies, warn_of_overlap, warn_of_unjudged

LEAST = 5  # cells of a part
CONDITION_PARTS, CONTROL_PARTS = 3, 4  # choose genes, truth, floor; and no effect


class Moments(NamedTuple):
    """Mean and variance of log expression per gene, shapes (genes,), and the number of cells."""

    mean: np.ndarray
    variance: np.ndarray
    n: int


class Pair(NamedTuple):
    """Cells of the condition and of the control."""

    condition: Moments
    control: Moments

    @property
    def effect(self) -> np.ndarray:
        """Log fold change per gene (natural logarithm), shape (genes,)."""
        return self.condition.mean - self.control.mean

    @property
    def weight(self) -> float:
        """Weight in a least-squares fit of one effect over labels, each with its own level."""
        return 1 / (1 / self.condition.n + 1 / self.control.n)


class Parts(NamedTuple):
    """Random parts of the real cells of one label, which share no cell.

    Attributes
    ----------
    chosen
        Genes are chosen on these cells.
    truth
        What a prediction is compared with.
    floor
        Its condition cells stand in the place of the generated ones; its control is subtracted
        from every prediction.
    idle
        Control cells that stand in the place of generated ones: no effect.
    """

    chosen: Pair
    truth: Pair
    floor: Pair
    idle: Moments


@dataclass(frozen=True, eq=False)
class Cells(Population):
    """Cells of one label and condition."""

    @cached_property
    def expression(self) -> sp.csr_matrix:
        """Log expression of all genes, CSR (cells x genes)."""
        return self.log_expression().astype(np.float64)

    def cut(self, rng: np.random.Generator, parts: int) -> list[np.ndarray]:
        """Positions of random parts of equal size; the first ones may have a cell more."""
        return np.array_split(rng.permutation(len(self)), parts)

    def moments(self, rows: np.ndarray) -> Moments:
        """Mean and variance per gene of the log expression of the cells at `rows`."""
        mean, variance = mean_variance_axis(self.expression[rows], axis=0)
        return Moments(mean, variance, len(rows))


@dataclass(frozen=True, eq=False)
class Group:
    """Real cells of one label."""

    condition: Cells
    control: Cells

    @property
    def lacking(self) -> str:
        """Why these cells are too few for parts; empty where they are enough."""
        for cells, parts, name in (
            (self.condition, CONDITION_PARTS, "real cells of the condition"),
            (self.control, CONTROL_PARTS, "real control cells"),
        ):
            if len(cells) < LEAST * parts:
                return f"needs {LEAST * parts} {name}; there are {len(cells)}"
        return ""

    def divide(self, rng: np.random.Generator, size: int | None = None) -> Parts:
        """Cut both conditions into random parts; `size` limits the condition cells of the floor."""
        chosen, truth, floor = self.condition.cut(rng, CONDITION_PARTS)
        conditions = [self.condition.moments(rows) for rows in (chosen, truth, floor[:size])]
        *controls, idle = map(self.control.moments, self.control.cut(rng, CONTROL_PARTS))
        first, second, third = map(Pair, conditions, controls)
        return Parts(first, second, third, idle)


@dataclass(frozen=True, eq=False)
class EffectCells:
    """All that is compared.

    Attributes
    ----------
    real
        Held-out real cells by label.
    generated
        Generated cells of the condition by label.
    pool
        Training cells by label, of labels with enough cells: their effects are what is known of
        *other* labels. None where the real cells are.
    """

    real: dict[str, Group]
    generated: dict[str, Cells]
    pool: dict[str, Group] | None

    @property
    def labels(self) -> list[str]:
        """Labels with real cells of the condition, in order."""
        return [label for label, group in self.real.items() if len(group.condition)]

    def lacking(self, label: str) -> str:
        """Why a label cannot be judged; empty where it can."""
        n = self._made(label)
        if n < LEAST:
            return f"needs {LEAST} generated cells; there are {n}"
        return self.real[label].lacking

    def size(self, label: str) -> int:
        """Cells in the place of the generated ones: as many as are generated, or in the floor."""
        return min(self._made(label), len(self.real[label].condition) // CONDITION_PARTS)

    def _made(self, label: str) -> int:
        return len(self.generated[label]) if label in self.generated else 0


def _value(name: str, value: Any) -> str:
    """Text of a value of a column.

    Raises
    ------
    TypeError
        If it is neither text nor a number.
    """
    if not isinstance(value, str | Real):
        raise TypeError(
            f"{name} must be a value of the column, text or a number, got {shown(value)}"
        )
    return as_text(value)


def read_effect_cells(
    real: AnnData,
    generated: AnnData,
    reference: AnnData | None = None,
    *,
    condition_key: str,
    control: str | float,
    condition: str | float,
    labels_key: str,
    layer: str | None,
    max_cells: int,
    rng: np.random.Generator,
    kind: Kind = "rna",
) -> EffectCells:
    """Check what the cells are chosen by, and read them, with the genes in the order of `real`.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :func:`scdit.tl.evaluate_effects`.
    """
    if condition_key == labels_key:
        raise ValueError(f"condition_key and labels_key are both {labels_key!r}: name two columns")
    control, condition = _value("control", control), _value("condition", condition)
    if control == condition:
        raise ValueError(f"control and condition are both {control!r}: name two values")
    max_cells = check_int("max_cells", max_cells, LEAST * CONTROL_PARTS)
    genes = list(real.var_names)
    conditions = _conditions(real, "real", condition_key, control, condition)
    made = _conditions(generated, "generated", condition_key, condition)
    cells = read_population(real, "real", labels_key=labels_key, layer=layer, kind=kind)
    new = read_generated(
        generated, genes=genes, labels_key=labels_key, layer=layer, kind=kind
    ).take(made == condition)
    held_out = cells.take(conditions == condition)
    sides = [side.names for side in (held_out, new)]
    if not set(sides[0]) & set(sides[1]):
        raise ValueError(
            f"`real` and `generated` share no label of {labels_key!r} among their cells of "
            f"{condition!r}. `real` has: {shortened(sides[0])}. "
            f"`generated` has: {shortened(sides[1])}"
        )
    warn_of_unjudged(held_out, new)
    warn_of_copies(held_out, new)
    pool = None
    if reference is not None:
        known = _conditions(reference, "reference", condition_key, control, condition)
        training = read_population(
            reference, "reference", genes=genes, labels_key=labels_key, layer=layer, kind=kind
        )
        warn_of_overlap(held_out, training.take(known == condition), "real", "reference")
        pool = {
            label: group
            for label, group in _groups(
                training, known, control, condition, max_cells, rng
            ).items()
            if not group.lacking
        }
    return EffectCells(
        real=_groups(cells, conditions, control, condition, max_cells, rng),
        generated={label: _some(new, new.where(label), max_cells, rng) for label in new.names},
        pool=pool,
    )


def _groups(
    cells: Population,
    conditions: np.ndarray,
    control: str,
    condition: str,
    max_cells: int,
    rng: np.random.Generator,
) -> dict[str, Group]:
    """Cells by label and condition."""
    return {
        label: Group(
            *(
                _some(cells, rows[conditions[rows] == value], max_cells, rng)
                for value in (condition, control)
            )
        )
        for label in cells.names
        for rows in [cells.where(label)]
    }


def _some(cells: Population, rows: np.ndarray, most: int, rng: np.random.Generator) -> Cells:
    """At most so many of the cells at `rows`."""
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    return Cells(cells.counts[rows], kind=cells.kind)


def _conditions(adata: AnnData, name: str, key: str, *values: str) -> np.ndarray:
    """The condition of every cell as text; each of `values` must be there."""
    column = read_labels(adata, name, key)
    known = sorted(set(column))
    for value in values:
        if value not in known:
            raise ValueError(
                f"`{name}.obs[{key!r}]` has no cells of {value!r}. It has: "
                f"{shortened(known) or 'none'}" + did_you_mean(value, known)
            )
    return column
