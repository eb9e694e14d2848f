"""What is asked for, checked and turned into one code per cell and condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pandas.api.types import is_scalar

from scdit._checks import check_int, did_you_mean, shown
from scdit.conditions._condition import Condition, Number
from scdit.nn import DROPPED

Request: TypeAlias = str | float | Mapping[str, int] | Sequence[str] | pd.Series | None
"""One name, numbers of cells by name, or one name per cell."""

MAX_CELLS = 10**8  # that are made in one call: more do not fit into any memory


def name_requests(
    conditions: Sequence[Condition],
    labels: Request,
    batch: Request,
    covariates: Mapping[str, Request] | None,
    table: pd.DataFrame | Mapping[str, Request] | None = None,
) -> dict[str, Any]:
    """Requests by the user's column: one name, a dict of numbers of cells, a list or a categorical.

    Parameters
    ----------
    conditions
        The registered conditions.
    labels, batch, covariates
        As in ``generate``.
    table
        Further requests by column: of a data frame, one row per cell.

    Raises
    ------
    TypeError
        If `covariates` is no mapping, or a request no name and no collection of names.
    ValueError
        If a condition was not registered, or is asked for twice.
    """
    by_key = {condition.key: condition for condition in conditions}
    key_of = {condition.name: condition.key for condition in conditions}
    requests: dict[str, Any] = {}
    for name, request in {"labels": labels, "batch": batch}.items():
        if request is None:
            continue
        if name not in key_of:
            raise ValueError(f"{name}= needs a column: setup_anndata(adata, {name}_key=...)")
        key = key_of[name]
        requests[key] = _normalised(by_key[key], request)
    known = [key for name, key in key_of.items() if name not in ("labels", "batch")]
    if covariates is not None and not isinstance(covariates, Mapping):
        raise TypeError(
            f"covariates must be a mapping from columns to names, got {shown(covariates)}"
        )
    for key, request in (covariates or {}).items():
        if key not in known:
            raise ValueError(
                f"unknown covariate {key!r}; registered: {', '.join(known) or 'none'}"
                + did_you_mean(key, known)
            )
        requests[key] = _normalised(by_key[key], request)
    for key, column in () if table is None else table.items():
        if key not in by_key:
            raise ValueError(
                f"conditions has the column {key!r}, which is not registered; registered: "
                f"{', '.join(by_key) or 'none'}" + did_you_mean(key, by_key)
            )
        if requests.get(key) is not None:
            raise ValueError(f"{key!r} is asked for twice: in conditions, and on its own")
        many = isinstance(column, pd.Series) and isinstance(table, pd.DataFrame)
        requests[key] = _per_cell(column) if many else _normalised(by_key[key], column)
    return requests


def _normalised(condition: Condition, request: Any) -> Any:
    """A request as None, one name, a dict of numbers of cells, or one name per cell."""
    key = condition.key
    if isinstance(request, pd.Series) and _is_numbers_of_cells(condition, request):
        repeated = request.index[request.index.duplicated()]
        if len(repeated):
            raise ValueError(f"{key}: the index of the numbers of cells repeats {repeated[0]!r}")
        request = request.to_dict()
    if request is None or is_scalar(request):
        return request
    if isinstance(request, Set):
        raise ValueError(f"{key}: a set has no order; give a list, or a mapping to numbers")
    if isinstance(request, Mapping):
        if not all(_is_count(count) for count in request.values()):
            raise ValueError(f"{key}: the numbers of cells must be non-negative integers")
        return {name: int(count) for name, count in request.items()}
    flat = getattr(request, "ndim", 1) == 1
    if not isinstance(request, Iterable) or isinstance(request, bytes) or not flat:
        raise TypeError(
            f"{key}: give one name, a mapping from names to numbers of cells, or one name per cell; "
            f"got {shown(request)}"
        )
    return _per_cell(request)


def _per_cell(names: Any) -> list[Any] | pd.Categorical:
    """One name per cell: as a categorical, which holds numbers and no names, where it is one."""
    if isinstance(names, pd.Series) and isinstance(names.dtype, pd.CategoricalDtype):
        names = names.array
    return names if isinstance(names, pd.Categorical) else list(names)


def _is_numbers_of_cells(condition: Condition, request: pd.Series) -> bool:
    """Whether a series holds numbers of cells by name, as ``value_counts`` returns, not names.

    Raises
    ------
    ValueError
        If it could be both.
    """
    index = request.index
    if isinstance(condition, Number) or isinstance(index, pd.MultiIndex):
        return False
    if not all(_is_count(value) for value in request):
        return False
    if (condition.find(index) == DROPPED).any():
        return False
    may_be_names = (condition.find(request.unique()) != DROPPED).all()
    if index.equals(pd.RangeIndex(len(index))):  # that of a series without an index of its own
        return not may_be_names
    if not may_be_names or all(isinstance(name, str) for name in condition.categories):
        return True
    raise ValueError(
        f"{condition.key}: this Series may hold names or numbers of cells; give a dict for numbers of "
        "cells, a list for names"
    )


def resolve_n(
    n: int | None, requests: Mapping[str, Any], lengths: Mapping[str, int] | None = None
) -> int:
    """Number of cells that a call of ``generate`` asks for.

    Parameters
    ----------
    n
        The number, if it is given.
    requests
        Of conditions, see :func:`name_requests`.
    lengths
        Of other arguments that have one value per cell, by their names.

    Raises
    ------
    ValueError
        If it is not positive, or the requests contradict it.
    """
    # a list: a column may be called n, too
    sizes = [] if n is None else [("n", check_int("n", n, high=MAX_CELLS))]
    for key, request in requests.items():
        if isinstance(request, Mapping):
            sizes.append((key, sum(request.values())))
        elif isinstance(request, list | pd.Categorical):
            sizes.append((key, len(request)))
    sizes += (lengths or {}).items()
    if not sizes:
        raise ValueError("say how many cells to generate: n=..., or labels={name: number}")
    if len({size for _, size in sizes}) > 1:
        raise ValueError(
            "these ask for different numbers of cells: "
            + ", ".join(f"{key} for {size}" for key, size in sizes)
        )
    return check_int("n", sizes[0][1], high=MAX_CELLS)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0
