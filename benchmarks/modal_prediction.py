"""How well are proteins predicted from genes, and are draws of them as uncertain as they should be?"""

from collections.abc import Mapping

import anndata as ad
import numpy as np
import scipy.sparse as sp
from mudata import MuData
from scipy.stats import kstest, spearmanr
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from splits import variability
from unseen import log_expression

import scdit

N_GENES, N_PCS, N_NEIGHBORS, N_DRAWS = 2000, 30, 30, 50


def dense(matrix: np.ndarray | sp.spmatrix) -> np.ndarray:
    """Return a matrix as an array of doubles."""
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float64)


def agreement(predicted: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Mean correlations over the proteins (columns) that vary."""
    varies = (predicted.std(0) > 0) & (real.std(0) > 0)
    pairs = list(zip(predicted.T[varies], real.T[varies], strict=True))
    return {
        "pearson": float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])),
        "spearman": float(np.mean([spearmanr(a, b)[0] for a, b in pairs])),
    }


def ranks(real: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the randomised rank of real counts among draws, in [0, 1]: uniform if these are right.

    Ties are broken at random (Czado et al. 2009). With N draws, the rank is one of N + 1.

    Parameters
    ----------
    real, draws
        Counts (cells, proteins) and (draws, cells, proteins).
    """
    below, equal = (draws < real).sum(0), (draws == real).sum(0)
    place = below + rng.integers(0, equal + 1)
    return (place + rng.random(real.shape)) / (len(draws) + 1)


def pit_distance(real: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> float:
    """Kolmogorov-Smirnov distance of the ranks from uniform; the median over proteins."""
    return float(np.median([kstest(x, "uniform").statistic for x in ranks(real, draws, rng).T]))


def regressions(train: MuData, test: MuData) -> Mapping[str, np.ndarray]:
    """Log proteins (cells, proteins) that regressions on log expression of genes predict."""
    genes = np.sort(variability(sp.csr_matrix(train["rna"].X)).argsort()[-N_GENES:])
    known, new = (log_expression(side["rna"])[:, genes] for side in (train, test))
    target = np.log1p(dense(train["prot"].X))
    pca = PCA(N_PCS, random_state=0).fit(known)
    neighbors = KNeighborsRegressor(N_NEIGHBORS).fit(pca.transform(known), target)
    ridge = RidgeCV(np.logspace(0, 5, 11)).fit(known, target)
    return {"kNN, 30 PCs": neighbors.predict(pca.transform(new)), "ridge": ridge.predict(new)}


def predictions(model: scdit.SCDiT, train: MuData, test: MuData, seed: int) -> list[dict]:
    """Return rows of the table: this package, which sees genes only, and regressions."""
    real = dense(test["prot"].X)
    genes = ad.AnnData(test["rna"].X, var=test["rna"].var)  # without labels
    genes.obs_names = test.obs_names
    made = model.predict_modality(genes, "prot", n_samples=N_DRAWS, rng=seed, silent=True)
    draws = np.stack(
        [dense(made.X), *(dense(made.layers[f"sample_{i}"]) for i in range(1, N_DRAWS))]
    )
    rng = np.random.default_rng(seed)
    found = {"scdit": np.log1p(dense(made.layers["expected"])), **regressions(train, test)}
    return [
        {
            "row": row,
            **agreement(predicted, np.log1p(real)),
            "pit_ks": pit_distance(real, draws, rng) if row == "scdit" else None,
        }
        for row, predicted in found.items()
    ]
