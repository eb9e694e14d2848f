"""Latent vectors that the user has made, decoded to counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData

from scdit._checks import check_bool, check_class, check_int, check_rng, shown
from scdit._columns import GENERATED
from scdit.conditions import (
    LibrarySize,
    conditions_like,
    name_requests,
    resolve_codes,
    resolve_n,
)
from scdit.diffusion import KeyedNoise
from scdit.model._assays import lengths_of_all
from scdit.model._batches import codes_on_device, unknown_codes
from scdit.model._cells import CellsMixin
from scdit.model._depths import as_integers
from scdit.model._names import cell_names
from scdit.model._told import CONDITIONS, LIBRARY, ORDER


class DecodeMixin(CellsMixin):
    """Adds :meth:`decode` to the model."""

    var_: pd.DataFrame
    run_token_: str

    def decode(
        self,
        latent: np.ndarray,
        library_size: LibrarySize = "empirical",
        conditions: pd.DataFrame | Mapping[str, Any] | None = None,
        *,
        expected: bool = False,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int = 512,
    ) -> AnnData:
        """Cells with given latent vectors.

        Parameters
        ----------
        latent
            Latent vectors (cells, n_latent), such as those of :meth:`get_latent_representation`, or
            means and interpolations of them.
        library_size
            Expected total counts per cell, which a latent vector does not have: one number, one
            number per cell, ``"empirical"`` (drawn from training cells with the same conditions) or
            ``("lognormal", mean, sd)``, as in :meth:`generate`.
        conditions
            Conditions of the cells by column, as in :meth:`generate`: a data frame with one row for
            each latent vector, or a mapping such as ``{"cell_type": "B cells"}`` from columns to one
            name, one name per cell or numbers of cells by name. A condition that is left out is not
            known: right for latent vectors from :meth:`get_latent_representation`, which looks at
            the counts alone.
        expected
            Return the expected counts of the decoder, and not counts that are drawn. Drawn counts
            are also matched to the distribution of each gene in the training cells, so that their
            mean may differ from these by some percent.
        rng
            Seed or generator. One seed gives the same counts in batches of any size.
        batch_size
            Cells computed at once.

        Returns
        -------
        AnnData (cells, training genes) with integer counts (CSR, int32), or expected counts (array,
        float32), in ``X``, and the given conditions in ``obs``. Row i has the latent vector i.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the model has the expression codec, `latent` has another shape or holds values that
            are not finite, or a condition or library size is unknown or out of range.

        Warns
        -----
        UserWarning
            If a condition was not seen in training, as in :meth:`generate`.

        Examples
        --------
        >>> latent = model.get_latent_representation()
        >>> model.decode(latent.mean(axis=0, keepdims=True), library_size=1e4, expected=True)
        """
        self._require_latent_codec("decode")
        codec = self.module.eval().codec
        states = _latent_vectors(latent, codec.n_latent)
        n, expected = len(states), check_bool("expected", expected)
        batch_size = check_int("batch_size", batch_size)
        if isinstance(library_size, str) and library_size == "model":
            raise ValueError(
                "library_size='model' is for generate(): a latent vector has no library size. Give a "
                "number, one number per cell, 'empirical' or ('lognormal', mean, sd)"
            )
        if conditions is not None and not isinstance(conditions, Mapping):
            check_class("conditions", conditions, pd.DataFrame, Mapping)
            conditions = conditions_like(self._conditions, conditions, None)
        requests = name_requests(self._conditions, None, None, None, conditions)
        sizes_wanted = self._sizes_by_assay(library_size)
        resolve_n(n, requests, lengths_of_all(sizes_wanted))

        noise, composition = KeyedNoise(check_rng(rng)), self._training_cells
        named = [c for c in self._conditions if requests.get(c.key) is not None]
        given = resolve_codes(
            named,
            composition,
            requests,
            noise.uniform_per_cell(n, CONDITIONS),
            noise.generator(ORDER),
        )
        sizes = self._resolved_sizes(
            sizes_wanted, composition, given, noise.uniform_per_cell(n, LIBRARY)
        )
        codes = {
            c.name: c.standardise(given[c.name]) if c.name in given else unknown_codes(c, n)
            for c in self._conditions
        }
        parts: list[Any] = []
        device = self.module.device
        with torch.inference_mode():
            for start in range(0, n, batch_size):
                cells = range(start, min(start + batch_size, n))
                vectors = torch.from_numpy(states[start : cells.stop]).to(device)
                # a depth to be replaced by that of the library size
                depths = vectors.new_zeros(len(vectors), codec.n_state - codec.n_latent)
                state = self._with_sizes(torch.cat([vectors, depths], dim=1), sizes, cells)
                told = codes_on_device(codes, cells, device)
                if expected:
                    decoded = codec.decode(state, told)
                    means = [decoded[name].mean() for name in self.module.n_features]
                    parts.append(torch.cat(means, dim=1).cpu().numpy())
                else:
                    drawn = self.module.draw_counts(state, cells, noise, told)
                    parts.append(sp.csr_matrix(as_integers(drawn)))
        settings = {
            "library_size": self._described_sizes(sizes_wanted),
            "expected": expected,
            "conditions": [c.key for c in named],
            "rng": str(noise.seed),
        }
        common = f"{self.run_token_};{noise.seed};decode;{expected}"
        own = [*given.values(), *sizes.values(), *states.T]
        obs = pd.DataFrame(
            {c.key: c.decode(given[c.name]) for c in named}, index=cell_names(common, own, n)
        )
        obs[GENERATED] = True
        new = AnnData(
            X=np.concatenate(parts) if expected else sp.vstack(parts, format="csr"),
            obs=obs,
            var=self.var_.copy(),
            uns={"scdit": settings},
        )
        return self._as_given(new)


def _latent_vectors(latent: Any, n_latent: int) -> np.ndarray:
    """Latent vectors as float32, checked."""
    try:
        vectors = np.asarray(latent, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"latent must be an array of numbers (cells, {n_latent}), got {shown(latent)}"
        ) from error
    if vectors.ndim != 2 or vectors.shape[1] != n_latent or not len(vectors):
        raise ValueError(
            f"latent must have the shape (cells, {n_latent}), with at least one cell, got "
            f"{vectors.shape}"
        )
    wrong = ~np.isfinite(vectors).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"latent has NaN or infinite values in {wrong.sum()} of {len(vectors)} rows, the first "
            f"of them row {wrong.argmax()}"
        )
    return vectors
