"""Which kind of counts a modality holds: found by its name, its features, or said by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

from anndata import AnnData

from scdit._checks import check_choice, check_class, did_you_mean, listed

Kind = Literal["rna", "protein", "atac"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FEATURES: dict[Kind, str] = {"rna": "genes", "protein": "proteins", "atac": "peaks"}

_NAMES: dict[Kind, str] = {
    "protein": r"prot|adt|antibod|cite|surface",
    "atac": r"atac|peak|chromatin|accessib",
    "rna": r"rna|gex|gene|express|transcript",
}
# what 10x writes in var["feature_types"]
_TYPES: dict[str, Kind] = {
    "Antibody Capture": "protein",
    "Peaks": "atac",
    "Gene Expression": "rna",
}
_PEAK = re.compile(r"^[\w.]+[:_-]\d+[_-]\d+$")  # chr1:4917513-4917696
_FEWEST_GENES = 500  # no panel of proteins has as many


def find_kinds(
    modalities: Mapping[str, AnnData], assays: Mapping[str, str] | None, name: str
) -> dict[str, Kind]:
    """Return the kind of each modality.

    Parameters
    ----------
    modalities
        The modalities by name.
    assays
        What the user says: ``"rna"``, ``"protein"`` or ``"atac"`` for some of the names.
    name
        What the caller calls these cells; used in messages.

    Raises
    ------
    TypeError
        If `assays` is no mapping.
    ValueError
        If it names an unknown modality or kind, or the kind of a modality is not clear.
    """
    said: dict[str, Kind] = {}
    if assays is not None:
        check_class("assays", assays, Mapping)
        for modality, kind in assays.items():
            if modality not in modalities:
                raise ValueError(
                    f"assays: `{name}` has no modality {modality!r}; it has {listed(modalities)}"
                    + did_you_mean(modality, modalities)
                )
            said[modality] = cast(Kind, check_choice(f"assays[{modality!r}]", kind, KINDS))
    found = {key: said.get(key) or guess_kind(key, adata) for key, adata in modalities.items()}
    for key, kind_found in found.items():
        if kind_found is None:
            raise ValueError(
                f"`{name}[{key!r}]` has {modalities[key].n_vars} features, which may be genes or "
                f"proteins: say which, such as assays={{{key!r}: 'protein'}}. "
                f"Allowed: {', '.join(KINDS)}."
            )
    return cast(dict[str, Kind], found)


def guess_kind(modality: str, adata: AnnData) -> Kind | None:
    """Return the kind of a modality from its name, its features, or their number; None if unclear."""
    for kind, pattern in _NAMES.items():
        if re.search(pattern, modality.lower()):
            return kind
    types = set(adata.var["feature_types"]) if "feature_types" in adata.var else set()
    if len(types) == 1 and (kind_of_type := _TYPES.get(str(types.pop()))):
        return kind_of_type
    if adata.n_vars and all(_PEAK.match(str(feature)) for feature in adata.var_names[:100]):
        return "atac"
    return "rna" if adata.n_vars >= _FEWEST_GENES else None
