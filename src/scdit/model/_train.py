"""Training: the user's wishes per phase, turned into a run of both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from scvi import settings
from scvi.data import AnnDataManager

from scdit._checks import check_bool, check_int, check_number
from scdit._lazy import LazyCounts, cell_totals, released
from scdit._torch import steady_torch
from scdit.conditions import Condition, Number
from scdit.model._annbatch import CollectionDataModule, check_datamodule
from scdit.model._assays import AssaysMixin
from scdit.model._counts import read_counts
from scdit.model._modalities import presence
from scdit.model._names import weights_token
from scdit.model._registration import check_unchanged
from scdit.model._resume import about_model, check_folder, check_model, check_training
from scdit.model._train_arguments import check_plans, check_trainer, per_phase, processes
from scdit.module import SCDiTModule
from scdit.train import (
    STRATEGY,
    CellDataModule,
    PhasesRunner,
    condition_codes,
    read_checkpoint,
    start_codec,
)

_TRAIN_SIZE = 0.9  # share of the cells, where some are held out
# attributes that a training sets, by the names they have in the instance
_CHANGED = (
    "composition_",
    "history_",
    "is_trained_",
    "run_token_",
    "train_indices_",
    "validation_indices_",
    "test_indices_",
    "trainer",
    "_trainer",
)


class TrainMixin(AssaysMixin):
    """Adds :meth:`train` to the model."""

    adata: AnnData | None
    adata_manager: AnnDataManager
    module: SCDiTModule
    is_trained_: bool
    run_token_: str
    history_: dict | None
    registry: dict
    _conditions: list[Condition]
    composition_: dict[str, Any]

    @steady_torch()
    def train(
        self,
        max_epochs: int | Mapping[str, int] | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int | Mapping[str, int] | None = None,
        early_stopping: bool | Mapping[str, bool] | None = None,
        early_stopping_patience: int = 10,
        plan_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        silent: bool = False,
        checkpoint_dir: str | PathLike | None = None,
        resume_from: str | PathLike | None = None,
        datamodule: CollectionDataModule | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the codec, if it has weights, then the denoiser. A second call goes on from where the first stopped.

        A call that fails leaves the model as it was before, and so does Ctrl-C in the codec's phase. After
        Ctrl-C in the denoiser's phase, the model is kept as trained so far, with a warning.

        Parameters
        ----------
        max_epochs
            Passes over the training cells: one number for each phase, or
            ``{"codec": 20, "denoiser": 100}`` (the expression codec has no phase of its own). None
            adapts them to the number of cells.
        accelerator
            Passed to Lightning's trainer; ``"auto"`` takes a GPU if there is one.
        devices
            Passed to it too. ``devices=2`` starts two processes (Lightning's DDP), which run the
            script as a whole. They divide each batch.
        train_size
            Fraction of the cells for training. None takes all, or at most 0.9 if `validation_size`
            or `early_stopping` is given, and with the expression codec.
        validation_size
            Fraction for early stopping and validation curves in ``history``; None for the rest.
            ``validation_size=0.1`` is all that is needed for curves.
        shuffle_set_split
            Whether the split is random, with the seed of ``scvi.settings``.
        batch_size
            Cells per step: one number or one per phase; None for 64 (codec, and denoiser of expression) and
            256 (denoiser of latents).
        early_stopping
            End a phase when its validation loss has stopped falling, and keep its best weights:
            one choice or one per phase. None for ``{"codec": False, "denoiser": True}``: the validation
            loss of the codec is lowest long before the generated cells are best, and priors prevent
            overfitting. If you set it, validation cells are needed, see `train_size`. With None and no
            validation cells, all epochs are trained.
        early_stopping_patience
            Number of validations without an improvement after which a phase ends.
        plan_kwargs
            Optimiser settings per phase, ``lr`` and ``weight_decay``: the defaults are
            ``{"codec": {"lr": 1e-3, "weight_decay": 1e-2}, "denoiser": {"lr": 3e-3, ...}}``
            (2e-3 with the expression codec).
        silent
            No progress: by default a bar, or, where no terminal or notebook shows it, a line in the log
            for every tenth of the way.
        checkpoint_dir
            Folder for checkpoints, made if it is not there: one file for each phase, written when the
            phase begins, every three minutes, and when it ends. None for no checkpoints, or, with
            `resume_from`, for the folder that this names.
        resume_from
            A folder of checkpoints, or a file in it: go on from there with weights, moving average,
            optimiser and schedule. All other arguments must be those of the training that was cut, and
            the model a new one with the same arguments and data. The split of the cells is the same;
            an epoch that was cut is finished with cells in a new random order.
        datamodule
            What :meth:`setup_annbatch` returned, for a model that was made from its registry.
        **trainer_kwargs
            Passed to Lightning's trainer for all phases: ``precision``, ``gradient_clip_val``,
            ``callbacks``, ...

        Raises
        ------
        FileExistsError
            If `checkpoint_dir` has checkpoints of another training.
        FileNotFoundError
            If `resume_from` names no checkpoint.
        RuntimeError
            If a phase diverges; the message names it.
        ValueError
            If the checkpoint is damaged, or of another model, data or version; there are fewer than two
            cells, data have changed since ``setup_anndata``, `datamodule` has other cells than the
            model, early stopping is asked for without validation cells, or an argument is unknown or
            out of range.

        Warns
        -----
        UserWarning
            If the denoiser's phase is interrupted.

        Examples
        --------
        >>> scdit.SCDiT.setup_anndata(adata, labels_key="cell_type")
        >>> model = scdit.SCDiT(adata)
        >>> model.train()
        """
        if self.adata is None:
            raise ValueError("this model was loaded without data: load it with adata= to train it")
        if self.adata.n_obs < 2:
            raise ValueError("adata has one cell: a distribution cannot be learnt from it")
        check_datamodule(datamodule, self.adata)
        check_bool("silent", silent)
        check_bool("shuffle_set_split", shuffle_set_split)
        patience = check_int("early_stopping_patience", early_stopping_patience)
        check_trainer(accelerator, devices, trainer_kwargs)
        several = processes(devices, trainer_kwargs)
        phases = self.module.codec.phases
        plans = check_plans(plan_kwargs, phases)
        batch_sizes = per_phase(
            "batch_size", batch_size, {name: phase.batch_size for name, phase in phases.items()}
        )
        stopping = per_phase(
            "early_stopping",
            early_stopping,
            {name: phase.early_stopping for name, phase in phases.items()},
        )
        # much can happen to the data between setup_anndata and here
        check_unchanged(self.adata_manager)
        wishes = early_stopping.values() if isinstance(early_stopping, Mapping) else ()
        wished = early_stopping is True or any(wishes)
        if train_size is None:
            # without a latent codec the denoiser can learn its cells by heart
            if not wished and not validation_size and "codec" in phases:
                train_size = 1.0
            elif validation_size is not None:
                train_size = 1 - check_number(
                    "validation_size", validation_size, 0, 1, open_high=True
                )
                train_size = min(train_size, _TRAIN_SIZE)
        checkpoint = None if resume_from is None else read_checkpoint(resume_from)
        if checkpoint is not None:
            check_model(checkpoint, self)
        folder = check_folder(checkpoint_dir, checkpoint)
        split_seed = None if checkpoint is None else checkpoint["scdit"]["split_seed"]
        if split_seed is None and several["strategy"] == STRATEGY and settings.seed is None:
            split_seed = 0  # the same in all processes
        counts = read_counts(self.adata, self._layer)
        cells = CellDataModule(
            counts,
            condition_codes(self.adata_manager, self.module.condition_names),
            train_size,
            validation_size,
            shuffle_set_split,
            batch_size=batch_sizes[next(iter(phases))],
            present=presence(self.adata, self._modalities),
            split_seed=split_seed,
        )
        if wished and not (cells.n_val and trainer_kwargs.get("limit_val_batches", 1)):
            raise ValueError(
                "early_stopping needs validation cells: leave out train_size, or set validation_size=0.1"
            )
        epochs = per_phase(
            "max_epochs",
            max_epochs,
            {
                name: phase.epochs(cells.n_train, batch_sizes[name])
                for name, phase in phases.items()
            },
        )
        training = {
            "max_epochs": epochs,
            "batch_size": batch_sizes,
            "early_stopping": stopping,
            "early_stopping_patience": patience,
            "plan_kwargs": plans,
            "train_size": cells.n_train,
            "validation_size": cells.n_val,
            "shuffle_set_split": bool(shuffle_set_split),
        }
        if checkpoint is not None:
            check_training(checkpoint, training)
        about = {**about_model(self), "training": training, "split_seed": cells.split_seed}
        with _as_before_if_it_fails(self), released(counts):
            runner = PhasesRunner(
                self,
                cells,
                max_epochs=epochs,
                batch_size=batch_sizes,
                plan_kwargs=plans,
                early_stopping=stopping,
                patience=patience,
                accelerator=accelerator,
                silent=silent,
                checkpoints=None if folder is None else (folder, about),
                checkpoint=checkpoint,
                **(trainer_kwargs | several),
            )
            if not self.is_trained_ and checkpoint is None:
                start_codec(self.module, cells)
            runner()
            self.composition_ = self._composition(counts)
            self.run_token_ = weights_token(self.module)

    def _composition(self, counts: sp.csr_matrix | LazyCounts) -> dict[str, Any]:
        """Conditions and library sizes of the training cells, see :class:`Composition`.

        Of several assays there is a column of library sizes for each; of an assay that a cell lacks NaN.
        """
        codes = {
            c.name: self.adata.obs[c.key].to_numpy(np.float64)  # type: ignore[union-attr]
            if isinstance(c, Number)
            else self.adata_manager.get_from_registry(c.name).ravel()
            for c in self._conditions
        }
        sizes = [cell_totals(part) for part in self.module.by_assay(counts).values()]
        library_size = sizes[0] if len(sizes) == 1 else np.stack(sizes, axis=1)
        present = presence(self.adata, self._modalities)
        if present is not None:
            library_size = np.where(present, library_size, np.nan)
        return {"codes": codes, "library_size": library_size}


@contextmanager
def _as_before_if_it_fails(model: TrainMixin) -> Iterator[None]:
    """Put everything back that training changes in a model, if it ends with an error."""
    module = model.module
    attributes = {name: vars(model)[name] for name in _CHANGED if name in vars(model)}
    attributes["history_"] = copy.copy(model.history_)
    weights = copy.deepcopy(module.state_dict())
    device, training = module.device, module.training
    try:
        yield
    except BaseException:
        module.load_state_dict(weights)
        module.to(device).train(training)
        for name in _CHANGED:
            vars(model).pop(name, None)
        vars(model).update(attributes)
        raise
