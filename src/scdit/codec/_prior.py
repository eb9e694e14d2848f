"""What the conditions of a cell say of its latent variables before its counts are seen."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from scdit.nn import ConditionTerms

_LOG_SD = (-3.0, 1.0)


class ConditionPrior(ConditionTerms):
    r"""Gaussian prior of the latent variables given conditions, :math:`N(m_c, \mathrm{diag}(s_c^2))`.

    Counts rarely settle where a cell lies, and states drawn from all that they allow blur the
    borders between labels. With the conditions in the prior, as in a conditional variational
    autoencoder (Sohn et al. 2015), the states of a label's cells are states of that label.

    Means and log standard deviations are :class:`scdit.nn.ConditionTerms`, and begin at N(0, I).

    Parameters
    ----------
    n_categories
        Number of categories of each condition, by name; ``CONTINUOUS`` for a number.
    n_latent
        Dimension of the latent space.

    Examples
    --------
    >>> prior = scdit.codec.ConditionPrior({"cell_type": 8}, n_latent=16)
    >>> mean, sd = prior({"cell_type": torch.randint(8, (32,))}, n_cells=32)  # each (32, 16)
    """

    def __init__(self, n_categories: Mapping[str, int], n_latent: int):
        super().__init__(n_categories, 2 * n_latent)

    def forward(self, codes: Mapping[str, Tensor] | None, n_cells: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (cells, n_latent); see :meth:`scdit.nn.ConditionTerms.total`."""
        mean, log_sd = self.total(codes, n_cells).chunk(2, dim=1)
        return mean, log_sd.clamp(*_LOG_SD).exp()


def product(
    mean: Tensor, sd: Tensor, other_mean: Tensor, other_sd: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the product of two Gaussians, the second of them evidence."""
    weight = sd**2 / (sd**2 + other_sd**2)  # of the evidence
    return mean + weight * (other_mean - mean), weight.sqrt() * other_sd
