"""Random numbers that belong to a cell, whatever batch the cell is computed in."""

from __future__ import annotations

import numpy as np

_BLOCK = 64  # cells that share a stream: the cost of opening one is spread, few draws are wasted


class KeyedNoise:
    """Random numbers keyed by (purpose, step, cell index).

    A batch of cells ``[start, stop)`` gets the same numbers as these cells would get in any other
    batch: cells are drawn in fixed blocks, each with its own independent stream of the seed.

    Parameters
    ----------
    rng
        Anything that :func:`numpy.random.default_rng` takes (SPEC 7). A generator is advanced.

    Examples
    --------
    >>> noise = scdit.diffusion.KeyedNoise(0)
    >>> cells = noise.normal(0, 100, 16)
    >>> numpy.array_equal(noise.normal(40, 60, 16), cells[40:60])  # True
    """

    def __init__(self, rng: int | np.random.Generator | np.random.SeedSequence | None = None):
        # the seed that repeats these numbers, whatever they were asked for with
        whole = isinstance(rng, int | np.integer)
        self.seed = int(rng if whole else np.random.default_rng(rng).integers(2**63))  # type: ignore[arg-type]
        self._entropy = np.random.default_rng(self.seed).integers(2**32, size=4).tolist()

    def generator(self, *key: int) -> np.random.Generator:
        """A generator for something that is not drawn per cell, such as conditions."""
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))

    def normal(self, start: int, stop: int, n: int, *key: int) -> np.ndarray:
        """Standard normal float32 numbers (stop - start, n) for the cells of a range."""
        return self._draw(start, stop, n, key, lambda g, s: g.standard_normal(s, np.float32))

    def uniform(self, start: int, stop: int, n: int, *key: int) -> np.ndarray:
        """Uniform float32 numbers in [0, 1), (stop - start, n), for the cells of a range."""
        return self._draw(start, stop, n, key, lambda g, s: g.random(s, np.float32))

    def uniform_per_cell(self, cells: int | range, *key: int) -> np.ndarray:
        """One uniform float64 number in [0, 1) for each cell of a range, or of the first so many."""
        own = cells if isinstance(cells, range) else range(cells)
        return self._draw(own.start, own.stop, 1, key, lambda g, s: g.random(s))[:, 0]

    def _draw(self, start, stop, n, key, draw) -> np.ndarray:
        first, last = start // _BLOCK, (stop - 1) // _BLOCK
        blocks = [
            draw(self.generator(*key, block), (_BLOCK, n)) for block in range(first, last + 1)
        ]
        offset = first * _BLOCK
        return np.concatenate(blocks)[start - offset : stop - offset]
