"""Generation: names to codes, codes to cells, cells to AnnData."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_bool, check_int
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.conditions import LibrarySize, Request
from scdit.model._effects import EffectsRequest
from scdit.model._lazy import lazy_matrices, require_dask
from scdit.model._recipe import Batch, Recipe, joined
from scdit.model._recipes import RecipesMixin
from scdit.model._sampling import default_spacing
from scdit.model._shards import check_shard
from scdit.model._stream import StreamMixin
from scdit.store import Target


class GenerateMixin(RecipesMixin, StreamMixin):
    """Adds :meth:`generate` to the model."""

    adata: AnnData | None

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
        path: str | os.PathLike | None = None,
        resume: bool = False,
        overwrite: bool = False,
        shard: tuple[int, int] | None = None,
        lazy: bool = False,
        effects: EffectsRequest = None,
        null: str | None = None,
        reference: str | None = None,
        new_donors: Mapping[str, int] | None = None,
        silent: bool = False,
    ) -> AnnData | MuData:
        """Generate new cells.

        Parameters
        ----------
        n
            Number of cells. May be left out if another argument says it.
        labels
            Names of registered labels: one name for all cells, a mapping from names to numbers of
            cells (``{"B cells": 500, "NK cells": 50}``, in this order), or one name per cell. What
            is not given is drawn jointly from the training cells that share what is given (for
            numbers: that are nearest).
        batch
            Names of registered batches, as `labels`. Two mappings are combined at random.
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
            ``"ab2"`` with the expression codec or ``prediction="eps"``, where it is better.
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
            same seed and `batch_size` give the same cells, bit for bit, on one machine. The random
            numbers of a cell depend only on the seed and on its position in the call: the first 100 of
            200 cells are those of a call for 100. Two mappings are an exception, since their
            combination depends on `n`. Cells have the same name only if they are the same cells.
        batch_size
            Cells computed at once. Another value changes memory and speed, and by rounding about one count
            in 100,000.
        path
            File to write the cells to while they are generated, so that memory does not grow with `n`:
            ``.zarr`` or ``.h5ad``, of a MuData ``.zarr`` or ``.h5mu``. Until it is complete, the folder
            ``<path>.unfinished`` is there instead.
        resume
            Continue an interrupted call with the same arguments. The result is that of an uninterrupted
            call. If nothing is at `path`, generation starts; a complete file is returned.
        overwrite
            Replace the file at `path`, once the new one is complete.
        shard
            ``(rank, number)``: make only one of several parts of the cells, which several processes
            share. They need the same model, `rng` and `batch_size`. With `path`, each has a file of its own,
            ``<name>.shard-<rank>-of-<number>.<suffix>``.
        lazy
            Return dask arrays, whose chunks are made when they are computed. Needs ``scdit[dask]``.
        effects
            Log2 fold changes to add to what the model has learnt, -10 to 10: a Series by gene, for all
            cells, or ``{("condition", "treated"): Series, ...}`` for the cells of a category. RNA only.
        null
            A registered column of categories: cells are drawn as if it were not given, and its categories
            are then assigned at random. ``"labels"``: all cells are of one continuous population,
            without clusters, and all columns are assigned at random.
        reference
            With `null`, the category whose cells are drawn instead of the mixture of all.
        new_donors
            Column of donors and number of new ones, ``{"donor": 20}``. All cells are of new donors, who
            differ as the training donors do. Each takes the shares of cell types, and all conditions of
            which a donor has only one, from a training donor. Requests may name them: ``new donor 1``,
            ``new donor 2``, ... With `like`, all conditions except the donor are taken from these cells.
            Needs 8 training donors of 50 cells each.
        silent
            No progress bar.

        Returns
        -------
        AnnData of `n` cells and the training genes, or MuData of the training modalities: integer counts in ``X`` (CSR, int32), the
        conditions in ``obs`` under their own names and categories, ``obs["scdit_generated"]`` (True),
        the training ``var``, and ``uns["scdit"]`` with the settings of this call. Its ``"rng"`` is the
        seed that repeats the call, also where none was given.

        With `effects`, ``varm["scdit_log2fc"]`` (genes, effects) is what was asked for,
        ``varm["scdit_log2fc_realised"]`` what it is after library sizes are kept, and
        ``obs["scdit_effects"]`` names the effects of a cell.

        With `path`, ``X`` and layers of what is returned stay in the file, as dask arrays if dask is
        installed, else as sparse datasets of anndata. With `lazy`, they are dask arrays of CSR chunks,
        and ``obs`` is in memory.

        Notes
        -----
        If no training cell has the requested combination of categories, states are generated for the most
        similar combination that training cells have; the label is kept before other conditions. The codec
        then moves them to the requested combination as :meth:`translate` does: effects of conditions add
        up.

        ``anndata.concat`` makes float64 of int32 beside float32, which doubles the memory. Give the new
        counts the type of the real ones first, ``new.X = new.X.astype(adata.X.dtype)``.

        Raises
        ------
        RuntimeError
            If the model is not trained, or sampling diverges.
        ValueError
            If an argument is out of range, or names something unknown (the message lists what is
            known); if there are too few donors, or a call with other arguments is to be resumed.
        FileExistsError
            If there is something at `path`, and neither `overwrite` nor `resume` says what to do.
        OSError
            If `path` cannot be written, or the disk is full. What was written is kept.
        ImportError
            If `lazy` needs dask.

        Warns
        -----
        UserWarning
            If the model has to extrapolate: no training cell has the categories asked for together,
            or a number is far outside the training cells' range. If library sizes are far from those of
            the training cells. If the index of `conditions` cannot name the new cells. If an effect is
            of no cell, or leaves a gene with more than half of all counts.

        Examples
        --------
        >>> new = model.generate(1000, rng=0)
        >>> new = model.generate(labels={"B cells": 50, "NK cells": 5}, rng=0)
        >>> new = model.generate(50, covariates={"condition": "stim"}, library_size=2000, rng=0)
        """
        times, options = self._sampling_options(sampler, n_steps, spacing, eta, guidance_scale)
        check_int("batch_size", batch_size)
        check_bool("silent", silent)
        shard = check_shard(shard)
        if shard is not None and rng is None:
            raise ValueError("shard needs rng=, a seed that is the same for all ranks")
        target = self._target(path, resume, overwrite, shard, lazy)
        if target is not None and rng is None and "rng" in target.recorded:
            rng = int(target.recorded["rng"])
        guidance = guidance_scale
        recipe, settings, record = self._recipe(
            n,
            labels,
            batch,
            covariates,
            conditions,
            like,
            times=times,
            options=options,
            described={
                "spacing": spacing or default_spacing(options["sampler"]),
                "guidance_scale": dict(guidance)
                if isinstance(guidance, Mapping)
                else float(guidance),
            },
            library_size=library_size,
            rng=rng,
            batch_size=batch_size,
            shard=shard,
            effects=effects,
            null=null,
            reference=reference,
            new_donors=new_donors,
        )
        if target is not None:
            return self._write(recipe, settings, record, target, silent)
        if lazy:
            x, layers = lazy_matrices(recipe, len(self.var_))
            obs = recipe.whole_obs()
        else:
            x, layers, obs = self._made(recipe, silent)
        return self._new(x, layers, obs, recipe, settings)

    def _target(
        self, path: Any, resume: bool, overwrite: bool, shard: tuple[int, int] | None, lazy: bool
    ) -> Target | None:
        """Where the cells are written to; None for memory.

        Raises
        ------
        ValueError
            If the arguments do not go together.
        """
        check_bool("lazy", lazy)
        if path is not None:
            if lazy:
                raise ValueError("give path= or lazy=True, not both")
            return Target(path, self._suffixes(), overwrite=overwrite, resume=resume, shard=shard)
        if check_bool("resume", resume) or check_bool("overwrite", overwrite):
            raise ValueError("resume and overwrite are about a file: give path=")
        if lazy:
            require_dask()
            if self._modalities and not self._is_mudata:
                raise ValueError(
                    "lazy=True has no proteins in obsm: register the data with setup_mudata, or give "
                    "path="
                )
        return None

    def _made(
        self, recipe: Recipe, silent: bool
    ) -> tuple[sp.csr_matrix, dict[str, sp.csr_matrix], pd.DataFrame]:
        """Counts, layers and obs of all cells of a recipe, in memory."""
        made: list[Batch] = []
        bar = progress(len(recipe.cells), "Generating", "cell", silent)
        for cells in recipe.batches():
            made.append(recipe.make(cells))
            bar.update(len(cells))
        bar.close()
        x = sp.vstack([batch.counts for batch in made], format="csr")
        depths = recipe.depths_seen()
        depths.see(recipe.module.by_assay(x))
        depths.warn(len(recipe.cells))
        layers = {
            name: sp.vstack([batch.layers[name] for batch in made], format="csr")
            for name in made[0].layers
        }
        codes, sizes = (joined([getattr(b, k) for b in made]) for k in ("codes", "sizes"))
        return x, layers, recipe.obs(recipe.cells, codes, sizes)
