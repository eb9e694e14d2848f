"""Making a MuData of parts, without what its versions do besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class, did_you_mean, listed
from scdit._mudata import make_mudata, protein_names

_NAMES = "protein_names"  # of uns, as scvi-tools' data sets have it


def as_mudata(cells: AnnData | MuData, name: str, key: str | None) -> AnnData | MuData:
    """Return an AnnData whose ``obsm[key]`` holds proteins as a MuData of ``rna`` and ``prot``.

    Counts are shared with `cells`, which stays as it is.

    Parameters
    ----------
    cells
        Cells; a MuData is returned as it is, as is everything if `key` is None.
    name
        What the caller calls them; used in messages.
    key
        Entry of `obsm`: a data frame whose columns are names of proteins, or an array, whose
        proteins are named by ``uns["protein_names"]``, or else by their number.

    Raises
    ------
    KeyError
        If there is no such entry.
    TypeError
        If `key` is no name.
    ValueError
        If the entry is no table of proteins.
    """
    if key is None or not isinstance(cells, AnnData):
        return cells
    check_class("protein_expression_obsm_key", key, str)
    if key not in cells.obsm:
        raise KeyError(
            f"protein_expression_obsm_key: `{name}.obsm` has no {key!r}; it has "
            f"{listed(cells.obsm)}" + did_you_mean(key, cells.obsm)
        )
    values = cells.obsm[key]
    names = _protein_names(values, cells.uns.get(_NAMES))
    if isinstance(values, pd.DataFrame):
        values = values.to_numpy()
    if values.ndim != 2:
        raise ValueError(
            f"`{name}.obsm[{key!r}]` must have the shape (cells, proteins), got {values.shape}"
        )
    index = pd.DataFrame(index=cells.obs_names)
    rna = AnnData(cells.X, obs=index, var=cells.var, layers=dict(cells.layers))
    protein = AnnData(values, obs=index, var=pd.DataFrame(index=names))
    mdata = make_mudata({"rna": rna, "prot": protein}, cells.obs)
    mdata.uns.update(cells.uns)
    return mdata


def _protein_names(values: Any, stored: Any) -> pd.Index:
    fits = stored is not None and np.ndim(stored) == 1 and len(stored) == values.shape[-1]
    if fits and not isinstance(values, pd.DataFrame):
        return pd.Index(np.asarray(stored).astype(str))
    return protein_names(values)
