"""The space in which cells are compared: genes and principal components of reference cells.

Whatever is fitted here is fitted on cells that stand on neither side of a comparison. Principal
components fitted on compared cells describe their noise too; a classifier then tells even fresh
real cells from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis

from scdit.tl._population import Population

N_PCS = 30
N_PCA_GENES = 2000
N_CLASSIFIER_GENES = 1000
N_CORRELATION_GENES = 200


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Gene sets (positions, most variable first) and a PCA, all of the same reference cells.

    Attributes
    ----------
    pca_genes
        Up to 2,000 genes of highest variance over (mean + 0.01) of log expression, among those
        detected in at least 1% of the cells.
    classifier_genes
        The first 1,000 of them.
    correlation_genes
        The first 200 of them that are detected in at least 5% of the cells.
    expressed_genes
        All genes detected in at least 1% of the cells.
    marker_genes
        All genes detected in at least 5% of the cells.
    pca
        Up to 30 components of `pca_genes`, unscaled.
    """

    pca_genes: np.ndarray
    classifier_genes: np.ndarray
    correlation_genes: np.ndarray
    expressed_genes: np.ndarray
    marker_genes: np.ndarray
    pca: PCA

    def project(self, cells: Population) -> np.ndarray:
        """Return the principal components of `cells`, shape (cells, components), float64."""
        # chunks bound the memory that a large training set needs
        starts = range(0, len(cells), 8192)
        parts = (cells.take(np.arange(i, min(i + 8192, len(cells)))) for i in starts)
        return np.concatenate(
            [self.pca.transform(part.log_expression(self.pca_genes)) for part in parts]
        ).astype(np.float64)


def fit_features(cells: Population, *, seed: int = 0) -> FeatureSpace:
    """Choose genes and fit principal components on reference cells.

    Nothing is densified: the PCA is a truncated decomposition of the sparse matrix.

    Parameters
    ----------
    cells
        Reference cells, on neither side of the comparisons to come.
    seed
        Of the PCA's starting vector.

    Raises
    ------
    ValueError
        If there are fewer than 10 cells, or fewer than 3 genes that vary.
    """
    if len(cells) < 10:
        raise ValueError(
            f"The features need at least 10 cells to be fitted on, not {len(cells)}: give more cells."
        )
    expression = cells.log_expression()
    mean, variance = mean_variance_axis(expression, axis=0)
    detection = np.bincount(cells.counts.indices, minlength=len(mean)) / len(cells)

    ranking = np.argsort(-variance / (mean + 0.01), kind="stable")
    ranking = ranking[(detection[ranking] >= 0.01) & (variance[ranking] > 0)]
    if len(ranking) < 3:
        raise ValueError(
            f"The features need 3 genes that vary and are detected in 1% of the cells; of "
            f"{expression.shape[1]} genes {len(ranking)} do among the {len(cells)} cells they are "
            "fitted on."
        )
    pca_genes = ranking[:N_PCA_GENES]
    n_components = min(N_PCS, len(cells) - 1, len(pca_genes) - 1)
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    return FeatureSpace(
        pca_genes=pca_genes,
        classifier_genes=ranking[:N_CLASSIFIER_GENES],
        correlation_genes=ranking[detection[ranking] >= 0.05][:N_CORRELATION_GENES],
        expressed_genes=np.flatnonzero(detection >= 0.01),
        marker_genes=np.flatnonzero(detection >= 0.05),
        pca=pca.fit(expression[:, pca_genes]),
    )
