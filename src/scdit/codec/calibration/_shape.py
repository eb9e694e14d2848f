"""Calibration 2: the shape of each gene's counts around their expectation, where the likelihood has another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betainc
from torch import Tensor, nn

from scdit.codec.calibration._histograms import DecodedCells, Group
from scdit.codec.calibration._mixture import Mixture

Floats = NDArray[np.floating]

# ends of bins of probability, finer at both tails
_TAIL = np.array([0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
_EDGES = np.concatenate([_TAIL, [0.5], 1 - _TAIL[::-1]])
_WIDTHS = np.diff(_EDGES)
_N_ITERATIONS = 41  # steps of expectation maximisation
_MIN_GAIN = 20.0  # log likelihood, in nats, that a gene has to gain
_FLOOR = 1.0  # cells spread over all bins, none of which may be empty
_ROUNDING = 1e-5  # of probabilities in single precision
_LARGEST = 1 - 2**-24  # the largest float32 below 1


class CountShape(nn.Module):
    r"""Density of the probability integral transform of each gene's counts, piecewise constant.

    A count is drawn as the quantile of its negative binomial at a uniform number u. Where data have
    two kinds of cells that the latent space does not tell apart - those of donors with and without
    a Y chromosome, or with one or the other allele - the data's u are not uniform, and nor should
    they be in a draw. This turns uniform numbers into ones with the density of the data, a monotone
    map per gene: the recalibration of Kuleshov et al. (2018), for counts. At the start it changes
    nothing.

    Parameters
    ----------
    n_genes
        Number of genes.
    """

    ends: Tensor
    edges: Tensor

    def __init__(self, n_genes: int):
        super().__init__()
        self.register_buffer("edges", torch.tensor(_EDGES, dtype=torch.float32), persistent=False)
        # the uniform numbers below which the transformed ones are below each edge, (genes, edges)
        self.register_buffer("ends", self.edges.repeat(n_genes, 1))

    def changed(self) -> Tensor:
        """Indices of the genes whose numbers are moved."""
        return ((self.ends - self.edges).abs() > _ROUNDING).any(1).nonzero()[:, 0]

    def forward(self, uniform: Tensor) -> Tensor:
        """Numbers in [0, 1), (cells, genes), for uniform ones."""
        genes = self.changed()
        shaped = uniform.clone()
        shaped[:, genes] = self.move(uniform[:, genes], genes)
        return shaped

    def move(self, numbers: Tensor, genes: Tensor) -> Tensor:
        """Numbers in [0, 1) of some genes, (cells, n), moved."""
        u, ends = numbers.T.contiguous(), self.ends[genes]
        upper = torch.searchsorted(ends[:, 1:-1].contiguous(), u, right=True) + 1
        start, stop = ends.gather(1, upper - 1), ends.gather(1, upper)
        low, high = self.edges[upper - 1], self.edges[upper]
        moved = low + (high - low) * (u - start) / (stop - start)
        return moved.clamp(0, _LARGEST).T

    @torch.no_grad()
    def set(self, density: Floats) -> None:
        """Set the probability of each bin, (genes, n_bins), all positive."""
        ends = np.concatenate([np.zeros((len(density), 1)), density.cumsum(axis=1)], axis=1)
        self.ends.copy_(torch.as_tensor(ends / ends[:, -1:]))

    @torch.no_grad()
    def clear(self, genes: NDArray[np.int64] | None = None) -> None:
        """Change nothing again, or nothing of some genes."""
        if genes is None:
            self.ends.copy_(self.edges.expand_as(self.ends))
        else:
            self.ends[torch.as_tensor(genes, device=self.ends.device)] = self.edges


def interval_probabilities(mixture: Mixture, upper: Floats) -> Floats:
    """Probability of intervals of counts, given the bin of probability that a number fell into.

    Parameters
    ----------
    mixture
        Of zero-inflated negative binomials, for each of some genes.
    upper
        The last count of each interval, (genes, n_intervals), not decreasing; infinite at the end.

    Returns
    -------
    Array (genes, n_intervals, n_bins), float32; adds up to one over intervals.
    """
    theta = mixture.log_theta.double().exp().numpy()[:, None]
    p = theta / (theta + mixture.log_mean.double().exp().numpy()[:, None])
    extra = torch.sigmoid(mixture.logit.double()).numpy()[:, None]
    weight = mixture.log_weight.double().exp().numpy()
    finite = np.where(np.isfinite(upper), upper, 0)[:, :, None]
    cdf = extra + (1 - extra) * betainc(theta, finite + 1, p)
    cdf = np.where(np.isfinite(upper)[:, :, None], cdf, 1.0)
    bins = zip(_EDGES[:-1], _EDGES[1:], strict=True)
    below = [(cdf.clip(low, high) - low) @ weight / (high - low) for low, high in bins]
    return np.diff(np.stack(below, axis=2), axis=1, prepend=0).astype(np.float32)


def fit_density(
    parts: Sequence[tuple[NDArray[np.int64], Floats, Floats]],
    n_genes: int,
) -> Floats:
    """Probability of each bin for each gene, (genes, n_bins), by expectation maximisation.

    Maximises the likelihood of counts in intervals. The problem is convex; it is started from no
    change and stopped early, which keeps the densities smooth. Genes that gain less than 20 nats
    are left as they are: by chance they gain less than five, and would all be drawn with the noise
    of the training cells.

    Parameters
    ----------
    parts
        One for each group of cells and genes: the genes (n,), how many of the cells have counts in
        each interval (n, n_intervals), and their :func:`interval_probabilities`.
    n_genes
        Number of genes.
    """
    density = np.tile(_WIDTHS, (n_genes, 1))
    history = []
    for _ in range(_N_ITERATIONS):
        expected, log_likelihood = np.tile(_FLOOR * _WIDTHS, (n_genes, 1)), np.zeros(n_genes)
        for genes, cells, probabilities in parts:
            total = np.einsum("gib,gb->gi", probabilities, density[genes]).clip(1e-12)
            log_likelihood[genes] += (cells * np.log(total)).sum(axis=1)
            expected[genes] += density[genes] * np.einsum(
                "gi,gib->gb", cells / total, probabilities
            )
        history.append(log_likelihood)
        density = expected / expected.sum(axis=1, keepdims=True)
    density[history[-1] - history[0] < _MIN_GAIN] = _WIDTHS
    return density


def fit_shape(shape: CountShape, cells: DecodedCells, groups: Sequence[Group]) -> None:
    """Fit what the regions' shifts still miss: a gene's shape, the same in all regions.

    Parameters
    ----------
    shape
        Changed in place.
    cells, groups
        The cells, which are decoded with the shifts of their regions, and the regions.
    """
    intervals = [
        (block.genes, block.cells, interval_probabilities(mixture, block.upper))
        for group in groups
        for block, mixture in group.mixtures(cells)
    ]
    shape.set(fit_density(intervals, cells.counts.shape[1]))
