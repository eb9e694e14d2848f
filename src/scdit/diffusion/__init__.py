"""Noise schedules, predictions, guidance and samplers: plain functions over torch tensors.

Nothing here knows what a cell is, and nothing needs scvi-tools or scanpy.
"""

from scdit.diffusion._grid import SPACINGS, time_grid
from scdit.diffusion._guidance import guide
from scdit.diffusion._noise import KeyedNoise
from scdit.diffusion._prediction import PREDICTIONS, convert, expected, target
from scdit.diffusion._samplers import SAMPLERS, sample, sampler_names, sampling_path
from scdit.diffusion._schedule import SCHEDULES, Coefficients, Schedule

__all__ = [
    "PREDICTIONS",
    "SAMPLERS",
    "SCHEDULES",
    "SPACINGS",
    "Coefficients",
    "KeyedNoise",
    "Schedule",
    "convert",
    "expected",
    "guide",
    "sample",
    "sampler_names",
    "sampling_path",
    "target",
    "time_grid",
]
