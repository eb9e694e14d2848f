"""Lightning callbacks: progress over all phases, divergence, and the best weights of a phase."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

_EVERY = 50  # steps after which the loss is looked at
_EXPLODED = 100.0  # times the first loss, or so
_WORSE = 1.0  # of the first loss, or so: the most by which a phase may end above it


class PhaseProgress(Callback):
    """Advances a bar that is shared by the phases of a training, one step per batch."""

    def __init__(self, bar: Any, phase: str):
        self.bar, self.phase, self.steps = bar, phase, 0
        self.shown: dict[str, str] = {}

    def on_train_start(self, trainer: Trainer, *_) -> None:
        """Name the phase on the bar."""
        self.bar.set_description(f"Training the {self.phase}")
        self.bar.unpause()  # what came before says nothing of the time that steps take

    def on_train_batch_end(self, trainer: Trainer, *_) -> None:
        """Move the bar by one step."""
        self.steps += 1
        self.bar.update()

    def on_validation_end(self, trainer: Trainer, *_) -> None:
        """Show the loss of the validation cells."""
        self._show(trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, *_) -> None:
        """Show the loss of the training cells."""
        self._show(trainer, "train")

    def _show(self, trainer: Trainer, stage: str) -> None:
        value = trainer.callback_metrics.get(f"{self.phase}_loss_{stage}")
        if value is not None:
            self.shown[f"{stage}_loss"] = f"{float(value):.4g}"
            self.bar.set_postfix(**self.shown, refresh=False)

    def state_dict(self) -> dict[str, Any]:
        """Steps that were made, for a checkpoint."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the steps of a checkpoint."""
        self.steps = state_dict["steps"]
        self.bar.update(self.steps)

    def skip_to_end(self, planned: int) -> None:
        """Move the bar over steps that early stopping has saved."""
        self.bar.update(planned - self.steps)


class Divergence(Callback):
    """Ends a phase whose loss is not finite, or has exploded.

    The loss of a step is looked at every 50 steps, which a device is not slowed down by. At the end
    the loss must not be far above that of the first step, and all weights must be finite.

    Parameters
    ----------
    phase
        Name of the phase.
    watched
        Early stopping ends the phase and puts the best weights back: only these have to be finite.
    """

    def __init__(self, phase: str, watched: bool):
        self.phase, self.watched = phase, watched
        self.first: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, plan: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Raise RuntimeError if the loss of the step is not finite, or has exploded."""
        if self.watched or (self.first is not None and trainer.global_step % _EVERY):
            return
        loss = float(outputs["loss"])
        self.first = loss if self.first is None else self.first
        if not math.isfinite(loss) or loss > _EXPLODED * (abs(self.first) + 1):
            self._stop(f"its loss is {loss:.3g} after {trainer.global_step} steps")

    def on_fit_end(self, trainer: Trainer, plan: LightningModule) -> None:
        """Raise RuntimeError if weights are not finite, or the last loss is far above the first."""
        if not all(torch.isfinite(p).all() for p in plan.parameters()):
            self._stop("its weights are not finite")
        loss = trainer.callback_metrics.get(f"{self.phase}_loss_train")
        if loss is None or self.first is None:
            return
        if not float(loss) <= self.first + _WORSE * (abs(self.first) + 1):  # nor where it is NaN
            self._stop(f"its loss rose from {self.first:.3g} to {float(loss):.3g}")

    def state_dict(self) -> dict[str, Any]:
        """The first loss, for a checkpoint."""
        return {"first": self.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with the first loss of a checkpoint."""
        self.first = state_dict["first"]

    def _stop(self, reason: str) -> None:
        raise RuntimeError(
            f"the training of the {self.phase} diverged: {reason}. Lower its learning rate: "
            f'train(plan_kwargs={{"{self.phase}": {{"lr": ...}}}})'
        )


class BestWeights(Callback):
    """Keeps the weights with the lowest monitored value and puts them back at the end of the fit.

    Parameters
    ----------
    network
        The part of the model whose weights are kept, in memory.
    monitor
        Name of a logged value, lower is better.
    """

    def __init__(self, network: nn.Module, monitor: str):
        self.network, self.monitor = network, monitor
        self.best_value = math.inf
        self.best: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best weights and their value, for a checkpoint."""
        return {"best_value": self.best_value, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best weights of a checkpoint."""
        self.best_value, self.best = state_dict["best_value"], state_dict["best"]

    def on_validation_end(self, trainer: Trainer, *_) -> None:
        """Keep a copy of the weights if the monitored value is the lowest so far."""
        value = float(trainer.callback_metrics.get(self.monitor, math.inf))
        if value < self.best_value:
            self.best_value = value
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def on_fit_end(self, trainer: Trainer, plan: LightningModule) -> None:
        """Put the best weights back."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
