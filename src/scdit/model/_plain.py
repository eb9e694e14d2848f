"""Arrays and tables as plain values that ``torch.load(weights_only=True)`` reads, and back.

Such a file cannot hold code, and does not depend on the version of numpy or pandas that wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

_KIND = "scdit:kind"  # marks a dict that stands for something else
# what this version of pandas makes of a list of text: object, or str from pandas 3 on
_TEXT = pd.Series(["a"]).dtype


def to_plain(value: Any, where: str) -> Any:
    """`value` in plain types and tensors.

    A tensor stands for an array of numbers. Whatever else has no plain type is a dict whose
    ``"scdit:kind"`` says what it stands for.

    Parameters
    ----------
    value
        Numbers, text, arrays, tables, and lists, tuples and dicts of these.
    where
        Where it is found, for the message.

    Raises
    ------
    TypeError
        If there is something else in it.
    """
    if value is None or isinstance(value, bool):
        return value
    if value is pd.NA or value is pd.NaT:
        return {_KIND: "NA" if value is pd.NA else "NaT"}
    if isinstance(value, np.bool_ | np.integer | np.floating) and value.dtype.itemsize <= 8:
        return value.item()
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, list | tuple):
        return type(value)(to_plain(v, f"{where}[{i}]") for i, v in enumerate(value))
    if isinstance(value, Mapping):
        return {to_plain(k, where): to_plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, torch.Tensor):
        return {_KIND: "tensor", "values": value.detach().cpu()}
    if isinstance(value, np.ndarray):
        return _array_to_plain(value, where)
    if isinstance(value, pd.Interval):
        ends = {"left": to_plain(value.left, where), "right": to_plain(value.right, where)}
        return {_KIND: "interval", **ends, "closed": value.closed}
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return {_KIND: type(value).__name__.lower(), "value": value.isoformat()}
    if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
        values = _column_to_plain(value, where)
        return {_KIND: "index", "name": to_plain(value.name, where), "values": values}
    if isinstance(value, pd.DataFrame):
        columns = [value.iloc[:, i] for i in range(value.shape[1])]
        return {
            _KIND: "table",
            "index": to_plain(value.index, f"{where}.index"),
            "columns": to_plain(value.columns, f"{where}.columns"),
            "values": [_column_to_plain(c, f"{where}[{c.name!r}]") for c in columns],
        }
    raise TypeError(f"{where} holds a {type(value).__name__}, which a saved model cannot hold")


def from_plain(value: Any) -> Any:
    """What :func:`to_plain` was given.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """
    if isinstance(value, list | tuple):
        return type(value)(from_plain(v) for v in value)
    if isinstance(value, torch.Tensor):
        return value.numpy().copy()
    if not isinstance(value, Mapping):
        return value
    kind = value.get(_KIND)
    if kind is None:
        return {k: from_plain(v) for k, v in value.items()}
    if kind in ("NA", "NaT"):
        return pd.NA if kind == "NA" else pd.NaT
    if kind == "tensor":
        return value["values"]
    if kind == "array":
        return _array_from_plain(value)
    if kind == "interval":
        return pd.Interval(from_plain(value["left"]), from_plain(value["right"]), value["closed"])
    if kind in ("timestamp", "timedelta"):
        return (pd.Timestamp if kind == "timestamp" else pd.Timedelta)(value["value"])
    if kind == "index":
        return pd.Index(_column_from_plain(value["values"]), name=value["name"])
    if kind == "table":
        index = from_plain(value["index"])
        columns = dict(enumerate(map(_column_from_plain, value["values"])))
        table = pd.DataFrame({i: c.set_axis(index) for i, c in columns.items()}, index=index)
        return table.set_axis(from_plain(value["columns"]), axis=1)
    raise ValueError(f"it holds {kind!r}, which is unknown")


def digest(value: Any) -> str:
    """A fingerprint of plain values and tensors: other values have another one."""
    total = hashlib.sha256()
    _add(total, value)
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        total.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        if value.numel():
            total.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        total.update(f"dict {len(value)};".encode())
        for key, item in value.items():
            _add(total, key)
            _add(total, item)
    elif isinstance(value, list | tuple):
        total.update(f"{type(value).__name__} {len(value)};".encode())
        for item in value:
            _add(total, item)
    else:
        text = repr(value)
        total.update(f"{type(value).__name__} {len(text)} {text};".encode())


def _array_to_plain(array: np.ndarray, where: str) -> Any:
    if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
        native = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
        return torch.from_numpy(native)
    values: Any
    if array.dtype.kind in "mM":
        values = torch.from_numpy(array.astype(np.int64))
    elif array.dtype.kind in "OUT":
        values = [to_plain(v, where) for v in array.ravel().tolist()]
    else:
        raise TypeError(f"{where} holds {array.dtype}, which a saved model cannot hold")
    dtype = str(array.dtype) if array.dtype.kind in "mM" else "object"
    return {_KIND: "array", "dtype": dtype, "shape": list(array.shape), "values": values}


def _array_from_plain(plain: Mapping) -> np.ndarray:
    dtype, values = np.dtype(plain["dtype"]), plain["values"]
    if dtype.kind in "mM":
        return values.numpy().astype(dtype).reshape(plain["shape"])
    array = np.empty(len(values), dtype=object)
    array[:] = [from_plain(v) for v in values]
    return array.reshape(plain["shape"])


def _column_to_plain(column: pd.Series | pd.Index, where: str) -> Any:
    """The values of a column, with their type."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        parts = pd.Categorical(column)
        return {
            _KIND: "categorical",
            "categories": to_plain(parts.categories, where),
            "codes": torch.from_numpy(parts.codes.astype(np.int64)),
            "ordered": bool(parts.ordered),
        }
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return _array_to_plain(column.to_numpy(), where)
    name = "text" if _is_text(column) else str(dtype)
    return {_KIND: "column", "dtype": name, "values": [to_plain(v, where) for v in column]}


def _column_from_plain(plain: Any) -> pd.Series:
    if not isinstance(plain, Mapping):
        return pd.Series(from_plain(plain))
    if plain[_KIND] == "categorical":
        codes, categories = plain["codes"].numpy(), from_plain(plain["categories"])
        return pd.Series(pd.Categorical.from_codes(codes, categories, plain["ordered"]))
    if plain[_KIND] == "array":
        return pd.Series(_array_from_plain(plain))
    dtype = _TEXT if plain["dtype"] == "text" else plain["dtype"]
    return pd.Series([from_plain(v) for v in plain["values"]], dtype=dtype)


def _is_text(column: pd.Series | pd.Index) -> bool:
    """Whether it has the type that this pandas gives to text, and nothing else in it."""
    return bool(column.dtype == _TEXT) and all(
        isinstance(v, str) or v is None or v is np.nan for v in column
    )
