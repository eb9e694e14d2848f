"""The file of a saved model: written in plain types, read without running code, and checked."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scdit import __version__
from scdit.model._plain import digest, from_plain, to_plain

MODEL_FILE, DATA_FILE = "model.pt", "adata.h5ad"  # the names that scvi-tools gives them
_FORMAT = 1  # of the file: increase it when older versions cannot read what is written
_WEIGHTS, _GENES, _ATTRIBUTES = "model_state_dict", "var_names", "attr_dict"
_RECORD = "scdit_"  # among the attributes: format, version of scdit, fingerprints
_NEEDS_CODE = ("GLOBAL", "unrecognized function", "Can only", "Unsupported class")


@dataclass(frozen=True)
class SavedModel:
    """What the file of a model holds.

    Parameters
    ----------
    weights
        Tensors of the module by name, on the CPU.
    attributes
        Attributes of the model by name, among them ``registry_`` and ``init_params_``.
    data
        Fingerprint of the data saved with the model, see :func:`fingerprint`; None if there are
        none. ``"unknown"`` in files of scdit 0.1.0.dev0, which do not say.
    """

    weights: dict[str, Tensor]
    attributes: dict[str, Any]
    data: Any

    @property
    def registry(self) -> dict[str, Any]:
        """How the training data were registered."""
        return self.attributes["registry_"]

    @property
    def genes(self) -> list[str]:
        """Names of the genes, in the order of the model."""
        return list(self.registry["field_registries"]["X"]["state_registry"]["column_names"])


def write_model(
    path: Path,
    weights: Mapping[str, Tensor],
    genes: Any,
    attributes: Mapping[str, Any],
    data: Any,
    save_kwargs: Mapping[str, Any],
) -> None:
    """Write the file of a model, with the three keys of scvi-tools.

    Parameters are those of :class:`SavedModel`; `save_kwargs` is passed to :func:`torch.save`.

    Raises
    ------
    TypeError
        If an attribute holds something else than numbers, text, arrays and tables.
    """
    content: dict[str, Any] = {
        _WEIGHTS: {name: value.detach().cpu() for name, value in weights.items()},
        _GENES: [str(gene) for gene in genes],
        _ATTRIBUTES: {name: to_plain(value, name) for name, value in attributes.items()},
    }
    record = {"format": _FORMAT, "version": __version__, "data": data, "digest": digest(content)}
    content[_ATTRIBUTES][_RECORD] = record
    with open(path, "wb") as file:
        torch.save(content, file, **save_kwargs)


def read_model(path: Path, *, allow_pickle: bool = False) -> SavedModel:
    """Read and check the file of a model. No code in it is run, unless `allow_pickle` allows that.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, was changed after it was saved, holds no model of
        scdit, or needs `allow_pickle`.
    """
    if not path.is_file():
        raise ValueError(f"there is no saved model {str(path)!r}: check dir_path and prefix")
    content = _read(path, allow_pickle)
    if not (
        isinstance(content, Mapping)
        and all(isinstance(content.get(key), Mapping) for key in (_WEIGHTS, _ATTRIBUTES))
        and _GENES in content
    ):
        raise ValueError(f"{str(path)!r} is not a model saved by SCDiT.save")
    weights, attributes = dict(content[_WEIGHTS]), dict(content[_ATTRIBUTES])
    record = attributes.pop(_RECORD, None)
    weights.pop("pyro_param_store", None)  # which scvi-tools adds
    if record is not None:
        plain = {_WEIGHTS: weights, _GENES: content[_GENES], _ATTRIBUTES: attributes}
        _check_record(path, record, plain)
        attributes = from_plain(attributes)
    _check_parts(path, weights, content[_GENES], attributes)
    return SavedModel(weights, attributes, record["data"] if record else "unknown")


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, by which a model knows its data."""
    with open(path, "rb") as file:
        return {
            "size": os.fstat(file.fileno()).st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def is_file_of(path: Path, data: Any) -> bool:
    """Whether a file exists and has a fingerprint."""
    return (
        isinstance(data, Mapping)
        and path.is_file()
        and path.stat().st_size == data.get("size")
        and fingerprint(path) == data
    )


def not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """Name of a weight that has NaN or infinite values, or None."""
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            return name
    return None


def _read(path: Path, allow_pickle: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
    except Exception as error:
        needs_code = isinstance(error, pickle.UnpicklingError) and any(
            words in str(error) for words in _NEEDS_CODE
        )
        if not needs_code:
            raise _damaged(path) from error
        if not allow_pickle:
            raise ValueError(
                f"{str(path)!r} was saved by an earlier version of scdit, or not by scdit: reading it "
                "can run code that is hidden in it. If you trust whoever made the file, pass "
                "allow_pickle=True, and save the model again: then it can be read without"
            ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} cannot be read by the installed versions of torch, numpy and pandas, which "
            "may have to be those that it was saved with"
        ) from error


def _check_record(path: Path, record: Any, content: Mapping[str, Any]) -> None:
    if not isinstance(record, Mapping) or not isinstance(record.get("format"), int):
        raise _damaged(path)
    if record["format"] > _FORMAT:
        raise ValueError(
            f"{str(path)!r} was saved by scdit {record.get('version')}, which is newer than the "
            f"installed {__version__}: update scdit"
        )
    if record.get("digest") != digest(content):
        raise ValueError(
            f"{str(path)!r} was changed after it was saved, or is damaged: take an intact copy, or "
            "save the model again"
        )


def _check_parts(
    path: Path, weights: Mapping[str, Any], genes: Any, attributes: Mapping[str, Any]
) -> None:
    """Raise if what all models have is not there."""
    try:
        registry, arguments = attributes["registry_"], attributes["init_params_"]["non_kwargs"]
        columns = registry["field_registries"]["X"]["state_registry"]["column_names"]
        complete = (
            all(isinstance(value, Tensor) for value in weights.values())
            and isinstance(registry["setup_args"], Mapping)
            and isinstance(registry["model_name"], str)
            and isinstance(arguments, Mapping)
            and np.array_equal(np.asarray(genes, dtype=object), np.asarray(columns, dtype=object))
        )
    except (KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not complete:
        raise _damaged(path)


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{str(path)!r} is damaged or not a model saved by SCDiT.save: take an intact copy, or save the "
        "model again"
    )
