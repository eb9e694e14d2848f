"""Who is compared with whom, and on whom everything is fitted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from anndata import AnnData

from scdit.tl._comparison import Background, Comparison, fit_background
from scdit.tl._population import ALL, Population, read_generated, read_population
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


def build_trial(
    real: AnnData,
    generated: AnnData,
    *,
    labels_key: str | None,
    reference: AnnData | None,
    layer: str | None,
    max_cells: int,
    rng: np.random.Generator,
) -> Trial:
    """Read the cells and divide the real ones so that nothing is fitted on a compared side.

    With a reference, a sample of it with the label composition of `real` (at most half of each
    label) becomes the floor, and everything is fitted on the rest. Without one, `real` is cut
    into three parts of equal composition: compared, floor, and fitted.
    """
    held_out = read_population(real, "real", labels_key=labels_key, layer=layer)
    genes = list(real.var_names)
    made = read_generated(
        generated,
        genes=genes,
        labels_key=labels_key if labels_key in generated.obs else None,
        layer=layer,
    )

    if reference is None:
        compared, floor, rest = _thirds(held_out, rng)
        training = None
    else:
        compared = held_out
        training = read_population(
            reference, "reference", genes=genes, labels_key=labels_key, layer=layer
        )
        warn_of_overlap(compared, training, "real", "reference")
        is_floor = _like(compared, training, rng)
        floor, rest = training.take(is_floor), training.take(~is_floor)
    warn_of_labels(compared, made, training)
    warn_of_copies(held_out, made)

    seed = int(rng.integers(2**31))
    fitted = rest.take(np.sort(rng.permutation(len(rest))[:MAX_FITTED_CELLS]))
    background = fit_background(fitted, training, seed=seed)
    return Trial(
        real=compared,
        generated=made,
        floor=floor,
        background=background,
        floor_background=replace(background, training=None if training is None else rest),
        max_cells=max_cells,
        seed=seed,
    )


def _thirds(cells: Population, rng: np.random.Generator) -> list[Population]:
    """Cut cells into three parts of equal size and label composition."""
    order = rng.permutation(len(cells))
    if cells.labels is not None:
        order = order[np.argsort(cells.labels[order], kind="stable")]
    return [cells.take(order[start::3]) for start in range(3)]


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
