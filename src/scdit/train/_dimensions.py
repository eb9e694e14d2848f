"""How many dimensions the latent space needs: components that are more than noise, or tell labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from scdit.nn._expression import TARGET_SUM
from scdit.train._initialise import (
    capped_counts,
    gene_caps,
    library_sizes,
    log_normalised,
    principal_components,
)
from scdit.train._moments import reads_per_molecule

_MAX_COUNTED = 5_000  # cells that defaults are found in: a matter of seconds
# share of a component's variance that has to be more than noise, and where it sets a category apart
_REPRODUCIBLE, _TELLING = 0.25, 0.1
# distance of a category from all other cells, in standard deviations of one cell, and cells in it
_APART, _MIN_CELLS = 1.0, 5


def some_cells(n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of up to 5,000 cells, in random order."""
    return rng.permutation(n_cells)[:_MAX_COUNTED]


def n_informative(
    counts: sp.spmatrix | np.ndarray,
    n: int,
    *,
    groups: Sequence[np.ndarray] = (),
    reads: bool = False,
) -> int:
    """Number of the first `n` principal components of log1p CP10k that latent dimensions are for.

    They are fitted to two thirds of the cells. In the others, each molecule is given to one of two
    halves at random: what the scores of both halves share is neither noise of the counting nor of
    the cells that were fitted to, and has to be a part of a component's variance, on average over
    three such divisions. What few cells share is a small part of the variance however far it sets
    them apart; where it does so with the cells of a category, a smaller part is enough.

    Parameters
    ----------
    counts
        Counts (cells, genes).
    n
        Number of components.
    groups
        Codes (cells,) of each categorical condition, negative where a cell's is not known.
    reads
        Whether a count is not a molecule but one of many reads of one.
    """
    rng = np.random.default_rng(0)
    chosen = some_cells(counts.shape[0], rng)
    counts = sp.csr_matrix(counts[chosen], dtype=np.float64)
    groups = [codes[chosen] for codes in groups]
    cells = np.arange(counts.shape[0])
    shares, distances = [], []
    for held_out in np.array_split(cells, 3):
        fitted = counts[np.setdiff1d(cells, held_out)]
        halves, sd = _scores_of_halves(fitted, counts[held_out], n, rng, reads)
        shares.append(np.prod(halves, axis=0).mean(axis=0) / sd**2)
        scores = np.mean(halves, axis=0)
        of_groups = [_distance(scores, codes[held_out]) for codes in groups]
        distances.append(np.max([np.zeros(n), *of_groups], axis=0))
    share, distance = np.mean(shares, axis=0), np.mean(distances, axis=0)
    return int(((share > _REPRODUCIBLE) | (share > _TELLING) & (distance > _APART)).sum())


def _scores_of_halves(
    fitted: sp.csr_matrix, held_out: sp.csr_matrix, n: int, rng: np.random.Generator, reads: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """Centred scores (held-out cells, n) of two halves of their counts; deviations (n,) of whole ones."""
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
    return [s - s.mean(axis=0) for s in scores], sd


def _distance(scores: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """How far the most distant category is from all other cells, at least, on each component, (n,).

    In standard deviations of one cell within a category; two standard errors are taken off.
    """
    scores, codes = scores[codes >= 0], codes[codes >= 0]
    categories, sizes = np.unique(codes, return_counts=True)
    n_cells, spare = len(codes), len(codes) - len(categories)
    if len(categories) < 2 or spare < 1:
        return np.zeros(scores.shape[1])
    means = (codes[:, None] == categories).T @ scores / sizes[:, None]
    rest = (scores.sum(axis=0) - sizes[:, None] * means) / (n_cells - sizes)[:, None]
    residuals = scores - means[np.searchsorted(categories, codes)]
    within = np.sqrt((residuals**2).sum(axis=0) / spare)
    apart = np.abs(means - rest) / np.maximum(within, 1e-9) - 2 / np.sqrt(sizes)[:, None]
    return apart[sizes >= _MIN_CELLS].max(axis=0, initial=0.0)
