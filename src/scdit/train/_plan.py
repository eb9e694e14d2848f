"""The two training plans: what is minimised, with which optimiser, and what is logged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from scdit.module import SCDiTModule
from scdit.train._processes import own_noise

_TIMES = (1e-3, 1 - 1e-3)  # the ends of the path teach nothing


class _Plan(LightningModule):
    """AdamW with a linear warm-up and a cosine decay over all steps of the fit.

    Parameters
    ----------
    module
        The module to train.
    lr
        Peak learning rate.
    weight_decay
        Decoupled weight decay of the parameter groups that do not set their own.
    warmup_fraction
        Fraction of the steps during which the learning rate rises.
    """

    phase: str
    n_obs_training: int  # set by scvi's runner
    gradient_clip: float  # norm above which gradients are scaled down, in units of the loss

    def __init__(
        self, module: SCDiTModule, lr: float, weight_decay: float, warmup_fraction: float = 0.05
    ):
        super().__init__()
        self.module = module
        self.lr, self.weight_decay, self.warmup_fraction = lr, weight_decay, warmup_fraction

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameters of this phase with their learning rates and decay."""
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule, stepped with every batch."""
        n_steps = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, round(self.warmup_fraction * n_steps))

        def factor(step: int) -> float:
            done = min(1.0, step / n_steps)
            return min(1.0, (step + 1) / warmup) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))

        optimizer = torch.optim.AdamW(
            self.parameter_groups(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.99),
            # without temporaries as large as the weights; in mixed precision Lightning cannot clip
            # the gradients of a fused optimiser
            fused=self.device.type == "cpu" and "mixed" not in self.trainer.precision,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Several processes draw noise of their own."""
        own_noise(self.trainer)

    def record(self, name: str, value: Tensor, n_cells: int) -> None:
        """Log a mean over cells, once per epoch, as ``<phase>_<name>_train`` or ``_validation``."""
        stage = "train" if self.training else "validation"
        self.log(
            f"{self.phase}_{name}_{stage}",
            value,
            on_step=False,
            on_epoch=True,
            batch_size=n_cells,
            sync_dist=self.trainer.world_size > 1,
        )


class CodecPlan(_Plan):
    """Phase one: the evidence lower bound of the codec.

    Logs ``codec_loss``, ``codec_reconstruction_loss`` and ``codec_kl``, in nats per cell.
    """

    phase = "codec"
    gradient_clip = 1e3

    def __init__(self, module: SCDiTModule, lr: float, weight_decay: float = 1e-2):
        super().__init__(module, lr, weight_decay)

    def parameter_groups(self) -> list[dict[str, object]]:
        """The codec's own groups: its decoder and single numbers learn faster than its encoder."""
        return self.module.codec.parameter_groups(self.lr)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch, in nats per cell."""
        return self._loss(batch)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Log the loss of a batch of validation cells."""
        self._loss(batch)

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        _, _, out = self.module(batch)
        n = out.n_obs_minibatch
        self.record("loss", out.loss, n)
        self.record("reconstruction_loss", out.reconstruction_loss_sum / n, n)
        self.record("kl", out.kl_local_sum / n, n)
        return out.loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Add what the priors of the codec's weights have to say."""
        for prior in self.module.codec.priors():
            prior.add_gradient(self.n_obs_training)


class DenoiserPlan(_Plan):
    """Phase two: the denoiser on cached latents; its EMA copy is updated after every step.

    Logs ``denoiser_loss``, the mean squared error per dimension of the prediction; in validation it
    is that of the EMA copy, with times and noise that are the same in every epoch.
    """

    phase = "denoiser"
    gradient_clip = 1.0

    def __init__(self, module: SCDiTModule, lr: float, weight_decay: float = 1e-2):
        super().__init__(module, lr, weight_decay)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Matrices with weight decay, biases and gains without."""
        return decay_matrices_only(self.module.denoiser)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Loss of a batch at random times, one in each of as many equal intervals as it has cells."""
        mean = batch["mean"]
        n = len(mean)
        # one time in each of n equal intervals: less variance than n independent times
        t = (torch.randperm(n, device=mean.device) + torch.rand(n, device=mean.device)) / n
        loss = self._loss(batch, t, (torch.randn_like(mean), torch.randn_like(mean)))
        self.record("loss", loss.detach(), n)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Log the loss of the averaged weights, with times and noise that depend on the batch only."""
        mean = batch["mean"]
        n = len(mean)
        fixed = torch.Generator().manual_seed(batch_idx)
        t = (torch.randperm(n, generator=fixed) + 0.5) / n
        z, eps = (torch.randn(mean.shape, generator=fixed).to(mean) for _ in range(2))
        self.record("loss", self._loss(batch, t.to(mean), (z, eps)), n)

    def _loss(self, batch: dict, t: Tensor, noise: tuple[Tensor, Tensor]) -> Tensor:
        t = t.clamp(*_TIMES)
        return self.module.denoiser_loss(
            batch["mean"], batch["sd"], batch["codes"], t, noise, ema=not self.training
        ).mean()

    def on_train_batch_end(self, *_) -> None:
        """Move the EMA copy towards the trained denoiser."""
        self.module.ema.update_parameters(self.module.denoiser)


def decay_matrices_only(network: nn.Module) -> list[dict[str, object]]:
    """Two parameter groups: matrices with weight decay, vectors (biases, gains) without."""
    parameters: Iterable[nn.Parameter] = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
