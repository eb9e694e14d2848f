"""Small corrections of a decoder that depend on where in the latent space a cell is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_REGIONS = 16
_FAR = 1e6  # in a space whose points are near 0


class Regions(nn.Module):
    r"""Shifts of each gene's log mean, log dispersion and logit of extra zeros, per region.

    A point :math:`z` of the latent space belongs to region k with weight
    :math:`\mathrm{softmax}_k(-|z - c_k|^2 / 2 s^2)`, so that shifts change smoothly between regions.
    Without regions, as at the start, all shifts are zero.

    Parameters
    ----------
    n_latent, n_genes
        Dimension of the latent space and number of genes.
    """

    centres: Tensor
    width: Tensor
    shifts: Tensor

    def __init__(self, n_latent: int, n_genes: int):
        super().__init__()
        self.register_buffer("centres", torch.full((MAX_REGIONS, n_latent), _FAR))
        self.register_buffer("width", torch.ones(()))
        self.register_buffer("shifts", torch.zeros(3, MAX_REGIONS, n_genes))

    def forward(
        self, latent: Tensor, log_proportions: Tensor, log_theta: Tensor, logit: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is decoded at points (cells, n_latent), shifted; as it is where there is no region.

        Parameters
        ----------
        latent
            The points.
        log_proportions, log_theta, logit
            What is decoded there, (cells, genes); no logit where there are no extra zeros. The
            proportions are one together again afterwards.
        """
        if not (self.centres < _FAR).any():
            return log_proportions, log_theta, logit
        distance = (latent[:, None] - self.centres).pow(2).sum(2)  # (cells, regions)
        weight = torch.softmax(-distance / (2 * self.width**2), dim=1)
        mean, theta, zeros = self.shifts
        log_proportions = F.log_softmax(log_proportions + weight @ mean, dim=1)
        return (
            log_proportions,
            log_theta + weight @ theta,
            None if logit is None else logit + weight @ zeros,
        )

    @torch.no_grad()
    def set(self, centres: Tensor, width: float, shifts: Tensor) -> None:
        """Set up to :data:`MAX_REGIONS` regions.

        Parameters
        ----------
        centres
            Points (regions, n_latent).
        width
            Standard deviation s of points around their centre, per dimension.
        shifts
            Of log mean, log dispersion and logit, (3, regions, genes).
        """
        n = len(centres)
        self.clear()
        self.width.fill_(width)
        self.centres[:n], self.shifts[:, :n] = centres, shifts

    @torch.no_grad()
    def clear(self) -> None:
        """Take all shifts back, and all regions to where no cell is."""
        self.centres.fill_(_FAR)
        self.shifts.zero_()
