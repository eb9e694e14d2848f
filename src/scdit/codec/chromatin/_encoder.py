"""What the fragments of a cell tell of its latent variables."""

from __future__ import annotations

import torch
from torch import Tensor

from scdit.codec._encoder import CountEncoder


class PeakEncoder(CountEncoder):
    r"""Components of TF-IDF and the total -> a Gaussian over the latent variables.

    Counts k of peak i become :math:`\log(1 + k w_i M / L)`, with the cell's total L, its median M and
    :math:`w_i = \log(1 + n / (1 + n_i))` for a peak that is open in :math:`n_i` of n cells: latent
    semantic indexing (Cusanovich et al. 2015). In sparse data the first components are the total;
    its straight line is taken out of all.

    Parameters
    ----------
    n_features, n_latent, n_hidden, dropout_rate
        As those of ``CountEncoder``.
    """

    weight: Tensor
    slope: Tensor
    log_total: Tensor

    def __init__(self, n_features: int, n_latent: int, n_hidden: int, dropout_rate: float = 0.0):
        super().__init__(n_features, n_latent, n_hidden, dropout_rate)
        self.register_buffer("weight", torch.ones(n_features))
        self.register_buffer("slope", torch.zeros(self.n_pcs))
        self.register_buffer("log_total", torch.zeros(()))

    def components(self, counts: Tensor) -> Tensor:
        """Scores (cells, n_pcs) of the components, of about unit variance, of counts (cells, peaks)."""
        total = counts.sum(1, keepdim=True).clamp_min(1)
        logs = (counts * (self.target / total)).mul_(self.weight).log1p_()
        scores = logs @ self.pc_loadings - self.pc_mean @ self.pc_loadings
        return (scores - (total.log() - self.log_total) * self.slope) / self.pc_sd
