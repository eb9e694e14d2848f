"""Tests of differential expression between two groups of cells: one p-value for each gene."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.stats import ttest_ind

GroupTest: TypeAlias = Callable[[AnnData, str, str | None], Any]
"""Takes counts, the column of groups, and the column of donors or None; returns p-values (genes,)."""

ONE, TWO = "one", "two"  # the groups
_MIN_DONORS = 2  # of a group


def wilcoxon(adata: AnnData, groupby: str, donor_key: str | None = None) -> np.ndarray:
    """P-values (genes,) of the rank-sum test of scanpy with its correction for ties; cells are replicates."""
    return _of_scanpy(adata, groupby, method="wilcoxon", tie_correct=True)


def t_test(adata: AnnData, groupby: str, donor_key: str | None = None) -> np.ndarray:
    """P-values (genes,) of the t-test of scanpy; cells are replicates."""
    return _of_scanpy(adata, groupby, method="t-test")


def pseudobulk(adata: AnnData, groupby: str, donor_key: str | None) -> np.ndarray:
    """P-values (genes,) of a t-test of log counts per million of the sums of donors; these are replicates.

    Raises
    ------
    ValueError
        If there are no donors, or a group has one only.
    """
    if donor_key is None:
        raise ValueError("the pseudobulk test needs donors")
    donors = adata.obs[donor_key].astype("category")
    which = donors.cat.codes.to_numpy()
    group = adata.obs[groupby].to_numpy()[np.unique(which, return_index=True)[1]]
    sides = [np.flatnonzero(group == name) for name in (ONE, TWO)]
    if min(map(len, sides)) < _MIN_DONORS:
        raise ValueError("the pseudobulk test needs at least two donors in each group")
    counts = np.stack(
        [
            np.asarray(adata.X[which == i].sum(axis=0), dtype=np.float64).ravel()
            for i in range(len(group))
        ]
    )
    # half a count more, so that a donor without the gene has a logarithm
    log = np.log2((counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 1) * 1e6)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # of genes that donors hardly differ in
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        return ttest_ind(log[sides[0]], log[sides[1]]).pvalue


TESTS: dict[str, GroupTest] = {"wilcoxon": wilcoxon, "t-test": t_test, "pseudobulk": pseudobulk}


def p_values(test: GroupTest, adata: AnnData, groupby: str, donor_key: str | None) -> np.ndarray:
    """P-values (genes,) of a test, 1 where it has none.

    Raises
    ------
    Exception
        Whatever the test raises.
    ValueError
        If it returns anything but one number from 0 to 1, or NaN, for each gene.
    """
    found = test(adata.copy(), groupby, donor_key)
    if isinstance(found, pd.Series) and found.index.isin(adata.var_names).all():
        found = found.reindex(adata.var_names)
    values = np.asarray(found, dtype=np.float64)
    if values.shape != (adata.n_vars,):
        raise ValueError(f"it returned {values.shape} values for {adata.n_vars} genes")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("it returned values that are not from 0 to 1")
    return np.where(np.isnan(values), 1.0, values)


def _of_scanpy(adata: AnnData, groupby: str, **kwargs: Any) -> np.ndarray:
    """P-values of :func:`scanpy.tl.rank_genes_groups` on log counts per 10,000."""
    own = AnnData(adata.X.astype(np.float32), obs=adata.obs[[groupby]], var=adata.var[[]])
    sc.pp.normalize_total(own, target_sum=1e4)
    sc.pp.log1p(own)
    with np.errstate(divide="ignore", invalid="ignore"):  # genes that no cell has
        sc.tl.rank_genes_groups(own, groupby, groups=[TWO], reference=ONE, **kwargs)
    found = own.uns["rank_genes_groups"]
    p = pd.Series(found["pvals"][TWO], index=found["names"][TWO])
    return p.reindex(own.var_names).to_numpy()
