"""Cells of the user's AnnData: checked, and encoded in batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import settings
from torch import Tensor

from scdit._checks import check_class, check_int, check_rows, shown, users_stacklevel
from scdit._lazy import LazyCounts
from scdit.codec import LatentCodec
from scdit.conditions import Category, Condition, Number
from scdit.model._assays import AssaysMixin
from scdit.model._batches import Cells, Encoded, codes_on_device, unknown_codes
from scdit.model._counts import align_genes, check_counts, read_counts
from scdit.model._modalities import presence
from scdit.module import SCDiTModule

# methods that look at the counts of genes and at no others
_GENES_ONLY = (
    "get_normalized_expression",
    "differential_expression",
    "posterior_predictive_sample",
    "get_likelihood_parameters",
    "get_elbo",
    "get_reconstruction_error",
)
BATCH = "batch"  # name of the condition in scvi's registry


class CellsMixin(AssaysMixin):
    """What methods share that look at cells of an AnnData through the latent codec."""

    adata: AnnData | None
    module: SCDiTModule
    is_trained_: bool
    registry: dict
    get_var_names: Callable[[], Sequence[str]]
    _conditions: list[Condition]

    def _require_latent_codec(self, method: str) -> None:
        """Raise if the model is not trained, or its codec has no latent space and no likelihood."""
        if not self.is_trained_:
            raise RuntimeError("this model is not trained: call model.train() first")
        if not isinstance(self.module.codec, LatentCodec):
            raise ValueError(
                f"{method} needs a latent space and a likelihood of counts, which only "
                "codec='latent' has; this model has codec='expression'"
            )

    def _cells(
        self,
        method: str,
        adata: AnnData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        *,
        conditions: bool = True,
        translated: bool = False,
    ) -> Cells:
        """The cells that a method is called with, checked.

        Parameters
        ----------
        method
            Its name, for errors.
        adata, indices, batch_size
            As the user gives them, see :meth:`SCDiT.get_normalized_expression`.
        conditions
            Whether the registered columns that ``adata.obs`` has are looked at.
        translated
            Whether the cells are to be moved to other batches, for which their own must be known.
        """
        self._require_latent_codec(method)
        if self._modalities and method in _GENES_ONLY:
            raise ValueError(
                f"{method} is there for models of genes alone, not of several modalities"
            )
        batch_size = check_int(
            "batch_size", settings.batch_size if batch_size is None else batch_size
        )
        if adata is None and self.adata is None:
            raise ValueError("this model was loaded without data: pass adata=")
        given = check_class("adata", self.adata if adata is None else self._joined(adata), AnnData)
        rows = check_rows("indices", indices, given.n_obs)
        if not len(rows):
            raise ValueError("indices selects no cells")
        layer, genes = self._layer, pd.Index(self.get_var_names())
        if translated and (batch := self._batch_condition("transform_batch").key) not in given.obs:
            raise ValueError(
                f"adata.obs has no column {batch!r}: to move cells to another batch, their own must be "
                "known"
            )
        aligned = align_genes(given, genes)
        check_counts(aligned, layer)
        counts = read_counts(aligned, layer)
        present = presence(given, self._modalities)
        if isinstance(counts, LazyCounts) and indices is None:
            counts = counts[rows]
        places = genes.get_indexer(given.var_names)
        places = places[places >= 0]
        return Cells(
            counts if indices is None else counts[rows],
            self._observed_codes(given.obs, rows) if conditions else None,
            None if present is None else present[rows],
            given.obs_names[rows],
            genes[places],
            places,
            batch_size,
        )

    def _observed_codes(self, obs: pd.DataFrame, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Codes of the conditions that a table has; those that it lacks are not known."""
        codes = {}
        for c in self._conditions:
            if c.key not in obs:
                codes[c.name] = unknown_codes(c, len(rows))
                continue
            known = c.encode(obs[c.key].iloc[rows].tolist())
            if isinstance(c, Number) and (far := c.far_out(known)).any():
                warnings.warn(
                    f"{c.key} of {known[far][0]:g} is far outside the training cells' range, {c.low:g} "
                    f"to {c.high:g}: the model extrapolates",
                    UserWarning,
                    stacklevel=users_stacklevel(),
                )
            codes[c.name] = c.standardise(known)
        return codes

    def _encoded(self, cells: Cells) -> Iterator[Encoded]:
        """Posteriors of cells, batch by batch. Call it in inference mode."""
        module = self.module.eval()
        for start in range(0, len(cells), cells.batch_size):
            rows = range(start, min(start + cells.batch_size, len(cells)))
            dense = cells.counts[rows.start : rows.stop].toarray().astype(np.float32)
            counts = module.by_assay(torch.from_numpy(dense).to(module.device))
            codes = None
            if cells.codes is not None:
                codes = codes_on_device(cells.codes, rows, module.device)
            has = None
            if cells.present is not None:
                has = torch.from_numpy(cells.present[rows.start : rows.stop]).to(module.device)
            present = module.present_by_assay(has)
            mean, sd = module.codec.encode(counts, codes, present)
            yield Encoded(rows, counts, codes, mean, sd, present)

    def _in_batch(
        self, part: Encoded, state: Tensor, batch: int | None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """States and codes of cells had they been measured in a batch; as they are if it is None."""
        if batch is None or part.codes is None:
            return state, part.codes
        codes = {**part.codes, BATCH: torch.full_like(part.codes[BATCH], batch)}
        return self.module.codec.translate(state, part.codes, codes), codes

    def _batch_codes(self, transform_batch: Any) -> list[int | None]:
        """Codes of the batches that expression is decoded in; None for the observed one.

        Raises
        ------
        ValueError
            If no batch is registered, or a name is unknown.
        """
        if transform_batch is None:
            return [None]
        batch = self._batch_condition("transform_batch")
        if isinstance(transform_batch, list | tuple | np.ndarray | pd.Index | pd.Series):
            names = list(transform_batch)
        else:
            names = [transform_batch]
        if not names:
            raise ValueError("transform_batch is an empty list: name a batch, or leave it out")
        if not all(np.isscalar(name) for name in names):
            raise ValueError(
                "transform_batch must be the name of a batch or a list of them, got "
                + shown(transform_batch)
            )
        return [int(code) for code in batch.encode(names)]

    def _batch_condition(self, argument: str) -> Category:
        """The registered batch."""
        for condition in self._conditions:
            if condition.name == BATCH and isinstance(condition, Category):
                return condition
        raise ValueError(
            f"{argument} needs batches: register them with setup_anndata(adata, batch_key=...)"
        )
