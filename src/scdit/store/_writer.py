"""Cells streamed to a zarr store in the format of anndata or mudata."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.io import write_elem
from mudata import MuData

from scdit.store._growing import Growing

Pieces: TypeAlias = Mapping[str, pd.DataFrame | sp.csr_matrix | np.ndarray]
"""Parts of some cells, which have one row per cell, by their paths in a file of anndata or mudata."""

ROWS, ELEMENTS = 1 << 14, 1 << 20  # of a chunk: cells; entries of a sparse matrix
RECORD = "scdit"  # attribute of a file: what its cells were asked for with
_UNFINISHED = "scdit-unfinished"  # the encoding of obs until the end, which nothing reads
_COPIED = 1 << 20  # elements that are copied at once
_TEXT = 64  # bytes of a name in HDF5, at most, as a rule


class StoreWriter:
    """A store that cells are added to.

    Parameters
    ----------
    path
        Folder of the store, which :meth:`begin` has made.
    pieces
        The parts of one cell, as they are added later.
    positions
        Rows that each array has from an earlier process, as :meth:`append` returned them.
    """

    def __init__(self, path: Path, pieces: Pieces, positions: Mapping[str, int] | None = None):
        self._group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        self._pieces = pieces
        known = positions or {}
        self._arrays = {
            name: Growing(self._group[name], known.get(name, 0))
            for where, piece in pieces.items()
            for name, _ in self._columns(where, piece)
        }
        self._group["obs"].attrs["encoding-type"] = _UNFINISHED
        if positions is None:
            for name in self._index_pointers():
                self._arrays[name].append(np.zeros(1, dtype=np.int64))

    @staticmethod
    def begin(path: Path, template: AnnData | MuData, pieces: Pieces) -> None:
        """Make a store of the form of `template`, of one cell, whose parts are `pieces`."""
        with _plain_formats():
            if isinstance(template, AnnData):
                template.write_zarr(path)
            else:
                mudata.write_zarr(str(path), template)
            group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
            for where, piece in pieces.items():
                parent, _, name = where.rpartition("/")
                chunks: tuple[int, ...] = (ROWS,)
                if isinstance(piece, sp.csr_matrix):
                    chunks = (ELEMENTS,)
                elif isinstance(piece, np.ndarray):
                    chunks = (ROWS, *piece.shape[1:])
                parent_group: Any = group[parent] if parent else group
                write_elem(parent_group, name, piece, dataset_kwargs={"chunks": chunks})
                if sp.issparse(piece):  # there may be more than 2^31 counts
                    pointers, kwargs = np.zeros(2, dtype=np.int64), {"chunks": (ROWS,)}
                    write_elem(parent_group[name], "indptr", pointers, dataset_kwargs=kwargs)
            group["obs"].attrs["encoding-type"] = _UNFINISHED
            zarr.consolidate_metadata(group.store)

    def append(self, pieces: Pieces) -> dict[str, int]:
        """Add cells, and return the rows that each array has then."""
        for where, piece in pieces.items():
            for name, rows in self._columns(where, piece):
                self._arrays[name].append(rows)
        return {name: array.n for name, array in self._arrays.items()}

    def has_written(self, rows: Mapping[str, int]) -> bool:
        """Whether so many rows of each array are on the disk, in chunks that are not touched again."""
        return all(self._arrays[name].written >= n for name, n in rows.items())

    def finish(self, pieces: Pieces, record: str) -> None:
        """Complete the store.

        Parameters
        ----------
        pieces
            The parts of one cell, with the categories that cells have.
        record
            What the cells were asked for with.
        """
        for array in self._arrays.values():
            array.finish()
        with _plain_formats():
            for where, piece in pieces.items():
                if sp.issparse(piece):
                    n = self._arrays[f"{where}/indptr"].n - 1
                    self._group[where].attrs["shape"] = [n, piece.shape[1]]
                elif isinstance(piece, pd.DataFrame):
                    for key in piece.select_dtypes("category"):
                        names = piece[key].cat.categories.to_numpy()
                        write_elem(self._group[f"{where}/{key}"], "categories", names)
            self._group["obs"].attrs["encoding-type"] = "dataframe"
            self._group.attrs[RECORD] = record
            zarr.consolidate_metadata(self._group.store)

    def to_hdf5(self, path: Path, template: AnnData | MuData, record: str) -> None:
        """Copy the completed store to a file of HDF5, of the form of `template`, of one cell.

        Raises
        ------
        OSError
            If there is no room for it: HDF5 itself can end the process when the disk is full.
        """
        needed = sum(_size_in_hdf5(self._group[name]) for name in self._arrays)
        free = shutil.disk_usage(path.parent).free
        if needed > free:
            reason = (
                f"the file needs about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free"
            )
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {reason}")
        with _plain_formats():
            if isinstance(template, AnnData):
                template.write_h5ad(path)
            else:
                mudata.write_h5mu(path, template)
        with h5py.File(path, "r+") as file:
            for name in self._arrays:
                _copy(self._group[name], file, name)
            for name in self._index_pointers():
                where = name.rpartition("/")[0]
                file[where].attrs["shape"] = np.asarray(self._group[where].attrs["shape"])
            file.attrs[RECORD] = record

    def _index_pointers(self) -> list[str]:
        return [f"{where}/indptr" for where, x in self._pieces.items() if sp.issparse(x)]

    def _columns(self, where: str, piece: Any) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays of a part, by their paths, with the rows to add."""
        if isinstance(piece, np.ndarray):
            yield where, piece
        elif isinstance(piece, pd.DataFrame):
            index = self._group[where].attrs["_index"]
            yield f"{where}/{index}", piece.index.to_numpy(dtype=object)
            for key, column in piece.items():
                if isinstance(column.dtype, pd.CategoricalDtype):
                    yield f"{where}/{key}/codes", column.cat.codes.to_numpy()
                else:
                    yield f"{where}/{key}", column.to_numpy()
        else:
            before = self._arrays[f"{where}/data"].n if hasattr(self, "_arrays") else 0
            yield f"{where}/data", piece.data
            yield f"{where}/indices", piece.indices
            yield f"{where}/indptr", piece.indptr[1:].astype(np.int64) + before


def _size_in_hdf5(array: Any) -> int:
    """Bytes of an array of zarr in HDF5, where text has a reference and a place in a heap."""
    return array.size * (array.dtype.itemsize if array.dtype.kind in "biuf" else _TEXT)


def _copy(source: Any, file: Any, name: str) -> None:
    """Put all rows of an array of zarr in the place of the dataset of a file."""
    old = file[name]
    attributes, dtype = dict(old.attrs), old.dtype
    del file[name]
    new = file.create_dataset(name, shape=source.shape, dtype=dtype, chunks=True)
    new.attrs.update(attributes)
    step = max(_COPIED // int(np.prod(source.shape[1:], dtype=int)), 1)
    for start in range(0, source.shape[0], step):
        rows = source[start : start + step]
        new[start : start + step] = rows.astype(object) if dtype.kind == "O" else rows


@contextmanager
def _plain_formats() -> Iterator[None]:
    """Write what all versions of anndata read: chunks as they are said to be, and text as text."""
    known = {"auto_shard_zarr_v3": False, "allow_write_nullable_strings": False}
    here = {name: value for name, value in known.items() if hasattr(anndata.settings, name)}
    with warnings.catch_warnings(), anndata.settings.override(**here):
        # of anndata and zarr, about formats to come
        warnings.filterwarnings("ignore", message=".*(shard|Consolidated metadata|zarr v[23]).*")
        yield
