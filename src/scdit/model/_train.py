"""Training: the user's wishes per phase, turned into a run of both."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from scvi.data import AnnDataManager

from scdit._checks import check_int
from scdit.conditions import Condition, Number
from scdit.model._counts import read_counts
from scdit.model._names import weights_token
from scdit.model._registration import check_unchanged
from scdit.module import RNA, SCDiTModule
from scdit.train import CellDataModule, PhasesRunner, condition_codes


class TrainMixin:
    """Adds :meth:`train` to the model."""

    adata: AnnData | None
    adata_manager: AnnDataManager
    module: SCDiTModule
    is_trained_: bool
    run_token_: str
    history_: dict | None
    registry: dict
    _conditions: list[Condition]

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
        plan_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        silent: bool = False,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the codec, if it has weights, then the denoiser. A second call goes on from where the first stopped.

        A call that is interrupted, or fails, leaves the model as it was before.

        Parameters
        ----------
        max_epochs
            Passes over the training cells: one number for each phase, or
            ``{"codec": 20, "denoiser": 100}`` (the expression codec has no phase of its own). None
            adapts them to the number of cells.
        accelerator, devices
            Passed to Lightning's trainer; ``"auto"`` takes a GPU if there is one.
        train_size, validation_size
            Fractions of the cells that are trained on and that early stopping watches (default
            the rest). None trains on all cells, unless `validation_size` or `early_stopping` asks
            for some to be held out; then, and always with the expression codec, on 0.9.
        shuffle_set_split
            Whether the split is random, with the seed of ``scvi.settings``.
        batch_size
            Cells per step: one number or one per phase; None for 64 (codec, and denoiser of expression) and
            128 (denoiser of latents).
        early_stopping
            End a phase when its validation loss has stopped falling, and keep its best weights:
            one choice or one per phase. None for ``{"codec": False, "denoiser": True}``: the
            codec's bound is lowest long before its cells are best, and a prior keeps it from
            overfitting. Without validation cells nothing is stopped, see `train_size`.
        plan_kwargs
            Optimiser settings per phase, ``lr`` and ``weight_decay``: the defaults are
            ``{"codec": {"lr": 1e-3, "weight_decay": 1e-2}, "denoiser": {"lr": 2e-3, ...}}``.
        silent
            No progress bar.
        **trainer_kwargs
            Passed to Lightning's trainer for all phases: ``precision``, ``gradient_clip_val``,
            ``callbacks``, ...

        Raises
        ------
        ValueError
            If there are fewer than two cells, or an argument is out of range.
        """
        if self.adata is None:
            raise ValueError("this model was loaded without data: load it with adata= to train it")
        if self.adata.n_obs < 2:
            raise ValueError("adata has one cell: a distribution cannot be learnt from it")
        # much can happen to the data between setup_anndata and here
        check_unchanged(self.adata_manager)
        if isinstance(devices, int) and devices > 1:
            raise ValueError(f"scdit trains on one device, got devices={devices}")
        phases = self.module.codec.phases

        batch_sizes = _per_phase(
            "batch_size", batch_size, {name: phase.batch_size for name, phase in phases.items()}
        )
        if train_size is None:
            wishes = early_stopping.values() if isinstance(early_stopping, Mapping) else ()
            watched = early_stopping is True or any(wishes) or bool(validation_size)
            # without a latent codec the denoiser can learn its cells by heart
            if not watched and "codec" in phases:
                train_size = 1.0
        counts = read_counts(self.adata, self.registry["setup_args"]["layer"])
        cells = CellDataModule(
            counts,
            condition_codes(self.adata_manager, self.module.condition_names),
            train_size,
            validation_size,
            shuffle_set_split,
            batch_size=batch_sizes[next(iter(phases))],
        )
        epochs = _per_phase(
            "max_epochs",
            max_epochs,
            {
                name: phase.epochs(cells.n_train, batch_sizes[name])
                for name, phase in phases.items()
            },
        )
        runner = PhasesRunner(
            self,
            cells,
            max_epochs=epochs,
            batch_size=batch_sizes,
            plan_kwargs=_per_phase("plan_kwargs", plan_kwargs, {name: {} for name in phases}),
            early_stopping=_per_phase(
                "early_stopping",
                early_stopping,
                {name: phase.early_stopping for name, phase in phases.items()},
            ),
            accelerator=accelerator,
            devices=devices,
            silent=silent,
            **trainer_kwargs,
        )
        self.composition_ = {
            "codes": {
                c.name: self.adata.obs[c.key].to_numpy(np.float64)
                if isinstance(c, Number)
                else self.adata_manager.get_from_registry(c.name).ravel()
                for c in self._conditions
            },
            "library_size": np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel(),
        }
        state = copy.deepcopy((self.module.state_dict(), self.history_, self.is_trained_))
        try:
            if not self.is_trained_:
                self.module.codec.start({RNA: counts[cells.train_idx]})
            runner()
            self.run_token_ = weights_token(self.module)
        except BaseException as error:
            weights, self.history_, self.is_trained_ = state
            self.module.load_state_dict(weights)
            if isinstance(error.__context__, KeyboardInterrupt):  # which Lightning turns into exit
                raise KeyboardInterrupt from error
            raise


def _per_phase(name: str, given: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One value for all phases, or a mapping from phases to values, over the defaults.

    Raises
    ------
    ValueError
        If a phase is unknown, or the values are numbers and not positive.
    """
    if given is None:
        return dict(defaults)
    is_per_phase = isinstance(given, Mapping)
    values = {**defaults, **given} if is_per_phase else dict.fromkeys(defaults, given)
    unknown = set(values) - set(defaults)
    if unknown:
        raise ValueError(f"{name} names {sorted(unknown)}; the phases are {', '.join(defaults)}")
    for phase, value in values.items():
        if type(defaults[phase]) is int:
            check_int(f"{name} of the {phase}", value)
            values[phase] = int(value)
    return values
