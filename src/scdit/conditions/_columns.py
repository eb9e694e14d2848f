"""The columns of an AnnData that become conditions: can they be learnt from?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from scdit._checks import did_you_mean, listed

_RESERVED = ("_scvi_", "scdit_")  # beginnings of the columns that scvi-tools and scdit write


def check_conditions(
    adata: AnnData,
    categories: list[str],
    numbers: list[str],
    *,
    unlabeled: Mapping[str, str | None] | None = None,
) -> None:
    """Raise if a column of conditions cannot be learnt from.

    Parameters
    ----------
    adata
        The cells.
    categories, numbers
        Columns of categories, and of numbers.
    unlabeled
        Name of having no value, by the column of categories in which values may be missing; None
        for a column in which they may not.

    Raises
    ------
    KeyError
        If a column is not in ``adata.obs``.
    ValueError
        If a column is named twice, has missing values or none at all, is no column of categories
        or numbers, or has a name that scdit writes itself.
    """
    keys = [*categories, *numbers]
    for key in keys:
        _check_key(adata, key)
        if keys.count(key) > 1:
            raise ValueError(f"{key!r} is given for more than one condition: register it once")
        missing = pd.isna(adata.obs[key])
        none = (unlabeled or {}).get(key)
        if none is not None:
            if (missing | (adata.obs[key] == none)).all():
                raise ValueError(f"no cell has a value in adata.obs[{key!r}]")
        elif missing.any():
            raise ValueError(
                f"{missing.sum()} of {adata.n_obs} cells have no value in adata.obs[{key!r}]: "
                "remove these cells"
                + ("" if key in numbers else " or give them a category of their own")
            )
    for key in categories:
        _check_categories(adata.obs[key], key, adata.n_obs)
    for key in numbers:
        _check_numbers(adata.obs[key], key)


def check_not_taken(adata: AnnData) -> None:
    """Raise ValueError if a column of the user's has the name of one that registration writes."""
    if "_scvi_manager_uuid" in adata.uns:  # written by an earlier registration
        return
    taken = [key for key in adata.obs if str(key).startswith("_scvi_")]
    if taken:
        raise ValueError(
            f"adata.obs[{taken[0]!r}] has a name that setup_anndata writes: rename the column"
        )


def _check_key(adata: AnnData, key: str) -> None:
    """A column that exists, once, and may be written under its name."""
    if key not in adata.obs:
        raise KeyError(
            f"{key!r} is not a column of adata.obs, which has {listed(adata.obs.columns)}"
            + did_you_mean(key, adata.obs.columns)
        )
    if (adata.obs.columns == key).sum() > 1:
        raise ValueError(f"adata.obs has the column {key!r} more than once")
    if key.startswith(_RESERVED):
        raise ValueError(
            f"adata.obs[{key!r}]: names that begin with {' or '.join(_RESERVED)} are written by "
            "scvi-tools and scdit; copy the column to another name"
        )


def _check_categories(column: pd.Series, key: str, n_cells: int) -> None:
    """Names that can be told apart, fewer than cells."""
    values = column.dropna()
    distinct = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else None
    try:
        distinct = pd.Index(values.unique()) if distinct is None else distinct
    except TypeError as error:
        raise ValueError(f"adata.obs[{key!r}] holds objects that are no names") from error
    kinds = {_kind(value) for value in distinct}
    other = kinds - {"text", "numbers", "truth values"}
    if other or len(kinds) > 1:
        raise ValueError(
            f"adata.obs[{key!r}] holds {' and '.join(sorted(kinds))}, but names of categories must be "
            f"of one type: convert them, adata.obs[{key!r}].astype(str)"
        )
    n_distinct = values.nunique()
    if is_float_dtype(distinct.dtype) and n_distinct > max(2, n_cells / 2):
        raise ValueError(
            f"adata.obs[{key!r}] has {n_distinct} different numbers in {n_cells} "
            "cells, too many for categories: register it with continuous_covariate_keys"
        )
    if n_distinct == n_cells > 2:
        raise ValueError(
            f"adata.obs[{key!r}] has another category for each of the {n_cells} cells: nothing can be "
            "learnt from it"
        )


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "truth values"
    if isinstance(value, int | float | np.integer | np.floating):
        return "numbers"
    return f"values of type {type(value).__name__}"


def _check_numbers(column: pd.Series, key: str) -> None:
    """Finite numbers, stored as numbers."""
    if not is_numeric_dtype(column.dtype) or is_bool_dtype(column.dtype):
        where = f"adata.obs[{key!r}]"
        if pd.to_numeric(column.astype(object), errors="coerce").notna().all():
            advice = f"{where} = pandas.to_numeric({where}) makes it a numeric column"
        else:
            advice = "register it with categorical_covariate_keys"
        raise ValueError(f"{where} holds {column.dtype}, not numbers: {advice}")
    if not np.isfinite(column.to_numpy(dtype=np.float64)).all():
        raise ValueError(f"adata.obs[{key!r}] holds infinite values")
