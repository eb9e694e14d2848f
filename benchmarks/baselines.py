"""Simple generators that a model has to beat.

Each takes the training cells and the column of their labels and returns a *sampler*: from one
label per wanted cell and a `numpy.random.Generator` it makes an AnnData of such cells.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

Counts: TypeAlias = np.ndarray | sp.csr_matrix
Sampler: TypeAlias = Callable[[np.ndarray, np.random.Generator], AnnData]
Draw: TypeAlias = Callable[[int, np.random.Generator], Counts]


def poisson(train: AnnData, labels_key: str) -> Sampler:
    """Independent Poisson counts per label and gene, given a depth drawn from the label's cells.

    The rate is a gene's share of the label's counts times the depth.
    """

    def fit(counts: sp.csr_matrix) -> Draw:
        depth, share = _depth_and_share(counts)
        return lambda n, rng: rng.poisson(rng.choice(depth, n)[:, None] * share)

    return _per_label(train, labels_key, fit)


def negative_binomial(train: AnnData, labels_key: str) -> Sampler:
    """Independent negative binomials per label and gene, given a depth as above.

    The mean is that of the Poisson; the dispersion matches the variance around these means, and
    is Poisson where there is no more variance than that.
    """

    def fit(counts: sp.csr_matrix) -> Draw:
        depth, share = _depth_and_share(counts)
        mean = depth[:, None] * share
        # variance = mean + mean^2 * overdispersion
        excess = ((counts.toarray() - mean) ** 2 - mean).sum(axis=0)
        overdispersion = np.clip(excess / np.maximum((mean**2).sum(axis=0), 1e-12), 1e-6, 1e3)

        def draw(n: int, rng: np.random.Generator) -> np.ndarray:
            mean = rng.choice(depth, n)[:, None] * share
            return rng.poisson(rng.gamma(1 / overdispersion, overdispersion, mean.shape) * mean)

        return draw

    return _per_label(train, labels_key, fit)


def bootstrap(train: AnnData, labels_key: str) -> Sampler:
    """Copies of training cells: a trap, which looks right and is memorised."""

    def fit(counts: sp.csr_matrix) -> Draw:
        return lambda n, rng: counts[rng.integers(counts.shape[0], size=n)]

    return _per_label(train, labels_key, fit)


BASELINES = {"nb": negative_binomial, "poisson": poisson, "bootstrap": bootstrap}


def as_cells(
    counts: Counts, train: AnnData, labels_key: str, labels: np.ndarray | None = None
) -> AnnData:
    """Make an AnnData of generated counts, with the genes of the training cells."""
    index = pd.Index([f"generated-{i}" for i in range(counts.shape[0])])
    obs = pd.DataFrame(index=index)
    if labels is not None:
        obs[labels_key] = pd.Categorical(labels)
    return AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=train.var[[]].copy())


def _per_label(train: AnnData, labels_key: str, fit: Callable[[sp.csr_matrix], Draw]) -> Sampler:
    """Fit to the training counts of each label; the cells come sorted by label."""
    train_labels = train.obs[labels_key].astype(str).to_numpy()
    draws = {
        label: fit(sp.csr_matrix(train.X[train_labels == label]))
        for label in np.unique(train_labels)
    }

    def sample(labels: np.ndarray, rng: np.random.Generator) -> AnnData:
        names, sizes = np.unique(labels, return_counts=True)
        parts = [
            sp.csr_matrix(draws[name](size, rng)) for name, size in zip(names, sizes, strict=True)
        ]
        return as_cells(sp.vstack(parts), train, labels_key, np.repeat(names, sizes))

    return sample


def _depth_and_share(counts: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return total counts per cell, and each gene's share of all counts."""
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    return depth, np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() / depth.sum()
