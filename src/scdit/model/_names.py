"""Names of new cells: the same only if the cells are."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pandas as pd
from torch import nn

_DIGITS = 12  # hexadecimal, of the part that stands for the call and the cell's conditions


def weights_token(module: nn.Module) -> str:
    """Eight hexadecimal digits that stand for the weights of a module."""
    digest = blake2b(digest_size=4)
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        if hasattr(value, "detach"):
            digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def cell_names(settings: str, columns: Iterable[np.ndarray], n: int, first: int = 0) -> list[str]:
    """Names of cells, ``scdit-<digits>-<index>``.

    Parameters
    ----------
    settings
        All that the cells have in common: model, seed, sampler and its settings.
    columns
        What is a cell's own: codes of conditions, library size; each (n,).
    n
        Number of cells.
    first
        Index of the first of them.
    """
    whole = int.from_bytes(blake2b(settings.encode(), digest_size=8).digest(), "big")
    digest = np.full(n, whole, dtype=np.uint64)
    for column in columns:
        digest = pd.util.hash_array(digest ^ pd.util.hash_array(np.asarray(column)))
    shift = np.uint64(64 - 4 * _DIGITS)
    parts = (digest >> shift).tolist()
    return [f"scdit-{part:0{_DIGITS}x}-{i}" for i, part in enumerate(parts, first)]
