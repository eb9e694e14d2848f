"""Negative-binomial likelihoods of whole cells, with the costly functions at non-zeros only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scdit.codec.likelihood._negative_binomial import NegativeBinomial


class _CellLikelihood(torch.autograd.Function):
    """Closed-form gradients, so that nothing of size (cells, genes) is kept but two of them.

    With d = log(mu / theta): ``-log p = theta softplus(d)`` at zeros; at a count x > 0 it also has
    ``-(lgamma(x + theta) - lgamma(theta) - lgamma(x + 1) + x (d - softplus(d)))``.
    """

    @staticmethod
    def forward(ctx, log_mean: Tensor, log_theta: Tensor, counts: Tensor) -> Tensor:
        odds, theta = log_mean - log_theta, log_theta.exp()
        softplus, share = F.softplus(odds), torch.sigmoid(odds)
        (where,) = torch.nonzero(counts.flatten(), as_tuple=True)  # n_genes * cell + gene
        x, d, th, soft, s = (
            v.flatten().index_select(0, where) for v in (counts, odds, theta, softplus, share)
        )
        # in place from here on: memory costs more time than arithmetic
        zero_part, grad_mean = softplus.mul_(theta), share.mul_(theta)
        loss = zero_part.sum(1)
        grad_theta = zero_part.sub_(grad_mean)

        log_prob = torch.lgamma(x + th) - torch.lgamma(th) - torch.lgamma(x + 1) + x * (d - soft)
        loss.index_add_(0, where // counts.shape[1], log_prob, alpha=-1)
        pull = x * (1 - s)
        grad_mean.view(-1).index_add_(0, where, pull, alpha=-1)
        slope = th * (torch.digamma(x + th) - torch.digamma(th)) - pull
        grad_theta.view(-1).index_add_(0, where, slope, alpha=-1)
        ctx.save_for_backward(grad_mean, grad_theta)
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_mean, grad_theta = ctx.saved_tensors
        return grad_mean * grad[:, None], grad_theta * grad[:, None], None


def cell_negative_log_likelihood(
    log_mean: Tensor, log_theta: Tensor, counts: Tensor, logit: Tensor | None = None
) -> Tensor:
    """Negative log likelihood of the counts of each cell, summed over genes, (cells,).

    Parameters
    ----------
    log_mean, log_theta
        Logarithms of mean and inverse dispersion, (cells, genes).
    counts
        Counts (cells, genes), mostly zero.
    logit
        Logits of the probability of an extra zero, (cells, genes); None where there are none.
    """
    dtype = torch.promote_types(log_mean.dtype, torch.float32)  # never in half precision
    log_mean, log_theta = log_mean.to(dtype), log_theta.to(dtype).expand_as(log_mean)
    loss = _CellLikelihood.apply(log_mean, log_theta, counts.to(dtype))
    if logit is None:
        return loss
    logit, log_zero = logit.to(dtype), NegativeBinomial(log_mean, log_theta).log_zero()
    gain = torch.logaddexp(logit, log_zero) - log_zero  # of a zero
    return loss + (F.softplus(logit) - gain * (counts == 0)).sum(1)
