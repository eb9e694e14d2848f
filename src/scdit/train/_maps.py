"""Calibration of what is drawn: each gene's counts, given the library size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdit.nn import N_BINS, LatentCodec, NegativeBinomial, fit_map
from scdit.train._data import some_states
from scdit.train._initialise import capped_counts
from scdit.train._moments import excess_squares, well_counted

_TIMES = 4  # that each cell is drawn
_MAX_DRAWN = 20_000  # cells that are used, and drawn, at most
_MAX_COUNTS = 30_000_000  # that are drawn at most
_BATCH = 500  # cells that are drawn at once
_THETA = 0.01, 1000.0  # range of the reference's inverse dispersion


def map_marginals(
    codec: LatentCodec,
    states: Tensor,
    counts: sp.csr_matrix,
    codes: Mapping[str, Tensor] | None = None,
) -> None:
    """Fit the codec's :class:`scdit.nn.MarginalMap` to cells drawn from states of training cells.

    Parameters
    ----------
    codec
        Changed in place; its other calibrations are done.
    states
        States (cells, n_state), with the library size of the cell.
    counts
        Counts of the training cells, (cells, genes); row i of the states belongs to cell i.
    codes
        Conditions of the training cells, (cells,) by name; None where none is known.
    """
    device, rng = codec.cap.device, np.random.default_rng(0)
    if len(states) > _MAX_DRAWN:
        chosen = np.sort(rng.choice(len(states), _MAX_DRAWN, replace=False))
        states, codes = some_states(torch.as_tensor(chosen), states, codes)
        counts = counts[chosen]
    genes = well_counted(counts, codec.encoder.reads_per_molecule.cpu().numpy())
    capped = capped_counts(counts[:, genes], codec.cap.cpu().numpy()[genes])
    log_library = codec.library_scores.inverse(states[:, codec.n_latent :].to(device)).cpu()
    marginal_map, seen = codec.marginal_map, torch.as_tensor(genes, device=device)
    for buffer, fitted in zip(
        (marginal_map.log_proportion, marginal_map.log_theta),
        _reference(capped, log_library.double().exp().numpy().ravel()),
        strict=True,
    ):
        buffer[seen] = torch.as_tensor(fitted, dtype=torch.float32, device=device)

    generator = torch.Generator(device).manual_seed(0)
    real, made = np.zeros((2, len(genes), N_BINS))
    n_drawn = min(_TIMES * len(states), _MAX_DRAWN, _MAX_COUNTS // max(len(genes), 1))
    rows = np.tile(rng.permutation(len(states)), _TIMES)[:n_drawn]
    for batch in np.split(rows, range(_BATCH, len(rows), _BATCH)):
        uniform = torch.rand(len(batch), codec.n_genes, generator=generator, device=device)
        decoded = codec.decode(*some_states(torch.as_tensor(batch), states, codes, device))
        drawn = decoded.of_genes(seen).quantile(codec.shape(uniform)[:, seen])
        own = torch.as_tensor(capped[batch].toarray(), dtype=torch.float32, device=device)
        reference = marginal_map.reference(log_library[torch.as_tensor(batch)].to(device), seen)
        real += _places(own, reference, rng)
        made += _places(drawn, reference, rng)
    edges = marginal_map.places.edges.double().cpu().numpy()
    mapped, ends = fit_map(real, made, min(len(states), n_drawn), edges)
    marginal_map.set(genes[mapped], ends)


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
