"""Cells of several modalities as one: equal where they are equal in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scdit.tl._population import Population


@dataclass(frozen=True, eq=False)
class Together:
    """The same cells, in the same order, in each modality."""

    parts: Sequence[Population]

    def __len__(self) -> int:
        return len(self.parts[0])

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """A digest of every cell's counts: equal digests are cells that are equal in all parts."""
        parts = (part.fingerprints for part in self.parts)
        return np.array(["".join(row) for row in zip(*parts, strict=True)])


def together(parts: Sequence[Population]) -> Population | Together:
    """Return the cells of several modalities as one, and those of a single one as they are."""
    return parts[0] if len(parts) == 1 else Together(parts)
