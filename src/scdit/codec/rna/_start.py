"""Where the codec starts: statistics of the training cells, computed without densifying them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from scdit._matrix import some_of
from scdit.codec._components import principal_components
from scdit.codec._protocol import SparseCounts
from scdit.codec._sparse import (
    capped_counts,
    gene_caps,
    library_sizes,
    reads_per_molecule,
)
from scdit.codec.rna._moments import moments, zero_inflated_moments

# so few cells are learnt by heart unless counts are hidden from the encoder; more lose structure by it
_FEW_CELLS, _THINNING = 1_000, 0.5
_MAX_CELLS = 20_000  # more cells than this change the principal components little, and cost time


def statistics(
    counts: SparseCounts, n_pcs: int, *, zero_inflated: bool = False
) -> dict[str, Tensor]:
    """What encoder, decoder and likelihood start from, by the names of their buffers and more.

    Parameters
    ----------
    counts
        Counts of the training cells only, (cells, genes); of more than 20,000 a sample is used.
    n_pcs
        Number of principal components.
    zero_inflated
        Whether the likelihood has extra zeros.

    Returns
    -------
    ``cap`` and ``total`` (counts in all cells), each (genes,), ``library_size`` (cells,), and what
    ``CountEncoder``, ``Dispersion`` and ``ExtraZeros`` start from.
    """
    thinning = _THINNING if counts.shape[0] < _FEW_CELLS else 0.0
    if counts.shape[0] > _MAX_CELLS:
        counts = counts[some_of(counts.shape[0], _MAX_CELLS)]
    counts = sp.csr_matrix(counts, dtype=np.float64)
    cap = gene_caps(counts)
    counts = capped_counts(counts, cap)
    library = library_sizes(counts)
    target = _target(library)
    mean, loadings, sd = principal_components(counts, library, target, n_pcs)
    proportions, theta, trend = moments(counts, library)
    start = {
        "cap": cap,
        "pc_mean": mean,
        "pc_loadings": loadings,
        "pc_sd": sd,
        "target": np.array(target),
        "library_size": library,
        "log_theta_trend": np.log(trend),
        "log_theta": np.log(theta),
        "thinning": np.array(thinning),
        "reads_per_molecule": np.ones(counts.shape[1]),
        "log_proportions": np.log(proportions),
        "total": np.asarray(counts.sum(axis=0)).ravel(),
    }
    if zero_inflated:
        extra, theta, trend = zero_inflated_moments(counts, library, target)
        start |= {
            "log_theta_trend": np.log(trend),
            "log_theta": np.log(theta),
            "extra_zeros": extra,
            "reads_per_molecule": reads_per_molecule(counts),
        }
    return {k: torch.as_tensor(v, dtype=torch.float32) for k, v in start.items()}


def _target(library: np.ndarray) -> float:
    """Counts per cell to which the encoder's input is scaled before the logarithm: the median.

    The noise of genes with few and with many counts is then about equal, as with the variance
    stabilising transformation of counts; with 10,000, as for maps, that of genes with few counts
    drowns what is known of the others (Ahlmann-Eltze and Huber 2023).
    """
    return float(np.median(library))
