"""Loading a model without trust in its file, and with the user's data as they were if it fails."""

from __future__ import annotations

import inspect
import os
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from anndata import AnnData, read_h5ad
from mudata import MuData
from scvi import settings
from scvi.data import AnnDataManager

from scdit._checks import check_bool, listed, shown
from scdit._compat import device_of
from scdit.model._counts import check_adata
from scdit.model._folder import Folder
from scdit.model._joint import joint_like, remember
from scdit.model._modalities import registered_modalities
from scdit.model._restore import restored_on_error
from scdit.model._saved_file import DATA_FILE, MODEL_FILE, SavedModel, not_finite, read_model


class LoadMixin:
    """Adds :meth:`load` and what else reads saved models."""

    @classmethod
    def load(
        cls,
        dir_path: str | os.PathLike,
        adata: AnnData | Literal[False] | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        backup_url: str | None = None,
        *,
        allow_pickle: bool = False,
    ) -> Self:
        """Load a saved model.

        The file is checked before it is used, and no code in it is run. If loading fails, `adata`
        is as it was.

        Parameters
        ----------
        dir_path
            The directory :meth:`save` wrote.
        adata
            Data like the training data, whose genes may come in any order (a reordered copy is
            then kept); None to take the data that was saved with the model; False for none, which
            is enough to generate.
        accelerator
            Where the model is put: ``"auto"`` for a GPU if there is one, ``"cpu"`` or ``"gpu"``.
        device
            The number of the GPU; ``"auto"`` for the first.
        prefix
            What the names of the files begin with, as given to :meth:`save`.
        backup_url
            Address that the model's file is downloaded from, if it is not in `dir_path`.
        allow_pickle
            Whether to read files that can run code when they are read: those of scdit 0.1.0.dev0.
            Only allow it if you trust whoever made the file.

        Returns
        -------
        The model, ready to generate.

        Raises
        ------
        ValueError
            If there is no model, its file is damaged, was changed or needs `allow_pickle`, or the
            data do not fit: training genes are missing (the message lists them), or there are
            categories that the model does not know.
        TypeError
            If an argument is of the wrong class.

        Examples
        --------
        >>> model.save("model")
        >>> model = scdit.SCDiT.load("model", adata=False)
        >>> model.generate(100, rng=0)
        """
        folder = Folder(dir_path, prefix)
        if adata is not None and adata is not False and not isinstance(adata, MuData):
            check_adata(adata)
        check_bool("allow_pickle", allow_pickle)
        target = device_of(accelerator, device)
        if backup_url is not None and not folder.file(MODEL_FILE).exists():
            _download(backup_url, folder.file(MODEL_FILE))
        saved = read_model(folder.file(MODEL_FILE), allow_pickle=allow_pickle)
        if saved.registry["model_name"] != cls.__name__:
            raise ValueError(
                f"{str(folder.file(MODEL_FILE))!r} holds a {saved.registry['model_name']}: load it "
                f"with that class, not {cls.__name__}"
            )
        if adata is None:
            adata = _read_data(folder, saved.data)
        data = None if adata is False else joint_like(adata, saved.registry, saved.genes)
        with restored_on_error(cls, data):
            model = _build(cls, folder.file(MODEL_FILE), saved, data)
        if data is not None and isinstance(adata, MuData):
            remember(adata, data)
        model.to_device(target)
        model.module.eval()
        return model

    @staticmethod
    def load_registry(
        dir_path: str | os.PathLike, prefix: str | None = None, *, allow_pickle: bool = False
    ) -> dict:
        """How the training data of a saved model were registered. No code in the file is run.

        Parameters are those of :meth:`load`.

        Raises
        ------
        ValueError
            As :meth:`load` for the model's file.
        """
        file = Folder(dir_path, prefix).file(MODEL_FILE)
        return read_model(file, allow_pickle=check_bool("allow_pickle", allow_pickle)).registry

    @staticmethod
    def view_setup_args(dir_path: str | os.PathLike, prefix: str | None = None) -> None:
        """Print the arguments of :meth:`setup_anndata` for a saved model. No code in the file is run.

        Parameters are those of :meth:`load`.
        """
        AnnDataManager.view_setup_method_args(LoadMixin.load_registry(dir_path, prefix))

    @classmethod
    def convert_legacy_save(cls, *args: Any, **kwargs: Any) -> None:
        """Not there: scdit has never saved in the format of scvi-tools before 0.15."""
        raise NotImplementedError("scdit has no models in the format of scvi-tools before 0.15")


def _build(cls: Any, file: Path, saved: SavedModel, adata: AnnData | None) -> Any:
    """The model with its weights and attributes, on the CPU."""
    attributes = dict(saved.attributes)
    registry, arguments = attributes.pop("registry_"), attributes.pop("init_params_")
    if adata is not None:
        arguments_of_setup = {k: registry[k] for k in ("setup_method_name", "setup_args")}
        joint = registered_modalities(registry, saved.genes)
        layer = None if joint else registry["setup_args"]["layer"]
        cls._register(
            adata,
            layer,
            {"model_name": cls.__name__, **arguments_of_setup},
            {"source_registry": registry},
        )
    unknown = arguments["non_kwargs"].keys() - inspect.signature(cls).parameters.keys()
    if unknown:
        raise ValueError(
            f"{str(file)!r} has arguments that this version of scdit does not know: "
            f"{listed(sorted(unknown))}"
        )
    model = cls(adata, registry=registry, **arguments["non_kwargs"])
    for name, value in attributes.items():
        if name.endswith("_") and not name.startswith("_"):
            setattr(model, name, value)
    unset = {name: value.isfinite() for name, value in model.module.state_dict().items()}
    try:
        model.module.load_state_dict(saved.weights)
    except RuntimeError as error:
        raise ValueError(f"the weights in {str(file)!r} do not fit the model: {error}") from error
    # before training, some are not finite yet
    set_ = {name: value[unset[name]] for name, value in model.module.state_dict().items()}
    bad = not_finite(set_)
    if bad is not None:
        raise ValueError(
            f"{str(file)!r} holds NaN or infinite weights ({bad}): take an intact copy, or train the "
            "model anew"
        )
    return model


def _read_data(folder: Folder, data: Any) -> AnnData | Literal[False]:
    """The data that were saved with a model, or False after a warning."""
    file = folder.file(DATA_FILE)
    if data == "unknown" and file.is_file():
        found: Path | None = file
    else:
        found = folder.data(data)
    if found is None and isinstance(data, Mapping):
        raise ValueError(
            f"{str(file)!r} is missing, was changed, or belongs to another model: pass adata= with the "
            "training data, or adata=False to load without data"
        )
    if found is None:
        warnings.warn(
            "no data were saved with this model"
            + (f" ({str(file)!r} belongs to none or another)" if file.exists() else "")
            + ": it is loaded without. Pass adata=False to say so, or adata= to give some",
            UserWarning,
            stacklevel=settings.warnings_stacklevel + 1,
        )
        return False
    try:
        return read_h5ad(found)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{str(found)!r} cannot be read: {error}") from error


def _download(url: str, path: Path) -> None:
    """Download a file, which is complete or not there."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise ValueError(f"backup_url must begin with https:// or http://, got {shown(url)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{uuid4().hex[:8]}.part")
    try:
        urllib.request.urlretrieve(url, part)
        part.replace(path)
    except OSError as error:
        raise ValueError(f"backup_url {url} cannot be downloaded: {error}") from error
    finally:
        part.unlink(missing_ok=True)
