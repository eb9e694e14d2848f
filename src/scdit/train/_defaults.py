"""How long to train, from the number of cells: measured in ``docs/design_note.md``."""

from __future__ import annotations

import math

import numpy as np

PHASES = ("codec", "denoiser")
DEFAULT_BATCH_SIZE = {"codec": 64, "denoiser": 128}
DEFAULT_EARLY_STOPPING = {"codec": False, "denoiser": True}
_PASSES = {"codec": 25, "denoiser": 100}
_STEPS = {"codec": (1_000, 6_000), "denoiser": (500, 10_000)}


def default_epochs(n_train: int, batch_size: dict[str, int]) -> dict[str, int]:
    """Passes over the training cells, per phase, with the number of steps kept within bounds."""
    epochs = {}
    for phase in PHASES:
        steps_per_epoch = math.ceil(n_train / batch_size[phase])
        steps = np.clip(_PASSES[phase] * n_train / batch_size[phase], *_STEPS[phase])
        epochs[phase] = max(1, round(steps / steps_per_epoch))
    return epochs
