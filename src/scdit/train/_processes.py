"""Training by several processes (Lightning's DDP): what they divide, and what has to be the same in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from scvi import settings
from torch import nn
from torch.utils.data import Sampler

STRATEGY = "ddp_find_unused_parameters_true"  # a phase trains some of the module's weights only


class SharedBatches(Sampler):
    """The part of each batch that one of several processes has.

    The mean of the processes' gradients is then the gradient of the batch: training is that of one process
    with batches of the same size. Parts are of one size, for which some cells of a batch are in two of them.

    Parameters
    ----------
    batches
        Batches of positions, (cells,), in an order that follows from torch's random numbers.
    rank, n_processes
        Which process this is, and of how many.
    """

    def __init__(self, batches: Any, rank: int, n_processes: int):
        self.batches, self.rank, self.n_processes = batches, rank, n_processes
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        batches = iter(self.batches)
        with torch.random.fork_rng(devices=[]):  # the order is drawn with the first batch
            torch.manual_seed((settings.seed or 0) + self.epoch)
            first = next(batches, None)
        self.epoch += 1
        if first is not None:
            yield self._part(first)
        for batch in batches:
            yield self._part(batch)

    def _part(self, batch: Iterable[int]) -> list[int]:
        cells = np.asarray(batch)
        n_each = -(-len(cells) // self.n_processes)
        return np.resize(cells, n_each * self.n_processes)[self.rank :: self.n_processes].tolist()


def shared(batches: Any, trainer: Trainer | None) -> Any:
    """Batches of a process, which are divided if there are several."""
    if trainer is None or trainer.world_size == 1:
        return batches
    return SharedBatches(batches, trainer.global_rank, trainer.world_size)


def own_noise(trainer: Trainer) -> None:
    """Give each of several processes random numbers of its own: they draw noise for different cells."""
    if trainer.world_size > 1:
        torch.manual_seed(torch.initial_seed() + trainer.global_rank)


def as_in_the_first(module: nn.Module, trainer: Trainer | None) -> None:
    """Take the state of a module, such as calibrations with random draws, from the first process."""
    if trainer is not None and trainer.world_size > 1:
        module.load_state_dict(trainer.strategy.broadcast(module.state_dict(), src=0))
