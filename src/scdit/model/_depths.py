"""Depths of new cells: whole numbers that fit, and warnings where they leave what was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from scdit._checks import users_stacklevel

_MOST = np.iinfo(np.int32).max
_FAR = 10.0  # times the largest, or smallest, library size of training cells that may be given
_ENOUGH = 100  # cells
_OUTSIDE, _SHARE = 2.0, 0.01  # times the largest one, and share of the generated cells beyond


def as_integers(counts: Tensor) -> np.ndarray:
    """Counts (cells, genes) as int32; none is larger than the type can hold."""
    # in double precision: the largest int32 is no float32
    return counts.cpu().double().clamp(0, _MOST).numpy().astype(np.int32)


def warn_of_sizes(sizes: np.ndarray, known: np.ndarray) -> bool:
    """Warn, at the user's line, of library sizes (n,) far from those of training cells, if any are."""
    far = (sizes > _FAR * known.max()) | (sizes < known.min() / _FAR)
    if far.any():
        warnings.warn(
            f"library_size of {sizes[far][0]:g} is far outside the training cells' range, "
            f"{known.min():g} to {known.max():g}: the model extrapolates",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
    return bool(far.any())


class DepthsSeen:
    """Counts generated cells that leave the training cells' depths, and warns if they are many.

    Parameters
    ----------
    known
        Library sizes of the training cells, (cells,), by assay; of the assays to look at.
    """

    def __init__(self, known: Mapping[str, np.ndarray]):
        # the range of a few cells says little
        self._ranges = {
            assay: (size.min(), size.max())
            for assay, size in known.items()
            if len(size) >= _ENOUGH
        }
        self.outside = dict.fromkeys(self._ranges, 0)

    def see(self, counts: Mapping[str, sp.csr_matrix]) -> None:
        """Look at generated counts (cells, features) by assay."""
        for assay, (low, high) in self._ranges.items():
            sizes = np.asarray(counts[assay].sum(axis=1, dtype=np.float64)).ravel()
            far = (sizes > _OUTSIDE * high) | (sizes < low / _OUTSIDE)
            self.outside[assay] += int(far.sum())

    def warn(self, n: int) -> None:
        """Warn, at the user's line, of assays in which more than one of a hundred of `n` cells are."""
        for assay, (low, high) in self._ranges.items():
            share = self.outside[assay] / n
            if share > _SHARE:
                warnings.warn(
                    f"{share:.0%} of the generated cells have a library size far outside the training "
                    f"cells' range, {low:g} to {high:g}: use a smaller guidance_scale, or give "
                    "library_size=",
                    UserWarning,
                    stacklevel=users_stacklevel(),
                )
