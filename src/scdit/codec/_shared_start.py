"""Where assays start that share latent dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from scdit.codec._alignment import align
from scdit.codec._presence import rows_with
from scdit.codec._protocol import Assay, Present, SparseCounts

_MAX_CELLS, _AT_ONCE = 5_000, 64  # cells that are looked at, and dense at once


def start_together(
    assays: Mapping[str, Assay],
    counts: Mapping[str, SparseCounts],
    present: Present,
    n_latent: int,
) -> None:
    """Start each assay from its counts, and several from latent dimensions that they share.

    Parameters
    ----------
    assays
        Assays by name; changed in place.
    counts, present
        Counts (cells, features) of each, and which cells have them; a row is the same cell in all.
    n_latent
        Number of latent dimensions.

    Raises
    ------
    ValueError
        If no cell has one of the assays, or all of its counts are zero.
    """
    rows = {name: rows_with(present, name, counts[name].shape[0]) for name in assays}
    for name, assay in assays.items():
        if not len(rows[name]):
            raise ValueError(f"no training cell has the assay {name!r}")
        every = len(rows[name]) == counts[name].shape[0]
        own = counts[name] if every else sp.csr_matrix(counts[name])[rows[name]]
        if not own.sum() > 0:
            raise ValueError(
                f"the assay {name!r} has no counts in the {own.shape[0]} training cells"
            )
        assay.start(own)
    if len(assays) == 1:
        return
    n_cells = next(iter(counts.values())).shape[0]
    chosen = np.sort(np.random.default_rng(0).permutation(n_cells)[:_MAX_CELLS])
    deviations = [assay.component_deviations() for assay in assays.values()]
    scores = [_scores(assay, counts[name], chosen) for name, assay in assays.items()]
    has = [torch.as_tensor(np.isin(chosen, rows[name])) for name in assays]
    alignments = align(scores, [sd.cpu() for sd in deviations], has, n_latent)
    for assay, alignment in zip(assays.values(), alignments, strict=True):
        assay.align(alignment)


@torch.no_grad()
def _scores(assay: Assay, counts: SparseCounts, cells: np.ndarray) -> Tensor:
    """Components (n, n_components) of some of the cells, on the processor."""
    chosen, device = sp.csr_matrix(counts)[cells], assay.component_deviations().device
    parts = []
    for first in range(0, len(cells), _AT_ONCE):
        dense = chosen[first : first + _AT_ONCE].toarray().astype(np.float32)
        capped = assay.capped(torch.as_tensor(dense, device=device))
        parts.append(assay.components(capped).cpu())
    return torch.cat(parts)
