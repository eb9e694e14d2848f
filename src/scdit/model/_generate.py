"""Generation: names to codes, codes to cells, cells to AnnData."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from tqdm import tqdm

from scdit.diffusion import SAMPLERS, KeyedNoise, sampler_names, time_grid
from scdit.model._checks import check_positive_int
from scdit.model._conditions import Composition, Condition
from scdit.model._requests import (
    LibrarySize,
    Request,
    describe_library_size,
    is_distribution,
    name_requests,
    resolve_codes,
    resolve_library_sizes,
    resolve_n,
)
from scdit.model._tables import conditions_like, names_of_rows
from scdit.module import SCDiTModule

_CONDITIONS, _LIBRARY = 10, 11  # purposes of random numbers that are drawn for all cells at once
_DEFAULT_STEPS = {"ab2": 20, "dpmpp_2m": 20, "heun": 20, "euler": 100, "ddim": 100, "ddpm": 250}


class GenerateMixin:
    """Adds :meth:`generate` to the model."""

    adata: AnnData | None
    module: SCDiTModule
    is_trained_: bool
    run_token_: str
    _conditions: list[Condition]
    composition_: dict
    var_: pd.DataFrame

    def generate(
        self,
        n: int | None = None,
        *,
        labels: Request = None,
        batch: Request = None,
        covariates: Mapping[str, Request] | None = None,
        conditions: pd.DataFrame | None = None,
        like: AnnData | None = None,
        sampler: str = "ab2",
        n_steps: int | None = None,
        spacing: str = "uniform",
        eta: float | None = None,
        guidance_scale: float | Mapping[str, float] = 1.0,
        library_size: LibrarySize = "model",
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int = 512,
        silent: bool = False,
    ) -> AnnData:
        """Generate new cells.

        Parameters
        ----------
        n
            Number of cells. May be left out if another argument says it.
        labels, batch
            Names of the registered labels and batches: one name for all cells, a mapping from
            names to numbers of cells (``{"B cells": 500, "NK cells": 50}``, in this order), or one
            name per cell. Two mappings are combined at random. What is not given is drawn jointly
            from the training cells that share what is given (for numbers: that are nearest).
        covariates
            The same for registered covariates, by column: ``{"condition": "stim", "age": 30.0}``.
        conditions
            One row per cell to generate, with registered conditions as columns; those that it lacks
            are drawn. Its index names the new cells, if it is unique and none of it names a training
            cell.
        like
            Cells whose conditions are taken, one new cell for each; all must be in its ``obs``.
        sampler
            ``"ab2"`` (second order, the most accurate for its cost), ``"dpmpp_2m"``, ``"heun"``,
            ``"euler"``, ``"ddim"`` or ``"ddpm"``, see :mod:`scdit.diffusion`.
        n_steps
            Number of steps; each costs one call of the network per cell, two with heun. None for
            20 with second-order samplers, 100 with euler and ddim, 250 with ddpm. Few steps of ddim
            narrow the distribution: by 2.5% at 50 steps, 12% at 10.
        spacing
            Where the steps lie: ``"uniform"`` in time, ``"quadratic"`` (finer near the data) or
            ``"logsnr"`` (uniform in the logarithm of the signal-to-noise ratio).
        eta
            Noise added by ddim, 0 (default) to 1 (as much as ddpm).
        guidance_scale
            Classifier-free guidance: 1 follows the data, more makes cells more typical of their
            conditions and less diverse, 0 ignores the conditions. A mapping from columns to scales
            guides each condition on its own, those it does not name with scale 1. Scales other
            than 1 double the cost, or more with a mapping.
        library_size
            Expected total counts per cell: ``"model"`` (generated together with the state of the
            cell; with the expression codec the same as ``"empirical"``), ``"empirical"`` (drawn from
            training cells with the same conditions), one number, one number per cell, or
            ``("lognormal", mean, sd)``, the mean and standard deviation of their natural logarithm. The
            counts are drawn around it; at a few counts per cell some
            cells are empty.
        rng
            Seed or generator, see :func:`numpy.random.default_rng`; a generator is advanced. The
            same seed and `batch_size` give the same cells, bit for bit, on one machine.
        batch_size
            Cells computed at once: a matter of memory and speed only.
        silent
            No progress bar.

        Returns
        -------
        AnnData of `n` cells and the training genes: integer counts in ``X`` (CSR, int32), the
        conditions in ``obs`` under their own names and categories, the training ``var``, and
        ``uns["scdit"]`` with the settings of this call.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If an argument is out of range, or names something unknown (the message lists what is
            known).

        Warns
        -----
        UserWarning
            If the model has to extrapolate: no training cell has the categories asked for together,
            or a number is far outside the training cells' range. If the index of `conditions` cannot
            name the new cells.
        """
        times, options = self._sampling_options(sampler, n_steps, spacing, eta, guidance_scale)
        library_size = self._library_size(library_size)
        table = conditions_like(self._conditions, conditions, like)
        requests = name_requests(self._conditions, labels, batch, covariates, table)
        n = resolve_n(n, requests | _per_cell("library_size", library_size))
        check_positive_int("batch_size", batch_size)

        noise, composition = KeyedNoise(rng), Composition(**self.composition_)
        codes = resolve_codes(
            self._conditions, composition, requests, n, noise.generator(_CONDITIONS)
        )
        sizes = resolve_library_sizes(
            library_size,
            composition,
            codes,
            n,
            noise.generator(_LIBRARY),
        )

        module, counts, layers = self.module, [], defaultdict(list)
        for start in tqdm(range(0, n, batch_size), "Generating", disable=silent, unit="batch"):
            cells = range(start, min(start + batch_size, n))
            batch_codes = self._codes_of(cells, codes, sizes)
            state = module.sample(batch_codes, cells, noise, times, **options)
            if sizes is not None:
                given = torch.from_numpy(sizes[start : cells.stop]).to(state)
                state = module.codec.with_library_size(state, given)
            drawn = module.draw_counts(state, cells, noise)
            counts.append(sp.csr_matrix(drawn.cpu().numpy().astype(np.int32)))
            for name, layer in module.codec.layers(state).items():
                layers[name].append(sp.csr_matrix(layer.cpu().numpy()))

        settings = {
            "version": _version(),
            **options,
            "n_steps": len(times) - 1,
            "spacing": spacing,
            "guidance_scale": dict(guidance_scale)
            if isinstance(guidance_scale, Mapping)
            else float(guidance_scale),
            "library_size": describe_library_size(library_size),
            # as text: a seed may be too long for the integers of an h5ad file
            "rng": str(rng) if isinstance(rng, int | np.integer) else type(rng).__name__,
            "batch_size": batch_size,
            "conditions": [condition.key for condition in self._conditions],
        }
        new = self._assemble(sp.vstack(counts, format="csr"), codes, noise.token, settings)
        new.layers.update({k: sp.vstack(parts, format="csr") for k, parts in layers.items()})
        if conditions is not None:
            taken = None if self.adata is None else self.adata.obs_names
            new.obs_names = names_of_rows(conditions, new.obs_names, taken)
        return new

    def denoising_path(
        self,
        n: int = 500,
        *,
        n_frames: int = 6,
        labels: Request = None,
        batch: Request = None,
        covariates: Mapping[str, Request] | None = None,
        sampler: str = "ab2",
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
        """
        times, options = self._sampling_options(sampler, n_steps, "uniform", None, 1.0)
        if not 2 <= n_frames <= len(times):
            raise ValueError(f"n_frames must be 2 to {len(times)}, got {n_frames}")
        requests = name_requests(self._conditions, labels, batch, covariates)
        n = resolve_n(n, requests)
        noise, composition = KeyedNoise(rng), Composition(**self.composition_)
        codes = resolve_codes(
            self._conditions,
            composition,
            requests,
            n,
            noise.generator(_CONDITIONS),
        )
        sizes = resolve_library_sizes(
            self._library_size("model"), composition, codes, n, noise.generator(_LIBRARY)
        )
        cells = range(n)
        states = list(
            self.module.path(self._codes_of(cells, codes, sizes), cells, noise, times, **options)
        )
        kept = np.linspace(0, len(times) - 1, n_frames).round().astype(int)
        return torch.stack([states[i] for i in kept]).cpu().numpy(), self._obs(codes)

    def _sampling_options(
        self,
        sampler: str,
        n_steps: int | None,
        spacing: str,
        eta: float | None,
        guidance_scale: float | Mapping[str, float],
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Time grid and checked settings of the sampler, by the names the module knows."""
        if not self.is_trained_:
            raise RuntimeError("this model is not trained: call model.train() first")
        if sampler not in SAMPLERS:
            known = ", ".join(sampler_names())
            raise ValueError(f"unknown sampler {sampler!r}: choose one of {known}")
        n_steps = _DEFAULT_STEPS.get(sampler, 50) if n_steps is None else n_steps
        check_positive_int("n_steps", n_steps)
        self.module.eval()
        return time_grid(int(n_steps), self.module.schedule, spacing), {
            "sampler": sampler,
            "guidance_scale": self._guidance(guidance_scale),
            **_eta_option(sampler, eta),
        }

    def _obs(
        self, codes: Mapping[str, np.ndarray], names: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The conditions of cells under the user's columns, with the training categories."""
        return pd.DataFrame(
            {c.key: c.decode(codes[c.name]) for c in self._conditions}, index=names
        )

    def _library_size(self, request: LibrarySize) -> LibrarySize:
        """The request as it can be met: the states of some codecs have no library size."""
        is_model = isinstance(request, str) and request == "model"
        return "empirical" if is_model and self.module.context_names else request

    def _codes_of(
        self, cells: range, codes: Mapping[str, np.ndarray], sizes: np.ndarray | None
    ) -> dict[str, torch.Tensor]:
        """All that the denoiser is told of a range of cells, on the module's device."""
        rows, device = slice(cells.start, cells.stop), self.module.device
        told = {
            c.name: torch.from_numpy(c.standardise(codes[c.name][rows])).to(device)
            for c in self._conditions
        }
        for name in self.module.context_names:
            wanted = torch.from_numpy(np.asarray(sizes)[rows]).to(device)
            told[name] = self.module.codec.library_code(wanted)
        return told

    def _guidance(self, scale: float | Mapping[str, float]) -> float | dict[str, float]:
        """Check a guidance scale; a mapping from columns becomes one from internal names."""
        scales = scale if isinstance(scale, Mapping) else {"guidance_scale": scale}
        for name, value in scales.items():
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"guidance_scale must be at least 0, got {value} for {name}")
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

    def _assemble(
        self, counts: sp.csr_matrix, codes: Mapping[str, np.ndarray], token: str, settings: dict
    ) -> AnnData:
        # the token is drawn from the seed, the run from the training: no real cell has this name
        names = [f"scdit-{self.run_token_}-{token}-{i}" for i in range(counts.shape[0])]
        return AnnData(
            X=counts, obs=self._obs(codes, names), var=self.var_.copy(), uns={"scdit": settings}
        )


def _eta_option(sampler: str, eta: float | None) -> dict[str, float]:
    """``eta`` as an option of the sampler, checked; nothing if it was not given."""
    if eta is None:
        return {}
    if "eta" not in inspect.signature(SAMPLERS[sampler]).parameters:
        raise ValueError(f"eta is an option of ddim, not of {sampler}")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    return {"eta": float(eta)}


def _per_cell(name: str, request: Any) -> dict[str, object]:
    """A request that is one value per cell, as :func:`resolve_n` takes it."""
    if isinstance(request, str) or is_distribution(request) or np.ndim(request) == 0:
        return {}
    return {name: request}


def _version() -> str:
    from scdit import __version__

    return __version__
