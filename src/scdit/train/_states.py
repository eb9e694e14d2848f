"""Between the phases: the states of all cells, in the space of the diffusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scdit.module import SCDiTModule
from scdit.train._data import (
    CachedStates,
    CellDataModule,
    EncodedStates,
    StateDataModule,
)

_CELLS_AT_ONCE = 512


@torch.inference_mode()
def prepare_states(module: SCDiTModule, cells: CellDataModule, batch_size: int) -> StateDataModule:
    """States that the denoiser is trained on; the module's normalisation is set from training cells.

    Parameters
    ----------
    module
        The module. A codec with weights is trained, and is calibrated here.
    cells
        The split of the cells.
    batch_size
        Cells per step of the denoiser.

    Raises
    ------
    RuntimeError
        If a state is not finite.
    """
    prepare = _cached if "codec" in module.codec.phases else _encoded
    return StateDataModule(cells, prepare(module, cells), batch_size)


def _cached(module: SCDiTModule, cells: CellDataModule) -> CachedStates:
    """Posteriors of all cells, held in memory."""
    mean, sd = encode(module, cells)
    train = torch.as_tensor(cells.train_idx)
    states = mean[train] + sd[train] * torch.randn_like(sd[train])
    own = {name: code[train] for name, code in cells.codes.items()}
    counts = module.by_assay(cells.counts[cells.train_idx])
    module.codec.calibrate(states, counts, own, module.present_by_assay(cells.present_of(train)))

    variance = mean[train].var(0, correction=0) + sd[train].pow(2).mean(0)
    low, high = mean[train].aminmax(dim=0)
    module.set_normalisation(mean[train].mean(0), variance, low, high)
    mean, sd = (x.cpu() for x in module.standardise(mean.to(module.device), sd.to(module.device)))
    return CachedStates(mean, sd, cells.codes)


def _encoded(module: SCDiTModule, cells: CellDataModule) -> EncodedStates:
    """States that are encoded batch by batch: all of them at once may not fit into memory."""
    states = EncodedStates(module, cells)
    chunks = np.array_split(cells.train_idx, -(-cells.n_train // _CELLS_AT_ONCE))
    moments = module.codec.state_moments(states.encode(chunk).cpu() for chunk in chunks)
    module.set_normalisation(moments.mean, moments.variance, moments.low, moments.high)
    if module.head is not None:
        centre, scale = module.state_mean, module.state_sd
        zero, mean, sd = (
            x.to(module.device) for x in (moments.zero, moments.on_mean, moments.on_sd)
        )
        module.head.set_marginals(
            (zero - centre) / scale, (mean - centre) / scale, sd / scale, moments.share
        )
    return states


def encode(module: SCDiTModule, cells: CellDataModule) -> tuple[Tensor, Tensor]:
    """Posterior mean and sd (cells, n_state) of all cells.

    Raises
    ------
    RuntimeError
        If a state is not finite.
    """
    module.eval()
    means, sds = [], []
    for batch in cells.all_cells(_CELLS_AT_ONCE):
        posterior = module.inference(**module._get_inference_input(batch))
        means.append(posterior["mean"].float().cpu())
        sds.append(posterior["sd"].float().cpu())
    mean, sd = torch.cat(means), torch.cat(sds)
    if not (torch.isfinite(mean).all() and torch.isfinite(sd).all()):
        raise RuntimeError(
            "the codec's training diverged: lower its learning rate, "
            'train(plan_kwargs={"codec": {"lr": ...}})'
        )
    return mean, sd
