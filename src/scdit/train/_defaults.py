"""Sizes and lengths that follow from the number of cells: see ``docs/design_note.md``."""

from __future__ import annotations

import math

import numpy as np

DEFAULT_EARLY_STOPPING = {"codec": False, "denoiser": True}
_FEW_CELLS = 5_000
_PASSES = {"codec": 25, "denoiser": 100}
_STEPS = {"codec": (1_000, 6_000), "denoiser": (500, 10_000)}


def default_n_latent(n_cells: int) -> int:
    """One for every 75 cells, 8 to 32.

    Few cells cannot tell many components from noise, which a codec would turn into differences
    between new cells; too few components make cells too much alike.
    """
    return int(np.clip(round(n_cells / 75), 8, 32))


def default_train_size(n_cells: int, watched: bool) -> float:
    """All cells where there are few, unless validation cells are asked for (`watched`); 0.9 else.

    A tenth of a small data set is worth more as training cells than as a reason to stop.
    """
    return 1.0 if n_cells < _FEW_CELLS and not watched else 0.9


def default_epochs(n_train: int, batch_size: dict[str, int]) -> dict[str, int]:
    """Passes over the training cells, per phase, with the number of steps kept within bounds."""
    epochs = {}
    for phase in batch_size:
        steps_per_epoch = math.ceil(n_train / batch_size[phase])
        steps = np.clip(_PASSES[phase] * n_train / batch_size[phase], *_STEPS[phase])
        epochs[phase] = max(1, round(steps / steps_per_epoch))
    return epochs
