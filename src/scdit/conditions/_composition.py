"""The training cells that conditions, where they are not given, are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from scdit.conditions._combinations import Combinations, Recent, grouped
from scdit.nn import DROPPED

_NEAREST = 20  # those like a given number are drawn from a twentieth of the cells, or so many
_KEPT = 4  # elements of pools that are kept for each training cell
_BLOCK = 1 << 18  # cells whose combinations are looked at together


@dataclass(frozen=True)
class Composition:
    """The cells a model was trained on, as far as generation needs them.

    What is found among them is kept, so that it is looked for once.

    Parameters
    ----------
    codes
        Code (int64) or value (float64) of every training cell in each condition, by name, (cells,).
    library_size
        Total counts of every training cell, float64 (cells,); of several assays (cells, assays), NaN
        where a cell lacks one.
    """

    codes: dict[str, np.ndarray]
    library_size: np.ndarray

    def __getstate__(self) -> dict[str, Any]:
        return {"codes": self.codes, "library_size": self.library_size}

    def of_assay(self, i: int) -> Composition:
        """The cells that have one of several assays, with their library sizes there."""
        return self if self.library_size.ndim == 1 else self._assays[i]

    @cached_property
    def _assays(self) -> list[Composition]:
        has = np.isfinite(self.library_size)
        return [
            Composition({k: code[own] for k, code in self.codes.items()}, size[own])
            for size, own in zip(self.library_size.T, has.T, strict=True)
        ]

    @cached_property
    def _combinations(self) -> Combinations:
        categories = {k: code for k, code in self.codes.items() if not _is_number(code)}
        return Combinations(categories, len(self.library_size))

    @cached_property
    def _spread(self) -> dict[str, float]:
        """Standard deviation of the conditions that are numbers; 1 for a constant."""
        return {k: x.std() or 1.0 for k, x in self.codes.items() if _is_number(x)}

    @cached_property
    def _pools(self) -> Recent:
        return Recent(_KEPT * len(self.library_size))

    def draw(self, given: Mapping[str, np.ndarray], numbers: np.ndarray) -> np.ndarray:
        """Indices of training cells (n,), each drawn among those that share the given conditions.

        Where no training cell has a combination, cells that share its first condition are used.
        For numbers, the nearest cells are. A condition that is not given is drawn from cells that
        have it.

        Parameters
        ----------
        given
            Codes (n,) by condition.
        numbers
            Uniform in [0, 1), (n,): what each cell is drawn with, whatever else is drawn.
        """
        categories = {k: v for k, v in given.items() if not _is_number(v)}
        values = tuple(name for name in given if name not in categories)
        drawn = tuple(name for name in self.codes if name not in given)
        rows = np.empty(len(numbers), dtype=np.int64)
        for combination, cells in grouped(categories, len(numbers)):
            key = (drawn, values, tuple(combination.items()))
            pool, tree = self._pools.get(key, partial(self._pool, *key))
            if tree is None:
                rows[cells] = _pick(pool, numbers[cells])
            else:
                own = {k: given[k][cells] for k in values}
                rows[cells] = self._nearest(own, pool, tree, numbers[cells])
        return rows

    def _pool(
        self,
        drawn: tuple[str, ...],
        values: tuple[str, ...],
        combination: tuple[tuple[str, int], ...],
    ) -> tuple[tuple[np.ndarray, cKDTree | None], int]:
        """Training cells to draw from, a tree of their values, and the number of elements of both.

        Parameters
        ----------
        drawn
            Conditions that are not given.
        values
            Given conditions that are numbers.
        combination
            Name and code of each given category.
        """
        known = self._combinations
        which = np.ones(len(known), dtype=bool)
        for name in drawn:
            if name in known.codes and (has := which & (known.codes[name] != DROPPED)).any():
                which = has
        for name, code in combination:
            which = known.narrowed(which, name, code)
        pool, _ = known.cells(np.flatnonzero(which))
        if not values:
            return (pool, None), len(pool)
        there = np.stack([self.codes[k][pool] / self._spread[k] for k in values], axis=1)
        return (pool, cKDTree(there)), (len(values) + 3) * len(pool)

    def _nearest(
        self,
        values: Mapping[str, np.ndarray],
        pool: np.ndarray,
        tree: cKDTree,
        numbers: np.ndarray,
    ) -> np.ndarray:
        """For each cell's values one of the nearest cells of the pool, ties included."""
        wanted = np.stack([values[name] / self._spread[name] for name in values], axis=1)
        groups = [cells for _, cells in grouped(values, len(wanted))]
        points = wanted[[cells[0] for cells in groups]]
        k = int(np.clip(len(pool) // _NEAREST, 1, _NEAREST))
        radius = tree.query(points, k=[k])[0].ravel()
        radius *= 1 + 1e-12  # rounding must not lose the last
        rows = np.empty(len(wanted), dtype=np.int64)
        for point, distance, cells in zip(points, radius, groups, strict=True):
            near = pool[tree.query_ball_point(point, distance, return_sorted=True)]
            rows[cells] = _pick(near, numbers[cells])
        return rows

    def seen_like(
        self, codes: Mapping[str, np.ndarray], numbers: np.ndarray, first: str | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Codes (n,) of combinations that training cells have, and to which combinations to go on.

        Where no training cell has a combination, it is that of one of the training cells that share
        most of its categories, and among these the category of `first` if any does. The second codes
        are `codes`, but for categories that no training cell has at all: of these nothing is known,
        and they are those of the first.

        Parameters
        ----------
        codes
            Codes of all conditions.
        numbers
            Uniform in [0, 1), (n,): what each cell's combination is drawn with.
        first
            Name of the condition to keep.
        """
        names = [name for name in codes if not _is_number(codes[name])]
        # each difference counts one, and that of the first a little more
        weight = np.array([1.5 if name == first else 1.0 for name in names])
        seen = {name: code.copy() for name, code in codes.items()}
        moved = {name: code.copy() for name, code in codes.items()}
        if not names:
            return seen, moved
        known = self._combinations
        for combination, cells in grouped({name: codes[name] for name in names}, len(numbers)):
            differs = np.array([known.codes[name] != combination[name] for name in names])
            distance = weight @ differs
            if not distance.min():  # training cells have it
                continue
            # a cell of the nearest combinations, whose categories are those of its own
            nearest = np.flatnonzero(distance == distance.min())
            which = self._pools.get(("nearest", *nearest), partial(self._which, nearest))
            found = nearest[_pick(which, numbers[cells])]
            for name, differing in zip(names, differs, strict=True):
                seen[name][cells] = known.codes[name][found]
                if differing.all():
                    moved[name][cells] = seen[name][cells]
        return seen, moved

    def _which(self, chosen: np.ndarray) -> tuple[np.ndarray, int]:
        """Which of the `chosen` combinations each of their cells has, in the order of the cells."""
        _, which = self._combinations.cells(chosen)
        return which, len(which)

    def unseen(self, given: Mapping[str, np.ndarray]) -> list[dict[str, int]]:
        """Combinations of given categories that no training cell has, in order of the codes.

        Parameters
        ----------
        given
            Codes of all cells, (), or of each, (n,), by condition.
        """
        if not given:
            return []
        names, columns = list(given), np.broadcast_arrays(*map(np.atleast_1d, given.values()))
        n = len(columns[0])
        asked: set[tuple[int, ...]] = set()
        for start in range(0, n, _BLOCK):
            parts = (code[start : start + _BLOCK] for code in columns)
            block = dict(zip(names, parts, strict=True))
            asked |= {tuple(c.values()) for c, _ in grouped(block, min(_BLOCK, n - start))}
        known = set(zip(*(self._combinations.codes[name].tolist() for name in names), strict=True))
        return [dict(zip(names, codes, strict=True)) for codes in sorted(asked - known)]


def _pick(pool: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One of the pool for each number in [0, 1)."""
    return pool[(numbers * len(pool)).astype(np.int64)]


def _is_number(codes: np.ndarray) -> bool:
    return np.issubdtype(codes.dtype, np.floating)
