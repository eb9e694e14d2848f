"""Generation: names to codes, codes to cells, cells to AnnData."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_bool, check_int, check_rng
from scdit._columns import GENERATED
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.conditions import (
    Composition,
    LibrarySize,
    Request,
    conditions_like,
    name_requests,
    names_of_rows,
    resolve_codes,
    resolve_n,
)
from scdit.diffusion import KeyedNoise
from scdit.model._assays import lengths_of_all
from scdit.model._depths import as_integers, warn_of_depths, warn_of_sizes
from scdit.model._names import cell_names
from scdit.model._sampling import CONDITIONS, LIBRARY, ORDER, SamplingMixin, default_spacing

# settings of a call that its cells depend on
_IN_NAMES = ("rng", "sampler", "n_steps", "spacing", "eta", "guidance_scale")


class GenerateMixin(SamplingMixin):
    """Adds :meth:`generate` to the model."""

    adata: AnnData | None
    name_hashes_: np.ndarray
    run_token_: str
    var_: pd.DataFrame

    @steady_torch()
    def generate(
        self,
        n: int | None = None,
        *,
        labels: Request = None,
        batch: Request = None,
        covariates: Mapping[str, Request] | None = None,
        conditions: pd.DataFrame | None = None,
        like: AnnData | MuData | None = None,
        sampler: str | None = None,
        n_steps: int | None = None,
        spacing: str | None = None,
        eta: float | None = None,
        guidance_scale: float | Mapping[str, float] = 1.0,
        library_size: LibrarySize | Mapping[str, LibrarySize] = "model",
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int = 512,
        silent: bool = False,
    ) -> AnnData | MuData:
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
            ``"ab3"`` (the most accurate for its cost), ``"ab2"``, ``"dpmpp_2m"``, ``"heun"``,
            ``"euler"``, ``"ddim"`` or ``"ddpm"``, see :mod:`scdit.diffusion`. None for ``"ab3"``, and for
            ``"ab2"`` with the expression codec, whose zeros it follows better.
        n_steps
            Number of steps; each costs one call of the network per cell, two with heun. None for
            6 with ab3 (8 with guidance), 8 with ab2, 20 with dpmpp_2m and heun, 100 with euler and ddim, 250
            with ddpm. Few steps of ddim narrow the distribution: by 2.5% at 50 steps, 12% at 10.
        spacing
            Where the steps lie: ``"uniform"`` in time, ``"power"`` (slightly finer near the data),
            ``"quadratic"`` (finer there) or ``"logsnr"`` (uniform in the logarithm of the signal-to-noise
            ratio). None for ``"power"`` with ab3, and ``"uniform"`` with the others.
        eta
            Noise added by ddim, 0 (default) to 1 (as much as ddpm).
        guidance_scale
            Classifier-free guidance, 0 to 100: 1 follows the data, more makes cells more typical of their
            conditions and less diverse, 0 ignores the conditions. A mapping from columns to scales
            guides each condition on its own, those it does not name with scale 1. Scales other
            than 0 and 1 double the cost, or more with a mapping.
        library_size
            Expected total counts per cell: ``"model"`` (generated together with the state of the
            cell; with the expression codec the same as ``"empirical"``), ``"empirical"`` (drawn from
            training cells with the same conditions), one number, one number per cell, or
            ``("lognormal", mean, sd)``, the mean and standard deviation of their natural logarithm. The
            counts are drawn around it; at a few counts per cell some
            cells are empty. With several modalities, a mapping from their names to such: ``{"rna": 5000,
            "prot": "empirical"}``.
        rng
            Seed or generator, see :func:`numpy.random.default_rng`; a generator is advanced. The
            same seed and `batch_size` give the same cells, bit for bit, on one machine. Everything that
            is drawn belongs to the index of a cell: the first 100 of 200 cells are those of a call for
            100. Only where two mappings are combined does the number of cells matter. Cells have the
            same name only if they are the same cells.
        batch_size
            Cells computed at once: a matter of memory and speed only.
        silent
            No progress bar.

        Returns
        -------
        AnnData of `n` cells and the training genes, or MuData of the training modalities: integer counts in ``X`` (CSR, int32), the
        conditions in ``obs`` under their own names and categories, ``obs["scdit_generated"]`` (True),
        the training ``var``, and ``uns["scdit"]`` with the settings of this call. Its ``"rng"`` is the
        seed that repeats the call, also where none was given.

        Notes
        -----
        Of a combination of categories that no training cell has, states are generated for one that
        training cells have, with most categories the same and the label first among these. The codec
        then moves them as :meth:`translate` does: effects of conditions add up.

        ``anndata.concat`` makes float64 of int32 beside float32, which doubles the memory. Give the new
        counts the type of the real ones first, ``new.X = new.X.astype(adata.X.dtype)``.

        Raises
        ------
        RuntimeError
            If the model is not trained, or sampling diverges.
        ValueError
            If an argument is out of range, or names something unknown (the message lists what is
            known).

        Warns
        -----
        UserWarning
            If the model has to extrapolate: no training cell has the categories asked for together,
            or a number is far outside the training cells' range. If library sizes are far from those of
            the training cells. If the index of `conditions` cannot name the new cells.
        """
        times, options = self._sampling_options(sampler, n_steps, spacing, eta, guidance_scale)
        check_int("batch_size", batch_size)
        check_bool("silent", silent)
        wanted = self._sizes_by_assay(library_size)
        like = None if like is None else self._joined(like)
        table = conditions_like(self._conditions, conditions, like)
        requests = name_requests(self._conditions, labels, batch, covariates, table)
        lengths = lengths_of_all(wanted)
        if like is not None:  # which a model without conditions takes no column of
            lengths["like"] = like.n_obs
        n = resolve_n(n, requests, lengths)
        names = None
        if conditions is not None:
            names = names_of_rows(conditions, self.name_hashes_)
        noise, composition = KeyedNoise(check_rng(rng)), Composition(**self.composition_)
        codes = resolve_codes(
            self._conditions,
            composition,
            requests,
            noise.uniform_per_cell(n, CONDITIONS),
            noise.generator(ORDER),
        )
        sizes = self._resolved_sizes(
            wanted, composition, codes, noise.uniform_per_cell(n, LIBRARY)
        )

        for i, assay in enumerate(wanted):
            if assay in sizes:
                warn_of_sizes(sizes[assay], composition.of_assay(i).library_size)

        seen, moved = self._seen_codes(codes, composition, noise)
        scale = options["guidance_scale"]
        module, counts, layers = self.module, [], defaultdict(list)
        bar = progress(n, "Generating", "cell", silent)
        for start in range(0, n, batch_size):
            cells = range(start, min(start + batch_size, n))
            told = self._codes_to_decode(self._codes_of(cells, codes, sizes), scale)
            shown, to = (self._codes_of(cells, x, sizes) for x in (seen, moved))
            state = module.sample(shown, cells, noise, times, **options)
            if seen is not moved:
                ends = (self._codes_to_decode(x, scale) for x in (shown, to))
                state = module.codec.translate(state, *ends)
            state = self._with_sizes(state, sizes, cells)
            drawn = module.draw_counts(state, cells, noise, told)
            counts.append(sp.csr_matrix(as_integers(drawn)))
            for name, layer in module.codec.layers(state).items():
                layers[name].append(sp.csr_matrix(layer.cpu().numpy()))
            bar.update(len(cells))
        bar.close()

        settings = {
            "version": _version(),
            **options,
            "n_steps": len(times) - 1,
            "spacing": spacing or default_spacing(options["sampler"]),
            "guidance_scale": dict(guidance_scale)
            if isinstance(guidance_scale, Mapping)
            else float(guidance_scale),
            "library_size": self._described_sizes(wanted),
            # as text: a seed may be too long for the integers of an h5ad file
            "rng": str(noise.seed),
            "batch_size": batch_size,
            "conditions": [condition.key for condition in self._conditions],
        }
        x = sp.vstack(counts, format="csr")
        for i, (assay, part) in enumerate(module.by_assay(x).items()):
            if assay not in sizes:
                warn_of_depths(part, composition.of_assay(i).library_size)
        if names is None:
            # the batch size is not a part of it, which changes one count in a hundred thousand
            common = [
                self.run_token_,
                *(f"{k}={v}" for k, v in settings.items() if k in _IN_NAMES),
            ]
            own = [*codes.values(), *sizes.values()]
            names = cell_names(";".join(common), own, n)
        obs = self._obs(codes, names)
        obs[GENERATED] = True
        new = AnnData(X=x, obs=obs, var=self.var_.copy(), uns={"scdit": settings})
        new.layers.update({k: sp.vstack(parts, format="csr") for k, parts in layers.items()})
        return self._as_given(new)


def _version() -> str:
    from scdit import __version__

    return __version__
