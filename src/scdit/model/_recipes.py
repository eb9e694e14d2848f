"""From the arguments of a call to the recipe of its cells: checked before any cell is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from scdit._checks import check_rng
from scdit.conditions import (
    LibrarySize,
    Request,
    RequestedCodes,
    conditions_like,
    name_requests,
    names_of_rows,
    resolve_library_sizes,
    resolve_n,
    size_request,
)
from scdit.diffusion import KeyedNoise
from scdit.model._assays import lengths_of_all
from scdit.model._depths import warn_of_sizes
from scdit.model._recipe import Recipe, cells_of_shard
from scdit.model._sampling import SamplingMixin
from scdit.model._told import LIBRARY, ORDER

# settings of a call that its cells depend on
_IN_NAMES = ("rng", "sampler", "n_steps", "spacing", "eta", "guidance_scale")
_BLOCK = 1 << 16  # cells whose library sizes are looked at together


class RecipesMixin(SamplingMixin):
    """Makes recipes."""

    name_hashes_: np.ndarray
    run_token_: str

    def _recipe(
        self,
        n: int | None,
        labels: Request,
        batch: Request,
        covariates: Mapping[str, Request] | None,
        conditions: pd.DataFrame | None,
        like: Any,
        *,
        times: torch.Tensor,
        options: Mapping[str, Any],
        described: Mapping[str, Any],
        library_size: LibrarySize | Mapping[str, LibrarySize],
        rng: Any,
        batch_size: int,
        shard: tuple[int, int] | None,
    ) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
        """The recipe of a call of :meth:`generate`.

        Parameters
        ----------
        times, options
            Time grid, and settings of the sampler by the names that the module knows.
        described
            Further settings as ``uns`` has them.

        Returns
        -------
        The recipe, its settings as ``uns`` has them, and all that its cells depend on.
        """
        wanted = self._sizes_by_assay(library_size)
        like = None if like is None else self._joined(like)
        table = conditions_like(self._conditions, conditions, like)
        requests = name_requests(self._conditions, labels, batch, covariates, table)
        lengths = lengths_of_all(wanted)
        if like is not None:  # which a model without conditions takes no column of
            lengths["like"] = like.n_obs
        n = resolve_n(n, requests, lengths)
        cells = cells_of_shard(n, batch_size, shard)
        names = None
        if conditions is not None:
            names = names_of_rows(conditions, self.name_hashes_)
        noise, composition = KeyedNoise(check_rng(rng)), self._training_cells
        requested = RequestedCodes(self._conditions, composition, requests, noise.generator(ORDER))
        sizes = {assay: size_request(size) for assay, size in wanted.items()}
        self._warn_of_sizes(sizes, n, noise)
        settings = {
            "version": _version(),
            **options,
            "n_steps": len(times) - 1,
            **described,
            "library_size": self._described_sizes(wanted),
            # as text: a seed may be too long for the integers of an h5ad file
            "rng": str(noise.seed),
            "batch_size": batch_size,
            "conditions": [condition.key for condition in self._conditions],
        }
        # the batch size is not a part of it, which changes one count in a hundred thousand
        own = (f"{k}={v}" for k, v in settings.items() if k in _IN_NAMES)
        recipe = Recipe(
            module=self.module,
            _conditions=self._conditions,
            composition=composition,
            requested=requested,
            sizes=sizes,
            noise=noise,
            times=times,
            options=options,
            cells=cells,
            batch_size=batch_size,
            common=";".join([self.run_token_, *own]),
            names=names,
        )
        record = {**settings, "n": n, "shard": shard, "model": self.run_token_}
        return recipe, settings, record | recipe.asked_for()

    def _warn_of_sizes(self, sizes: Mapping[str, Any], n: int, noise: KeyedNoise) -> None:
        """Warn of library sizes that are given, or of a given distribution, far from training cells.

        Raises
        ------
        ValueError
            If a size that is drawn is out of range.
        """
        for i, size in enumerate(sizes.values()):
            known = self._training_cells.of_assay(i).library_size
            if isinstance(size, np.ndarray):
                warn_of_sizes(np.atleast_1d(size), known)
            elif isinstance(size, tuple):
                warned = False
                for start in range(0, n, _BLOCK):
                    cells = range(start, min(start + _BLOCK, n))
                    numbers = noise.uniform_per_cell(cells, LIBRARY)
                    drawn: Any = resolve_library_sizes(size, self._training_cells, {}, numbers)
                    warned = warned or warn_of_sizes(drawn, known)


def _version() -> str:
    from scdit import __version__

    return __version__
