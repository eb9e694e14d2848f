"""Real cells of a model's modalities, and generated ones below them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from pandas.api.types import is_bool_dtype, is_integer_dtype

from scdit._checks import check_class, listed
from scdit._columns import GENERATED
from scdit._mudata import make_mudata

if TYPE_CHECKING:
    from scdit.model import SCDiT


@dataclass(frozen=True, eq=False)
class RealCells:
    """Real cells with the features of a model.

    Attributes
    ----------
    parts
        Counts by modality; genes alone are ``"rna"``.
    layers
        Layer that the counts of a modality are in, None for `X`.
    obs
        Columns that the modalities share.
    presence
        Columns that say whether a cell has a modality.
    proteins
        Where proteins are: key of ``obsm``, and key of ``uns`` with their names or None. None where
        there are none in ``obsm``.
    several
        Whether the cells are a MuData.
    """

    parts: dict[str, AnnData]
    layers: dict[str, str | None]
    obs: pd.DataFrame
    presence: tuple[str, ...] = ()
    proteins: tuple[str, str | None] | None = None
    several: bool = False

    def with_generated(self, new: AnnData | MuData | None, labels_key: str) -> AnnData | MuData:
        """Return the real cells, then the generated ones, in the form of the latter."""
        made = self._generated(new)
        parts = {name: _stacked(part, made.get(name)) for name, part in self.parts.items()}
        for name, layer in self.layers.items():
            if layer is not None:
                parts[name].layers[layer] = parts[name].X.copy()
        obs = self._obs(new, labels_key)
        if self.several:
            return make_mudata(parts, obs)
        more = parts["rna"]
        more.obs = obs
        if self.proteins is not None:
            (key, names_key), proteins = self.proteins, parts["protein"]
            values = pd.DataFrame(proteins.X.toarray(), more.obs_names, proteins.var_names)
            more.obsm[key] = values if names_key is None else values.to_numpy()
            if names_key is not None:
                more.uns[names_key] = proteins.var_names.to_numpy(dtype=object)
        return more

    def _obs(self, new: AnnData | MuData | None, labels_key: str) -> pd.DataFrame:
        """Shared columns of all cells, with the flags."""
        made = None if new is None else AnnData(obs=self._known(new.obs, self.obs))
        obs = _stacked(AnnData(obs=self.obs), made).obs
        if isinstance(self.obs[labels_key].dtype, pd.CategoricalDtype):
            obs[labels_key] = obs[labels_key].astype(self.obs[labels_key].dtype)
        n = len(self.obs)
        return obs.assign(**{GENERATED: np.repeat([False, True], [n, len(obs) - n])})

    def _generated(self, new: AnnData | MuData | None) -> dict[str, AnnData]:
        """Generated counts by modality."""
        if new is None:
            return {}
        if isinstance(new, MuData):
            return {
                name: AnnData(
                    part.X, obs=self._known(part.obs, self.parts[name].obs), var=part.var
                )
                for name, part in new.mod.items()
            }
        made = {"rna": AnnData(new.X, obs=pd.DataFrame(index=new.obs_names), var=new.var)}
        if self.proteins is not None:
            from scdit.model._joint import proteins_of

            made["protein"] = _sparse(proteins_of(new, *self.proteins))
        return made

    def _known(self, obs: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
        """Columns of generated cells: they have all modalities, where real cells say whether they do."""
        return obs.assign(**{key: True for key in self.presence if key in real})


def read_real(adata: AnnData | MuData, model: SCDiT, layer: str | None) -> RealCells:
    """Read the cells in the form that `model` was trained on; they stay as they are.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :func:`scdit.tl.augment`.
    """
    # a model is at hand, so that this loads nothing that is not there
    from scdit.model._counts import check_adata, check_counts, read_counts
    from scdit.model._joint import joint_like, proteins_of

    setup = model.registry["setup_args"]
    if model.registry.get("setup_method_name") == "setup_mudata":
        return _read_mudata(check_class("adata", adata, MuData), model, layer)
    check_adata(adata)
    layer = setup["layer"] if layer is None else layer
    key, names_key = setup["protein_expression_obsm_key"], setup["protein_names_uns_key"]
    features = list(model.get_var_names())
    parts = {}
    if key is not None:
        features = list(model.vars_["rna"].index)
        proteins = proteins_of(adata, key, names_key)
        # checks both, and that no protein is missing
        registry = {**model.registry, "setup_args": {**setup, "layer": layer}}
        joint_like(adata, registry, model.get_var_names())
        parts["protein"] = _sparse(proteins[:, model.vars_["protein"].index])
    missing = [gene for gene in features if gene not in adata.var_names]
    if missing:
        raise ValueError(
            f"adata lacks {len(missing)} of the model's genes: {', '.join(missing[:5])}"
        )
    real = adata[:, features].copy()
    check_counts(real, layer)  # never logs beside counts
    index = pd.DataFrame(index=real.obs_names)
    parts["rna"] = AnnData(read_counts(real, layer), obs=index, var=real.var.copy())
    return RealCells(
        parts, {"rna": layer}, _own(real.obs), proteins=None if key is None else (key, names_key)
    )


def _read_mudata(mdata: MuData, model: SCDiT, layer: str | None) -> RealCells:
    """Read the modalities of a model."""
    from scdit.model._counts import read_counts
    from scdit.model._joint import joint_like
    from scdit.model._modalities import PRESENCE, assay_names

    setup = model.registry["setup_args"]
    if layer is not None:
        raise ValueError(
            "layer is for AnnData: modalities have the layers that setup_mudata was told, such as "
            "rna_layer"
        )
    names = assay_names(setup["modalities"])
    missing = [name for name in names.values() if name not in mdata.mod]
    if missing:
        raise ValueError(
            f"adata lacks the modality {listed(missing)} of the model; it has {listed(mdata.mod)}"
        )
    if mdata.is_view:
        mdata = make_mudata({name: part.copy() for name, part in mdata.mod.items()}, mdata.obs)
    joint = joint_like(mdata, model.registry, model.get_var_names())  # which checks everything
    parts, layers = {}, {}
    for assay, name in names.items():
        part, layers[name] = mdata.mod[name], setup[f"{assay}_layer"]
        part = part[:, model.vars_[name].index]
        counts = read_counts(part, layers[name])
        parts[name] = AnnData(counts, obs=_own(part.obs), var=part.var.copy())
    obs = _own(mdata.obs.loc[joint.obs_names])
    for key in joint.obs:
        if not key.startswith(PRESENCE):
            obs[key] = joint.obs[key]
    return RealCells(
        parts, layers, obs, presence=tuple((setup["presence_keys"] or {}).values()), several=True
    )


def _stacked(real: AnnData, new: AnnData | None) -> AnnData:
    """Real cells, then generated ones, with counts of the type of the former where that is enough."""
    if new is None:
        return real.copy()
    known = real.copy()
    if real.X is not None:
        counts_type = real.X.dtype
        if np.issubdtype(counts_type, np.integer):  # which may be too small for generated counts
            counts_type = np.promote_types(counts_type, new.X.dtype)
        known.X = real.X.astype(counts_type)
        new = AnnData(new.X.astype(counts_type), obs=new.obs, var=new.var)
    known.obs = _with_room(real.obs, new.obs.columns)
    return ad.concat([known, new], join="outer", merge="first")


def _own(obs: pd.DataFrame) -> pd.DataFrame:
    """Columns of the user."""
    return obs[[key for key in obs if not key.startswith("_scvi")]].copy()


def _sparse(proteins: AnnData) -> AnnData:
    from scdit.model._counts import read_counts

    obs = pd.DataFrame(index=proteins.obs_names)
    return AnnData(read_counts(proteins, None), obs=obs, var=proteins.var.copy())


def _with_room(obs: pd.DataFrame, known: Iterable[str]) -> pd.DataFrame:
    """Columns that new cells lack, of types that can hold missing values and still be written."""
    types = {
        key: "boolean" if is_bool_dtype(dtype) else "Int64"
        for key, dtype in obs.dtypes.items()
        if key not in known and (is_bool_dtype(dtype) or is_integer_dtype(dtype))
    }
    return obs.astype(types)
