"""Conditions by name: categories and numbers, and their codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from scdit._checks import did_you_mean
from scdit.nn import CONTINUOUS, DROPPED

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
