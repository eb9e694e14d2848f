"""The moving average of the denoiser's weights."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

_Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


class EMAWithWarmup:
    """Moving average whose memory grows with the number of steps, up to `decay`.

    A class and not a closure: models are pickled.
    """

    def __init__(self, decay: float):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averaged: _Tensors, current: _Tensors, n_averaged: Tensor | int) -> None:
        n = float(n_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + n) / (10 + n)))
