"""The latent dimensions that several assays start from together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_RIDGE = 1.0  # cells that a regression is shrunk by
_UNEXPLAINED = 1e-2, 0.98  # range of the share of a dimension's variance that an assay leaves open


class Alignment(NamedTuple):
    """How the components of an assay and shared latent dimensions belong together.

    ``weights`` (n_components, n_latent) predict the dimensions from the components, ``unexplained``
    (n_latent,) is the share of the variance that this leaves, and ``covariance`` (n_components,
    n_latent) that of both, where dimensions have unit variance.
    """

    weights: Tensor
    unexplained: Tensor
    covariance: Tensor


def align(
    scores: Sequence[Tensor], sds: Sequence[Tensor], present: Sequence[Tensor], n_latent: int
) -> list[Alignment]:
    """Latent dimensions that all assays share, as each of them sees these.

    Principal components of one assay say nothing of those of another. Shared dimensions are the
    principal components of all assays side by side, each divided by its largest standard deviation:
    multiple factor analysis (Escofier and Pages 1994). An assay that a cell lacks counts as average.

    Parameters
    ----------
    scores
        Components of each assay, (cells, n_components), centred; of unit variance if they are scaled
        by `sds`.
    sds
        Standard deviations of each assay's components in units of its features, (n_components,), in
        descending order. What the last one has counts as noise in all of them.
    present
        Which cells have the assay, (cells,), for each assay. The scores of others are not used.
    n_latent
        Number of dimensions. Where there are fewer components, the last ones have no weights.
    """
    blocks = []
    for score, sd, has in zip(scores, sds, present, strict=True):
        signal = (sd**2 - sd[-1] ** 2).clamp_min(0).sqrt()
        block = torch.where(has[:, None], score * signal, 0.0).double()
        block = block - block.mean(0)
        largest = torch.linalg.matrix_norm(block, ord=2)
        blocks.append(block / largest.clamp_min(torch.finfo(block.dtype).tiny))
    left, singular, _ = torch.linalg.svd(torch.cat(blocks, dim=1), full_matrices=False)
    factors = torch.zeros(len(left), n_latent, dtype=left.dtype)
    n = min(n_latent, int((singular > 1e-6 * singular[0]).sum()))
    # of unit variance over cells, and with signs that do not depend on the solver
    largest = left[:, :n].abs().argmax(0)
    factors[:, :n] = left[:, :n] * left[largest, torch.arange(n)].sign() * len(left) ** 0.5
    return [
        _regression(score[has].double(), factors[has])
        for score, has in zip(scores, present, strict=True)
    ]


def _regression(scores: Tensor, factors: Tensor) -> Alignment:
    """Ridge regression of factors (cells, n_latent) on scores (cells, n_components)."""
    n_cells = max(len(scores), 1)
    products, cross = scores.T @ scores, scores.T @ factors
    weights = torch.linalg.solve(products + _RIDGE * torch.eye(len(products)), cross)
    variance = factors.pow(2).sum(0)
    left = (factors - scores @ weights).pow(2).sum(0)
    unexplained = torch.where(variance > 0, left / variance, 1.0).clamp(*_UNEXPLAINED)
    return Alignment(weights.float(), unexplained.float(), (cross / n_cells).float())
