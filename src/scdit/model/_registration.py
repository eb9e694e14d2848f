"""Registered data: the field of counts, and whether data are still what was registered."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField

from scdit.conditions import DIGEST
from scdit.model._counts import check_counts, count_totals


class CountsField(LayerField):
    """Counts, checked and left as they are: upstream lays matrices out anew in the user's object.

    Parameters
    ----------
    layer
        The user's layer; None for ``X``.
    """

    def __init__(self, layer: str | None):
        super().__init__(REGISTRY_KEYS.X_KEY, layer, correct_data_format=False)

    def validate_field(self, adata: AnnData) -> None:
        """Raise if these are no counts."""
        check_counts(adata, self.attr_key)

    def register_field(self, adata: AnnData) -> dict:
        """Take the shape and the genes of `adata`, whose counts ``setup_anndata`` has checked."""
        return {
            self.N_OBS_KEY: adata.n_obs,
            self.N_VARS_KEY: adata.n_vars,
            self.COLUMN_NAMES_KEY: np.asarray(adata.var_names),
            DIGEST: self.digest(adata),
        }

    def digest(self, adata: AnnData) -> str:
        """Stands for the counts of every cell and gene, whatever the matrix is stored as."""
        cells, genes = count_totals(adata, self.attr_key)
        digest = blake2b(digest_size=8)
        for total in (genes, cells):
            digest.update(np.ascontiguousarray(total).tobytes())
        return digest.hexdigest()


def check_unchanged(manager: AnnDataManager) -> None:
    """Raise if the data of a manager are not what was registered; register them again if another did.

    A second ``setup_anndata``, of this class or of another model, writes its own codes in the place of
    this registration's.

    Raises
    ------
    ValueError
        If cells, genes, counts or columns have changed.
    """
    adata, again = manager.adata, "call setup_anndata again and make a new model"
    counts = manager.get_state_registry(REGISTRY_KEYS.X_KEY)
    if adata.shape != (counts.n_obs, counts.n_vars):
        raise ValueError(
            f"adata has {adata.n_obs} cells and {adata.n_vars} genes, but had {counts.n_obs} and "
            f"{counts.n_vars} when setup_anndata was called: {again}"
        )
    if not np.array_equal(np.asarray(counts.column_names), np.asarray(adata.var_names)):
        raise ValueError(
            f"the genes of adata have changed since setup_anndata was called: {again}"
        )
    for field in manager.fields:
        known = manager.get_state_registry(field.registry_key).get(DIGEST)
        if known is None:
            continue
        if isinstance(field, CountsField):
            what = "adata.X" if field.attr_key is None else f"adata.layers[{field.attr_key!r}]"
            check_counts(adata, field.attr_key)  # which says more than that they have changed
        else:
            what = f"adata.obs[{field.key!r}]"
            if field.key not in adata.obs:
                raise ValueError(f"{what} was registered and is gone: {again}")
        if field.digest(adata) != known:
            raise ValueError(f"{what} has changed since setup_anndata was called: {again}")
    manager.validate()
