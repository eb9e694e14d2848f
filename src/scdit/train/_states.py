"""Between the phases: the states of all cells, in the space of the diffusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scdit._lazy import LazyCounts
from scdit.module import SCDiTModule
from scdit.train._data import (
    CachedStates,
    CellDataModule,
    EncodedStates,
    StateDataModule,
)
from scdit.train._fitted import calibrate, empty_states, fitted_cells, moments, standardise

_CELLS_AT_ONCE = 512


@torch.inference_mode()
def prepare_states(
    module: SCDiTModule, cells: CellDataModule, batch_size: int, *, again: bool = False
) -> StateDataModule:
    """States that the denoiser is trained on; the module's normalisation is set from training cells.

    Parameters
    ----------
    module
        The module. A codec with weights is trained, and is calibrated here.
    cells
        The split of the cells.
    batch_size
        Cells per step of the denoiser.
    again
        The module has been through this: its codec is calibrated, and its normalisation set.

    Raises
    ------
    RuntimeError
        If a state is not finite.
    """
    latent = "codec" in module.codec.phases
    states = _cached(module, cells, again) if latent else _encoded(module, cells)
    return StateDataModule(cells, states, batch_size)


def _cached(module: SCDiTModule, cells: CellDataModule, again: bool) -> CachedStates:
    """Posteriors of all cells, held in memory or in a file."""
    if again:  # states are encoded without the calibration that follows from them
        calibrated = {name: value.clone() for name, value in module.codec.state_dict().items()}
        module.codec.clear_calibration()
        mean, sd = encode(module, cells)
        module.codec.load_state_dict(calibrated)
    else:
        mean, sd = encode(module, cells)
        calibrate(module, cells, mean, sd)
        module.set_normalisation(*moments(mean, sd, cells.train_idx))
    standardise(module, mean, sd)
    return CachedStates(mean, sd, cells.codes)


def _encoded(module: SCDiTModule, cells: CellDataModule) -> EncodedStates:
    """States that are encoded batch by batch: all of them at once may not fit into memory."""
    states = EncodedStates(module, cells)
    rows = fitted_cells(cells)
    if isinstance(cells.counts, LazyCounts):  # which are read in order
        rows = np.sort(rows)
    chunks = np.array_split(rows, -(-len(rows) // _CELLS_AT_ONCE))
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
    n_cells, n_state = cells.counts.shape[0], module.codec.n_state
    mean, sd = empty_states(n_cells, n_state), empty_states(n_cells, n_state)
    for i, batch in enumerate(cells.all_cells(_CELLS_AT_ONCE)):
        posterior = module.inference(**module._get_inference_input(batch))
        rows = slice(i * _CELLS_AT_ONCE, (i + 1) * _CELLS_AT_ONCE)
        mean[rows], sd[rows] = posterior["mean"], posterior["sd"]
        if not (torch.isfinite(mean[rows]).all() and torch.isfinite(sd[rows]).all()):
            raise RuntimeError(
                "the codec's training diverged: lower its learning rate, "
                'train(plan_kwargs={"codec": {"lr": ...}})'
            )
    return mean, sd
