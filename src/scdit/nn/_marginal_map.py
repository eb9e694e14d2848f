"""A monotone map of each gene's counts, given the library size, onto those of the data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scdit.nn._counts import NegativeBinomial
from scdit.nn._shape import CountShape

N_BINS = 1_000  # of the histograms of places; their ends are those of the shapes' bins, and more
_MIN_GAIN = 20.0  # log likelihood, in nats, that a gene has to gain


class MarginalMap(nn.Module):
    r"""Quantile mapping of counts at their library size.

    A count :math:`k` has a *place* :math:`v \in [F(k - 1), F(k))` in a reference that knows nothing
    but the library size :math:`\ell`, the negative binomial :math:`NB(\ell p, \theta)` of its gene:
    a randomised quantile residual (Dunn and Smyth 1996). Where drawn cells have other places than
    real ones, as in genes of programmes and alleles that the latent space holds in part only, one
    monotone map per gene moves the places to those of the data, and the count becomes
    :math:`F^{-1}(T(v))`. Ranks among cells of one depth stay, and correlations with them. At the
    start it changes nothing.

    Parameters
    ----------
    n_genes
        Number of genes.
    """

    log_proportion: Tensor
    log_theta: Tensor

    def __init__(self, n_genes: int):
        super().__init__()
        self.register_buffer("log_proportion", torch.zeros(n_genes))
        self.register_buffer("log_theta", torch.zeros(n_genes))
        self.places = CountShape(n_genes)

    def reference(self, log_library: Tensor, genes: Tensor) -> NegativeBinomial:
        """Distribution of the counts of some genes given library sizes, (cells, 1)."""
        return NegativeBinomial(log_library + self.log_proportion[genes], self.log_theta[genes])

    def forward(
        self, counts: Tensor, uniform: Tensor, decoded: NegativeBinomial, log_library: Tensor
    ) -> Tensor:
        """Counts (cells, genes) in the place of those that `decoded` has at `uniform` numbers."""
        genes = self.places.changed()
        if not len(genes):
            return counts
        own, k = decoded.of_genes(genes), counts[:, genes]
        # a count stands for the interval of numbers that give it; so does its place
        below, probability = own.interval(k)
        tiny = torch.finfo(probability.dtype).tiny  # of counts whose probability underflows
        position = ((uniform[:, genes] - below) / probability.clamp_min(tiny)).clamp(0, 1)
        reference = self.reference(log_library, genes)
        below, probability = reference.interval(k)
        place = (below + position * probability).to(uniform)
        mapped = counts.clone()
        mapped[:, genes] = reference.quantile(self.places.move(place, genes))
        return mapped

    @torch.no_grad()
    def set(self, genes: NDArray[np.int64], ends: NDArray[np.floating]) -> None:
        """Map the places `ends` (n, n_edges) of some genes to the edges of the shapes' bins."""
        density = np.tile(self.places.edges.diff().double().cpu(), (len(self.log_theta), 1))
        density[genes] = np.diff(ends, axis=1)
        self.places.set(density)


def fit_map(
    real: NDArray[np.floating],
    made: NDArray[np.floating],
    n_cells: int,
    edges: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Genes that are worth a map, (n,), and the places that belong on `edges`, (n, n_edges).

    Parameters
    ----------
    real, made
        Histograms of places in equal bins, (genes, :data:`N_BINS`).
    n_cells
        Number of different real cells that were placed; a gene has to gain 20 nats of theirs, and
        more where few cells were made. By chance, that is 1 or 2 genes of 100.
    edges
        Places on which others are mapped, in ascending order from 0 to 1.
    """
    grid = np.linspace(0, 1, real.shape[1] + 1)
    # one cell spread over all bins, none of which may be empty
    below = [
        np.pad(x.cumsum(axis=1), [(0, 0), (1, 0)]) / x.sum(axis=1, keepdims=True)
        for x in (real + 1 / real.shape[1], made + 1 / made.shape[1])
    ]
    at = np.round(edges * real.shape[1]).astype(int)
    share, expected = (np.diff(x[:, at], axis=1) for x in below)
    gain = n_cells * (share * np.log(share / expected)).sum(axis=1)
    genes = np.flatnonzero(gain > _MIN_GAIN * (1 + n_cells / made.sum(axis=1)))
    ends = [np.interp(below[0][gene, at], below[1][gene], grid) for gene in genes]
    return genes, np.reshape(ends, (len(genes), len(edges)))
