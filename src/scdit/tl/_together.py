"""Cells of several modalities as one: equal where they are equal in all of them, near where near in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scdit.tl._features import fit_features
from scdit.tl._population import Population


@dataclass(frozen=True, eq=False)
class Together:
    """The same cells, in the same order, in each modality."""

    parts: Sequence[Population]

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def labels(self) -> np.ndarray | None:
        """Label of each cell, where known."""
        return self.parts[0].labels

    def take(self, index: np.ndarray) -> Together:
        """Return the cells at `index`, an array of positions or a mask."""
        return Together([part.take(index) for part in self.parts])

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """A digest of every cell's counts: equal digests are cells that are equal in all parts."""
        parts = (part.fingerprints for part in self.parts)
        return np.array(["".join(row) for row in zip(*parts, strict=True)])


def together(parts: Sequence[Population]) -> Population | Together:
    """Return the cells of several modalities as one, and those of a single one as they are."""
    return parts[0] if len(parts) == 1 else Together(parts)


class JointSpace:
    """Components of each modality side by side, each modality with a total variance of 1.

    Parameters
    ----------
    cells
        What is fitted, and has these variances.
    seed
        Of the components.
    """

    def __init__(self, cells: Together, *, seed: int) -> None:
        self._spaces = [fit_features(part, seed=seed) for part in cells.parts]
        self._scales = [np.sqrt(x.var(axis=0).sum()) for x in self._components(cells)]

    def project(self, cells: Together) -> np.ndarray:
        """Return the components of `cells`, shape (cells, components of all modalities)."""
        parts = zip(self._components(cells), self._scales, strict=True)
        return np.hstack([x / scale for x, scale in parts])

    def _components(self, cells: Together) -> list[np.ndarray]:
        pairs = zip(self._spaces, cells.parts, strict=True)
        return [space.project(part) for space, part in pairs]


def fit_projection(
    cells: Population | Together, *, seed: int
) -> Callable[[Population | Together], np.ndarray]:
    """Fit components of the cells of one modality or of several; return the map to them."""
    if isinstance(cells, Together):
        return JointSpace(cells, seed=seed).project  # type: ignore[return-value]
    return fit_features(cells, seed=seed).project  # type: ignore[return-value]
