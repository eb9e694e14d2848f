"""Gaussian priors of a codec's weights, which keep it from overfitting."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class WeightPrior(NamedTuple):
    """A Gaussian prior of a weight.

    Parameters
    ----------
    weight
        The weight.
    precision
        Of the prior, in cells.
    centre
        Mean of the prior; None for zero.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.randn(100, 16))
    >>> torch.nn.functional.linear(torch.randn(32, 16), weight).square().mean().backward()
    >>> scdit.codec.WeightPrior(weight, precision=100.0).add_gradient(n_cells=2_000)
    """

    weight: Tensor
    precision: float
    centre: Tensor | None = None

    @torch.no_grad()
    def add_gradient(self, n_cells: int) -> None:
        """Add the prior's share of the gradient of a loss that is a mean over `n_cells`.

        In place: as a term of the loss it would be differentiated with copies of the whole weight,
        which cost as much as the decoder itself where genes are many.
        """
        if self.weight.grad is not None:
            excess = self.weight if self.centre is None else self.weight - self.centre
            self.weight.grad.add_(excess, alpha=self.precision / n_cells)
