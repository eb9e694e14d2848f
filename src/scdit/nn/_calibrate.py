"""Calibration of each gene's marginal distribution over generated cells.

A decoder trained cell by cell is right on average for the cells it reconstructs, but the mixture of
its distributions over all latents can still be too wide or too narrow for a gene. Each gene gets
two numbers, a shift of its log mean and one of its log dispersion, that maximise the likelihood of
the *mixture* for the gene's training counts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MAX_STEP_MEAN, _MAX_STEP_THETA = 0.3, 0.5


def fit_marginals(
    log_mean: Tensor,
    log_theta: Tensor,
    counts: Tensor,
    weights: Tensor,
    *,
    n_iterations: int = 12,
    prior: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    r"""Shifts of log mean and log dispersion per gene, each (genes,).

    Maximises :math:`\sum_k w_k \log \frac{1}{M} \sum_m NB(k; \mu_m e^a, \theta_m e^b)` minus a weak
    Gaussian prior, by damped Newton steps with the outer product of the scores as Hessian.

    Parameters
    ----------
    log_mean, log_theta
        Of the mixture's components, (genes, M): the decoder's output for M generated states.
    counts, weights
        The training histogram of each gene: counts and their frequencies, (genes, n_nodes).
    n_iterations
        Newton steps.
    prior
        Precision of the prior, relative to one cell.
    """
    genes, n_nodes = counts.shape
    shift_mean, shift_theta = torch.zeros(genes), torch.zeros(genes)
    for _ in range(n_iterations):
        t = log_theta + shift_theta[:, None]
        odds, theta = log_mean + shift_mean[:, None] - t, t.exp()
        softplus, share = F.softplus(odds), torch.sigmoid(odds)
        lgamma, digamma = torch.lgamma(theta), torch.digamma(theta)
        score_mean, score_theta = torch.empty_like(counts), torch.empty_like(counts)
        for j in range(n_nodes):
            k = counts[:, j : j + 1]
            log_p = torch.lgamma(k + theta) - lgamma + k * (odds - softplus) - theta * softplus
            part = torch.softmax(log_p, dim=1)  # of each component in this count, (genes, M)
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
