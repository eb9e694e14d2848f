"""Cells for which a condition, or all of them, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from scdit._checks import check_class, did_you_mean
from scdit.conditions import Category, Composition, Condition, RequestedCodes
from scdit.diffusion import KeyedNoise
from scdit.nn import DROPPED

LABELS = "labels"  # the null of all conditions: one population


@dataclass(frozen=True)
class Null:
    """Names of a condition that have nothing to do with the cells.

    Parameters
    ----------
    condition
        The condition.
    given
        The names that are asked for, None if they are drawn.
    below
        Share of the training cells with each category or an earlier one, (categories,).
    """

    condition: Category
    given: RequestedCodes | None
    below: np.ndarray

    def of(self, cells: range, numbers: np.ndarray) -> np.ndarray:
        """Codes (cells,), drawn with uniform `numbers` (cells,) where none are asked for."""
        if self.given is not None:
            return self.given.of(cells, numbers)[self.condition.name]
        return np.searchsorted(self.below, numbers, side="right")


def read_null(null: Any, reference: Any, conditions: Sequence[Condition]) -> Category | None:
    """The condition of a null that is asked for; None for none, and for that of all conditions.

    Raises
    ------
    TypeError
        If `null` is no text.
    ValueError
        If it is no registered column of several categories, or `reference` is not one of these.
    """
    if null is None or null == LABELS:
        if reference is not None:
            raise ValueError("reference is a category of the condition that null= names")
        return None
    condition = categories_of("null", null, conditions, LABELS)
    if reference is not None and condition.encode([reference])[0] == DROPPED:
        raise ValueError(f"reference: {reference!r} stands for cells without a {null!r}")
    return condition


def categories_of(name: str, key: Any, conditions: Sequence[Condition], *others: str) -> Category:
    """The condition of several categories in a column that an argument `name` gives.

    Raises
    ------
    TypeError
        If the column is no text.
    ValueError
        If it is not registered, has numbers, or one category only; `others` are allowed as well.
    """
    by_key = {condition.key: condition for condition in conditions}
    known = [*by_key, *others]
    if check_class(name, key, str) not in by_key:
        raise ValueError(
            f"{name}: {key!r} is not registered; choose one of {', '.join(known) or 'none'}"
            + did_you_mean(key, known)
        )
    condition = by_key[key]
    if not isinstance(condition, Category):
        raise ValueError(f"{name}: {key!r} has numbers, and no categories")
    if condition.n_categories < 2:
        raise ValueError(
            f"{name}: {key!r} has one category, {str(condition.categories[0])!r}: "
            "there is nothing to compare"
        )
    return condition


def null_names(
    condition: Category, request: Any, composition: Composition, rng: np.random.Generator
) -> Null:
    """Names of a condition in any order.

    Parameters
    ----------
    condition
        The condition.
    request
        Names that are asked for, see :func:`scdit.conditions.name_requests`.
    composition
        The training cells.
    rng
        Source of the order of names that are given as numbers of cells.
    """
    if isinstance(request, Mapping):
        codes = rng.permutation(np.repeat(np.arange(len(request)), list(request.values())))
        request = pd.Categorical.from_codes(codes, categories=list(request))
    given = None
    if request is not None:
        given = RequestedCodes([condition], composition, {condition.key: request}, rng)
    known = composition.codes[condition.name]
    sizes = np.bincount(known[known != DROPPED], minlength=condition.n_categories)
    return Null(condition, given, sizes.cumsum() / sizes.sum())


@dataclass(frozen=True)
class Population:
    """One Gaussian of states, in the place of the clusters that cells have.

    Parameters
    ----------
    mean
        Mean, (n_state,).
    root
        Cholesky factor of the covariance, (n_state, n_state).
    """

    mean: torch.Tensor
    root: torch.Tensor

    @classmethod
    def of(cls, states: torch.Tensor) -> Population:
        """With the moments of states (cells, n_state)."""
        wide = states.double()
        covariance = wide.T.cov()
        # a dimension may be constant, as the depth is if all library sizes are equal
        covariance += 1e-6 * torch.eye(len(covariance), dtype=covariance.dtype)
        return cls(wide.mean(0).float(), torch.linalg.cholesky(covariance).float())

    def states(self, cells: range, noise: KeyedNoise, purpose: int) -> torch.Tensor:
        """States (cells, n_state) of a range of cells, on the processor."""
        normal = noise.normal(cells.start, cells.stop, len(self.mean), purpose)
        return self.mean + torch.from_numpy(normal) @ self.root.T
