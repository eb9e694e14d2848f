"""What generation and the path to it share: checked settings, and what the denoiser is told."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from scdit._checks import check_choice, check_int, check_number, check_rng
from scdit._torch import steady_torch
from scdit.conditions import (
    Condition,
    Request,
    name_requests,
    resolve_codes,
    resolve_n,
)
from scdit.diffusion import SAMPLERS, SPACINGS, KeyedNoise, sampler_names, time_grid
from scdit.model._assays import AssaysMixin
from scdit.model._told import CONDITIONS, LIBRARY, ORDER
from scdit.module import SCDiTModule

_MAX_GUIDANCE, _MAX_STEPS = 100.0, 10_000
_DEFAULT_STEPS = {
    "ab3": 6,
    "ab2": 8,
    "dpmpp_2m": 20,
    "heun": 20,
    "euler": 100,
    "ddim": 100,
    "ddpm": 250,
}
_GUIDED_STEPS = {"ab3": 8}  # the flow bends more


class SamplingMixin(AssaysMixin):
    """Adds :meth:`denoising_path` to the model, and what :class:`GenerateMixin` needs besides."""

    module: SCDiTModule
    is_trained_: bool
    _conditions: list[Condition]

    @steady_torch()
    def denoising_path(
        self,
        n: int = 500,
        *,
        n_frames: int = 6,
        labels: Request = None,
        batch: Request = None,
        covariates: Mapping[str, Request] | None = None,
        sampler: str | None = None,
        n_steps: int | None = None,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """States of new cells on their way from noise, for :func:`scdit.pl.denoising`.

        Parameters
        ----------
        n
            Number of cells.
        n_frames
            Number of states to keep, the noise and the sample among them.
        labels, batch, covariates, sampler, n_steps, rng
            As in :meth:`generate`.

        Returns
        -------
        Standardised states (n_frames, n, n_state), and the cells' conditions as in ``obs``.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            As in :meth:`generate`, or if there are fewer steps than frames.

        Examples
        --------
        >>> states, obs = model.denoising_path(500, rng=0)
        >>> states[0].shape  # the noise
        """
        times, options = self._sampling_options(sampler, n_steps)
        check_int("n_frames", n_frames, 2, len(times))
        requests = name_requests(self._conditions, labels, batch, covariates)
        n = resolve_n(n, requests)
        noise, composition = KeyedNoise(check_rng(rng)), self._training_cells
        codes = resolve_codes(
            self._conditions,
            composition,
            requests,
            noise.uniform_per_cell(n, CONDITIONS),
            noise.generator(ORDER),
        )
        sizes = self._resolved_sizes(
            self._sizes_by_assay("model"), composition, codes, noise.uniform_per_cell(n, LIBRARY)
        )
        cells = range(n)
        states = list(
            self.module.path(self._codes_of(cells, codes, sizes), cells, noise, times, **options)
        )
        kept = np.linspace(0, len(times) - 1, n_frames).round().astype(int)
        return torch.stack([states[i] for i in kept]).cpu().numpy(), self._obs(codes)

    def _sampling_options(
        self,
        sampler: str | None = None,
        n_steps: int | None = None,
        spacing: str | None = None,
        eta: float | None = None,
        guidance_scale: float | Mapping[str, float] = 1.0,
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Time grid and checked settings of the sampler, by the names the module knows."""
        if not self.is_trained_:
            raise RuntimeError("this model is not trained: call model.train() first")
        sampler = self.module.sampler if sampler is None else sampler
        check_choice("sampler", sampler, sampler_names())
        spacing = default_spacing(sampler) if spacing is None else spacing
        check_choice("spacing", spacing, SPACINGS)
        guidance = self._guidance(guidance_scale)
        if n_steps is None:
            if sampler not in _DEFAULT_STEPS:  # of the user's own
                raise ValueError(
                    f"n_steps must be given with sampler {sampler!r}, which has no default"
                )
            guided = guidance != 1.0
            n_steps = (_GUIDED_STEPS if guided else {}).get(sampler, _DEFAULT_STEPS[sampler])
        n_steps = check_int("n_steps", n_steps, high=_MAX_STEPS)
        self.module.eval()
        return time_grid(n_steps, self.module.schedule, spacing), {
            "sampler": sampler,
            "guidance_scale": guidance,
            **_eta_option(sampler, eta),
        }

    def _obs(
        self, codes: Mapping[str, np.ndarray], names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The conditions of cells under the user's columns, with the training categories."""
        return pd.DataFrame(
            {c.key: c.decode(codes[c.name]) for c in self._conditions}, index=names
        )

    def _guidance(self, scale: float | Mapping[str, float]) -> float | dict[str, float]:
        """Check a guidance scale; a mapping from columns becomes one from internal names."""
        scales = scale if isinstance(scale, Mapping) else {"guidance_scale": scale}
        for name, value in scales.items():
            where = "guidance_scale" if name == "guidance_scale" else f"guidance_scale of {name!r}"
            check_number(where, value, 0, _MAX_GUIDANCE)
        if not isinstance(scale, Mapping):
            return float(scale)
        name_of = {condition.key: condition.name for condition in self._conditions}
        if not scale:
            raise ValueError("guidance_scale is a mapping that names no condition")
        unknown = set(scale) - set(name_of)
        if unknown:
            raise ValueError(
                f"guidance_scale names {sorted(unknown)}; registered: {', '.join(name_of) or 'none'}"
            )
        return {name: float(scale.get(key, 1.0)) for key, name in name_of.items()}


def default_spacing(sampler: str) -> str:
    """Where the steps of a sampler lie, unless the user says otherwise."""
    return "power" if sampler == "ab3" else "uniform"


def _eta_option(sampler: str, eta: float | None) -> dict[str, float]:
    """``eta`` as an option of the sampler, checked; nothing if it was not given."""
    if eta is None:
        return {}
    if "eta" not in inspect.signature(SAMPLERS[sampler]).parameters:
        raise ValueError(f"eta is an option of ddim, not of {sampler}")
    return {"eta": check_number("eta", eta, 0, 1)}
