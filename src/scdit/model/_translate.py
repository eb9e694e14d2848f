"""Real cells under other conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData

from scdit._checks import check_bool, check_int, check_rng, check_rows, listed
from scdit._columns import GENERATED
from scdit._progress import progress
from scdit._torch import steady_torch
from scdit.conditions import (
    LibrarySize,
    Request,
    name_requests,
    resolve_codes,
    resolve_n,
)
from scdit.diffusion import KeyedNoise
from scdit.model._assays import lengths_of_all
from scdit.model._batches import Cells, codes_on_device
from scdit.model._cells import CellsMixin
from scdit.model._depths import as_integers
from scdit.model._names import cell_names
from scdit.model._told import CONDITIONS, LIBRARY, ORDER

SOURCE = "source"  # column of obs with the names of the real cells
_MOST_SAMPLES = 10_000  # of each cell


class TranslateMixin(CellsMixin):
    """Adds :meth:`translate` to the model."""

    var_: pd.DataFrame
    run_token_: str

    @steady_torch()
    def translate(
        self,
        adata: AnnData | MuData | None = None,
        *,
        labels: Request = None,
        batch: Request = None,
        covariates: Mapping[str, Request] | None = None,
        n_samples: int = 1,
        indices: Sequence[int] | np.ndarray | None = None,
        library_size: LibrarySize | None = None,
        rng: int | np.random.Generator | np.random.SeedSequence | None = None,
        batch_size: int | None = None,
        silent: bool = False,
    ) -> AnnData | MuData:
        """Real cells as they might be under other conditions.

        A latent vector is drawn from the posterior of each cell, given its counts and its conditions. The
        codec has a normal distribution of latent vectors (the prior) for each combination of conditions,
        whose mean is a sum of one term per condition. The vector keeps its place in the prior: it is as
        many standard deviations from the mean of the new conditions as from that of the cell's own. Counts
        are then drawn under the new conditions.

        Parameters
        ----------
        adata
            Cells with raw counts of the model's genes and all registered conditions in ``obs``. None
            for the training cells.
        labels
            New labels: one name for all cells, or one name per cell; None where they stay. Give at
            least one of `labels`, `batch` and `covariates`. If a new condition is the cell's own,
            the result is another draw of the same cell.
        batch
            New batches, as `labels`.
        covariates
            New covariates by column, each as `labels`.
        n_samples
            Draws of each cell.
        indices
            Positions or a mask of the cells to translate; None for all.
        library_size
            Expected total counts per cell: None for those that each cell has, or a number, one number
            per cell, ``"empirical"`` or ``("lognormal", mean, sd)``, as in :meth:`generate`. That of a
            modality that a cell lacks is drawn.
        rng
            Seed or generator. One seed gives the same cells in batches of any size.
        batch_size
            Cells computed at once; None for ``scvi.settings.batch_size``.
        silent
            No progress bar.

        Returns
        -------
        AnnData of integer counts (CSR, int32), one row per cell in the order of the cells; with
        several samples the first of all cells, then the second. ``obs`` has the conditions,
        ``"source"`` (the name of the real cell), ``"scdit_sample"`` (0 to ``n_samples - 1``) and
        ``"scdit_generated"`` (True).

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError
            If `adata` is no AnnData.
        ValueError
            If the model has the expression codec, no condition is given or it was not registered,
            a name is unknown, the cells lack genes or conditions, or an argument is out of range.

        Warns
        -----
        UserWarning
            If no training cell has the new combination of conditions.

        Examples
        --------
        >>> control = adata[adata.obs["condition"] == "ctrl"]
        >>> model.translate(control, covariates={"condition": "stim"})
        """
        n_samples = check_int("n_samples", n_samples, high=_MOST_SAMPLES)
        check_bool("silent", silent)
        data = self.adata if adata is None else self._joined(adata)
        cells = self._cells("translate", data, indices, batch_size)
        obs, n = self._obs_of(data, indices), len(cells)
        requests = self._new_conditions(labels, batch, covariates)
        wanted = self._wanted_sizes(library_size)
        resolve_n(n, requests, lengths_of_all(wanted))
        noise, composition = KeyedNoise(check_rng(rng)), self._training_cells
        codes = resolve_codes(
            self._conditions,
            composition,
            {c.key: requests.get(c.key, obs[c.key].tolist()) for c in self._conditions},
            noise.uniform_per_cell(n, CONDITIONS),
            noise.generator(ORDER),
        )
        sizes = self._own_sizes(cells)
        numbers = noise.uniform_per_cell(n, LIBRARY)
        sizes |= self._resolved_sizes(wanted, composition, codes, numbers)
        told = {c.name: c.standardise(codes[c.name]) for c in self._conditions}
        counts = self._translated(cells, told, sizes, noise, n_samples, silent)

        sample, source = np.repeat(np.arange(n_samples), n), np.tile(cells.obs_names, n_samples)
        common = f"{self.run_token_};{noise.seed};translate"
        own = [
            *codes.values(),
            *sizes.values(),
            pd.util.hash_array(np.asarray(cells.obs_names, object)),
        ]
        names = cell_names(common, [*(np.tile(x, n_samples) for x in own), sample], len(sample))
        new = {c.key: c.decode(np.tile(codes[c.name], n_samples)) for c in self._conditions}
        columns = {SOURCE: source, "scdit_sample": sample, GENERATED: True}
        settings = {
            "conditions": list(requests),
            "library_size": self._described_sizes(wanted) if wanted else "observed",
            "rng": str(noise.seed),
        }
        made = AnnData(
            counts,
            obs=pd.DataFrame(new | columns, index=names),
            var=self.var_.copy(),
            uns={"scdit": settings},
        )
        return self._as_given(made)

    def _own_sizes(self, cells: Cells) -> dict[str, np.ndarray]:
        """Total counts (cells,) by assay, NaN of cells that lack it: their depth is drawn."""
        sizes = {}
        for i, (assay, part) in enumerate(self.module.by_assay(cells.counts).items()):
            total = part.sum(axis=1, dtype=np.float64).A1
            has = True if cells.present is None else cells.present[:, i]
            sizes[assay] = np.where(has, total, np.nan)
        return sizes

    def _obs_of(self, adata: AnnData, indices: Sequence[int] | np.ndarray | None) -> pd.DataFrame:
        """The registered columns of the cells, all of which must be there."""
        keys = [c.key for c in self._conditions]
        if SOURCE in keys:
            raise ValueError(
                f"a condition is called {SOURCE!r}, as the column that translate writes: rename it "
                "before setup_anndata"
            )
        missing = [key for key in keys if key not in adata.obs]
        if missing:
            raise ValueError(
                f"adata.obs lacks {listed(missing)}: to translate cells, all of their own "
                "conditions must be known"
            )
        return adata.obs[keys].iloc[check_rows("indices", indices, adata.n_obs)]

    def _new_conditions(
        self,
        labels: Request,
        batch: Request,
        covariates: Mapping[str, Request] | None,
    ) -> dict[str, Any]:
        """What is asked for, by column: one name or number, or one per cell."""
        requests = name_requests(self._conditions, labels, batch, covariates)
        requests = {key: request for key, request in requests.items() if request is not None}
        if not requests:
            raise ValueError(
                "say which conditions are to change: labels=, batch= or covariates={...}; registered: "
                + listed(c.key for c in self._conditions)
            )
        for key, request in requests.items():
            if isinstance(request, Mapping):
                raise ValueError(
                    f"{key}: give one name, or one name per cell; numbers of cells by name are for "
                    "generate()"
                )
        return requests

    def _wanted_sizes(self, library_size: LibrarySize | None) -> dict[str, LibrarySize]:
        """Library size of each assay that is asked for; none to keep that of each cell."""
        if isinstance(library_size, str) and library_size == "model":
            raise ValueError(
                "library_size='model' is for generate(); leave it out to keep that of each cell"
            )
        return {} if library_size is None else self._sizes_by_assay(library_size)

    @torch.inference_mode()
    def _translated(
        self,
        cells: Cells,
        told: Mapping[str, np.ndarray],
        sizes: Mapping[str, np.ndarray],
        noise: KeyedNoise,
        n_samples: int,
        silent: bool,
    ) -> sp.csr_matrix:
        """Counts (samples * cells, genes) under the conditions `told`, with library sizes (cells,)."""
        module, n = self.module, len(cells)
        parts: dict[int, list] = {sample: [] for sample in range(n_samples)}
        bar = progress(n * n_samples, "Translating", "cell", silent)
        for part in self._encoded(cells):
            codes = codes_on_device(told, part.rows, module.device)
            for sample, made in parts.items():
                state = module.codec.translate(part.draw(noise, sample), part.codes, codes)
                state = self._with_sizes(state, sizes, part.rows)
                first = sample * n + part.rows.start  # the keys of these cells
                drawn = module.draw_counts(state, range(first, first + len(state)), noise, codes)
                made.append(sp.csr_matrix(as_integers(drawn)))
                bar.update(len(state))
        bar.close()
        return sp.vstack([x for made in parts.values() for x in made], format="csr")
