"""Conditions by name: categories and numbers, and their codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from scdit._checks import as_text, did_you_mean, shortened
from scdit.nn import CONTINUOUS, DROPPED

_BEYOND = 0.1  # of the training range: a number further outside is far out
_ABSURD = 10.0  # training ranges: a number further outside cannot be meant


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
        """Codes of category names, int64; without a category, ``DROPPED``.

        Raises
        ------
        ValueError
            If a name is unknown, the message lists the known ones, or missing where it must not be.
        """
        try:
            # missing values have -1
            one_each = names if isinstance(names, pd.Categorical) else _object_array(names)
            which, distinct = pd.factorize(one_each)
        except TypeError as error:
            raise ValueError(f"{self.key}: names must be text or numbers") from error
        if self.unlabeled is None and (which < 0).any():
            raise ValueError(f"{self.key}: {(which < 0).sum()} of {len(which)} values are missing")
        codes = self.find(distinct)
        none = np.array([self.unlabeled is not None and v == self.unlabeled for v in distinct])
        unknown = (codes == DROPPED) & ~none.astype(bool)
        if unknown.any():
            name = str(distinct[unknown][0])
            raise ValueError(
                f"unknown {self.key} {name!r}; known: {shortened(self.categories)}"
                + did_you_mean(name, self.categories)
            )
        return np.append(codes, DROPPED)[which].astype(np.int64)

    def find(self, names: Sequence[object]) -> np.ndarray:
        """Codes of distinct names, ``DROPPED`` where a name is unknown.

        Numbers may be given as text, and text that is a number as a number: ``1``, ``1.0`` and ``"1"``
        are the same category.
        """
        code_of: dict[object, int] = {}
        for code, name in enumerate(self.categories.tolist()):
            code_of.setdefault(as_text(name), code)
            code_of[name] = code
        return np.array(
            [code_of.get(name, code_of.get(as_text(name), DROPPED)) for name in names],
            dtype=np.int64,
        )

    def decode(self, codes: np.ndarray) -> pd.Categorical:
        """Codes as a categorical with all training categories, and "unlabeled" if it occurs."""
        categories = pd.Index(self.categories)
        if self.unlabeled is not None:  # one type of names: others cannot be written to a file
            categories = pd.Index([as_text(name) for name in self.categories])
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
            If a value is not a finite number, or more than ten training ranges away.
        """
        try:
            given = _object_array(values)
            if any(isinstance(v, str | bool | np.bool_) for v in given):
                raise TypeError
            numbers = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.key} is a number, got {list(values)[0]!r}") from error
        if not np.isfinite(numbers).all():
            raise ValueError(f"{self.key}: values must be finite numbers, got NaN or infinity")
        scale = max(self.high - self.low, self.sd)
        absurd = (numbers < self.low - _ABSURD * scale) | (numbers > self.high + _ABSURD * scale)
        if absurd.any():
            raise ValueError(
                f"{self.key} of {numbers[absurd][0]:g} is too far outside the training cells' range, "
                f"{self.low:g} to {self.high:g}"
            )
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


def _object_array(values: Sequence[object]) -> np.ndarray:
    """Values (n,) as they are, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
