"""The negative binomial distribution of counts: its likelihood and draws that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.special import betainc
from scipy.stats import nbinom
from torch import Tensor
from torch.nn import functional as F

# counts up to here, on the processor and elsewhere, are found by summing the distribution, which is
# fastest for small ones; what is left has to go through the processor
_CLIMB, _CLIMB_ELSEWHERE = 8, 500


@dataclass(frozen=True)
class NegativeBinomial:
    r"""Counts with mean :math:`\mu` and variance :math:`\mu + \mu^2 / \theta`, one per entry.

    Parameters
    ----------
    log_mean
        Logarithm of the mean, (cells, genes).
    log_theta
        Logarithm of the inverse dispersion, broadcastable to (cells, genes).
    """

    log_mean: Tensor
    log_theta: Tensor

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

    def _log_zero(self) -> Tensor:
        """Log probability of no count."""
        return -self.log_theta.exp() * F.softplus(self.log_mean - self.log_theta)

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, genes), double precision."""
        where = counts.device
        # scipy has the distribution function; some devices have no double precision
        counts, log_mean, log_theta = (
            x.cpu().double() for x in (counts, self.log_mean, self.log_theta)
        )
        log_zero = NegativeBinomial(log_mean, log_theta)._log_zero()
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
            return on_cpu.quantile(uniform.cpu())
        theta = self.log_theta.exp()
        odds = self.log_mean - self.log_theta
        log_zero = self._log_zero().expand_as(uniform)
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
