"""What the expression codec takes from the training cells: the order of genes, depths, moments."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from scdit.module import SCDiTModule
from scdit.nn import ExpressionCodec
from scdit.nn._expression import TARGET_SUM
from scdit.train._data import CellDataModule, EncodedStates, StateDataModule
from scdit.train._initialise import library_sizes, principal_components

_N_PCS = 50  # whose loadings tell which genes vary together
_CELLS_AT_ONCE = 512
_PRIOR_CELLS = 5.0  # that the variance over all genes is worth in the variance of one


def initialise_expression(codec: ExpressionCodec, counts: sp.spmatrix | np.ndarray) -> None:
    """Give the codec the order of genes and the library sizes of training cells.

    Parameters
    ----------
    codec
        The codec, changed in place.
    counts
        Counts of the training cells only, (cells, genes).
    """
    counts = sp.csr_matrix(counts, dtype=np.float64)
    library = library_sizes(counts)
    log_library = np.log(library)
    order = np.arange(codec.n_genes)
    if codec.gene_order == "random":
        order = np.random.default_rng(0).permutation(order)
    elif codec.gene_order == "correlation":
        n = min(_N_PCS, codec.n_genes)
        _, loadings, sd = principal_components(counts, library, TARGET_SUM, n)
        order = order_genes(loadings * sd)
    spread = max(log_library.std(), 0.05)
    start = {
        "order": torch.as_tensor(order),
        "log_library": torch.tensor(
            [log_library.mean(), spread, log_library.min(), log_library.max()]
        ),
    }
    codec.initialise(start)


def order_genes(loadings: np.ndarray) -> np.ndarray:
    """An order (genes,) in which every run of genes is alike, by bisection.

    Genes are cut in halves along the direction in which their loadings (genes, n) differ most, and
    so is each half, until nothing is left to cut.
    """
    order: list[np.ndarray] = []

    def cut(genes: np.ndarray) -> None:
        if len(genes) <= 2:
            order.append(genes)
            return
        centred = loadings[genes] - loadings[genes].mean(axis=0)
        _, axes = np.linalg.eigh(centred.T @ centred)
        ranked = genes[np.argsort(centred @ axes[:, -1], kind="stable")]
        cut(ranked[: len(genes) // 2])
        cut(ranked[len(genes) // 2 :])

    cut(np.arange(len(loadings)))
    return np.concatenate(order)


@torch.inference_mode()
def prepare_expression(
    module: SCDiTModule, cells: CellDataModule, batch_size: int
) -> StateDataModule:
    """States that are encoded batch by batch: all of them at once may not fit into memory.

    Parameters
    ----------
    module
        The module; its normalisation is set from the training cells.
    cells
        The split of the cells.
    batch_size
        Cells per step of the denoiser.
    """
    states = EncodedStates(module, cells)
    n = module.codec.n_state
    # number, sum and sum of squares of the values that are not zeros
    moments = torch.zeros(3, n, dtype=torch.float64)
    low, high = torch.full((n,), torch.inf), torch.full((n,), -torch.inf)
    for chunk in np.array_split(cells.train_idx, -(-cells.n_train // _CELLS_AT_ONCE)):
        x = states.encode(chunk).cpu()
        low, high = low.minimum(x.amin(0)), high.maximum(x.amax(0))
        on = x.clamp_min(0).double()
        moments += torch.stack([(on > 0).double().sum(0), on.sum(0), on.pow(2).sum(0)])
    n_on, total, squares = moments
    zero, n_cells = module.codec.zero_value, cells.n_train
    mean = (total + (n_cells - n_on) * zero) / n_cells
    variance = (squares + (n_cells - n_on) * zero**2) / n_cells - mean**2
    module.set_normalisation(mean.float(), variance.clamp_min(0).float(), low, high)
    if module.head is not None:
        on_mean = total / n_on.clamp_min(1)
        excess = squares - n_on * on_mean**2
        on_variance = (excess + _PRIOR_CELLS * excess.sum() / n_on.sum()) / (n_on + _PRIOR_CELLS)
        levels = torch.stack([torch.full_like(total, zero), on_mean, on_variance.sqrt()])
        zeros, means, sds = levels.float().to(module.device)
        share = ((n_on + 0.5) / (n_cells + 1)).float()
        centre, scale = module.state_mean, module.state_sd
        module.head.set_marginals(
            (zeros - centre) / scale, (means - centre) / scale, sds / scale, share
        )
    return StateDataModule(cells, states, batch_size)
