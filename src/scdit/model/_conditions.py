"""Conditions by name: what was registered, and the training cells that the rest is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from scdit.model._checks import did_you_mean
from scdit.nn import CONTINUOUS, DROPPED

_NEAREST = 20  # those like a given number are drawn from a twentieth of the cells, or so many
_BEYOND = 0.1  # of the training range: a number further outside is far out


@dataclass(frozen=True)
class Category:
    """A registered condition with names.

    Parameters
    ----------
    name
        Its name in scvi's registry and in the batches of a data loader: ``labels``, ``batch`` or
        ``covariate_<number>``.
    key
        The user's column in ``obs``.
    categories
        Its categories, in the order of their codes.
    ordered
        Whether their order means something.
    unlabeled
        The name of having none, None if every cell has one.
    """

    name: str
    key: str
    categories: np.ndarray
    ordered: bool = False
    unlabeled: str | None = None

    @property
    def n_categories(self) -> int:
        """Number of categories, as the denoiser takes it."""
        return len(self.categories)

    def encode(self, names: Sequence[object]) -> np.ndarray:
        """Codes of category names, int64; without a category, :data:`scdit.nn.DROPPED`.

        Raises
        ------
        ValueError
            If a name is unknown, the message lists the known ones, or missing where it must not be.
        """
        wanted = pd.Index(names, dtype=object)
        none = np.asarray(wanted.isna())
        if self.unlabeled is not None:
            none |= np.asarray(wanted == self.unlabeled)
        elif none.any():
            raise ValueError(f"{self.key}: {none.sum()} of {len(wanted)} values are missing")
        codes = pd.Index(self.categories).get_indexer(wanted)
        if (codes[~none] < 0).any():  # numbers as text, or text as numbers
            codes = pd.Index(self.categories.astype(str)).get_indexer(wanted.astype(str))
        if (codes[~none] < 0).any():
            unknown = str(wanted[~none & (codes < 0)][0])
            raise ValueError(
                f"unknown {self.key} {unknown!r}; known: {', '.join(map(str, self.categories))}"
                + did_you_mean(unknown, self.categories)
            )
        return np.where(none, DROPPED, codes).astype(np.int64)

    def decode(self, codes: np.ndarray) -> pd.Categorical:
        """Codes as a categorical with all training categories, and "unlabeled" if it occurs."""
        categories = pd.Index(self.categories)
        if (codes == DROPPED).any():
            categories = categories.append(pd.Index([self.unlabeled]))
            codes = np.where(codes == DROPPED, len(self.categories), codes)
        return pd.Categorical.from_codes(codes, categories=categories, ordered=self.ordered)

    def standardise(self, codes: np.ndarray) -> np.ndarray:
        """What the denoiser sees: the codes."""
        return codes

    def __str__(self) -> str:
        return f"{self.key} ({len(self.categories)})"


@dataclass(frozen=True)
class Number:
    """A registered condition with values, which are their own codes.

    Parameters
    ----------
    name, key
        As in :class:`Category`.
    mean, sd, low, high
        Moments and range of the training cells' values.
    """

    name: str
    key: str
    mean: float
    sd: float
    low: float
    high: float

    @property
    def n_categories(self) -> int:
        """Number of categories, as the denoiser takes it."""
        return CONTINUOUS

    def encode(self, values: Sequence[object]) -> np.ndarray:
        """Values as float64.

        Raises
        ------
        ValueError
            If a value is not a finite number.
        """
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.key} is a number, got {list(values)[0]!r}") from error
        if not np.isfinite(numbers).all():
            raise ValueError(f"{self.key}: values must be finite numbers, got NaN or infinity")
        return numbers

    def decode(self, values: np.ndarray) -> np.ndarray:
        """The values."""
        return values

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """What the denoiser sees: float32, mean 0 and variance 1 in the training cells."""
        return ((values - self.mean) / self.sd).astype(np.float32)

    def far_out(self, values: np.ndarray) -> np.ndarray:
        """Which values are outside the training range by more than a tenth of it."""
        slack = _BEYOND * (self.high - self.low)
        return (values < self.low - slack) | (values > self.high + slack)

    def __str__(self) -> str:
        return f"{self.key} ({self.low:g} to {self.high:g})"


Condition: TypeAlias = Category | Number


@dataclass(frozen=True)
class Composition:
    """The cells a model was trained on, as far as generation needs them.

    Parameters
    ----------
    codes
        Code (int64) or value (float64) of every training cell in each condition, by name, (cells,).
    library_size
        Total counts of every training cell, float64 (cells,).
    """

    codes: dict[str, np.ndarray]
    library_size: np.ndarray

    def draw(
        self, given: Mapping[str, np.ndarray], n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Indices of `n` training cells, each drawn among those that share the given conditions.

        Where no training cell has a combination, cells that share its first condition are used.
        For numbers, the nearest cells are. A condition that is not given is drawn from cells that
        have it.
        """
        everyone = np.arange(len(self.library_size))
        for name in self.codes.keys() - given.keys():
            if not _is_number(self.codes[name]):
                known = self.codes[name][everyone] != DROPPED
                everyone = _unless_empty(everyone[known], everyone)
        categories = {k: v for k, v in given.items() if not _is_number(v)}
        numbers = [name for name in given if name not in categories]
        rows = np.empty(n, dtype=np.int64)
        for combination, cells in _groups(categories, n):
            pool = everyone
            for name, code in combination.items():
                pool = _unless_empty(pool[self.codes[name][pool] == code], pool)
            if numbers:
                rows[cells] = self._nearest({k: given[k][cells] for k in numbers}, pool, rng)
            else:
                rows[cells] = rng.choice(pool, size=len(cells))
        return rows

    def _nearest(
        self, values: Mapping[str, np.ndarray], pool: np.ndarray, rng: np.random.Generator
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
            rows[cells] = rng.choice(near, size=len(cells))
        return rows

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


def _is_number(codes: np.ndarray) -> bool:
    return np.issubdtype(codes.dtype, np.floating)


def _unless_empty(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part if len(part) else whole
