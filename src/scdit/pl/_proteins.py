"""Proteins: counts of real and of generated cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from scdit._checks import check_names, did_you_mean, listed, shortened
from scdit.pl._cells import equal_numbers
from scdit.pl._style import GENERATED, REAL, check_axes, despine, new_axes
from scdit.tl._kinds import guess_kind
from scdit.tl._modal_sides import check_all_sides, read_modality
from scdit.tl._population import check_key

MOST = 24
_COFACTOR = 5.0  # counts below it are spaced evenly, those above by their logarithm
_BINS = 30
_COLUMNS = 4


def proteins(
    real: AnnData | MuData,
    generated: AnnData | MuData,
    names: Sequence[str] | None = None,
    *,
    modality: str | None = None,
    layer: str | None = None,
    axes: Sequence[Axes] | None = None,
    protein_expression_obsm_key: str | None = None,
) -> np.ndarray:
    """Draw histograms of protein counts, real against generated, a panel for each protein.

    The axis is arcsinh(counts / 5): linear for low counts, where the background is, logarithmic for
    high ones. Curves of a good generator lie on each other, at both. They show as many real as
    generated cells, a sample of the side that has more.

    Parameters
    ----------
    real
        Real cells with raw protein counts in a modality, or AnnData with protein counts in
        ``obsm[protein_expression_obsm_key]``, or in `X` without that key.
    generated
        Generated cells, with proteins in the same place.
    names
        Proteins to draw, at most 24. If None, those whose log counts vary most among the real
        cells.
    modality
        Name of the modality of proteins; found by its name or ``var["feature_types"]`` if None.
    layer
        Layer with the counts; `X` where it is None, and for generated cells without that layer.
    axes
        One axes for each protein. Made if None.
    protein_expression_obsm_key
        Entry of `obsm` with protein counts of AnnData objects.

    Returns
    -------
    The axes, one for each protein.

    Raises
    ------
    KeyError
        If there is no such modality, entry of `obsm` or layer.
    TypeError
        If an argument is of the wrong class.
    ValueError
        If values are no counts, a protein is unknown, there are more than 24 names or none, or it is
        not clear which modality holds proteins.

    Examples
    --------
    >>> real, new = (scdit.datasets.synthetic_citeseq(200, rng=seed) for seed in (0, 1))
    >>> scdit.pl.proteins(real, new)
    """
    real, generated, _ = check_all_sides(
        real, generated, protein_expression_obsm_key=protein_expression_obsm_key
    )
    check_key("modality", modality)
    check_key("layer", layer)
    assays = None
    if isinstance(real, MuData):
        modality = _protein_modality(real) if modality is None else modality
        assays = {modality: "protein"}
    table = real[modality] if modality in getattr(real, "mod", {}) else real
    if names is not None:
        positions = _positions(names, list(table.var_names))
        check_axes(len(positions), axes)
    cells = equal_numbers(*read_modality(real, generated, modality, layer=layer, assays=assays))
    if names is None:
        spread = cells[0].counts.log1p().toarray().var(axis=0)
        positions = np.sort(np.argsort(-spread, kind="stable")[:MOST])
    panels = new_axes(len(positions), axes, panel=(2.6, 2.0), columns=_COLUMNS)
    for ax, i in zip(panels, positions, strict=True):
        _histograms(ax, *(side.counts[:, [i]].toarray().ravel() for side in cells))
        ax.set_title(table.var_names[i])
        ax.set_xlabel("counts")
    # beside the first row: inside a panel it would hide bars
    panels[:_COLUMNS][-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return panels


def _protein_modality(mdata: MuData) -> str:
    """Return the only modality of proteins."""
    found = [key for key, part in mdata.mod.items() if guess_kind(key, part) == "protein"]
    if len(found) != 1:
        raise ValueError(
            f"{listed(found)} of the modalities {listed(mdata.mod)} holds proteins: name one in "
            "modality"
        )
    return found[0]


def _positions(names: Sequence[str], known: list[str]) -> np.ndarray:
    """Return where the proteins of some names stand."""
    chosen = list(dict.fromkeys(check_names("names", names)))
    if not 1 <= len(chosen) <= MOST:
        raise ValueError(f"names must be 1 to {MOST} proteins, got {len(chosen)}")
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(
            f"names: `real` has no protein {unknown[0]!r}. It has: {shortened(known)}"
            + did_you_mean(unknown[0], known)
        )
    return np.array([known.index(name) for name in chosen])


def _histograms(ax: Axes, real: np.ndarray, generated: np.ndarray) -> None:
    """Draw the density of counts of both sides on an arcsinh axis."""
    top = np.arcsinh((max(real.max(), generated.max()) + 1) / _COFACTOR)
    # between whole counts: other bins would hold none, one or two of them, and look like a comb
    edges = np.unique(np.rint(_COFACTOR * np.sinh(np.linspace(0, top, _BINS + 1)))) - 0.5
    widths = np.diff(np.arcsinh(edges / _COFACTOR))
    for counts, name, color in ((real, "real", REAL), (generated, "generated", GENERATED)):
        density = np.histogram(counts, edges)[0] / len(counts) / widths
        ax.stairs(density, edges, color=color, label=name, fill=name == "real", linewidth=1.3)
    ax.set_xscale("asinh", linear_width=_COFACTOR)
    ticks = [0, *(10**k for k in range(1, 10) if 10**k < edges[-1])]
    ax.set(yticks=[], xlim=(edges[0], edges[-1]))
    ax.set_xticks(ticks, [f"{tick:,}" if tick < 10_000 else f"{tick:.0e}" for tick in ticks])
    ax.minorticks_off()
    despine(ax)
