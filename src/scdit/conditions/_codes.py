"""From requests to one code per cell and condition, for all cells or for some of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scdit._checks import users_stacklevel
from scdit.conditions._composition import Composition
from scdit.conditions._condition import Category, Condition, Number


class RequestedCodes:
    """Codes of every condition of the cells to generate, for any range of them.

    Of a million cells, one number each is kept for what is given per cell, of as few bytes as the
    categories need, and nothing for what is given for all or drawn.

    Parameters
    ----------
    conditions
        The registered conditions.
    composition
        The training cells: what is not asked for is drawn jointly from those that share what is.
    requests
        See :func:`name_requests`.
    rng
        Source of the order in which a second mapping is combined with the first.

    Raises
    ------
    ValueError
        If a name is unknown.

    Warns
    -----
    UserWarning
        If the model has to extrapolate.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        composition: Composition,
        requests: Mapping[str, Any],
        rng: np.random.Generator,
    ):
        self._conditions, self._composition = conditions, composition
        self._given: dict[str, np.ndarray] = {}  # (n,), or () for all cells
        for condition in conditions:
            request = requests.get(condition.key)
            if request is None:
                continue
            if isinstance(request, Mapping):
                codes = _narrow(condition, condition.encode(list(request)))
                codes = np.repeat(codes, list(request.values()))
                # two mappings are combined independently: only the first keeps its order
                codes = rng.permutation(codes) if self._given else codes
            elif isinstance(request, list | pd.Categorical):
                codes = _narrow(condition, condition.encode(request))
            else:
                codes = condition.encode([request])[0]
            self._given[condition.name] = np.asarray(codes)
        for message in self._extrapolations():
            warnings.warn(message, UserWarning, stacklevel=users_stacklevel())

    def of(self, cells: range, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Codes (cells,) of every condition.

        Parameters
        ----------
        cells
            Indices of the cells.
        numbers
            Uniform in [0, 1), (cells,): what each cell's conditions are drawn with.
        """
        given = {name: _wide(codes, cells) for name, codes in self._given.items()}
        if len(given) == len(self._conditions):
            return given
        rows = self._composition.draw(given, numbers)
        known = self._composition.codes
        return {c.name: given.get(c.name, known[c.name][rows]) for c in self._conditions}

    def described(self) -> Iterator[tuple[str, np.ndarray]]:
        """What is given, by the user's columns: one code for all cells, (), or one each, (n,)."""
        key_of = {c.name: c.key for c in self._conditions}
        return ((key_of[name], codes) for name, codes in self._given.items())

    def _extrapolations(self) -> list[str]:
        """What is asked for but was never seen in training, in words."""
        messages = []
        names: dict[str, Category] = {}
        for condition in self._conditions:
            if condition.name not in self._given:
                continue
            if isinstance(condition, Number):
                given = np.atleast_1d(self._given[condition.name])
                far = condition.far_out(given)
                if far.any():
                    messages.append(
                        f"{condition.key} of {given[far][0]:g} is far outside the "
                        f"training cells' range, {condition.low:g} to {condition.high:g}"
                    )
            else:
                names[condition.name] = condition
        unseen = self._composition.unseen({name: self._given[name] for name in names})
        if unseen:
            shown_ones = [
                " and ".join(
                    f"{names[k].key} {names[k].decode(np.array([v]))[0]!r}" for k, v in u.items()
                )
                for u in unseen[:3]
            ]
            messages.append(
                f"no training cell has {'; or '.join(shown_ones)}{'; ...' if len(unseen) > 3 else ''}: "
                "the model extrapolates"
            )
        return messages


def resolve_codes(
    conditions: Sequence[Condition],
    composition: Composition,
    requests: Mapping[str, Any],
    numbers: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Codes (n,) of every condition of the cells to generate, see :class:`RequestedCodes`.

    Parameters
    ----------
    conditions, composition, requests, rng
        As there.
    numbers
        Uniform in [0, 1), (n,): what each cell's conditions are drawn with.
    """
    requested = RequestedCodes(conditions, composition, requests, rng)
    return requested.of(range(len(numbers)), numbers)


def _narrow(condition: Condition, codes: np.ndarray) -> np.ndarray:
    """Codes in the smallest type that holds all of a condition."""
    if isinstance(condition, Number):
        return codes
    return codes.astype(np.min_scalar_type(-condition.n_categories - 1))


def _wide(codes: np.ndarray, cells: range) -> np.ndarray:
    """Codes (cells,) of some cells, in the type in which conditions are encoded."""
    own = codes[cells.start : cells.stop] if codes.ndim else np.repeat(codes, len(cells))
    return own if np.issubdtype(own.dtype, np.floating) else own.astype(np.int64)
