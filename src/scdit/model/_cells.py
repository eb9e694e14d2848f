"""Cells of an AnnData as the codec takes them: counts and codes of conditions, checked, in batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from scvi import settings
from torch import Tensor

from scdit._checks import (
    check_class,
    check_int,
    check_names,
    check_rows,
    did_you_mean,
    listed,
    users_stacklevel,
)
from scdit.codec import LatentCodec
from scdit.conditions import Category, Condition, Number
from scdit.diffusion import KeyedNoise
from scdit.model._counts import align_genes, check_counts, read_counts
from scdit.module import RNA, SCDiTModule
from scdit.nn import DROPPED

POSTERIOR, CHOSEN, PREDICTED = 30, 31, 32  # purposes of random numbers


@dataclass(frozen=True)
class Cells:
    """Some cells, and how many of them are computed at once.

    Parameters
    ----------
    counts
        Counts (cells, genes), in the model's order of genes.
    codes
        Codes (cells,) of each condition, by its internal name; None to look at the counts alone.
    obs_names
        Names of the cells.
    genes
        The model's genes in the order in which the user's object has them.
    places
        Position of each of these in the model's order.
    batch_size
        Cells computed at once.
    """

    counts: sp.csr_matrix
    codes: dict[str, np.ndarray] | None
    obs_names: pd.Index
    genes: pd.Index
    places: np.ndarray
    batch_size: int

    def __len__(self) -> int:
        return self.counts.shape[0]

    def take(self, rows: np.ndarray) -> Cells:
        """Some of the cells, by position; a cell may be taken more than once."""
        codes = None if self.codes is None else {k: code[rows] for k, code in self.codes.items()}
        return replace(self, counts=self.counts[rows], codes=codes, obs_names=self.obs_names[rows])

    def columns(self, gene_list: Sequence[str] | None) -> tuple[np.ndarray, pd.Index]:
        """Positions in the model's order and names of the genes to return.

        Raises
        ------
        TypeError
            If `gene_list` is no list of names.
        ValueError
            If it is empty, or names a gene twice or one that the model does not have.
        """
        if gene_list is None:
            return self.places, self.genes
        if isinstance(gene_list, pd.Index | pd.Series):
            gene_list = gene_list.tolist()
        names = pd.Index(check_names("gene_list", gene_list), dtype=object)
        if not len(names):
            raise ValueError("gene_list is empty: leave it out for all genes")
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise ValueError(f"gene_list has {twice!r} more than once")
        at = self.genes.get_indexer(names)
        if (at < 0).any():
            unknown = names[at < 0]
            raise ValueError(
                f"{len(unknown)} of the {len(names)} genes of gene_list are not genes of the model: "
                f"{listed(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
                + did_you_mean(unknown[0], self.genes)
            )
        return self.places[at], names


@dataclass(frozen=True)
class Encoded:
    """Posterior of the states of a batch of cells.

    Parameters
    ----------
    rows
        Positions of the cells among all that were asked for: the keys of their random numbers.
    counts, codes
        Counts (cells, genes) by assay, and codes (cells,) by condition.
    mean, sd
        Mean and standard deviation of the states, (cells, n_state).
    """

    rows: range
    counts: dict[str, Tensor]
    codes: dict[str, Tensor] | None
    mean: Tensor
    sd: Tensor

    def draw(self, noise: KeyedNoise, sample: int) -> Tensor:
        """One state of each cell, (cells, n_state); `sample` numbers the draws."""
        n_state = self.mean.shape[1]
        normal = noise.normal(self.rows.start, self.rows.stop, n_state, POSTERIOR, sample)
        return self.mean + self.sd * torch.from_numpy(normal).to(self.mean)


class CellsMixin:
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
        batch_size = check_int(
            "batch_size", settings.batch_size if batch_size is None else batch_size
        )
        if adata is None and self.adata is None:
            raise ValueError("this model was loaded without data: pass adata=")
        given = check_class("adata", self.adata if adata is None else adata, AnnData)
        rows = check_rows("indices", indices, given.n_obs)
        if not len(rows):
            raise ValueError("indices selects no cells")
        layer, genes = self.registry["setup_args"]["layer"], pd.Index(self.get_var_names())
        if translated and (batch := self._batch_condition("transform_batch").key) not in given.obs:
            raise ValueError(
                f"adata.obs has no column {batch!r}: to move cells to another batch, their own must be "
                "known"
            )
        if given.isbacked:
            check_counts(given, layer)  # which says what to do with it
        aligned = align_genes(given, genes)
        check_counts(aligned, layer)
        counts = read_counts(aligned, layer)
        places = genes.get_indexer(given.var_names)
        places = places[places >= 0]
        return Cells(
            counts if indices is None else counts[rows],
            self._observed_codes(given.obs, rows) if conditions else None,
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
            counts = {RNA: torch.from_numpy(dense).to(module.device)}
            codes = None
            if cells.codes is not None:
                codes = codes_on_device(cells.codes, rows, module.device)
            mean, sd = module.codec.encode(counts, codes)
            yield Encoded(rows, counts, codes, mean, sd)

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
        many = isinstance(transform_batch, Sequence | np.ndarray | pd.Index | pd.Series)
        names = list(transform_batch) if many and not isinstance(transform_batch, str) else None
        names = [transform_batch] if names is None else names
        if not names:
            raise ValueError("transform_batch is an empty list: name a batch, or leave it out")
        return [int(code) for code in batch.encode(names)]

    def _batch_condition(self, argument: str) -> Category:
        """The registered batch."""
        for condition in self._conditions:
            if condition.name == BATCH and isinstance(condition, Category):
                return condition
        raise ValueError(
            f"{argument} needs batches: register them with setup_anndata(adata, batch_key=...)"
        )


BATCH = "batch"  # name of the condition in scvi's registry


def unknown_codes(condition: Condition, n: int) -> np.ndarray:
    """Codes (n,) of a condition that is not known."""
    if isinstance(condition, Category):
        return np.full(n, DROPPED, dtype=np.int64)
    return np.full(n, np.nan, dtype=np.float32)


def codes_on_device(
    codes: Mapping[str, np.ndarray], rows: range, device: torch.device
) -> dict[str, Tensor]:
    """Codes of a range of cells as the codec takes them."""
    return {
        name: torch.from_numpy(code[rows.start : rows.stop]).to(device)
        for name, code in codes.items()
    }
