"""Where the chromatin assay starts: statistics of the training cells, without densifying them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from scdit._matrix import some_of
from scdit.codec._components import components_of
from scdit.codec._protocol import SparseCounts
from scdit.codec._sparse import (
    capped_counts,
    cells_with_counts,
    gene_caps,
    library_sizes,
    scaled_counts,
    share_of_zeros,
)

# so few cells are learnt by heart unless counts are hidden from the encoder, as with RNA
_FEW_CELLS, _THINNING = 1_000, 0.5
_MAX_CELLS, _MAX_NONZEROS = 20_000, 30_000_000  # more change little, and cost time
_MIN_CAP = 4.0  # counts in a peak that are no freaks in any cell
_MIN_MEAN = 1e-6  # of a peak's logarithms
_N_NEWTON = 30
_NEVER = 1e-12  # proportion of a peak without fragments


def statistics(counts: SparseCounts, n_pcs: int, *, binary: bool) -> dict[str, Tensor]:
    """What encoder and decoder start from, by the names of their buffers and more.

    Parameters
    ----------
    counts
        Counts of the training cells only, (cells, peaks). Of more than 20,000 cells, or of 30 million
        counts that are not zero, a sample is used.
    n_pcs
        Number of components.
    binary
        Whether counts are treated as zeros and ones.

    Returns
    -------
    ``cap``, ``total`` and ``log_proportions``, each (peaks,), ``library_size`` (cells,), ``gain``
    (peaks,), see :meth:`CountAssay.start_loadings`, and the buffers of :class:`PeakEncoder`.
    """
    thinning = _THINNING if counts.shape[0] < _FEW_CELLS else 0.0
    counts = _sample(sp.csr_matrix(counts, dtype=np.float64))
    n_cells, n_peaks = counts.shape
    cap = np.ones(n_peaks) if binary else gene_caps(counts).clip(_MIN_CAP)
    counts = capped_counts(counts, cap)
    total, library = np.asarray(counts.sum(axis=0)).ravel(), library_sizes(counts)
    seen, target = cells_with_counts(counts), float(np.median(library))
    weight = np.log1p(n_cells / (1 + seen))
    logs = sp.csr_matrix(scaled_counts(counts, library, target) @ sp.diags(weight))
    logs.data = np.log1p(logs.data)
    mean, loadings, sd = components_of(logs, n_pcs, randomised=True)
    log_total = np.log(library.clip(1))
    change = log_total - log_total.mean()
    slope = (logs @ loadings).T @ change / max((change**2).sum(), 1e-9)
    # the mean number of fragments in an open peak is above one
    rate = -np.log(share_of_zeros(seen, n_cells)) if binary else (total + 0.5) / n_cells
    proportions = np.where(total > 0, rate / rate.sum(), _NEVER)
    start = {
        "cap": cap,
        "total": total,
        "library_size": library,
        "log_proportions": np.log(proportions),
        # peaks that are open have logarithms of about one size: their mean is that of how many are
        "gain": 1 / mean.clip(_MIN_MEAN),
        "pc_mean": mean,
        "pc_loadings": loadings,
        "pc_sd": sd,
        "target": np.array(target),
        "weight": weight,
        "slope": slope,
        "log_total": np.array(log_total.mean()),
        "thinning": np.array(thinning),
        "reads_per_molecule": np.ones(n_peaks),
    }
    return {name: torch.as_tensor(value, dtype=torch.float32) for name, value in start.items()}


def saturation(log_proportions: Tensor, log_library: Tensor, score: Tensor) -> Tensor:
    """How many more fragments than open peaks cells have, in log units: a parabola of the score, (3,).

    With proportions p, open peaks add up to the library if their rates are c p with c > library.
    """
    p, library = log_proportions.double().exp(), log_library.double().exp()
    rate = library.clone()
    for _ in range(_N_NEWTON):  # from below, which is where the root of a concave function is left
        closed = (-rate[:, None] * p).exp()
        rate = rate + (library - (1 - closed).sum(1)) / (p * closed).sum(1)
    excess = rate.log() - log_library.double()
    terms = torch.stack([torch.ones_like(score), score, score**2], dim=1).double()
    return torch.linalg.lstsq(terms, excess[:, None]).solution[:, 0].float()


def _sample(counts: sp.csr_matrix) -> sp.csr_matrix:
    most = min(_MAX_CELLS, int(counts.shape[0] * _MAX_NONZEROS / max(counts.nnz, 1)))
    if counts.shape[0] <= most:
        return counts
    return counts[some_of(counts.shape[0], max(most, 1))]
