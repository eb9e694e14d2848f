"""Deterministic splits of real cells into training and test cells."""

from collections.abc import Iterator

import numpy as np
from anndata import AnnData

MIN_LABEL_CELLS = 5
MIN_GENE_CELLS = 3


def stratified_splits(
    adata: AnnData, labels_key: str, *, n_splits: int = 5, test_fraction: float = 0.2
) -> Iterator[tuple[AnnData, AnnData]]:
    """Yield `n_splits` pairs of training and test cells.

    Of every label, `test_fraction` of the cells (at least one) are for testing. Labels of fewer than
    5 cells are dropped, and so are genes seen in fewer than 3 training cells. Split number i is the
    same on every machine.
    """
    sizes = adata.obs[labels_key].value_counts()
    kept = sizes.index[sizes >= MIN_LABEL_CELLS]
    adata = adata[adata.obs[labels_key].isin(kept)]
    labels = adata.obs[labels_key].astype(str).to_numpy()
    for seed in range(n_splits):
        rng = np.random.default_rng(seed)
        is_test = np.zeros(adata.n_obs, dtype=bool)
        for label in np.unique(labels):
            cells = rng.permutation(np.flatnonzero(labels == label))
            is_test[cells[: max(1, round(test_fraction * len(cells)))]] = True
        seen = np.asarray((adata.X[~is_test] > 0).sum(axis=0)).ravel() >= MIN_GENE_CELLS
        yield adata[~is_test, seen].copy(), adata[is_test, seen].copy()
