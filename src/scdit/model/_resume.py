"""Whether a checkpoint belongs to the model, the data and the training that go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

from scdit import __version__
from scdit._checks import shown
from scdit.conditions import DIGEST
from scdit.train import checkpoints_in

_ADVICE = "call train with the arguments of the training that was interrupted"


def about_model(model: Any) -> dict[str, Any]:
    """Version, arguments and data of a model, as a checkpoint has them: plain types."""
    kwargs = model.init_params_["kwargs"]
    arguments = {**kwargs, **model.init_params_["non_kwargs"]}
    for nested in [value for value in arguments.values() if isinstance(value, dict)]:
        arguments |= nested
    plain = {k: v for k, v in arguments.items() if isinstance(v, bool | int | float | str)}
    data = {
        field.registry_key: model.adata_manager.get_state_registry(field.registry_key)[DIGEST]
        for field in model.adata_manager.fields
        if DIGEST in model.adata_manager.get_state_registry(field.registry_key)
    }
    names = "\0".join(map(str, model.adata.var_names))
    data["genes"] = blake2b(names.encode(), digest_size=8).hexdigest()
    return {"version": __version__, "model": plain, "data": data}


def check_model(checkpoint: Mapping[str, Any], model: Any) -> None:
    """Raise ValueError if a checkpoint is of another version, model or data."""
    there, here = checkpoint["scdit"], about_model(model)
    if there["version"] != here["version"]:
        raise ValueError(
            f"resume_from: the checkpoint was written by scdit {there['version']}, and this is "
            f"{here['version']}: install that version to go on, or train anew"
        )
    _compare("model", there["model"], here["model"], "make the model with the same arguments")
    changed = sorted(
        key
        for key in there["data"] | here["data"]
        if there["data"].get(key) != here["data"].get(key)
    )
    if changed:
        raise ValueError(
            f"resume_from: the checkpoint is of other data, which differ in {', '.join(changed)}: call "
            "setup_anndata with the cells and columns of the training that was interrupted"
        )


def check_training(checkpoint: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Raise ValueError if a training is called with other arguments than that of the checkpoint."""
    _compare("training", checkpoint["scdit"]["training"], training, _ADVICE)


def _compare(what: str, there: Mapping[str, Any], here: Mapping[str, Any], advice: str) -> None:
    for name in dict(there) | dict(here):
        if there.get(name) != here.get(name):
            raise ValueError(
                f"resume_from: the checkpoint is of another {what}: {name} is "
                f"{shown(there.get(name))} there and {shown(here.get(name))} here; {advice}"
            )


def check_folder(
    folder: str | PathLike | None, checkpoint: Mapping[str, Any] | None
) -> Path | None:
    """The folder for checkpoints, made if it is not there; None for none.

    Raises
    ------
    FileExistsError
        If it has checkpoints of another training, or is a file.
    """
    resumed = None if checkpoint is None else checkpoint["path"].parent
    if folder is None:
        return resumed
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"checkpoint_dir must be a folder, and {str(path)!r} is a file")
    others = checkpoints_in(path)
    if others and (resumed is None or resumed.resolve() != path.resolve()):
        raise FileExistsError(
            f"checkpoint_dir {str(path)!r} has checkpoints of another training: go on from it, "
            f"resume_from={str(path)!r}, or name another folder"
        )
    path.mkdir(parents=True, exist_ok=True)
    return path
