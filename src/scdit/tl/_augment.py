"""More cells of rare types, for methods that need some of each."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_bool_dtype, is_integer_dtype

from scdit._checks import check_bool, check_class, check_int, check_rng, did_you_mean, listed
from scdit._columns import GENERATED

if TYPE_CHECKING:
    from scdit.model import SCDiT

_MOST = 1_000_000  # cells of one label
_OWN = ("self", "n", "labels", "conditions", "like", "rng", "silent")  # not for generate_kwargs


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
        Each label of `adata` with fewer cells than this gets generated ones up to it; at most a
        million.
    labels_key
        Column of `obs` with the labels.
    layer
        Layer with the counts; None for the one that the model was trained on. They are ``X`` of the
        result and, where it is a layer, also there.
    rng, silent, **generate_kwargs
        Passed to :meth:`scdit.SCDiT.generate`: all of its arguments but those that say which cells,
        ``n``, ``labels``, ``conditions`` and ``like``.

    Returns
    -------
    A new AnnData: the real cells with the model's genes, then the generated ones, flagged in
    ``obs["scdit_generated"]``. Of ``obs`` the generated cells have the conditions, other columns are
    missing values, for which integers and booleans get the types of pandas that have these
    (``Int64``, ``boolean``); of ``layers`` there is the counts' one only, and no ``obsm``. Counts
    have the type of those in `adata`, or a larger type of integers if generated counts need one.

    Raises
    ------
    KeyError
        If the column or the layer does not exist.
    RuntimeError
        If the model is not trained.
    TypeError
        If an argument is of the wrong class, or :meth:`scdit.SCDiT.generate` has none of that name.
    ValueError
        If the matrix does not hold raw counts, labels were not registered with the model under this
        name, genes are missing, `min_cells` is out of range or the cells were augmented before.

    Examples
    --------
    >>> more = scdit.tl.augment(train, model, min_cells=100, labels_key="cell_type")
    >>> more.obs["scdit_generated"].sum()
    """
    # a model is at hand, so that this loads nothing that is not there
    from scdit.model._counts import check_adata, check_counts, read_counts

    check_adata(adata)
    _check_model(model, generate_kwargs)
    check_bool("silent", silent)
    check_rng(rng)
    min_cells = check_int("min_cells", min_cells, high=_MOST)
    check_class("labels_key", labels_key, str)
    if labels_key not in adata.obs:
        raise KeyError(f"{labels_key!r} is not a column of adata.obs")
    if GENERATED in adata.obs:
        raise ValueError(f"adata.obs[{GENERATED!r}] exists: these cells were augmented before")
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
    parts = [AnnData(counts, obs=obs.copy(), var=real.var.copy())]

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
        parts[0].obs = _with_room(obs, new.obs.columns)
        parts.append(AnnData(new.X.astype(counts_type), obs=new.obs, var=new.var))
    more = ad.concat(parts, join="outer", merge="first")
    if isinstance(obs[labels_key].dtype, pd.CategoricalDtype):
        more.obs[labels_key] = more.obs[labels_key].astype(obs[labels_key].dtype)
    more.obs[GENERATED] = np.repeat([False, True], [len(obs), more.n_obs - len(obs)])
    if layer is not None:
        more.layers[layer] = more.X.copy()
    return more


def _check_model(model: object, generate_kwargs: Iterable[str]) -> None:
    """Raise unless `model` is trained and its `generate` takes these arguments from here."""
    from scdit.model import SCDiT

    check_class("model", model, SCDiT)
    if not model.is_trained_:  # type: ignore[attr-defined]
        raise RuntimeError("model is not trained: call model.train() first")
    allowed = [name for name in inspect.signature(SCDiT.generate).parameters if name not in _OWN]
    for name in generate_kwargs:
        if name in _OWN:
            raise TypeError(
                f"{name} cannot be passed on: min_cells and labels_key say which cells"
            )
        if name not in allowed:
            raise TypeError(
                f"generate has no argument {name!r}; it has {listed(allowed)}"
                + did_you_mean(name, allowed)
            )


def _with_room(obs: pd.DataFrame, known: Iterable[str]) -> pd.DataFrame:
    """Columns that new cells lack, of types that can hold missing values and still be written."""
    types = {
        key: "boolean" if is_bool_dtype(dtype) else "Int64"
        for key, dtype in obs.dtypes.items()
        if key not in known and (is_bool_dtype(dtype) or is_integer_dtype(dtype))
    }
    return obs.astype(types)
