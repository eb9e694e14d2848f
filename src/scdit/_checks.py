"""Checks of arguments, one for each kind. They know no layer of the package, so that all of them may use them.

Each returns the value in its plain type, or raises an error that begins with the name of the argument and says what
is allowed: ``ValueError`` for a value, ``TypeError`` for an object of the wrong class.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np

_WITHIN = ("scdit.", "torch.", "contextlib")  # modules that a warning does not point to


def check_int(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """An integer from `low` to `high`, both allowed.

    Raises
    ------
    ValueError
        If it is none.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = {0: "a non-negative integer", 1: "a positive integer"}.get(
            low, f"an integer of at least {low}"
        )
        if high is not None and whole and value > high:
            allowed += f" and at most {high}"
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return int(value)


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """A finite number in a range whose ends are allowed, unless they are said to be open.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        number = float(value)
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if math.isfinite(number) and above and below:
            return number
    ends = []
    if low > -math.inf:
        ends.append(f"{'above' if open_low else 'at least'} {low:g}")
    if high < math.inf:
        ends.append(f"{'below' if open_high else 'at most'} {high:g}")
    allowed = " ".join(["a finite number", " and ".join(ends)]).strip()
    raise ValueError(f"{name} must be {allowed}, got {shown(value)}")


def check_bool(name: str, value: Any) -> bool:
    """True or False.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_choice(name: str, value: Any, known: Collection[str]) -> str:
    """One of some names.

    Raises
    ------
    ValueError
        If it is none of them; the message lists them and the closest one.
    """
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"unknown {name} {shown(value)}: choose one of {', '.join(known)}"
            + did_you_mean(value, known)
        )
    return value


def check_class(name: str, value: Any, *classes: type) -> Any:
    """An object of one of some classes.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not isinstance(value, classes):
        allowed = " or ".join(cls.__name__.removesuffix("Type") for cls in classes)
        article = "an" if allowed[0] in "AEIOaeio" or allowed.startswith("SC") else "a"
        raise TypeError(f"{name} must be {article} {allowed}, got {type(value).__name__}")
    return value


def check_rng(rng: Any) -> Any:
    """Anything that :func:`numpy.random.default_rng` takes: a seed, a generator, None, ...

    Raises
    ------
    ValueError
        If it is none of these.
    """
    try:
        if isinstance(rng, bool):
            raise TypeError
        np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"rng must be None, a non-negative integer or a numpy Generator, got {shown(rng)}"
        ) from error
    return rng


def check_rows(name: str, rows: Any, n: int) -> np.ndarray:
    """Positions (int64) among `n` rows: from positions, a mask of `n`, or None for all.

    Raises
    ------
    ValueError
        If it is neither, a position is out of range, or a mask has another length.
    """
    if rows is None:
        return np.arange(n)
    given = np.asarray(rows)
    if given.ndim == 1 and given.dtype == bool:
        if len(given) != n:
            raise ValueError(f"{name} is a mask of {len(given)} for {n} rows")
        return np.flatnonzero(given)
    if given.ndim == 1 and not len(given):
        return np.empty(0, dtype=np.int64)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name} must be positions or a mask of rows, got {shown(rows)}")
    outside = (given < -n) | (given >= n)
    if outside.any():
        raise ValueError(f"{name} has the position {given[outside][0]}, for {n} rows")
    return np.arange(n)[given]


def check_names(name: str, names: Any) -> list[str]:
    """A list of names, which is not one name.

    Raises
    ------
    TypeError
        If it is one name, or no sequence of names.
    """
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a list of names, got {shown(names)}")
    wrong = [n for n in names if not isinstance(n, str)]
    if wrong:
        raise TypeError(f"{name} must be a list of names, has {shown(wrong[0])}")
    return [str(n) for n in names]


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """``; did you mean 'x'?`` or nothing."""
    names = {str(k).lower(): str(k) for k in known}  # whatever is written in capitals
    close = get_close_matches(str(name).lower(), names, n=1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""


def listed(names: Iterable[object]) -> str:
    """Names in quotes, or ``none``; anndata 0.13 has a layer None, which is ``X``."""
    return ", ".join(repr(str(name)) for name in names if name is not None) or "none"


def shown(value: object, most: int = 60) -> str:
    """A value as it stands in a message: short."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def shortened(names: Collection[object], most: int = 20) -> str:
    """Names with commas between them, only the first if they are many."""
    some = ", ".join(str(name) for name in list(names)[:most])
    return some if len(names) <= most else f"{some}, ... ({len(names)} in all)"


@contextmanager
def errors_name(argument: str, other: str) -> Iterator[None]:
    """Errors whose message begins with the name of an argument of another function get the caller's name."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if error.args and isinstance(error.args[0], str):
            text = re.sub(rf"^(`?){other}\b", lambda m: m[1] + argument, error.args[0])
            error.args = (text, *error.args[1:])
        raise


def users_stacklevel() -> int:
    """Level, for a warning of the caller, of the first frame outside scdit and the decorators it uses."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_WITHIN):
        frame, level = frame.f_back, level + 1
    return level


def as_text(name: object) -> str:
    """A name as text: whole numbers without a point, so that 1 and 1.0 are one name."""
    text = str(name)
    whole = text.removesuffix(".0")
    return whole if whole.removeprefix("-").isdecimal() else text
