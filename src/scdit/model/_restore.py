"""An AnnData that is as it was, when its registration fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anndata import AnnData

_OURS = "_scvi_"  # how the names begin of what scvi-tools writes


@contextmanager
def restored_on_error(model_class: Any, adata: AnnData | None) -> Iterator[None]:
    """Take back what a registration left in `adata`, and its entry in `model_class`, on an error."""
    if adata is None or adata.is_view:  # views are not registered
        yield
        return
    columns = {c: adata.obs[c].copy() for c in adata.obs if str(c).startswith(_OURS)}
    entries = {key: adata.uns[key] for key in adata.uns if str(key).startswith(_OURS)}
    managers = dict(model_class._setup_adata_manager_store)
    try:
        yield
    except BaseException:
        for column in [c for c in adata.obs if str(c).startswith(_OURS)]:
            del adata.obs[column]
        for column, values in columns.items():
            adata.obs[column] = values
        for key in [k for k in adata.uns if str(k).startswith(_OURS)]:
            del adata.uns[key]
        adata.uns.update(entries)
        model_class._setup_adata_manager_store.clear()
        model_class._setup_adata_manager_store.update(managers)
        raise
