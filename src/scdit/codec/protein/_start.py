"""Where the foreground and the background of proteins start."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_N_ITERATIONS = 50  # steps of expectation maximisation
_LEAST_SD, _LEAST_SHARE = 0.1, 0.02
_LEAST_STEP = 0.1  # of the foreground above the background, in log units


def two_levels(counts: np.ndarray, library: np.ndarray) -> dict[str, Tensor]:
    """Background, foreground and share of background of each protein, by expectation maximisation.

    A mixture of two normal distributions of log proportions, which begins at the two halves of the
    cells. A protein with one level only gets two that overlap.

    Parameters
    ----------
    counts
        Counts of the training cells, (cells, proteins).
    library
        Total counts of each cell, (cells,).

    Returns
    -------
    ``background`` and ``step`` (log proportion, and how far the foreground is above it) and ``logit``
    of the share of the background, each (proteins,).
    """
    log = np.log((counts + 0.5) / np.maximum(library, 1)[:, None])
    high = log > np.median(log, axis=0)
    share = np.stack([~high, high]) * 0.8 + 0.1  # of each level in each count
    for _ in range(_N_ITERATIONS):
        size = share.sum(axis=1)
        mean = (share * log).sum(axis=1) / size
        variance = (share * (log - mean[:, None]) ** 2).sum(axis=1) / size
        sd = np.sqrt(variance).clip(_LEAST_SD)
        weight = (size / len(log)).clip(_LEAST_SHARE, 1 - _LEAST_SHARE)
        density = -0.5 * ((log - mean[:, None]) / sd[:, None]) ** 2 + np.log(weight / sd)[:, None]
        share = np.exp(density - np.logaddexp(*density))
    low = mean.argmin(axis=0)
    columns = np.arange(log.shape[1])
    level, other = mean[low, columns], mean[1 - low, columns]
    background = weight[low, columns] / weight.sum(axis=0)
    start = {
        "background": level,
        "step": np.maximum(other - level, _LEAST_STEP),
        "logit": np.log(background / (1 - background)),
    }
    return {name: torch.as_tensor(value, dtype=torch.float32) for name, value in start.items()}
