"""Checks of what a user hands over. They know no layer of the package, so that all of them may use them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np


def check_positive_int(name: str, value: object) -> None:
    """Raise ValueError unless `value` is an integer above zero."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """``; did you mean 'x'?`` or nothing."""
    close = get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[object]) -> str:
    """Names in quotes, or ``none``."""
    return ", ".join(repr(str(name)) for name in names) or "none"
