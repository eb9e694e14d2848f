"""The training cells that conditions, where they are not given, are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from scdit.nn import DROPPED

_NEAREST = 20  # those like a given number are drawn from a twentieth of the cells, or so many


@dataclass(frozen=True)
class Composition:
    """The cells a model was trained on, as far as generation needs them.

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

    def of_assay(self, i: int) -> Composition:
        """The cells that have one of several assays, with their library sizes there."""
        if self.library_size.ndim == 1:
            return self
        size = self.library_size[:, i]
        has = np.isfinite(size)
        return Composition({name: code[has] for name, code in self.codes.items()}, size[has])

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
        everyone = np.arange(len(self.library_size))
        for name in self.codes.keys() - given.keys():
            if not _is_number(self.codes[name]):
                known = self.codes[name][everyone] != DROPPED
                everyone = _unless_empty(everyone[known], everyone)
        categories = {k: v for k, v in given.items() if not _is_number(v)}
        values = [name for name in given if name not in categories]
        rows = np.empty(len(numbers), dtype=np.int64)
        for combination, cells in _groups(categories, len(numbers)):
            pool = everyone
            for name, code in combination.items():
                pool = _unless_empty(pool[self.codes[name][pool] == code], pool)
            if values:
                own = {k: given[k][cells] for k in values}
                rows[cells] = self._nearest(own, pool, numbers[cells])
            else:
                rows[cells] = _pick(pool, numbers[cells])
        return rows

    def _nearest(
        self, values: Mapping[str, np.ndarray], pool: np.ndarray, numbers: np.ndarray
    ) -> np.ndarray:
        """For each cell's values one of the nearest cells of the pool, ties included."""
        scale = {name: self.codes[name].std() or 1.0 for name in values}
        wanted = np.stack([values[name] / scale[name] for name in values], axis=1)
        there = np.stack([self.codes[name][pool] / scale[name] for name in values], axis=1)
        groups = [cells for _, cells in _groups(values, len(wanted))]
        points = wanted[[cells[0] for cells in groups]]
        k = int(np.clip(len(pool) // _NEAREST, 1, _NEAREST))
        tree = cKDTree(there)
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
        for combination, cells in _groups({name: codes[name] for name in names}, len(numbers)):
            if not names:
                break
            differs = np.array([self.codes[name] != combination[name] for name in names])
            distance = weight @ differs
            rows = _pick(np.flatnonzero(distance == distance.min()), numbers[cells])
            for name, differing in zip(names, differs, strict=True):
                seen[name][cells] = self.codes[name][rows]
                if differing.all():
                    moved[name][cells] = seen[name][cells]
        return seen, moved

    def unseen(self, given: Mapping[str, np.ndarray]) -> list[dict[str, int]]:
        """Combinations of given categories that no training cell has."""
        n = len(next(iter(given.values()), []))
        return [
            combination
            for combination, _ in _groups(given, n)
            if not np.logical_and.reduce(
                [self.codes[k] == v for k, v in combination.items()]
            ).any()
        ]


def _groups(codes: Mapping[str, np.ndarray], n: int) -> list[tuple[dict[str, int], np.ndarray]]:
    """Each combination of codes with the positions of its cells, in order of the codes."""
    if not codes:
        return [({}, np.arange(n))]
    which = pd.DataFrame(dict(codes)).groupby(list(codes), sort=True).ngroup().to_numpy()
    order = np.argsort(which, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    return [({name: code[cells[0]] for name, code in codes.items()}, cells) for cells in groups]


def _pick(pool: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One of the pool for each number in [0, 1)."""
    return pool[(numbers * len(pool)).astype(np.int64)]


def _is_number(codes: np.ndarray) -> bool:
    return np.issubdtype(codes.dtype, np.floating)


def _unless_empty(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part if len(part) else whole
