"""Simple generators that a model has to beat. All give cells of the labels asked for, as an AnnData.

Each takes the training cells, the column of their labels, one label per wanted cell, and a
`numpy.random.Generator`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.random import Generator


def poisson(train: AnnData, labels_key: str, labels: np.ndarray, rng: Generator) -> AnnData:
    """Poisson counts whose rates are the means of the label."""

    def draw(counts: sp.csr_matrix, n: int) -> np.ndarray:
        return rng.poisson(counts.mean(axis=0), size=(n, counts.shape[1]))

    return _per_label(train, labels_key, labels, draw)


def negative_binomial(
    train: AnnData, labels_key: str, labels: np.ndarray, rng: Generator
) -> AnnData:
    """Independent negative binomials per label and gene, given a depth drawn from the label's cells.

    The mean is a gene's share of the label's counts times the depth; the dispersion matches the
    variance around these means, and is Poisson where there is no more variance than that.
    """

    def draw(counts: sp.csr_matrix, n: int) -> np.ndarray:
        x = counts.toarray().astype(np.float64)
        depth = x.sum(axis=1, keepdims=True)
        share = x.sum(axis=0) / depth.sum()
        mean = depth * share
        # variance = mean + mean^2 * overdispersion
        excess = ((x - mean) ** 2 - mean).sum(axis=0)
        overdispersion = np.clip(excess / np.maximum((mean**2).sum(axis=0), 1e-12), 1e-6, 1e3)
        new_mean = rng.choice(depth.ravel(), n)[:, None] * share
        return rng.poisson(
            rng.gamma(1 / overdispersion, overdispersion, size=new_mean.shape) * new_mean
        )

    return _per_label(train, labels_key, labels, draw)


def bootstrap(train: AnnData, labels_key: str, labels: np.ndarray, rng: Generator) -> AnnData:
    """Copies of training cells: a trap, which looks right and is memorised."""

    def draw(counts: sp.csr_matrix, n: int) -> sp.csr_matrix:
        return counts[rng.integers(counts.shape[0], size=n)]

    return _per_label(train, labels_key, labels, draw)


BASELINES = {"poisson": poisson, "negative binomial": negative_binomial, "bootstrap": bootstrap}


def _per_label(
    train: AnnData,
    labels_key: str,
    labels: np.ndarray,
    draw: Callable[[sp.csr_matrix, int], np.ndarray | sp.csr_matrix],
) -> AnnData:
    """Call `draw(training counts of the label, number of cells)` for every label asked for."""
    train_labels = train.obs[labels_key].astype(str).to_numpy()
    names, sizes = np.unique(labels, return_counts=True)
    parts = [
        sp.csr_matrix(draw(sp.csr_matrix(train.X[train_labels == name]), n), dtype=np.float32)
        for name, n in zip(names, sizes, strict=True)
    ]
    obs = pd.DataFrame({labels_key: pd.Categorical(np.repeat(names, sizes))})
    obs.index = obs.index.astype(str)
    return AnnData(sp.vstack(parts, format="csr"), obs=obs, var=train.var[[]].copy())
