"""Calibration 3: a monotone map of each gene's counts, given the library size, onto those of the data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scdit.codec._sparse import capped_counts, excess_squares, well_counted
from scdit.codec.calibration._histograms import DecodedCells
from scdit.codec.calibration._shape import CountShape
from scdit.codec.likelihood import CountDistribution, NegativeBinomial

N_BINS = 1_000  # of the histograms of places; their ends are those of the shapes' bins, and more
_MIN_GAIN = 20.0  # log likelihood, in nats, that a gene has to gain
_TIMES = 4  # that each cell is drawn
_MAX_DRAWN = 20_000  # cells that are used, and drawn, at most
_MAX_COUNTS = 30_000_000  # that are drawn at most
_BATCH = 500  # cells that are drawn at once
_THETA = 0.01, 1000.0  # range of the reference's inverse dispersion


class QuantileMap(nn.Module):
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
        self,
        counts: Tensor,
        uniform: Tensor,
        decoded: CountDistribution,
        log_library: Tensor,
        effects: Tensor | None = None,
    ) -> Tensor:
        """Counts (cells, genes) in the place of those that `decoded` has at `uniform` numbers.

        With `effects`, logarithms (cells, genes) of what means are multiplied by, `counts` have them
        already and `decoded` has not. A cell keeps its place: the mapped count is that of a reference
        with effects.
        """
        genes = self.places.changed()
        if not len(genes):
            return counts
        own = decoded.of_genes(genes)
        k = counts[:, genes] if effects is None else own.quantile(uniform[:, genes])
        # a count stands for the interval of numbers that give it; so does its place
        below, probability = own.interval(k)
        tiny = torch.finfo(probability.dtype).tiny  # of counts whose probability underflows
        position = ((uniform[:, genes] - below) / probability.clamp_min(tiny)).clamp(0, 1)
        reference = self.reference(log_library, genes)
        below, probability = reference.interval(k)
        place = (below + position * probability).to(uniform)
        if effects is not None:
            reference = reference.scaled(effects[:, genes])
        mapped = counts.clone()
        mapped[:, genes] = reference.quantile(self.places.move(place, genes))
        return mapped

    @torch.no_grad()
    def set(self, genes: NDArray[np.int64], ends: NDArray[np.floating]) -> None:
        """Map the places `ends` (n, n_edges) of some genes to the edges of the shapes' bins."""
        density = np.tile(self.places.edges.diff().double().cpu(), (len(self.log_theta), 1))
        density[genes] = np.diff(ends, axis=1)
        self.places.set(density)

    def clear(self, genes: NDArray[np.int64] | None = None) -> None:
        """Change nothing again, or nothing of some genes."""
        self.places.clear(genes)


def fit_places(
    real: NDArray[np.floating],
    made: NDArray[np.floating],
    n_cells: int,
    edges: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Genes that are worth a map, (n,), and the places that belong on `edges`, (n, n_edges).

    Parameters
    ----------
    real, made
        Histograms of places in equal bins, (genes, ``N_BINS``).
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


def fit_quantile_map(
    quantile_map: QuantileMap, shape: CountShape | None, cells: DecodedCells
) -> None:
    """Fit the map to cells that are drawn at states of training cells.

    Parameters
    ----------
    quantile_map
        Changed in place.
    shape
        Applied to the uniform numbers of the draws; it is fitted. None where there is none.
    cells
        The cells, which are decoded with the shifts of their regions.
    """
    device, rng = quantile_map.log_theta.device, np.random.default_rng(0)
    own = np.arange(len(cells.latent))
    if len(own) > _MAX_DRAWN:
        own = np.sort(rng.choice(len(own), _MAX_DRAWN, replace=False))
    counts = cells.counts[own]
    genes = well_counted(counts, cells.reads_per_molecule)
    capped = capped_counts(counts[:, genes], cells.cap[genes])
    log_library, seen = cells.log_library[own], torch.as_tensor(genes, device=device)
    for buffer, fitted in zip(
        (quantile_map.log_proportion, quantile_map.log_theta),
        _reference(capped, log_library.double().exp().numpy().ravel()),
        strict=True,
    ):
        buffer[seen] = torch.as_tensor(fitted, dtype=torch.float32, device=device)

    generator = torch.Generator(device).manual_seed(0)
    real, made = np.zeros((2, len(genes), N_BINS))
    n_drawn = min(_TIMES * len(own), _MAX_DRAWN, _MAX_COUNTS // max(len(genes), 1))
    rows = np.tile(rng.permutation(len(own)), _TIMES)[:n_drawn]
    for batch in np.split(rows, range(_BATCH, len(rows), _BATCH)):
        uniform = torch.rand(
            len(batch), len(quantile_map.log_theta), generator=generator, device=device
        )
        decoded = cells.decode(own[batch]).of_genes(seen)
        shaped = uniform if shape is None else shape(uniform)
        drawn = decoded.quantile(shaped[:, seen])
        data = torch.as_tensor(capped[batch].toarray(), dtype=torch.float32, device=device)
        reference = quantile_map.reference(log_library[batch].to(device), seen)
        real += _places(data, reference, rng)
        made += _places(drawn, reference, rng)
    edges = quantile_map.places.edges.double().cpu().numpy()
    mapped, ends = fit_places(real, made, min(len(own), n_drawn), edges)
    quantile_map.set(genes[mapped], ends)


def _reference(
    counts: sp.csr_matrix, library: NDArray[np.floating]
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of proportion and inverse dispersion, (genes,), by the method of moments."""
    proportion = np.asarray(counts.sum(axis=0)).ravel() / library.sum()
    excess, expected = excess_squares(counts, library, proportion)
    theta = expected / np.maximum(excess, expected / _THETA[1])
    return np.log(proportion), np.log(theta.clip(*_THETA))


def _places(counts: Tensor, reference: NegativeBinomial, rng: np.random.Generator) -> np.ndarray:
    """Histograms (genes, N_BINS) of the places of counts (cells, genes), at random in their intervals."""
    below, probability = (x.cpu().numpy() for x in reference.interval(counts))
    place = below + probability * rng.random(below.shape)
    bins = np.minimum((place * N_BINS).astype(np.int64), N_BINS - 1)
    n_genes = counts.shape[1]
    flat = np.bincount((bins + N_BINS * np.arange(n_genes)).ravel(), minlength=N_BINS * n_genes)
    return flat.reshape(n_genes, N_BINS)
