"""Batches of cells as the codec takes them, their random numbers, and what is shared in making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scdit._checks import check_names, did_you_mean, listed
from scdit.conditions import Category, Condition
from scdit.diffusion import KeyedNoise
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
    present
        Whether they have each assay, bool (cells, assays); None where all have all.
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
    present: np.ndarray | None
    obs_names: pd.Index
    genes: pd.Index
    places: np.ndarray
    batch_size: int

    def __len__(self) -> int:
        return self.counts.shape[0]

    def take(self, rows: np.ndarray) -> Cells:
        """Some of the cells, by position; a cell may be taken more than once."""
        codes = None if self.codes is None else {k: code[rows] for k, code in self.codes.items()}
        present = None if self.present is None else self.present[rows]
        return replace(
            self,
            counts=self.counts[rows],
            codes=codes,
            present=present,
            obs_names=self.obs_names[rows],
        )

    def showing(self, present: np.ndarray) -> Cells:
        """The same cells with other modalities shown, bool (cells, assays)."""
        return replace(self, present=present)

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
        return self.places[at], self.genes[at]


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
    present
        Whether the cells have each assay, bool (cells,), by its name; None where all have all.
    """

    rows: range
    counts: dict[str, Tensor]
    codes: dict[str, Tensor] | None
    mean: Tensor
    sd: Tensor
    present: dict[str, Tensor] | None = None

    def draw(self, noise: KeyedNoise, sample: int) -> Tensor:
        """One state of each cell, (cells, n_state); `sample` numbers the draws."""
        n_state = self.mean.shape[1]
        normal = noise.normal(self.rows.start, self.rows.stop, n_state, POSTERIOR, sample)
        return self.mean + self.sd * torch.from_numpy(normal).to(self.mean)


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
