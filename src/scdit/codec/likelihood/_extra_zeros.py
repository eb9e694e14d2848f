"""How often a gene is not detected although it is expressed, in each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from scdit.codec._weight_prior import WeightPrior

_FAR = 5.0  # log units of a proportion beyond which the extra zeros follow it no further
_FAR_STATE = 8.0  # standard deviations of a state
_LARGEST = 12.0  # logit
# precisions of the Gaussian priors, in cells
_PRIOR_LOGIT, _PRIOR_CELL = 0.25, 100.0


class ExtraZeros(nn.Module):
    r"""Probability :math:`\pi` that a gene has no count whatever its mean, and how it depends on the cell.

    .. math:: \operatorname{logit} \pi_{cg} = b_g - a (\log p_{cg} - \log p_g) + w_g \cdot s_c

    with proportions :math:`p` of gene g among the counts of cell c and of all cells, and the cell's
    state :math:`s_c`. Where reads are counted, a gene is absent if none of its molecules was caught,
    and has dozens of reads otherwise: that is likelier the more molecules there are, so that the
    exponent :math:`a` starts at 1.

    Parameters
    ----------
    n_genes, n_state
        Number of genes, and dimensions of the state.
    """

    start: Tensor
    log_proportions: Tensor

    def __init__(self, n_genes: int, n_state: int):
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(n_genes))
        self.exponent = nn.Parameter(torch.ones(()))
        self.linear = nn.Linear(n_state, n_genes, bias=False)
        self.register_buffer("start", torch.zeros(n_genes))
        self.register_buffer("log_proportions", torch.zeros(n_genes))

    @torch.no_grad()
    def initialise(self, start: Mapping[str, Tensor]) -> None:
        """Start from ``extra_zeros`` (logits) and ``log_proportions``, each (genes,)."""
        self.start.copy_(start["extra_zeros"])
        self.logit.copy_(self.start)
        self.log_proportions.copy_(start["log_proportions"])
        nn.init.zeros_(self.linear.weight)

    def forward(self, log_proportions: Tensor, state: Tensor) -> Tensor:
        """Logits (cells, genes) given log proportions (cells, genes) and states (cells, n_state)."""
        change = (log_proportions - self.log_proportions).clamp(-_FAR, _FAR)
        seen = state.clamp(-_FAR_STATE, _FAR_STATE)
        logit = self.logit - self.exponent * change + self.linear(seen)
        return logit.clamp(-_LARGEST, _LARGEST)

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        return list(self.parameters(recurse=False))

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the weights."""
        yield WeightPrior(self.logit, _PRIOR_LOGIT, self.start)
        yield WeightPrior(self.linear.weight, _PRIOR_CELL)
