"""From what the user has - a MuData, or an AnnData with proteins - to the joint AnnData of a model."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class, listed, users_stacklevel
from scdit._mudata import protein_names
from scdit.model._counts import align_genes, check_adata, check_counts
from scdit.model._modalities import (
    PROTEIN,
    Modality,
    completed,
    join,
    registered_modalities,
)
from scdit.model._mudata import ARGUMENTS, absent_cells, check_mudata, column_of, keys_of

_joints: dict[int, tuple[weakref.ref, AnnData]] = {}


def remember(data: AnnData | MuData, joint: AnnData | None) -> None:
    """Keep the joint AnnData of the user's object, as long as that is there; None for none."""
    key = id(data)
    if joint is None:
        _joints.pop(key, None)
    else:
        _joints[key] = (weakref.ref(data, lambda _: _joints.pop(key, None)), joint)


def joint_of(data: Any) -> Any:
    """The joint AnnData of the user's object; the object itself where it has none.

    Raises
    ------
    ValueError
        If it is a MuData that was not registered.
    """
    known = _joints.get(id(data))
    if known is not None and known[0]() is data:
        return known[1]
    if isinstance(data, MuData):
        raise ValueError(
            "this MuData was not registered: call SCDiT.setup_mudata(mdata, ...) first"
        )
    return data


def joint_from_mudata(mdata: MuData, setup: Mapping[str, Any], *, partly: bool = False) -> AnnData:
    """The joint AnnData of the modalities that `setup`, the arguments of ``setup_mudata``, names.

    Parameters
    ----------
    mdata
        The user's object.
    setup
        Arguments of ``setup_mudata``.
    partly
        Whether modalities and columns may be missing, as of cells that are not trained on.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :meth:`scdit.SCDiT.setup_mudata`.
    """
    wanted = setup["modalities"]
    if partly:
        wanted = {key: name for key, name in wanted.items() if name in mdata.mod}
    names = check_mudata(mdata, wanted)
    parts = {
        assay: (name, mdata.mod[name], setup[f"{assay}_layer"]) for assay, name in names.items()
    }
    shared = [set(adata.obs_names) for _, adata, _ in parts.values()]
    if len(shared) > 1 and not set.intersection(*shared):
        raise ValueError(
            f"the modalities {listed(names.values())} share no cell: the same cells must have the same "
            "obs_names"
        )
    cells = pd.Index(
        [cell for cell in mdata.obs_names if any(cell in known for known in shared)], dtype=object
    )
    keys = setup["presence_keys"]
    if partly:
        keys = {
            name: key
            for name, key in (keys or {}).items()
            if name in mdata.mod and key in mdata.obs
        }
    absent = absent_cells(mdata, names, keys, cells)
    for assay, (name, adata, layer) in parts.items():
        has = adata.obs_names.isin(cells[~absent[assay]]) if assay in absent else slice(None)
        _check_part(assay, name, adata[has] if assay in absent else adata, layer)
    obs = pd.DataFrame(index=cells)
    for argument in ARGUMENTS:
        for key in keys_of(setup[argument]):
            try:
                obs[key] = column_of(mdata, key, cells, wanted.get(argument), list(names.values()))
            except KeyError:
                if not partly:
                    raise
    joint = join(obs, parts, absent)
    lacking = {
        name: int((~joint.obs[f"_scdit_has_{assay}"]).sum())
        for assay, name in names.items()
        if f"_scdit_has_{assay}" in joint.obs
    }
    if lacking and not partly:
        warnings.warn(
            f"of {joint.n_obs} cells "
            + ", ".join(f"{n} lack {name!r}" for name, n in lacking.items())
            + ": their counts there are taken as not known",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
    return joint


def joint_from_anndata(
    adata: AnnData, setup: Mapping[str, Any], *, partly: bool = False
) -> AnnData:
    """The joint AnnData of genes and of the proteins in ``obsm``, which may be missing if `partly`.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :meth:`scdit.SCDiT.setup_anndata`.
    """
    parts = {"rna": ("rna", adata, setup["layer"])}
    key = check_class("protein_expression_obsm_key", setup["protein_expression_obsm_key"], str)
    if not partly or key in adata.obsm:
        parts["protein"] = (PROTEIN, proteins_of(adata, key, setup["protein_names_uns_key"]), None)
    for assay, (name, part, layer) in parts.items():
        _check_part(assay, name, part, layer)
    return join(adata.obs, parts)


def joint_like(data: Any, registry: Mapping[str, Any], features: Sequence[str]) -> AnnData:
    """Cells as the AnnData that a model knows: with its features, in its order.

    Of several modalities, cells may lack some and columns of conditions.

    Parameters
    ----------
    data
        The user's cells; or a joint AnnData, as it was saved with a model.
    registry, features
        Of the model, and the names of its features.

    Raises
    ------
    TypeError
        If they are of the wrong class.
    ValueError
        If features are missing.
    """
    modalities = registered_modalities(registry, features)
    if not modalities or (isinstance(data, AnnData) and data.var_names.isin(features).sum() > 0):
        check_adata(data)
        return align_genes(data, features)
    setup = registry["setup_args"]
    if isinstance(data, MuData):
        joint = joint_from_mudata(data, setup, partly=True)
    elif setup.get("protein_expression_obsm_key") is not None:
        joint = joint_from_anndata(data, setup, partly=True)
    else:
        only = _modality_like(data, modalities)
        _check_part(only.assay, only.name, data, None)
        joint = join(data.obs, {only.assay: (only.name, data, None)})
    return completed(joint, modalities)


def _modality_like(adata: AnnData, modalities: Sequence[Modality]) -> Modality:
    """The modality whose features an AnnData has."""
    names = set(adata.var_names)
    fits = [m for m in modalities if names.issuperset(m.features)]
    if len(fits) != 1:
        found = "several" if fits else "none"
        raise ValueError(
            f"adata has the features of {found} of the modalities "
            f"{listed(m.name for m in modalities)}: pass a MuData that names them"
        )
    return fits[0]


def proteins_of(adata: AnnData, key: str, names_key: str | None) -> AnnData:
    """The proteins in ``adata.obsm[key]`` as an AnnData of their own."""
    if key not in adata.obsm:
        raise KeyError(f"{key!r} is not in adata.obsm, which has {listed(adata.obsm)}")
    values = adata.obsm[key]
    names = protein_names(values)
    values = values.to_numpy() if isinstance(values, pd.DataFrame) else values
    if names_key is not None:
        if names_key not in adata.uns:
            raise KeyError(f"{names_key!r} is not in adata.uns, which has {listed(adata.uns)}")
        names = pd.Index(np.asarray(adata.uns[names_key]).astype(str))
    if len(names) != values.shape[1]:
        raise ValueError(
            f"adata.uns[{names_key!r}] has {len(names)} names for {values.shape[1]} proteins"
        )
    values = values if sp.issparse(values) else np.asarray(values)
    return AnnData(values, obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=names))


def _check_part(assay: str, name: str, adata: AnnData, layer: str | None) -> None:
    """Check the counts of one modality; errors say which."""
    try:
        check_counts(adata, layer)
    except (KeyError, TypeError, ValueError) as error:
        hint = ""
        if assay == "protein" and ("negative" in str(error) or "non-integer" in str(error)):
            hint = ". Values normalised by DSB or CLR are no counts"
        if "have no counts" in str(error):
            hint = f"; or say that they lack {name!r} with presence_keys={{{name!r}: column}}"
        raise type(error)(f"modality {name!r}: {error.args[0]}{hint}") from error
