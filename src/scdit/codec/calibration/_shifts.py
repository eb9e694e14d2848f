"""Calibration of each gene's marginal distribution over generated cells.

A decoder trained cell by cell is right on average for the cells it reconstructs, but the mixture of
its distributions over all latents can still be too wide or too narrow for a gene. Each gene gets
shifts of its log mean, of its log dispersion and of the logit of its extra zeros, that maximise the
likelihood of the *mixture* for the gene's training counts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scdit.codec.calibration._mixture import Mixture

# of log mean, log dispersion and logit of extra zeros: the largest step, and the range of the shift
_MAX_STEP = 0.3, 0.5, 0.3
_RANGE = (-1.0, 1.0), (-2.0, 4.0), (-1.0, 1.0)
_N_ITERATIONS = 6  # Newton steps


def fit_shifts(
    mixture: Mixture, counts: Tensor, weights: Tensor, *, prior: float = 1e-3
) -> Tensor:
    r"""Shifts of log mean, log dispersion and logit of the extra zeros per gene, (3, genes).

    Maximises :math:`\sum_k f_k \log \sum_m w_m ZINB(k; \mu_m e^a, \theta_m e^b, l_m + c)` minus a weak
    Gaussian prior, by damped Newton steps with the outer product of the scores as Hessian. The mean
    that is shifted by a is that of all counts: with more extra zeros, the others are larger.

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
    shifts = torch.zeros(3, genes)
    low, high = torch.tensor(_RANGE).T[:, :, None]
    largest = torch.tensor(_MAX_STEP)[:, None]
    total_mean = mixture.log_mean - F.softplus(mixture.logit)
    for _ in range(_N_ITERATIONS):
        a, b, c = shifts[:, :, None]
        t, logit = mixture.log_theta + b, mixture.logit + c
        spread, extra = F.softplus(logit), torch.sigmoid(logit)
        odds, theta = total_mean + a + spread - t, t.exp()
        softplus, share = F.softplus(odds), torch.sigmoid(odds)
        lgamma, digamma = torch.lgamma(theta), torch.digamma(theta)
        scores = torch.empty(3, genes, n_nodes)
        for j in range(n_nodes):
            k = counts[:, j : j + 1]
            log_p = torch.lgamma(k + theta) - lgamma + k * (odds - softplus) - theta * softplus
            # probability that a count is of the negative binomial: below one for a zero
            counted, zero = torch.ones(()), k == 0
            if zero.any():
                log_zero = torch.logaddexp(logit, log_p)
                counted = torch.where(zero, (log_p - log_zero).exp(), 1.0)
                log_p = torch.where(zero, log_zero, log_p)
            # share of each component in this count, (genes, M)
            part = torch.softmax(log_p - spread + mixture.log_weight, dim=1)
            pull = k * (1 - share)
            d_mean = counted * (pull - theta * share)
            d_theta = theta * (torch.digamma(k + theta) - digamma - softplus + share) - pull
            d_logit = 1 - counted - extra + extra * d_mean
            for score, d in zip(scores, (d_mean, counted * d_theta, d_logit), strict=True):
                score[:, j] = (part * d).sum(1)
        gradient = (weights * scores).sum(2) - prior * shifts
        hessian = torch.einsum("gk,agk,bgk->gab", weights, scores, scores)
        hessian = hessian + (prior + 1e-6) * torch.eye(3)
        step = torch.linalg.solve(hessian, gradient.T).T
        shifts = (shifts + step.clamp(-largest, largest)).clamp(low, high)
    return shifts
