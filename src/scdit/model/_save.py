"""Saving a model so that it is there completely or not at all; and pickling."""

from __future__ import annotations

import copy
import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from anndata import AnnData
from scvi import settings
from scvi.data import AnnDataManager

from scdit._checks import check_bool, check_class, did_you_mean, listed
from scdit.conditions import Condition, Number, check_conditions
from scdit.model._assays import AssaysMixin
from scdit.model._counts import align_genes, check_counts
from scdit.model._folder import Folder
from scdit.model._plain import to_plain
from scdit.model._saved_file import (
    DATA_FILE,
    MODEL_FILE,
    SavedModel,
    fingerprint,
    not_finite,
    read_model,
    write_model,
)
from scdit.module import SCDiTModule


class SaveMixin(AssaysMixin):
    """Adds :meth:`save`, :meth:`load` and pickling to the model."""

    id: str
    adata: AnnData | None
    adata_manager: AnnDataManager
    module: SCDiTModule
    registry: dict
    _conditions: list[Condition]
    _register_manager_for_instance: Callable[[AnnDataManager], None]

    def save(
        self,
        dir_path: str | os.PathLike,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        save_kwargs: Mapping[str, Any] | None = None,
        **anndata_write_kwargs: Any,
    ) -> None:
        """Save the model to a directory.

        The save is complete or has no effect: if it fails, or the process is killed, a model that
        was saved there before is still there. The files hold data only, no code. See the
        documentation, "Saving and sharing", for what they reveal of the training cells.

        Parameters
        ----------
        dir_path
            The directory; it is made if it does not exist.
        prefix
            Put before the names of the files, so that several models fit in one directory.
        overwrite
            Whether the directory may exist. A model of the same prefix in it is replaced; other
            files stay as they are.
        save_anndata
            Whether to save the training data too, as ``adata.h5ad``.
        save_kwargs
            Passed to :func:`torch.save`.
        **anndata_write_kwargs
            Passed to :meth:`anndata.AnnData.write_h5ad`.

        Raises
        ------
        ValueError
            If the directory exists and may not be overwritten, `prefix` is no part of a file name,
            the weights are not finite, or `save_anndata` is asked for and the data are missing or
            would not load, such as data that were normalised after training.
        TypeError
            If an argument is of the wrong class.

        Examples
        --------
        >>> model.save("model")
        >>> again = scdit.SCDiT.load("model", adata=False)
        """
        folder = Folder(dir_path, prefix)
        check_bool("overwrite", overwrite)
        check_class("save_kwargs", save_kwargs, Mapping, type(None))
        known = inspect.signature(AnnData.write_h5ad).parameters.keys() if save_anndata else ()
        for name in anndata_write_kwargs.keys() - known:
            own = inspect.signature(self.save).parameters
            raise TypeError(f"save has no argument {name!r}{did_you_mean(name, [*own, *known])}")
        if check_bool("save_anndata", save_anndata):
            self._check_data()
        if folder.path.exists() and not (overwrite and folder.path.is_dir()):
            raise ValueError(
                f"dir_path {str(folder.path)!r} exists: name another directory"
                + (" or pass overwrite=True" if folder.path.is_dir() else ", this is a file")
            )
        bad = not_finite(dict(self.module.named_parameters()))
        if bad is not None:
            raise ValueError(
                f"the weights {bad!r} hold NaN or infinite values: such a model is not saved; train "
                "it anew, with a smaller lr in plan_kwargs"
            )
        attributes, genes = (
            self._attributes(),
            SavedModel({}, {"registry_": self.registry}, None).genes,
        )
        with folder.writing() as work:
            data = None
            if save_anndata:
                _write_data(self.adata, work / folder.file(DATA_FILE).name, anndata_write_kwargs)
                data = fingerprint(work / folder.file(DATA_FILE).name)
            file = work / folder.file(MODEL_FILE).name
            write_model(
                file, self.module.state_dict(), genes, attributes, data, dict(save_kwargs or {})
            )
            read_model(file)  # what could not be read again must not replace what can

    def __getstate__(self) -> dict[str, Any]:
        # the trainer of the last training holds functions that cannot be pickled
        return {name: value for name, value in vars(self).items() if name != "trainer"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.id = str(uuid4())  # a copy is a model of its own, with data of its own
        if self.adata is not None:
            self._register_manager_for_instance(self.adata_manager)

    def _without_data(self) -> Self:
        """A copy that generates the same cells, and is small to send to another process."""
        own = copy.copy(self)
        vars(own).update(_adata=None, _adata_manager=None)
        return own

    def _attributes(self) -> dict[str, Any]:
        """The attributes that are saved, by the rule of scvi-tools: their names end in ``_``."""
        attributes = {
            name: value
            for name, value in vars(self).items()
            if name.endswith("_") and not name.startswith("_")
        }
        table = attributes["var_"]
        lost = [i for i in range(table.shape[1]) if not _is_plain(table.iloc[:, [i]])]
        if lost:
            warnings.warn(
                f"columns of adata.var hold what a saved model cannot hold and are left out: "
                f"{listed(table.columns[lost])}",
                UserWarning,
                stacklevel=settings.warnings_stacklevel + 1,
            )
            kept = [i for i in range(table.shape[1]) if i not in lost]
            attributes["var_"] = table.iloc[:, kept]
        return attributes

    def _check_data(self) -> None:
        """Raise if the model has no data, or they would not load again."""
        if self.adata is None:
            raise ValueError("save_anndata=True: this model was loaded without data")
        arguments = self.registry["setup_args"]
        numbers = [c.key for c in self._conditions if isinstance(c, Number)]
        unlabeled = {arguments["labels_key"]: arguments["unlabeled_category"]}
        try:
            check_counts(self.adata, self._layer)
            align_genes(self.adata, SavedModel({}, {"registry_": self.registry}, None).genes)
            check_conditions(
                self.adata,
                [c.key for c in self._conditions if not isinstance(c, Number)],
                numbers,
                unlabeled=unlabeled if arguments["labels_key"] is not None else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"save_anndata=True: the data were changed after training and would not load again; "
                f"{error.args[0]}. Save a copy of the raw counts yourself, and the model without"
            ) from error


def _is_plain(value: Any) -> bool:
    try:
        to_plain(value, "")
    except TypeError:
        return False
    return True


def _write_data(adata: Any, path: Path, kwargs: Mapping[str, Any]) -> None:
    # by default anndata turns columns of text in the user's object to categories
    kwargs = {"convert_strings_to_categoricals": False, **kwargs}
    try:
        adata.write_h5ad(path, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"save_anndata=True: the data cannot be written; {error}. Change what cannot, or save the "
            "model without"
        ) from error
