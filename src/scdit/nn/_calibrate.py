"""Calibration of each gene's marginal distribution over generated cells.

A decoder trained cell by cell is right on average for the cells it reconstructs, but the mixture of
its distributions over all latents can still be too wide or too narrow for a gene. Each gene gets
two numbers, a shift of its log mean and one of its log dispersion, that maximise the likelihood of
the *mixture* for the gene's training counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MAX_STEP_MEAN, _MAX_STEP_THETA = 0.3, 0.5
_N_ITERATIONS = 6  # Newton steps
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
    """Mixtures of negative binomials, one for each gene.

    Attributes
    ----------
    log_mean, log_theta
        Of the components, (genes, M).
    log_weight
        Logarithm of their shares, (M,).
    """

    log_mean: Tensor
    log_theta: Tensor
    log_weight: Tensor

    @classmethod
    def of_cells(cls, log_mean: Tensor, log_theta: Tensor) -> Mixture:
        """Mixture over cells, (cells, genes) each, in up to 100 components that keep its mean.

        A component stands for cells whose means are next to each other. A sample of as many cells
        would have a mean that is off by chance, and the fit would take that out of the gene.
        """
        ends = (_ENDS * len(log_mean)).round().long().unique()
        size = ends.diff()
        log_mean, order = log_mean.T.sort(dim=1)
        log_theta = log_theta.T.gather(1, order)
        component = torch.repeat_interleave(torch.arange(len(size)), size)
        means, thetas = torch.zeros(2, len(log_mean), len(size))
        means.index_add_(1, component, log_mean.exp())
        thetas.index_add_(1, component, log_theta)
        return cls((means / size).log(), thetas / size, (size / size.sum()).log())


def fit_marginals(
    mixture: Mixture, counts: Tensor, weights: Tensor, *, prior: float = 1e-3
) -> tuple[Tensor, Tensor]:
    r"""Shifts of log mean and log dispersion per gene, each (genes,).

    Maximises :math:`\sum_k f_k \log \sum_m w_m NB(k; \mu_m e^a, \theta_m e^b)` minus a weak
    Gaussian prior, by damped Newton steps with the outer product of the scores as Hessian.

    Parameters
    ----------
    mixture
        The decoder's output for generated states.
    counts, weights
        The training histogram of each gene: counts and their frequencies f, (genes, n_nodes).
    prior
        Precision of the prior, relative to one cell.
    """
    genes, n_nodes = counts.shape
    shift_mean, shift_theta = torch.zeros(genes), torch.zeros(genes)
    for _ in range(_N_ITERATIONS):
        t = mixture.log_theta + shift_theta[:, None]
        odds, theta = mixture.log_mean + shift_mean[:, None] - t, t.exp()
        softplus, share = F.softplus(odds), torch.sigmoid(odds)
        lgamma, digamma = torch.lgamma(theta), torch.digamma(theta)
        score_mean, score_theta = torch.empty_like(counts), torch.empty_like(counts)
        for j in range(n_nodes):
            k = counts[:, j : j + 1]
            log_p = torch.lgamma(k + theta) - lgamma + k * (odds - softplus) - theta * softplus
            part = torch.softmax(
                log_p + mixture.log_weight, dim=1
            )  # of each component in this count, (genes, M)
            pull = k * (1 - share)
            d_theta = theta * (torch.digamma(k + theta) - digamma - softplus + share) - pull
            score_mean[:, j] = (part * (pull - theta * share)).sum(1)
            score_theta[:, j] = (part * d_theta).sum(1)
        g_mean = (weights * score_mean).sum(1) - prior * shift_mean
        g_theta = (weights * score_theta).sum(1) - prior * shift_theta
        h_mean = (weights * score_mean**2).sum(1) + prior + 1e-6
        h_theta = (weights * score_theta**2).sum(1) + prior + 1e-6
        h_both = (weights * score_mean * score_theta).sum(1)
        determinant = (h_mean * h_theta - h_both**2).clamp_min(1e-12)
        step_mean = (h_theta * g_mean - h_both * g_theta) / determinant
        step_theta = (h_mean * g_theta - h_both * g_mean) / determinant
        shift_mean += step_mean.clamp(-_MAX_STEP_MEAN, _MAX_STEP_MEAN)
        shift_theta += step_theta.clamp(-_MAX_STEP_THETA, _MAX_STEP_THETA)
        shift_mean.clamp_(-1, 1)
        shift_theta.clamp_(-2, 4)
    return shift_mean, shift_theta
