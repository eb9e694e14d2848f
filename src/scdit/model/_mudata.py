"""A MuData as it is given: is it one, which modalities are meant, and where its columns are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from pandas.api.types import is_bool_dtype

from scdit._checks import check_class, check_names, did_you_mean, listed
from scdit.model._modalities import ASSAYS, assay_names

ARGUMENTS = ("labels_key", "batch_key", "categorical_covariate_keys", "continuous_covariate_keys")


def check_mudata(mdata: Any, modalities: Any) -> dict[str, str]:
    """Names of modalities by assay, of a MuData that has them."""
    check_class("mdata", mdata, MuData)
    if mdata.is_view:
        raise ValueError("mdata is a view: pass a copy, mdata = mdata.copy()")
    if mdata.axis != 0:
        raise ValueError(
            f"mdata has axis={mdata.axis}: its modalities share features; scdit needs one whose "
            "modalities share cells (axis=0)"
        )
    known = [f"{assay}_layer" for assay in ASSAYS]
    example = 'modalities={"rna_layer": "rna", "protein_layer": "prot"}'
    if modalities is not None:
        check_class("modalities", modalities, Mapping)
    for argument, name in (modalities or {}).items():
        if argument not in (*known, *ARGUMENTS):
            raise ValueError(
                f"modalities names the argument {argument!r}; known: {', '.join((*known, *ARGUMENTS))}"
                + did_you_mean(argument, known)
            )
        if name not in mdata.mod and not (name is None and argument in ARGUMENTS):
            raise KeyError(
                f"modalities: {name!r} is no modality of mdata, which has {listed(mdata.mod)}"
                + did_you_mean(name, mdata.mod)
            )
    names = assay_names(modalities or {})
    if not names:
        raise ValueError(f"name at least one modality to train on: {example}")
    if len(set(names.values())) < len(names):
        raise ValueError(f"modalities names {listed(names.values())}: each may be named once")
    return names


def absent_cells(
    mdata: MuData, names: Mapping[str, str], presence_keys: Any, cells: pd.Index
) -> dict[str, np.ndarray]:
    """Cells that a column says lack an assay, bool (cells,), by assay."""
    if presence_keys is None:
        return {}
    check_class("presence_keys", presence_keys, Mapping)
    absent = {}
    of_name = {name: assay for assay, name in names.items()}
    for name, key in presence_keys.items():
        if name not in of_name:
            raise ValueError(
                f"presence_keys names {name!r}; the modalities are {listed(of_name)}"
                + did_you_mean(name, of_name)
            )
        column = column_of(mdata, key, cells, None, [name])
        if not is_bool_dtype(column.dtype):
            raise ValueError(
                f"presence_keys: {key!r} must hold True and False, has {column.dtype}"
            )
        absent[of_name[name]] = ~column.to_numpy(bool)
        if absent[of_name[name]].all():
            raise ValueError(f"presence_keys: no cell has {name!r}")
    lacking_all = len(absent) == len(names) and np.logical_and.reduce(list(absent.values()))
    if np.any(lacking_all):
        raise ValueError(
            f"presence_keys: {int(np.sum(lacking_all))} cells have no modality at all"
        )
    return absent


def keys_of(value: Any) -> Sequence[str]:
    """The columns that an argument names."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else check_names("covariate keys", value)


def column_of(
    mdata: MuData, key: str, cells: pd.Index, owner: str | None, names: Sequence[str]
) -> pd.Series:
    """A column of the MuData, or of the modality that has it."""
    places = {} if owner is not None else {"mdata": mdata.obs}
    places |= {name: mdata.mod[name].obs for name in ([owner] if owner is not None else names)}
    found = []
    for name, obs in places.items():
        for column in (key, key.removeprefix(f"{name}:")):
            if column in obs:
                found.append(obs[column])
                break
    if not found:
        known = {column for obs in places.values() for column in obs.columns}
        raise KeyError(
            f"{key!r} is a column of neither mdata.obs nor the obs of {listed(names)}"
            + did_you_mean(key, known)
        )
    column = found[0].reindex(cells)
    for other in found[1:]:  # a cell that one modality lacks may have its value in another
        column = column.where(column.notna(), other.reindex(cells))
    return column
