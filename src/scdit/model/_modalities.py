"""Several modalities as one AnnData, which the model trains on, and back.

Features of all modalities stand side by side under the names ``<modality>:<feature>``, so that a matrix of counts, a
registry and a saved model are what they are for genes alone. Assays, by which the codec knows a modality, are
``rna``, ``protein`` and ``atac``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import shortened
from scdit._mudata import make_mudata
from scdit.model._counts import read_counts

ASSAYS = ("rna", "protein", "atac")
PRESENCE = "_scdit_has_"  # beginning of columns that say which cells have a modality
VAR = "scdit_var"  # in the uns of a joint AnnData: tables of features, by modality
PROTEIN = "protein"  # name of proteins in the obsm of an AnnData


@dataclass(frozen=True)
class Modality:
    """One modality of a model.

    Parameters
    ----------
    assay
        What it measures: one of ``ASSAYS``.
    name
        Its name in the user's MuData; for proteins in ``obsm``, ``PROTEIN``.
    features
        Names of its features, as the user has them.
    """

    assay: str
    name: str
    features: list[str]


def registered_modalities(registry: Mapping[str, Any], features: Sequence[str]) -> list[Modality]:
    """The modalities of a registry; none where an AnnData was registered without proteins.

    Parameters
    ----------
    registry
        Of the model.
    features
        Names in the joint AnnData.
    """
    setup = registry["setup_args"]
    if registry.get("setup_method_name") == "setup_mudata":
        names = assay_names(setup["modalities"])
    elif setup.get("protein_expression_obsm_key") is not None:
        names = {"rna": "rna", "protein": PROTEIN}
    else:
        return []
    return [
        Modality(assay, name, [x[len(name) + 1 :] for x in features if x.startswith(f"{name}:")])
        for assay, name in names.items()
    ]


def assay_names(modalities: Mapping[str, str]) -> dict[str, str]:
    """Names of modalities by assay, of the arguments ``<assay>_layer`` that are named."""
    keys = {assay: f"{assay}_layer" for assay in ASSAYS}
    return {assay: modalities[key] for assay, key in keys.items() if key in modalities}


def presence(adata: AnnData, modalities: Sequence[Modality]) -> np.ndarray | None:
    """Whether cells of a joint AnnData have each modality, bool (cells, modalities); None if all have all."""
    columns = [
        adata.obs[f"{PRESENCE}{m.assay}"].to_numpy(bool)
        if f"{PRESENCE}{m.assay}" in adata.obs
        else np.ones(adata.n_obs, dtype=bool)
        for m in modalities
    ]
    present = np.stack(columns, axis=1) if columns else np.ones((adata.n_obs, 1), dtype=bool)
    return None if present.all() else present


def join(
    obs: pd.DataFrame,
    parts: Mapping[str, tuple[str, AnnData, str | None]],
    absent: Mapping[str, np.ndarray] | None = None,
) -> AnnData:
    """One AnnData of several modalities.

    Parameters
    ----------
    obs
        The cells, with the columns of conditions.
    parts
        By assay: name, AnnData and layer of the modality, whose counts are checked.
    absent
        Further cells that lack an assay, bool (cells,).
    """
    blocks, names, columns = [], [], obs.copy()
    for assay, (name, adata, layer) in parts.items():
        rows = adata.obs_names.get_indexer(obs.index)
        has = (rows >= 0) & ~(absent or {}).get(assay, np.zeros(len(obs), dtype=bool))
        counts = read_counts(adata, layer)[np.maximum(rows, 0)]
        if not has.all():
            counts = sp.csr_matrix(sp.diags_array(has.astype(counts.dtype)) @ counts)
            counts.eliminate_zeros()
            columns[f"{PRESENCE}{assay}"] = has
        blocks.append(counts)
        names += [f"{name}:{feature}" for feature in adata.var_names]
    counts = sp.csr_matrix(sp.hstack(blocks, format="csr"), dtype=np.float32)
    tables = {name: adata.var.copy() for name, adata, _ in parts.values()}
    return AnnData(counts, obs=columns, var=pd.DataFrame(index=names), uns={VAR: tables})


def split(
    adata: AnnData, modalities: Sequence[Modality], var: Mapping[str, pd.DataFrame]
) -> dict[str, AnnData]:
    """The modalities of a joint AnnData, by name, with the user's names and tables of features.

    Tables in ``varm`` are cut as the counts are.
    """
    ends = np.cumsum([0, *(len(m.features) for m in modalities)])
    parts = {}
    for m, start, stop in zip(modalities, ends[:-1], ends[1:], strict=True):
        parts[m.name] = AnnData(
            adata.X[:, start:stop].copy(),
            obs=pd.DataFrame(index=adata.obs_names),
            var=var[m.name].copy(),
        )
        for name, table in adata.varm.items():
            own = table.iloc[start:stop].set_axis(parts[m.name].var_names)
            parts[m.name].varm[name] = own
    return parts


def to_mudata(
    parts: Mapping[str, AnnData],
    obs: pd.DataFrame,
    uns: Mapping[str, Any],
    owners: Mapping[str, str],
) -> MuData:
    """A MuData of paired cells.

    Parameters
    ----------
    parts
        Modalities by name, with the same cells.
    obs
        Columns of the cells, kept in the MuData.
    uns
        Of the MuData.
    owners
        Modality in whose ``obs`` a column is kept as well, by column.
    """
    for column, name in owners.items():
        if name in parts and column in obs:
            parts[name].obs[column] = obs[column]
    mdata = make_mudata(parts, obs)
    mdata.uns.update(uns)
    return mdata


def completed(joint: AnnData, modalities: Sequence[Modality]) -> AnnData:
    """A joint AnnData with all features of a model in its order; of modalities that it lacks, all cells do.

    Raises
    ------
    ValueError
        If a modality that it has lacks features.
    """
    own, blocks, obs = joint.var_names, [], joint.obs.copy()
    for m in modalities:
        names = pd.Index([f"{m.name}:{feature}" for feature in m.features])
        at = own.get_indexer(names)
        if (at < 0).all():
            blocks.append(sp.csr_matrix((joint.n_obs, len(names)), dtype=np.float32))
            obs[f"{PRESENCE}{m.assay}"] = False
            continue
        missing = names[at < 0]
        if len(missing):
            raise ValueError(
                f"{len(missing)} of the model's {len(names)} features of {m.name!r} are missing: "
                + shortened(missing, 10)
            )
        blocks.append(joint.X[:, at])
    names = [f"{m.name}:{feature}" for m in modalities for feature in m.features]
    x = sp.csr_matrix(sp.hstack(blocks, format="csr"))
    return AnnData(x, obs=obs, var=pd.DataFrame(index=names))
