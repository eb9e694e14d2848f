"""Counts of proteins: a foreground above a background, each negative binomial."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from scdit.codec.likelihood._negative_binomial import NegativeBinomial


@dataclass(frozen=True)
class ForegroundBackground:
    r"""A mixture of two negative binomials (totalVI: Gayoso et al. 2021), one per entry.

    Antibodies that bind nothing or the wrong cell give a background of counts, with probability
    :math:`\pi`; those that bind their protein give the others.

    Parameters
    ----------
    foreground, background
        The two distributions, each (cells, proteins).
    logit
        :math:`\log \pi / (1 - \pi)` of the background, (cells, proteins).
    """

    foreground: NegativeBinomial
    background: NegativeBinomial
    logit: Tensor

    def of_genes(self, genes: Tensor) -> ForegroundBackground:
        """Distribution of the counts of some proteins, given their indices; one column each."""
        return ForegroundBackground(
            self.foreground.of_genes(genes), self.background.of_genes(genes), self.logit[:, genes]
        )

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log probability of `counts` (cells, proteins), the same shape."""
        return torch.logaddexp(
            self.foreground.log_prob(counts) + F.logsigmoid(-self.logit),
            self.background.log_prob(counts) + F.logsigmoid(self.logit),
        )

    def log_mean(self) -> Tensor:
        """Logarithm of the expected counts, (cells, proteins)."""
        return torch.logaddexp(
            self.foreground.log_mean + F.logsigmoid(-self.logit),
            self.background.log_mean + F.logsigmoid(self.logit),
        )

    def mean(self) -> Tensor:
        """Expected counts, (cells, proteins)."""
        return self.log_mean().exp()

    def interval(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of fewer than `counts` and that of `counts`, (cells, proteins), double precision."""
        parts = zip(
            self.foreground.interval(counts), self.background.interval(counts), strict=True
        )
        below, probability = (torch.lerp(f, b, torch.sigmoid(self.logit.to(f))) for f, b in parts)
        return below, probability

    def quantile(self, uniform: Tensor) -> Tensor:
        """Smallest count whose distribution function exceeds `uniform`, float32 (cells, proteins).

        It lies between the quantiles of the two, and is found there by bisection.
        """
        own = self.foreground.quantile(uniform), self.background.quantile(uniform)
        low, high = torch.minimum(*own), torch.maximum(*own)
        while len(at := torch.nonzero(low < high)):
            cells, proteins = at.unbind(1)
            middle = torch.floor((low[cells, proteins] + high[cells, proteins]) / 2)
            below, probability = self._entries(cells, proteins).interval(middle[:, None])
            reached = (below + probability)[:, 0] > uniform[cells, proteins].to(below)
            high[cells[reached], proteins[reached]] = middle[reached]
            low[cells[~reached], proteins[~reached]] = middle[~reached] + 1
        return high

    def _entries(self, cells: Tensor, proteins: Tensor) -> ForegroundBackground:
        """Distribution of single entries, (n, 1)."""

        def pick(values: Tensor) -> Tensor:
            return values.expand_as(self.logit)[cells, proteins][:, None]

        def entries(part: NegativeBinomial) -> NegativeBinomial:
            return NegativeBinomial(pick(part.log_mean), pick(part.log_theta))

        return ForegroundBackground(
            entries(self.foreground), entries(self.background), pick(self.logit)
        )
