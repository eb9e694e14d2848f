"""How many dimensions the latent space needs: components of the data that are more than noise."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scdit.codec._components import TARGET_SUM, log_normalised, principal_components
from scdit.codec._sparse import capped_counts, gene_caps, library_sizes, reads_per_molecule

_REPRODUCIBLE = 0.25  # share of a component's variance that has to be more than noise
_MAX_COUNTED = 5_000  # cells that defaults are found in: a matter of seconds


def some_cells(counts: sp.spmatrix | np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Counts (cells, genes) of up to 5,000 cells, in random order."""
    chosen = rng.permutation(counts.shape[0])[:_MAX_COUNTED]
    return sp.csr_matrix(counts[chosen], dtype=np.float64)


def n_reproducible(counts: sp.spmatrix | np.ndarray, n: int, *, reads: bool = False) -> int:
    """Number of the first `n` principal components of log1p CP10k that are more than noise.

    They are fitted to two thirds of the cells (cells, genes). In the others, each molecule is given
    to one of two halves at random: what the scores of both halves share is neither noise of the
    counting nor of the cells that were fitted to, and has to be a part of a component's variance,
    on average over three such divisions. A count is a molecule, or one of the `reads` of one.
    """
    rng = np.random.default_rng(0)
    counts = some_cells(counts, rng)
    cells = np.arange(counts.shape[0])
    shares = [
        _shared_variance(counts[np.setdiff1d(cells, held_out)], counts[held_out], n, rng, reads)
        for held_out in np.array_split(cells, 3)
    ]
    return int((np.mean(shares, axis=0) > _REPRODUCIBLE).sum())


def _shared_variance(
    fitted: sp.csr_matrix, held_out: sp.csr_matrix, n: int, rng: np.random.Generator, reads: bool
) -> np.ndarray:
    """Share (n,) of the variance of each component that halves of held-out cells agree on."""
    cap = gene_caps(fitted)
    fitted, held_out = capped_counts(fitted, cap), capped_counts(held_out, cap)
    _, loadings, sd = principal_components(fitted, library_sizes(fitted), TARGET_SUM, n)
    gain = reads_per_molecule(fitted)[held_out.indices] if reads else 1.0
    molecules = np.maximum(np.round(held_out.data / gain), 1)
    half = held_out.copy()
    half.data = held_out.data * rng.binomial(molecules.astype(np.int64), 0.5) / molecules
    scores = [
        log_normalised(part, library_sizes(part), TARGET_SUM) @ loadings
        for part in (half, held_out - half)
    ]
    return np.prod([s - s.mean(axis=0) for s in scores], axis=0).mean(axis=0) / sd**2
