"""Real PBMCs that ship inside scanpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData


def pbmc68k() -> AnnData:
    """700 human PBMCs x 765 genes as integer counts, from Zheng et al. 2017.

    A sample of the 68k PBMC data set of 10x Genomics, embedded in scanpy as
    :func:`scanpy.datasets.pbmc68k_reduced`. Its ``raw`` holds log1p of counts per 10,000, which
    inverts exactly: ``counts = rint(expm1(raw) * n_counts / 1e4)``.

    Returns
    -------
    AnnData with counts in ``X`` (CSR, float32) and the ten cell types in ``obs["bulk_labels"]``.

    Examples
    --------
    >>> adata = scdit.datasets.pbmc68k()
    >>> scdit.SCDiT.setup_anndata(adata, labels_key="bulk_labels")
    """
    reduced = sc.datasets.pbmc68k_reduced()
    counts = reduced.raw.X.expm1().multiply(reduced.obs["n_counts"].to_numpy()[:, None] / 1e4)
    counts = sp.csr_matrix(np.rint(counts.toarray()).astype(np.float32))
    return AnnData(
        X=counts,
        obs=reduced.obs[["bulk_labels"]].copy(),
        var=pd.DataFrame(index=reduced.raw.var_names.copy()),
    )
