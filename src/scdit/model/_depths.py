"""Depths of new cells: whole numbers that fit, and warnings where they leave what was trained on."""

from __future__ import annotations

import warnings

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


def warn_of_sizes(sizes: np.ndarray, known: np.ndarray) -> None:
    """Warn, at the user's line, of library sizes (n,) far from those of training cells."""
    far = (sizes > _FAR * known.max()) | (sizes < known.min() / _FAR)
    if far.any():
        warnings.warn(
            f"library_size of {sizes[far][0]:g} is far outside the training cells' range, "
            f"{known.min():g} to {known.max():g}: the model extrapolates",
            UserWarning,
            stacklevel=users_stacklevel(),
        )


def warn_of_depths(counts: sp.csr_matrix, known: np.ndarray) -> None:
    """Warn, at the user's line, if generated counts (cells, genes) leave the training cells' depths."""
    if len(known) < _ENOUGH:  # whose range says little
        return
    sizes = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    share = ((sizes > _OUTSIDE * known.max()) | (sizes < known.min() / _OUTSIDE)).mean()
    if share > _SHARE:
        warnings.warn(
            f"{share:.0%} of the generated cells have a library size far outside the training cells' "
            f"range, {known.min():g} to {known.max():g}: use a smaller guidance_scale, or give "
            "library_size=",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
