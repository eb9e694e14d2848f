"""The space in which cells are compared: genes and principal components of reference cells.

Whatever is fitted here is fitted on cells that stand on neither side of a comparison. Principal
components fitted on compared cells describe their noise too; a classifier then tells even fresh
real cells from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.sparsefuncs import mean_variance_axis

from scdit.tl._kinds import FEATURES, Kind
from scdit.tl._population import Population

N_PCS = 30
N_PCA_GENES = 2000
N_CLASSIFIER_GENES = 1000
N_CORRELATION_GENES = 200


class _Recipe(NamedTuple):
    """How features of a kind are chosen.

    Proteins are few and none is left out. Most peaks are open in less than 1% of the cells, and
    yet tell cell types apart together.
    """

    rare: float  # components are of features detected in at least this share of the cells
    common: float  # correlations and fold changes of those detected in this share
    most: int | None  # features that have components


_RECIPES: dict[Kind, _Recipe] = {
    "rna": _Recipe(rare=0.01, common=0.05, most=N_PCA_GENES),
    "protein": _Recipe(rare=0, common=0.05, most=None),
    "atac": _Recipe(rare=0, common=0.01, most=None),
}


class Projection(Protocol):
    """A fitted map from log expression (cells, genes) to components (cells, components)."""

    def transform(self, X: sp.csr_matrix) -> np.ndarray:
        """Return the components of some cells."""


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Gene sets (positions, most variable first) and a PCA, all of the same reference cells.

    Attributes
    ----------
    pca_genes
        Up to 2,000 genes of highest variance over (mean + 0.01) of log expression, among those
        detected in at least 1% of the cells; all proteins and peaks that vary. Peaks are in the
        order of their frequency.
    classifier_genes
        The first 1,000 of them.
    correlation_genes
        The first 200 of them that are detected in at least 5% of the cells (peaks: 1%).
    expressed_genes
        All genes detected in at least 1% of the cells.
    marker_genes
        All genes detected in at least 5% of the cells (peaks: 1%).
    pca
        Up to 30 components of `pca_genes`: of RNA unscaled, of proteins standardised, of peaks
        of their TF-IDF.
    """

    pca_genes: np.ndarray
    classifier_genes: np.ndarray
    correlation_genes: np.ndarray
    expressed_genes: np.ndarray
    marker_genes: np.ndarray
    pca: Projection

    def project(self, cells: Population) -> np.ndarray:
        """Return the principal components of `cells`, shape (cells, components), float64."""
        # chunks bound the memory that a large training set needs
        starts = range(0, len(cells), 8192)
        parts = (cells.take(np.arange(i, min(i + 8192, len(cells)))) for i in starts)
        return np.concatenate(
            [self.pca.transform(part.log_expression(self.pca_genes)) for part in parts]
        ).astype(np.float64)

    def joint_features(self, cells: Population) -> np.ndarray:
        """Return what is put beside other modalities: components, or log counts of all proteins.

        Shape (cells, features), float64. A protein is a feature of its own, because its
        correlation with genes means something.
        """
        if cells.kind == "protein":
            return cells.log_expression(self.pca_genes).toarray().astype(np.float64)
        return self.project(cells)


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
    recipe = _RECIPES[cells.kind]
    expression = cells.log_expression()
    mean, variance = mean_variance_axis(expression, axis=0)
    detection = np.bincount(cells.counts.indices, minlength=len(mean)) / len(cells)

    score = detection if cells.kind == "atac" else variance / (mean + 0.01)
    ranking = np.argsort(-score, kind="stable")
    ranking = ranking[(detection[ranking] >= recipe.rare) & (variance[ranking] > 0)]
    if len(ranking) < 3:
        what = FEATURES[cells.kind]
        seen = f" and are detected in {recipe.rare:.0%} of the cells" if recipe.rare else ""
        raise ValueError(
            f"The features need 3 {what} that vary{seen}; of "
            f"{expression.shape[1]} {what} {len(ranking)} do among the {len(cells)} cells they are "
            "fitted on."
        )
    pca_genes = ranking[: recipe.most]
    return FeatureSpace(
        pca_genes=pca_genes,
        classifier_genes=ranking[:N_CLASSIFIER_GENES],
        correlation_genes=ranking[detection[ranking] >= recipe.common][:N_CORRELATION_GENES],
        expressed_genes=np.flatnonzero(detection >= 0.01),
        marker_genes=np.flatnonzero(detection >= recipe.common),
        pca=_fit_components(expression[:, pca_genes], cells.kind, seed),
    )


def _fit_components(expression: sp.csr_matrix, kind: Kind, seed: int) -> Projection:
    """Fit up to 30 components of log expression (cells, genes)."""
    n_cells, n_genes = expression.shape
    n_components = min(N_PCS, n_cells - 1, n_genes - 1)
    if kind == "atac":
        return _TfIdf(expression, n_components, seed)
    if kind == "rna":
        return PCA(n_components, svd_solver="arpack", random_state=seed).fit(expression)
    # of few proteins each is wanted, the last component too
    n_components = min(N_PCS, n_cells - 1, n_genes)
    return make_pipeline(
        StandardScaler(with_mean=False), PCA(n_components, svd_solver="covariance_eigh")
    ).fit(expression)


class _TfIdf:
    """Components of log(1 + TF-IDF) of peaks, without the first, which is the cell's depth.

    As in Signac (Stuart et al. 2021): the term frequency is 10,000 / open peaks of the cell, the
    inverse document frequency log(1 + cells / (1 + cells in which the peak is open)). All sparse.
    """

    def __init__(self, expression: sp.csr_matrix, n_components: int, seed: int) -> None:
        n_cells, n_peaks = expression.shape
        n_open = np.bincount(expression.indices, minlength=n_peaks)
        self._idf = sp.diags_array(np.log1p(n_cells / (1 + n_open)).astype(np.float32))
        n_components = min(n_components + 1, n_cells - 1, n_peaks)
        self._svd = TruncatedSVD(n_components, random_state=seed).fit(self._weights(expression))

    def transform(self, X: sp.csr_matrix) -> np.ndarray:
        return self._svd.transform(self._weights(X))[:, 1:]

    def _weights(self, expression: sp.csr_matrix) -> sp.csr_matrix:
        return sp.csr_matrix(expression.expm1() @ self._idf).log1p()
