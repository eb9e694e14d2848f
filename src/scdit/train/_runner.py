"""One training of one or two phases: the codec where it has weights, then the denoiser."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_only
from scvi.train import TrainRunner
from torch import nn

from scdit._checks import users_stacklevel
from scdit._progress import progress
from scdit.train._callbacks import BestWeights, Divergence, PhaseProgress
from scdit.train._checkpoints import Checkpoints, tables
from scdit.train._data import CellDataModule, StateDataModule
from scdit.train._history import HistoryLogger
from scdit.train._plan import CodecPlan, DenoiserPlan, _Plan
from scdit.train._processes import as_in_the_first
from scdit.train._states import prepare_states

if TYPE_CHECKING:
    from scvi.model.base import BaseModelClass

_PLANS: dict[str, type[_Plan]] = {"codec": CodecPlan, "denoiser": DenoiserPlan}
_VALIDATIONS = 50  # of a phase at most, where epochs are short


class _PhaseRunner(TrainRunner):
    """scvi's runner, which keeps the history of earlier phases and trainings, beside any logger.

    Raises
    ------
    KeyboardInterrupt
        If it is interrupted, which Lightning turns into an exit of the process.
    """

    def __init__(
        self, *args: Any, logger: Any = None, own: HistoryLogger | None = None, **kwargs: Any
    ):
        # without a logger of the user's there is no other: the history is in memory
        super().__init__(*args, logger=False if logger is None else logger, **kwargs)
        self._logger = HistoryLogger() if own is None else own
        self.trainer.loggers = [*self.trainer.loggers, self._logger]

    def __call__(self) -> None:
        handler = signal.getsignal(signal.SIGINT)
        try:
            super().__call__()
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        finally:
            # Lightning ignores further interrupts, for the rest of the process
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)

    def _run_training_core(self) -> None:
        """Fit, as scvi does; but what fails is raised only, not printed too."""
        self.trainer.fit(self.training_plan, self.data_splitter, ckpt_path=self.ckpt_path)
        self.keep()

    def keep(self) -> None:
        """Take what is trained so far, as at the end of a training."""
        self._update_history()
        model, data = self.model, self.data_splitter
        model.train_indices, model.validation_indices = data.train_idx, data.val_idx
        model.test_indices = data.test_idx
        model.module.eval()
        model.is_trained_ = True
        model.to_device(self.device)
        model.trainer = self.trainer

    def _update_history(self) -> None:
        history = dict(self.model.history_ or {})
        for name, values in self._logger.history.items():
            if name in history:
                values = values.set_axis(values.index + len(history[name]))
                values = pd.concat([history[name], values]).rename_axis(values.index.name)
            history[name] = values
        self.model.history_ = history


class PhasesRunner:
    """Trains the codec, if it has weights, and the denoiser on the states that the codec makes.

    Parameters
    ----------
    model
        The model; its module is trained in place.
    cells
        Batches of counts.
    max_epochs
        Passes over the training cells, per phase.
    batch_size
        Cells per step, per phase.
    plan_kwargs
        Arguments of :class:`CodecPlan` and :class:`DenoiserPlan`, per phase.
    early_stopping
        Per phase: stop when the validation loss has not improved for `patience` validations, and
        put the best weights back.
    patience
        See `early_stopping`.
    silent
        No progress bar.
    checkpoints
        Folder of checkpoints, and what is written into them beside the state of the training; None
        for no checkpoints.
    checkpoint
        The one to go on from, see :func:`read_checkpoint`; None to begin.
    **trainer_kwargs
        Passed to :class:`scvi.train.TrainRunner` for all phases.
    """

    def __init__(
        self,
        model: BaseModelClass,
        cells: CellDataModule,
        *,
        max_epochs: Mapping[str, int],
        batch_size: Mapping[str, int],
        plan_kwargs: Mapping[str, Mapping[str, Any]],
        early_stopping: Mapping[str, bool],
        patience: int = 10,
        silent: bool = False,
        checkpoints: tuple[Path, Mapping[str, Any]] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        **trainer_kwargs: Any,
    ):
        self.model, self.cells = model, cells
        self.checkpoints, self.checkpoint = checkpoints, checkpoint
        self.max_epochs, self.batch_size = max_epochs, batch_size
        self.plans = {
            phase: _PLANS[phase](model.module, **plan_kwargs[phase]) for phase in plan_kwargs
        }
        self.early_stopping, self.patience, self.silent = early_stopping, patience, silent
        self.trainer_kwargs = trainer_kwargs

    def __call__(self) -> None:
        """Run all phases."""
        module = self.model.module
        phases = module.codec.phases
        total = sum(
            self.max_epochs[phase] * math.ceil(self.cells.n_train / self.batch_size[phase])
            for phase in phases
        )
        # one bar, of the first process
        silent = self.silent or getattr(rank_zero_only, "rank", 0) > 0
        with progress(total, "Training", "batch", silent) as bar:
            resumed = None if self.checkpoint is None else self._restore(module, bar)
            if "codec" in phases and resumed != "denoiser":
                if resumed is None:
                    # of an earlier training, and fitted anew to the states of this one
                    module.codec.clear_calibration()
                module.train()  # an earlier training leaves it in the mode of evaluation
                self._fit(self.plans["codec"], self.cells, module.codec, bar)
            self.model.is_trained_ = False  # until the last phase is done
            again = resumed == "denoiser"
            states = prepare_states(module, self.cells, self.batch_size["denoiser"], again=again)
            as_in_the_first(module, self.cells.trainer)
            module.train()
            networks = nn.ModuleList([module.denoiser, module.ema])
            self._fit(self.plans["denoiser"], states, networks, bar)

    def _restore(self, module: nn.Module, bar: Any) -> str:
        """Take weights and history of the checkpoint; gives its phase."""
        checkpoint = self.checkpoint or {}
        about, phases = checkpoint["scdit"], list(self.plans)
        weights = {
            name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()
        }
        module.load_state_dict(weights)
        self.model.history_ = tables(about["history"]) or None
        for phase in phases[: phases.index(about["phase"])]:
            steps = math.ceil(self.cells.n_train / self.batch_size[phase])
            bar.update(self.max_epochs[phase] * steps)
        return str(about["phase"])

    def _fit(
        self, plan: _Plan, data: CellDataModule | StateDataModule, network: nn.Module, bar: Any
    ) -> None:
        max_epochs = self.max_epochs[plan.phase]
        monitor = f"{plan.phase}_loss_validation"
        steps = PhaseProgress(bar, plan.phase)
        callbacks = [steps, *(self.trainer_kwargs.get("callbacks") or [])]
        options: dict[str, Any] = {}
        logged = HistoryLogger()
        resumed = self.checkpoint
        if resumed is not None and resumed["scdit"]["phase"] == plan.phase:
            logged.restore(tables(resumed["scdit"]["logged"]))
            torch.set_rng_state(resumed["scdit"]["random"])
            options["ckpt_path"] = str(resumed["path"])
        if self.checkpoints is not None:
            folder, about = self.checkpoints
            callbacks.append(
                Checkpoints(
                    folder, plan.phase, about, lambda: (self.model.history_ or {}, logged.history)
                )
            )
        watched = bool(data.n_val) and self.early_stopping[plan.phase]
        if data.n_val:
            if watched:
                callbacks.append(EarlyStopping(monitor, patience=self.patience))
                callbacks.append(BestWeights(network, monitor))
            options["check_val_every_n_epoch"] = max(1, max_epochs // _VALIDATIONS)
        callbacks.append(Divergence(plan.phase, watched))  # after the best weights are back
        n_batches = math.ceil(data.n_train / data.batch_size)
        options |= {
            "gradient_clip_val": plan.gradient_clip,
            "enable_progress_bar": False,
            "log_every_n_steps": min(10, n_batches),
            "use_distributed_sampler": False,  # batches are divided as they are
            **self.trainer_kwargs,
            "callbacks": callbacks,
        }
        with _quiet_lightning():
            runner = _PhaseRunner(
                self.model,
                training_plan=plan,
                data_splitter=data,
                max_epochs=max_epochs,
                own=logged,
                **options,
            )
            try:
                runner()
            except KeyboardInterrupt:
                # without a finished codec there is nothing to keep, nor without a step
                if plan.phase != "denoiser" or not steps.steps:
                    raise
                runner.keep()
                warnings.warn(
                    f"the training of the denoiser was interrupted after {steps.steps} of "
                    f"{max_epochs * n_batches} steps; the model is kept as trained so far",
                    UserWarning,
                    stacklevel=users_stacklevel(),
                )
        if not steps.steps:
            raise RuntimeError(f"the {plan.phase} made no step of training; check trainer_kwargs")
        steps.skip_to_end(max_epochs * n_batches)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep out of the one progress bar what Lightning says of devices and of its own internals."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode", UserWarning)
            warnings.filterwarnings("ignore", "You're resuming from a checkpoint", UserWarning)
            warnings.filterwarnings("ignore", ".*does not have many workers", UserWarning)
            # scvi's own, which is not used
            warnings.filterwarnings("ignore", "early_stopping was automatically", UserWarning)
            yield
    finally:
        logger.setLevel(level)
