"""Cells of a collection on disk, written and opened by annbatch."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from lightning import LightningDataModule
from scvi.data import AnnDataManager

from scdit._checks import check_class, check_names, listed, shortened, shown

_DATASET_SIZE = "2GB"  # that annbatch shuffles in memory at once


class CollectionRegistry(dict):
    """Registry of cells that stay on disk, with the AnnData that reads them.

    Parameters
    ----------
    registry
        What ``AnnDataManager.registry`` holds.
    adata
        The cells.
    """

    def __init__(self, registry: dict[str, Any], adata: AnnData):
        super().__init__(registry)
        self.adata = adata


class CollectionDataModule(LightningDataModule):
    """Cells of a collection on disk, as :meth:`SCDiT.setup_annbatch` returns them.

    Attributes
    ----------
    adata
        The registered cells: ``obs`` and ``var`` are in memory, counts are read block by block.
    registry
        What a model is made from, ``SCDiT(registry=dm.registry)``.
    """

    def __init__(self, adata: AnnData, registry: dict[str, Any]):
        super().__init__()
        self.adata, self.registry = adata, CollectionRegistry(registry, adata)

    def __repr__(self) -> str:
        return f"cells of a collection: {self.adata.n_obs} x {self.adata.n_vars}"


class AnnbatchMixin:
    """Adds :meth:`setup_annbatch` to the model."""

    setup_anndata: Callable[..., None]
    _get_most_recent_anndata_manager: Callable[..., AnnDataManager]

    @classmethod
    def setup_annbatch(
        cls,
        collection_path: str | PathLike,
        paths: Sequence[str | PathLike] | None = None,
        layer: str | None = None,
        labels_key: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        unlabeled_category: str | None = None,
    ) -> CollectionDataModule:
        """Register the cells of an annbatch collection, which stay on disk.

        Needs ``scdit[annbatch]`` and Python 3.12 or newer.

        Parameters
        ----------
        collection_path
            The collection, a zarr folder that :class:`annbatch.DatasetCollection` has written.
        paths
            Files to make the collection from, h5ad or zarr, with the same genes: their cells are
            shuffled and written to `collection_path`, which must not exist. Needs about 2 GB of memory.
            None to open a collection that exists.
        layer, labels_key, batch_key, categorical_covariate_keys, continuous_covariate_keys, unlabeled_category
            As in :meth:`setup_anndata`.

        Returns
        -------
        A data module: ``dm.registry`` makes a model, and ``train(datamodule=dm)`` trains it. ``dm.adata``
        is the AnnData of the cells.

        Raises
        ------
        FileExistsError
            If `paths` are given and the collection exists.
        FileNotFoundError
            If a file, or the collection, does not exist.
        ImportError
            If annbatch is not installed.
        TypeError
            If `paths` is not a list.
        ValueError
            If files or datasets differ in their genes or columns, or the cells cannot be registered.

        Examples
        --------
        >>> dm = scdit.SCDiT.setup_annbatch(
        ...     "cells.zarr", paths=["one.h5ad", "two.h5ad"], labels_key="cell_type"
        ... )
        >>> model = scdit.SCDiT(registry=dm.registry)
        >>> model.train(datamodule=dm)
        """
        _require_annbatch()
        from annbatch import DatasetCollection

        path, keys = Path(collection_path), [labels_key, batch_key]
        for name, given in {
            "categorical_covariate_keys": categorical_covariate_keys,
            "continuous_covariate_keys": continuous_covariate_keys,
        }.items():
            keys += check_names(name, given or [])
        columns = [key for key in keys if key is not None]

        def registered(parts: dict[str, Any]) -> AnnData:
            adata = _joined({name: _opened(x) for name, x in parts.items()}, columns, layer)
            cls.setup_anndata(
                adata,
                layer=layer,
                labels_key=labels_key,
                batch_key=batch_key,
                categorical_covariate_keys=categorical_covariate_keys,
                continuous_covariate_keys=continuous_covariate_keys,
                unlabeled_category=unlabeled_category,
            )
            return adata

        if paths is not None:
            files = _files(path, paths)
            # raises before anything is written
            n_cells = registered({str(file): file for file in files}).n_obs
            _write(path, files, n_cells)
        elif not path.exists():
            raise FileNotFoundError(
                f"collection_path: {str(path)!r} does not exist; paths= makes a collection of files"
            )
        wrong = f"collection_path: {str(path)!r} is no complete collection of annbatch"
        try:
            collection = DatasetCollection(path, mode="r")
        except (OSError, ValueError) as error:  # zarr finds no group there
            raise ValueError(wrong) from error
        if collection.is_empty:
            raise ValueError(wrong)
        adata = registered({group.path: group for group in collection})
        return CollectionDataModule(
            adata, cls._get_most_recent_anndata_manager(adata, required=True).registry
        )


def check_datamodule(datamodule: Any, adata: AnnData | None) -> None:
    """Raise unless a data module is that of a model's cells.

    Raises
    ------
    TypeError
        If it is of another class.
    ValueError
        If it has other cells.
    """
    if datamodule is None:
        return
    check_class("datamodule", datamodule, CollectionDataModule)
    if datamodule.adata is not adata:
        raise ValueError(
            "datamodule has other cells than the model: make the model with "
            "SCDiT(registry=datamodule.registry)"
        )


def _require_annbatch() -> None:
    """Raise ImportError if annbatch is not installed."""
    if find_spec("annbatch") is not None:
        return
    have = f"; this is {sys.version_info.major}.{sys.version_info.minor}"
    raise ImportError(
        "setup_annbatch needs annbatch: pip install 'scdit[annbatch]', on Python 3.12 or newer"
        f"{have if sys.version_info < (3, 12) else ''}. setup_anndata trains from disk without it: see "
        "anndata.experimental.read_lazy"
    )


def _files(path: Path, paths: Any) -> list[Path]:
    """Files to make a new collection of.

    Raises
    ------
    TypeError, ValueError
        If they are no list, or an empty one.
    OSError
        If the collection exists, or a file does not.
    """
    if isinstance(paths, str | PathLike):
        raise TypeError(f"paths must be a list of files, got {shown(paths)}")
    files = [Path(file) for file in paths]
    if not files:
        raise ValueError("paths is empty: name at least one file")
    if path.exists():
        raise FileExistsError(
            f"collection_path: {str(path)!r} exists: leave out paths to open it, or name another"
        )
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"paths: {str(file)!r} does not exist")
    return files


def _write(path: Path, files: list[Path], n_cells: int) -> None:
    """Shuffle the cells of some files into a new collection, which is there as a whole or not at all."""
    from annbatch import DatasetCollection

    unfinished = path.with_name(f"{path.name}.unfinished.zarr")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a call that was interrupted
    with warnings.catch_warnings():
        # annbatch's choice of format, about which a user can do nothing
        warnings.filterwarnings("ignore", "Consolidated metadata|The data type")
        DatasetCollection(unfinished, mode="a").add_adatas(
            files,
            load_adata=_opened,
            dataset_size=_DATASET_SIZE,
            # annbatch refuses slices that are larger than the data
            shuffle_chunk_size=min(1000, n_cells),
            rng=np.random.default_rng(scvi.settings.seed),
        )
    unfinished.rename(path)


def _opened(source: Any) -> AnnData:
    """Matrices of a file or a group as dask arrays, beside tables in memory."""
    lazy = ad.experimental.read_lazy(source)
    return AnnData(
        lazy.X,
        obs=lazy.obs.to_memory(),
        var=lazy.var.to_memory(),
        layers={name: matrix for name, matrix in lazy.layers.items() if name is not None},
    )


def _joined(parts: dict[str, AnnData], columns: list[str], layer: str | None) -> AnnData:
    """All cells of some parts, by their names.

    Raises
    ------
    ValueError
        If the parts differ in their genes, or one lacks a column or layer that another has.
    """
    first_name, first = next(iter(parts.items()))
    for name, part in parts.items():
        missing = first.var_names.difference(part.var_names)
        more = part.var_names.difference(first.var_names)
        if len(missing) or len(more):
            which = f"lacks {shortened(missing, 5)}"
            if not len(missing):
                which = f"also has {shortened(more, 5)}"
            raise ValueError(f"{name!r} and {first_name!r} have different genes: {name!r} {which}")
        for column in columns:
            if column not in part.obs and any(column in other.obs for other in parts.values()):
                raise ValueError(f"{name!r} has no column {column!r}, which other parts have")
        if layer is not None and layer not in part.layers:
            raise ValueError(f"{name!r} has no layer {layer!r}; layers: {listed(part.layers)}")
    genes: pd.Index = first.var_names
    ordered = [x if x.var_names.equals(genes) else x[:, genes] for x in parts.values()]
    adata = ad.concat(ordered, merge="same")
    if not adata.obs_names.is_unique:
        adata.obs_names_make_unique()
    return adata
