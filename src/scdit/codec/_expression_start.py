"""What the expression codec takes from the training cells: the order of genes, depths, moments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from scdit.codec._components import TARGET_SUM, principal_components
from scdit.codec._protocol import SparseCounts
from scdit.codec._sparse import library_sizes

_N_PCS = 50  # whose loadings tell which genes vary together
_PRIOR_CELLS = 5.0  # that the variance over all genes is worth in the variance of one
_MIN_SPREAD = 0.05  # of log library sizes


def gene_order_of(counts: SparseCounts, kind: str) -> np.ndarray:
    """The order of genes (genes,) of a given kind, see :class:`ExpressionCodec`."""
    order = np.arange(counts.shape[1])
    if kind == "random":
        return np.random.default_rng(0).permutation(order)
    if kind == "given":
        return order
    counts = sp.csr_matrix(counts, dtype=np.float64)
    n = min(_N_PCS, counts.shape[1])
    _, loadings, sd = principal_components(counts, library_sizes(counts), TARGET_SUM, n)
    return order_genes(loadings * sd)


def library_moments(counts: SparseCounts) -> list[float]:
    """Mean, standard deviation, minimum and maximum of log library sizes."""
    log = np.log(library_sizes(sp.csr_matrix(counts, dtype=np.float64)))
    return [log.mean(), max(log.std(), _MIN_SPREAD), log.min(), log.max()]


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


class StateMoments(NamedTuple):
    """Moments and range of states, each (n_state,), and those of the values that are no zeros."""

    mean: Tensor
    variance: Tensor
    low: Tensor
    high: Tensor
    zero: Tensor
    on_mean: Tensor
    on_sd: Tensor
    share: Tensor


def moments(states: Iterable[Tensor], n_state: int, zero_value: float) -> StateMoments:
    """Moments of states that come in parts (cells, n_state).

    Parameters
    ----------
    states
        All states.
    n_state
        Their dimension.
    zero_value
        Value of a gene without counts.
    """
    # number, sum and sum of squares of the values that are not zeros
    sums, n_cells = torch.zeros(3, n_state, dtype=torch.float64), 0
    low, high = torch.full((n_state,), torch.inf), torch.full((n_state,), -torch.inf)
    for x in states:
        low, high = low.minimum(x.amin(0)), high.maximum(x.amax(0))
        on = x.clamp_min(0).double()
        sums += torch.stack([(on > 0).double().sum(0), on.sum(0), on.pow(2).sum(0)])
        n_cells += len(x)
    n_on, total, squares = sums
    mean = (total + (n_cells - n_on) * zero_value) / n_cells
    variance = (squares + (n_cells - n_on) * zero_value**2) / n_cells - mean**2
    on_mean = total / n_on.clamp_min(1)
    excess = squares - n_on * on_mean**2
    on_variance = (excess + _PRIOR_CELLS * excess.sum() / n_on.sum()) / (n_on + _PRIOR_CELLS)
    return StateMoments(
        mean.float(),
        variance.clamp_min(0).float(),
        low,
        high,
        torch.full_like(total, zero_value).float(),
        on_mean.float(),
        on_variance.sqrt().float(),
        ((n_on + 0.5) / (n_cells + 1)).float(),
    )
