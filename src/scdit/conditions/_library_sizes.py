"""Library sizes that are asked for: drawn from training cells, from a distribution, or given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.special import ndtri

from scdit._checks import shown
from scdit.conditions._composition import Composition

LibrarySize: TypeAlias = str | float | Sequence[float] | tuple[str, float, float]

_MAX_LIBRARY_SIZE = 1e9  # counts are 32-bit integers
_LOGNORMAL = "lognormal"
_LEAST = 2**-54  # uniform numbers may be zero, whose normal quantile is infinite


def resolve_library_sizes(
    request: LibrarySize,
    composition: Composition,
    codes: Mapping[str, np.ndarray],
    numbers: np.ndarray,
) -> np.ndarray | None:
    """Library sizes (n,) that replace the generated ones, or None to keep these.

    Parameters
    ----------
    request
        As in ``generate``.
    composition, codes
        The training cells, and the conditions of the new ones.
    numbers
        Uniform in [0, 1), (n,): what each cell's size is drawn with.

    Raises
    ------
    ValueError
        If a name is unknown or a size is out of range.
    """
    if isinstance(request, str):
        if request == "model":
            return None
        _check_name(request)
        return composition.library_size[composition.draw(codes, numbers)]
    if is_distribution(request):
        _, mean, sd = request  # type: ignore[misc]
        if not (np.isfinite([mean, sd]).all() and sd >= 0):
            raise ValueError(f"library_size: the sd of {request!r} must be 0 or more, both finite")
        with np.errstate(over="ignore"):  # refused below
            sizes = np.exp(mean + sd * ndtri(numbers.clip(_LEAST)))
    else:
        sizes = np.broadcast_to(_sizes_per_cell(request), numbers.shape).copy()
    _check_sizes(sizes)
    return sizes


def size_request(request: LibrarySize) -> LibrarySize | np.ndarray:
    """A library size as in ``generate``, checked; numbers as an array, () or (n,), float64.

    Raises
    ------
    ValueError
        If it is no library size, or a given number is out of range.
    """
    if isinstance(request, str):
        _check_name(request)
        return request
    if is_distribution(request):
        return request
    sizes = _sizes_per_cell(request)
    _check_sizes(sizes)
    return sizes


def sizes_of_cells(request: LibrarySize | np.ndarray, cells: range) -> Any:
    """What is asked for of a range of cells, of what :func:`size_request` returns."""
    per_cell = isinstance(request, np.ndarray) and request.ndim
    return request[cells.start : cells.stop] if per_cell else request  # type: ignore[index]


def _check_name(request: str) -> None:
    if request not in ("model", "empirical"):
        raise ValueError(
            f"unknown library_size {request!r}: choose 'model', 'empirical', a number, one number "
            "per cell, or ('lognormal', mean, sd)"
        )


def _check_sizes(sizes: np.ndarray) -> None:
    if not ((sizes > 0) & (sizes <= _MAX_LIBRARY_SIZE)).all():
        raise ValueError(f"library_size must be positive and at most {_MAX_LIBRARY_SIZE:.0e}")


def _sizes_per_cell(request: object) -> np.ndarray:
    """One number, (), or one per cell, (n,), float64.

    Raises
    ------
    ValueError
        If it is neither.
    """
    try:
        sizes = np.asarray(request)
        if sizes.ndim > 1 or sizes.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError) as error:  # of rows that differ in length, too
        raise ValueError(
            "library_size must be 'model', 'empirical', a number, one number per cell, or "
            f"('lognormal', mean, sd), got {shown(request)}"
        ) from error
    return sizes.astype(np.float64)


def lengths_of(request: LibrarySize) -> dict[str, int]:
    """Number of cells that library sizes are given for, by the name of the argument, if it is one per cell."""
    if isinstance(request, str) or is_distribution(request):
        return {}
    sizes = _sizes_per_cell(request)
    return {"library_size": len(sizes)} if sizes.ndim else {}


def is_distribution(request: object) -> bool:
    """Whether a library size is ``("lognormal", mean, sd)``.

    Raises
    ------
    ValueError
        If it begins like one and is none.
    """
    if not isinstance(request, tuple) or not request or not isinstance(request[0], str):
        return False
    numbers = [isinstance(v, int | float | np.number) for v in request[1:]]
    if request[0] != _LOGNORMAL or len(numbers) != 2 or not all(numbers):
        raise ValueError(
            f"library_size: {request!r} is no distribution; write ('lognormal', mean, sd), both of "
            "the natural logarithm"
        )
    return True


def describe_library_size(request: LibrarySize) -> str:
    """A library size as it stands in the provenance."""
    if isinstance(request, str):
        return request
    return "lognormal({:g}, {:g})".format(*request[1:]) if is_distribution(request) else "given"  # type: ignore[index]
