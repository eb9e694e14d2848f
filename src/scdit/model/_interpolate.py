"""Paths between two kinds of cells, along which every point is a plausible cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scdit._checks import check_bool, check_int, check_rng, check_rows, did_you_mean
from scdit._columns import GENERATED
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.conditions import MAX_CELLS, Category, Number, resolve_codes
from scdit.diffusion import KeyedNoise, time_grid
from scdit.model._depths import as_integers
from scdit.model._names import cell_names
from scdit.model._sampling import SamplingMixin
from scdit.nn import DROPPED

End: TypeAlias = Mapping[str, str | float] | AnnData | Sequence[int] | np.ndarray
_MAX_STEPS = 10_000  # cells on a path
_N_STEPS = 20  # of the flow, in each direction
_FIRST = 1e-3  # time at which the flow leaves the data, where every prediction is defined
_TURN = 0.2  # time up to which it is followed: later, paths turn to wherever there are many cells
_PAIRED = 2_000  # states that are paired at once
_ENDS = 20  # first of the purposes of the random numbers that make the two ends


class InterpolateMixin(SamplingMixin):
    """Adds :meth:`interpolate` to the model."""

    adata: AnnData | None
    run_token_: str
    var_: pd.DataFrame

    @steady_torch()
    def interpolate(
        self,
        a: End,
        b: End,
        n: int = 100,
        steps: int = 11,
        *,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int = 512,
        silent: bool = False,
    ) -> AnnData | MuData:
        """Cells on the way from `a` to `b`.

        The states of `n` cells of each end are followed along the probability flow of the model some
        way back to the noise that they come from (Song et al. 2021, arXiv 2010.02502); there, pairs
        of near cells are joined by straight lines, as Ho et al. 2020 do (arXiv 2006.11239), and points
        on these are followed to the data again. The flow is conditioned only on what both ends have in
        common, so the path bends to where there are such cells.

        Parameters
        ----------
        a
            The first end. Conditions by column, ``{"cell_type": "HSC"}``, of which cells are
            generated; or real cells: an AnnData, or positions or a mask of training cells.
        b
            The second end, given as `a` is. A category that both ends name is kept on the whole
            path. If they name different categories, the decoder mixes both by the weight. A number
            that both name changes linearly.
        n
            Number of paths.
        steps
            Number of cells on each path, ends included.
        rng
            Seed or generator.
        batch_size
            Cells computed at once.
        silent
            No progress bar.

        Returns
        -------
        AnnData of ``n * steps`` cells, those of the first step first. ``obs["scdit_weight"]`` is 0 at
        `a` and 1 at `b`, ``obs["scdit_path"]`` the number of the path, and what holds on the whole way
        stands under its own name.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If a condition is unknown, an end has no cells, there are fewer than two steps, or the
            model has the expression codec.

        Examples
        --------
        >>> path = model.interpolate(
        ...     {"cell_type": "HSC"}, {"cell_type": "Erythroid"}, n=20, steps=5
        ... )
        >>> path.obs["scdit_weight"]
        """
        if not self.is_trained_:
            raise RuntimeError("this model is not trained: call model.train() first")
        if self.module.context_names:
            raise ValueError("interpolate needs states that hold the library size: codec='latent'")
        check_int("steps", steps, 2, _MAX_STEPS)
        check_int("n", n, high=MAX_CELLS // steps)
        check_int("batch_size", batch_size)
        check_bool("silent", silent)
        self.module.eval()
        noise, from_a, to_b = KeyedNoise(check_rng(rng)), self._named(a), self._named(b)
        ends = [self._end(end, n, noise, _ENDS + i, batch_size) for i, end in enumerate((a, b))]

        weight = np.repeat(np.linspace(0, 1, steps), n)
        at_ends = [self._on_the_way(from_a, to_b, np.full(n, w)) for w in (0.0, 1.0)]
        start, stop = (
            self._flow(end, codes, True, batch_size)
            for end, codes in zip(ends, at_ends, strict=True)
        )
        stop = _paired(start, stop)
        w = weight.astype(np.float32)[:, None]
        lines = (1 - w) * np.tile(start, (steps, 1)) + w * np.tile(stop, (steps, 1))
        codes = self._on_the_way(from_a, to_b, weight)
        states = self._flow(lines, codes, False, batch_size)
        shares = self._between(from_a, to_b, weight)

        counts = []
        bar = progress(len(states), "Interpolating", "cell", silent)
        for first in range(0, len(states), batch_size):
            cells = range(first, min(first + batch_size, len(states)))
            x = torch.from_numpy(states[first : cells.stop]).to(self.module.device)
            state, told = self.module.unstandardise(x), self._codes_of(cells, codes, {})
            for name, share in shares.items():
                told[name] = torch.from_numpy(share[first : cells.stop]).to(state)
            drawn = self.module.draw_counts(state, cells, noise, told)
            counts.append(sp.csr_matrix(as_integers(drawn)))
            bar.update(len(cells))
        bar.close()
        path = np.tile(np.arange(n), steps)
        named = f"{self.run_token_};{noise.seed};path;{from_a};{to_b}"
        names = cell_names(named, [weight, path, states[:, 0]], len(states))
        obs = pd.DataFrame(
            {
                "scdit_weight": weight,
                "scdit_path": path,
                GENERATED: True,
                **{
                    c.key: c.decode(codes[c.name])
                    for c in self._conditions
                    if _is_known(codes[c.name])
                },
            },
            index=names,
        )
        new = AnnData(sp.vstack(counts, format="csr"), obs=obs, var=self.var_.copy())
        return self._as_given(new)

    def _named(self, end: End) -> dict[str, str | float]:
        """The conditions that an end names, checked."""
        if not isinstance(end, Mapping):
            return {}
        known = [c.key for c in self._conditions]
        for key, value in end.items():
            if key not in known:
                raise ValueError(
                    f"unknown condition {key!r}; registered: {', '.join(known) or 'none'}"
                    + did_you_mean(key, known)
                )
            if not np.isscalar(value):
                raise ValueError(f"{key}: an end of a path has one value, got {value!r}")
        return dict(end)

    def _end(
        self, end: End, n: int, noise: KeyedNoise, purpose: int, batch_size: int
    ) -> np.ndarray:
        """Standardised states (n, n_state) of cells of one end."""
        rng = noise.generator(purpose)
        if isinstance(end, Mapping):
            codes = resolve_codes(
                self._conditions,
                self._training_cells,
                self._named(end),
                rng.random(n),
                rng,
            )
            start = rng.standard_normal((n, self.module.codec.n_state), dtype=np.float32)
            return self._flow(start, codes, False, batch_size, turn=1.0)
        adata = self._joined(end) if isinstance(end, AnnData | MuData) else None
        if adata is not None:
            rows = np.arange(adata.n_obs)
        elif self.adata is None:
            raise ValueError("this model was loaded without data: give the cells as an AnnData")
        else:
            rows = check_rows("an end of the path", end, self.adata.n_obs)
        if not len(rows):
            raise ValueError("an end of the path has no cells")
        rows = rng.choice(rows, n, replace=n > len(rows))
        posterior = self._posterior(adata, rows, batch_size)  # type: ignore[attr-defined]
        state = posterior["mean"] + posterior["sd"] * rng.standard_normal(
            posterior["sd"].shape, dtype=np.float32
        )
        centre, scale = (x.cpu().numpy() for x in (self.module.state_mean, self.module.state_sd))
        return (state - centre) / scale

    def _on_the_way(
        self, a: Mapping[str, str | float], b: Mapping[str, str | float], weight: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Codes of cells at these weights: what both ends share, and nothing of the rest."""
        codes = {}
        for c in self._conditions:
            nothing = np.nan if isinstance(c, Number) else DROPPED
            one, other = nothing, nothing
            if c.key in a and c.key in b:
                one, other = c.encode([a[c.key], b[c.key]])
            if isinstance(c, Number):
                codes[c.name] = (1 - weight) * one + weight * other
            else:
                codes[c.name] = np.full(len(weight), one if one == other else nothing)
        return codes

    def _between(
        self, a: Mapping[str, str | float], b: Mapping[str, str | float], weight: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the decoder is told where ends name different categories: shares, that of `b` `weight`."""
        shares = {}
        for c in self._conditions:
            if isinstance(c, Category) and c.key in a and c.key in b:
                one, other = np.eye(c.n_categories + 1)[c.encode([a[c.key], b[c.key]])]
                shares[c.name] = np.outer(1 - weight, one) + np.outer(weight, other)
        return shares

    def _flow(
        self,
        x: np.ndarray,
        codes: Mapping[str, np.ndarray],
        to_noise: bool,
        batch_size: int,
        turn: float = _TURN,
    ) -> np.ndarray:
        """Standardised states `x` (cells, n_state), followed from the data to time `turn` or back."""
        times = (turn * time_grid(_N_STEPS, self.module.schedule)).clamp_min(_FIRST)
        times = times.flip(0) if to_noise else times
        parts = []
        for first in range(0, len(x), batch_size):
            rows = slice(first, first + batch_size)
            part = x[rows].astype(np.float32)
            told = self._codes_of(range(first, first + len(part)), codes, {})
            start: Any = _Start(part)
            path = self.module.path(told, range(len(part)), start, times, sampler="heun")
            *_, last = path
            parts.append(last.cpu().numpy())
        return np.concatenate(parts)


def _paired(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """States `stop` (n, n_state) in an order in which each is near its partner in `start`.

    The assignment costs the square of n in memory, and more in time: many are paired in parts.
    """
    parts = [
        part[linear_sum_assignment(cdist(start[rows], part, "sqeuclidean"))[1]]
        for rows in np.array_split(np.arange(len(start)), -(-len(start) // _PAIRED))
        for part in [stop[rows]]
    ]
    return np.concatenate(parts)


class _Start:
    """Stands in for the noise of a path that begins somewhere else."""

    def __init__(self, x: np.ndarray):
        self._x = x

    def normal(self, *_: int) -> np.ndarray:
        return self._x


def _is_known(codes: np.ndarray) -> bool:
    return not (np.isnan(codes) if codes.dtype.kind == "f" else codes == DROPPED).any()
