"""More cells of rare types, for methods that need some of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData

from scdit._checks import check_bool, check_class, check_int, check_rng

if TYPE_CHECKING:
    from scdit.model import SCDiT

FLAG = "scdit_generated"


def augment(
    adata: AnnData,
    model: SCDiT,
    *,
    min_cells: int,
    labels_key: str,
    layer: str | None = None,
    rng: int | np.random.Generator | np.random.SeedSequence | None = None,
    silent: bool = False,
    **generate_kwargs,
) -> AnnData:
    """Top up rare labels with generated cells.

    Parameters
    ----------
    adata
        Real cells with raw counts of the model's genes; it is not changed. Only the cells that the
        model was trained on belong here: cells made from others would carry them into it.
    model
        A trained model, to which `labels_key` was registered.
    min_cells
        Each label of `adata` with fewer cells than this gets generated ones up to it.
    labels_key
        Column of `obs` with the labels.
    layer
        Layer with the counts; None for the one that the model was trained on. They are ``X`` of the
        result and, where it is a layer, also there.
    rng, silent, **generate_kwargs
        Passed to :meth:`scdit.SCDiT.generate`.

    Returns
    -------
    A new AnnData: the real cells with the model's genes, then the generated ones, flagged in
    ``obs["scdit_generated"]``. Of ``obs`` the generated cells have the conditions, other columns are
    missing values; of ``layers`` there is the counts' one only, and no ``obsm``. Counts have the type
    of those in `adata`, or a larger type of integers if generated counts need one.

    Raises
    ------
    KeyError
        If the column or the layer does not exist.
    ValueError
        If the matrix does not hold raw counts, labels were not registered with the model under this name, genes are missing, `min_cells`
        is not positive or the cells were augmented before.

    Examples
    --------
    >>> more = scdit.tl.augment(train, model, min_cells=100, labels_key="cell_type")
    >>> more.obs["scdit_generated"].sum()
    """
    # a model is at hand, so that this loads nothing that is not there
    from scdit.model._counts import check_adata, check_counts, read_counts

    check_adata(adata)
    check_bool("silent", silent)
    check_rng(rng)
    min_cells = check_int("min_cells", min_cells)
    check_class("labels_key", labels_key, str)
    if labels_key not in adata.obs:
        raise KeyError(f"{labels_key!r} is not a column of adata.obs")
    if FLAG in adata.obs:
        raise ValueError(f"adata.obs[{FLAG!r}] exists: these cells were augmented before")
    setup = model.registry["setup_args"]
    registered = setup["labels_key"]
    if registered != labels_key:
        raise ValueError(
            f"the labels of this model are {registered!r}, not {labels_key!r}: "
            "setup_anndata(adata, labels_key=...)"
        )
    if layer is None:
        layer = setup["layer"]
    genes = list(model.get_var_names())
    missing = [gene for gene in genes if gene not in adata.var_names]
    if missing:
        raise ValueError(
            f"adata lacks {len(missing)} of the model's genes: {', '.join(missing[:5])}"
        )
    real = adata[:, genes].copy()
    check_counts(real, layer)  # never logs beside counts
    counts = read_counts(real, layer)
    obs = real.obs[[key for key in real.obs if not key.startswith("_scvi")]].copy()
    parts = [AnnData(counts, obs=obs, var=real.var.copy())]

    wanted = {
        label: int(min_cells - size)
        for label, size in adata.obs[labels_key].value_counts().items()
        if 0 < size < min_cells and label != setup["unlabeled_category"]
    }
    if wanted:
        new = model.generate(labels=wanted, rng=rng, silent=silent, **generate_kwargs)
        counts_type = counts.dtype
        if np.issubdtype(counts_type, np.integer):  # which may be too small for generated counts
            counts_type = np.promote_types(counts_type, new.X.dtype)
            parts[0].X = counts.astype(counts_type)
        parts.append(AnnData(new.X.astype(counts_type), obs=new.obs, var=new.var))
    more = ad.concat(parts, join="outer", merge="first")
    if isinstance(obs[labels_key].dtype, pd.CategoricalDtype):
        more.obs[labels_key] = more.obs[labels_key].astype(obs[labels_key].dtype)
    more.obs[FLAG] = np.repeat([False, True], [len(obs), more.n_obs - len(obs)])
    if layer is not None:
        more.layers[layer] = more.X
    return more
