"""The quantile map of proteins, of those whose counts it brings closer to the data's."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import ks_2samp

from scdit._matrix import some_of
from scdit.codec._sparse import capped_counts
from scdit.codec.calibration import DecodedCells, QuantileMap, fit_quantile_map

_MAX_DRAWN, _BATCH = 20_000, 500  # cells that are drawn to compare, and at once


def fit_protein_map(quantile_map: QuantileMap, cells: DecodedCells) -> None:
    """Fit the map, and take it back for proteins whose distribution it does not improve.

    It sees a protein at given totals. One that makes up most of some cells' counts has a narrow
    distribution there, and a map for these cells may be wrong for the others. The Kolmogorov-Smirnov
    distance to the data, of counts drawn with and without the map, decides.

    Parameters
    ----------
    quantile_map
        Changed in place.
    cells
        Training cells and what is decoded at their states.
    """
    fit_quantile_map(quantile_map, None, cells)
    proteins = quantile_map.places.changed().cpu().numpy()
    if not len(proteins):
        return
    device = quantile_map.log_theta.device
    rows = some_of(len(cells.latent), _MAX_DRAWN)
    generator = torch.Generator(device).manual_seed(1)  # not the numbers that it was fitted to
    drawn = []
    for batch in np.split(rows, range(_BATCH, len(rows), _BATCH)):
        shape = len(batch), len(quantile_map.log_theta)
        uniform = torch.rand(shape, generator=generator, device=device)
        decoded, log_library = cells.decode(batch), cells.log_library[batch].to(device)
        plain = decoded.quantile(uniform)
        mapped = quantile_map(plain, uniform, decoded, log_library)
        drawn.append(torch.stack([plain, mapped])[:, :, proteins].cpu().numpy())
    plain, mapped = np.concatenate(drawn, axis=1)
    data = capped_counts(cells.counts[rows][:, proteins], cells.cap[proteins]).toarray()
    distances = [
        [ks_2samp(x, y, method="asymp").statistic for x, y in zip(made.T, data.T, strict=True)]
        for made in (plain, mapped)
    ]
    quantile_map.clear(proteins[np.greater_equal(distances[1], distances[0])])
