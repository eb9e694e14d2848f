"""The denoiser of values that are either a zero or drawn around a mean, given a network's hints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from scdit.diffusion import Coefficients, target

_MIN_SD = 0.05


class ZeroInflatedHead(nn.Module):
    r"""Closed-form estimate of zero-inflated data, whose parameters a network shifts.

    In a cell, a gene is *on* with probability :math:`p` and its value then is
    :math:`N(m, s^2)`; otherwise the value is :math:`z`. Given
    :math:`x_t = \alpha x_0 + \sigma \epsilon` it is on with probability

    .. math:: w = \mathrm{sigmoid}\left(\mathrm{logit}\,p
        + \log \frac{N(x_t; \alpha m, \alpha^2 s^2 + \sigma^2)}{N(x_t; \alpha z, \sigma^2)}\right)

    and :math:`E[x_0 | x_t] = w\,E[x_0 | x_t, \mathrm{on}] + (1 - w) z`. The network sees this
    estimate for the marginals of the training cells and shifts logit p and m: it has to learn what
    genes tell of one another, not how a single gene is denoised, which for thousands of genes is
    more than a small network can hold.

    Parameters
    ----------
    n_state
        Number of genes.

    Examples
    --------
    >>> head, network = scdit.nn.ZeroInflatedHead(n_state=200), torch.nn.Linear(200, 400)
    >>> one = torch.ones(200)
    >>> head.set_marginals(zero=-one, mean=2 * one, sd=one, share=0.3 * one)
    >>> x_t, t = torch.randn(32, 200), 1 - torch.rand(32)  # times in (0, 1]
    >>> eps = head(network, "eps", x_t, scdit.diffusion.SCHEDULES["cosine"](t).to(x_t))
    """

    zero: Tensor
    mean: Tensor
    sd: Tensor
    logit: Tensor

    def __init__(self, n_state: int):
        super().__init__()
        for name in ("zero", "mean", "sd", "logit"):
            self.register_buffer(name, torch.zeros(n_state))

    @torch.no_grad()
    def set_marginals(self, zero: Tensor, mean: Tensor, sd: Tensor, share: Tensor) -> None:
        """Value of zeros, mean and sd of the other values, and their share, each (n_state,)."""
        self.zero.copy_(zero)
        self.mean.copy_(mean)
        self.sd.copy_(sd.clamp_min(_MIN_SD))
        self.logit.copy_(torch.logit(share, eps=1e-5))

    def forward(
        self, network: Callable[[Tensor], Tensor], prediction: str, x_t: Tensor, c: Coefficients
    ) -> Tensor:
        """Prediction (cells, n_state) of the given kind.

        Parameters
        ----------
        network
            Maps estimates (cells, n_state) to shifts (cells, 2 n_state): of logit p, and of m in
            units of s.
        prediction
            Key of ``PREDICTIONS``.
        x_t
            Noisy states (cells, n_state).
        c
            Coefficients at the cells' times, as (cells, 1) columns, or (1, 1) where all cells
            have one time; with sigma > 0.
        """
        shift_logit, shift_mean = network(self._estimate(x_t, c, 0.0, 0.0)).chunk(2, dim=1)
        x0 = self._estimate(x_t, c, shift_logit, shift_mean)
        return target(prediction, x0, (x_t - c.alpha * x0) / c.sigma, c)

    def _estimate(
        self, x_t: Tensor, c: Coefficients, shift_logit: Tensor | float, shift_mean: Tensor | float
    ) -> Tensor:
        mean = self.mean + shift_mean * self.sd
        variance = c.alpha**2 * self.sd**2 + c.sigma**2
        residual = x_t - c.alpha * mean
        log_ratio = 0.5 * (
            ((x_t - c.alpha * self.zero) / c.sigma) ** 2
            - residual**2 / variance
            + torch.log(c.sigma**2 / variance)
        )
        on = torch.sigmoid(self.logit + shift_logit + log_ratio)
        return on * (mean + c.alpha * self.sd**2 / variance * residual) + (1 - on) * self.zero
