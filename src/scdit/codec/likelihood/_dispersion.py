"""How much the counts of a gene vary beyond chance, in each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from scdit.codec._weight_prior import WeightPrior

_RANK = 8  # of the dependence on the cell
_FAR = 5.0  # log units of a proportion beyond which the dispersion follows it no further
# precisions of the Gaussian priors, in cells
_PRIOR_THETA, _PRIOR_CELL = 0.25, 30.0


class Dispersion(nn.Module):
    r"""Inverse dispersion :math:`\theta` of each gene, and how it depends on the cell.

    .. math:: \log \theta_{cg} = \log \theta_g + a (\log p_{cg} - \log p_g) + u_g \cdot h_c

    with proportions :math:`p` of gene g among the counts of cell c and of all cells, and eight
    features :math:`h_c` of the cell. The exponent :math:`a` is 0 where expression changes with the
    size of bursts, and 1 where it changes with their number: counts of a gene that bursts
    :math:`\theta` times have a negative binomial distribution (Raj et al. 2006), and it is mostly
    the number that differs between kinds of cells (Larsson et al. 2019).

    Parameters
    ----------
    n_genes
        Number of genes.
    n_features
        Dimensions of what is known of a cell.
    per
        ``"gene-cell"``: as above, ``"gene"``: :math:`\theta_g` alone.

    Raises
    ------
    ValueError
        If `per` is unknown.
    """

    trend: Tensor
    log_proportions: Tensor

    def __init__(
        self, n_genes: int, n_features: int, per: Literal["gene-cell", "gene"] = "gene-cell"
    ):
        super().__init__()
        if per not in ("gene-cell", "gene"):
            raise ValueError(f"unknown dispersion {per!r}: choose 'gene-cell' or 'gene'")
        self.per = per
        self.log_theta = nn.Parameter(torch.zeros(n_genes))
        self.register_buffer("trend", torch.zeros(n_genes))
        if per == "gene-cell":
            self.exponent = nn.Parameter(torch.zeros(()))
            self.register_buffer("log_proportions", torch.zeros(n_genes))
            self.features = nn.Linear(n_features, min(_RANK, n_genes))
            self.loadings = nn.Linear(min(_RANK, n_genes), n_genes, bias=False)

    @torch.no_grad()
    def initialise(self, start: Mapping[str, Tensor]) -> None:
        """Start from ``log_theta``, ``log_theta_trend`` and ``log_proportions``, each (genes,)."""
        self.log_theta.copy_(start["log_theta"])
        self.trend.copy_(start["log_theta_trend"])
        if self.per == "gene-cell":
            self.log_proportions.copy_(start["log_proportions"])
            nn.init.zeros_(self.loadings.weight)

    def forward(self, log_proportions: Tensor, known: Tensor) -> Tensor:
        """Logarithm of theta given log proportions (cells, genes) and features of the cells."""
        if self.per == "gene":
            return self.log_theta.expand_as(log_proportions)
        # few passes over what has the size of the counts: memory costs more time than arithmetic
        change = (log_proportions - self.log_proportions).clamp(-_FAR, _FAR)
        cell = torch.addmm(self.log_theta, self.features(known), self.loadings.weight.T)
        return torch.addcmul(cell, self.exponent, change)

    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are no weights of a layer, which learn faster."""
        return list(self.parameters(recurse=False))

    def priors(self) -> Iterator[WeightPrior]:
        """Priors of the weights."""
        yield WeightPrior(self.log_theta, _PRIOR_THETA, self.trend)
        if self.per == "gene-cell":
            yield WeightPrior(self.loadings.weight, _PRIOR_CELL)
            # one exponent per gene, all the same
            yield WeightPrior(self.exponent, _PRIOR_CELL * len(self.log_theta))
