"""Calibration 1: small corrections of a decoder that depend on where in the latent space a cell is."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.codec.calibration._histograms import DecodedCells, Group
from scdit.codec.calibration._shifts import fit_shifts

MAX_REGIONS = 16
_CELLS_PER_REGION = 150
_PRIOR = 10.0  # precision of the prior on a region's shifts, in cells
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
        """Set up to ``MAX_REGIONS`` regions.

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


def fit_regions(regions: Regions, cells: DecodedCells) -> list[Group]:
    """Fit shifts of what is decoded in regions to the counts there.

    A gene that is on in one kind of cell and off in another has two marginals, which one shift for
    all cells cannot meet both. Regions are found by k-means, one for every 150 cells, 1 to 16, and
    shifts are shrunk towards none.

    Parameters
    ----------
    regions
        Changed in place; they must be clear, and what is decoded must be what they shift.
    cells
        States whose decoded mixture should have the marginals of the data.

    Returns
    -------
    The cells of each region.
    """
    latent = cells.latent.numpy()
    n_regions = int(np.clip(len(latent) // _CELLS_PER_REGION, 1, MAX_REGIONS))
    clusters = KMeans(n_regions, n_init=3, random_state=0).fit(latent)
    groups = [
        Group.of(cells, np.flatnonzero(clusters.labels_ == region)) for region in range(n_regions)
    ]
    shifts = torch.zeros(3, n_regions, cells.counts.shape[1])
    for region, group in enumerate(groups):
        n_cells = len(group.rows)
        for block, mixture in group.mixtures(cells):
            value, share = (torch.as_tensor(x) for x in (block.value, block.cells / n_cells))
            fitted = fit_shifts(mixture, value.float(), share.float(), prior=_PRIOR / n_cells)
            shifts[:, region, block.genes] = fitted
    device = regions.centres.device
    centres = torch.as_tensor(clusters.cluster_centers_, dtype=torch.float32)
    width = np.sqrt(clusters.inertia_ / latent.size)
    regions.set(centres.to(device), float(width), shifts.to(device))
    return groups
