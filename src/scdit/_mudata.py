"""MuData as all versions of mudata should make them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData


def protein_names(values: pd.DataFrame | np.ndarray) -> pd.Index:
    """Names of proteins in an ``obsm``: the columns of a table, or ``protein_0``, ``protein_1``, ..."""
    if isinstance(values, pd.DataFrame):
        return values.columns.astype(str)
    return pd.Index([f"protein_{i}" for i in range(values.shape[-1])])


def make_mudata(parts: Mapping[str, AnnData], obs: pd.DataFrame) -> MuData:
    """Return a MuData of modalities.

    Before version 0.4, mudata copies the columns of modalities into ``mdata.obs``, as
    ``rna:cell_type``, and warns that it will not any more. Here no version does.

    Parameters
    ----------
    parts
        The modalities; they become parts of the MuData as they are.
    obs
        Shared columns of the cells, in their order: of all that a modality has.
    """
    set_options = getattr(mudata, "set_options", None)  # until 0.3
    with (
        warnings.catch_warnings(),
        set_options(pull_on_update=False) if set_options else nullcontext(),
    ):
        warnings.simplefilter("ignore")  # of pandas, about code of mudata
        mdata = MuData(dict(parts))
        if not mdata.obs_names.equals(obs.index):  # as where cells lack a modality
            mdata = mdata[list(obs.index)].copy()
        mdata.obs = obs.copy()
    return mdata
