"""Which cells have counts of which assays, applied to what is computed for all cells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scdit.codec._protocol import Counts, Present


class Presence:
    """Selects by cell; where all cells have an assay, everything stays as it is.

    Parameters
    ----------
    present
        Which cells have counts of an assay, bool (cells,), by its name; None, or no entry, for all.

    Raises
    ------
    TypeError
        If an entry is not bool.
    """

    def __init__(self, present: Present):
        self.present = {} if present is None else present
        for name, has in self.present.items():
            if has.dtype is not torch.bool:
                raise TypeError(f"present: the entry {name!r} must be bool, got {has.dtype}")

    def counts(self, counts: Counts) -> Counts:
        """Counts (cells, features) by assay, zeros where a cell lacks one, whatever stood there."""
        return {name: self.only(name, x, 0.0) for name, x in counts.items()}

    def only(self, name: str, values: Tensor, otherwise: Tensor | float) -> Tensor:
        """`values` (cells, ...) of cells that have the assay, and `otherwise` of the others."""
        if name not in self.present:
            return values
        has = self.present[name].to(values.device)
        return torch.where(has.reshape(-1, *[1] * (values.dim() - 1)), values, otherwise)


def rows_with(present: Present, name: str, n_cells: int) -> np.ndarray:
    """Indices of the cells that have counts of an assay."""
    if present is None or name not in present:
        return np.arange(n_cells)
    return np.flatnonzero(present[name].cpu().numpy())
