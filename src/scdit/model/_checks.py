"""Checks of what the user hands over, made before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype


def check_counts(adata: AnnData, layer: str | None) -> None:
    """Raise if the counts of `adata` cannot be trained on.

    Raises
    ------
    KeyError
        If the layer does not exist.
    ValueError
        If adata is backed, gene names occur twice, there are no cells or genes, or the matrix holds
        NaN, negative or non-integer values, or cells without a single count.
    """
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"layer {layer!r} is not in adata.layers, which has {_names(adata.layers)}")
    if adata.isbacked:
        raise ValueError("adata is backed by a file: read it into memory, adata.to_memory()")
    _check_unique_genes(adata)
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError(f"{where} is empty: scdit needs a matrix of counts there")
    if 0 in adata.shape:
        raise ValueError(
            f"adata has {adata.n_obs} cells and {adata.n_vars} genes: nothing to learn"
        )
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    if not np.isfinite(values).all():
        raise ValueError(f"{where} holds NaN or infinite values: scdit needs raw counts")
    if (values < 0).any():
        raise ValueError(
            f"{where} holds negative values, like scaled data: scdit needs raw counts"
            + _other_layers(adata, layer)
        )
    if not np.array_equal(values, np.rint(values)):
        looks = (
            "log-transformed data"
            if values.max() < 20
            else "normalised data, or like the expected counts of RSEM or salmon (round those)"
        )
        raise ValueError(
            f"{where} holds non-integer values and looks like {looks}: scdit needs raw counts"
            + _other_layers(adata, layer)
        )
    empty = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() == 0)
    if len(empty):
        shown = ", ".join(map(str, adata.obs_names[empty[:3]]))
        raise ValueError(
            f"{len(empty)} cells of {where} have no counts ({shown}{', ...' if len(empty) > 3 else ''})"
            ": remove them with scanpy.pp.filter_cells(adata, min_counts=1)"
        )


def _check_unique_genes(adata: AnnData) -> None:
    if not adata.var_names.is_unique:
        raise ValueError("gene names of adata are not unique: call adata.var_names_make_unique()")


def _other_layers(adata: AnnData, layer: str | None) -> str:
    """A hint at where counts do lie in this object."""
    candidates = {f"layer={name!r}": adata.layers[name] for name in adata.layers if name != layer}
    if layer is not None and adata.X is not None:
        candidates["layer=None"] = adata.X
    good = [name for name, matrix in candidates.items() if _looks_like_counts(matrix)]
    return f"; {' or '.join(good)} looks like counts" if good else ""


def _looks_like_counts(matrix: Any) -> bool:
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    return bool((values >= 0).all() and np.array_equal(values, np.rint(values)))


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
                f"{key!r} is not a column of adata.obs, which has {_names(adata.obs.columns)}"
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


def align_genes(adata: AnnData, genes: Sequence[str]) -> AnnData:
    """`adata` if its genes are `genes` in this order, else a copy in which they are.

    Raises
    ------
    ValueError
        If genes are missing (the message lists them) or gene names occur twice.
    """
    if list(adata.var_names) == list(genes):
        return adata
    _check_unique_genes(adata)
    missing = pd.Index(genes).difference(adata.var_names, sort=False)
    if len(missing):
        shown = ", ".join(map(str, missing[:10]))
        raise ValueError(
            f"{len(missing)} of the model's {len(genes)} genes are missing from adata: {shown}"
            + (", ..." if len(missing) > 10 else "")
        )
    return adata[:, list(genes)].copy()


def check_positive_int(name: str, value: object) -> None:
    """Raise ValueError unless `value` is an integer above zero."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def did_you_mean(name: object, known) -> str:
    """``; did you mean 'x'?`` or nothing."""
    close = get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _names(keys) -> str:
    return ", ".join(repr(str(k)) for k in keys) or "none"
