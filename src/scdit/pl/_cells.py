"""Which cells a figure shows."""

from __future__ import annotations

import numpy as np

from scdit.tl._population import Population


def equal_rows(n_real: int, n_generated: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return positions of as many real as generated cells: a sample of the side that has more.

    With unequal numbers, the larger side looks smoother and hides the other.
    """
    n = min(n_real, n_generated)
    return [np.sort(rng.permutation(size)[:n]) for size in (n_real, n_generated)]


def equal_numbers(real: Population, generated: Population) -> tuple[Population, Population]:
    """Return as many real as generated cells; the sample is always the same."""
    rows = equal_rows(len(real), len(generated), np.random.default_rng(0))
    return real.take(rows[0]), generated.take(rows[1])
