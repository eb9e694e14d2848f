"""Where the batches come from: counts for the codec, states for the denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from lightning.pytorch import LightningDataModule, Trainer
from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from scdit._checks import check_number
from scdit._lazy import LazyCounts, cell_totals
from scdit.module import LIBRARY_SIZE, PRESENT, RNA, SCDiTModule
from scdit.train._blocks import BlockBatches
from scdit.train._processes import shared


class CellDataModule(LightningDataModule):
    """Batches of counts and conditions, split into training and validation cells.

    Unlike scvi's splitter it never moves cells between the sets to avoid small last batches: no
    layer of scdit depends on the batch.

    Parameters
    ----------
    counts
        Counts of all cells, (cells, features), those of all assays side by side; read from where they
        are stored if they are :class:`LazyCounts`.
    codes
        Their conditions, (cells,) by name, see :func:`condition_codes`.
    present
        Whether they have each assay, bool (cells, assays); None where all have all.
    train_size, validation_size
        Fractions of the cells; None for 0.9 and the rest. Whatever is left is test cells.
    shuffle_set_split
        Whether cells are shuffled (with scvi's seed) before they are split.
    batch_size
        Cells per batch.
    split_seed
        The seed of an earlier split that is to be repeated.

    Raises
    ------
    ValueError
        If a fraction is outside its range or no training cell is left.
    """

    def __init__(
        self,
        counts: sp.csr_matrix | LazyCounts,
        codes: Mapping[str, Tensor],
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 256,
        present: np.ndarray | None = None,
        split_seed: int | None = None,
    ):
        super().__init__()
        self.counts, self.codes, self.batch_size = counts, codes, batch_size
        self.present = None if present is None else torch.from_numpy(present)
        n = counts.shape[0]
        self.n_train, self.n_val = _split_sizes(n, train_size, validation_size)
        order = np.arange(n)
        self.split_seed = split_seed
        if shuffle_set_split:
            if split_seed is None:
                # scvi's seed, or that of torch, which lightning.seed_everything sets
                seed = int(torch.randint(2**31, ())) if settings.seed is None else settings.seed
                self.split_seed = seed
            order = np.random.default_rng(self.split_seed).permutation(n)
        self.val_idx, self.train_idx, self.test_idx = np.split(
            order, [self.n_val, self.n_val + self.n_train]
        )

    def train_dataloader(self) -> DataLoader:
        """Training cells in random order."""
        return _loader(
            self, self.train_idx, RandomSampler, self.batch_size, self.counts, self.trainer
        )

    def val_dataloader(self) -> DataLoader | list:
        """Validation cells in order; empty if there are none."""
        if not self.n_val:
            return []
        return _loader(
            self, self.val_idx, SequentialSampler, self.batch_size, self.counts, self.trainer
        )

    def all_cells(self, batch_size: int) -> DataLoader:
        """All cells, in order."""
        everyone = np.arange(self.counts.shape[0])
        return _loader(self, everyone, SequentialSampler, batch_size, self.counts)

    def present_of(self, cells: np.ndarray | Tensor) -> Tensor | None:
        """Whether some cells have each assay, bool (cells, assays); None where all have all."""
        return None if self.present is None else self.present[cells]

    def __getitem__(self, cells: np.ndarray) -> dict[str, Tensor]:
        """Counts (cells, features), dense, and conditions (cells, 1), by the names that scvi has for them."""
        dense = torch.from_numpy(self.counts[cells].toarray().astype(np.float32, copy=False))
        codes = {name: code[cells][:, None] for name, code in self.codes.items()}
        present = self.present_of(cells)
        batch = {REGISTRY_KEYS.X_KEY: dense, **codes}
        return batch if present is None else {**batch, PRESENT: present}


def _split_sizes(
    n: int, train_size: float | None, validation_size: float | None
) -> tuple[int, int]:
    train_size = 0.9 if train_size is None else check_number("train_size", train_size, 0, 1)
    if train_size == 0:
        raise ValueError("train_size must be in (0, 1], got 0")
    if validation_size is not None:
        validation_size = check_number("validation_size", validation_size, 0, 1)
    if validation_size is not None and validation_size > 1 - train_size + 1e-9:
        raise ValueError(
            f"validation_size must be in [0, 1 - train_size], got {validation_size} with "
            f"train_size={train_size}"
        )
    n_train = min(max(round(n * train_size), 1), n)
    n_val = n - n_train if validation_size is None else round(n * validation_size)
    return n_train, min(n_val, n - n_train)


class StateDataModule(LightningDataModule):
    """Batches of standardised states and conditions for the denoiser.

    Parameters
    ----------
    cells
        The split of the cells.
    states
        What a batch is taken from: indexed with a list of cells it gives ``mean`` and ``sd`` of
        their standardised states, (cells, n_state), and ``codes`` (cells,) by condition.
    batch_size
        Cells per batch.
    """

    def __init__(self, cells: CellDataModule, states: Dataset, batch_size: int = 256):
        super().__init__()
        self.train_idx, self.val_idx, self.test_idx = (
            cells.train_idx,
            cells.val_idx,
            cells.test_idx,
        )
        self.n_train, self.n_val = cells.n_train, cells.n_val
        self.states, self.batch_size = states, batch_size
        # what a batch of states is made of, where they are encoded anew each time
        self.counts = cells.counts if isinstance(states, EncodedStates) else None

    def train_dataloader(self) -> DataLoader:
        """Training cells in random order."""
        return _loader(
            self.states, self.train_idx, RandomSampler, self.batch_size, self.counts, self.trainer
        )

    def val_dataloader(self) -> DataLoader | list:
        """Validation cells in order; empty if there are none."""
        if not self.n_val:
            return []
        return _loader(
            self.states,
            self.val_idx,
            SequentialSampler,
            self.batch_size,
            self.counts,
            self.trainer,
        )


def _loader(
    cells: Any,
    indices: np.ndarray,
    order: type,
    batch_size: int,
    counts: Any = None,
    trainer: Trainer | None = None,
) -> DataLoader:
    """Batches of some cells: a batch is one indexing of `cells` with an array of rows.

    They are visited in an order in which `counts` can be read, where these are not in memory. The
    processes of a trainer divide each of them.
    """
    dataset = _Rows(cells, np.asarray(indices))
    batches: Any
    if isinstance(counts, LazyCounts):
        batches = BlockBatches(counts, dataset.indices, batch_size, order is RandomSampler)
    else:
        batches = BatchSampler(order(dataset), batch_size, drop_last=False)
    return DataLoader(dataset, sampler=shared(batches, trainer), batch_size=None)


class _Rows(Dataset):
    """Some of the cells of what is indexed by arrays of rows."""

    def __init__(self, cells: Any, indices: np.ndarray):
        self.cells, self.indices = cells, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows: list[int]) -> dict[str, object]:
        return self.cells[self.indices[rows]]


class CachedStates(Dataset):
    """Posteriors of all cells, held in memory.

    Every time a cell is visited its state is drawn anew from the codec's posterior, so that the
    denoiser learns the aggregate posterior and not a set of points.

    Parameters
    ----------
    mean, sd
        Posterior of each cell's standardised state, (cells, n_state).
    codes
        Condition codes (cells,) by name.
    """

    def __init__(self, mean: Tensor, sd: Tensor, codes: Mapping[str, Tensor]):
        self.mean, self.sd, self.codes = mean, sd, codes

    def __getitem__(self, cells: np.ndarray) -> dict[str, object]:
        codes = {name: code[cells] for name, code in self.codes.items()}
        return {"mean": self.mean[cells], "sd": self.sd[cells], "codes": codes}


class EncodedStates(Dataset):
    """States that are encoded when they are asked for, by a codec without weights.

    Parameters
    ----------
    module
        A module whose codec is initialised.
    cells
        The registered counts and conditions.
    """

    def __init__(self, module: SCDiTModule, cells: CellDataModule):
        self.module, self.cells = module, cells
        library = torch.from_numpy(cell_totals(cells.counts))
        self.codes = {**cells.codes, LIBRARY_SIZE: module.codec.library_code(library).cpu()}

    def encode(self, cells: np.ndarray) -> Tensor:
        """States of some cells as the codec makes them, (cells, n_state), on the module's device."""
        counts = self.cells[cells][REGISTRY_KEYS.X_KEY]
        return self.module.inference({RNA: counts})["mean"]

    def __getitem__(self, cells: np.ndarray) -> dict[str, object]:
        state = self.encode(cells)
        mean, sd = self.module.standardise(state, torch.zeros_like(state))
        return {
            "mean": mean,
            "sd": sd,
            "codes": {k: code[cells] for k, code in self.codes.items()},
        }


def condition_codes(manager: AnnDataManager, names: list[str]) -> dict[str, Tensor]:
    """Codes (cells,), int64, or values, float32, of registered conditions, by name."""
    # copies: columns of a data frame are read-only
    columns = {n: torch.from_numpy(np.array(manager.get_from_registry(n)).ravel()) for n in names}
    return {k: v.float() if v.is_floating_point() else v.long() for k, v in columns.items()}
