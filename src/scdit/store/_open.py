"""Files of generated cells, opened without reading their counts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import zarr
from anndata import AnnData
from anndata.experimental import read_elem_lazy
from anndata.io import read_elem, sparse_dataset
from mudata import MuData

from scdit._mudata import make_mudata


def open_store(path: Path) -> AnnData | MuData:
    """Open a file of cells: ``X`` and layers stay on the disk, the rest is read.

    They are dask arrays where dask is installed, else sparse datasets of anndata.
    """
    group: Any = zarr.open_group(str(path), mode="r") if path.is_dir() else h5py.File(path, "r")
    if "mod" not in group:
        return _read(group)
    names = group["mod"].attrs["mod-order"]
    mdata = make_mudata({k: _read(group["mod"][k]) for k in names}, read_elem(group["obs"]))
    mdata.uns.update(read_elem(group["uns"]))
    return mdata


def _read(group: Any) -> AnnData:
    layers = group["layers"]
    return AnnData(
        X=_matrix(group["X"]),
        layers={name: _matrix(layers[name]) for name in layers},
        **{key: read_elem(group[key]) for key in ("obs", "var", "uns", "obsm", "varm")},
    )


def _matrix(group: Any) -> Any:
    return read_elem_lazy(group) if find_spec("dask") else sparse_dataset(group)
