"""Times at which samplers call the denoiser."""

from __future__ import annotations

import torch
from torch import Tensor

from scdit.diffusion._schedule import Schedule

SPACINGS = ("uniform", "power", "quadratic", "logsnr")
"""Where the steps of a sampler may lie, see :func:`time_grid`."""

_EDGE = 1e-3  # the log-SNR grid ends this far from t = 0 and t = 1, where the log-SNR is infinite


def time_grid(n_steps: int, schedule: Schedule, spacing: str = "uniform") -> Tensor:
    """Decreasing times from 1 (noise) to 0 (data), float64, (n_steps + 1,).

    Parameters
    ----------
    n_steps
        Number of steps, each one call of the network (two for second-order samplers).
    schedule
        The schedule that will be sampled; a discrete one has its times rounded to its steps.
    spacing
        With ``u`` uniform from 1 to 0: ``"uniform"`` is t = u, ``"power"`` t = u^(5/4), ``"quadratic"``
        t = u^2, each finer near the data than the one before; ``"logsnr"`` is uniform in
        log(alpha / sigma), with the end points added.

    Returns
    -------
    Times, float64, shape (n_steps + 1,).

    Raises
    ------
    ValueError
        If `n_steps` is below one or above the number of steps of a discrete schedule, or
        `spacing` is unknown.

    Examples
    --------
    >>> scdit.diffusion.time_grid(4, scdit.diffusion.SCHEDULES["cosine"])
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    if schedule.n_discrete is not None and n_steps > schedule.n_discrete:
        raise ValueError(
            f"n_steps={n_steps} is more than the {schedule.n_discrete} steps of the "
            f"{schedule.name!r} schedule"
        )
    u = torch.linspace(1, 0, n_steps + 1, dtype=torch.float64)
    if spacing == "uniform":
        t = u
    elif spacing == "power":
        t = u**1.25
    elif spacing == "quadratic":
        t = u**2
    elif spacing == "logsnr":
        t = _logsnr_grid(u, schedule)
    else:
        raise ValueError(f"unknown spacing {spacing!r}: choose one of {', '.join(SPACINGS)}")
    if schedule.n_discrete is None:
        return t
    # whole steps, strictly decreasing: what is above the number of remaining steps never rises
    remaining = torch.arange(n_steps, -1, -1, dtype=torch.float64)
    excess = (t * schedule.n_discrete).round() - remaining
    excess = excess.flip(0).cummax(0).values.flip(0).clamp(0, schedule.n_discrete - n_steps)
    return (remaining + excess) / schedule.n_discrete


def _logsnr_grid(u: Tensor, schedule: Schedule) -> Tensor:
    fine = torch.linspace(_EDGE, 1 - _EDGE, 10_001, dtype=torch.float64)
    c = schedule(fine)
    half_logsnr = torch.log(c.alpha) - torch.log(c.sigma)  # decreasing in t
    wanted = half_logsnr[0] + (half_logsnr[-1] - half_logsnr[0]) * u
    index = torch.searchsorted(-half_logsnr, -wanted).clamp(1, len(fine) - 1)
    left, right = half_logsnr[index - 1], half_logsnr[index]
    t = fine[index - 1] + (fine[index] - fine[index - 1]) * (left - wanted) / (left - right)
    t[0], t[-1] = 1.0, 0.0
    return t
