"""From noise to data: pure functions over a denoiser.

A new sampler is one function with the signature of :func:`ddim`, one entry of ``SAMPLERS`` and
one test against the Gaussian oracle. The time grid is float64 on the CPU, the state keeps its dtype.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from scdit.diffusion._schedule import Coefficients, Schedule

Denoiser = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""Maps a state (cells, dims) and its time to the estimates ``(x0, eps)``, each (cells, dims)."""

StepNoise = Callable[[int], Tensor]
"""Maps the number of a step to standard normal noise (cells, dims)."""


class _Step(NamedTuple):
    """A step of the time grid: its number, times and coefficients before and after, float64."""

    number: int
    t: float
    now: Coefficients
    s: float
    after: Coefficients


def _steps(times: Tensor, schedule: Schedule) -> Iterator[_Step]:
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        yield _Step(i, float(t), schedule(t), float(s), schedule(s))


def ddim(
    denoise: Denoiser,
    x: Tensor,
    times: Tensor,
    schedule: Schedule,
    noise: StepNoise,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    r"""Song et al. 2021 (arXiv 2010.02502), equations 12 and 16, on any Gaussian path.

    With :math:`\alpha_{ts} = \alpha_t / \alpha_s` and
    :math:`\tilde\sigma^2 = (\sigma_t^2 - \alpha_{ts}^2 \sigma_s^2) \sigma_s^2 / \sigma_t^2`, the
    variance of q(x_s | x_t, x_0): ``x_s = alpha_s x0 + sqrt(sigma_s^2 - eta^2 var) eps + eta sd z``.
    `eta` = 0 follows the probability flow, `eta` = 1 is ancestral sampling (DDPM).
    """
    for i, t, now, _, after in _steps(times, schedule):
        x0, eps = denoise(x, t)
        sd = eta * math.sqrt(max(_posterior_variance(now, after), 0.0))
        x = after.alpha.item() * x0 + math.sqrt(max(after.sigma.item() ** 2 - sd**2, 0.0)) * eps
        if sd > 0:
            x = x + sd * noise(i)
        yield x


def ddpm(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    """Ho et al. 2020 (arXiv 2006.11239), equations 6 and 7: steps drawn from q(x_s | x_t, x0).

    The posterior variance is the lower one of the paper's two. With fewer steps than the schedule
    has, the posterior between the kept times is used.
    """
    yield from ddim(denoise, x, times, schedule, noise, eta=1.0)


def euler(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    """First order on the probability flow (:func:`ab2` without its memory)."""
    yield from _angular(denoise, x, times, schedule, order=1)


def ab2(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    r"""Two-step Adams-Bashforth on the probability flow, one network call per step.

    In the angle :math:`\theta = \arctan(\sigma / \alpha)` and with
    :math:`y = x / \sqrt{\alpha^2 + \sigma^2}` the flow of every Gaussian path is
    :math:`dy / d\theta = \cos\theta\, \epsilon - \sin\theta\, x_0`, which vanishes for standard
    normal data: no step shrinks it, as steps of ddim do.
    """
    yield from _angular(denoise, x, times, schedule, order=2)


def ab3(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    """Three-step Adams-Bashforth: :func:`ab2` with one more slope in its memory, at the same cost."""
    yield from _angular(denoise, x, times, schedule, order=3)


def _angular(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, order: int
) -> Iterator[Tensor]:
    """Steps along the integral of the polynomial through the last `order` slopes, in Newton's form."""
    slopes: list[Tensor] = []  # of this and earlier steps, the latest first
    steps: list[float] = []
    for _, t, now, _, after in _steps(times, schedule):
        x0, eps = denoise(x, t)
        slopes = [_slope(x0, eps, now), *slopes[: order - 1]]
        steps = [_angle(after) - _angle(now), *steps[: order - 1]]
        step, direction = steps[0], slopes[0]
        if len(slopes) > 1:
            direction = direction + 0.5 * step / steps[1] * (slopes[0] - slopes[1])
        if len(slopes) > 2:
            bend = (slopes[0] - slopes[1]) / steps[1] - (slopes[1] - slopes[2]) / steps[2]
            bend = bend / (steps[1] + steps[2])
            direction = direction + step * (step / 3 + steps[1] / 2) * bend
        x = (x / _radius(now) + step * direction) * _radius(after)
        yield x


def heun(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    """Trapezoidal rule in the angle of :func:`ab2`, two calls per step but the last.

    Karras et al. 2022 (arXiv 2206.00364), algorithm 1, without its noise.
    """
    for _, t, now, s, after in _steps(times, schedule):
        x0, eps = denoise(x, t)
        slope = _slope(x0, eps, now)
        y, step = x / _radius(now), _angle(after) - _angle(now)
        if after.sigma > 0:
            x0, eps = denoise((y + step * slope) * _radius(after), s)
            slope = 0.5 * (slope + _slope(x0, eps, after))
        x = (y + step * slope) * _radius(after)
        yield x


def dpmpp_2m(
    denoise: Denoiser, x: Tensor, times: Tensor, schedule: Schedule, noise: StepNoise
) -> Iterator[Tensor]:
    """DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095), algorithm 2; one call per step."""
    earlier: tuple[Tensor, float] | None = None  # the last x0 and the step in log-SNR / 2
    for _, t, now, _, after in _steps(times, schedule):
        x0, _ = denoise(x, t)
        if after.sigma == 0:
            x = after.alpha.item() * x0
            yield x
            continue
        # expm1(-h) as a ratio, which stays finite where alpha = 0 and the log-SNR is not
        decay = (after.sigma * now.alpha / (now.sigma * after.alpha)).item()
        h = -math.log(decay) if decay > 0 else math.inf
        estimate = x0
        if earlier is not None and math.isfinite(earlier[1]):
            estimate = x0 + 0.5 * h / earlier[1] * (x0 - earlier[0])
        earlier = x0, h
        x = (after.sigma / now.sigma).item() * x + after.alpha.item() * (1 - decay) * estimate
        yield x


def _slope(x0: Tensor, eps: Tensor, c: Coefficients) -> Tensor:
    return (c.alpha.item() * eps - c.sigma.item() * x0) / _radius(c)


def _radius(c: Coefficients) -> float:
    return math.hypot(c.alpha.item(), c.sigma.item())


def _angle(c: Coefficients) -> float:
    return math.atan2(c.sigma.item(), c.alpha.item())


def _posterior_variance(now: Coefficients, after: Coefficients) -> float:
    """Variance of q(x_s | x_t, x0), from time t (`now`) to s (`after`)."""
    forward = now.sigma**2 - (now.alpha / after.alpha) ** 2 * after.sigma**2
    return (forward * after.sigma**2 / now.sigma**2).item()


SAMPLERS: dict[str, Callable[..., Iterator[Tensor]]] = {
    "ab2": ab2,
    "ab3": ab3,
    "ddim": ddim,
    "ddpm": ddpm,
    "dpmpp_2m": dpmpp_2m,
    "euler": euler,
    "heun": heun,
}
"""Name -> sampler: a function that yields the state after every step, the sample last. It takes the
arguments of :func:`sampling_path` after the name."""


def sampler_names() -> list[str]:
    """Names that ``sampler=`` takes.

    Examples
    --------
    >>> scdit.diffusion.sampler_names()
    """
    return sorted(SAMPLERS)


def sampling_path(
    name: str,
    denoise: Denoiser,
    x: Tensor,
    times: Tensor,
    schedule: Schedule,
    noise: StepNoise,
    **options: float,
) -> Iterator[Tensor]:
    """The states (cells, dims) after each step of a sampler, the sample last.

    Parameters
    ----------
    name
        Key of ``SAMPLERS``.
    denoise
        The denoiser: ``(x0, eps)`` for a state and a time.
    x
        State at the first time of the grid, (cells, dims): standard normal noise.
    times
        Decreasing time grid, see :func:`time_grid`.
    schedule
        The schedule the denoiser was trained with.
    noise
        Standard normal noise for a step, used by stochastic samplers only.
    **options
        Options of this sampler, such as ``eta`` of ddim.

    Raises
    ------
    ValueError
        If the sampler is unknown.

    Examples
    --------
    >>> schedule = scdit.diffusion.SCHEDULES["cosine"]
    >>> noise = lambda step: torch.randn(1_000, 16)
    >>> def denoise(x, t):  # exact for data from N(3, 0.5^2)
    ...     c = schedule(torch.tensor(t)).to(x)
    ...     return scdit.diffusion.expected(torch.tensor(3.0), torch.tensor(0.5), x, c)
    >>> times = scdit.diffusion.time_grid(25, schedule)
    >>> path = scdit.diffusion.sampling_path("ddpm", denoise, noise(0), times, schedule, noise)
    >>> [state.mean() for state in path]  # rises to 3
    """
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler {name!r}: choose one of {', '.join(sampler_names())}")
    return SAMPLERS[name](denoise, x, times, schedule, noise, **options)


def sample(
    name: str,
    denoise: Denoiser,
    x: Tensor,
    times: Tensor,
    schedule: Schedule,
    noise: StepNoise,
    **options: float,
) -> Tensor:
    """The sample (cells, dims): the last state of :func:`sampling_path`, with its arguments.

    Examples
    --------
    >>> schedule = scdit.diffusion.SCHEDULES["cosine"]
    >>> data = torch.tensor(3.0), torch.tensor(0.5)  # mean and SD: the denoiser is exact
    >>> denoise = lambda x, t: scdit.diffusion.expected(*data, x, schedule(torch.tensor(t)).to(x))
    >>> noise = lambda step: torch.randn(1_000, 16)
    >>> times = scdit.diffusion.time_grid(25, schedule)
    >>> new = scdit.diffusion.sample("ab3", denoise, noise(0), times, schedule, noise)
    >>> new.mean(), new.std()  # about 3 and 0.5
    """
    for state in sampling_path(name, denoise, x, times, schedule, noise, **options):
        x = state
    return x
