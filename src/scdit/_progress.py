"""One progress bar for all long calls: a bar where somebody looks at it, lines in a log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tqdm.auto import tqdm
from tqdm.std import tqdm as terminal_tqdm

logger = logging.getLogger("scdit")
_TENTHS = 10  # lines in a log


def progress(total: int, description: str, unit: str, silent: bool, done: int = 0) -> Any:
    """A bar with the interface of tqdm: ``update``, ``set_description``, ``set_postfix``, ``unpause``.

    A terminal or a notebook shows a bar. Elsewhere, as in the log of a cluster's job, every tenth of the
    way is a line of the logger ``"scdit"``.

    Parameters
    ----------
    total
        Number of units.
    description, unit
        What is done, and what is counted.
    silent
        Show nothing.
    done
        Units that were done before.
    """
    if silent:
        return tqdm(total=total, disable=True)
    in_notebook = any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)
    if in_notebook or sys.stderr.isatty():
        return tqdm(total=total, desc=description, unit=unit, initial=done)
    return _LoggedProgress(total, description, unit, done)


class _LoggedProgress(terminal_tqdm):
    """Writes a line for every tenth of the way."""

    def __init__(self, total: int, description: str, unit: str, done: int):
        super().__init__(total=total, disable=True)
        self._of, self._done = max(total, 1), done
        self._line = _TENTHS * done // self._of
        self._first, self._began = done, time.monotonic()
        self._what, self._values = description, ""
        self._counted = unit + ("es" if unit.endswith("ch") else "s")  # cells, batches
        if not logger.hasHandlers():  # else lines would be lost
            logger.addHandler(logging.StreamHandler())
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def update(self, n: float | None = 1) -> bool | None:
        self._done += int(n or 0)
        line = _TENTHS * self._done // self._of
        if line > self._line:
            self._line = line
            seconds = max(time.monotonic() - self._began, 1e-3)
            logger.info(
                "%s: %d%% (%d of %d, %.3g %s/s)%s",
                self._what,
                100 * line // _TENTHS,
                self._done,
                self._of,
                (self._done - self._first) / seconds,
                self._counted,
                self._values,
            )
        return None

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        self._what = desc or ""

    def set_postfix(self, ordered_dict: Any = None, refresh: Any = True, **values: Any) -> None:
        self._values = "".join(f", {name} {value}" for name, value in values.items())

    def unpause(self) -> None:
        """There is no clock to set."""
