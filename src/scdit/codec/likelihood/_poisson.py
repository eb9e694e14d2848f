"""Distributions of fragments in peaks: Poisson counts, and whether there is any."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.special import pdtr
from scipy.stats import poisson
from torch import Tensor

_CLIMB = 8  # counts up to here are found by summing the distribution, others by bisection
_LARGEST_RATE = 20.0  # of fragments in a peak, beyond which none is as unlikely as can be


@dataclass(frozen=True)
class Poisson:
    """Poisson counts, one per entry.

    Parameters
    ----------
    log_rate
        Logarithm of the mean, (cells, peaks).
    """

    log_rate: Tensor

    def of_genes(self, genes: Tensor) -> Poisson:
        """Distribution of the counts of some peaks, given their indices; one column each."""
        return Poisson(self.log_rate[:, genes])

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, peaks), the same shape."""
        return counts * self.log_rate - self.log_rate.exp() - torch.lgamma(counts + 1)

    def negative_log_likelihood(self, counts: Tensor) -> Tensor:
        """Negative log likelihood of the counts of each cell, (cells,); costly terms at counts only."""
        cells, peaks = torch.nonzero(counts, as_tuple=True)
        seen = counts[cells, peaks]
        gain = seen * self.log_rate[cells, peaks] - torch.lgamma(seen + 1)
        return self.log_rate.exp().sum(1).index_add(0, cells, gain, alpha=-1)

    def mean(self) -> Tensor:
        """Expected counts, (cells, peaks)."""
        return self.log_rate.exp()

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, peaks), double precision."""
        k, log_rate = counts.cpu().double(), self.log_rate.cpu().double()
        below = torch.as_tensor(pdtr((k - 1).clamp_min(0).numpy(), log_rate.exp().numpy()))
        below = torch.where(k > 0, below, 0.0)
        probability = Poisson(log_rate).log_prob(k).exp()
        if counts.device.type == "mps":  # which has no double precision
            below, probability = below.float(), probability.float()
        return below.to(counts.device), probability.to(counts.device)

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, peaks)."""
        if uniform.device.type == "mps":  # which has no double precision
            return Poisson(self.log_rate.cpu()).quantile(uniform.cpu()).to(uniform)
        counts = torch.zeros_like(uniform)
        # most entries are zero
        cells, peaks = torch.nonzero(uniform >= (-self.log_rate.exp()).exp(), as_tuple=True)
        u, rate = uniform[cells, peaks].double(), self.log_rate[cells, peaks].double().exp()
        mass = (-rate).exp()
        cdf, k = mass.clone(), 0
        while len(u) and k < _CLIMB:
            k += 1
            mass = mass * rate / k
            cdf = cdf + mass
            counts[cells, peaks] = k
            left = u >= cdf
            cells, peaks, u, rate, mass, cdf = (
                x[left] for x in (cells, peaks, u, rate, mass, cdf)
            )
        if len(u):
            far = poisson.ppf(u.cpu().numpy(), rate.cpu().numpy())
            counts[cells, peaks] = torch.as_tensor(far).to(counts)
        return counts


@dataclass(frozen=True)
class OpenPeaks:
    r"""Ones where a peak has any fragment, :math:`P(1) = 1 - e^{-\lambda}`, one per entry.

    Parameters
    ----------
    log_rate
        Logarithm of the mean number of fragments :math:`\lambda`, (cells, peaks).
    """

    log_rate: Tensor

    def of_genes(self, genes: Tensor) -> OpenPeaks:
        """Distribution of some peaks, given their indices; one column each."""
        return OpenPeaks(self.log_rate[:, genes])

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, peaks), zeros and ones, the same shape."""
        rate = self.log_rate.exp()
        return torch.where(counts > 0, _log_any(rate), -rate)

    def negative_log_likelihood(self, counts: Tensor) -> Tensor:
        """Negative log likelihood of each cell, (cells,); costly terms at ones only."""
        cells, peaks = torch.nonzero(counts, as_tuple=True)
        rate = self.log_rate.exp()
        seen = rate[cells, peaks]
        return rate.sum(1).index_add(0, cells, _log_any(seen) + seen, alpha=-1)

    def mean(self) -> Tensor:
        """Probability of a one, (cells, peaks)."""
        return -torch.expm1(-self.log_rate.exp())

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, peaks)."""
        closed, one = (-self.log_rate.exp()).exp(), counts > 0
        return torch.where(one, closed, 0.0), torch.where(one, 1 - closed, closed)

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, peaks)."""
        return (uniform >= (-self.log_rate.exp()).exp()).to(uniform)


def _log_any(rate: Tensor) -> Tensor:
    """Log probability of any fragment given rates, exact where they are small."""
    return torch.log(-torch.expm1(-rate.clamp(torch.finfo(rate.dtype).tiny, _LARGEST_RATE)))
