"""The order in which cells that are not in memory are visited: block by block, mixed in a buffer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from scdit._lazy import LazyCounts


class BlockBatches(Sampler):
    """Batches of positions among some cells, whose counts are read ahead of them, a buffer at a time.

    In random order, blocks of neighbouring rows are shuffled, and cells within the buffer that so many
    blocks fill. Cells that fit into one buffer are visited in the order that they would have in memory.

    Parameters
    ----------
    counts
        The counts of all cells. Those of the buffer are held there.
    cells
        Rows of the cells to visit.
    batch_size
        Cells per batch.
    shuffle
        Whether the order is random, another each time.
    """

    def __init__(self, counts: LazyCounts, cells: np.ndarray, batch_size: int, shuffle: bool):
        self.counts, self.cells, self.batch_size, self.shuffle = counts, cells, batch_size, shuffle
        block = np.searchsorted(counts.edges, cells, side="right")
        order = np.argsort(block, kind="stable")
        self.blocks = np.split(order, np.flatnonzero(np.diff(block[order])) + 1)

    def __len__(self) -> int:
        return math.ceil(len(self.cells) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator()
        if self.shuffle:  # seeded as a RandomSampler of torch is
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        waiting = np.empty(0, dtype=np.int64)
        groups = self._groups(generator)
        for i, own in enumerate(groups):
            if self.shuffle:
                own = own[torch.randperm(len(own), generator=generator).numpy()]
            positions = np.concatenate([waiting, own])
            self.counts.hold(self.cells[positions])
            # what does not fill a batch goes on with the next buffer
            n = len(positions)
            full = n if i == len(groups) - 1 else n - n % self.batch_size
            for start in range(0, full, self.batch_size):
                yield positions[start : min(start + self.batch_size, full)].tolist()
            waiting = positions[full:]

    def _groups(self, generator: torch.Generator) -> list[np.ndarray]:
        """Positions of the cells of each buffer."""
        size = self.counts.buffer_rows
        if len(self.cells) <= size:
            return [np.arange(len(self.cells))]
        blocks = self.blocks
        if self.shuffle:
            blocks = [blocks[i] for i in torch.randperm(len(blocks), generator=generator).tolist()]
        begins = np.cumsum([0, *(len(b) for b in blocks[:-1])]) // size
        return [
            np.concatenate([b for b, g in zip(blocks, begins, strict=True) if g == group])
            for group in np.unique(begins)
        ]
