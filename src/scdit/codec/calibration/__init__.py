"""What is drawn, corrected gene by gene to the distribution of the training cells, in three steps.

``Regions`` shift what is decoded, ``CountShape`` changes the density of the uniform numbers that counts are
drawn with, and ``QuantileMap`` maps the counts that were drawn. Each has its fit beside it.
"""

from scdit.codec.calibration._histograms import DecodedCells, Group
from scdit.codec.calibration._mixture import Mixture
from scdit.codec.calibration._quantile_map import (
    N_BINS,
    QuantileMap,
    fit_places,
    fit_quantile_map,
)
from scdit.codec.calibration._regions import MAX_REGIONS, Regions, fit_regions
from scdit.codec.calibration._shape import (
    CountShape,
    fit_density,
    fit_shape,
    interval_probabilities,
)
from scdit.codec.calibration._shifts import fit_shifts

__all__ = [
    "MAX_REGIONS",
    "N_BINS",
    "CountShape",
    "DecodedCells",
    "Group",
    "Mixture",
    "QuantileMap",
    "Regions",
    "fit_density",
    "fit_places",
    "fit_quantile_map",
    "fit_regions",
    "fit_shape",
    "fit_shifts",
    "interval_probabilities",
]
