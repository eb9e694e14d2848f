"""The path from data to noise: x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 data and t = 1 noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coefficients:
    """A schedule at given times; every field has the shape of these times.

    Parameters
    ----------
    alpha
        Weight of the data in ``x_t``.
    sigma
        Weight of the noise in ``x_t``.
    d_alpha
        Derivative of alpha with respect to ``t``.
    d_sigma
        Derivative of sigma with respect to ``t``.
    v_x0
        Weight of the data in the velocity ``v`` that a v-prediction network learns: ``-sigma`` on
        variance-preserving schedules (Salimans & Ho 2022, arXiv 2202.00512), ``d_alpha`` on the
        linear path (Lipman et al. 2023, arXiv 2210.02747).
    v_eps
        Weight of the noise in it: ``alpha`` on variance-preserving schedules, ``d_sigma`` on the
        linear path.

    Examples
    --------
    >>> x0, eps = torch.randn(2, 32, 16)
    >>> c = scdit.diffusion.SCHEDULES["cosine"](torch.rand(32)).to(x0)
    >>> x_t = c.alpha * x0 + c.sigma * eps
    """

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor
    v_x0: Tensor
    v_eps: Tensor

    def to(self, like: Tensor) -> Coefficients:
        """The same coefficients in the dtype and on the device of `like`, as (cells, 1) columns."""
        return Coefficients(
            *(
                getattr(self, name).to(like.dtype).to(like.device).reshape(-1, 1)
                for name in self.__dataclass_fields__
            )
        )


@dataclass(frozen=True)
class Schedule:
    """A named noise schedule.

    Parameters
    ----------
    name
        Key of ``SCHEDULES``.
    alpha_sigma
        Maps times in [0, 1], any shape, to ``alpha, sigma, d_alpha, d_sigma`` of that shape.
    variance_preserving
        Whether ``alpha**2 + sigma**2 == 1``.
    n_discrete
        Number of steps of a discrete schedule, whose times are multiples of ``1 / n_discrete``;
        None for a continuous one.

    Examples
    --------
    >>> schedule = scdit.diffusion.SCHEDULES["cosine"]
    >>> schedule(torch.tensor(0.5)).alpha
    """

    name: str
    alpha_sigma: Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
    variance_preserving: bool
    n_discrete: int | None = None

    def __call__(self, t: Tensor) -> Coefficients:
        """Coefficients at times `t` in [0, 1], in float64 precision if `t` is float64."""
        alpha, sigma, d_alpha, d_sigma = self.alpha_sigma(t)
        v_x0, v_eps = (-sigma, alpha) if self.variance_preserving else (d_alpha, d_sigma)
        return Coefficients(alpha, sigma, d_alpha, d_sigma, v_x0, v_eps)


def _cosine(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    angle = t * (math.pi / 2)
    alpha, sigma = torch.cos(angle), torch.sin(angle)
    return alpha, sigma, -sigma * (math.pi / 2), alpha * (math.pi / 2)


def _linear(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return 1 - t, t, -torch.ones_like(t), torch.ones_like(t)


def _linear_beta(
    n_steps: int, beta_start: float, beta_end: float
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Ho et al. 2020 (arXiv 2006.11239): alpha(i / T)^2 = prod_{j <= i} (1 - beta_j).

    Between the T steps the logarithm of alpha is interpolated linearly.
    """
    beta = torch.linspace(beta_start, beta_end, n_steps, dtype=torch.float64)
    log_alpha = torch.cat(
        [torch.zeros(1, dtype=torch.float64), 0.5 * torch.log1p(-beta).cumsum(0)]
    )

    def alpha_sigma(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        position = t.double().cpu() * n_steps
        left = position.floor().long().clamp(0, n_steps - 1)
        slope = log_alpha[left + 1] - log_alpha[left]
        log_a = log_alpha[left] + (position - left) * slope
        alpha = log_a.exp()
        # -expm1 keeps sigma exact where alpha is close to one; sigma' = -alpha alpha' / sigma
        sigma = torch.sqrt(-torch.expm1(2 * log_a))
        d_alpha = alpha * slope * n_steps
        d_sigma = -alpha * d_alpha / sigma.clamp_min(1e-12)
        return tuple(c.to(t) for c in (alpha, sigma, d_alpha, d_sigma))  # type: ignore[return-value]

    return alpha_sigma


SCHEDULES: dict[str, Schedule] = {
    "cosine": Schedule("cosine", _cosine, variance_preserving=True),
    "linear": Schedule("linear", _linear, variance_preserving=False),
    "ddpm": Schedule(
        "ddpm", _linear_beta(1000, 1e-4, 0.02), variance_preserving=True, n_discrete=1000
    ),
}
"""Name -> schedule. ``cosine``: alpha = cos(pi t / 2); ``linear``: the straight path of flow matching;
``ddpm``: 1,000 steps of beta from 1e-4 to 0.02, as in the DDPM and scRDiT papers."""
