"""Negative binomial distributions of counts: their likelihood and draws that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from scipy.special import betainc
from scipy.stats import nbinom
from torch import Tensor
from torch.nn import functional as F

# counts up to here, on the processor and elsewhere, are found by summing the distribution, which is
# fastest for small ones; what is left has to go through the processor
_CLIMB, _CLIMB_ELSEWHERE = 8, 500
_SMALLEST = 2**-24  # distance of a float32 below 1 from 1


@dataclass(frozen=True)
class NegativeBinomial:
    r"""Counts with mean :math:`\mu` and variance :math:`\mu + \mu^2 / \theta`, one per entry.

    Parameters
    ----------
    log_mean
        Logarithm of the mean, (cells, genes).
    log_theta
        Logarithm of the inverse dispersion, broadcastable to (cells, genes).

    Examples
    --------
    >>> log_mean = torch.randn(32, 100)
    >>> nb = scdit.codec.NegativeBinomial(log_mean, log_theta=torch.zeros(100))
    >>> counts = nb.quantile(torch.rand(32, 100))  # a draw
    >>> nb.log_prob(counts).sum(1)  # log likelihood of each cell
    """

    log_mean: Tensor
    log_theta: Tensor

    def of_genes(self, genes: Tensor) -> NegativeBinomial:
        """Distribution of the counts of some genes, given their indices; one column per gene."""
        return NegativeBinomial(self.log_mean[:, genes], self.log_theta[:, genes])

    def scaled(self, log_factor: Tensor) -> Self:
        """The distribution with means multiplied by ``exp(log_factor)``, (cells, genes)."""
        return replace(self, log_mean=self.log_mean + log_factor)

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, genes), the same shape."""
        theta = self.log_theta.exp()
        odds = self.log_mean - self.log_theta
        return (
            torch.lgamma(counts + theta)
            - torch.lgamma(theta)
            - torch.lgamma(counts + 1)
            - theta * F.softplus(odds)  # theta log(theta / (mu + theta))
            - counts * F.softplus(-odds)  # x log(mu / (mu + theta))
        )

    def mean(self) -> Tensor:
        """Expected counts, (cells, genes)."""
        return self.log_mean.exp()

    def log_zero(self) -> Tensor:
        """Log probability of no count."""
        return -self.log_theta.exp() * F.softplus(self.log_mean - self.log_theta)

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, genes), double precision."""
        where = counts.device
        # scipy has the distribution function; some devices have no double precision
        counts, log_mean, log_theta = (
            x.cpu().double() for x in (counts, self.log_mean, self.log_theta)
        )
        log_zero = NegativeBinomial(log_mean, log_theta).log_zero()
        counts, log_mean, log_theta, log_zero = torch.broadcast_tensors(
            counts, log_mean, log_theta, log_zero
        )
        below, probability = torch.zeros_like(counts), log_zero.exp()
        some = counts > 0  # which most are not
        k, own = counts[some], NegativeBinomial(log_mean[some], log_theta[some])
        probability[some] = own.log_prob(k).exp()
        p = torch.sigmoid(own.log_theta - own.log_mean)  # theta / (mu + theta)
        below[some] = torch.as_tensor(betainc(own.log_theta.exp().numpy(), k.numpy(), p.numpy()))
        if where.type == "mps":
            below, probability = below.float(), probability.float()
        return below.to(where), probability.to(where)

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, genes).

        With uniform numbers this draws counts (inversion), and the draw moves with the mean and
        the dispersion: a small change of the parameters changes few counts, by one.
        """
        if uniform.device.type == "mps":  # which has no double precision
            on_cpu = NegativeBinomial(self.log_mean.cpu(), self.log_theta.cpu())
            return on_cpu.quantile(uniform.cpu()).to(uniform)
        theta = self.log_theta.exp()
        odds = self.log_mean - self.log_theta
        log_zero = self.log_zero().expand_as(uniform)
        counts = torch.zeros_like(uniform)
        # most entries are zero; the others climb the distribution function in double precision
        cells, genes = torch.nonzero(uniform >= log_zero.exp(), as_tuple=True)
        u = uniform[cells, genes].double()
        log_pmf = log_zero[cells, genes].double()
        size = theta.expand_as(uniform)[cells, genes].double()
        log_p = -F.softplus(-odds[cells, genes].double())
        cdf = log_pmf.exp()
        k, top = 0, _CLIMB if uniform.device.type == "cpu" else _CLIMB_ELSEWHERE
        while len(u) and k < top:
            log_pmf = log_pmf + log_p + torch.log((k + size) / (k + 1))
            k += 1
            cdf = cdf + log_pmf.exp()
            counts[cells, genes] = k
            # past the mode a vanishing term can no longer move the sum: stop rounding from looping
            climbing = (u >= cdf) & ((log_pmf > -50) | (cdf < 0.5))
            cells, genes, u = cells[climbing], genes[climbing], u[climbing]
            log_pmf, size, log_p, cdf = (v[climbing] for v in (log_pmf, size, log_p, cdf))
        if len(u):  # the counts beyond are found by bisection
            log_odds = odds.expand_as(uniform)[cells, genes].double()
            p = torch.sigmoid(-log_odds)  # theta / (mu + theta)
            far = nbinom.ppf(u.cpu(), size.cpu(), p.cpu())
            counts[cells, genes] = torch.as_tensor(far).to(counts)
        return counts


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    r"""Zero with probability :math:`\pi`, otherwise negative binomial counts.

    Parameters
    ----------
    log_mean
        Logarithm of the mean :math:`\mu` of the negative binomial; the mean of all counts is
        :math:`(1 - \pi) \mu`.
    log_theta
        Logarithm of its inverse dispersion, broadcastable to (cells, genes).
    logit
        :math:`\log \pi / (1 - \pi)`, (cells, genes).

    Examples
    --------
    >>> log_mean, log_theta, logit = torch.zeros(3, 32, 100)  # pi is 0.5
    >>> zinb = scdit.codec.ZeroInflatedNegativeBinomial(log_mean, log_theta, logit)
    >>> counts = zinb.quantile(torch.rand(32, 100))  # a draw
    >>> counts.mean(), zinb.mean().mean()  # about 0.5 and 0.5
    """

    logit: Tensor

    @property
    def counted(self) -> NegativeBinomial:
        """Distribution where a count is not one of the extra zeros."""
        return NegativeBinomial(self.log_mean, self.log_theta)

    def of_genes(self, genes: Tensor) -> ZeroInflatedNegativeBinomial:
        """Distribution of the counts of some genes, given their indices; one column per gene."""
        part = self.counted.of_genes(genes)
        return ZeroInflatedNegativeBinomial(part.log_mean, part.log_theta, self.logit[:, genes])

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, genes), the same shape."""
        log_prob = self.counted.log_prob(counts)
        zero = torch.logaddexp(self.logit, log_prob)
        return torch.where(counts == 0, zero, log_prob) - F.softplus(self.logit)

    def mean(self) -> Tensor:
        """Expected counts, extra zeros included, (cells, genes)."""
        # log (1 - pi) = -softplus: of the logarithms, so that a large logit does not overflow
        return (self.log_mean - F.softplus(self.logit)).exp()

    def log_zero(self) -> Tensor:
        """Log probability of no count."""
        return torch.logaddexp(self.logit, self.counted.log_zero()) - F.softplus(self.logit)

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, genes), double precision."""
        below, probability = self.counted.interval(counts)
        extra = torch.sigmoid(self.logit.to(below))
        zero = counts == 0
        below = torch.where(zero, 0.0, extra + (1 - extra) * below)
        return below, (1 - extra) * probability + extra * zero

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, genes)."""
        extra = torch.sigmoid(self.logit)
        # of a number that is left when those of the extra zeros are taken out, (0, 1) again
        rest = ((uniform - extra) / (1 - extra)).clamp(_SMALLEST, 1 - _SMALLEST)
        return torch.where(uniform < extra, 0.0, self.counted.quantile(rest))
