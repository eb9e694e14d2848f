"""Between the phases: the states of all cells, in the space of the diffusion."""

from __future__ import annotations

import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.dataloaders import AnnDataLoader
from torch import Tensor

from scdit.module import SCDiTModule
from scdit.train._data import CachedStates, CellDataModule, StateDataModule, condition_codes
from scdit.train._maps import map_marginals
from scdit.train._marginals import calibrate


@torch.inference_mode()
def prepare_latents(
    module: SCDiTModule, cells: CellDataModule, batch_size: int
) -> StateDataModule:
    """Encode all cells, calibrate, and set the module's normalisation from the training cells.

    Parameters
    ----------
    module
        The module with a trained codec; its decoder's marginals and its normalisation are set.
    cells
        The split the codec was trained on.
    batch_size
        Cells per step of the denoiser.
    """
    mean, sd = _encode(module, cells.adata_manager)
    train = torch.as_tensor(cells.train_idx)
    counts = cells.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    states = mean[train] + sd[train] * torch.randn_like(sd[train])
    known = sp.csr_matrix(counts[cells.train_idx])
    codes = condition_codes(cells.adata_manager, module.condition_names)
    own = {name: code[train] for name, code in codes.items()}
    calibrate(module.codec, states, known, own)
    map_marginals(module.codec, states, known, own)

    variance = mean[train].var(0, correction=0) + sd[train].pow(2).mean(0)
    low, high = mean[train].aminmax(dim=0)
    module.set_normalisation(mean[train].mean(0), variance, low, high)
    mean, sd = (x.cpu() for x in module.standardise(mean.to(module.device), sd.to(module.device)))
    return StateDataModule(cells, CachedStates(mean, sd, codes), batch_size)


def _encode(module: SCDiTModule, manager: AnnDataManager) -> tuple[Tensor, Tensor]:
    """Posterior mean and sd (cells, n_state) of all cells.

    Raises
    ------
    RuntimeError
        If a state is not finite.
    """
    module.eval()
    means, sds = [], []
    for batch in AnnDataLoader(manager, batch_size=512):
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
