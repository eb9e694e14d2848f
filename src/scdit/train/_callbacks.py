"""Lightning callbacks: one progress bar over all phases, and the best weights of a phase."""

from __future__ import annotations

import math

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from tqdm import tqdm


class PhaseProgress(Callback):
    """Advances a bar that is shared by the phases of a training, one step per batch."""

    def __init__(self, bar: tqdm, phase: str):
        self.bar, self.phase, self.steps = bar, phase, 0

    def on_train_start(self, trainer: Trainer, *_) -> None:
        self.bar.set_description(f"Training the {self.phase}")

    def on_train_batch_end(self, trainer: Trainer, *_) -> None:
        self.steps += 1
        self.bar.update()

    def on_validation_end(self, trainer: Trainer, *_) -> None:
        value = trainer.callback_metrics.get(f"{self.phase}_loss_validation")
        if value is not None:
            self.bar.set_postfix(validation_loss=f"{float(value):.4g}", refresh=False)

    def skip_to_end(self, planned: int) -> None:
        """Move the bar over steps that early stopping has saved."""
        self.bar.update(planned - self.steps)


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

    def on_validation_end(self, trainer: Trainer, *_) -> None:
        value = float(trainer.callback_metrics.get(self.monitor, math.inf))
        if value < self.best_value:
            self.best_value = value
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def on_fit_end(self, trainer: Trainer, plan: LightningModule) -> None:
        if self.best is not None:
            self.network.load_state_dict(self.best)
