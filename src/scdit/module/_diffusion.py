"""The diffusion of states: their standardisation, the denoiser's loss, and new states."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from scdit.diffusion import (
    PREDICTIONS,
    SCHEDULES,
    Coefficients,
    KeyedNoise,
    convert,
    expected,
    guide,
    sampling_path,
    target,
)
from scdit.module._average import EMAWithWarmup
from scdit.nn import CONTINUOUS, DiT, ZeroInflatedHead, drop_conditions

LIBRARY_SIZE = "library_size"  # among the names of conditions
_MARGIN = (
    6.0  # standard deviations that new states may be from the range of training cells, at least
)
STATE, STEP, COUNTS = range(3)  # purposes of the random numbers that belong to a cell


class DiffusionMixin(nn.Module):
    """Noise -> state: the part of the module that knows no counts.

    What it is mixed into has a ``codec`` before it calls :meth:`_add_diffusion`.
    """

    codec: Any
    device: torch.device
    state_mean: Tensor
    state_sd: Tensor
    state_low: Tensor
    state_high: Tensor

    def _add_diffusion(
        self,
        n_categories: Mapping[str, int],
        schedule: str,
        prediction: str,
        condition_dropout: float,
        ema_decay: float,
        denoiser_kwargs: Mapping[str, Any],
    ) -> None:
        """Denoiser, its EMA copy and the standardisation; arguments and errors are the module's."""
        if schedule not in SCHEDULES:
            raise ValueError(
                f"unknown schedule {schedule!r}: choose one of {', '.join(SCHEDULES)}"
            )
        if prediction not in PREDICTIONS:
            raise ValueError(
                f"unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}"
            )
        if not (0 <= condition_dropout <= 1 and 0 <= ema_decay < 1):
            raise ValueError("condition_dropout must be in [0, 1] and ema_decay in [0, 1)")
        self.schedule, self.prediction = SCHEDULES[schedule], prediction
        if prediction == "eps" and self.schedule(torch.tensor(1.0)).alpha < 1e-3:
            raise ValueError(
                f"prediction 'eps' says nothing about the data at the noise end of the {schedule!r} "
                "schedule: predict 'v' or 'x0', or use schedule 'ddpm'"
            )
        self.condition_dropout = condition_dropout
        self.condition_names = list(n_categories)
        # a library size that is no part of the state is a condition that is always there
        self.context_names = [LIBRARY_SIZE] if self.codec.conditions_on_library else []
        n_categories = {**n_categories, **dict.fromkeys(self.context_names, CONTINUOUS)}
        n_state = self.codec.n_state
        self.head = ZeroInflatedHead(n_state) if self.codec.zero_inflated else None
        n_outputs = 1 if self.head is None else 2
        self.denoiser = DiT(n_state, n_categories, n_outputs=n_outputs, **denoiser_kwargs)
        self.ema = AveragedModel(self.denoiser, multi_avg_fn=EMAWithWarmup(ema_decay))
        self.ema.requires_grad_(False)
        self.register_buffer("state_mean", torch.zeros(n_state))
        self.register_buffer("state_sd", torch.ones(n_state))
        self.register_buffer("state_low", torch.full((n_state,), -torch.inf))
        self.register_buffer("state_high", torch.full((n_state,), torch.inf))

    @property
    def sampler(self) -> str:
        """Sampler that suits the states and the prediction, by its name."""
        # at the noise end a small error of eps is a large one of the slope, which ab3 draws out
        return "ab2" if self.prediction == "eps" else self.codec.sampler

    @torch.no_grad()
    def set_normalisation(self, mean: Tensor, variance: Tensor, low: Tensor, high: Tensor) -> None:
        """Fix the space of the diffusion.

        Parameters
        ----------
        mean, variance, low, high
            Moments and range of the states of training cells, each (n_state,).
        """
        centre, scale = self.codec.normalisation(mean, variance)
        self.state_mean.copy_(centre)
        # a constant stays one: all library sizes equal, say
        self.state_sd.copy_(scale.clamp_min(1e-4))
        self.state_low.copy_((low - self.state_mean) / self.state_sd)
        self.state_high.copy_((high - self.state_mean) / self.state_sd)

    def standardise(self, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of states (cells, n_state): the space of the codec -> that of the diffusion."""
        return (mean - self.state_mean) / self.state_sd, sd / self.state_sd

    def unstandardise(self, x: Tensor) -> Tensor:
        """The space of the diffusion -> the space of the codec, (cells, n_state).

        States far from those of all training cells, as absurd guidance makes them, are brought back to
        where they are decoded to counts.
        """
        margin = (self.state_high - self.state_low).clamp_min(_MARGIN)
        x = x.clamp(self.state_low - margin, self.state_high + margin)
        return x * self.state_sd + self.state_mean

    def denoiser_loss(
        self,
        mean: Tensor,
        sd: Tensor,
        codes: Mapping[str, Tensor],
        t: Tensor,
        noise: tuple[Tensor, Tensor],
        *,
        ema: bool = False,
    ) -> Tensor:
        """Squared error of the prediction, mean over dimensions, (cells,).

        The network is asked for the expected target given the noisy state and the cell's
        posterior, see :func:`scdit.diffusion.expected`.

        Parameters
        ----------
        mean, sd
            Posterior of the standardised states, (cells, n_state).
        codes
            Codes (cells,) of each condition.
        t
            Times (cells,) in (0, 1].
        noise
            Standard normal numbers (cells, n_state): of the posterior, and of the diffusion.
        ema
            Use the averaged denoiser and all conditions (validation); otherwise the trained one,
            with conditions dropped at random.
        """
        c = self.schedule(t).to(mean)
        x_t = c.alpha * (mean + sd * noise[0]) + c.sigma * noise[1]
        if ema:
            output = self._predict(self.ema, x_t, t, c, codes)
        else:
            kept = {name: codes[name] for name in self.context_names}
            shown = {name: codes[name] for name in self.condition_names}
            shown = drop_conditions(shown, self.condition_dropout)
            output = self._predict(self.denoiser, x_t, t, c, shown | kept)
        x0, eps = expected(mean, sd, x_t, c)
        return (output - target(self.prediction, x0, eps, c)).pow(2).mean(1)

    def _predict(
        self,
        network: nn.Module,
        x: Tensor,
        t: Tensor,
        c: Coefficients,
        codes: Mapping[str, Tensor],
        keep: Collection[str] | None = None,
        which: Tensor | None = None,
    ) -> Tensor:
        """Prediction (cells, n_state) of a network, or of the head that it informs."""
        if self.head is None:
            return network(x, t, codes, keep, which)
        return self.head(
            lambda estimate: network(estimate, t, codes, keep, which), self.prediction, x, c
        )

    @torch.inference_mode()
    def sample(
        self,
        codes: Mapping[str, Tensor],
        cells: range,
        noise: KeyedNoise,
        times: Tensor,
        **settings: Any,
    ) -> Tensor:
        """States (cells, n_state) of new cells: the last of :meth:`path`, in the codec's space.

        Raises
        ------
        RuntimeError
            If a state is not finite.
        """
        for x in self.path(codes, cells, noise, times, **settings):
            state = x
        if not torch.isfinite(state).all():
            raise RuntimeError(
                "sampling diverged: use a smaller guidance_scale, more steps or sampler='ab2'"
            )
        return self.unstandardise(state)

    @torch.inference_mode()
    def path(
        self,
        codes: Mapping[str, Tensor],
        cells: range,
        noise: KeyedNoise,
        times: Tensor,
        *,
        sampler: str = "ab3",
        guidance_scale: float | Mapping[str, float] = 1.0,
        **options: float,
    ) -> Iterator[Tensor]:
        """Standardised states (cells, n_state) from noise to data: the first, and after each step.

        Parameters
        ----------
        codes
            Codes (cells,) of each condition, on the module's device.
        cells
            Indices of these cells among all that are generated: the keys of their noise.
        noise
            The random numbers.
        times
            Time grid, see :func:`scdit.diffusion.time_grid`.
        sampler, **options
            Key of ``SAMPLERS`` and its options.
        guidance_scale
            See :func:`scdit.diffusion.guide`.
        """

        def draw(*key: int) -> Tensor:
            return self._to_device(noise.normal(cells.start, cells.stop, self.codec.n_state, *key))

        start = draw(STATE)
        shared, which = _distinct(codes, len(start))

        def denoise(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
            now = torch.full((1,), t, dtype=x.dtype, device=x.device)
            c = self.schedule(torch.tensor([t], dtype=torch.float64)).to(x)  # (1, 1): of all cells

            def network(keep: Collection[str]) -> Tensor:
                shown = [*keep, *self.context_names]
                return self._predict(self.ema, x, now, c, shared, shown, which)

            output = guide(network, self.condition_names, guidance_scale)
            x0, eps = convert(self.prediction, output, x, c)
            if self.prediction == "eps":
                # near the noise end a small error of eps is a large one of x0: keep to the range of
                # the data, as Ho et al. 2020 do
                x0 = x0.clamp(self.state_low, self.state_high)
                eps = (x - c.alpha * x0) / c.sigma
            return x0, eps

        yield start
        yield from sampling_path(
            sampler,
            denoise,
            start,
            times,
            self.schedule,
            lambda step: draw(STEP, step),
            **options,
        )

    def _to_device(self, array) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _distinct(codes: Mapping[str, Tensor], n: int) -> tuple[dict[str, Tensor], Tensor | None]:
    """The different combinations of categories, and which of them each of `n` cells has.

    Numbers differ from cell to cell: with these, and with one combination for all, there is None.
    """
    if any(code.is_floating_point() for code in codes.values()):
        return dict(codes), None
    if not codes:
        return {}, None
    rows, which = torch.unique(torch.stack(list(codes.values())), dim=1, return_inverse=True)
    return dict(zip(codes, rows, strict=True)), None if rows.shape[1] == 1 else which
