"""The sides of a comparison: AnnData, or MuData with several modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_class
from scdit.tl._kinds import Kind
from scdit.tl._modalities import Modalities
from scdit.tl._mudata import as_mudata
from scdit.tl._on_disk import in_memory
from scdit.tl._population import Population, read_counts, read_pair
from scdit.tl._read_modalities import read_modalities, read_one_modality
from scdit.tl._trial import Sides


def check_all_sides(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    reference: AnnData | MuData | None = None,
    *,
    protein_expression_obsm_key: str | None = None,
) -> tuple[Any, Any, Any]:
    """Return the sides of a comparison, all AnnData or all MuData.

    AnnData that are not in memory become samples that are, see :func:`in_memory`. Those whose proteins
    stand in `obsm` become MuData, see :func:`as_mudata`.

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
    sides = [
        as_mudata(in_memory(side), name, protein_expression_obsm_key)
        for name, side in named.items()
    ]
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


def read_modality(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    modality: str | None,
    *,
    layer: str | None,
    assays: Mapping[str, str] | None = None,
) -> tuple[Population, Population]:
    """Read the counts of one modality of both sides, with its features in the order of `real`.

    Parameters
    ----------
    real, generated
        Cells, both AnnData or both MuData.
    modality
        Name of a modality of MuData objects; the first if None. None for AnnData objects.
    layer, assays
        As in :func:`scdit.tl.evaluate`.

    Raises
    ------
    KeyError
        If there is no such modality, or `real` has no such layer.
    ValueError
        If AnnData objects are asked for a modality, or as :func:`read_counts` does.
    """
    if not isinstance(real, MuData):
        _refuse_modality(modality, assays)
        return read_pair(real, generated, layer=layer)
    parts = _one_modality({"real": real, "generated": generated}, modality, assays)
    first, second = (
        Population(
            read_counts(
                part,
                f"{side.name}[{key!r}]",
                genes=None if side.name == "real" else list(parts[0].parts[key].var_names),
                layer=layer if side.name == "real" or layer in part.layers else None,
                kind=side.kinds[key],
            ),
            kind=side.kinds[key],
        )
        for side in parts
        for key, part in side.parts.items()
    )
    return first, second


def take_modality(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    reference: AnnData | MuData | None,
    modality: str | None,
    *,
    keys: Sequence[str],
    layer: str | None,
    assays: Mapping[str, str] | None,
) -> tuple[AnnData, AnnData, AnnData | None, Kind]:
    """Take one modality of each side, with some columns of `obs`, and what it counts.

    Parameters
    ----------
    real, generated, reference
        Cells, all AnnData, which are returned as they are, or all MuData.
    modality, layer, assays
        As in :func:`read_modality`.
    keys
        The columns; of a MuData, wherever they are.

    Raises
    ------
    KeyError
        If there is no such modality or column.
    ValueError
        If AnnData objects are asked for a modality, or a MuData is refused by :func:`read_modalities`.
    """
    if not isinstance(real, MuData):
        _refuse_modality(modality, assays)
        return real, generated, reference, "rna"
    named = {"real": real, "generated": generated, "reference": reference}
    sides = _one_modality({k: v for k, v in named.items() if v is not None}, modality, assays)
    taken = []
    for side in sides:
        side.warn_of_flags()
        [(name, part)] = side.parts.items()
        taken.append(
            AnnData(
                part.X,
                obs=pd.DataFrame({key: side.column(key) for key in keys}, index=side.cells),
                var=pd.DataFrame(index=part.var_names),
                layers={layer: part.layers[layer]}
                if layer is not None and layer in part.layers
                else None,
            )
        )
    return taken[0], taken[1], taken[2] if reference is not None else None, sides[0].kinds[name]


def _refuse_modality(modality: str | None, assays: Mapping[str, str] | None) -> None:
    if modality is not None or assays is not None:
        raise ValueError("modality and assays are for MuData; these are AnnData objects")


def _one_modality(
    sides: Mapping[str, Any], modality: str | None, assays: Mapping[str, str] | None
) -> list[Modalities]:
    """Take one modality of MuData objects, the first of which says which it is and what it counts."""
    real = sides["real"]
    name = next(iter(real.mod), "") if modality is None else check_class("modality", modality, str)
    found: list[Modalities] = []
    for key, side in sides.items():
        kind = found[0].kinds[name] if found else None
        found.append(read_one_modality(side, key, name, kind, assays))
    return found
