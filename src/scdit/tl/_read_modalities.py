"""Which cells of a MuData are read: those that have all modalities, or one of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class, did_you_mean, listed, shortened, users_stacklevel
from scdit.tl._kinds import Kind, find_kinds
from scdit.tl._modalities import Modalities


def read_modalities(
    mdata: MuData,
    name: str,
    *,
    assays: Mapping[str, str] | None = None,
    like: Modalities | None = None,
) -> Modalities:
    """Pair the cells of a MuData by name.

    Parameters
    ----------
    mdata
        Cells with raw counts in each modality; a view may be given.
    name
        What the caller calls them; used in messages.
    assays
        Kind of modalities whose name does not say it, see :func:`scdit.tl.evaluate`.
    like
        The cells to compare with: their modalities are needed here too, and have their kinds.

    Raises
    ------
    TypeError
        If it is no MuData, or a modality no AnnData.
    ValueError
        If modalities share features rather than cells, one is missing, names of cells repeat, no
        cell has all modalities, or the kind of a modality is not clear.

    Warns
    -----
    UserWarning
        If cells lack a modality, modalities are in different order, or one is not compared.
    """
    _check_parts(mdata, name)
    wanted = dict(mdata.mod)
    if like is not None:
        missing = [key for key in like.parts if key not in mdata.mod]
        if missing:
            raise ValueError(
                f"`{name}` lacks the modalities {listed(missing)} of `{like.name}`; it has "
                f"{listed(mdata.mod)}. Rename them, or leave them out of `{like.name}`."
            )
        extra = [key for key in mdata.mod if key not in like.parts]
        if extra:
            _warn(
                f"`{name}` has modalities that `{like.name}` lacks: {listed(extra)}. They are not "
                "compared."
            )
        wanted = {key: mdata.mod[key] for key in like.parts}
    _check_names(wanted, name)
    kinds = find_kinds(wanted, assays, name) if like is None else like.kinds
    return Modalities(name, mdata, _pair(wanted, name), kinds)


def read_one_modality(
    mdata: MuData, name: str, modality: str, kind: Kind | None, assays: Mapping[str, str] | None
) -> Modalities:
    """Take all cells of one modality, whether or not they have others.

    Parameters
    ----------
    mdata, name, assays
        As in :func:`read_modalities`.
    modality
        Its name.
    kind
        What it counts; found as :func:`read_modalities` does if None.

    Raises
    ------
    KeyError
        If there is no such modality.
    TypeError, ValueError
        As :func:`read_modalities` does.
    """
    _check_parts(mdata, name)
    if modality not in mdata.mod:
        raise KeyError(
            f"`{name}` has no modality {modality!r}; it has {listed(mdata.mod)}"
            + did_you_mean(modality, mdata.mod)
        )
    parts = {modality: mdata.mod[modality]}
    _check_names(parts, name)
    said = None if assays is None else {k: v for k, v in assays.items() if k == modality}
    kinds = find_kinds(parts, said, name) if kind is None else {modality: kind}
    return Modalities(name, mdata, parts, kinds)


def _check_parts(mdata: MuData, name: str) -> None:
    """Raise unless it is a MuData of AnnData objects that share cells."""
    check_class(name, mdata, MuData)
    if mdata.axis != 0:
        raise ValueError(
            f"`{name}` has axis={mdata.axis}: its modalities share features. Give a MuData whose "
            "modalities share cells, axis=0."
        )
    if not mdata.mod:
        raise ValueError(f"`{name}` has no modality.")
    for key, part in mdata.mod.items():
        check_class(f"{name}[{key!r}]", part, AnnData)


def _check_names(parts: Mapping[str, AnnData], name: str) -> None:
    """Raise where names of cells repeat."""
    for key, part in parts.items():
        if not part.obs_names.is_unique:
            raise ValueError(
                f"`{name}[{key!r}].obs_names` repeats names, by which cells are paired; call "
                "`obs_names_make_unique()` before the MuData is made."
            )


def _pair(parts: Mapping[str, AnnData], name: str) -> dict[str, AnnData]:
    """Take the cells that all modalities have, in the order of the first."""
    names = {key: part.obs_names for key, part in parts.items()}
    first, *others = names.values()
    common = first[np.all([first.isin(other) for other in others], axis=0)] if others else first
    if not len(common) and any(map(len, names.values())):
        shown = ", ".join(f"{key}: {shortened(list(n), 2) or 'none'}" for key, n in names.items())
        raise ValueError(
            f"no cell of `{name}` has all modalities; cells are paired by their obs_names ({shown})"
        )
    everyone = first.append(list(others)).unique()
    if len(common) < len(everyone):
        lacking = ", ".join(
            f"{key}: {len(everyone) - len(n)}"
            for key, n in names.items()
            if len(n) < len(everyone)
        )
        _warn(
            f"{len(everyone) - len(common)} of the {len(everyone)} cells of `{name}` lack a "
            f"modality ({lacking}): the {len(common)} cells that have all are compared."
        )
    for key, other in names.items():
        positions = other.get_indexer(common)
        moved = int((np.argsort(positions) != np.arange(len(common))).sum())
        if moved:
            _warn(
                f"the cells of `{name}[{key!r}]` are in another order than those of "
                f"`{name}[{next(iter(names))!r}]`: {moved} of {len(common)} are moved, because "
                "cells are paired by their obs_names"
            )
    return {
        key: part if part.obs_names.equals(common) else part[part.obs_names.get_indexer(common)]
        for key, part in parts.items()
    }


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=users_stacklevel())
