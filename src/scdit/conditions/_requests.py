"""What is asked for, checked and turned into one code per cell and condition."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import numpy as np
import pandas as pd

from scdit._checks import did_you_mean
from scdit.conditions._composition import Composition
from scdit.conditions._condition import Category, Condition, Number

Request: TypeAlias = str | float | Mapping[str, int] | Sequence[str] | pd.Series | None


def name_requests(
    conditions: Sequence[Condition],
    labels: Request,
    batch: Request,
    covariates: Mapping[str, Request] | None,
    table: pd.DataFrame | None = None,
) -> dict[str, Request]:
    """Requests by the user's column.

    Parameters
    ----------
    conditions
        The registered conditions.
    labels, batch, covariates
        As in ``generate``.
    table
        Further requests, one row per cell, by column.

    Raises
    ------
    ValueError
        If a condition was not registered, or is asked for twice.
    """
    key_of = {condition.name: condition.key for condition in conditions}
    requests: dict[str, Request] = {}
    for name, request in {"labels": labels, "batch": batch}.items():
        if request is None:
            continue
        if name not in key_of:
            raise ValueError(f"{name}= needs a column: setup_anndata(adata, {name}_key=...)")
        requests[key_of[name]] = request
    known = [key for name, key in key_of.items() if name not in ("labels", "batch")]
    for key, request in (covariates or {}).items():
        if key not in known:
            raise ValueError(
                f"unknown covariate {key!r}; registered: {', '.join(known) or 'none'}"
            )
        requests[key] = request
    for key, column in () if table is None else table.items():
        if key not in key_of.values():
            raise ValueError(
                f"conditions has the column {key!r}, which is not registered; registered: "
                f"{', '.join(key_of.values()) or 'none'}" + did_you_mean(key, key_of.values())
            )
        if requests.get(key) is not None:
            raise ValueError(f"{key!r} is asked for twice: in conditions, and on its own")
        requests[key] = column
    return requests


def resolve_n(n: int | None, requests: Mapping[str, object]) -> int:
    """Number of cells that a call of ``generate`` asks for.

    Raises
    ------
    ValueError
        If it is not positive, or the requests contradict it.
    """
    sizes = {} if n is None else {"n": n}
    for key, request in requests.items():
        if isinstance(request, Set):
            raise ValueError(f"{key}: a set has no order; give a list, or a mapping to numbers")
        if isinstance(request, Mapping):
            if not all(_is_count(count) for count in request.values()):
                raise ValueError(f"{key}: the numbers of cells must be non-negative integers")
            sizes[key] = sum(request.values())
        elif request is not None and not np.isscalar(request):
            sizes[key] = len(request)  # type: ignore[arg-type]
    if not sizes:
        raise ValueError("say how many cells to generate: n=..., or labels={name: number}")
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "these ask for different numbers of cells: "
            + ", ".join(f"{key} for {size}" for key, size in sizes.items())
        )
    total = next(iter(sizes.values()))
    if not _is_count(total) or total < 1:
        raise ValueError(f"n must be a positive integer, got {total!r}")
    return int(total)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def resolve_codes(
    conditions: Sequence[Condition],
    composition: Composition,
    requests: Mapping[str, object],
    n: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Codes (n,) of every condition of the cells to generate.

    Parameters
    ----------
    conditions
        The registered conditions.
    composition
        The training cells: what is not asked for is drawn jointly from those that share what is.
    requests
        By the user's column: None, one name, a mapping from names to numbers of cells, or one name
        per cell. Numbers in the place of names for continuous conditions.
    n
        Number of cells.
    rng
        Source of the draws.

    Raises
    ------
    ValueError
        If a name is unknown.

    Warns
    -----
    UserWarning
        If the model has to extrapolate; it points to the caller of the function that called this.
    """
    given: dict[str, np.ndarray] = {}
    for condition in conditions:
        request = requests.get(condition.key)
        if request is None:
            continue
        if np.isscalar(request):
            codes = np.repeat(condition.encode([request]), n)
        elif isinstance(request, Mapping):
            codes = np.repeat(condition.encode(list(request)), list(request.values()))
            # two mappings are combined independently: only the first keeps its order
            codes = rng.permutation(codes) if given else codes
        else:
            codes = condition.encode(list(request))  # type: ignore[call-overload]
        given[condition.name] = codes
    for message in _extrapolations(conditions, composition, given):
        warnings.warn(message, UserWarning, stacklevel=3)
    if len(given) == len(conditions):
        return given
    rows = composition.draw(given, n, rng)
    return {c.name: given.get(c.name, composition.codes[c.name][rows]) for c in conditions}


def _extrapolations(
    conditions: Sequence[Condition], composition: Composition, given: Mapping[str, np.ndarray]
) -> list[str]:
    """What is asked for but was never seen in training, in words."""
    messages = []
    names: dict[str, Category] = {}
    for condition in conditions:
        if condition.name not in given:
            continue
        if isinstance(condition, Number):
            far = condition.far_out(given[condition.name])
            if far.any():
                messages.append(
                    f"{condition.key} of {given[condition.name][far][0]:g} is far outside the "
                    f"training cells' range, {condition.low:g} to {condition.high:g}"
                )
        else:
            names[condition.name] = condition
    unseen = composition.unseen({name: given[name] for name in names})
    if unseen:
        shown = [
            " and ".join(
                f"{names[k].key} {names[k].decode(np.array([v]))[0]!r}" for k, v in u.items()
            )
            for u in unseen
        ]
        messages.append(
            f"no training cell has {'; or '.join(shown[:3])}{'; ...' if len(shown) > 3 else ''}: "
            "the model extrapolates"
        )
    return messages
