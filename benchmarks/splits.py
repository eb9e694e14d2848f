"""A deterministic split of real cells into training and test cells."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

MIN_LABEL_CELLS = 5
MIN_GENE_CELLS = 3


def split(
    adata: AnnData,
    labels_key: str,
    *,
    seed: int = 0,
    test_fraction: float = 0.2,
    n_top_genes: int | None = None,
    drop_labels: Sequence[str] = (),
    hold_out: str | None = None,
) -> tuple[AnnData, AnnData]:
    """Return training and test cells; the same seed gives the same split on every machine.

    Of every label, `test_fraction` of the cells (at least one) are for testing. Labels of fewer
    than 5 cells are dropped, and so are genes seen in fewer than 3 training cells.

    Parameters
    ----------
    adata
        Cells with raw counts in ``X``.
    labels_key
        Column of `obs` with the labels.
    seed
        Of the permutation of each label's cells.
    test_fraction
        Share of every label's cells that are for testing.
    n_top_genes
        Keep only so many highly variable genes, chosen on the training cells. Cells left without
        a count are dropped.
    drop_labels
        Labels whose cells are left out, such as "unassigned".
    hold_out
        Column of `obs`, such as donors, of whose values `test_fraction` are for testing, with all of
        their cells; in the place of a share of every label.
    """
    labels = adata.obs[labels_key].astype(str).to_numpy()
    names, sizes = np.unique(labels, return_counts=True)
    wanted = (sizes >= MIN_LABEL_CELLS) & ~np.isin(names, list(drop_labels))
    adata = adata[np.isin(labels, names[wanted]) & adata.obs[labels_key].notna().to_numpy()].copy()
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    adata.X.eliminate_zeros()

    labels = adata.obs[labels_key].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    is_test = np.zeros(adata.n_obs, dtype=bool)
    if hold_out is not None:
        groups = adata.obs[hold_out].astype(str).to_numpy()
        names = rng.permutation(np.unique(groups))
        is_test = np.isin(groups, names[: max(1, round(test_fraction * len(names)))])
    for label in np.unique(labels) if hold_out is None else ():
        cells = rng.permutation(np.flatnonzero(labels == label))
        is_test[cells[: max(1, round(test_fraction * len(cells)))]] = True

    genes = np.flatnonzero(adata.X[~is_test].getnnz(axis=0) >= MIN_GENE_CELLS)
    if n_top_genes is not None and n_top_genes < len(genes):
        genes = np.sort(genes[variability(adata.X[~is_test][:, genes]).argsort()[-n_top_genes:]])
    adata = adata[:, genes]
    kept = adata.X.getnnz(axis=1) > 0
    return adata[~is_test & kept].copy(), adata[is_test & kept].copy()


def variability(counts: sp.csr_matrix) -> np.ndarray:
    """Variance over (mean + 0.01) of the log of counts per 10,000, per gene."""
    scale = 1e4 / np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    log = sp.csr_matrix(sp.diags_array(scale) @ counts).log1p()
    mean = np.asarray(log.mean(axis=0)).ravel()
    variance = np.asarray(log.multiply(log).mean(axis=0)).ravel() - mean**2
    return variance / (mean + 0.01)
