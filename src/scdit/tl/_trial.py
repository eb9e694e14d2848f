"""Who is compared with whom, and on whom everything is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from anndata import AnnData

from scdit.tl._comparison import Background, Comparison, fit_background
from scdit.tl._population import (
    ALL,
    Population,
    read_generated,
    read_population,
)
from scdit.tl._together import together
from scdit.tl._warnings import warn_of_copies, warn_of_labels, warn_of_overlap

MAX_FITTED_CELLS = 5000


@dataclass(frozen=True, eq=False)
class Trial:
    """Generated cells, and real cells in their place, before the same held-out real cells.

    Attributes
    ----------
    real, generated, floor
        Held-out real cells; generated cells; real cells judged as if they had been generated.
    background, floor_background
        What is fitted on none of the three. They differ in the training cells: those of the
        floor are not their own originals.
    max_cells
        Most cells on a side of a comparison.
    seed
        Of the draws of cells and of the metrics.
    """

    real: Population
    generated: Population
    floor: Population
    background: Background
    floor_background: Background
    max_cells: int
    seed: int
    _drawn: dict[str, tuple[Comparison, Comparison]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """Labels to compare one by one: those of the real cells, if the generated have any."""
        if self.real.labels is None or self.generated.labels is None:
            return []
        return sorted(np.unique(self.real.labels))

    def available(self, group: str) -> dict[str, int]:
        """Return the number of cells of a group: real, generated, and in the floor."""
        return {
            name: len(self._members(cells, group))
            for name, cells in (
                ("real", self.real),
                ("generated", self.generated),
                ("floor", self.floor),
            )
        }

    def size(self, group: str) -> int:
        """Return the number of cells on each side of a group's comparisons."""
        return min(*self.available(group).values(), self.max_cells)

    def comparisons(self, group: str) -> tuple[Comparison, Comparison]:
        """Return the comparison of a group's generated cells and that of its floor.

        All sides are drawn without replacement to the same size, because most distances
        depend on it.
        """
        if group not in self._drawn:
            rng = np.random.default_rng(self.seed)
            real, generated, floor = (
                cells.take(rng.permutation(self._members(cells, group))[: self.size(group)])
                for cells in (self.real, self.generated, self.floor)
            )
            whole, whole_floor = (None, None) if group == ALL else self.comparisons(ALL)
            self._drawn[group] = (
                Comparison(real, generated, self.background, self.seed, group, whole),
                Comparison(real, floor, self.floor_background, self.seed, group, whole_floor),
            )
        return self._drawn[group]

    @staticmethod
    def _members(cells: Population, group: str) -> np.ndarray:
        return np.arange(len(cells)) if group == ALL else cells.where(group)


@dataclass(frozen=True, eq=False)
class Sides:
    """The cells of one modality as they were given; `training` is None without a reference."""

    real: Population
    generated: Population
    training: Population | None


def read_sides(
    real: AnnData,
    generated: AnnData,
    reference: AnnData | None,
    *,
    labels_key: str | None,
    layer: str | None,
) -> Sides:
    """Read the cells, with the genes in the order of `real`."""
    held_out = read_population(real, "real", labels_key=labels_key, layer=layer)
    genes = list(real.var_names)
    made = read_generated(
        generated,
        genes=genes,
        labels_key=labels_key if labels_key in generated.obs else None,
        layer=layer,
    )
    training = None
    if reference is not None:
        training = read_population(
            reference, "reference", genes=genes, labels_key=labels_key, layer=layer
        )
    return Sides(held_out, made, training)


def build_trials(
    sides: Mapping[str, Sides], *, max_cells: int, rng: np.random.Generator
) -> dict[str, Trial]:
    """Divide the real cells so that nothing is fitted on a compared side; in all modalities alike.

    With a reference, a sample of it with the label composition of `real` (at most half of each
    label) becomes the floor, and everything is fitted on the rest. Without one, `real` is cut
    into three parts of equal composition: compared, floor, and fitted.

    Parameters
    ----------
    sides
        For each modality the same cells in the same order.
    max_cells
        Most cells on a side of a comparison.
    rng
        Divides the cells.
    """
    first = next(iter(sides.values()))
    real = together([side.real for side in sides.values()])
    generated = together([side.generated for side in sides.values()])
    if first.training is None:
        compared, floor, rest = _thirds(first.real, rng)
        held_out = {name: side.real.take(compared) for name, side in sides.items()}
    else:
        held_out = {name: side.real for name, side in sides.items()}
        known = [side.training for side in sides.values() if side.training is not None]
        warn_of_overlap(real, together(known), "real", "reference")
        is_floor = _like(first.real, first.training, rng)
        floor, rest = np.flatnonzero(is_floor), np.flatnonzero(~is_floor)
    warn_of_labels(next(iter(held_out.values())), first.generated, first.training)
    warn_of_copies(real, generated)

    seed = int(rng.integers(2**31))
    fitted = rest[np.sort(rng.permutation(len(rest))[:MAX_FITTED_CELLS])]
    trials = {}
    for name, side in sides.items():
        pool = side.real if side.training is None else side.training
        background = fit_background(pool.take(fitted), side.training, seed=seed)
        others = None if side.training is None else pool.take(rest)
        trials[name] = Trial(
            real=held_out[name],
            generated=side.generated,
            floor=pool.take(floor),
            background=background,
            floor_background=replace(background, training=others),
            max_cells=max_cells,
            seed=seed,
        )
    return trials


def _thirds(cells: Population, rng: np.random.Generator) -> list[np.ndarray]:
    """Positions of three parts of equal size and label composition."""
    order = rng.permutation(len(cells))
    if cells.labels is not None:
        order = order[np.argsort(cells.labels[order], kind="stable")]
    return [order[start::3] for start in range(3)]


def _like(target: Population, pool: Population, rng: np.random.Generator) -> np.ndarray:
    """Mark a sample of `pool` with the size and label composition of `target`."""
    mask = np.zeros(len(pool), dtype=bool)
    if target.labels is None:
        groups = [(np.arange(len(pool)), len(target))]
    else:
        values, sizes = np.unique(target.labels, return_counts=True)
        groups = [(pool.where(value), size) for value, size in zip(values, sizes, strict=True)]
    for members, size in groups:
        # half of a label's cells stay for fitting, however few there are
        mask[rng.permutation(members)[: min(size, len(members) // 2)]] = True
    return mask
