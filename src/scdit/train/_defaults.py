"""Sizes and lengths that follow from the number of cells: see ``docs/design_note.md``."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from scdit.train._initialise import n_reproducible

DEFAULT_EARLY_STOPPING = {"codec": False, "denoiser": True}
_ALL_BELOW = 5_000  # cells
_CELLS_PER_LATENT, _MAX_LATENT = 75, 48
_PASSES = {"codec": 25, "denoiser": 100}
_STEPS = {"codec": (1_000, 6_000), "denoiser": (500, 10_000)}


def default_n_latent(n_cells: int, counts: sp.spmatrix | np.ndarray | None) -> int:
    """As many latent dimensions as principal components are more than noise, 1 to 48.

    The others would be turned into differences between new cells; too few make cells too much
    alike. Few cells cannot tell how many there are: at most one for every 75 cells.

    Parameters
    ----------
    n_cells
        Number of cells.
    counts
        Their counts (cells, genes); None where they are not at hand.
    """
    n = min(n_cells // _CELLS_PER_LATENT, _MAX_LATENT)
    if counts is not None and n > 1:
        n = min(n, n_reproducible(counts, min(_MAX_LATENT, counts.shape[1])))
    return max(n, 1)


def default_train_size(n_cells: int, watched: bool) -> float:
    """All cells where there are few, unless validation cells are asked for (`watched`); 0.9 else.

    A tenth of a small data set is worth more as training cells than as a reason to stop.
    """
    return 1.0 if n_cells < _ALL_BELOW and not watched else 0.9


def default_epochs(n_train: int, batch_size: dict[str, int]) -> dict[str, int]:
    """Passes over the training cells, per phase, with the number of steps kept within bounds."""
    epochs = {}
    for phase in batch_size:
        steps_per_epoch = math.ceil(n_train / batch_size[phase])
        steps = np.clip(_PASSES[phase] * n_train / batch_size[phase], *_STEPS[phase])
        epochs[phase] = max(1, round(steps / steps_per_epoch))
    return epochs
