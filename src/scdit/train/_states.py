"""Between the phases: the states of all cells, and the calibration of each gene's marginal."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from scvi.dataloaders import AnnDataLoader
from torch import Tensor

from scdit.module import SCDiTModule
from scdit.nn import LatentCodec, fit_marginals
from scdit.train._data import CellDataModule, LatentDataModule, condition_codes

_MIXTURE = 1_000  # states whose mixture is compared with the training counts
_MIN_MEAN = 0.02  # counts per cell below which the marginal of a gene says no more than its mean
_EXACT, _QUANTILES = 6, 16  # a gene's histogram: counts up to here, then so many quantiles
_GENES_AT_ONCE = 64


@torch.inference_mode()
def prepare_states(
    module: SCDiTModule, cells: CellDataModule, batch_size: int
) -> LatentDataModule:
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
    mean, sd = _encode(module, cells)
    codes = condition_codes(cells.adata_manager, module.condition_names)
    train = torch.as_tensor(cells.train_idx)
    counts = cells.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    states = mean[train] + sd[train] * torch.randn_like(sd[train])
    calibrate_marginals(module.codec, states, sp.csr_matrix(counts[cells.train_idx]))

    module.standardise(mean[train], sd[train])
    state_mean, state_sd = module.state_mean.cpu(), module.state_sd.cpu()
    return LatentDataModule(
        cells, (mean - state_mean) / state_sd, sd / state_sd, codes, batch_size
    )


def _encode(module: SCDiTModule, cells: CellDataModule) -> tuple[Tensor, Tensor]:
    """Posterior mean and sd (cells, n_state) of all cells.

    Raises
    ------
    RuntimeError
        If a state is not finite.
    """
    module.eval()
    means, sds = [], []
    for batch in AnnDataLoader(cells.adata_manager, batch_size=512):
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


def calibrate_marginals(codec: LatentCodec, states: Tensor, counts: sp.csr_matrix) -> None:
    """Shift each gene's mean and dispersion so that the mixture over states fits its counts.

    Parameters
    ----------
    codec
        Changed in place.
    states
        States (cells, n_state) whose decoded mixture should have the marginals of the data.
    counts
        Counts of the training cells, (cells, genes).
    """
    chosen = np.random.default_rng(0).permutation(len(states))[:_MIXTURE]
    decoded = codec.decode(states[torch.as_tensor(chosen)].to(codec.log_theta.device))
    log_mean, log_theta = decoded.log_mean.cpu(), decoded.log_theta.cpu()
    cap = codec.cap.cpu().numpy()
    columns = counts.tocsc()
    genes = np.flatnonzero(np.asarray(counts.mean(axis=0)).ravel() >= _MIN_MEAN)
    # genes with histograms of about the same length together
    genes = genes[np.argsort(cap[genes], kind="stable")]
    shifts = torch.zeros(2, codec.n_genes)
    for start in range(0, len(genes), _GENES_AT_ONCE):
        block = genes[start : start + _GENES_AT_ONCE]
        values, weights = _histograms(columns, block, cap)
        shifts[:, block] = torch.stack(
            fit_marginals(
                log_mean[:, block].T.contiguous(),
                log_theta[:, block].T.contiguous(),
                values,
                weights,
            )
        )
    codec.shift(*shifts.to(codec.log_theta.device))


def _histograms(
    columns: sp.csc_matrix, genes: np.ndarray, cap: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Capped counts of genes and their frequencies, (genes, n_nodes), padded with weight 0."""
    cells = columns.shape[0]
    nodes = []
    for gene in genes:
        seen = columns.data[columns.indptr[gene] : columns.indptr[gene + 1]]
        seen = np.sort(np.minimum(seen[seen > 0], cap[gene]))
        low, n_low = np.unique(seen[seen <= _EXACT], return_counts=True)
        high = seen[seen > _EXACT]
        k = min(_QUANTILES, len(high))
        middle = ((np.arange(k) + 0.5) / max(k, 1) * len(high)).astype(int)
        n_nodes = np.concatenate([[cells - len(seen)], n_low, np.full(k, len(high) / max(k, 1))])
        nodes.append((np.concatenate([[0], low, high[middle]]), n_nodes / cells))
    values, weights = np.zeros((2, len(genes), max(len(v) for v, _ in nodes)), np.float32)
    for i, (v, w) in enumerate(nodes):
        values[i, : len(v)], weights[i, : len(w)] = v, w
    return torch.from_numpy(values), torch.from_numpy(weights)
