"""What the conditions of a cell say of its latent variables before its counts are seen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scdit.nn._embedding import CONTINUOUS

_LOG_SD = (-3.0, 1.0)


class ConditionPrior(nn.Module):
    r"""Gaussian prior of the latent variables given conditions, :math:`N(m_c, \mathrm{diag}(s_c^2))`.

    Counts rarely settle where a cell lies, and states drawn from all that they allow blur the
    borders between labels. With the conditions in the prior, as in a conditional variational
    autoencoder (Sohn et al. 2015), the states of a label's cells are states of that label.

    Means and log standard deviations are sums of one term per condition, so that combinations that
    were never seen have a prior as well: a vector per category, a slope for a number, and a vector
    for a condition that is not known. All begin at zero, which is N(0, I).

    Parameters
    ----------
    n_categories
        Number of categories of each condition, by name; :data:`CONTINUOUS` for a number.
    n_latent
        Dimension of the latent space.
    """

    origin: Tensor

    def __init__(self, n_categories: Mapping[str, int], n_latent: int):
        super().__init__()
        self.n_categories = dict(n_categories)
        # the last row is that of a condition that is not known: the code DROPPED, -1, finds it
        self.terms = nn.ParameterList(
            torch.zeros((1 if n == CONTINUOUS else n) + 1, 2 * n_latent)
            for n in n_categories.values()
        )
        self.register_buffer("origin", torch.zeros(2 * n_latent), persistent=False)

    def forward(self, codes: Mapping[str, Tensor] | None, n_cells: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (cells, n_latent).

        Parameters
        ----------
        codes
            Codes (cells,) of each condition: integers, -1 where it is not known, or float values,
            NaN where they are not known. None where no condition of any cell is known.
        n_cells
            Number of cells.
        """
        total = self.origin.expand(n_cells, -1)
        for (name, n), term in zip(self.n_categories.items(), self.terms, strict=True):
            if codes is None:
                total = total + term[-1]
            elif n == CONTINUOUS:
                value = codes[name][:, None]
                total = total + torch.where(value.isnan(), term[1], value.nan_to_num() * term[0])
            else:
                total = total + term[codes[name]]
        mean, log_sd = total.chunk(2, dim=1)
        return mean, log_sd.clamp(*_LOG_SD).exp()
