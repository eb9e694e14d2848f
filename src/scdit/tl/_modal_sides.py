"""The sides of a comparison: AnnData, or MuData with several modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class
from scdit.tl._modalities import read_modalities
from scdit.tl._mudata import as_mudata
from scdit.tl._trial import Sides


def check_all_sides(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    reference: AnnData | MuData | None = None,
    *,
    protein_expression_obsm_key: str | None,
) -> tuple[Any, Any, Any]:
    """Return the sides of a comparison, all AnnData or all MuData.

    Those whose proteins stand in `obsm` become MuData, see :func:`as_mudata`.

    Raises
    ------
    KeyError, ValueError
        If there are no proteins in ``obsm[protein_expression_obsm_key]``.
    TypeError
        If a side is neither, or some are AnnData and some MuData.
    """
    named = {"real": real, "generated": generated}
    if reference is not None:
        named["reference"] = reference
    for name, side in named.items():
        check_class(name, side, AnnData, MuData)
    if (
        protein_expression_obsm_key is None
        and len({isinstance(s, MuData) for s in named.values()}) > 1
    ):
        classes = ", ".join(f"{name}: {type(side).__name__}" for name, side in named.items())
        raise TypeError(
            f"real, generated and reference must be of one class, got {classes}. Take a modality "
            "of the MuData, such as generated['rna']; or name the proteins of the AnnData, "
            "protein_expression_obsm_key"
        )
    sides = [as_mudata(side, name, protein_expression_obsm_key) for name, side in named.items()]
    return sides[0], sides[1], sides[2] if reference is not None else None


def read_modal_sides(
    real: MuData,
    generated: MuData,
    reference: MuData | None,
    *,
    labels_key: str | None,
    layer: str | None,
    assays: Mapping[str, str] | None,
) -> dict[str, Sides]:
    """Read the cells of each modality, with the features in the order of `real`."""
    first = read_modalities(real, "real", assays=assays)
    made = read_modalities(generated, "generated", like=first)
    sides = [
        first.populations(labels_key=labels_key, layer=layer),
        made.populations(
            first,
            labels_key=labels_key if labels_key is not None and made.has(labels_key) else None,
            layer=layer,
        ),
    ]
    known = [first, made]
    if reference is not None:
        known.append(read_modalities(reference, "reference", like=first))
        sides.append(known[-1].populations(first, labels_key=labels_key, layer=layer))
    for side in known:
        side.warn_of_flags()
    return {
        key: Sides(*(side[key] for side in sides), *([None] if reference is None else []))
        for key in first.parts
    }
