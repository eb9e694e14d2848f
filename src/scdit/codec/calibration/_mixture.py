"""The counts of a gene in a group of cells: a mixture of what is decoded at each of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scdit.codec.likelihood import NegativeBinomial, ZeroInflatedNegativeBinomial

# shares of the cells at which a mixture's components begin; the largest means are few and matter
_ENDS = torch.cat(
    [
        torch.linspace(0, 0.9, 73)[:-1],
        torch.linspace(0.9, 0.99, 19)[:-1],
        torch.linspace(0.99, 1, 11),
    ]
)


@dataclass(frozen=True)
class Mixture:
    """Mixtures of zero-inflated negative binomials, one for each gene.

    Attributes
    ----------
    log_mean, log_theta, logit
        Of the components, (genes, M): of the negative binomial, and of the extra zeros; the logit
        is minus infinity where there are none.
    log_weight
        Logarithm of their shares, (M,).
    """

    log_mean: Tensor
    log_theta: Tensor
    logit: Tensor
    log_weight: Tensor

    @classmethod
    def of_cells(cls, cells: NegativeBinomial) -> Mixture:
        """Mixture over cells (cells, genes), in up to 100 components that keep its mean.

        A component stands for cells whose means are next to each other. A sample of as many cells
        would have a mean that is off by chance, and the fit would take that out of the gene.
        """
        ends = (_ENDS * len(cells.log_mean)).round().long().unique()
        size = ends.diff()
        log_mean, order = cells.log_mean.T.cpu().sort(dim=1)
        component = torch.repeat_interleave(torch.arange(len(size)), size)

        def average(values: Tensor) -> Tensor:
            return torch.zeros(len(values), len(size)).index_add_(1, component, values) / size

        extra = torch.zeros_like(log_mean)
        if isinstance(cells, ZeroInflatedNegativeBinomial):
            extra = torch.sigmoid(cells.logit).T.cpu().gather(1, order)
        return cls(
            average(log_mean.exp()).log(),
            average(cells.log_theta.T.cpu().gather(1, order)),
            torch.logit(average(extra)),
            (size / size.sum()).log(),
        )
