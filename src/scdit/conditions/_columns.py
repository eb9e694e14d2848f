"""The columns of an AnnData that become conditions: can they be learnt from?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from scdit._checks import did_you_mean, listed


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
        If a column is named twice, has missing values or none at all, or is no column of categories
        or numbers.
    """
    keys = [*categories, *numbers]
    for key in keys:
        if key not in adata.obs:
            raise KeyError(
                f"{key!r} is not a column of adata.obs, which has {listed(adata.obs.columns)}"
                + did_you_mean(key, adata.obs.columns)
            )
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
        column = adata.obs[key]
        if is_float_dtype(column.dtype) and column.nunique() > max(2, adata.n_obs / 2):
            raise ValueError(
                f"adata.obs[{key!r}] has {column.nunique()} different numbers in {adata.n_obs} "
                "cells, too many for categories: register it with continuous_covariate_keys"
            )
    for key in numbers:
        column = adata.obs[key]
        if not is_numeric_dtype(column.dtype) or is_bool_dtype(column.dtype):
            raise ValueError(
                f"adata.obs[{key!r}] holds {column.dtype}, not numbers: register it with "
                "categorical_covariate_keys"
            )
        if not np.isfinite(column.to_numpy(dtype=np.float64)).all():
            raise ValueError(f"adata.obs[{key!r}] holds infinite values")
