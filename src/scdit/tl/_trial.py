"""Who is compared with whom, and on whom everything is fitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from anndata import AnnData

from scdit.tl._comparison import Background, Comparison, fit_background
from scdit.tl._population import ALL, Population, read_population

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
    if not real.var_names.is_unique:
        raise ValueError("`real.var_names` repeats names; call `var_names_make_unique()`.")
    genes = list(real.var_names)
    held_out = read_population(real, "real", labels_key=labels_key, layer=layer)
    made = read_population(
        generated,
        "generated",
        genes=genes,
        labels_key=labels_key if labels_key in generated.obs else None,
        # a generator may return its counts in X whatever layer it was trained on
        layer=layer if layer is not None and layer in generated.layers else None,
    )

    if reference is None:
        compared, floor, rest = _thirds(held_out, rng)
        training = None
    else:
        compared = held_out
        training = read_population(
            reference, "reference", genes=genes, labels_key=labels_key, layer=layer
        )
        _warn_of_overlap(compared, training)
        is_floor = _like(compared, training, rng)
        floor, rest = training.take(is_floor), training.take(~is_floor)
    _warn_of_labels(compared, made, training)
    _warn_of_copies(held_out, made)

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


def _warn_of_overlap(real: Population, training: Population) -> None:
    """Warn where real cells are training cells too."""
    shared = np.isin(real.fingerprints, training.fingerprints).mean()
    if shared > 0.01:
        _warn(
            f"{shared:.0%} of the cells of `real` are in `reference` too: hold them out, or neither "
            "values nor floor mean anything."
        )


def _warn_of_copies(real: Population, generated: Population) -> None:
    """Warn where generated cells are the real ones that they are compared with."""
    copies = np.isin(generated.fingerprints, real.fingerprints).mean()
    # of few genes, cells are equal by chance, real ones too
    by_chance = 1 - len(np.unique(real.fingerprints)) / len(real)
    if copies > 0.05 + 3 * by_chance:
        _warn(
            f"{copies:.0%} of the cells of `generated` are exact copies of cells of `real`: these are not "
            "generated, and no metric means anything."
        )


def _warn_of_labels(real: Population, generated: Population, training: Population | None) -> None:
    """Warn of labels that only one side knows."""
    if real.labels is None:
        return
    known = set(real.labels)
    if generated.labels is None:
        _warn("`generated.obs` lacks the column of labels: its cells are compared without them.")
    else:
        made = set(generated.labels)
        if made - known:
            _warn(
                f"`generated` has labels that `real` lacks: {sorted(made - known)}. Their cells "
                'count in the group "all" only.'
            )
        if known - made:
            _warn(f"`real` has labels that were not generated: {sorted(known - made)}.")
    if training is not None and training.labels is not None and known - set(training.labels):
        _warn(
            f"`real` has labels that `reference` lacks: {sorted(known - set(training.labels))}. "
            "They have no floor and are not compared on their own."
        )


def _warn(message: str) -> None:
    """Warn the caller of `evaluate`."""
    warnings.warn(message, UserWarning, stacklevel=5)
