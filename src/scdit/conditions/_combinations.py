"""The combinations of categories that training cells have, found once, with the cells of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd


class Combinations:
    """Combinations of categories with their cells.

    Parameters
    ----------
    codes
        Code of every cell in each condition, by name, (cells,).
    n_cells
        Number of cells.
    """

    def __init__(self, codes: Mapping[str, np.ndarray], n_cells: int):
        groups = grouped(codes, n_cells)
        self.codes: dict[str, np.ndarray] = {
            name: np.array([combination[name] for combination, _ in groups]) for name in codes
        }
        self._cells = [cells for _, cells in groups]

    def __len__(self) -> int:
        return len(self._cells)

    def narrowed(self, which: np.ndarray, name: str, code: int) -> np.ndarray:
        """Those of some combinations, bool (combinations,), that have a category; all if none has."""
        fits = which & (self.codes[name] == code)
        return fits if fits.any() else which

    def cells(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the cells of the combinations `chosen`, ascending, and which of these each has."""
        cells = np.concatenate([self._cells[i] for i in chosen])
        which = np.repeat(np.arange(len(chosen)), [len(self._cells[i]) for i in chosen])
        order = np.argsort(cells, kind="stable")
        return cells[order], which[order]


class Recent:
    """What was made last, by key, up to a number of elements in all.

    Parameters
    ----------
    most
        Elements that are kept; one result is kept whatever its size.
    """

    def __init__(self, most: int):
        self._most, self._n = most, 0
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """The result of a key; `make` returns it with its number of elements."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                self._n += self._kept[key][1]
            found = self._kept[key] = self._kept.pop(key)  # now the last
            while self._n > self._most and len(self._kept) > 1:
                self._n -= self._kept.pop(next(iter(self._kept)))[1]
            return found[0]


def grouped(codes: Mapping[str, np.ndarray], n: int) -> list[tuple[dict[str, int], np.ndarray]]:
    """Each combination of codes with the positions of its cells, in order of the codes."""
    if not codes:
        return [({}, np.arange(n))]
    which = pd.DataFrame(dict(codes)).groupby(list(codes), sort=True).ngroup().to_numpy()
    order = np.argsort(which, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    return [({name: code[cells[0]] for name, code in codes.items()}, cells) for cells in groups]
